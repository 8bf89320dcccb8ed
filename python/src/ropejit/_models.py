"""Models as Hugging Face's transformers describe them."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Dict, Optional, Tuple

from . import _core


def text_of(config: Any) -> Tuple[str, str]:
    """The JSON text of a config and what to call it in messages.

    TypeError for what is no config; OSError for a file that cannot be read.
    """
    if hasattr(config, "to_dict"):
        return json.dumps(config.to_dict(), default=str), type(config).__name__
    if isinstance(config, dict):
        return json.dumps(config, default=str), "config"
    if isinstance(config, str) and config.lstrip().startswith("{"):
        return config, "config"
    if isinstance(config, (str, os.PathLike)):
        path = pathlib.Path(config)
        path = path / "config.json" if path.is_dir() else path
        return path.read_text(encoding="utf-8"), str(path)
    raise TypeError(
        f"config: a {type(config).__name__}: must be a transformers config, a dict, JSON text or a "
        "path"
    )


def read(config: Any) -> Dict[str, Any]:
    """What the library reads from a config; ValueError that names the field."""
    return _core.parse_model(*text_of(config))


def choose(model: Dict[str, Any], layer_type: Optional[str]) -> _core.Rotary:
    """The rotary parameters of one type of layers."""
    sets = dict(model["rotary"])
    if layer_type is None and len(sets) == 1:
        return next(iter(sets.values()))
    if layer_type in sets:
        return sets[layer_type]
    if layer_type is not None and "" in sets:
        return sets[""]  # all layers are alike
    names = ", ".join(repr(name) for name in sets)
    raise ValueError(f"layer_type = {layer_type!r}: must be one of {names}")
