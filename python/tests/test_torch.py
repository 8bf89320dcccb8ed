"""PyTorch tensors, on the CPU and on a GPU, against float64; skipped where PyTorch is missing."""

import copy
import pickle

import numpy as np
import pytest
from conftest import assert_rotated, expected

torch = pytest.importorskip("torch")

import ropejit  # noqa: E402

DTYPES = ["float32", "float16", "bfloat16"]
LAYOUTS = ["interleaved", "sequential"]


def assert_tensor(actual, x, positions, **how):
    assert isinstance(actual, torch.Tensor) and (actual.dtype, actual.device) == (x.dtype, x.device)
    dtype = str(x.dtype).split(".")[1]
    positions = positions.cpu() if isinstance(positions, torch.Tensor) else positions
    wanted = expected(x.detach().double().cpu().numpy(), positions, **how)
    # A table of float32 cosines is off by 2^-25, sine and cosine of the GPU by 2^-20.5 in 16 bits.
    assert_rotated(actual.detach().double().cpu().numpy(), wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", [None, "reference"])
@pytest.mark.parametrize("batch, seq, q_heads, kv_heads, dim", [
    (2, 7, 4, 2, 64), (1, 1, 32, 8, 128), (3, 5, 3, 1, 2), (1, 33, 2, 5, 80), (2, 4, 1, 1, 256),
])  # fmt: skip
def test_apply_rope(normal, device, dtype, layout, backend, batch, seq, q_heads, kv_heads, dim):
    q, k = normal((batch, seq, q_heads, dim), dtype), normal((batch, seq, kv_heads, dim), dtype)
    cos, sin = ropejit.build_rope_cache(seq + 2, dim, device=device)
    assert cos.dtype == sin.dtype == torch.float32 and cos.shape == (seq + 2, dim // 2)
    q_rot, k_rot = ropejit.apply_rope(q, k, cos, sin, backend, layout=layout, offset=2)
    assert_tensor(q_rot, q, np.arange(2, seq + 2), layout=layout)
    assert_tensor(k_rot, k, np.arange(2, seq + 2), layout=layout)
    none, k_alone = ropejit.apply_rope(None, k, cos, sin, backend, layout=layout, offset=2)
    assert none is None and torch.equal(k_alone, k_rot)


def views(normal, dtype):
    """Views of [2, 6, 3, 32] with all kinds of strides."""
    yield "a slice of packed QKV", normal((2, 6, 9, 32), dtype)[:, :, 3:6]
    yield "[batch, heads, seq, dim]", normal((2, 3, 6, 32), dtype).transpose(1, 2)
    yield "[seq, batch, heads, dim]", normal((6, 2, 3, 32), dtype).transpose(0, 1)
    yield "every second token", normal((2, 12, 3, 32), dtype)[:, ::2]
    yield "unaligned", normal((2 * 6 * 3 * 32 + 1,), dtype)[1:].view(2, 6, 3, 32)
    yield "part of a longer head", normal((2, 6, 3, 40), dtype)[..., 5:37]
    yield "[batch, heads, dim, seq]", normal((2, 3, 32, 6), dtype).permute(0, 3, 1, 2)
    yield "every second element", normal((2, 6, 3, 64), dtype)[..., ::2]
    yield "heads inside the elements", normal((2, 6, 32, 3), dtype).transpose(2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_views_where_they_lie(normal, device, dtype, layout):
    cos, sin = ropejit.build_rope_cache(6, 32, device=device)
    for name, q in views(normal, dtype):
        k = q[:, :, :1].clone()
        q_rot, k_rot = ropejit.apply_rope(q, k, cos, sin, layout=layout)
        assert_tensor(q_rot, q, np.arange(6), layout=layout)
        assert_tensor(k_rot, k, np.arange(6), layout=layout)
        before, address = q.clone(), q.data_ptr()
        whole = q._base.clone()
        same, _ = ropejit.apply_rope_(q, None, cos, sin, layout=layout)
        assert same is q and q.data_ptr() == address, name
        assert_tensor(q, before, np.arange(6), layout=layout)
        # What the view does not cover has not changed.
        q.copy_(before)
        assert torch.equal(q._base, whole), name


def test_an_expanded_tensor_is_read_and_not_written(normal, device):
    cos, sin = ropejit.build_rope_cache(6, 32, device=device)
    for q in (normal((1, 6, 1, 32)).expand(2, 6, 3, 32), normal((1, 1, 1, 1)).expand(2, 6, 3, 32)):
        assert_tensor(ropejit.apply_rope(q, None, cos, sin)[0], q, np.arange(6))
        with pytest.raises(ValueError, match="q.*"):
            ropejit.apply_rope_(q, None, cos, sin)


@pytest.mark.parametrize("ids_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("backend", [None, "reference"])
def test_position_ids(normal, device, ids_dtype, backend):
    q = normal((2, 3, 4, 16))
    ids = torch.tensor([[5, 0, 9], [1, 1, 30]], dtype=ids_dtype, device=device)
    cos, sin = ropejit.build_rope_cache(20, 16, device=device)
    q_rot, _ = ropejit.apply_rope(q, None, cos, sin, backend, position_ids=ids)
    assert torch.isnan(q_rot[1, 2]).all()
    assert_tensor(q_rot[:1], q[:1], ids[:1])
    spread = ids[:1].repeat_interleave(2, 1)[:, ::2]
    assert torch.equal(
        ropejit.apply_rope(q[:1], None, cos, sin, backend, position_ids=spread)[0], q_rot[:1]
    )


@pytest.mark.parametrize("backend", [None, "reference"])
def test_offsets_and_flat_tokens(normal, device, backend):
    cos, sin = ropejit.build_rope_cache(20, 16, device=device)
    q, k = normal((2, 3, 4, 16), "bfloat16"), normal((2, 3, 1, 16), "bfloat16")
    offset = torch.tensor([4, 11], device=device)
    positions = np.array([[4, 5, 6], [11, 12, 13]])
    q_rot, k_rot = ropejit.apply_rope(q, k, cos, sin, backend, offset=offset)
    assert_tensor(q_rot, q, positions)
    assert_tensor(k_rot, k, positions)
    for one in (torch.tensor(7, device=device), torch.tensor([7], device=device)):
        q_rot, _ = ropejit.apply_rope(q, None, cos, sin, backend, offset=one)
        assert_tensor(q_rot, q, np.arange(7, 10))
    flat = normal((7, 4, 16), "float16")
    bounds = torch.tensor([0, 3, 7], dtype=torch.int32, device=device)
    for x in (flat, flat[None]):
        x_rot, _ = ropejit.apply_rope(
            x, None, cos, sin, backend, cu_seqlens=bounds, offset=offset.int()
        )
        assert x_rot.shape == x.shape
        assert_tensor(x_rot.view(1, 7, 4, 16), flat[None], np.array([4, 5, 6, 11, 12, 13, 14]))


def test_a_table_for_each_sequence(normal, device):
    q = normal((3, 4, 2, 16))
    positions = torch.tensor([[0, 1, 2, 3], [50, 51, 60, 61], [9, 8, 7, 6]])
    table = ropejit.build_rope_cache(70, 16, device=device)
    cos, sin = (t[positions.to(device)] for t in table)
    for q in (q, q.transpose(1, 2).contiguous().transpose(1, 2)):
        assert_tensor(ropejit.apply_rope(q, None, cos, sin)[0], q, positions)
    halves = torch.cat([cos, cos], -1), torch.cat([sin, sin], -1)
    q_rot, _ = ropejit.apply_rope(q, None, *halves, rotary_dim=16, layout="sequential")
    assert_tensor(q_rot, q, positions, layout="sequential")
    repeated = cos.repeat_interleave(2, -1)[..., ::2], sin.repeat_interleave(2, -1)[..., ::2]
    assert_tensor(ropejit.apply_rope(q, None, *repeated)[0], q, positions)


@pytest.mark.parametrize("angles", ["table", "exact"])
def test_module(normal, device, angles):
    rope = ropejit.RotaryEmbedding(dim=32, max_seq_len=4, angles=angles)
    assert isinstance(rope, torch.nn.Module) and not rope.state_dict()
    assert not list(rope.parameters()) and not list(rope.buffers())
    q, k = normal((2, 6, 4, 32), "bfloat16"), normal((2, 6, 1, 32), "bfloat16")
    wanted = rope(q, k, seq_len=6)
    assert_tensor(wanted[0], q, np.arange(6))
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope)), rope.to(torch.float16)):
        assert torch.equal(other(q, k)[1], wanted[1]) and repr(other) == repr(rope)
    ids = torch.tensor([[3, 100_000, -2, 0, 1, 2]], device=device)
    assert_tensor(rope(q, position_ids=ids)[0], q, ids)
    for offset in (5, 0, -3, 10**9, 1):  # again and again, by what the last call left
        assert_tensor(rope(q, k, offset=offset)[1], k, np.arange(offset, offset + 6))
        same, _ = rope.rotate_(k.clone(), offset=offset)
        assert_tensor(same, k, np.arange(offset, offset + 6))


def test_module_as_it_is_documented_by_others(normal, device):
    rope = ropejit.RotaryEmbedding(dim=128, max_seq_len=8192, base=10000.0)
    q, k = normal((2, 512, 32, 128), "float16"), normal((2, 512, 8, 128), "float16")
    ids = torch.arange(1000, 1512, device=device).expand(2, 512)
    for result in (rope(q, k), rope(q, k, seq_len=512)):
        assert_tensor(result[0], q, np.arange(512))
        assert_tensor(result[1], k, np.arange(512))
    one = rope(q[:, :1], k[:, :1], seq_len=1, offset=1)
    assert_tensor(one[1], k[:, :1], np.array([1]))
    assert_tensor(rope(q, k, position_ids=ids)[1], k, ids)


def test_tables_of_any_floating_dtype(device):
    wide = ropejit.build_rope_cache(50, 16, device=device, dtype=torch.float64)[1]
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        narrow = ropejit.build_rope_cache(50, 16, device=device, dtype=dtype)[1]
        assert narrow.dtype == dtype and narrow.device == wide.device
        assert (narrow.double() - wide).abs().max() <= torch.finfo(dtype).eps / 2
    with pytest.raises(TypeError, match="dtype"):
        ropejit.build_rope_cache(50, 16, dtype=torch.int32)


def test_negated_views_and_subclasses(device):
    cos, sin = ropejit.build_rope_cache(5, 8, device=device)
    x = torch.randn(1, 5, 2, 8, device=device)
    wanted = ropejit.apply_rope(-x, None, cos, sin)[0]
    view = x.clone()._neg_view()
    assert torch.equal(ropejit.apply_rope(view, None, cos, sin)[0], wanted)
    ropejit.apply_rope_(view, None, cos, sin)
    assert torch.equal(view.resolve_neg(), wanted)

    class Tagged(torch.Tensor):
        pass

    tagged = ropejit.apply_rope((-x).as_subclass(Tagged), None, cos, sin)[0]
    assert type(tagged) is Tagged and torch.equal(tagged.as_subclass(torch.Tensor), wanted)


@pytest.mark.parametrize("angles", ["table", "exact"])
def test_releases_without_the_exchange_api(device, angles):
    """Tensors of PyTorch before 2.10 go by __dlpack__."""
    import subprocess
    import sys

    code = f"""
import torch, ropejit
ropejit._core.use_exchange_api = lambda tensor_type: False
q = torch.randn(2, 3, 4, 16, device={device!r})
rope = ropejit.RotaryEmbedding(16, angles={angles!r})
wanted = ropejit.rope_reference(q, None, *ropejit.build_rope_cache(5, 16, device={device!r}),
                                offset=2)[0]
assert torch.allclose(rope(q, offset=2)[0], wanted, atol=1e-5)
weight = torch.nn.Parameter(q.clone())
with torch.no_grad():
    rope.rotate_(weight, offset=2)
assert torch.allclose(weight, wanted, atol=1e-5)
grad, = torch.autograd.grad(rope(weight, offset=2)[0].pow(2).sum(), weight)
assert torch.allclose(grad, 2 * weight, atol=1e-4)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("make_bad, error, message", [
    (lambda q: q.double(), TypeError, "q: dtype float64: must be float32, float16 or bfloat16"),
    (lambda q: q.int(), TypeError, "q: dtype int32"),
    (lambda q: q.to("meta"), TypeError, "q: .*(meta|DLPack)"),
    (lambda q: q.to_sparse(), TypeError, "q: .*(storage|DLPack)"),
    (lambda q: q[0, 0], ValueError, r"q: shape \[4, 16\]"),
    (lambda q: q[..., :8], ValueError, "cos: shape"),
])  # fmt: skip
def test_wrong_tensors(normal, device, make_bad, error, message):
    cos, sin = ropejit.build_rope_cache(8, 16, device=device)
    bad = make_bad(normal((2, 3, 4, 16)))
    for call in (ropejit.apply_rope, ropejit.apply_rope_):
        with pytest.raises(error, match=message):
            call(bad, None, cos, sin)


def test_wrong_companions(normal, device):
    cos, sin = ropejit.build_rope_cache(8, 16, device=device)
    q, rope = normal((2, 3, 4, 16)), ropejit.RotaryEmbedding(16)
    rope(q)
    for name, error, arguments in [
        ("k: dtype", TypeError, dict(k=normal((2, 3, 1, 16), "float16"))),
        ("k: shape", ValueError, dict(k=normal((2, 4, 1, 16)))),
        ("position_ids: dtype", TypeError, dict(position_ids=normal((2, 3)))),
        ("offset", TypeError, dict(offset=1.5)),
        ("rotary_dim = 0", ValueError, dict(rotary_dim=0)),
        ("layout", ValueError, dict(layout="diagonal")),
        ("offset: shape", ValueError, dict(offset=torch.arange(3, device=device))),
    ]:  # fmt: skip
        with pytest.raises(error, match=name):
            ropejit.apply_rope(q, arguments.pop("k", None), cos, sin, **arguments)
    with pytest.raises(ValueError, match="dim = 16"):
        rope(normal((2, 3, 4, 32)))
    with pytest.raises(ValueError, match="seq_len = 2"):
        rope(q, seq_len=2)
    with pytest.raises(ValueError, match="cos: requires grad"):
        ropejit.apply_rope(q, None, cos.requires_grad_(), sin)
