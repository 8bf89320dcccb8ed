"""patch() and unpatch(), on models of Hugging Face transformers with small random weights."""

import copy
import gc
import io
import pickle
import sys
import warnings

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.0")

import ropejit  # noqa: E402
from ropejit import _tables  # noqa: E402
from ropejit._dispatchers import FUNCTION, Rotation  # noqa: E402

FAMILIES = ["llama", "qwen2", "gemma", "gpt_neox", "gptj", "glm"]
OTHERS = ["mistral", "qwen3", "phi", "cohere", "gemma3_text", "codegen"]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]
# Big weights: with the usual ones attention is nearly even, and logits say little of positions.
SIZES = dict(
    vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=128,
    initializer_range=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=None,
)  # fmt: skip
GPTJ_SIZES = dict(
    vocab_size=97, n_embd=64, n_layer=2, n_head=4, n_positions=128, rotary_dim=8,
    initializer_range=0.3, bos_token_id=1, eos_token_id=None, tie_word_embeddings=False,
    attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
)  # fmt: skip


def make_config(family, **changes):
    sizes = GPTJ_SIZES if family in ("gptj", "codegen") else SIZES
    if family == "codegen":
        changes["n_ctx"] = sizes["n_positions"]
    if family == "gemma3_text":  # different frequencies
        changes["layer_types"] = ["sliding_attention", "full_attention"]
    return transformers.AutoConfig.for_model(family, **{**sizes, **changes})


def make_model(family, device="cpu", dtype="float32", **changes):
    torch.manual_seed(5)
    model = transformers.AutoModelForCausalLM.from_config(
        make_config(family, **changes), dtype=getattr(torch, dtype)
    )
    return model.to(device).eval()


def some_tokens(device="cpu", shape=(2, 12)):
    return torch.randint(3, 97, shape, generator=torch.Generator().manual_seed(6)).to(device)


def logits_of(model, tokens=None, **how):
    with torch.no_grad():
        return model(some_tokens(model.device) if tokens is None else tokens, **how).logits


def function_of(model):
    """The rotary function that the model's attention calls."""
    return getattr(modeling_module(model), FUNCTION)


def modeling_module(model):
    return sys.modules[type(model).__module__]


def table_of(model):
    """The first attention's table of angles, as GPT-J and CodeGen have it before 5.24, or None."""
    for module in model.modules():
        if type(module).__name__.endswith("Attention") and "embed_positions" in module._buffers:
            return module.embed_positions
    return None


@pytest.fixture(autouse=True)
def nothing_stays_patched():
    """Every test gives the functions back that it had replaced."""
    yield
    for module in list(sys.modules.values()):
        name = getattr(module, "__name__", "")
        is_modeling = name.startswith("transformers.models.") or name == __name__
        if is_modeling and FUNCTION in vars(module):
            assert vars(module)[FUNCTION].__module__ != "ropejit._dispatchers", name


@pytest.fixture
def patched():
    """patched(model): patches it until the test ends."""
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
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES + OTHERS)
def test_logits(family, device, patched, count_rotations):
    model = make_model(family, device)
    wanted = logits_of(model)
    # Rotation is relative: a shift of a row would change nothing.
    ids = torch.stack([torch.arange(5, 17), torch.arange(0, 36, 3)]).to(device)
    spread = logits_of(model, position_ids=ids)
    moved = logits_of(model, position_ids=ids[1:])
    patched(model)
    count_rotations.clear()
    difference = (logits_of(model) - wanted).abs().max()
    assert len(count_rotations) == (4 if family in ("gptj", "codegen") else 2)
    assert difference <= 1e-5 * wanted.abs().max()
    difference = (logits_of(model, position_ids=ids) - spread).abs().max()
    assert difference <= 1e-5 * wanted.abs().max()
    # The logits can tell a wrong rotation.
    assert (moved - wanted).abs().max() > 1e-2 * wanted.abs().max()


SCALED = {
    "linear": dict(factor=4.0),
    "dynamic": dict(factor=4.0),
    "yarn": dict(factor=4.0, original_max_position_embeddings=32),
    "llama3": dict(
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
    ),
    "longrope": dict(
        short_factor=[1.0 + i / 8 for i in range(8)], long_factor=[2.0 + i for i in range(8)],
        factor=4.0, original_max_position_embeddings=32,
    ),
}  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scaling", SCALED)
def test_scaled_frequencies(scaling, device, patched):
    rope_parameters = dict(rope_type=scaling, rope_theta=10000.0, **SCALED[scaling])
    model = make_model(
        "llama", device, rope_parameters=rope_parameters,
        max_position_embeddings=32 if scaling == "dynamic" else 128,
    )  # fmt: skip
    # Beyond the trained context and within it: some frequencies depend on the length.
    batches = [some_tokens(device, (2, tokens)) for tokens in (48, 12, 56)]
    wanted = [logits_of(model, tokens) for tokens in batches]
    patched(model)
    for tokens, logits in zip(batches, wanted):
        assert (logits_of(model, tokens) - logits).abs().max() <= 2e-5 * logits.abs().max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_in_bfloat16(family, device, patched):
    model = make_model(family, device, "bfloat16")
    wide = make_model(family, device)
    wide.load_state_dict(model.state_dict())
    exact = logits_of(wide)
    noise = (logits_of(model).float() - exact).square().mean()
    error = (logits_of(patched(model)).float() - exact).square().mean()
    assert 0 < error <= 1.5 * noise


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_generation_with_a_cache(family, device, patched, count_rotations):
    model = make_model(family, device)
    tokens = some_tokens(device, (3, 7))
    mask = torch.ones_like(tokens)
    mask[1, :3] = mask[2, :5] = 0  # padded on the left, so positions differ by row
    tokens[mask == 0] = 0
    how = dict(
        attention_mask=mask, max_new_tokens=20, min_new_tokens=20, do_sample=False, use_cache=True,
        pad_token_id=0,
    )  # fmt: skip
    wanted = model.generate(tokens, **how)
    patched(model)
    count_rotations.clear()
    actual = model.generate(tokens, **how)
    assert wanted.shape == (3, 27) and torch.equal(actual, wanted)
    last, table = count_rotations[-1], table_of(model)
    if table is not None:
        last = (last[:, :, None] == table).all(-1).int().argmax(-1)
    assert last[:, 0].tolist() == [25, 22, 20]  # one new token for each row


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_step(family, checkpointing, device, patched):
    def gradients(model):
        model.train()
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        tokens = some_tokens(device)
        model(tokens, labels=tokens).loss.backward()
        return {name: weight.grad for name, weight in model.named_parameters()}

    model = make_model(family, device)
    other = copy.deepcopy(model)
    wanted = gradients(model)
    actual = gradients(patched(other))
    assert wanted.keys() == actual.keys()
    for name, gradient in wanted.items():
        assert gradient is not None
        limit = 2e-5 * gradient.abs().max() + 1e-7
        assert (actual[name] - gradient).abs().max() <= limit, name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_unpatch_restores(family, device):
    model = make_model(family, device)
    function, keys = function_of(model), list(model.state_dict())
    attributes = [set(vars(module)) for module in model.modules()]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    wanted = logits_of(model)
    assert ropejit.patch(model) is model
    assert function_of(model) is not function
    assert list(model.state_dict()) == keys
    assert ropejit.unpatch(model) is model
    assert function_of(model) is function
    assert attributes == [set(vars(module)) for module in model.modules()]
    for name, buffer in model.named_buffers():
        assert type(buffer) is type(buffers[name]) and torch.equal(buffer, buffers.pop(name))
    assert not buffers
    assert torch.equal(logits_of(model), wanted)


@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_other_models_are_not_affected(family, patched):
    one, other = make_model(family), make_model(family)
    function = function_of(one)
    wanted = logits_of(other)
    patched(one)
    assert torch.equal(logits_of(other), wanted)
    patched(other)
    ropejit.unpatch(one)
    assert function_of(one) is not function
    assert torch.equal(logits_of(one), wanted)
    ropejit.unpatch(other)
    assert function_of(one) is function


def test_twice(patched):
    model = make_model("llama")
    function = function_of(model)
    assert ropejit.unpatch(model) is model
    forward = vars(patched(model).model.rotary_emb)["forward"]
    wanted = logits_of(model)
    ropejit.patch(model)
    assert vars(model.model.rotary_emb)["forward"] is forward
    assert torch.equal(logits_of(model), wanted)
    ropejit.unpatch(model)
    ropejit.unpatch(model)
    assert function_of(model) is function


def save_and_load(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), save_and_load]
)
@pytest.mark.parametrize("family", ["llama", "gptj", "gemma3_text"])
def test_copies_and_pickles(family, copied):
    model = make_model(family)
    function = function_of(model)
    unpatched = copied(model)
    wanted = logits_of(ropejit.patch(model))
    other = copied(model)
    ropejit.unpatch(model)
    assert function_of(model) is not function
    assert torch.equal(logits_of(other), wanted)
    assert not torch.equal(logits_of(unpatched), wanted)
    ropejit.unpatch(other)
    assert function_of(model) is function
    assert torch.equal(logits_of(other), logits_of(unpatched))


def test_a_pickle_comes_back_without_its_model():
    model = make_model("llama")
    function = function_of(model)
    wanted = logits_of(ropejit.patch(model))
    pickled = pickle.dumps(model)
    ropejit.unpatch(model)
    assert function_of(model) is function
    other = pickle.loads(pickled)
    assert torch.equal(logits_of(other), wanted)
    ropejit.unpatch(other)


def test_a_patched_model_that_is_gone_holds_nothing():
    model, other = make_model("llama"), ropejit.patch(make_model("llama"))
    function = vars(modeling_module(model))[FUNCTION]
    del other
    gc.collect()
    ropejit.unpatch(ropejit.patch(model))
    assert function_of(model) is not function


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES + ["gemma3_text"])
def test_compiled_whole(family, device, patched, fresh_compiler):
    model = make_model(family, device)
    wanted = logits_of(model, use_cache=False)
    compiled = torch.compile(patched(model), backend="aot_eager", fullgraph=True)
    actual = logits_of(compiled, some_tokens(device), use_cache=False)
    assert (actual - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("family", ["llama", "gptj", "codegen"])
def test_a_model_that_is_compiled_already(family, fresh_compiler):
    model = make_model(family)
    tokens = some_tokens()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    plain = logits_of(compiled, tokens, use_cache=False)
    wanted = logits_of(ropejit.patch(model), use_cache=False)
    assert torch.equal(logits_of(compiled, tokens, use_cache=False), wanted)
    ropejit.unpatch(model)
    assert torch.equal(logits_of(compiled, tokens, use_cache=False), plain)
    assert not torch.equal(plain, wanted)


@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_models_of_one_config_share_what_is_compiled(family, patched, fresh_compiler):
    """Else the ninth would not be compiled."""
    from torch._dynamo.testing import CompileCounterWithBackend

    def compilations(models):
        torch._dynamo.reset()
        counter = CompileCounterWithBackend("aot_eager")
        for model in models:
            wanted = logits_of(model, use_cache=False)
            compiled = torch.compile(model, backend=counter, fullgraph=True)
            actual = logits_of(compiled, some_tokens(), use_cache=False)
            assert (actual - wanted).abs().max() <= 1e-5 * wanted.abs().max()
        return counter.frame_count

    models = [make_model(family), make_model(family)]
    once = compilations(models)
    for model in models:
        patched(model)
    assert compilations(models) == once
    if family == "llama":  # frequencies that others do not share
        parameters = dict(rope_type="default", rope_theta=500.0)
        models.append(patched(make_model(family, rope_parameters=parameters)))
        assert compilations(models) > once


def test_a_compiled_model_inside_a_container(patched, fresh_compiler):
    model = make_model("qwen2")
    container = torch.nn.ModuleDict({"adapted": torch.compile(model, backend="eager")})
    wanted = logits_of(model)
    patched(container)
    assert "forward" in vars(model.model.rotary_emb)
    assert (logits_of(model) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    ropejit.unpatch(container)
    assert torch.equal(logits_of(model), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_whose_buffers_were_rounded(family, patched):
    model = make_model(family)
    wanted = logits_of(model)
    model.to(torch.bfloat16)
    patched(model)
    model.float()  # the weights are rounded, ropejit's frequencies never were
    assert (logits_of(model) - wanted).abs().mean() < 0.2 * wanted.abs().mean()


def test_a_model_that_gets_its_memory_later(patched):
    model = make_model("llama")
    weights, wanted = model.state_dict(), logits_of(model)
    with torch.device("meta"):
        late = transformers.AutoModelForCausalLM.from_config(make_config("llama")).eval()
    patched(late)
    late.to_empty(device="cpu").load_state_dict(weights)
    assert (logits_of(late) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_hooks_that_wrap_forward(patched):
    """As accelerate's: they keep what they wrap as _old_forward."""
    model = make_model("llama")
    rotary = model.model.rotary_emb
    wanted = logits_of(model)
    own = rotary.forward
    rotary.forward = hook = lambda *args, **kwargs: own(*args, **kwargs)
    ropejit.unpatch(ropejit.patch(model))
    assert vars(rotary)["forward"] is hook
    del rotary.forward

    ropejit.patch(model)
    rotary._old_forward = rotary.forward
    rotary.forward = hook = lambda *args, **kwargs: rotary._old_forward(*args, **kwargs)
    ropejit.patch(model)
    assert vars(rotary)["forward"] is hook
    ropejit.unpatch(model)
    assert vars(rotary)["forward"] is hook
    assert torch.equal(logits_of(model), wanted)


def test_a_model_that_rotates_otherwise_is_refused():
    model = make_model("llama")
    function = function_of(model)
    wanted = logits_of(model)
    model.model.rotary_emb.inv_freq.mul_(1.01)
    moved = logits_of(model)
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="model_type 'llama': .* differ by .* position"):
        ropejit.patch(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert function_of(model) is function and "forward" not in vars(model.model.rotary_emb)
    assert torch.equal(logits_of(model), moved) and not torch.equal(moved, wanted)


def test_patching_leaves_random_numbers_alone(patched):
    model = make_model("llama")
    state = torch.get_rng_state()
    patched(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_can_be_patched_in_part(patched):
    good, bad = make_model("llama"), make_model("qwen2")
    bad.model.rotary_emb.inv_freq.mul_(1.01)
    wanted = logits_of(bad)
    both = torch.nn.ModuleDict({"good": good, "bad": bad})
    with pytest.warns(UserWarning, match="bad.model.rotary_emb: model_type 'qwen2'"):
        patched(both)
    assert "forward" in vars(good.model.rotary_emb)
    assert torch.equal(logits_of(bad), wanted)


def test_a_model_with_several_rotary_embeddings(patched):
    """As GraniteSWA: one for each base of its layers in a list, and one that is not used."""
    model = make_model("llama")
    inner = model.model
    wanted = logits_of(model)
    other = type(inner.rotary_emb)(model.config)
    inner.rotary_embs = torch.nn.ModuleList([other])
    patched(model)
    assert "forward" in vars(other) and "forward" in vars(inner.rotary_emb)
    assert (logits_of(model) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_other_arguments_are_refused(patched):
    for function in (ropejit.patch, ropejit.unpatch):
        with pytest.raises(TypeError, match="model: a str"):
            function("llama")
    with pytest.raises(ValueError, match="model: has no module named rotary_emb, and no attention"):
        ropejit.patch(torch.nn.Linear(2, 2))
    odd = torch.nn.Module()
    odd.rotary_emb = torch.nn.Identity()
    with pytest.raises(ValueError, match="rotary_emb: neither it nor .* config"):
        ropejit.patch(odd)
    odd.config = make_config("llama")
    with pytest.raises(ValueError, match="no attention in Module calls apply_rotary_pos_emb"):
        ropejit.patch(odd)
    model = make_model("llama")
    model.model.rotary_emb = torch.nn.Identity()
    model.model.rotary_emb.config = model.config
    with pytest.raises(ValueError, match="its forward.* position_ids"):
        ropejit.patch(model)


def test_a_function_of_another_form_is_refused(monkeypatch):
    model = make_model("llama")
    monkeypatch.setattr(modeling_module(model), FUNCTION, lambda q, k, v, cos, sin: None)
    with pytest.raises(ValueError, match="apply_rotary_pos_emb.q, k, v, cos, sin."):
        ropejit.patch(model)


def test_positions_of_another_shape_are_refused(patched):
    rotary = patched(make_model("gemma3_text")).model.rotary_emb
    ids = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="position_ids: shape .3, 2, 3."):
        rotary(None, ids.expand(3, 2, 3), "full_attention")
    with pytest.raises(ValueError, match="layer_type = 'other'"):
        rotary(None, ids, "other")


def test_a_family_that_is_patched_says_nothing(patched):
    model = make_model("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patched(model)


def apply_rotary_pos_emb(tensor, sin, cos):
    """GPT-J's."""
    sin, cos = (angles[:, :, None].repeat_interleave(2, 3) for angles in (sin, cos))
    turned = torch.stack((-tensor[..., 1::2], tensor[..., ::2]), -1).flatten(-2)
    return tensor * cos + turned * sin


class TableAttention(torch.nn.Module):
    """What attention does in GPT-J (gathers) and CodeGen before transformers 5.24."""

    def __init__(self, gathers=True):
        super().__init__()
        self.gathers = gathers
        angles = torch.arange(64.0)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
        table = torch.cat([angles.sin(), angles.cos()], 1)
        self.register_buffer("embed_positions", table, persistent=False)

    def forward(self, x, position_ids):
        rows = self.embed_positions
        if self.gathers:
            rows = rows.repeat(len(position_ids), 1, 1)
            repeated = position_ids.unsqueeze(-1).repeat(1, 1, rows.shape[-1])
            rows = torch.gather(rows, 1, repeated).to(x.dtype)
        else:
            rows = rows[position_ids]
        sin, cos = torch.split(rows, rows.shape[-1] // 2, dim=-1)
        return apply_rotary_pos_emb(x, sin, cos)


def some_heads(dtype=None):
    """x and position_ids for TableAttention."""
    x = torch.rand(2, 3, 5, 8, generator=torch.Generator().manual_seed(7)).to(dtype) * 2 - 1
    return x.requires_grad_(), torch.tensor([[0, 1, 2], [63, 7, 31]])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gathers", [True, False])
def test_a_table_of_attention(gathers, dtype, rows, patched, count_rotations):
    attention = TableAttention(gathers)
    x, ids = some_heads(dtype)
    wanted = attention(x, ids[:rows])
    weights = torch.linspace(-1, 1, wanted.numel()).view(wanted.shape)
    (gradient,) = torch.autograd.grad((wanted * weights).sum(), x)
    patched(attention)
    count_rotations.clear()
    actual = attention(x, ids[:rows])
    assert len(count_rotations) == 1
    assert type(actual) is torch.Tensor and actual.dtype == wanted.dtype
    limit = 4 * torch.finfo(dtype).eps
    assert (actual - wanted).abs().max() <= limit
    (other,) = torch.autograd.grad((actual * weights).sum(), x)
    assert (other - gradient).abs().max() <= limit


def test_a_table_moves_with_its_model(patched, count_rotations):
    attention = patched(TableAttention())
    assert attention.state_dict() == {}
    (buffer,) = attention.buffers()
    x, ids = some_heads(torch.bfloat16)
    attention.to(torch.bfloat16)
    count_rotations.clear()
    attention(x, ids)
    assert len(count_rotations) == 1
    ropejit.unpatch(attention)
    assert type(attention.embed_positions) is torch.Tensor
    assert torch.equal(attention.embed_positions, buffer.bfloat16())


def test_a_table_stays_where_it_is():
    attention = TableAttention()
    before = attention.embed_positions
    ropejit.patch(attention)
    assert ropejit.patch(attention).embed_positions.data_ptr() == before.data_ptr()
    other = copy.deepcopy(attention)
    other.embed_positions.zero_()
    ropejit.unpatch(attention)
    assert attention.embed_positions.data_ptr() == before.data_ptr() and before.any()
    ropejit.unpatch(other)
    attention.embed_positions = ropejit.patch(attention).embed_positions + 0.0  # by somebody else
    ropejit.unpatch(attention)
    assert type(attention.embed_positions) is torch.Tensor


def test_a_table_that_gets_its_memory_later(patched, count_rotations):
    attention = TableAttention()
    late = patched(copy.deepcopy(attention).to("meta")).to_empty(device="cpu")
    late.embed_positions.copy_(attention.embed_positions)
    count_rotations.clear()
    x, ids = some_heads(torch.float32)
    assert (late(x, ids) - attention(x, ids)).abs().max() <= 1e-6
    assert len(count_rotations) == 1


@pytest.mark.parametrize("gathers", [True, False])
def test_a_table_is_compiled(gathers, patched, fresh_compiler):
    attention = TableAttention(gathers)
    x, ids = some_heads(torch.float32)
    wanted = attention(x, ids)
    compiled = torch.compile(patched(attention), backend="aot_eager", fullgraph=True)
    actual = compiled(x, ids)
    assert type(actual) is torch.Tensor
    assert (actual - wanted).abs().max() <= 1e-6
    actual.sum().backward()
    assert x.grad.any()


def turned_back(tensor, sin, cos):
    return rotate(tensor, -sin, cos)


rotate = apply_rotary_pos_emb  # also while another function has its name


@pytest.mark.parametrize(
    "function, message",
    [
        (turned_back, "h.0 and 1 more: TableAttention: its rotation .* differ by"),
        (lambda x, sin, cos: x * sin, "TableAttention: its apply_rotary_pos_emb takes no table"),
        (lambda q, k, cos, sin: (q, k), "must take .tensor, sin, cos."),
        (lambda x, cos, sin, unsqueeze_dim=1: x, "must take .tensor, sin, cos."),
    ],
)
def test_a_table_for_another_function_is_refused(function, message, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], FUNCTION, function)
    model = torch.nn.ModuleDict({"h": torch.nn.ModuleList([TableAttention(), TableAttention()])})
    with pytest.raises(ValueError, match=message):
        ropejit.patch(model)
    assert vars(sys.modules[__name__])[FUNCTION] is function
    assert {type(buffer) for buffer in model.buffers()} == {torch.Tensor}
