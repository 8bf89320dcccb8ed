"""Kernels built ahead of time, and where they are kept. Needs NVRTC and no GPU."""

import json
import pathlib
import subprocess
import sys

import pytest

import ropejit

CONFIG = {
    "model_type": "llama", "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
    "torch_dtype": "bfloat16", "max_position_embeddings": 4096,
}  # fmt: skip
VARIANTS = "positions=offset,token_ids"


@pytest.fixture
def cache_dir(tmp_path):
    before = ropejit._handles.runtimes.cache_dir
    yield tmp_path / "kernels"
    ropejit.set_cache_dir(before)


def test_prewarm_builds_once(cache_dir, tmp_path):
    ropejit.set_cache_dir(cache_dir)
    before = ropejit.stats()["compiles"]
    report = ropejit.prewarm(CONFIG, "sm_90", VARIANTS)
    assert report.compiled > 0 and report.cached == 0
    assert ropejit.stats()["compiles"] - before == report.compiled
    assert {kernel["arch"] for kernel in report.kernels} == {"sm_90"}
    assert all(kernel["status"] == "compiled" for kernel in report.kernels)
    kept = {path.name for path in cache_dir.rglob("*") if path.is_file()}
    assert any(report.kernels[0]["key"] in name for name in kept)

    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    for same in (path, str(path), json.dumps(CONFIG)):
        again = ropejit.prewarm(same, ["sm_90"], VARIANTS, threads=1)
        assert (again.compiled, again.cached) == (0, report.compiled)
    other = ropejit.prewarm(CONFIG, ["sm_80", "sm_90"], VARIANTS)
    assert other.compiled > 0 and other.cached == report.compiled


def test_prewarm_into_another_folder(cache_dir, tmp_path):
    ropejit.prewarm(CONFIG, "sm_90", "positions=offset", cache_dir=cache_dir)
    assert any(cache_dir.rglob("*"))
    other = tmp_path / "other"
    assert ropejit.prewarm(CONFIG, "sm_90", "positions=offset", cache_dir=other).compiled > 0
    assert any(other.rglob("*"))


def test_counts_go_on_in_another_folder(cache_dir, tmp_path):
    counts = ropejit.stats()
    ropejit.set_cache_dir(cache_dir)
    assert ropejit.stats() == counts
    ropejit.set_cache_dir(None)
    with pytest.raises(ValueError, match="cache_dir"):
        ropejit.prewarm(CONFIG, "sm_90")


@pytest.mark.parametrize("arguments, error, message", [
    ((CONFIG, "sm_12"), ValueError, "sm_12"),
    ((CONFIG, "sm_90", "positions=sideways"), ValueError, "sideways"),
    (({**CONFIG, "num_attention_heads": 0}, "sm_90"), ValueError, "num_attention_heads"),
    ((3, "sm_90"), TypeError, "config: a int"),
    (("no/such/config.json", "sm_90"), OSError, "config.json"),
])  # fmt: skip
def test_prewarm_refuses(cache_dir, arguments, error, message):
    with pytest.raises(error, match=message):
        ropejit.prewarm(*arguments, cache_dir=cache_dir)
    assert not cache_dir.exists()


def test_prewarm_refuses_a_number_of_threads_below_zero(cache_dir):
    with pytest.raises(ValueError, match="threads = -1"):
        ropejit.prewarm(CONFIG, "sm_90", cache_dir=cache_dir, threads=-1)
    with pytest.raises(TypeError):
        ropejit.set_cache_dir(3.5)


def test_without_a_gpu_an_architecture_has_to_be_named(cache_dir):
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match="archs: there is no GPU"):
        ropejit.prewarm(CONFIG, cache_dir=cache_dir)


def test_the_command_line_tool_finds_them(cache_dir):
    report = ropejit.prewarm(CONFIG, "sm_90", VARIANTS, cache_dir=cache_dir)
    tool = pathlib.Path(sys.executable).parent / "ropejit"
    if not tool.exists():
        pytest.skip("the package is not installed")
    config = cache_dir.parent / "config.json"
    config.write_text(json.dumps(CONFIG))
    printed = subprocess.run(
        [tool, "prewarm", "--model", config, "--arch", "sm_90", "--variants", VARIANTS,
         "--cache-dir", cache_dir],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert f"compiled 0, cached {report.compiled}, failed 0" in printed
