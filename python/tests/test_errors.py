"""A wrong argument is a ValueError or a TypeError that names it, and nothing is written."""

import re

import numpy as np
import pytest

import ropejit

COS, SIN = ropejit.build_rope_cache(8, 16, dtype=np.float32)
Q = np.ones((2, 4, 3, 16), np.float32)
FOUR, BOTH = np.arange(4), np.array([0, 4])


def case(error, message, q=Q, k=None, cos=COS, sin=SIN, **others):
    return pytest.param(error, message, (q, k, cos, sin), others, id=message)


CASES = [
    case(ValueError, "q and k: at least one", q=None),
    case(ValueError, "q: shape [3, 16]: must be [batch, seq, heads, head_dim]", q=Q[0, 0]),
    case(TypeError, "q: dtype float64: must be float32, float16 or bfloat16", q=Q.astype("f8")),
    case(TypeError, "q: dtype int32", q=Q.astype("i4")),
    case(TypeError, "q or k: a list", q=[[1.0]]),
    case(ValueError, "k: shape [2, 5, 3, 16]: must be that of q", k=np.ones((2, 5, 3, 16), "f4")),
    case(TypeError, "k: dtype float16: must be that of q, float32", k=Q.astype("f2")),
    case(ValueError, "q: shape [1, 1, 1, 2048]: head_dim", q=np.ones((1, 1, 1, 2048), "f4")),
    case(
        ValueError, "head_dim = 15", q=np.ones((1, 2, 1, 15), "f4"), cos=COS[:, :4], sin=SIN[:, :4]
    ),
    case(ValueError, "q_heads = 600", q=np.ones((1, 1, 600, 16), "f4")),
    case(TypeError, "cos: dtype float16: must be float32", cos=COS.astype("f2")),
    case(ValueError, "sin: must be given with cos", sin=None),
    case(ValueError, "cos: must be given", cos=None, sin=None),
    case(ValueError, "sin: shape [8, 4]: must be that of cos", sin=SIN[:, :4]),
    case(
        ValueError,
        "cos: shape [8, 16]: its columns",
        cos=np.hstack([COS] * 2),
        sin=np.hstack([SIN] * 2),
    ),
    case(ValueError, "cos: shape [8, 8]: must have at least", rotary_dim=18),
    case(ValueError, "cos: shape [3, 8]: must have a row for each", cos=COS[:3], sin=SIN[:3]),
    case(ValueError, "cos: shape [3, 8, 8]: its batch", cos=np.stack([COS] * 3)),
    case(ValueError, "cos: shape [8]: must be [seq", cos=COS[:, 0]),
    case(ValueError, "from 5 (offset) on", offset=5),
    case(ValueError, "from -1 (offset) on", offset=-1),
    case(ValueError, "offset: must be 0 with position_ids", offset=1, position_ids=np.arange(4)),
    case(TypeError, "position_ids: dtype int16", position_ids=np.arange(4, dtype="i2")),
    case(TypeError, "position_ids: a list", position_ids=[0, 1, 2, 3]),
    case(ValueError, "position_ids: shape [5]", position_ids=np.arange(5)),
    case(ValueError, "position_ids: shape [3, 4]", position_ids=np.zeros((3, 4), "i4")),
    case(ValueError, "position_ids: shape []", position_ids=np.array(3)),
    case(TypeError, "offset = 1.5: must be an integer", offset=1.5),
    case(TypeError, "offset: dtype float64", offset=np.array([1.5, 2.0])),
    case(ValueError, "offset: shape [3]", offset=np.arange(3)),
    case(ValueError, "offset: must be 0 with position_ids", offset=BOTH, position_ids=FOUR),
    case(ValueError, "cu_seqlens: must not be given with", cu_seqlens=BOTH, position_ids=FOUR),
    case(ValueError, "q: shape [2, 4, 3, 16]: must be [tokens, heads", cu_seqlens=BOTH),
    case(ValueError, "cu_seqlens: shape [0]", q=Q[0], cu_seqlens=BOTH[:0]),
    case(ValueError, "cu_seqlens: shape [1, 2]", q=Q[0], cu_seqlens=BOTH[None]),
    case(TypeError, "cu_seqlens: dtype float32", q=Q[0], cu_seqlens=BOTH.astype("f4")),
    case(ValueError, "offset = 1: must be 0, or an array", q=Q[0], cu_seqlens=BOTH, offset=1),
    case(ValueError, "offset: shape [2]: must be", q=Q[0], cu_seqlens=BOTH, offset=BOTH),
    case(
        TypeError,
        "offset: dtype int32: must be that of cu_seqlens, int64",
        q=Q[0],
        cu_seqlens=BOTH,
        offset=BOTH[:1].astype("i4"),
    ),
    case(ValueError, "offset = 9223372036854775808", offset=2**63),
    case(TypeError, "rotary_dim = 'all'", rotary_dim="all"),
    case(ValueError, "rotary_dim = 4096", rotary_dim=4096),
    case(ValueError, "rotary_dim = 7", rotary_dim=7),
    case(ValueError, "layout", layout="diagonal"),
    case(ValueError, "backend = 'gpu'", backend="gpu"),
    case(ValueError, "backend = 'cuda'", backend="cuda"),
]


@pytest.mark.parametrize("error, message, arrays, others", CASES)
def test_apply_rope_refuses(error, message, arrays, others):
    with pytest.raises(error, match=re.escape(message)):
        ropejit.apply_rope(*arrays, **others)


def test_in_place_refuses_what_cannot_be_written():
    q = Q.copy()
    q.flags.writeable = False
    with pytest.raises(ValueError, match="q: is read-only"):
        ropejit.apply_rope_(q, None, COS, SIN)
    ropejit.apply_rope(q, None, COS, SIN)
    with pytest.raises(ValueError, match="overlaps"):
        both = Q.copy()
        ropejit.apply_rope_(both, both, COS, SIN)
    np.testing.assert_array_equal(both, Q)
    with pytest.raises(ValueError, match="q: its strides|share memory"):
        ropejit.apply_rope_(np.lib.stride_tricks.as_strided(both, (2, 4, 3, 16), (0, 192, 64, 4)),
                            None, COS, SIN)  # fmt: skip
    with pytest.raises(ValueError, match="backend = 'reference'"):
        ropejit.apply_rope_(both, None, COS, SIN, backend="reference")


@pytest.mark.parametrize("arguments, error, message", [
    ((-1, 16), ValueError, "seq_len = -1"),
    ((8, 15), ValueError, "head_dim = 15"),
    ((8, 0), ValueError, "head_dim = 0"),
    ((8, 16, 0.5), ValueError, "base = 0"),
    ((8, 16, 10000.0, None, np.int32), TypeError, "dtype"),
])  # fmt: skip
def test_build_rope_cache_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        ropejit.build_rope_cache(*arguments)


@pytest.mark.parametrize("arguments, message", [
    (dict(dim=15), "dim = 15"),
    (dict(dim=16, rotary_dim=18), "rotary_dim = 18"),
    (dict(dim=16, max_seq_len=-1), "max_seq_len = -1"),
    (dict(dim=16, base=0.0), "base = 0"),
    (dict(dim=16, angles="rough"), "angles = 'rough'"),
    (dict(dim=16, layout="diagonal"), "layout"),
])  # fmt: skip
def test_rotary_embedding_refuses_to_be_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        ropejit.RotaryEmbedding(**arguments)


def test_rotary_embedding_refuses_calls():
    rope = ropejit.RotaryEmbedding(dim=16)
    with pytest.raises(ValueError, match="dim = 16"):
        rope(np.ones((1, 2, 3, 32), np.float32))
    with pytest.raises(ValueError, match="seq_len = 3"):
        rope(Q, seq_len=3)
    with pytest.raises(ValueError, match="q and k"):
        rope(None)
    with pytest.raises(TypeError, match="a list"):
        rope([1.0])
    with pytest.raises(ValueError, match="offset"):
        rope(Q, offset=3, position_ids=np.arange(4))
