"""tools/python_host_time.py runs, on the CPU; skipped where PyTorch is missing."""

import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

PROGRAM = pathlib.Path(__file__).parents[2] / "tools" / "python_host_time.py"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the tool needs Python 3.10")
def test_every_call_is_timed():
    options = "--device cpu --batch 1,2 --heads 4/2 --head-dim 16 --blocks 3 --calls 2"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options.split(), "--peers", "eager", "--commit", "abc"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "ropejit abc" in done.stdout
    assert "not measured" not in done.stdout
    times = re.findall(
        r"^\| (.+?)(?: \| [0-9.]+ \| [0-9.]+ to [0-9.]+){2} \|$", done.stdout, re.MULTILINE
    )
    assert len(times) == 9  # two of PyTorch, six of ropejit, one peer
