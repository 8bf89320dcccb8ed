"""What a patched model's attention passes on instead of angles, and the function that it calls.

Attention passes two tensors, cosines and sines, on to its module's apply_rotary_pos_emb. They are
from one of two places: a rotary_emb, which returns position_ids and a Rotation once it is patched,
or a table of attention's own, which becomes a Table of the same numbers. Attention code does not
look at them, and the dispatcher in the place of apply_rotary_pos_emb tells them apart: unpatched
models of the same module go on as before.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import threading
import weakref
from typing import Any, Callable, Dict, Iterable, NamedTuple, Optional, Tuple

#: The global of a modeling module that is replaced.
FUNCTION = "apply_rotary_pos_emb"


class Rotation:
    """A RotaryEmbedding in the place of sines: the second of rotary_emb's two results."""

    def __init__(self, rope) -> None:
        # Some attention passes the whole head, some only the slice of it that rotates.
        self._ropes = {rope.dim: rope, rope.rotary_dim: _of_slice(rope)}

    @property
    def widths(self) -> Iterable[int]:
        """The lengths of the last dimension that rotate() takes."""
        return self._ropes.keys()

    def rotate(self, q, k, position_ids, unsqueeze_dim: int):
        """q and k (or None) as attention holds them: heads in dimension 1 or, at 2, behind seq."""
        if unsqueeze_dim not in (1, 2):
            raise ValueError(f"unsqueeze_dim = {unsqueeze_dim}: must be 1 or 2 in a patched model")
        rope = self._ropes.get(q.shape[-1])
        if rope is None:
            raise ValueError(
                f"q: {q.shape[-1]} elements of a head: must be one of {list(self._ropes)}"
            )
        position_ids = position_ids.to(q.device)  # layers may be on several devices
        if unsqueeze_dim == 2:
            return rope(q, k, position_ids=position_ids)
        q, k = rope(
            q.transpose(1, 2), None if k is None else k.transpose(1, 2), position_ids=position_ids
        )
        return q.transpose(1, 2), None if k is None else k.transpose(1, 2)


def _of_slice(rope):
    """The same rotation for tensors that end where the rotating part of a head ends."""
    if rope.dim == rope.rotary_dim:
        return rope
    narrow = copy.copy(rope)
    narrow.dim = rope.rotary_dim
    return narrow


class Patched:
    """An attribute of what is patched. While one is alive, so are its modules' dispatchers.

    Args:
        modules: names of the modeling modules whose apply_rotary_pos_emb gets the angles.
    """

    def __init__(self, modules: Tuple[str, ...]) -> None:
        self.modules = modules
        _dispatch_for(self)

    def __reduce__(self):
        # A copy, pickled or not, goes through __init__, so that its dispatcher is there too.
        return Patched, (self.modules,)


class Positions(Patched):
    """Its method `angles` is the `forward` of a patched rotary_emb.

    A method, for torch.compile guards its object by type and contents, so that models of one config
    share what is compiled; an object to be called it would guard by identity.

    Args:
        rotations: by type of layer; {None: ...} where all layers are alike.
        modules: as for Patched.
        before: the `forward` that the rotary_emb's own attributes had before, if any.
    """

    def __init__(
        self,
        rotations: Dict[Optional[str], Rotation],
        modules: Tuple[str, ...],
        before: Optional[Callable[..., Any]] = None,
    ) -> None:
        super().__init__(modules)
        self.rotations = rotations
        self.before = before

    def angles(self, x, position_ids, layer_type: Optional[str] = None):
        if position_ids.ndim != 2:
            raise ValueError(
                f"position_ids: shape {list(position_ids.shape)}: must be [batch, seq] in a patched"
                " model"
            )
        if layer_type not in self.rotations:
            raise ValueError(f"layer_type = {layer_type!r}: must be one of {list(self.rotations)}")
        return position_ids, self.rotations[layer_type]

    def __reduce__(self):
        return Positions, (self.rotations, self.modules, self.before)


class Form(NamedTuple):
    """How an apply_rotary_pos_emb is called: with q and k or one tensor, then the two angles."""

    takes_pair: bool
    takes_unsqueeze_dim: bool

    @property
    def unsqueeze_dim(self) -> int:
        """Where heads are unless the caller says so. GPT-J's takes [batch, seq, heads, dim]."""
        return 1 if self.takes_unsqueeze_dim or self.takes_pair else 2


def form_of(function) -> Form:
    """ValueError for a function of no known form."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ValueError(f"{FUNCTION}: a {type(function).__name__} without a signature") from None
    names = [parameter.name for parameter in parameters]
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    takes_unsqueeze_dim = names[-1:] == ["unsqueeze_dim"] and parameters[-1].default == 1
    angles = {"cos", "sin"}
    if required == names[: len(names) - takes_unsqueeze_dim]:
        if required == ["q", "k", "cos", "sin"]:
            return Form(True, takes_unsqueeze_dim)
        if len(required) == 3 and set(required[1:]) == angles:
            return Form(False, takes_unsqueeze_dim)
    raise ValueError(
        f"{FUNCTION}({', '.join(names)}): its parameters must be (q, k, cos, sin) or (tensor, sin,"
        " cos), and unsqueeze_dim=1 or nothing more"
    )


def function_of(module: str) -> Callable[..., Any]:
    """A modeling module's apply_rotary_pos_emb, beneath a dispatcher of ours."""
    current = vars(importlib.import_module(module))[FUNCTION]
    replaced = _replaced.get(module)
    return replaced.original if replaced and current is replaced.dispatcher else current


def release(patched: Patched) -> None:
    """`patched` is nobody's attribute any longer. Its modules get their functions back if it was
    the last one, and so does any other module whose patched models are gone."""
    with _lock:
        for replaced in _replaced.values():
            replaced.live.discard(patched)
        for name in [name for name, replaced in _replaced.items() if not replaced.live]:
            replaced = _replaced.pop(name)
            module = vars(importlib.import_module(name))
            # Somebody else may have replaced the dispatcher since: theirs stays.
            if module[FUNCTION] is replaced.dispatcher:
                module[FUNCTION] = replaced.original


class _Replaced(NamedTuple):
    original: Callable[..., Any]
    dispatcher: Callable[..., Any]
    live: "weakref.WeakSet[Patched]"


# By the name of the modeling module. Forward passes read neither of the two.
_replaced: Dict[str, _Replaced] = {}
_lock = threading.RLock()


def _dispatch_for(patched: Patched) -> None:
    """Puts a dispatcher into each of its modules, unless there is one."""
    with _lock:
        for name in patched.modules:
            module = vars(importlib.import_module(name))
            replaced = _replaced.get(name)
            if replaced is None or module[FUNCTION] is not replaced.dispatcher:
                live = weakref.WeakSet() if replaced is None else replaced.live
                original = module[FUNCTION]
                replaced = _Replaced(original, _dispatcher(original), live)
                _replaced[name] = replaced
                module[FUNCTION] = replaced.dispatcher
            replaced.live.add(patched)


def _dispatcher(original) -> Callable[..., Any]:
    """Rotates by a Rotation or a Table, and hands all other calls to `original`."""
    from ._tables import Table, rotate_by_table

    form = form_of(original)
    if form.takes_pair:

        def apply_rotary_pos_emb(q, k, cos, sin, *args, **kwargs):
            if isinstance(sin, Rotation):
                return sin.rotate(q, k, cos, *(args or (kwargs.get("unsqueeze_dim", 1),)))
            return original(q, k, cos, sin, *args, **kwargs)

    else:
        first, second = list(inspect.signature(original).parameters)[1:3]
        dim = form.unsqueeze_dim

        def apply_rotary_pos_emb(x, *args, **kwargs):
            one = args[0] if args else kwargs.get(first)
            other = args[1] if len(args) > 1 else kwargs.get(second)
            if isinstance(other, Rotation):
                unsqueeze_dim = args[2] if len(args) > 2 else kwargs.get("unsqueeze_dim", dim)
                return other.rotate(x, None, one, unsqueeze_dim)[0]
            if isinstance(other, Table):
                cos, sin = (one, other) if first == "cos" else (other, one)
                return rotate_by_table(x, cos, sin)
            return original(x, *args, **kwargs)

    apply_rotary_pos_emb.__doc__ = original.__doc__
    return apply_rotary_pos_emb
