"""Rotary position embeddings (RoPE) by ropejit's generated CUDA kernels, and on the CPU.

Arrays are PyTorch tensors, NumPy arrays, or whatever else speaks DLPack; none is copied. Importing
the package imports neither PyTorch nor a CUDA library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._handles import set_cache_dir, stats
from .functional import apply_rope, apply_rope_, build_rope_cache
from .patch import patch, unpatch
from .prewarming import PrewarmReport, prewarm
from .reference import rope_reference

if TYPE_CHECKING:
    from .module import RotaryEmbedding

__all__ = [
    "PrewarmReport",
    "RotaryEmbedding",
    "apply_rope",
    "apply_rope_",
    "build_rope_cache",
    "patch",
    "prewarm",
    "rope_reference",
    "set_cache_dir",
    "stats",
    "unpatch",
]


def __getattr__(name: str):
    # RotaryEmbedding is a torch.nn.Module where PyTorch is installed: the first use imports it.
    if name == "RotaryEmbedding":
        from .module import RotaryEmbedding

        globals()[name] = RotaryEmbedding
        return RotaryEmbedding
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(__all__))
