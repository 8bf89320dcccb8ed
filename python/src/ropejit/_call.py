"""One call of the core."""

from __future__ import annotations

from typing import Optional, Tuple

from . import _arrays, _handles
from ._arrays import Array

#: As a length: take it from the positions of the call, where the frequencies depend on it.
LENGTH_OF_POSITIONS = -1


def run(
    angles: str,
    q: Optional[Array],
    k: Optional[Array],
    q_out: Optional[Array],
    k_out: Optional[Array],
    cos: Optional[Array],
    sin: Optional[Array],
    position_ids: Optional[Array],
    offsets: Optional[Array],
    cu_seqlens: Optional[Array],
    layout: str,
    rotary_dim: int,
    inverse: bool,
    offset: int,
    length: int,
) -> None:
    """Rotates q and k into q_out and k_out. Indices and tables with gaps are copied first."""
    if length == LENGTH_OF_POSITIONS:
        leader = q if q is not None else k
        length = _length(leader, position_ids, offsets, cu_seqlens, offset)
    stream = _arrays.stream_of(q if q is not None else k)
    ropes, layout = _handles.ropes_of(angles), _handles.parse_layout(layout)
    if ropes.apply(
        q, k, q_out, k_out, cos, sin, layout, rotary_dim, inverse, offset, offsets, position_ids,
        cu_seqlens, length, stream,
    ):  # fmt: skip
        return
    cos, sin, offsets, position_ids, cu_seqlens = map(
        _arrays.dense, (cos, sin, offsets, position_ids, cu_seqlens)
    )
    ropes.apply(
        q, k, q_out, k_out, cos, sin, layout, rotary_dim, inverse, offset, offsets, position_ids,
        cu_seqlens, length, stream,
    )  # fmt: skip


def _length(leader, position_ids, offsets, cu_seqlens, offset) -> int:
    """One more than the greatest position: waits for the device where that is known there only."""
    if position_ids is not None:
        return max(0, int(position_ids.max()) + 1)
    if cu_seqlens is not None:
        longest = cu_seqlens[1:] - cu_seqlens[:-1]
        return max(0, int((longest if offsets is None else longest + offsets).max()))
    tokens = leader.shape[0 if len(leader.shape) == 3 else 1]
    return max(0, tokens + (offset if offsets is None else int(offsets.max())))


def rotate_arrays(
    angles: str, q: Optional[Array], k: Optional[Array], *others, in_place: bool
) -> Tuple[Optional[Array], Optional[Array]]:
    """run() for arrays that are no tensors: rotates in place, or into new arrays."""
    q_out, k_out = (q, k) if in_place else (_arrays.empty_like(q), _arrays.empty_like(k))
    run(angles, q, k, q_out, k_out, *others)
    return q_out, k_out
