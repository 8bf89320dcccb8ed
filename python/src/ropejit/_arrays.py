"""What differs between the libraries that arrays come from."""

from __future__ import annotations

import operator
import sys
from typing import Any, Optional, Tuple, Union

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


def is_jax(array: Array) -> bool:
    """Whether it is an array of JAX, which nobody may write to but who has just made it."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(array, jax.Array)


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


def empty_like(array: Optional[Array]) -> Optional[Array]:
    """An array for the result; NumPy's for a CPU array of a kind unknown to the package.

    TypeError for an array on CUDA of another library than PyTorch and CuPy, whose streams nothing
    here knows of.
    """
    if array is None:
        return None
    if is_torch(array):
        return namespace(array).empty_like(array)
    if is_cupy(array):
        return namespace(array).empty(array.shape, array.dtype)
    if is_on_cuda(array):
        raise TypeError(
            f"q or k: a {type(array).__name__} on CUDA: must be a PyTorch or CuPy array"
        )
    if is_jax(array):
        return sys.modules["jax"].numpy.empty_like(array).block_until_ready()
    return np.empty(array.shape, np.dtype(array.dtype))


def dense(array: Optional[Array]) -> Optional[Array]:
    """A table or indices with their elements behind each other; itself if they are."""
    if array is None:
        return None
    if is_torch(array):
        return array.contiguous()
    if isinstance(array, np.ndarray) or is_cupy(array):
        return namespace(array).ascontiguousarray(array)
    return array


def stream_of(array: Array) -> Optional[int]:
    """The current CUDA stream of CuPy, a pointer; None for other libraries."""
    return namespace(array).cuda.get_current_stream().ptr if is_cupy(array) else None


def integer(name: str, value: Any) -> int:
    """A Python int of 64 bits. TypeError or ValueError that names it for anything else."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} = {value!r}: must be an integer") from None
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} = {value}: must fit into 64 bits")
    return value


def split_offset(offset: Union[int, Array], leader: Array) -> Tuple[int, Optional[Array]]:
    """An offset as a number, or as 0 and an array of one position for each sequence."""
    if type(offset) is int:
        return (offset if abs(offset) < 2**63 else integer("offset", offset)), None
    if not getattr(offset, "shape", ()) and not (is_torch(offset) and offset.is_cuda):
        return integer("offset", offset), None
    if is_torch(offset) and offset.numel() == 1 and len(leader.shape) == 4:
        return 0, offset.expand(leader.shape[0])
    return 0, offset
