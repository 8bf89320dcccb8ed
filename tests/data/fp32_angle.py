#!/usr/bin/env python3
"""Writes fp32_angle.json: the float32 frequencies, cosines and sines of the cases of scaled_frequencies.json, in their
order, twice over:

- by the operations of transformers' modeling_rope_utils.py, each rounded to float32 by numpy, and with powers, cosines
  and sines rounded from 40 digits;
- as "transformers", what that library itself gives on a CPU: the frequencies that differ from the above, by pair, and
  the cosines and sines of its own frequencies. It has no "ntk": there the base is given to its "default".

A float32 is written as its 32 bits, a signed integer. Needs mpmath, numpy, torch and transformers.
"""
import json
import math
import os

import numpy as np
import torch
import transformers
from mpmath import cos, mp, mpf, sin
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaRotaryEmbedding

from scaled_frequencies import DEFAULTS, HERE, attention_factor, cases

mp.dps = 40
f32 = np.float32
POSITIONS = (0, 1, 7, 1000, 32767, 131071, 2**24 + 1, 10**9 + 7)


def nearest(x):
    """The float32 nearest to x: the double nearest to it may lie between the two, so all neighbours are tried."""
    guess = f32(float(x))
    near = (guess, np.nextafter(guess, f32(np.inf)), np.nextafter(guess, f32(-np.inf)))
    return min(near, key=lambda value: abs(mpf(float(value)) - x))


def power(base, exponent):
    return nearest(mpf(float(base)) ** mpf(float(exponent)))


def bits(values):
    return [int(value) for value in np.asarray(values, f32).view(np.int32).ravel()]


def periods(theta, dimensions, pairs):
    return np.array([power(f32(theta), f32(2 * i) / f32(dimensions)) for i in range(pairs)], f32)


def radians(p, length):
    d, s, theta, trained = p["rotary_dim"], p["factor"], p["theta"], p.get("original_max_position_embeddings")
    family, one = p["scaling"], f32(1)
    if family == "proportional":
        turning = one / periods(theta, p["head_dim"], d // 2) / f32(s)
        return np.concatenate([turning, np.zeros(p["head_dim"] // 2 - d // 2, f32)])
    if family == "ntk":
        theta = theta * s ** (d / (d - 2))
    if family == "dynamic" and length > trained:
        stretch = f32(s) * f32(length) / f32(trained) - f32(s - 1)
        theta = f32(theta) * power(stretch, d / (d - 2))
    period = periods(theta, d, d // 2)
    if family == "longrope":
        return one / (np.array(p["long_factor" if length > trained else "short_factor"], f32) * period)
    plain = one / period
    if family == "linear":
        return plain / f32(s)
    if family == "yarn":
        return yarn(p, period)
    if family == "llama3":
        return llama3(p, plain)
    return plain


def yarn(p, period):
    d, one = p["rotary_dim"], f32(1)

    def pair_that_turns(count):
        turns = p["original_max_position_embeddings"] / (count * 2 * math.pi)
        return d * math.log(turns) / (2 * math.log(p["theta"]))

    begin, end = pair_that_turns(p["beta_fast"]), pair_that_turns(p["beta_slow"])
    if p["truncate"]:
        begin, end = math.floor(begin), math.ceil(end)
    begin, end = max(begin, 0), min(end, d - 1)
    ramp = np.clip((np.arange(d // 2).astype(f32) - f32(begin)) / f32(end - begin), f32(0), one)
    kept = one - ramp
    return one / (f32(p["factor"]) * period) * (one - kept) + one / period * kept


def llama3(p, plain):
    trained, s, low, high = p["original_max_position_embeddings"], f32(p["factor"]), p["low_freq_factor"], p[
        "high_freq_factor"]
    wavelength = f32(1) / plain * f32(2 * math.pi)
    kept = (f32(1) / wavelength * f32(trained) - f32(low)) / f32(high - low)
    between = (f32(1) - kept) * plain / s + kept * plain
    return np.where(wavelength > f32(trained / low), plain / s,
                    np.where(wavelength < f32(trained / high), plain, between))


def by_transformers(p, length):
    """The module that the library makes of the parameters, after a call of that length."""
    names = {"scaling": "rope_type", "theta": "rope_theta"}
    given = {names.get(field, field): value for field, value in p.items() if field not in ("rotary_dim", "head_dim")}
    transformers.logging.set_verbosity_error()  # about the fields of other families
    head_dim, trained = p.get("head_dim", p["rotary_dim"]), p.get("original_max_position_embeddings", 2048)
    if p["scaling"] == "proportional":
        given["partial_rotary_factor"] = p["rotary_dim"] / head_dim
    if p["scaling"] == "ntk":
        d = p["rotary_dim"]
        given = {"rope_type": "default", "rope_theta": p["theta"] * p["factor"] ** (d / (d - 2))}
    module = LlamaRotaryEmbedding(
        LlamaConfig(head_dim=head_dim, max_position_embeddings=trained, rope_parameters=given))
    if length > 0:
        module(torch.zeros(1), torch.tensor([[length - 1]]))
    return module


def line(what, length, fields):
    p = {**DEFAULTS, **fields}
    own, scale = radians(p, length), nearest(attention_factor(p))
    module = by_transformers(p, length)
    theirs = module.inv_freq.numpy()
    assert own.dtype == theirs.dtype == f32 and own.shape == theirs.shape
    pairs = sorted({0, 1, len(own) // 4, len(own) // 2, len(own) - 1} & set(range(len(own))))
    angles = [own[pair] * f32(position) for position in POSITIONS for pair in pairs]
    # The module's own forward, but for the pick of frequencies by the positions at hand.
    both = LlamaRotaryEmbedding.forward.__wrapped__(module, torch.zeros(1), torch.tensor([POSITIONS]))
    return json.dumps({
        "case": what, "attention_factor": bits(scale)[0], "radians": bits(own), "pairs": pairs, "positions": POSITIONS,
        "cos": bits([nearest(cos(mpf(float(angle)))) * scale for angle in angles]),
        "sin": bits([nearest(sin(mpf(float(angle)))) * scale for angle in angles]),
        "transformers": {
            "attention_factor": bits(module.attention_scaling)[0],
            "radians": {str(pair): bits(theirs[pair])[0] for pair in range(len(own)) if theirs[pair] != own[pair]},
            "cos": bits(both[0].numpy()[0][:, pairs]), "sin": bits(both[1].numpy()[0][:, pairs])}})


def main():
    lines = [line(*row) for row in cases()]
    about = {"transformers": transformers.__version__, "torch": torch.__version__, "numpy": np.__version__,
             "capability": torch.backends.cpu.get_cpu_capability()}
    with open(os.path.join(HERE, "fp32_angle.json"), "w") as out:
        out.write('{"made_with": ' + json.dumps(about) + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
