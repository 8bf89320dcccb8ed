"""patch() and unpatch(), on models of Hugging Face transformers with small random weights."""

import copy
import warnings

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.0")

from transformers_models import (  # noqa: E402
    function_of,
    logits_of,
    make_config,
    make_model,
    some_tokens,
    table_of,
)

import ropejit  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_stays_patched")

FAMILIES = ["llama", "qwen2", "gemma", "gpt_neox", "gptj", "glm"]
OTHERS = ["mistral", "qwen3", "phi", "cohere", "gemma3_text", "codegen"]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


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


def test_patching_leaves_random_numbers_alone(patched):
    model = make_model("llama")
    state = torch.get_rng_state()
    patched(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_family_that_is_patched_says_nothing(patched):
    model = make_model("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patched(model)


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
