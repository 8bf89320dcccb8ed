"""The examples in Python run and find their results right; skipped where PyTorch is missing."""

import pathlib
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", minversion="2.5")  # of enable_gqa

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "python"


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_decode_graph(dtype):
    output = run("decode_graph.py", "--tokens", "20", "--dtype", dtype)
    assert "20 tokens, the sequences are now at [20, 25, 81, 220]" in output
    assert ("runs eagerly" in output) != torch.cuda.is_available()


def test_train_step():
    output = run("train_step.py", "--steps", "15")
    assert output.count("loss") == 3 and output.count("gradients differ") == 2
