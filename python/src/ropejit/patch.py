"""ropejit's rotation in the place of a Hugging Face model's own."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, List, TypeVar

from ._dispatchers import release
from ._places import places

if TYPE_CHECKING:
    import torch

_Model = TypeVar("_Model", bound="torch.nn.Module")

# One patch() or unpatch() at a time.
_lock = threading.RLock()


def patch(model: _Model) -> _Model:
    """Makes a model of Hugging Face transformers (version 5) rotate by ropejit.

    Each module `rotary_emb` in the model hands positions instead of cosines and sines to attention,
    and the ``apply_rotary_pos_emb`` of the modeling module passes them on to a
    :class:`RotaryEmbedding` with exact angles, made from the model's config. Where attention has a
    table `embed_positions` instead (GPT-J and CodeGen in transformers before 5.24), the model
    rotates by :func:`apply_rope` with the rows of that very table, rounded as they are; the buffer
    is of a subclass of torch.Tensor then. Other models in the process are not affected, nor are
    parameters, the numbers in buffers and the state_dict. Copies and pickles of the model are
    patched as it is. Gradients, KV caches, left-padded batches and torch.compile work as before; a
    compiled model is compiled again when it runs next.

    Every rotation is first compared with the model's own, on the CPU and in float32; nothing is
    replaced where they differ. But for tables, ropejit's frequencies are not rounded to the model's
    dtype, as some models' own are (all of them after ``model.to(torch.bfloat16)``, GPT-J's whenever
    it is loaded in bfloat16): for float16 and bfloat16 the comparison is with a new ``rotary_emb``
    of the config, and with the model's own as far as rounding goes.

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
            model_type, or attention, the rotations differ and by how much. The model is left
            untouched. Where only some of its rotary embeddings can be patched, the others are named
            in a warning.

    Thread safety: calls may come from several threads, but not while the model runs. Cost: some
    milliseconds, and one or two for each table; a forward pass then makes no cosines and sines, and
    one call of a kernel for each layer's q and k (two where attention rotates them one by one).
    """
    with _lock:
        found, reasons, patched = [], {}, False
        for place in places(model):
            if place.patched() is not None:
                patched = True
                continue
            try:
                found.append((place, place.check()))
            except (ValueError, TypeError, NotImplementedError) as error:
                reasons.setdefault(str(error), []).append(place.name)
        refused = "; ".join(f"{_and_others(names)}: {text}" for text, names in reasons.items())
        if not found and not patched:
            nothing = "has no module named rotary_emb, and no attention with a table of angles"
            raise ValueError("model: " + (refused or nothing))
        if refused:
            warnings.warn("ropejit.patch leaves as it is " + refused, stacklevel=2)
        for place, checked in found:
            place.patch(checked)
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
        for place in places(model):
            patched = place.patched()
            if patched is not None:
                place.unpatch(patched)
                release(patched)
    return model


def _and_others(names: List[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
