"""The same calls with PyTorch tensors on the CPU; skipped where PyTorch is missing."""

import copy
import pickle

import numpy as np
import pytest
from conftest import assert_rotated, expected

torch = pytest.importorskip("torch")

import ropejit  # noqa: E402

DTYPES = ["float32", "float16", "bfloat16"]


@pytest.fixture
def normal(make):
    """normal(shape, dtype): a tensor of random numbers within 6 of 0."""
    return lambda shape, dtype="float32": torch.from_numpy(make(shape)).to(getattr(torch, dtype))


def assert_tensor(actual, x, positions, dtype, **how):
    assert isinstance(actual, torch.Tensor) and actual.dtype == getattr(torch, dtype)
    assert_rotated(actual.double().numpy(), expected(x.double().numpy(), positions, **how), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["interleaved", "sequential"])
@pytest.mark.parametrize("backend", [None, "reference"])
def test_apply_rope(normal, dtype, layout, backend):
    q, k = normal((2, 7, 4, 64), dtype), normal((2, 7, 2, 64), dtype)
    cos, sin = ropejit.build_rope_cache(9, 64)
    assert cos.dtype == sin.dtype == torch.float32 and cos.shape == (9, 32)
    q_rot, k_rot = ropejit.apply_rope(q, k, cos, sin, backend, layout=layout, offset=2)
    assert_tensor(q_rot, q, np.arange(2, 9), dtype, layout=layout)
    assert_tensor(k_rot, k, np.arange(2, 9), dtype, layout=layout)


@pytest.mark.parametrize("dtype", DTYPES)
def test_views_in_place(normal, dtype):
    qkv = normal((2, 5, 8, 32), dtype)
    before = qkv.clone()
    q, k = qkv[:, :, :4], qkv[:, :, 4:6]
    cos, sin = ropejit.build_rope_cache(5, 32)
    same, _ = ropejit.apply_rope_(q, k, cos, sin)
    assert same is q
    assert_tensor(qkv[:, :, :6], before[:, :, :6], np.arange(5), dtype)
    assert torch.equal(qkv[:, :, 6:], before[:, :, 6:])
    heads_first = normal((2, 4, 5, 32), dtype).transpose(1, 2)
    assert_tensor(
        ropejit.apply_rope(heads_first, None, cos, sin)[0], heads_first, np.arange(5), dtype
    )


@pytest.mark.parametrize("ids_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("backend", [None, "reference"])
def test_position_ids(normal, ids_dtype, backend):
    q = normal((2, 3, 4, 16))
    ids = torch.tensor([[5, 0, 9], [1, 1, 30]], dtype=ids_dtype)
    cos, sin = ropejit.build_rope_cache(20, 16)
    q_rot, _ = ropejit.apply_rope(q, None, cos, sin, backend, position_ids=ids)
    assert torch.isnan(q_rot[1, 2]).all()
    q, ids, q_rot = q[:1], ids[:1], q_rot[:1]
    assert_tensor(q_rot, q, ids.numpy(), "float32")


@pytest.mark.parametrize("angles", ["table", "exact"])
def test_module(normal, angles):
    rope = ropejit.RotaryEmbedding(dim=32, max_seq_len=4, angles=angles)
    assert isinstance(rope, torch.nn.Module) and not rope.state_dict()
    q, k = normal((2, 6, 4, 32), "bfloat16"), normal((2, 6, 1, 32), "bfloat16")
    wanted = rope(q, k, seq_len=6)
    assert_tensor(wanted[0], q, np.arange(6), "bfloat16")
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope)), rope.to(torch.float16)):
        assert torch.equal(other(q, k)[1], wanted[1])
    ids = torch.tensor([[3, 100_000, -2, 0, 1, 2]])
    assert_tensor(rope(q, position_ids=ids)[0], q, ids.numpy(), "bfloat16")


def test_tables_of_any_floating_dtype():
    wide = ropejit.build_rope_cache(50, 16, dtype=torch.float64)[1]
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        narrow = ropejit.build_rope_cache(50, 16, device="cpu", dtype=dtype)[1]
        assert narrow.dtype == dtype
        assert (narrow.double() - wide).abs().max() <= torch.finfo(dtype).eps / 2
    with pytest.raises(TypeError, match="dtype"):
        ropejit.build_rope_cache(50, 16, dtype=torch.int32)
