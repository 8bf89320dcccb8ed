"""The rotation as functions, by a table of cosines and sines."""

from __future__ import annotations

from typing import Optional, Tuple, Union

import numpy as np

from . import _arrays, _call, _handles, _tensors
from ._arrays import Array
from .reference import rope_reference

_BACKENDS = (None, "cuda", "reference")


def build_rope_cache(
    seq_len: int, head_dim: int, base: float = 10000.0, device=None, dtype=None
) -> Tuple[Array, Array]:
    """Cosines and sines of positions 0 to seq_len - 1, for :func:`apply_rope`.

    ``cos[p, i] = cos(p * base**(-2 * i / head_dim))`` and likewise ``sin``: angles in radians, of
    Su et al. 2021 (RoFormer), equation 15. Phases are exact 64-bit fixed point and cosines double,
    whatever the dtype; the result is rounded once.

    Args:
        seq_len: rows, at least 0.
        head_dim: elements of a head that rotate; even. Pass rotary_dim where it is smaller.
        base: the base of the frequencies, called theta by some; at least 1.
        device: of PyTorch; the tables are then tensors there.
        dtype: of PyTorch or NumPy. float32 unless given; a NumPy dtype makes NumPy arrays.

    Returns:
        cos and sin, each [seq_len, head_dim / 2]. Tensors where PyTorch is installed and the dtype
        is not NumPy's, else NumPy arrays.

    Raises:
        ValueError: a number is out of its range, or a device is given without PyTorch.
        TypeError: the dtype is not one of floating point.
    """
    torch = _torch_for(device, dtype)
    if seq_len < 0:
        raise ValueError(f"seq_len = {seq_len}: must not be negative")
    if head_dim < 2 or head_dim % 2 != 0:
        raise ValueError(f"head_dim = {head_dim}: must be even and at least 2")
    _check_floating(torch, dtype)
    wide = np.float32 if dtype is None or dtype == (torch or np).float32 else np.float64
    cos, sin = (np.empty((seq_len, head_dim // 2), wide) for _ in range(2))
    _handles.rotary_of(_handles.plain_angles(head_dim, float(base))).fill_table(cos, sin)

    def deliver(table):
        if torch is None:
            return table.astype(dtype or np.float32, copy=False)
        return torch.from_numpy(table).to(device=device, dtype=dtype or torch.float32)

    return deliver(cos), deliver(sin)


def apply_rope(
    q: Optional[Array],
    k: Optional[Array],
    cos: Array,
    sin: Array,
    backend: Optional[str] = None,
    *,
    layout: str = "interleaved",
    rotary_dim: Optional[int] = None,
    offset: Union[int, Array] = 0,
    position_ids: Optional[Array] = None,
    cu_seqlens: Optional[Array] = None,
    inverse: bool = False,
) -> Tuple[Optional[Array], Optional[Array]]:
    """Rotates q and k by the angles of a table; the results are new arrays.

    A pair (x, y) of the head becomes ``(x * cos - y * sin, y * cos + x * sin)`` with the row of its
    token's position and the column of its pair (Su et al. 2021, RoFormer, section 3.2.2). The
    arithmetic is float32 on a GPU and double on the CPU, rounded once.

    Tensors of PyTorch record gradients for q and k: the backward is the inverse rotation, and has
    a backward of its own. torch.compile and torch.func take the call as one operator.

    Args:
        q: [batch, seq, heads, head_dim], or [tokens, heads, head_dim] for a batch of 1; of float32,
            float16 or bfloat16, with any strides. Or None, to rotate k alone.
        k: the same with as many heads as it likes (GQA), or None.
        cos: [rows, rotary_dim / 2] or, with a table for each sequence, [batch, rows,
            rotary_dim / 2]; float32. Row p is that of position p. Copied first if it has gaps
            between elements, or lies otherwise than sin.
        sin: likewise.
        backend: None: the kernel of the device that q is on. "cuda": the same, but refuses the CPU.
            "reference": :func:`rope_reference`.
        layout: which elements pair: "interleaved" (2i and 2i + 1: GPT-J, Cohere, GLM) or
            "sequential" (i and i + rotary_dim / 2: GPT-NeoX and the Hugging Face Llama, Qwen,
            Gemma), or another of the field's names for the two.
        rotary_dim: leading elements of a head that rotate; the others are passed on. Twice the
            columns of cos unless given.
        offset: the position of token 0; or an array of one for each sequence, [batch], of int32 or
            int64 where q is, read when the kernel runs. There, a position without a row makes the
            token's rotary part NaN.
        position_ids: [batch, seq], [1, seq] or [seq] of int32 or int64: the position of each token,
            in place of an offset. A position without a row makes the token's rotary part NaN.
        cu_seqlens: [sequences + 1] of int32 or int64, ascending from 0: sequence i has the tokens
            cu_seqlens[i] to cu_seqlens[i + 1] - 1 of flat q and k, and its positions begin at 0 or
            at offset[i]. Tokens of no sequence are not written: in a new array they are undefined.
        inverse: turn back: the inverse, and the gradient, of the rotation.

    Returns:
        q and k rotated, with None for an absent one. Of q's kind, for PyTorch, CuPy, NumPy and, on
        the CPU, JAX; NumPy arrays for others on the CPU.

    Raises:
        ValueError: a shape, stride, device or number is wrong; it names the argument.
        TypeError: a dtype is wrong, or something is no array; it names the argument.
    """
    if backend is None and not _tensors.is_compiling():
        done = _handles.table_ropes.rotate_tensors(
            q, k, cos, sin, position_ids, offset, cu_seqlens, layout, rotary_dim, inverse, 0, False
        )
        if done is not None:
            return done
    if _takes_reference(backend, q if q is not None else k):
        return rope_reference(
            q, k, cos, sin, layout=layout, rotary_dim=rotary_dim, offset=offset,
            position_ids=position_ids, cu_seqlens=cu_seqlens, inverse=inverse,
        )  # fmt: skip
    return rotate(
        _handles.TABLE, q, k, cos, sin, position_ids, offset, cu_seqlens, layout, rotary_dim,
        inverse, 0, in_place=False,
    )  # fmt: skip


def apply_rope_(
    q: Optional[Array],
    k: Optional[Array],
    cos: Array,
    sin: Array,
    backend: Optional[str] = None,
    *,
    layout: str = "interleaved",
    rotary_dim: Optional[int] = None,
    offset: Union[int, Array] = 0,
    position_ids: Optional[Array] = None,
    cu_seqlens: Optional[Array] = None,
    inverse: bool = False,
) -> Tuple[Optional[Array], Optional[Array]]:
    """As :func:`apply_rope`, but in place: returns q and k themselves, rotated.

    Raises ValueError also for a read-only array and for backend "reference"; and, as PyTorch does
    for its own in-place operations, RuntimeError for a leaf that requires grad.
    """
    if backend is None and not _tensors.is_compiling():
        done = _handles.table_ropes.rotate_tensors(
            q, k, cos, sin, position_ids, offset, cu_seqlens, layout, rotary_dim, inverse, 0, True
        )
        if done is not None:
            return done
    if _takes_reference(backend, q if q is not None else k):
        raise ValueError("backend = 'reference': has no in-place version")
    return rotate(
        _handles.TABLE, q, k, cos, sin, position_ids, offset, cu_seqlens, layout, rotary_dim,
        inverse, 0, in_place=True,
    )  # fmt: skip


def rotate(
    angles, q, k, cos, sin, position_ids, offset, cu_seqlens, layout, rotary_dim, inverse, length,
    in_place,
) -> Tuple[Optional[Array], Optional[Array]]:  # fmt: skip
    """Any call, by a table, or by angles of _handles; `length` is for those that depend on it."""
    leader = q if q is not None else k
    if leader is None:
        raise ValueError("q and k: at least one of them must be given")
    offset, offsets = _arrays.split_offset(offset, leader)
    if rotary_dim is None:
        rotary_dim = 0
    else:
        rotary_dim = _arrays.integer("rotary_dim", rotary_dim)
        if not 2 <= rotary_dim <= 1024 or rotary_dim % 2 != 0:
            raise ValueError(f"rotary_dim = {rotary_dim}: must be even, from 2 to 1024")
    rotate_kind = _tensors.rotate if _arrays.is_torch(leader) else _call.rotate_arrays
    return rotate_kind(
        angles, q, k, cos, sin, position_ids, offsets, cu_seqlens, layout, rotary_dim, inverse,
        offset, length, in_place=in_place,
    )  # fmt: skip


def _takes_reference(backend: Optional[str], leader: Array) -> bool:
    if backend is None:
        return False
    if backend not in _BACKENDS:
        raise ValueError(f"backend = {backend!r}: must be None, 'cuda' or 'reference'")
    if backend == "cuda" and leader is not None and not _arrays.is_on_cuda(leader):
        raise ValueError("backend = 'cuda': q and k must be on a CUDA device")
    return backend == "reference"


def _torch_for(device, dtype):
    """PyTorch if a table is to be made of tensors, else None."""
    if device is None and dtype is not None and type(dtype).__module__ != "torch":
        return None
    try:
        import torch
    except ImportError:
        if device is None:
            return None
        raise ValueError(f"device = {device}: needs PyTorch, which is not installed") from None
    return torch


def _check_floating(torch, dtype) -> None:
    if dtype is None:
        return
    if torch is not None:
        floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
    else:
        floating = np.issubdtype(np.dtype(dtype), np.floating)
    if not floating:
        raise TypeError(f"dtype = {dtype}: must be one of floating point, of PyTorch or NumPy")
