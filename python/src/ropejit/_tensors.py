"""PyTorch as far as the package needs it: not imported before somebody else has."""

from __future__ import annotations

import sys


def is_compiling() -> bool:
    """Whether torch.compile is reading this call, and will not run what is no Python."""
    if "torch" not in sys.modules:
        return False
    _connect()
    return is_compiling()


def rotate(*inputs, in_place: bool):
    """_torch.rotate()."""
    _connect()
    return rotate(*inputs, in_place=in_place)


def _connect() -> None:
    """Puts the functions above in their final form, now that there is PyTorch."""
    from . import _torch

    globals().update(is_compiling=_torch.is_compiling, rotate=_torch.rotate)
