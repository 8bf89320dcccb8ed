"""The process's runtime and the kernel handles made from it."""

from __future__ import annotations

import functools
import json
import math
import os
from typing import Dict, Union

from . import _core

# Opens nothing until the first call, so a process may fork after importing the package.
runtimes = _core.Runtimes()

#: "interleaved" or "sequential"; takes every spelling that README.md lists. ValueError for others.
layout_name = functools.lru_cache(maxsize=None)(_core.layout_name)

#: The angles of calls that bring a table. Others have a JSON object of rotary parameters, spelled
#: as in a config.json of transformers 5: a text that says all, so that a graph which holds it can
#: be stored and be run by another process.
TABLE = ""


def angles_text(rotary: _core.Rotary) -> str:
    """The angles of these rotary parameters."""
    return json.dumps(rotary.fields(), sort_keys=True)


@functools.lru_cache(maxsize=None)
def plain_angles(rotary_dim: int, base: float) -> str:
    """Pair i turns by base^(-2i / rotary_dim) radians per position (Su et al. 2021, RoFormer).

    ValueError that names `base` if it is below 1.
    """
    if not (math.isfinite(base) and base >= 1):
        raise ValueError(f"base = {base}: must be finite and at least 1")
    return angles_text(_core.Rotary({"rotary_dim": rotary_dim, "rope_theta": base}))


@functools.lru_cache(maxsize=None)
def rotary_of(angles: str) -> _core.Rotary:
    """The rotary parameters of angles that are not a table's."""
    return _core.Rotary(json.loads(angles))


@functools.lru_cache(maxsize=None)
def ropes_of(angles: str) -> _core.Ropes:
    """The handles of calls with these angles.

    Kept for good: work on a stream and captured graphs may need them longer than any module lives.
    """
    return _core.Ropes(runtimes, None if angles == TABLE else rotary_of(angles))


#: Those of calls with a table.
table_ropes = ropes_of(TABLE)


def stats() -> Dict[str, Union[int, bool]]:
    """Counts since the package was imported, of what is otherwise silent.

    ``memory_hits``, ``disk_hits``, ``misses``, ``compiles``: where kernels came from; ``damaged``,
    ``driver_refused``, ``write_failures``: trouble with the cache folder, healed or passed over;
    ``unaligned_calls``: calls that took the slower kernel for addresses or strides that are no
    multiple of 16 bytes; ``nvrtc_opened``: whether the compiler was needed at all.
    """
    return runtimes.stats()


def set_cache_dir(path: Union[str, os.PathLike, None]) -> None:
    """Takes kernels from this folder, and keeps them there, from now on.

    At the start it is ``$ROPEJIT_CACHE_DIR``, else ``ropejit`` in the user's cache folder. Kernels
    that are loaded already stay so; processes may share a folder. It is made when it is first
    written to, and a folder that cannot be written is counted by :func:`stats`, not raised.

    Args:
        path: the folder; None keeps kernels in memory only.

    Raises:
        TypeError: `path` is no path.
    """
    runtimes.set_cache_dir("" if path is None else os.fspath(path))
