"""Angles as a table in attention itself, which marks them as a patched model's.

Importing this module imports PyTorch.
"""

from __future__ import annotations

import copy

import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_map_only

from .functional import apply_rope


class Table(torch.Tensor):
    """A patched attention's buffer, and whatever attention makes of it: rows, casts, halves."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        # An operator itself is called by a compiled graph, whose code takes plain tensors only.
        if isinstance(func, OpOverload):
            args, kwargs = tree_map_only(Table, _plain, (args, kwargs or {}))
            return func(*args, **kwargs)
        return super().__torch_function__(func, types, args, kwargs)

    def __deepcopy__(self, memo):
        return copy.deepcopy(_plain(self), memo).as_subclass(Table)


def rotate_by_table(x, cos, sin):
    """x: [batch, seq, heads, rotary_dim]; cos and sin: [batch or 1, seq, rotary_dim / 2]."""
    # To the wider dtype, as a product with the table would be.
    x = x.to(torch.promote_types(x.dtype, sin.dtype))
    # torch.compile has no as_subclass(torch.Tensor); without the marker's rules detach() is plain.
    with torch._C.DisableTorchFunctionSubclass():
        cos, sin = (torch.Tensor.detach(angles).float() for angles in (cos, sin))
    return apply_rope(x, None, cos, sin, layout="interleaved")[0]


def mark(attention, name: str) -> None:
    """Its buffer `name`, in the same memory, is a Table."""
    attention._buffers[name] = attention._buffers[name].as_subclass(Table)


def unmark(attention, name: str) -> None:
    """Undoes mark(); somebody may have put another tensor there since."""
    table = attention._buffers.get(name)
    if isinstance(table, Table):
        attention._buffers[name] = _plain(table)


def _plain(table: Table) -> torch.Tensor:
    return table.as_subclass(torch.Tensor)
