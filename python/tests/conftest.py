"""The arrays that tests rotate, and the rotation that they expect, written without the package.

Also fixtures for tests that patch models.
"""

from __future__ import annotations

import sys

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


@pytest.fixture
def nothing_stays_patched(request):
    """A test gives the functions back that it had replaced."""
    from ropejit._dispatchers import FUNCTION

    yield
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        is_modeling = name.startswith("transformers.models.") or name == request.module.__name__
        if is_modeling and FUNCTION in vars(module):
            assert vars(module)[FUNCTION].__module__ != "ropejit._dispatchers", name


@pytest.fixture
def patched():
    """patched(model): patches it until the test ends."""
    import ropejit

    models = []

    def patch(model):
        models.append(model)
        return ropejit.patch(model)

    yield patch
    for model in models:
        ropejit.unpatch(model)


@pytest.fixture
def count_rotations(monkeypatch):
    """A list that gets the position_ids of each rotation of a patched model, or a table's rows."""
    torch = pytest.importorskip("torch")
    from ropejit import _tables
    from ropejit._dispatchers import Rotation

    calls = []
    rotate, rotate_by_table = Rotation.rotate, _tables.rotate_by_table

    def counted(self, q, k, position_ids, unsqueeze_dim):
        calls.append(position_ids)
        return rotate(self, q, k, position_ids, unsqueeze_dim)

    def counted_by_table(x, cos, sin):
        calls.append(torch.cat([sin, cos], -1))
        return rotate_by_table(x, cos, sin)

    monkeypatch.setattr(Rotation, "rotate", counted)
    monkeypatch.setattr(_tables, "rotate_by_table", counted_by_table)
    return calls


@pytest.fixture
def fresh_compiler():
    """torch.compile gives up on a function that it has met with 8 classes of models, and the
    wrappers that transformers puts around every forward() are such functions."""
    torch = pytest.importorskip("torch")
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
