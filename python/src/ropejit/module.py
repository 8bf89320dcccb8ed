"""The rotation as a module."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import numpy as np

from . import _arrays, _handles
from ._arrays import Array
from .functional import _integer, _rotate, build_rope_cache

try:
    from torch.nn import Module as _Base
except ImportError:

    class _Base:  # type: ignore[no-redef]
        """Calls forward(), as a torch.nn.Module does."""

        def __call__(self, *args, **kwargs):
            return self.forward(*args, **kwargs)

        def extra_repr(self) -> str:
            return ""

        def __repr__(self) -> str:
            return f"{type(self).__name__}({self.extra_repr()})"


# That a table may grow to: 64 MiB for a head of 128.
_MOST_ROWS = 131_072


class RotaryEmbedding(_Base):
    """Rotates queries and keys by their positions. A torch.nn.Module where PyTorch is installed.

    Pair i of a token at position p turns by ``p * base**(-2 * i / rotary_dim)`` radians (Su et al.
    2021, RoFormer, equation 15). There are neither parameters nor buffers: a state_dict is empty,
    and ``.to()`` changes nothing, since tables are made where q is.

    Args:
        dim: elements of a head; even.
        max_seq_len: rows that a table begins with. Longer sequences make it grow, up to 131,072
            rows; positions beyond take exact angles.
        base: the base of the frequencies; at least 1.
        layout: "interleaved" or "sequential"; see :func:`ropejit.apply_rope`.
        rotary_dim: leading elements of a head that rotate; all of them unless given.
        angles: "table": by float32 cosines and sines of each position, computed in double. "exact":
            no table; the kernel computes the angle, exactly to 64 bits at any position. Negative
            offsets and position_ids take exact angles either way, so they may have any values.

    Raises:
        ValueError: an argument is out of its range; it is named.
    """

    def __init__(
        self,
        dim: int,
        max_seq_len: int = 2048,
        base: float = 10000.0,
        *,
        layout: str = "interleaved",
        rotary_dim: Optional[int] = None,
        angles: str = "table",
    ) -> None:
        super().__init__()
        rotary_dim = dim if rotary_dim is None else rotary_dim
        if dim < 2 or dim % 2 != 0:
            raise ValueError(f"dim = {dim}: must be even and at least 2")
        if rotary_dim < 2 or rotary_dim % 2 != 0 or rotary_dim > dim:
            raise ValueError(f"rotary_dim = {rotary_dim}: must be even, from 2 to dim = {dim}")
        if max_seq_len < 0:
            raise ValueError(f"max_seq_len = {max_seq_len}: must not be negative")
        if angles not in ("table", "exact"):
            raise ValueError(f"angles = {angles!r}: must be 'table' or 'exact'")
        _handles.parse_layout(layout)
        _handles.frequencies(rotary_dim, float(base))  # refuses a bad base
        self.dim = dim
        self.max_seq_len = max_seq_len
        self.base = float(base)
        self.layout = layout
        self.rotary_dim = rotary_dim
        self.angles = angles
        self._tables: Dict[Any, Tuple[Array, Array]] = {}  # by device; None: NumPy's

    def forward(
        self,
        q: Optional[Array],
        k: Optional[Array] = None,
        seq_len: Optional[int] = None,
        offset: int = 0,
        position_ids: Optional[Array] = None,
        *,
        inverse: bool = False,
    ) -> Tuple[Optional[Array], Optional[Array]]:
        """Rotates q and k; the results are new arrays.

        Args:
            q: [batch, seq, heads, dim] of float32, float16 or bfloat16, or None.
            k: the same with as many heads as it likes (GQA), or None.
            seq_len: accepted as other modules have it; at least q's number of tokens.
            offset: the position of token 0: what a KV cache holds already. May be negative.
            position_ids: [batch, seq], [1, seq] or [seq] of int32 or int64, any values, in place of
                an offset.
            inverse: turn back.

        Returns:
            q and k rotated, with None for an absent one.

        Raises:
            ValueError, TypeError: as :func:`ropejit.apply_rope`, naming the argument.
        """
        return self._call(q, k, seq_len, offset, position_ids, inverse, in_place=False)

    def rotate_(
        self,
        q: Optional[Array],
        k: Optional[Array] = None,
        seq_len: Optional[int] = None,
        offset: int = 0,
        position_ids: Optional[Array] = None,
        *,
        inverse: bool = False,
    ) -> Tuple[Optional[Array], Optional[Array]]:
        """As forward(), but in place: returns q and k themselves, rotated."""
        return self._call(q, k, seq_len, offset, position_ids, inverse, in_place=True)

    def extra_repr(self) -> str:
        """What repr() prints between the brackets."""
        return (
            f"dim={self.dim}, max_seq_len={self.max_seq_len}, base={self.base}, "
            f"layout={self.layout!r}, rotary_dim={self.rotary_dim}, angles={self.angles!r}"
        )

    def __getstate__(self) -> Dict[str, Any]:
        # A copy, pickled or not, makes its own tables.
        return {**self.__dict__, "_tables": {}}

    def _call(self, q, k, seq_len, offset, position_ids, inverse, in_place):
        leader = q if q is not None else k
        self._check(leader, seq_len)
        offset = _integer("offset", offset)
        rows = offset + leader.shape[1]
        in_table = 0 <= offset and rows <= self._most_rows() and position_ids is None
        if self.angles == "exact" or not in_table:
            ropes = _handles.exact_ropes(self.rotary_dim, self.base)
            cos = sin = None
        else:
            ropes = _handles.table_ropes
            cos, sin = self._table(leader, rows)
        return _rotate(
            ropes, q, k, cos, sin, self.layout, self.rotary_dim, offset, position_ids, inverse,
            in_place,
        )  # fmt: skip

    def _check(self, leader, seq_len) -> None:
        if leader is None:
            raise ValueError("q and k: at least one of them must be given")
        shape = getattr(leader, "shape", None)
        if shape is None:
            raise TypeError(f"q or k: a {type(leader).__name__}: must be an array")
        if len(shape) != 4 or shape[3] != self.dim:
            raise ValueError(
                f"q or k: shape {list(shape)}: must be [batch, seq, heads, dim], dim = {self.dim}"
            )
        if seq_len is not None and seq_len < shape[1]:
            raise ValueError(f"seq_len = {seq_len}: must be at least q's {shape[1]} tokens")

    def _most_rows(self) -> int:
        return max(self.max_seq_len, _MOST_ROWS)

    def _table(self, leader: Array, rows: int) -> Tuple[Array, Array]:
        """Of at least `rows` rows, where `leader` is."""
        device = leader.device if _arrays.is_torch(leader) else None
        table = self._tables.get(device)
        if table is None or table[0].shape[0] < rows:
            length = self.max_seq_len if table is None else 2 * table[0].shape[0]
            length = max(min(length, self._most_rows()), rows)
            table = _make_table(length, self.rotary_dim, self.base, leader)
            self._tables[device] = table
        return table


def _make_table(rows: int, rotary_dim: int, base: float, leader: Array) -> Tuple[Array, Array]:
    if _arrays.is_torch(leader):
        return build_rope_cache(rows, rotary_dim, base, device=leader.device)
    cos, sin = build_rope_cache(rows, rotary_dim, base, dtype=np.float32)
    if _arrays.is_cupy(leader):
        asarray = _arrays.namespace(leader).asarray
        return asarray(cos), asarray(sin)
    return cos, sin
