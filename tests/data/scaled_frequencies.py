#!/usr/bin/env python3
"""Writes scaled_frequencies.json: the frequencies of every scaling family and of every model of the project's list,
as 64-bit turns per position, and the attention factors, evaluated with 60 digits from the published formulas.

A parameter is the double that its decimal names (1.1 is not 11/10); the constants of a formula (0.1, 0.001, 2 pi) are
exact. A case has the fields of RotaryParameters under their names, where they differ from the defaults. Needs mpmath.
"""
import json
import os

from mpmath import ceil, floor, log, mp, mpf, nstr, pi, sqrt

mp.dps = 60
HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULTS = {"theta": 10000.0, "factor": 1.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": True,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "scaling": "default"}


def plain(theta, dimensions, pairs):
    """Su et al. 2021 (RoFormer), equation 15."""
    return [mpf(theta) ** (-mpf(2 * i) / dimensions) for i in range(pairs)]


def linear(p, length):
    """Chen et al. 2023 (Position Interpolation): positions, hence frequencies, divided by the factor."""
    return [f / mpf(p["factor"]) for f in plain(p["theta"], p["rotary_dim"], p["rotary_dim"] // 2)]


def stretched_base(p, stretch):
    """bloc97 2023 ("NTK-aware"): the slowest pair is interpolated by the stretch, the fastest not at all."""
    d = p["rotary_dim"]
    return plain(mpf(p["theta"]) * stretch ** (mpf(d) / (d - 2)), d, d // 2)


def ntk(p, length):
    return stretched_base(p, mpf(p["factor"]))


def dynamic(p, length):
    """emozilla 2023 ("dynamic NTK")."""
    trained, s = p["original_max_position_embeddings"], mpf(p["factor"])
    return stretched_base(p, s * max(length, trained) / trained - (s - 1))


def yarn(p, length):
    """Peng et al. 2023 (YaRN), section 3.2, with the ramp over pairs of its published code."""
    d, trained, s = p["rotary_dim"], p["original_max_position_embeddings"], mpf(p["factor"])

    def pair_that_turns(count):  # count turns over the trained context
        return d * log(trained / (mpf(count) * 2 * pi)) / (2 * log(mpf(p["theta"])))

    begin, end = pair_that_turns(p["beta_fast"]), pair_that_turns(p["beta_slow"])
    if p["truncate"]:
        begin, end = floor(begin), ceil(end)
    begin, end = max(begin, mpf(0)), min(end, mpf(d - 1))
    if begin == end:
        end += mpf(1) / 1000
    frequencies = []
    for i, f in enumerate(plain(p["theta"], d, d // 2)):
        ramp = min(max((i - begin) / (end - begin), mpf(0)), mpf(1))
        frequencies.append(ramp * f / s + (1 - ramp) * f)
    return frequencies


def longrope(p, length):
    """Ding et al. 2024 (LongRoPE)."""
    factors = p["long_factor" if length > p["original_max_position_embeddings"] else "short_factor"]
    half = p["rotary_dim"] // 2
    return [f / mpf(factor) for f, factor in zip(plain(p["theta"], p["rotary_dim"], half), factors, strict=True)]


def llama3(p, length):
    """Llama 3.1's published code."""
    s, low, high = mpf(p["factor"]), mpf(p["low_freq_factor"]), mpf(p["high_freq_factor"])
    frequencies = []
    for f in plain(p["theta"], p["rotary_dim"], p["rotary_dim"] // 2):
        turns = p["original_max_position_embeddings"] * f / (2 * pi)  # over the trained context
        kept = min(max((turns - low) / (high - low), mpf(0)), mpf(1))
        frequencies.append((1 - kept) * f / s + kept * f)
    return frequencies


def proportional(p, length):
    """transformers' rope_type: rotary_dim / 2 pairs turn, of the head's head_dim / 2."""
    turning = [f / mpf(p["factor"]) for f in plain(p["theta"], p["head_dim"], p["rotary_dim"] // 2)]
    return turning + [mpf(0)] * (p["head_dim"] // 2 - len(turning))


FAMILIES = {"default": lambda p, length: plain(p["theta"], p["rotary_dim"], p["rotary_dim"] // 2), "linear": linear,
            "ntk": ntk, "dynamic": dynamic, "yarn": yarn, "longrope": longrope, "llama3": llama3,
            "proportional": proportional}


def attention_factor(p):
    if p["scaling"] not in ("yarn", "longrope"):
        return mpf(1)
    if "attention_factor" in p:
        return mpf(p["attention_factor"])
    s = mpf(p["factor"])
    if s <= 1:
        return mpf(1)
    if p["scaling"] == "longrope":  # Ding et al. 2024, its published code
        return sqrt(1 + log(s) / log(p["original_max_position_embeddings"]))
    if "mscale" in p:  # as in DeepSeek-V2 and V3
        return (mpf(p["mscale"]) * log(s) / 10 + 1) / (mpf(p["mscale_all_dim"]) * log(s) / 10 + 1)
    return log(s) / 10 + 1  # Peng et al. 2023, equation 22


def cases():
    def case(what, length=0, **fields):
        rows.append((what, length, fields))

    rows = []
    trained = "original_max_position_embeddings"
    llama = {"rotary_dim": 128, "theta": 500000.0}
    case("Llama-2-7B", rotary_dim=128)
    case("Llama-3-8B", **llama)
    case("Llama-3.1-8B and 70B", **llama, scaling="llama3", factor=8.0, **{trained: 8192})
    case("Llama-3.2-1B", rotary_dim=64, theta=500000.0, scaling="llama3", factor=32.0, **{trained: 8192})
    case("Mistral-7B-v0.3, Qwen2.5-7B, Qwen3-8B, Qwen2-VL-7B", rotary_dim=128, theta=1000000.0)
    qwen = {"rotary_dim": 128, "theta": 1000000.0, "scaling": "yarn", "factor": 4.0, trained: 32768}
    case("Qwen2.5-7B with yarn", **qwen)
    case("Qwen3-VL-4B", rotary_dim=128, theta=5000000.0)
    case("Gemma-2-9B, Gemma-3-4B's local layers", rotary_dim=256)
    case("Gemma-3-4B's global layers", rotary_dim=256, theta=1000000.0, scaling="linear", factor=8.0)
    case("Phi-2", rotary_dim=32)
    with open(os.path.join(HERE, "models/phi-3-mini-128k/config.json")) as file:
        lists = json.load(file)["rope_scaling"]
    phi = {"rotary_dim": 96, "scaling": "longrope", "factor": 32.0, trained: 4096,
           "short_factor": lists["short_factor"], "long_factor": lists["long_factor"]}
    for length in (0, 4096, 4097, 131072):
        case("Phi-3-mini-128k", length, **phi)
    case("GPT-NeoX-20B", rotary_dim=24)
    case("Pythia-70M, StableLM-2-1.6B", rotary_dim=16)
    case("Falcon-7B, GPT-J-6B, GLM-4-9B-0414", rotary_dim=64)
    deepseek = {"rotary_dim": 64, "scaling": "yarn", "factor": 40.0, trained: 4096}
    case("DeepSeek-V3", **deepseek, mscale=1.0, mscale_all_dim=1.0)

    case("one pair", rotary_dim=2, theta=500000.0)
    case("a base of 1", rotary_dim=8, theta=1.0)
    case("a base that is no integer", rotary_dim=20, theta=123456.789)
    for factor in (1.0, 2.5, 16.0):
        case("linear", rotary_dim=64, scaling="linear", factor=factor)
    for factor in (1.0, 2.5, 8.0):
        case("ntk", rotary_dim=64, scaling="ntk", factor=factor)
    case("ntk", rotary_dim=4, theta=500000.0, scaling="ntk", factor=4.0)
    for factor, lengths in ((2.0, (0, 1, 2048, 2049, 5000, 131072)), (1.0, (4096, 8192)), (2.6, (2048,)),
                            (3.7, (2500, 1000000))):
        for length in lengths:
            case("dynamic", length, rotary_dim=64, scaling="dynamic", factor=factor, **{trained: 2048})
    case("yarn, length without effect", 1000000, **qwen)
    case("yarn, ramp between pairs", **qwen, truncate=False)
    case("yarn, ramp between pairs as of gpt-oss", rotary_dim=64, theta=150000.0, scaling="yarn", factor=32.0,
         truncate=False, **{trained: 4096})
    case("yarn, mscales that differ", **deepseek, mscale=0.707, mscale_all_dim=1.25)
    case("yarn, attention_factor below 1", **deepseek, attention_factor=0.9)
    case("yarn, attention_factor", **qwen, attention_factor=1.3)
    case("yarn, a factor of 1", **{**qwen, "factor": 1.0})
    case("yarn, wide ramp", **qwen, beta_fast=1000.0, beta_slow=0.25)
    case("yarn, wide ramp between pairs", **qwen, beta_fast=100.5, beta_slow=0.3, truncate=False)
    case("yarn, a step instead of a ramp", **qwen, beta_fast=2.0, beta_slow=2.0, truncate=False)
    for truncate in (True, False):
        case("yarn, ramp that would begin before the first pair", rotary_dim=64, scaling="yarn", factor=8.0,
             beta_fast=4096.0, beta_slow=2.0, truncate=truncate, **{trained: 2048})
        case("yarn, ramp that would end behind the last dimension", rotary_dim=16, theta=100.0, scaling="yarn",
             factor=16.0, beta_fast=1000.0, beta_slow=0.5, truncate=truncate, **{trained: 100000})
        case("yarn, narrow ramp", rotary_dim=128, scaling="yarn", factor=4.0, beta_fast=2.0, beta_slow=1.9,
             truncate=truncate, **{trained: 4096})
    for length in (0, 5000):
        case("longrope, attention_factor", length, **{**phi, "factor": 1.0}, attention_factor=1.19)
        case("longrope, a factor of 1", length, rotary_dim=8, scaling="longrope", factor=1.0,
             short_factor=[1.0, 1.0, 1.25, 1.5], long_factor=[1.0, 2.5, 10.3, 64.0], **{trained: 1000})
    case("llama3, other bounds", rotary_dim=64, theta=100000.0, scaling="llama3", factor=6.5, low_freq_factor=0.7,
         high_freq_factor=16.3, **{trained: 3000})
    case("proportional as of Gemma 4", rotary_dim=128, head_dim=512, theta=1000000.0, scaling="proportional")
    case("proportional", rotary_dim=24, head_dim=96, scaling="proportional", factor=3.0)
    case("proportional, the whole head", rotary_dim=64, head_dim=64, scaling="proportional")
    return rows


def line(what, length, fields):
    p = {**DEFAULTS, **fields}
    frequencies = FAMILIES[p["scaling"]](p, length)
    turns = [str(int(floor(f / (2 * pi) * mpf(2) ** 64 + mpf(1) / 2))) for f in frequencies]
    return json.dumps({"case": what, "parameters": fields, "length": length,
                       "attention_factor": nstr(attention_factor(p), 25), "turns": turns})


def main():
    lines = [line(*row) for row in cases()]
    with open(os.path.join(HERE, "scaled_frequencies.json"), "w") as out:
        out.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
