"""The arrays that tests rotate, and the rotation that they expect, written without the package."""

from __future__ import annotations

import numpy as np
import pytest

# Relative to the norm of a pair: the result is rounded once, and a float32 table is off by 2^-25.
TOLERANCE = {"float32": 3e-7, "float16": 6e-4, "bfloat16": 5e-3}


def angles(positions, rotary_dim, base=10000.0):
    """Radians, [..., rotary_dim / 2], in float64."""
    rates = base ** (-np.arange(0, rotary_dim, 2, dtype=np.float64) / rotary_dim)
    return np.asarray(positions, np.float64)[..., None] * rates


def table(rows, rotary_dim):
    """Cosines and sines, each [rows, rotary_dim / 2], from float64."""
    phase = angles(np.arange(rows), rotary_dim)
    return np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)


def expected(x, positions, layout="interleaved", rotary_dim=None, base=10000.0, inverse=False):
    """x, [batch, seq, heads, head_dim], rotated pair by pair as complex numbers in float64.

    positions: [batch, seq] or [seq].
    """
    x = np.asarray(x, np.float64)
    rotary_dim = rotary_dim or x.shape[-1]
    phase = angles(positions, rotary_dim, base)
    phase = phase[None] if phase.ndim == 2 else phase
    turn = np.exp((-1j if inverse else 1j) * phase)[:, :, None]
    result = x.copy()
    for i in range(rotary_dim // 2):
        a, b = (2 * i, 2 * i + 1) if layout == "interleaved" else (i, i + rotary_dim // 2)
        pair = (x[..., a] + 1j * x[..., b]) * turn[..., i]
        result[..., a], result[..., b] = pair.real, pair.imag
    return result


def assert_rotated(actual, wanted, dtype="float32", extra=0.0):
    """Equal within the dtype's noise: elements of tests are below 6, so norms below 9."""
    actual = np.asarray(actual, np.float64)
    assert actual.shape == wanted.shape
    limit = 9 * (TOLERANCE[dtype] + extra)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=limit)


@pytest.fixture
def make():
    """make(shape, dtype): random numbers within 6 of 0, the same in every run."""
    random = np.random.default_rng(20240607)

    def normal(shape, dtype=np.float32):
        return np.clip(random.standard_normal(shape), -6, 6).astype(dtype)

    return normal


def _devices():
    try:
        import torch
    except ImportError:
        return ["cpu"]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=_devices())
def device(request):
    """For tests of PyTorch: the CPU, and the GPU where there is one."""
    return request.param


@pytest.fixture
def normal(make, device):
    """normal(shape, dtype): a tensor on `device` of random numbers within 6 of 0."""
    torch = pytest.importorskip("torch")
    return lambda shape, dtype="float32": torch.from_numpy(make(shape)).to(
        device, getattr(torch, dtype)
    )
