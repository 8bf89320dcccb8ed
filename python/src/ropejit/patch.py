"""ropejit's rotation in the place of a Hugging Face model's own."""

from __future__ import annotations

import copy
import inspect
import threading
import warnings
from typing import (
    TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple, TypeVar,
)  # fmt: skip

from ._dispatchers import FUNCTION, Positions, Rotation, form_of, function_of, release

if TYPE_CHECKING:
    import torch

_Model = TypeVar("_Model", bound="torch.nn.Module")

# One patch() or unpatch() at a time.
_lock = threading.RLock()


def patch(model: _Model) -> _Model:
    """Makes a model of Hugging Face transformers (version 5) rotate by ropejit.

    Each module `rotary_emb` in the model hands positions instead of cosines and sines to attention,
    and the ``apply_rotary_pos_emb`` of the modeling module passes them on to a
    :class:`RotaryEmbedding` with exact angles, made from the model's config. Other models in the
    process are not affected, nor are parameters, buffers and the state_dict. Copies and pickles of
    the model are patched as it is. Gradients, KV caches, left-padded batches and torch.compile work
    as before; a compiled model is compiled again when it runs next.

    Every rotation is first compared with the model's own, on the CPU and in float32; nothing is
    replaced where they differ. ropejit's frequencies are not rounded to the model's dtype, as some
    models' own are (all of them after ``model.to(torch.bfloat16)``, GPT-J's whenever it is loaded
    in bfloat16): for float16 and bfloat16 the comparison is with a new ``rotary_emb`` of the
    config, and with the model's own as far as rounding goes.

    Dynamic NTK goes by the length of the sequence at hand; transformers keeps the frequencies of a
    longer one met before, until one comes that is within the trained context.

    Args:
        model: a model, or whatever contains some (an adapter's wrapper, a compiled model). A part
            of it that is patched already stays as it is.

    Returns:
        The model itself.

    Raises:
        TypeError: `model` is no torch.nn.Module.
        ValueError: nothing in it can be patched; the message says what is missing, or for which
            model_type the rotations differ and by how much. The model is left untouched. Where only
            some of its rotary embeddings can be patched, the others are named in a warning.

    Thread safety: calls may come from several threads, but not while the model runs. Cost: some
    milliseconds; a forward pass then makes no cosines and sines, and one call of a kernel for each
    layer's q and k.
    """
    with _lock:
        targets, reasons, patched = [], [], False
        for name, owner, rotary in _rotary_modules(model):
            if _positions_of(rotary) is not None:
                patched = True
                continue
            try:
                targets.append(_target(owner, rotary))
            except (ValueError, TypeError, NotImplementedError) as error:
                reasons.append(f"{name}: {error}")
        if not targets and not patched:
            raise ValueError("model: " + ("; ".join(reasons) or "has no module named rotary_emb"))
        if reasons:
            warnings.warn("ropejit.patch leaves as it is " + "; ".join(reasons), stacklevel=2)
        for target in targets:
            before = vars(target.rotary).get("forward")
            target.rotary.forward = Positions(target.rotations, target.modules, before)
    return model


def unpatch(model: _Model) -> _Model:
    """Undoes :func:`patch`: the model computes what it did before, bit by bit.

    The modeling modules' ``apply_rotary_pos_emb`` are the original objects again as soon as no
    patched model of theirs is left. A model that is not patched is left as it is.

    Args:
        model: as for :func:`patch`; its parts are found the same way.

    Returns:
        The model itself.

    Raises:
        TypeError: `model` is no torch.nn.Module.

    Thread safety and cost: as :func:`patch`, but without the comparison.
    """
    with _lock:
        for _, _, rotary in _rotary_modules(model):
            attributes = vars(rotary)
            positions = _positions_of(rotary)
            if positions is None:
                continue
            if attributes.get("forward") is not positions:
                own = type(rotary).forward.__get__(rotary)
                attributes["_old_forward"] = positions.before or own
            elif positions.before is None:
                del rotary.forward
            else:
                rotary.forward = positions.before
            release(positions)
    return model


def _rotary_modules(model) -> Iterator[Tuple[str, Any, Any]]:
    """Each rotary_emb in the model, and others of its class: name, module that has it, itself."""
    from torch.nn import Module

    if not isinstance(model, Module):
        raise TypeError(f"model: a {type(model).__name__}: must be a torch.nn.Module")
    names = {id(module): name for name, module in model.named_modules()}
    seen: Set[int] = set()
    for owner in model.modules():
        rotary_emb = owner._modules.get("rotary_emb")
        if rotary_emb is None:
            continue
        for module in _part(owner):
            if type(module) is type(rotary_emb) and id(module) not in seen:
                seen.add(id(module))
                yield names[id(module)], owner, module


def _part(owner) -> Iterator[Any]:
    """The modules that `owner`'s rotary_emb is for: all but those that have, or are beneath one
    that has, a rotary_emb of its own."""
    pending = [owner]
    while pending:
        module = pending.pop()
        yield module
        for child in module._modules.values():
            if child is not None and child._modules.get("rotary_emb") is None:
                pending.append(child)


def _positions_of(rotary) -> Optional[Positions]:
    # accelerate's hooks keep the forward that they wrap as _old_forward.
    for name in ("forward", "_old_forward"):
        if isinstance(vars(rotary).get(name), Positions):
            return vars(rotary)[name]
    return None


class _Target(NamedTuple):
    rotary: Any
    rotations: Dict[Optional[str], Rotation]
    modules: Tuple[str, ...]


def _target(owner, rotary) -> _Target:
    """What to patch. ValueError and the like, with the reason, for what cannot be."""
    from .module import RotaryEmbedding

    config = getattr(rotary, "config", None) or getattr(owner, "config", None)
    if config is None:
        raise ValueError("neither it nor the module that has it has a config")
    modules = _modeling_modules(owner)
    rotations = {}
    for layer_type in _layer_types(rotary, config):
        rope = RotaryEmbedding.from_config(config, layer_type=layer_type)
        rotations[layer_type] = Rotation(rope)
    for module in modules:
        _check(owner, rotary, function_of(module), rotations, config)
    return _Target(rotary, rotations, modules)


def _layer_types(rotary, config) -> List[Optional[str]]:
    """What rotary_emb is called with besides position_ids; [None] where that is all."""
    names = list(inspect.signature(type(rotary).forward).parameters)
    if names[2:] == ["position_ids"]:
        return [None]
    if names[2:] != ["position_ids", "layer_type"]:
        raise ValueError(
            f"its forward({', '.join(names[1:])}): must take an input, position_ids and at most a"
            " layer_type"
        )
    types = getattr(rotary, "layer_types", None) or getattr(config, "layer_types", None)
    if not types:
        raise ValueError("its forward takes a layer_type, and the config has no layer_types")
    parameters = getattr(config, "rope_parameters", None) or {}
    return [name for name in sorted(set(types)) if parameters.get(name) is not None]


def _modeling_modules(owner) -> Tuple[str, ...]:
    """The modules of the attention that `owner`'s rotary_emb is for."""
    found: Set[str] = set()
    for module in _part(owner):
        calls = set(_rotary_calls(type(module)))
        names = {name for _, name in calls}
        if FUNCTION not in names:
            continue
        if names != {FUNCTION}:
            others = ", ".join(sorted(names - {FUNCTION}))
            raise ValueError(f"{type(module).__name__} also calls {others}")
        found |= {where for where, _ in calls}
    if not found:
        raise ValueError(f"no attention in {type(owner).__name__} calls {FUNCTION}")
    return tuple(sorted(found))


def _rotary_calls(cls) -> Iterator[Tuple[str, str]]:
    """Functions that rotate, by their names, which the class's methods use: module and name.

    The module is that of the method, which for a subclass may be another than the class's.
    """
    for base in cls.__mro__:
        for member in vars(base).values():
            method = inspect.unwrap(member)
            code = getattr(method, "__code__", None)
            if code is None or not hasattr(method, "__globals__"):
                continue
            for name in code.co_names:
                is_rotary = "rotary" in name or name.startswith("rotate_")
                if is_rotary and callable(method.__globals__.get(name)):
                    yield method.__globals__["__name__"], name


def _check(owner, rotary, function, rotations, config) -> None:
    """ValueError if `rotations` are not what rotary_emb and apply_rotary_pos_emb compute."""
    rounding = _rounding(owner, rotary)
    is_meta = any(buffer.is_meta for buffer in rotary.buffers())
    if not is_meta:
        _compare(copy.deepcopy(rotary).to("cpu"), function, rotations, config, rounding)
    if is_meta or rounding > 0:
        import torch

        with torch.device("cpu"):
            new = type(rotary)(config)
        _compare(new, function, rotations, config, 0.0)


def _rounding(owner, rotary) -> float:
    """What rotary_emb's frequencies may be off by for the sake of a dtype.

    model.to(torch.bfloat16) rounds every buffer; GPT-J computes its frequencies in the dtype that
    the model is loaded with.
    """
    import torch

    narrow = (torch.float16, torch.bfloat16)
    tensors = [*owner.parameters(), *rotary.buffers()]
    return max((torch.finfo(t.dtype).eps for t in tensors if t.dtype in narrow), default=0.0)


def _compare(rotary, function, rotations, config, rounding: float) -> None:
    """Compares at positions near 0, tightly, and at far ones, where slow pairs have turned too."""
    import torch

    # Below the trained context: dynamic NTK's rotary_emb remembers longer ones that it has met.
    length = max(1, min(getattr(config, "max_position_embeddings", None) or 32, 4096) - 1)
    near = list(range(min(length, 8)))
    far = list(range(max(0, length - 8), length))[-len(near) :]
    position_ids = torch.tensor([near, far], device="cpu")
    # The model's angles are float32 products, which are off by more at higher positions.
    limits = 1e-4 + (1e-6 + rounding) * (1 + position_ids[:, :, None, None])
    form = form_of(function)
    random = torch.Generator("cpu").manual_seed(0)
    for layer_type, rotation in rotations.items():
        which = () if layer_type is None else (layer_type,)
        compared = False
        for width in rotation.widths:
            shape = (2, 2, 2, len(near), width)
            q, k = torch.rand(shape, generator=random, device="cpu", dtype=torch.float32) * 2 - 1
            if form.unsqueeze_dim == 2:
                q, k = q.transpose(1, 2), k.transpose(1, 2)
            with torch.no_grad():
                angles = type(rotary).forward(rotary, q, position_ids, *which)
                try:
                    wanted = function(q, k, *angles) if form.takes_pair else (
                        function(q, *angles), function(k, *angles)
                    )  # fmt: skip
                except RuntimeError:
                    continue  # attention of this kind passes the other width only
                actual = rotation.rotate(q, k, position_ids, form.unsqueeze_dim)
            compared = True
            for one, other in zip(wanted, actual):
                difference = (one - other).abs()  # to [batch, seq, heads, width]
                if form.unsqueeze_dim == 1:
                    difference = difference.transpose(1, 2)
                if not bool((difference <= limits).all()):
                    worst = position_ids[:, :, None, None].expand_as(difference).flatten()
                    raise ValueError(
                        f"model_type {config.model_type!r}: its rotation and ropejit's differ by"
                        f" {difference.max().item():.3g}, for elements within 1 of 0, at position"
                        f" {worst[difference.argmax()].item()}"
                        + (f", layer_type {layer_type!r}" if which else "")
                    )
        if not compared:
            raise ValueError(
                f"model_type {config.model_type!r}: its {FUNCTION} takes none of the widths"
                f" {list(rotation.widths)}"
            )
