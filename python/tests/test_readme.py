"""The examples of README.md and of python/README.md run as they are written."""

import importlib.util
import pathlib
import re

import pytest

import ropejit

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = [
    pytest.param(path, example, id=f"{path.relative_to(ROOT)} {number}")
    for path in (ROOT / "README.md", ROOT / "python" / "README.md")
    for number, example in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    )
]


def test_there_are_examples():
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize("path, example", EXAMPLES)
def test_example(path, example, capsys):
    for name in re.findall(r"^import (\w+)", example, re.MULTILINE):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    before = ropejit._handles.runtimes.cache_dir
    try:
        exec(compile(example, str(path), "exec"), {})
    finally:
        ropejit.set_cache_dir(before)
    for shown in re.findall(r"# (-?[0-9.]+ -?[0-9.]+), as above", example):
        assert capsys.readouterr().out == shown + "\n"
