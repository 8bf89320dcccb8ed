"""What patch() makes of copies of models, containers and hooks, and what it refuses."""

import copy
import gc
import io
import pickle

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.0")

from transformers_models import (  # noqa: E402
    function_of,
    logits_of,
    make_config,
    make_model,
    modeling_module,
)

import ropejit  # noqa: E402
from ropejit._dispatchers import FUNCTION  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_stays_patched")


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


def test_a_compiled_model_inside_a_container(patched, fresh_compiler):
    model = make_model("qwen2")
    container = torch.nn.ModuleDict({"adapted": torch.compile(model, backend="eager")})
    wanted = logits_of(model)
    patched(container)
    assert "forward" in vars(model.model.rotary_emb)
    assert (logits_of(model) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    ropejit.unpatch(container)
    assert torch.equal(logits_of(model), wanted)


def test_a_model_that_can_be_patched_in_part(patched):
    good, bad = make_model("llama"), make_model("qwen2")
    bad.model.rotary_emb.inv_freq.mul_(1.01)
    wanted = logits_of(bad)
    both = torch.nn.ModuleDict({"good": good, "bad": bad})
    with pytest.warns(UserWarning, match="bad.model.rotary_emb: model_type 'qwen2'"):
        patched(both)
    assert "forward" in vars(good.model.rotary_emb)
    assert torch.equal(logits_of(bad), wanted)


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
