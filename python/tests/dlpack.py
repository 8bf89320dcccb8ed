"""Arrays that claim to be what NumPy has no word for."""

from __future__ import annotations

import ctypes

import numpy as np

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]

CUDA = 2  # of DLPack's device types
METAL = 8
BFLOAT = 4  # of its dtype codes


class _Tensor(ctypes.Structure):
    """DLTensor, up to its dtype; a capsule's memory begins with it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype_code", ctypes.c_uint8),
    ]


class Relabelled:
    """A NumPy array as its DLPack capsule shows it, but on another device or of another dtype."""

    def __init__(self, array, device_type=None, dtype_code=None):
        self.array, self.device_type, self.dtype_code = array, device_type, dtype_code
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack_device__(self):
        return (self.device_type or 1, 0)

    def __dlpack__(self, **_):
        capsule = self.array.__dlpack__()
        tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
        if self.device_type is not None:
            tensor.device_type = self.device_type
        if self.dtype_code is not None:
            tensor.dtype_code = self.dtype_code
        return capsule


def to_bfloat16(array):
    """Rounded to nearest, ties to even, as the bits in uint16."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    """The values in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
