"""Where a model keeps its angles: what is there, and what patch() and unpatch() do to it.

There are two kinds of places: a module `rotary_emb`, whose results the model hands to attention,
and attention's own table, as GPT-J and CodeGen have it in older releases of transformers 5.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from ._comparison import check_rotary, check_table
from ._dispatchers import FUNCTION, Patched, Positions, Rotation, function_of

# Attention's buffer: [positions, rotary_dim], a row's sines before its cosines.
_BUFFER = "embed_positions"

# Attention's attribute that keeps the dispatcher alive. One of the buffer would be lost when the
# model moves to another device.
_KEEPER = "_ropejit"


class RotaryEmb(NamedTuple):
    """A module `rotary_emb`, or one beside it of its class."""

    name: str
    owner: Any
    module: Any

    def patched(self) -> Optional[Positions]:
        """What patch() has put there, if it has."""
        # accelerate's hooks keep the forward that they wrap as _old_forward.
        for name in ("forward", "_old_forward"):
            positions = getattr(vars(self.module).get(name), "__self__", None)
            if isinstance(positions, Positions):
                return positions
        return None

    def check(self) -> Tuple[Dict[Optional[str], Rotation], Tuple[str, ...]]:
        """What to patch it with. ValueError and the like, with the reason, if it cannot be."""
        from .module import RotaryEmbedding

        config = getattr(self.module, "config", None) or getattr(self.owner, "config", None)
        if config is None:
            raise ValueError("neither it nor the module that has it has a config")
        modules = _modeling_modules(self.owner)
        rotations = {}
        for layer_type in _layer_types(self.module, config):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an assumed layout: it is compared below
                rope = RotaryEmbedding.from_config(config, layer_type=layer_type)
            rotations[layer_type] = Rotation(rope)
        for module in modules:
            check_rotary(self.owner, self.module, function_of(module), rotations, config)
        return rotations, modules

    def patch(self, checked) -> None:
        self.module.forward = Positions(*checked, vars(self.module).get("forward")).angles

    def unpatch(self, positions: Positions) -> None:
        attributes = vars(self.module)
        if getattr(attributes.get("forward"), "__self__", None) is not positions:
            own = type(self.module).forward.__get__(self.module)
            attributes["_old_forward"] = positions.before or own
        elif positions.before is None:
            del self.module.forward
        else:
            self.module.forward = positions.before


class AttentionTable(NamedTuple):
    """Attention that takes its angles from a table of its own."""

    name: str
    attention: Any

    def patched(self) -> Optional[Patched]:
        """As RotaryEmb's, and so are the others."""
        return vars(self.attention).get(_KEEPER)

    def check(self) -> Tuple[str, ...]:
        modules = _modeling_modules(self.attention)
        table = self.attention._buffers[_BUFFER]
        for module in modules:
            check_table(type(self.attention).__name__, table, function_of(module))
        return modules

    def patch(self, modules: Tuple[str, ...]) -> None:
        from ._tables import mark

        setattr(self.attention, _KEEPER, Patched(modules))
        mark(self.attention, _BUFFER)

    def unpatch(self, patched: Patched) -> None:
        from ._tables import unmark

        unmark(self.attention, _BUFFER)
        delattr(self.attention, _KEEPER)


def places(model) -> Iterator[Union[RotaryEmb, AttentionTable]]:
    """All that the model has. TypeError if it is none."""
    from torch.nn import Module

    if not isinstance(model, Module):
        raise TypeError(f"model: a {type(model).__name__}: must be a torch.nn.Module")
    yield from _rotary_embs(model)
    yield from _attention_tables(model)


def _rotary_embs(model) -> Iterator[RotaryEmb]:
    names = {id(module): name for name, module in model.named_modules()}
    seen: Set[int] = set()
    for owner in model.modules():
        rotary_emb = owner._modules.get("rotary_emb")
        if rotary_emb is None:
            continue
        for module in _part(owner):
            if type(module) is type(rotary_emb) and id(module) not in seen:
                seen.add(id(module))
                yield RotaryEmb(names[id(module)], owner, module)


def _attention_tables(model) -> Iterator[AttentionTable]:
    for name, module in model.named_modules():
        if module._buffers.get(_BUFFER) is None:
            continue
        if any(function == FUNCTION for _, function in _rotary_calls(type(module))):
            yield AttentionTable(name, module)


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
