"""Gradients, transforms and graphs of PyTorch; skipped where it is missing."""

import pytest

torch = pytest.importorskip("torch")

import ropejit  # noqa: E402

LAYOUTS = ["interleaved", "sequential"]


@pytest.fixture
def table(device):
    return ropejit.build_rope_cache(12, 16, device=device)


def gradients(rotate, q, k, weights):
    q, k = q.clone().requires_grad_(), k.clone().requires_grad_()
    outputs = rotate(q, k)
    loss = sum((out.double() * w).sum() for out, w in zip(outputs, weights))
    return torch.autograd.grad(loss, (q, k))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("bfloat16", 4e-2)])
@pytest.mark.parametrize("how", ["offset", "position_ids", "offsets", "ragged", "partial", "exact"])
def test_gradients_are_the_reference_s(normal, device, table, layout, dtype, tolerance, how):
    q, k = normal((2, 5, 4, 16), dtype), normal((2, 5, 2, 16), dtype)
    weights = [torch.randn(x.shape, device=device, dtype=torch.float64) for x in (q, k)]
    ids = torch.tensor([[3, 0, 11, 2, 2], [1, 5, 4, 9, 7]], device=device)
    options = {
        "offset": dict(offset=3), "position_ids": dict(position_ids=ids),
        "offsets": dict(offset=ids[:, 0]), "partial": dict(rotary_dim=8), "exact": {},
        "ragged": dict(cu_seqlens=torch.tensor([0, 3, 10], device=device)),
    }[how]  # fmt: skip
    if how == "ragged":
        q, k = q.flatten(0, 1), k.flatten(0, 1)
        weights = [w.flatten(0, 1) for w in weights]
    rotate = ropejit.apply_rope
    if how == "exact":
        rope = ropejit.RotaryEmbedding(16, layout=layout, angles="exact")

        def rotate(q, k, cos, sin, layout):
            return rope(q, k)

    actual = gradients(lambda *x: rotate(*x, *table, layout=layout, **options), q, k, weights)
    wanted = gradients(
        lambda q, k: ropejit.rope_reference(q.double(), k.double(), *table, layout=layout,
                                            **options), q, k, weights)  # fmt: skip
    for a, w in zip(actual, wanted):
        assert a.dtype == q.dtype
        assert (a.double() - w.double()).abs().max() < tolerance * 9


def test_gradcheck_of_the_reference(device, table):
    """The reference differentiates right in float64, and the kernels' gradients are held to it."""
    q = torch.randn(1, 3, 2, 16, device=device, dtype=torch.float64, requires_grad=True)
    for layout in LAYOUTS:
        assert torch.autograd.gradcheck(
            lambda q: ropejit.rope_reference(q, None, *table, layout=layout)[0], (q,)
        )


def test_second_derivatives(normal, table):
    q = normal((1, 4, 2, 16)).requires_grad_()
    seconds = []
    for rotate in (ropejit.apply_rope, ropejit.rope_reference):
        (first,) = torch.autograd.grad(
            rotate(q, None, *table)[0].pow(3).sum(), q, create_graph=True
        )
        seconds += torch.autograd.grad(first.pow(2).sum(), q)
    assert torch.allclose(*seconds, rtol=1e-4, atol=1e-3)


def test_gradients_of_what_was_used(normal, table):
    q, k = normal((2, 3, 4, 16)).requires_grad_(), normal((2, 3, 1, 16))
    q_rot, k_rot = ropejit.apply_rope(q, k, *table)
    assert q_rot.requires_grad and not torch.autograd.grad(q_rot.sum(), q)[0].isnan().any()
    k.requires_grad_()
    ropejit.apply_rope(q, k, *table)[1].sum().backward()  # the gradient is one number, expanded
    assert q.grad is None or not q.grad.any()
    wanted = ropejit.apply_rope(torch.ones_like(k.detach()), None, *table, inverse=True)[0]
    assert torch.allclose(k.grad, wanted, atol=1e-6)


def test_the_attention_factor_is_part_of_the_gradient(normal):
    config = {
        "model_type": "llama", "hidden_size": 64, "num_attention_heads": 2, "head_dim": 32,
        "max_position_embeddings": 4096,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                         "original_max_position_embeddings": 1024},
    }  # fmt: skip
    rope = ropejit.RotaryEmbedding.from_config(config)
    q = normal((1, 3, 2, 32)).requires_grad_()
    rotated, _ = rope(q)
    factor = rotated.detach().norm() / q.detach().norm()
    assert factor > 1.1
    (grad,) = torch.autograd.grad(rotated.pow(2).sum() / 2, q)
    assert torch.allclose(grad, q * factor**2, atol=1e-4)


def test_in_place_is_refused_as_pytorch_does(normal, table):
    q, k = normal((2, 3, 4, 16)), normal((2, 3, 1, 16)).requires_grad_()
    before = q.clone()
    for leaf in (k, k[:, :2]):
        with pytest.raises(RuntimeError, match="k: .*leaf.*in-place"):
            ropejit.apply_rope_(q[:, : leaf.shape[1]], leaf, *table)
    assert torch.equal(q, before)
    with torch.inference_mode():
        inference = torch.ones(2, 3, 4, 16, device=q.device)
        ropejit.apply_rope_(inference, None, *table)
    with torch.no_grad():
        ropejit.apply_rope_(q, k, *table)


def test_in_place_records_for_what_is_no_leaf(normal, table):
    q = normal((2, 3, 4, 16)).requires_grad_()
    middle = q * 2
    same, _ = ropejit.apply_rope_(middle, None, *table)
    assert same is middle
    (grad,) = torch.autograd.grad(same.pow(3).sum(), q)
    (wanted,) = torch.autograd.grad(ropejit.rope_reference(q * 2, None, *table)[0].pow(3).sum(), q)
    assert torch.allclose(grad, wanted, rtol=1e-4, atol=1e-4)


def test_a_write_is_counted(normal, table):
    q = normal((2, 3, 4, 16))
    weight = torch.ones_like(q, requires_grad=True)
    loss = (weight * q).sum()
    ropejit.apply_rope_(q, None, *table)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_torch_func(normal, device, table):
    q = normal((2, 5, 4, 16))
    weight = torch.randn(q.shape, device=device)

    def loss(rotate):
        return lambda x: (rotate(x, None, *table)[0].pow(2) * weight).sum()

    kernel, reference = loss(ropejit.apply_rope), loss(ropejit.rope_reference)
    for transform in (
        torch.func.grad,
        lambda f: torch.func.grad(lambda x: torch.func.grad(f)(x).sum()),
    ):
        assert torch.allclose(transform(kernel)(q), transform(reference)(q), atol=1e-4)
    tangent = torch.randn(q.shape, device=device)
    (_, a), (_, b) = (torch.func.jvp(f, (q,), (tangent,)) for f in (kernel, reference))
    assert torch.allclose(a, b, rtol=1e-4)
    thrice = q[None].repeat(3, 1, 1, 1, 1)
    assert torch.allclose(torch.func.vmap(torch.func.grad(kernel))(thrice)[2],
                          torch.func.grad(reference)(q), atol=1e-4)  # fmt: skip


@pytest.mark.parametrize("dims", [(0, None), (1, 0), (3, 1)])
def test_vmap(normal, device, dims):
    x_dim, ids_dim = dims
    x = normal((2, 5, 4, 16))
    stacked = torch.stack([x, 2 * x, x + 1], x_dim)
    ids = torch.tensor([[3, 0, 11, 2, 2], [1, 5, 4, 9, 7]], device=device)
    all_ids = ids if ids_dim is None else torch.stack([ids, ids + 1, ids - 1], ids_dim)
    rope = ropejit.RotaryEmbedding(16)
    mapped = torch.func.vmap(lambda x, ids: rope(x, position_ids=ids)[0], in_dims=dims)(
        stacked, all_ids
    )
    for i in range(3):
        one_ids = ids if ids_dim is None else all_ids.select(ids_dim, i)
        assert torch.allclose(
            mapped[i], rope(stacked.select(x_dim, i), position_ids=one_ids)[0], atol=1e-6
        )
    heads = torch.func.vmap(lambda x: rope(x)[0])(x)  # of [tokens, heads, dim]
    assert torch.allclose(heads, rope(x)[0], atol=1e-6)


def test_forward_mode(normal, device, table):
    from torch.autograd import forward_ad

    q, tangent = normal((2, 5, 4, 16)), normal((2, 5, 4, 16))
    with forward_ad.dual_level():
        dual = ropejit.apply_rope(forward_ad.make_dual(q, tangent), None, *table)[0]
        assert torch.allclose(forward_ad.unpack_dual(dual).tangent,
                              ropejit.apply_rope(tangent, None, *table)[0], atol=1e-6)  # fmt: skip


def test_functionalize_is_refused(normal, table):
    with pytest.raises(RuntimeError, match="[Ff]unctionalize"):
        torch.func.functionalize(lambda x: ropejit.apply_rope(x, None, *table)[0])(
            normal((1, 5, 2, 16))
        )


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
@pytest.mark.parametrize("angles", ["table", "exact"])
def test_compile_breaks_no_graph(normal, device, backend, angles):
    torch._dynamo.reset()
    rope = ropejit.RotaryEmbedding(16, angles=angles)
    q, k = normal((2, 5, 4, 16)), normal((2, 5, 2, 16))

    def layer(q, k, ids):
        a, b = rope(q * 2, k, offset=3)
        c, _ = rope(a, position_ids=ids)
        d = c + 1
        rope.rotate_(d, b, offset=1)
        return d * b.sum()

    ids = torch.tensor([[4, 1, 7, 0, 3]], device=device)
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    with torch.no_grad():
        assert torch.allclose(compiled(q, k, ids), layer(q, k, ids), rtol=1e-4, atol=1e-4)
    inputs = [x.clone().requires_grad_() for x in (q, k)]
    actual = torch.autograd.grad(compiled(*inputs, ids).sum(), inputs)
    wanted = torch.autograd.grad(layer(*inputs, ids).sum(), inputs)
    for a, w in zip(actual, wanted):
        assert torch.allclose(a, w, rtol=1e-3, atol=1e-3)


def test_compile_takes_a_table_and_an_offset_that_changes(normal, table):
    torch._dynamo.reset()
    q, k = normal((2, 5, 4, 16)), normal((2, 5, 2, 16))

    def step(q, k, offset):
        return ropejit.apply_rope(q, k, *table, layout="neox", offset=offset)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for offset in range(6):
        for a, w in zip(compiled(q, k, offset), step(q, k, offset)):
            assert torch.allclose(a, w, atol=1e-6)


def test_the_operators_keep_pytorch_s_rules(normal, table):
    q, k = normal((2, 5, 4, 16)), normal((2, 5, 2, 16))
    rest = (*table, None, None, None, "interleaved", 0, False, 0, 0)
    torch.library.opcheck(
        torch.ops.ropejit.rotate.default, ("", q.clone().requires_grad_(), k, *rest)
    )
    torch.library.opcheck(torch.ops.ropejit.rotate.default, ("", None, k, *rest))
    torch.library.opcheck(torch.ops.ropejit.rotate_.default, ("", q, k, *rest))


def test_fake_tensors():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        q = torch.empty(2, 4, 5, 16).transpose(1, 2)
        cos = torch.empty(5, 8)
        q_rot, none = ropejit.apply_rope(q, None, cos, cos)
        assert none is None and q_rot.shape == q.shape and q_rot.stride() == q.stride()
        assert ropejit.apply_rope_(q, None, cos, cos)[0] is q
