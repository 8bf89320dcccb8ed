"""What differs between the libraries that arrays come from."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

#: A PyTorch tensor, a NumPy array, or another array that speaks DLPack.
Array = Any


def is_torch(array: Array) -> bool:
    """Whether it is a torch.Tensor; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def is_cupy(array: Array) -> bool:
    """Whether it is a cupy.ndarray; imports nothing."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def namespace(array: Array):
    """The module that makes arrays of this kind; NumPy for kinds unknown to the package."""
    if is_torch(array):
        return sys.modules["torch"]
    if is_cupy(array):
        return sys.modules["cupy"]
    return np


def is_on_cuda(array: Array) -> bool:
    """Whether its memory is that of a CUDA device. TypeError for what is no array."""
    if is_torch(array):
        return array.is_cuda
    if isinstance(array, np.ndarray):
        return False
    if not hasattr(array, "__dlpack_device__"):
        raise TypeError(f"q or k: a {type(array).__name__}: must be an array that speaks DLPack")
    return array.__dlpack_device__()[0] in (2, 13)  # kDLCUDA, kDLCUDAManaged


def prepare(array: Array, name: str, in_place: bool) -> Array:
    """The tensor to hand to the core: without its history, which DLPack refuses to carry."""
    if not is_torch(array) or not array.requires_grad:
        return array
    if sys.modules["torch"].is_grad_enabled():
        raise NotImplementedError(
            f"{name}: requires grad: the rotation records no gradient yet; call it under "
            "torch.no_grad(), or pass rope_reference's plain operations"
            if not in_place
            else f"{name}: requires grad: cannot be rotated in place outside torch.no_grad()"
        )
    return array.detach()


def empty_like(array: Array) -> Array:
    """An array for the result. NumPy's for a CPU array of a kind that cannot be written."""
    if is_torch(array):
        return namespace(array).empty_like(array)
    if is_cupy(array):
        return namespace(array).empty(array.shape, array.dtype)
    if is_on_cuda(array):
        raise TypeError(
            f"q or k: a {type(array).__name__} on CUDA: must be a PyTorch or CuPy array"
        )
    return np.empty(array.shape, np.dtype(array.dtype))


def contiguous(array: Array) -> Array:
    """Indices with their elements behind each other; itself if they are. They are few."""
    if is_torch(array):
        return array.contiguous()
    if isinstance(array, np.ndarray) or is_cupy(array):
        return namespace(array).ascontiguousarray(array)
    return array


def stream_of(array: Array) -> int:
    """The current CUDA stream of the array's library, a pointer; 0, the default one, for others."""
    if is_torch(array):
        if not array.is_cuda:
            return 0
        return namespace(array).cuda.current_stream(array.device).cuda_stream
    if is_cupy(array):
        return namespace(array).cuda.get_current_stream().ptr
    return 0
