"""Arrays of JAX, on the CPU; skipped where it is missing."""

import numpy as np
import pytest
from conftest import assert_rotated, expected

jax = pytest.importorskip("jax")

import ropejit  # noqa: E402


@pytest.fixture(autouse=True)
def on_the_cpu():
    with jax.default_device(jax.devices("cpu")[0]):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("angles", ["table", "exact"])
def test_arrays_go_in_and_out(make, dtype, angles):
    q = jax.numpy.asarray(make((2, 5, 4, 16))).astype(dtype)
    k = jax.numpy.asarray(make((2, 5, 1, 16))).astype(dtype)
    before = np.asarray(q.astype("float32"))
    rope = ropejit.RotaryEmbedding(16, angles=angles)
    ids = jax.numpy.asarray([3, 1, 4, 1, 5])
    for how, positions in (({}, np.arange(5)), ({"position_ids": ids}, np.asarray(ids))):
        for x, rotated in zip((q, k), rope(q, k, **how)):
            assert isinstance(rotated, jax.Array) and rotated.dtype == x.dtype
            wanted = expected(np.asarray(x.astype("float32")), positions)
            assert_rotated(np.asarray(rotated.astype("float32")), wanted, dtype)
    np.testing.assert_array_equal(np.asarray(q.astype("float32")), before)


def test_results_are_memory_of_their_own(make):
    rope, q = ropejit.RotaryEmbedding(16), jax.numpy.asarray(make((2, 5, 4, 16)))
    first, _ = rope(q)
    before = np.asarray(first).copy()
    second, _ = rope(2 * q)
    np.testing.assert_array_equal(np.asarray(first), before)
    assert not np.array_equal(np.asarray(second), before)


def test_in_place_is_refused(make):
    q = jax.numpy.asarray(make((2, 5, 4, 16)))
    before = np.asarray(q).copy()
    with pytest.raises(ValueError, match="q: is read-only"):
        ropejit.RotaryEmbedding(16).rotate_(q)
    np.testing.assert_array_equal(np.asarray(q), before)


def test_a_traced_array_is_refused(make):
    with pytest.raises(TypeError, match="q or k: a .*Tracer"):
        jax.jit(lambda q: ropejit.RotaryEmbedding(16)(q)[0])(make((2, 5, 4, 16)))
