"""Models of Hugging Face transformers with small random weights.

Whoever imports this is skipped where there is no torch or no transformers.
"""

import sys

import pytest

from ropejit._dispatchers import FUNCTION

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.0")

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
