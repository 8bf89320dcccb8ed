"""The examples of README.md run."""

import pathlib
import re

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_examples():
    examples = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert examples
    for example in examples:
        exec(compile(example, str(README), "exec"), {})
