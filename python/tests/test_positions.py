"""Positions in arrays: one for each sequence, and sequences in flat tokens. On NumPy arrays."""

import numpy as np
import pytest
from conftest import angles, assert_rotated, expected, table

import ropejit

BACKENDS = [None, "reference"]
INDICES = ["int32", "int64"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", INDICES)
def test_an_offset_for_each_sequence(make, backend, index):
    q, k = make((3, 4, 2, 16)), make((3, 4, 1, 16))
    offset = np.array([7, 0, 16], index)
    positions = offset[:, None] + np.arange(4)
    q_rot, k_rot = ropejit.apply_rope(q, k, *table(20, 16), backend, offset=offset)
    assert_rotated(q_rot, expected(q, positions))
    assert_rotated(k_rot, expected(k, positions))
    spread = np.repeat(offset, 2)[::2]
    np.testing.assert_array_equal(
        ropejit.apply_rope(q, None, *table(20, 16), backend, offset=spread)[0], q_rot
    )


def test_an_offset_for_each_sequence_with_a_table_of_its_own(make):
    q = make((2, 3, 2, 16))
    phase = angles(np.array([np.arange(10), np.arange(100, 110)]), 16)
    cos, sin = np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)
    positions = np.array([[5, 6, 7], [102, 103, 104]])
    for backend in BACKENDS:
        q_rot, _ = ropejit.apply_rope(q, None, cos, sin, backend, offset=np.array([5, 2]))
        assert_rotated(q_rot, expected(q, positions))


def test_a_module_takes_offsets_of_any_value(make):
    q = make((3, 4, 2, 16))
    offset = np.array([-5, 10**7, 0])
    for kind in ("table", "exact"):
        rope = ropejit.RotaryEmbedding(16, 8, angles=kind)
        wanted = expected(q, offset[:, None] + np.arange(4))
        assert_rotated(rope(q, offset=offset)[0], wanted)
        rope.rotate_(rotated := q.copy(), offset=offset)
        assert_rotated(rotated, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("with_offset", [False, True])
def test_sequences_in_flat_tokens(make, backend, index, with_offset):
    q, k = make((12, 4, 16), "float16"), make((12, 2, 16), "float16")
    bounds = np.array([0, 5, 5, 6, 12], index)
    offset = np.array([3, 0, 8, 1], index) if with_offset else 0
    starts = offset if with_offset else np.zeros(4, int)
    positions = np.concatenate([starts[i] + np.arange(b - a) for i, (a, b) in
                                enumerate(zip(bounds[:-1], bounds[1:]))])  # fmt: skip
    for q_in, k_in in ((q, k), (q[None], k[None])):
        q_rot, k_rot = ropejit.apply_rope(
            q_in, k_in, *table(20, 16), backend, cu_seqlens=bounds, offset=offset
        )
        assert q_rot.shape == q_in.shape and k_rot.shape == k_in.shape
        assert_rotated(q_rot.reshape(1, 12, 4, 16), expected(q[None], positions), "float16")
        assert_rotated(k_rot.reshape(1, 12, 2, 16), expected(k[None], positions), "float16")


@pytest.mark.parametrize("angles_of", ["table", "exact"])
def test_a_module_takes_flat_tokens(make, angles_of):
    q = make((9, 2, 16))
    rope = ropejit.RotaryEmbedding(16, angles=angles_of)
    positions = np.array([0, 1, 2, 3, 0, 1, 2, 3, 4])
    bounds = np.array([0, 4, 9])
    q_rot, _ = rope(q, cu_seqlens=bounds)
    assert_rotated(q_rot[None], expected(q[None], positions))
    assert_rotated(rope(q, offset=2)[0][None], expected(q[None], np.arange(2, 11)))
    back, _ = rope(q_rot, cu_seqlens=bounds, inverse=True)
    np.testing.assert_allclose(back, q, rtol=0, atol=2e-6)


def test_tokens_of_no_sequence_stay_as_they_are(make):
    q = make((8, 2, 16))
    bounds = np.array([2, 4, 6])
    wanted, _ = ropejit.rope_reference(q, None, *table(8, 16), cu_seqlens=bounds)
    np.testing.assert_array_equal(wanted[[0, 1, 6, 7]], q[[0, 1, 6, 7]])
    ropejit.apply_rope_(q, None, *table(8, 16), cu_seqlens=bounds)
    np.testing.assert_allclose(q, wanted, rtol=0, atol=2e-6)
    nothing = np.array([0])
    before = q.copy()
    ropejit.apply_rope_(q, None, *table(8, 16), cu_seqlens=nothing)
    np.testing.assert_array_equal(q, before)
    np.testing.assert_array_equal(
        ropejit.rope_reference(q, None, *table(8, 16), cu_seqlens=nothing)[0], before
    )


def test_tables_and_indices_with_gaps_are_copied_first(make):
    q = make((2, 5, 3, 16))
    cos, sin = table(5, 16)
    wanted = ropejit.apply_rope(q, None, cos, sin)[0]
    backwards = (cos[::-1].copy()[::-1], sin[::-1].copy()[::-1])
    repeated = (np.repeat(cos, 2, axis=1)[:, ::2], np.repeat(sin, 2, axis=1)[:, ::2])
    uneven = (cos, np.hstack([sin, sin])[:, :8])
    same_row = (np.broadcast_to(cos[3], (5, 8)), np.broadcast_to(sin[3], (5, 8)))
    for tables in (backwards, repeated, uneven, (np.asfortranarray(cos), np.asfortranarray(sin))):
        np.testing.assert_array_equal(ropejit.apply_rope(q, None, *tables)[0], wanted)
    assert_rotated(ropejit.apply_rope(q, None, *same_row)[0], expected(q, np.full(5, 3)))
    ids = np.repeat(np.arange(5), 3)[::3]
    rotated = q.copy()
    ropejit.apply_rope_(rotated, None, cos, sin, position_ids=ids)
    np.testing.assert_array_equal(rotated, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["interleaved", "sequential"])
def test_inverse(make, backend, layout):
    q, tables = make((2, 5, 3, 16)), table(9, 16)
    rotated, _ = ropejit.apply_rope(
        q, None, *tables, backend, layout=layout, offset=4, inverse=True
    )
    assert_rotated(rotated, expected(q, np.arange(4, 9), layout, inverse=True))
