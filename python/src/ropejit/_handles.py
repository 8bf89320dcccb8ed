"""The process's runtime and the kernel handles made from it."""

from __future__ import annotations

import functools
import math
from typing import Dict, Union

from . import _core

# Opens nothing until the first call, so a process may fork after importing the package.
_runtime = _core.Runtime()

#: The handles of calls with a table.
table_ropes = _core.Ropes(_runtime)

#: Layout of a name; every spelling that README.md lists. ValueError for another one.
parse_layout = functools.lru_cache(maxsize=None)(_core.parse_layout)


@functools.lru_cache(maxsize=64)
def frequencies(rotary_dim: int, base: float) -> _core.Frequencies:
    """Pair i turns by base^(-2i / rotary_dim) radians per position (Su et al. 2021, RoFormer).

    ValueError that names `base` if it is below 1.
    """
    if not (math.isfinite(base) and base >= 1):
        raise ValueError(f"base = {base}: must be finite and at least 1")
    return _core.default_frequencies(rotary_dim, base)


@functools.lru_cache(maxsize=64)
def exact_ropes(rotary_dim: int, base: float) -> _core.Ropes:
    """The handles of calls with exact angles; modules with the same angles share them."""
    return _core.Ropes(_runtime, frequencies(rotary_dim, base))


def stats() -> Dict[str, Union[int, bool]]:
    """Counts since the package was imported, of what is otherwise silent.

    ``memory_hits``, ``disk_hits``, ``misses``, ``compiles``: where kernels came from; ``damaged``,
    ``driver_refused``, ``write_failures``: trouble with the cache folder, healed or passed over;
    ``unaligned_calls``: calls that took the slower kernel for addresses or strides that are no
    multiple of 16 bytes; ``nvrtc_opened``: whether the compiler was needed at all.
    """
    return _runtime.stats()
