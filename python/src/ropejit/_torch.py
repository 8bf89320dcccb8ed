"""The rotation of PyTorch tensors: at once where nobody watches, else as an operator of PyTorch.

The operators ropejit::rotate and ropejit::rotate_ have a version for fake tensors, so torch.compile
takes them into its graphs; a backward, which is the inverse rotation; and a rule for torch.vmap.
Importing this module imports PyTorch, of version 2.5 or later.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import _call, _core, _handles

is_compiling = torch.compiler.is_compiling
_transforms_active = torch._C._are_functorch_transforms_active


#: Of an operator's inputs that mean no more than they hold.
_PLAIN_TYPES = {Tensor, torch.nn.Parameter, type(None), str, int, bool}


def _current_stream(device: int) -> int:
    return torch.cuda.current_stream(device).cuda_stream


def _increment_versions():
    """What counts a write of each of some tensors; if it can be, no Python function."""
    try:
        torch._C._increment_version((torch.empty(0),))
        return torch._C._increment_version
    except (AttributeError, TypeError):
        return lambda tensors: [torch.autograd.graph.increment_version(x) for x in tensors]


_core.use_exchange_api(torch.Tensor)
_core.use_torch(
    {
        "tensor_type": torch.Tensor,
        "parameter_type": torch.nn.Parameter,
        "dispatch_modes": torch._C._len_torch_dispatch_stack,
        "transforms_active": _transforms_active,
        "forward_ad": forward_ad,
        "grad_enabled": torch.is_grad_enabled,
        "increment_versions": _increment_versions(),
        "empty_like": torch.empty_like,
        "current_stream": _current_stream,
    }
)

_INPUTS = (
    "Tensor? cos, Tensor? sin, Tensor? position_ids, Tensor? offsets, Tensor? cu_seqlens, "
    "str layout, int rotary_dim, bool inverse, SymInt offset, SymInt length"
)


def rotate(
    angles: str, q: Optional[Tensor], k: Optional[Tensor], *others, in_place: bool
) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """As _call.rotate_arrays(), for tensors."""
    if not is_compiling():
        *arrays, offsets, cu_seqlens, layout, rotary_dim, inverse, offset, length = others
        done = _handles.ropes_of(angles).rotate_tensors(
            q, k, *arrays, offset if offsets is None else offsets, cu_seqlens, layout,
            rotary_dim, inverse, length, in_place,
        )  # fmt: skip
        if done is not None:
            return done
    if in_place:
        return _rotate_watched(angles, q, k, *others)
    q_out, k_out = _operator(angles, q, k, *others)
    return (None if q is None else q_out), (None if k is None else k_out)


def _rotate_watched(angles, q, k, *others):
    """In place, where PyTorch has to know."""
    grad = torch.is_grad_enabled()
    records = grad and any(x is not None and x.requires_grad for x in (q, k))
    if is_compiling() and not records:
        torch.ops.ropejit.rotate_(angles, q, k, *others)
        return q, k
    if records and not is_compiling():
        _refuse_leaf("q", q)
        _refuse_leaf("k", k)
    q_out, k_out = _operator(angles, q, k, *others)
    if q is not None:
        q.copy_(q_out)
    if k is not None:
        k.copy_(k_out)
    return q, k


def _operator(*inputs):
    """ropejit::rotate; outside a graph in a form that costs autograd and torch.func less."""
    return torch.ops.ropejit.rotate(*inputs) if is_compiling() else _Rotation.apply(*inputs)


def _refuse_leaf(name: str, tensor: Optional[Tensor]) -> None:
    """What copy_() would refuse, before the first of two tensors has changed."""
    if tensor is None:
        return
    base = tensor._base if tensor._is_view() else None
    for what, leaf in (("a leaf", tensor), ("a view of a leaf", base)):
        if leaf is not None and leaf.requires_grad and leaf.is_leaf:
            raise RuntimeError(
                f"{name}: {what} Variable that requires grad is being used in an in-place operation"
            )


def _rotate_memory(angles, q, k, *others):
    q, k = (x if x is None else x.resolve_neg() for x in (q, k))
    q_out, k_out = _empty_outputs(q, k)
    _call.run(angles, q, k, None if q is None else q_out, None if k is None else k_out, *others)
    return q_out, k_out


_rotate = torch.library.custom_op(
    "ropejit::rotate",
    _rotate_memory,
    mutates_args=(),
    schema=f"(str angles, Tensor? q, Tensor? k, {_INPUTS}) -> (Tensor, Tensor)",
)


@torch.library.custom_op(
    "ropejit::rotate_",
    mutates_args=("q", "k"),
    schema=f"(str angles, Tensor(a!)? q, Tensor(b!)? k, {_INPUTS}) -> ()",
)
def _rotate_(angles, q, k, *others):
    _call.run(angles, q, k, q, k, *others)


@_rotate.register_fake
def _empty_of_fake(angles, q, k, *others):
    return _empty_outputs(q, k)


@_rotate_.register_fake
def _nothing_of_fake(angles, q, k, *others):
    return None


def _empty_outputs(q: Optional[Tensor], k: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
    """Operators return tensors: an absent one's has no elements."""
    if q is None and k is None:
        raise ValueError("q and k: at least one of them must be given")
    q_out = k.new_empty(0) if q is None else torch.empty_like(q)
    k_out = q.new_empty(0) if k is None else torch.empty_like(k)
    return q_out, k_out


def _setup_context(ctx, inputs, output) -> None:
    angles, q, k, cos, sin, position_ids, offsets, cu_seqlens, *numbers = inputs
    for name, table in (("cos", cos), ("sin", sin)):
        if table is not None and table.requires_grad:
            raise ValueError(f"{name}: requires grad: the rotation has no gradient for its table")
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(cos, sin, position_ids, offsets, cu_seqlens)
    ctx.save_for_forward(cos, sin, position_ids, offsets, cu_seqlens)
    ctx.angles, ctx.numbers, ctx.present = angles, numbers, (q is not None, k is not None)


def _backward(ctx, grad_q, grad_k):
    # The rotation is linear, and its transpose is the rotation by the negated angle.
    grad_q = grad_q if ctx.present[0] and ctx.needs_input_grad[1] else None
    grad_k = grad_k if ctx.present[1] and ctx.needs_input_grad[2] else None
    nothing = (None,) * 10
    if grad_q is None and grad_k is None:
        return (None, None, None, *nothing)
    layout, rotary_dim, inverse, offset, length = ctx.numbers
    q, k = _operator(
        ctx.angles, grad_q, grad_k, *ctx.saved_tensors, layout, rotary_dim, not inverse, offset,
        length,
    )  # fmt: skip
    return (None, None if grad_q is None else q, None if grad_k is None else k, *nothing)


_rotate.register_autograd(_backward, setup_context=_setup_context)


def _jvp(ctx, _, q_tangent, k_tangent, *others):
    return _operator(ctx.angles, q_tangent, k_tangent, *ctx.saved_tensors, *ctx.numbers)


def _vmap(info, in_dims, angles, q, k, cos, sin, position_ids, offsets, cu_seqlens, *numbers):
    """The mapped dimension becomes part of the batch."""
    if cu_seqlens is not None:
        raise ValueError("cu_seqlens: flat tokens cannot be mapped by torch.vmap")
    _, q_dim, k_dim, cos_dim, sin_dim, ids_dim, offsets_dim, *_ = in_dims
    shapes = [_shape_of_one(q, q_dim), _shape_of_one(k, k_dim)]
    q, k = _mapped(q, q_dim, info, 4), _mapped(k, k_dim, info, 4)
    batch = (q if q is not None else k).shape[1]

    def merge(x, dim, ndim):
        if x is None or (dim is None and x.dim() < ndim):
            return x  # all sequences share it
        x = _mapped(x, dim, info, ndim)
        return x.expand(info.batch_size, batch, *x.shape[2:]).flatten(0, 1)

    q_out, k_out = _operator(
        angles, merge(q, 0, 4), merge(k, 0, 4), merge(cos, cos_dim, 3), merge(sin, sin_dim, 3),
        merge(position_ids, ids_dim, 2), merge(offsets, offsets_dim, 1), None, *numbers,
    )  # fmt: skip
    outputs = [
        out if shape is None else out.reshape(info.batch_size, *shape)
        for out, shape in ((q_out, shapes[0]), (k_out, shapes[1]))
    ]
    return tuple(outputs), tuple(None if shape is None else 0 for shape in shapes)


def _shape_of_one(x: Optional[Tensor], dim: Optional[int]) -> Optional[Tuple[int, ...]]:
    """Without the mapped dimension."""
    if x is None or dim is None:
        return None if x is None else tuple(x.shape)
    return tuple(x.select(dim, 0).shape)


def _mapped(x: Optional[Tensor], dim: Optional[int], info, ndim: int) -> Optional[Tensor]:
    """With the mapped dimension first, and `ndim` dimensions behind it."""
    if x is None:
        return None
    x = x.unsqueeze(0) if dim is None else x.movedim(dim, 0)
    if x.dim() == ndim:
        x = x.unsqueeze(1)
    return x.expand(info.batch_size, *x.shape[1:])


_rotate.register_vmap(_vmap)


class _Rotation(torch.autograd.Function):
    """The operator with the same rules once more, where no graph is made of it."""

    @staticmethod
    def forward(*inputs):
        # Transforms of torch.func nest: the next one asks for this form too.
        if _transforms_active():
            return _Rotation.apply(*inputs)
        if torch._C._len_torch_dispatch_stack() or not _PLAIN_TYPES.issuperset(map(type, inputs)):
            return torch.ops.ropejit.rotate(*inputs)
        return _rotate_memory(*inputs)

    setup_context = staticmethod(_setup_context)
    backward = staticmethod(_backward)
    jvp = staticmethod(_jvp)
    vmap = staticmethod(_vmap)
