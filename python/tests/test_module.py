"""RotaryEmbedding, on NumPy arrays."""

import copy
import pickle
import threading

import numpy as np
import pytest
from conftest import assert_rotated, expected

import ropejit

ANGLES = ["table", "exact"]


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("layout", ["interleaved", "sequential"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rotates(make, angles, layout, dtype):
    rope = ropejit.RotaryEmbedding(64, 512, 500000.0, layout=layout, angles=angles)
    q, k = make((2, 10, 8, 64), dtype), make((2, 10, 2, 64), dtype)
    for result in (rope(q, k), rope(q, k, seq_len=10)):
        assert_rotated(result[0], expected(q, np.arange(10), layout, base=500000.0), dtype)
        assert_rotated(result[1], expected(k, np.arange(10), layout, base=500000.0), dtype)
    none, k_rot = rope(None, k)
    assert none is None
    np.testing.assert_array_equal(k_rot, result[1])


@pytest.mark.parametrize("angles", ANGLES)
def test_decoding_token_by_token_is_rotating_all(make, angles):
    rope = ropejit.RotaryEmbedding(dim=32, angles=angles)
    q, k = make((2, 6, 4, 32)), make((2, 6, 2, 32))
    q_all, k_all = rope(q, k)
    for t in range(6):
        q_rot, k_rot = rope(q[:, t : t + 1], k[:, t : t + 1], seq_len=1, offset=t)
        np.testing.assert_array_equal(q_rot, q_all[:, t : t + 1])
        np.testing.assert_array_equal(k_rot, k_all[:, t : t + 1])


@pytest.mark.parametrize("angles", ANGLES)
def test_a_sequence_beyond_max_seq_len(make, angles):
    rope = ropejit.RotaryEmbedding(dim=16, max_seq_len=4, angles=angles)
    q = make((1, 7, 2, 16))
    for offset in (0, 3, 5, 100_000, -5, 10**9, np.int64(6)):
        assert_rotated(rope(q, offset=offset)[0], expected(q, np.arange(offset, offset + 7)))


@pytest.mark.parametrize("angles", ANGLES)
def test_position_ids_of_any_value(make, angles):
    rope = ropejit.RotaryEmbedding(dim=16, max_seq_len=4, angles=angles)
    q = make((2, 3, 2, 16))
    ids = np.array([[5, -3, 1_000_000], [0, 1 << 22, 77]])
    assert_rotated(rope(q, position_ids=ids)[0], expected(q, ids))


@pytest.mark.parametrize("angles", ANGLES)
def test_part_of_a_head_in_place_and_back(make, angles):
    rope = ropejit.RotaryEmbedding(dim=32, rotary_dim=8, angles=angles)
    q, k = make((1, 5, 2, 32)), make((1, 5, 1, 32))
    q_before, k_before = q.copy(), k.copy()
    same = rope.rotate_(q, k, offset=3)
    assert same[0] is q and same[1] is k
    assert_rotated(q, expected(q_before, np.arange(3, 8), rotary_dim=8))
    rope.rotate_(q, k, offset=3, inverse=True)
    np.testing.assert_allclose(q, q_before, rtol=0, atol=2e-6)
    np.testing.assert_allclose(k, k_before, rtol=0, atol=2e-6)


def test_copies_and_pickles(make):
    rope = ropejit.RotaryEmbedding(dim=16, base=123.0, layout="neox")
    q = make((1, 5, 2, 16))
    wanted, _ = rope(q)
    for other in (copy.deepcopy(rope), copy.copy(rope), pickle.loads(pickle.dumps(rope))):
        np.testing.assert_array_equal(other(q)[0], wanted)


def test_other_threads_run_while_the_cpu_rotates(make):
    rope = ropejit.RotaryEmbedding(dim=128, angles="exact")
    q = make((1, 2048, 32, 128))
    thread = threading.Thread(target=rope, args=(q,))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    assert turns > 100


def test_threads(make):
    rope = ropejit.RotaryEmbedding(dim=64, max_seq_len=1)
    q = make((2, 50, 4, 64))
    wanted = expected(q, np.arange(50))
    results = [None] * 4

    def work(i):
        for _ in range(10):
            results[i] = rope(q)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_rotated(result, wanted)


def test_one_array_alone_takes_the_kernel_for_both(make):
    rope = ropejit.RotaryEmbedding(dim=16, base=7654.0, angles="exact")
    q, k = make((2, 3, 8, 16)), make((2, 3, 2, 16))
    wanted = rope(q, k)
    ropes = ropejit._handles.ropes_of(rope._rotary)
    assert len(ropes.specs()) == 1 and "q8 kv2" in ropes.specs()[0]
    for alone, result in ((q, wanted[0]), (k, wanted[1])):
        np.testing.assert_array_equal(rope(alone)[0], result)
        np.testing.assert_array_equal(rope(None, alone)[1], result)
    assert len(ropes.specs()) == 1
    other = make((2, 3, 5, 16))
    assert_rotated(rope(other)[0], expected(other, np.arange(3), base=7654.0))
    assert len(ropes.specs()) == 2


def test_a_model_s_heads_are_known_before_the_first_call(make):
    config = {
        "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16,
        "hidden_size": 128, "rope_theta": 8765.0, "max_position_embeddings": 64,
    }  # fmt: skip
    rope = pickle.loads(pickle.dumps(ropejit.RotaryEmbedding.from_config(config)))
    k = make((2, 3, 2, 16))
    assert_rotated(rope(k)[0], expected(k, np.arange(3), "sequential", base=8765.0))
    assert ["q8 kv2" in spec for spec in ropejit._handles.ropes_of(rope._rotary).specs()] == [True]
