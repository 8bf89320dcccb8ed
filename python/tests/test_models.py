"""RotaryEmbedding.from_config: against 60-digit frequencies, and transformers where it is."""

import json
import pathlib
import warnings

import numpy as np
import pytest
from conftest import assert_rotated

import ropejit

DATA = pathlib.Path(__file__).parents[2] / "tests" / "data"
CASES = json.loads((DATA / "scaled_frequencies.json").read_text())


def config_of(case):
    """A config.json that asks for the frequencies of a case."""
    given = dict(case["parameters"])
    rotary_dim, scaling = given.pop("rotary_dim"), given.pop("scaling", "none")
    scaling = "default" if scaling == "none" else scaling
    original = given.get("original_max_position_embeddings", 0)
    rope = {"rope_type": scaling, "rope_theta": given.pop("theta", 10000.0), **given}
    most = original if scaling == "dynamic" else int(original * given.get("factor", 1)) or 4096
    head_dim = rope.pop("head_dim", rotary_dim)
    if scaling == "proportional":
        rope["partial_rotary_factor"] = rotary_dim / head_dim
    if scaling == "llama3":
        rope = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, **rope}
    if scaling == "dynamic":
        rope.pop("original_max_position_embeddings")
    return {
        "model_type": "llama", "num_attention_heads": 1, "head_dim": head_dim,
        "hidden_size": head_dim, "rope_parameters": rope,
        "max_position_embeddings": most,
    }  # fmt: skip


def rotated_by(x, position, case):
    """x, [1, 1, heads, dim] in the sequential layout, by exact integer phases in float64."""
    turns = np.array([int(turn) for turn in case["turns"]], dtype=np.uint64)
    phase = (turns * np.uint64(position)).astype(np.float64) * (2 * np.pi / 2.0**64)
    turn = np.exp(1j * phase) * float(case["attention_factor"])
    half = len(turns)
    pair = (x[..., :half].astype(np.float64) + 1j * x[..., half:]) * turn
    return np.concatenate([pair.real, pair.imag], axis=-1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['case']} {case['length']}")
def test_frequencies_of_every_scaling(make, case):
    config = config_of(case)
    ropes = [ropejit.RotaryEmbedding.from_config(config)]
    if not ropes[0]._depends_on_length:
        ropes.append(ropejit.RotaryEmbedding.from_config(config, angles="table"))
    x = make((1, 1, 2, ropes[0].dim))
    for position in (1, 1000, 31337):
        if case["length"] == 0 and len(ropes) == 1:
            # Up to the trained context.
            position = min(position, case["parameters"]["original_max_position_embeddings"] - 1)
        length = case["length"] or None
        if length is not None and position >= length:
            continue
        factor = float(case["attention_factor"])
        for rope in ropes:
            actual, _ = rope(x, seq_len=length, offset=position)
            assert_rotated(actual / factor, rotated_by(x, position, case) / factor)


def test_a_config_in_every_form(tmp_path, make):
    folder = DATA / "models" / "gpt-neox-20b"
    text = (folder / "config.json").read_text()
    x = make((1, 3, 2, 96))
    wanted, _ = ropejit.RotaryEmbedding(96, rotary_dim=24, layout="sequential", angles="exact")(x)
    for config in (folder, folder / "config.json", str(folder), text, json.loads(text)):
        rope = ropejit.RotaryEmbedding.from_config(config)
        assert (rope.dim, rope.rotary_dim, rope.layout) == (96, 24, "sequential")
        np.testing.assert_array_equal(rope(x)[0], wanted)
    table = ropejit.RotaryEmbedding.from_config(folder, angles="table")
    np.testing.assert_allclose(table(x)[0], wanted, rtol=0, atol=1e-6)
    other = ropejit.RotaryEmbedding.from_config(folder, layout="interleaved")
    assert other.layout == "interleaved"


def test_layers_that_differ(make):
    folder = DATA / "models" / "gemma-3-4b"
    x = make((1, 3, 1, 256))
    ropes = [ropejit.RotaryEmbedding.from_config(folder, kind) for kind in
             ("full_attention", "sliding_attention")]  # fmt: skip
    assert [rope.base for rope in ropes] == [1e6, 1e4]
    assert not np.allclose(ropes[0](x)[0], ropes[1](x)[0])
    for kind in (None, "linear_attention"):
        with pytest.raises(
            ValueError, match="must be one of 'full_attention', 'sliding_attention'"
        ):
            ropejit.RotaryEmbedding.from_config(folder, kind)


@pytest.mark.parametrize("change, message", [
    ({"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, "spiral"),
    ({"head_dim": 15}, "head_dim = 15"),
    ({"qk_rope_head_dim": 64}, "qk_rope_head_dim"),
])  # fmt: skip
def test_from_config_refuses(change, message):
    config = json.loads((DATA / "models" / "llama-3-8b" / "config.json").read_text())
    with pytest.raises(ValueError, match=message):
        ropejit.RotaryEmbedding.from_config({**config, **change})


def test_a_layout_that_is_assumed_is_warned_of():
    config = {**json.loads((DATA / "models" / "llama-3-8b" / "config.json").read_text()),
              "model_type": "novel"}  # fmt: skip
    with pytest.warns(UserWarning, match="layout = 'sequential': assumed: model_type novel"):
        ropejit.RotaryEmbedding.from_config(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ropejit.RotaryEmbedding.from_config(config, layout="interleaved")


def test_from_config_refuses_a_table_of_what_depends_on_the_length():
    with pytest.raises(ValueError, match="angles = 'table'"):
        ropejit.RotaryEmbedding.from_config(DATA / "models" / "phi-3-mini-128k", angles="table")


def test_longer_than_the_trained_context(make):
    rope = ropejit.RotaryEmbedding.from_config(DATA / "models" / "phi-3-mini-128k")
    assert "longrope" in repr(rope)
    x = make((1, 1, 2, 96))
    short, again = rope(x, offset=100)[0], rope(x, offset=4095)[0]
    long = rope(x, offset=100, seq_len=5000)[0]
    assert not np.allclose(short, long, atol=1e-3)
    np.testing.assert_array_equal(rope(x, position_ids=np.array([100]), seq_len=5000)[0], long)
    np.testing.assert_array_equal(rope(x, position_ids=np.array([4095]))[0], again)
    np.testing.assert_array_equal(rope(x, position_ids=np.array([4096]))[0],
                                  rope(x, offset=4096)[0])  # fmt: skip
    np.testing.assert_array_equal(rope(x, offset=np.array([4096]))[0], rope(x, offset=4096)[0])
    np.testing.assert_array_equal(rope(x, offset=100)[0], short)


ROPES = {
    "default": {},
    "linear": dict(factor=4.0),
    "dynamic": dict(factor=2.0),
    "yarn": dict(factor=4.0, original_max_position_embeddings=64),
    "llama3": dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64),
    "longrope": dict(short_factor=[1.0 + i / 16 for i in range(16)],
                     long_factor=[2.0 + i / 8 for i in range(16)], factor=4.0,
                     original_max_position_embeddings=64),
}  # fmt: skip


@pytest.mark.parametrize("tokens", [40, 100])
@pytest.mark.parametrize("rope_type", ROPES)
def test_as_transformers_rotates(normal, device, rope_type, tokens):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama import modeling_llama

    config = transformers.LlamaConfig(
        hidden_size=128, num_attention_heads=4, head_dim=32,
        max_position_embeddings=64 if rope_type == "dynamic" else 256,
        rope_parameters={"rope_type": rope_type, "rope_theta": 10000.0, **ROPES[rope_type]},
    )  # fmt: skip
    q = normal((2, tokens, 4, 32))
    ids = torch.arange(tokens, device=device)[None]
    cos, sin = modeling_llama.LlamaRotaryEmbedding(config).to(device)(q, ids)
    wanted, _ = modeling_llama.apply_rotary_pos_emb(q, q, cos, sin, unsqueeze_dim=2)
    rope = ropejit.RotaryEmbedding.from_config(config)
    for actual in (rope(q)[0], rope(q, position_ids=ids)[0]):
        assert torch.allclose(actual, wanted, atol=1e-4)
