"""apply_rope and its in-place twin against float64, on NumPy arrays."""

import numpy as np
import pytest
from conftest import angles, assert_rotated, expected, table

import ropejit

LAYOUTS = ["interleaved", "sequential"]
DTYPES = ["float32", "float16"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch, seq, q_heads, kv_heads, head_dim", [
    (2, 7, 4, 4, 64), (1, 1, 32, 8, 128), (3, 5, 3, 1, 2), (2, 16, 2, 5, 80),
])  # fmt: skip
def test_rotates(make, layout, dtype, batch, seq, q_heads, kv_heads, head_dim):
    q = make((batch, seq, q_heads, head_dim), dtype)
    k = make((batch, seq, kv_heads, head_dim), dtype)
    before = q.copy(), k.copy()
    q_rot, k_rot = ropejit.apply_rope(q, k, *table(seq, head_dim), layout=layout)
    assert (q_rot.dtype, k_rot.dtype) == (q.dtype, k.dtype)
    assert_rotated(q_rot, expected(q, np.arange(seq), layout), dtype)
    assert_rotated(k_rot, expected(k, np.arange(seq), layout), dtype)
    np.testing.assert_array_equal(q, before[0])
    np.testing.assert_array_equal(k, before[1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_rest_of_a_partly_rotary_head_passes_through(make, layout):
    q = make((2, 6, 3, 64))
    q_rot, none = ropejit.apply_rope(q, None, *table(6, 24), layout=layout)
    assert none is None
    assert_rotated(q_rot, expected(q, np.arange(6), layout, rotary_dim=24))
    np.testing.assert_array_equal(q_rot[..., 24:], q[..., 24:])


def test_duplicated_halves_are_a_table_with_a_rotary_dim(make):
    k = make((1, 6, 2, 32))
    cos, sin = (np.concatenate([half, half], axis=-1) for half in table(6, 32))
    none, k_rot = ropejit.apply_rope(None, k, cos, sin, layout="neox", rotary_dim=32)
    assert none is None
    assert_rotated(k_rot, expected(k, np.arange(6), "sequential"))


def test_offset(make):
    q, k = make((2, 3, 4, 16)), make((2, 3, 1, 16))
    q_rot, k_rot = ropejit.apply_rope(q, k, *table(20, 16), offset=17)
    assert_rotated(q_rot, expected(q, np.arange(17, 20)))
    assert_rotated(k_rot, expected(k, np.arange(17, 20)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_position_ids(make, dtype):
    q = make((2, 5, 4, 16))
    ids = np.array([[3, 0, 19, 7, 7], [1, 1, 2, 18, 0]], dtype)
    for given in (ids, ids[:1], ids[1], np.asfortranarray(ids)):
        q_rot, _ = ropejit.apply_rope(q, None, *table(20, 16), position_ids=given)
        wanted = np.broadcast_to(given, (2, 5))
        assert_rotated(q_rot, expected(q, wanted))


def test_a_position_without_a_row_makes_nan_and_nothing_else(make):
    q = make((1, 4, 2, 16))
    ids = np.array([[0, 8, -1, 7]])
    for backend in (None, "reference"):
        q_rot, _ = ropejit.apply_rope(q, None, *table(8, 8), backend=backend, position_ids=ids)
        assert np.isnan(q_rot[:, 1:3, :, :8]).all()
        np.testing.assert_array_equal(q_rot[..., 8:], q[..., 8:])
        assert np.isfinite(q_rot[:, [0, 3]]).all()


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("with_ids", [True, False])
def test_a_table_for_each_sequence(make, flat, with_ids):
    q = make((3, 4, 2, 16)) if flat else make((3, 2, 4, 16)).transpose(0, 2, 1, 3)
    k = make((3, 4, 1, 16))
    positions = np.array([[0, 1, 2, 3], [50, 51, 60, 61], [9, 8, 7, 6]])
    phase = angles(positions, 16)
    cos, sin = np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)
    ids = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 0, 1]]) if with_ids else None
    taken = np.take_along_axis(positions, ids, axis=1) if with_ids else positions
    for backend in (None, "reference"):
        q_rot, k_rot = ropejit.apply_rope(q, k, cos, sin, backend, position_ids=ids)
        assert_rotated(q_rot, expected(q, taken))
        assert_rotated(k_rot, expected(k, taken))
    one = ropejit.apply_rope(q, None, cos[1:2], sin[1:2])[0]
    assert_rotated(one, expected(q, positions[1]))


def views(make):
    """Views of [2, 6, 3, 32] with all kinds of strides."""
    packed = make((2, 6, 3 * 3 * 32))
    yield "a slice of packed QKV", packed[:, :, 96:192].reshape(2, 6, 3, 32)
    yield "[batch, heads, seq, dim]", make((2, 3, 6, 32)).transpose(0, 2, 1, 3)
    yield "[seq, batch, heads, dim]", make((6, 2, 3, 32)).transpose(1, 0, 2, 3)
    yield "every second token, backwards", make((2, 12, 3, 32))[:, ::-2]
    yield "unaligned", make(2 * 6 * 3 * 32 + 1)[1:].reshape(2, 6, 3, 32)
    yield "part of a longer head", make((2, 6, 3, 40))[..., 5:37]


def test_views_are_rotated_where_they_lie(make):
    for name, q in views(make):
        k = q[:, :, :1]
        q_rot, k_rot = ropejit.apply_rope(q, k, *table(6, 32), layout="sequential")
        assert_rotated(q_rot, expected(q, np.arange(6), "sequential"))
        assert_rotated(k_rot, expected(k, np.arange(6), "sequential"))
        wanted = expected(q, np.arange(6))
        same, _ = ropejit.apply_rope_(q, None, *table(6, 32))
        assert same is q, name
        assert_rotated(q, wanted)


def test_in_place_touches_nothing_beside_a_view(make):
    packed = make((2, 6, 8, 16))
    before = packed.copy()
    ropejit.apply_rope_(packed[:, :, 0:4], packed[:, :, 4:6], *table(6, 16))
    assert_rotated(packed[:, :, :6], expected(before[:, :, :6], np.arange(6)))
    np.testing.assert_array_equal(packed[:, :, 6:], before[:, :, 6:])


def test_a_sequence_that_is_repeated_without_a_copy(make):
    q = np.broadcast_to(make((1, 5, 2, 16)), (4, 5, 2, 16))
    assert_rotated(ropejit.apply_rope(q, None, *table(5, 16))[0], expected(q, np.arange(5)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_inverse(make, layout, dtype):
    q = make((1, 9, 2, 32), dtype)
    cos, sin = table(9, 32)
    back, _ = ropejit.apply_rope(q, None, cos, sin, layout=layout, inverse=True)
    assert_rotated(back, expected(q, np.arange(9), layout, inverse=True), dtype)
    turned, _ = ropejit.apply_rope(back, None, cos, sin, layout=layout)
    assert_rotated(turned, q.astype(np.float64), dtype, extra=2e-3 if dtype == "float16" else 0)


@pytest.mark.parametrize("shape", [(0, 4, 2, 16), (2, 0, 2, 16)])
def test_no_tokens(shape):
    q = np.zeros(shape, np.float32)
    assert ropejit.apply_rope(q, q, *table(4, 16))[1].shape == shape


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_reference_agrees(make, layout):
    q, k = make((2, 5, 4, 32)), make((2, 5, 2, 32), np.float16)
    cos, sin = table(9, 24)
    q_rot, k_rot = ropejit.rope_reference(q, k, cos, sin, layout=layout, offset=4)
    assert (q_rot.dtype, k_rot.dtype) == (np.float32, np.float16)
    assert_rotated(q_rot, expected(q, np.arange(4, 9), layout, rotary_dim=24))
    assert_rotated(k_rot, expected(k, np.arange(4, 9), layout, rotary_dim=24), "float16")
    auto, _ = ropejit.apply_rope(q, None, cos, sin, layout=layout, offset=4)
    np.testing.assert_allclose(q_rot, auto, rtol=0, atol=1e-6)


@pytest.mark.parametrize("base", [10000.0, 500000.0, 1.0])
def test_build_rope_cache(base):
    cos, sin = ropejit.build_rope_cache(1000, 64, base, dtype=np.float32)
    phase = angles(np.arange(1000), 64, base)
    assert cos.shape == sin.shape == (1000, 32) and cos.dtype == sin.dtype == np.float32
    np.testing.assert_allclose(cos, np.cos(phase), rtol=0, atol=6.1e-8)
    np.testing.assert_allclose(sin, np.sin(phase), rtol=0, atol=6.1e-8)
    wide, _ = ropejit.build_rope_cache(1000, 64, base, dtype=np.float64)
    np.testing.assert_allclose(wide, np.cos(phase), rtol=0, atol=3e-13)
    narrow, _ = ropejit.build_rope_cache(1000, 64, base, dtype=np.float16)
    np.testing.assert_array_equal(narrow, wide.astype(np.float16))


def test_a_table_that_all_sequences_share_by_strides_alone(make):
    q = make((3, 4, 2, 16))
    cos, sin = (np.broadcast_to(one, (3, 4, 8)) for one in table(4, 16))
    assert_rotated(ropejit.apply_rope(q, None, cos, sin)[0], expected(q, np.arange(4)))
