"""What is installed, and how it is described."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import sysconfig

import pytest

import ropejit

try:
    VERSION = importlib.metadata.version("ropejit")
except importlib.metadata.PackageNotFoundError:
    VERSION = None
installed = pytest.mark.skipif(VERSION is None, reason="the package is not installed")

ROOT = pathlib.Path(__file__).parents[2]


@installed
def test_the_version_is_the_library_s():
    line = re.search(r"project\(ropejit VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())
    assert line and VERSION == line[1]


def test_the_package_is_described_alike_at_the_root_and_here():
    tomllib = pytest.importorskip("tomllib")

    def described(folder, to_python):
        text = (ROOT / folder / "pyproject.toml").read_text()
        tables = tomllib.loads(text)
        build = tables["tool"]["scikit-build"]
        build["cmake"].pop("source-dir", None)
        build["metadata"]["version"].pop("input")
        build["wheel"]["packages"] = [to_python + name for name in build["wheel"]["packages"]]
        tables["project"]["readme"] = to_python + tables["project"]["readme"]
        return tables["build-system"], tables["project"], build

    assert described(".", "") == described("python", "python/")


def test_every_public_name_is_there_and_documented():
    for name in ropejit.__all__:
        assert getattr(ropejit, name).__doc__, name
    with pytest.raises(AttributeError, match="rotate"):
        ropejit.rotate


@installed
def test_the_command_line_tool_comes_along():
    tool = pathlib.Path(sysconfig.get_path("scripts")) / "ropejit"
    printed = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
    assert VERSION in printed


def test_importing_the_package_imports_no_torch():
    code = "import sys, ropejit; assert 'torch' not in sys.modules; ropejit.stats()"
    subprocess.run([sys.executable, "-c", code], check=True)
