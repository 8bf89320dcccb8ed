"""A call of arrays that are no plain tensors."""

from __future__ import annotations

from typing import Optional, Tuple

from . import _arrays, _handles
from ._arrays import Array

#: As a length: take it from the positions of the call, where the frequencies depend on it.
LENGTH_OF_POSITIONS = -1


def run(
    angles: str, q, k, q_out, k_out, cos, sin, position_ids, offsets, cu_seqlens, layout: str,
    rotary_dim: int, inverse: bool, offset: int, length: int, stream: Optional[int] = None,
) -> None:  # fmt: skip
    """Rotates q and k into q_out and k_out, on a CUDA stream that is a pointer: None for PyTorch's
    current one, and for the default one of other libraries."""
    if length == LENGTH_OF_POSITIONS:
        leader = q if q is not None else k
        length = length_of(leader, position_ids, offsets, cu_seqlens, offset)
    _handles.ropes_of(angles).apply(
        q, k, q_out, k_out, cos, sin, position_ids, offsets, cu_seqlens, layout, rotary_dim,
        inverse, offset, length, stream,
    )  # fmt: skip


def rotate_arrays(
    angles: str, q: Optional[Array], k: Optional[Array], *others, in_place: bool
) -> Tuple[Optional[Array], Optional[Array]]:
    """run() in place, or into new arrays."""
    for name, array in (("q", q), ("k", k)):
        if in_place and _arrays.is_jax(array):
            raise ValueError(f"{name}: is read-only, as every array of JAX")
    q_out, k_out = (q, k) if in_place else (_arrays.empty_like(q), _arrays.empty_like(k))
    stream = _arrays.stream_of(q if q is not None else k)
    run(angles, q, k, q_out, k_out, *others, stream)
    return q_out, k_out


def length_of(leader, position_ids, offsets, cu_seqlens, offset) -> int:
    """One more than the greatest position: waits for the device where that is known there only."""
    if position_ids is not None:
        return max(0, int(position_ids.max()) + 1)
    if cu_seqlens is not None:
        longest = cu_seqlens[1:] - cu_seqlens[:-1]
        return max(0, int((longest if offsets is None else longest + offsets).max()))
    tokens = leader.shape[0 if len(leader.shape) == 3 else 1]
    return max(0, tokens + (offset if offsets is None else int(offsets.max())))
