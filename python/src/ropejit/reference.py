"""The rotation in plain array operations: what the kernels are held against."""

from __future__ import annotations

from typing import Optional, Tuple, Union

from . import _arrays, _handles
from ._arrays import Array


def rope_reference(
    q: Optional[Array],
    k: Optional[Array],
    cos: Array,
    sin: Array,
    *,
    layout: str = "interleaved",
    rotary_dim: Optional[int] = None,
    offset: Union[int, Array] = 0,
    position_ids: Optional[Array] = None,
    cu_seqlens: Optional[Array] = None,
    inverse: bool = False,
) -> Tuple[Optional[Array], Optional[Array]]:
    """:func:`apply_rope` in plain operations of PyTorch, CuPy or NumPy, on any device.

    Computes in double and rounds once. Takes any floating dtype, differentiates like any other
    chain of operations, and shares no code with the kernels. Arguments and results are those of
    :func:`apply_rope`; tokens of no sequence are passed on.

    Raises:
        ValueError: a shape or number is wrong; it names the argument.
    """
    leader = q if q is not None else k
    if leader is None:
        raise ValueError("q and k: at least one of them must be given")
    if rotary_dim is None:
        rotary_dim = 2 * cos.shape[-1]
    _check(q, k, cos, sin, rotary_dim)
    half = rotary_dim // 2
    if len(leader.shape) == 3:
        q_rot, k_rot = rope_reference(
            None if q is None else q[None], None if k is None else k[None], cos, sin, layout=layout,
            rotary_dim=rotary_dim, offset=offset, position_ids=position_ids, cu_seqlens=cu_seqlens,
            inverse=inverse,
        )  # fmt: skip
        return None if q is None else q_rot[0], None if k is None else k_rot[0]
    offset, offsets = _arrays.split_offset(offset, leader)
    if cu_seqlens is not None:
        ids = _ragged_positions(leader, offsets, cu_seqlens)
    elif offsets is not None:
        ids = offsets[:, None] + _count(offsets, leader.shape[1])
    else:
        ids = position_ids
    cos, sin = (_rows(table, leader, offset, ids)[..., :half] for table in (cos, sin))
    if cu_seqlens is not None:
        # Nothing turns where no sequence is.
        outside = (ids == _OUTSIDE)[..., None, None]
        where = _arrays.namespace(cos).where
        cos, sin = where(outside, 1.0, cos), where(outside, 0.0, sin)
    sin = -sin if inverse else sin
    first, second = _pair_slices(_handles.layout_name(layout), rotary_dim)
    return (
        None if q is None else _rotate(q, cos, sin, first, second),
        None if k is None else _rotate(k, cos, sin, first, second),
    )


#: The position of a token of no sequence: one that no table has.
_OUTSIDE = -(2**62)


def _count(like: Array, n: int) -> Array:
    """0 to n - 1, where `like` is."""
    numbers = _arrays.namespace(like).arange(n)
    return numbers.to(like.device) if _arrays.is_torch(like) else numbers


def _ragged_positions(leader: Array, offsets: Optional[Array], cu_seqlens: Array) -> Array:
    """[1, tokens]"""
    module = _arrays.namespace(cu_seqlens)
    token, sequences = _count(cu_seqlens, leader.shape[1]), cu_seqlens.shape[0] - 1
    if sequences == 0:
        return module.full_like(token, _OUTSIDE)[None]
    sequence = module.searchsorted(cu_seqlens, token, side="right") - 1
    inside = (sequence >= 0) & (sequence < sequences)
    sequence = sequence.clip(0, sequences - 1)
    position = token - cu_seqlens[sequence] + (0 if offsets is None else offsets[sequence])
    return module.where(inside, position, _OUTSIDE)[None]


def _check(q, k, cos, sin, rotary_dim) -> None:
    for name, array in (("q", q), ("k", k)):
        if array is not None and len(array.shape) not in (3, 4):
            raise ValueError(
                f"{name}: shape {list(array.shape)}: must be [batch, seq, heads, head_dim] or "
                "[tokens, heads, head_dim]"
            )
        if array is not None and not 2 <= rotary_dim <= array.shape[-1]:
            raise ValueError(
                f"rotary_dim = {rotary_dim}: must be from 2 to head_dim, {array.shape[-1]}"
            )
    if tuple(cos.shape) != tuple(sin.shape):
        raise ValueError(f"sin: shape {list(sin.shape)}: must be that of cos, {list(cos.shape)}")
    if len(cos.shape) not in (2, 3) or 2 * cos.shape[-1] < rotary_dim:
        raise ValueError(
            f"cos: shape {list(cos.shape)}: must be [rows, rotary_dim/2] or [batch, rows, "
            f"rotary_dim/2] with rotary_dim = {rotary_dim}"
        )


def _pair_slices(layout: str, rotary_dim: int) -> Tuple[slice, slice]:
    """The first and the second elements of all pairs."""
    if layout == "interleaved":
        return slice(0, rotary_dim, 2), slice(1, rotary_dim, 2)
    return slice(0, rotary_dim // 2), slice(rotary_dim // 2, rotary_dim)


def _double(array: Array) -> Array:
    return array.double() if _arrays.is_torch(array) else array.astype("float64")


def _rows(table: Array, leader: Array, offset: int, position_ids: Optional[Array]) -> Array:
    """The row of each token, as double: [batch or 1, seq, 1, columns]."""
    seq, rows = leader.shape[1], table.shape[-2]
    if len(table.shape) == 2:
        table = table[None]
    if position_ids is None:
        if offset < 0 or offset + seq > rows:
            raise ValueError(
                f"cos: has {rows} rows: must have one for each position from {offset} (offset) on, "
                f"of {seq} tokens"
            )
        return _double(table[:, offset : offset + seq, None])
    ids = position_ids if len(position_ids.shape) == 2 else position_ids[None]
    sequence = _arrays.namespace(table).arange(table.shape[0])[:, None]
    if _arrays.is_torch(table):
        sequence, ids = sequence.to(table.device), ids.long()
    found = _double(table[sequence, ids.clip(0, rows - 1)][:, :, None])
    known = ((ids >= 0) & (ids < rows))[:, :, None, None]
    return _arrays.namespace(table).where(known, found, float("nan"))


def _rotate(x: Array, cos: Array, sin: Array, first: slice, second: slice) -> Array:
    out = x.clone() if _arrays.is_torch(x) else x.copy()
    a, b = _double(x[..., first]), _double(x[..., second])
    out[..., first] = a * cos - b * sin
    out[..., second] = b * cos + a * sin
    return out
