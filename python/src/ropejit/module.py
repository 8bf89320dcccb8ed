"""The rotation as a module."""

from __future__ import annotations

import warnings
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np

from . import _arrays, _call, _handles, _models, _tensors
from ._arrays import Array
from .functional import rotate

try:
    from torch.nn import Module as _Base
except ImportError:

    class _Base:
        def __call__(self, *args, **kwargs):
            return self.forward(*args, **kwargs)

        def __repr__(self):
            return f"{type(self).__name__}({self.extra_repr()})"


#: Rows that a table may grow to, unless it is made longer: 64 MiB for 128 dimensions.
_MOST_ROWS = 131_072


class RotaryEmbedding(_Base):
    """Rotates q and k by the positions of their tokens.

    Pair i of a head turns by ``position * base**(-2 * i / rotary_dim)`` radians (Su et al. 2021,
    RoFormer, equation 15). A torch.nn.Module where PyTorch is installed, without parameters and
    without an entry in its state_dict. Threads may share it.

    Args:
        dim: elements of a head; even.
        max_seq_len: rows that a table begins with. Longer sequences make it grow, up to 131,072
            rows; positions beyond take exact angles.
        base: the base of the frequencies; at least 1.
        layout: "interleaved" or "sequential"; see :func:`ropejit.apply_rope`.
        rotary_dim: leading elements of a head that rotate; all of them unless given.
        angles: "table": by float32 cosines and sines of each position, computed in double. "exact":
            no table; the kernel computes the angle, exactly to 64 bits at any position. Offsets in
            an array, negative ones, position_ids, cu_seqlens and torch.compile take exact angles
            either way, so positions may have any values.

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
        rotary_dim = dim if rotary_dim is None else rotary_dim
        if dim < 2 or dim % 2 != 0:
            raise ValueError(f"dim = {dim}: must be even and at least 2")
        if rotary_dim < 2 or rotary_dim % 2 != 0 or rotary_dim > dim:
            raise ValueError(f"rotary_dim = {rotary_dim}: must be even, from 2 to dim = {dim}")
        rotary = _handles.plain_angles(rotary_dim, float(base))
        self._set(dim, max_seq_len, float(base), layout, rotary_dim, angles, rotary)

    @classmethod
    def from_config(
        cls,
        config: Any,
        layer_type: Optional[str] = None,
        *,
        angles: str = "exact",
        layout: Optional[str] = None,
    ) -> "RotaryEmbedding":
        """The rotary embedding of a model that Hugging Face's transformers describe.

        Every scaling that the library knows: linear, NTK, dynamic NTK, YaRN, LongRoPE, Llama 3,
        proportional; with the layout, rotary_dim and attention factor of the model's family.

        Args:
            config: a transformers config object, a dict, the text of a config.json, or the path of
                one or of its folder.
            layer_type: which layers, where they differ, such as "sliding_attention".
            angles: as in the constructor. "table" is refused for frequencies that depend on the
                length of the sequence (dynamic NTK, LongRoPE).
            layout: another layout than the family's, for weights that were permuted. Where the
                library does not know the family, it warns that it assumes "sequential".

        Raises:
            ValueError: the config, the scaling or the layer type is not one that can be served; the
                message names the field.
            OSError: the file cannot be read.
        """
        model = _models.read(config)
        rotary = _models.choose(model, layer_type)
        if angles == "table" and rotary.depends_on_length:
            raise ValueError(
                "angles = 'table': the frequencies depend on the length of the sequence: "
                "must be 'exact'"
            )
        if layout is None and model["layout_reason"].startswith("assumed"):
            reason = model["layout_reason"]
            warnings.warn(f"layout = {model['layout']!r}: {reason}; pass layout=", stacklevel=2)
        self = cls.__new__(cls)
        self._set(
            model["head_dim"], model["max_position_embeddings"] or 2048,
            rotary.fields().get("rope_theta", 10000.0), layout or model["layout"],
            model["rotary_dim"], angles, _handles.angles_text(rotary),
            (model["q_heads"], model["kv_heads"]),
        )  # fmt: skip
        return self

    def _set(self, dim, max_seq_len, base, layout, rotary_dim, angles, rotary, heads=None) -> None:
        super().__init__()
        if max_seq_len < 0:
            raise ValueError(f"max_seq_len = {max_seq_len}: must not be negative")
        if angles not in ("table", "exact"):
            raise ValueError(f"angles = {angles!r}: must be 'table' or 'exact'")
        _handles.layout_name(layout)
        self.dim = dim
        self.max_seq_len = max_seq_len
        self.base = base
        self.layout = layout
        self.rotary_dim = rotary_dim
        self.angles = angles
        self._rotary = rotary
        self._depends_on_length = _handles.rotary_of(rotary).depends_on_length
        self._heads: Optional[Tuple[int, int]] = heads  # of the model's q and k
        self._forget()

    def _forget(self) -> None:
        """What was made for calls so far; a copy makes its own."""
        self._tables: Dict[Any, Tuple[Array, Array]] = {}  # by device; None: NumPy's
        # Handles and table of the last call with one: the next one may have them too.
        self._last: Tuple[Any, Optional[Array], Optional[Array]] = (None, None, None)
        if self._heads is not None:
            for angles in (self._rotary, _handles.TABLE):
                _handles.ropes_of(angles).expect_heads(*self._heads)
        self._exact = None if self._depends_on_length else _handles.ropes_of(self._rotary)

    def forward(
        self,
        q: Optional[Array],
        k: Optional[Array] = None,
        seq_len: Optional[int] = None,
        offset: Union[int, Array] = 0,
        position_ids: Optional[Array] = None,
        *,
        cu_seqlens: Optional[Array] = None,
        inverse: bool = False,
    ) -> Tuple[Optional[Array], Optional[Array]]:
        """Rotates q and k; the results are new arrays.

        Args:
            q: [batch, seq, heads, dim], or [tokens, heads, dim] for a batch of 1, of float32,
                float16 or bfloat16, or None.
            k: the same with as many heads as it likes (GQA), or None.
            seq_len: accepted as other modules have it; at least q's number of tokens. Where the
                frequencies depend on the length of the sequence, it is that length; unless given,
                the greatest position and one, for which an offset or ids on a GPU are waited for.
            offset: the position of token 0: what a KV cache holds already. May be negative. Or an
                array of one for each sequence, [batch], where q is: read when the kernel runs, so a
                CUDA graph that is replayed heeds what it holds then.
            position_ids: [batch, seq], [1, seq] or [seq] of int32 or int64, any values, in place of
                an offset.
            cu_seqlens: [sequences + 1], the bounds of sequences in flat tokens; see
                :func:`ropejit.apply_rope`.
            inverse: turn back.

        Returns:
            q and k rotated, with None for an absent one.

        Raises:
            ValueError, TypeError: as :func:`ropejit.apply_rope`, naming the argument.
        """
        return self._call(q, k, seq_len, offset, position_ids, cu_seqlens, inverse, False)

    def rotate_(
        self,
        q: Optional[Array],
        k: Optional[Array] = None,
        seq_len: Optional[int] = None,
        offset: Union[int, Array] = 0,
        position_ids: Optional[Array] = None,
        *,
        cu_seqlens: Optional[Array] = None,
        inverse: bool = False,
    ) -> Tuple[Optional[Array], Optional[Array]]:
        """As forward(), but in place: returns q and k themselves, rotated."""
        return self._call(q, k, seq_len, offset, position_ids, cu_seqlens, inverse, True)

    def extra_repr(self) -> str:
        """What repr() prints between the brackets."""
        scaling = _handles.rotary_of(self._rotary).fields()["rope_type"]
        return (
            f"dim={self.dim}, max_seq_len={self.max_seq_len}, base={self.base}, "
            f"layout={self.layout!r}, rotary_dim={self.rotary_dim}, angles={self.angles!r}"
            + ("" if scaling == "default" else f", scaling={scaling!r}")
        )

    def __getstate__(self) -> Dict[str, Any]:
        made = ("_tables", "_last", "_exact")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _call(self, q, k, seq_len, offset, position_ids, cu_seqlens, inverse, in_place):
        if not _tensors.is_compiling():
            by_table = self.angles == "table" and position_ids is None and cu_seqlens is None
            ropes, cos, sin = self._last if by_table else (self._exact, None, None)
            done = ropes is not None and ropes.rotate_tensors(
                q, k, cos, sin, position_ids, offset, cu_seqlens, self.layout, self.rotary_dim,
                inverse, 0, in_place, self.dim, seq_len,
            )  # fmt: skip
            if done:
                return done
        tokens = self._tokens(q if q is not None else k, seq_len)
        angles, cos, sin, length = self._rotary, None, None, 0
        if self._depends_on_length:
            by_offset = type(offset) is int and position_ids is None and cu_seqlens is None
            least = max(offset + tokens, 0) if by_offset else 0
            length = max(seq_len or 0, least) or _call.LENGTH_OF_POSITIONS
        elif self.angles == "table" and position_ids is None and cu_seqlens is None:
            table = self._table(q if q is not None else k, offset, tokens)
            if table is not None:
                angles, (cos, sin) = _handles.TABLE, table
                self._last = (_handles.table_ropes, cos, sin)
        return rotate(
            angles, q, k, cos, sin, position_ids, offset, cu_seqlens, self.layout, self.rotary_dim,
            inverse, length, in_place,
        )  # fmt: skip

    def _tokens(self, leader, seq_len) -> int:
        if leader is None:
            raise ValueError("q and k: at least one of them must be given")
        shape = getattr(leader, "shape", None)
        if shape is None:
            raise TypeError(f"q or k: a {type(leader).__name__}: must be an array")
        if len(shape) not in (3, 4) or shape[-1] != self.dim:
            raise ValueError(
                f"q or k: shape {list(shape)}: must be [batch, seq, heads, dim] or "
                f"[tokens, heads, dim], dim = {self.dim}"
            )
        tokens = shape[-3]
        if seq_len is not None and seq_len < tokens:
            raise ValueError(f"seq_len = {seq_len}: must be at least q's {tokens} tokens")
        return tokens

    def _most_rows(self) -> int:
        return max(self.max_seq_len, _MOST_ROWS)

    def _table(self, leader: Array, offset, tokens: int) -> Optional[Tuple[Array, Array]]:
        """With the rows of these positions, where `leader` is; None if there is to be none."""
        if type(offset) is not int or _tensors.is_compiling():
            return None
        rows = offset + tokens
        if offset < 0 or rows > self._most_rows():
            return None
        device = leader.device if _arrays.is_torch(leader) else None
        table = self._tables.get(device)
        if table is None or table[0].shape[0] < rows:
            length = self.max_seq_len if table is None else 2 * table[0].shape[0]
            length = max(min(length, self._most_rows()), rows)
            table = _make_table(length, _handles.rotary_of(self._rotary), leader)
            self._tables[device] = table
        return table


def _make_table(rows: int, rotary, leader: Array) -> Tuple[Array, Array]:
    cos, sin = (np.empty((rows, rotary.pairs), np.float32) for _ in range(2))
    rotary.fill_table(cos, sin)
    if _arrays.is_torch(leader):
        from_numpy = _arrays.namespace(leader).from_numpy
        return from_numpy(cos).to(leader.device), from_numpy(sin).to(leader.device)
    if _arrays.is_cupy(leader):
        asarray = _arrays.namespace(leader).asarray
        return asarray(cos), asarray(sin)
    return cos, sin
