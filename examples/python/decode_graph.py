#!/usr/bin/env python3
"""A decode loop in a CUDA graph: one layer of attention with a KV cache, a token at a time.

    python3 decode_graph.py --tokens 64

A step rotates q and k in place by positions that it reads on the device and advances there itself,
so that one captured step, replayed, decodes token after token. Sequences are of different lengths.
The cached keys and the outputs are checked against float64. On the CPU the loop runs eagerly.
"""

import argparse
import sys

import torch
from torch.nn.functional import scaled_dot_product_attention

import ropejit

HEADS, KV_HEADS, HEAD_DIM, HIDDEN = 8, 2, 64, 256
BASE = 500000.0
# Tokens that the cache of each sequence holds already; random numbers stand for them.
PROMPTS = (0, 5, 61, 200)
# The largest error, relative to the largest number, that rounding may add up to.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}


class Decoder:
    """A layer and its KV cache. What changes from step to step is on the device, in place."""

    def __init__(self, tokens: int, device: str, dtype: torch.dtype) -> None:
        batch, slots = len(PROMPTS), max(PROMPTS) + tokens
        like = {"device": device, "dtype": dtype}
        features = (HEADS + 2 * KV_HEADS) * HEAD_DIM
        self.weight = torch.randn(HIDDEN, features, **like) / HIDDEN**0.5
        self.k_cache = torch.randn(batch, slots, KV_HEADS, HEAD_DIM, **like)
        self.v_cache = torch.randn(batch, slots, KV_HEADS, HEAD_DIM, **like)
        self.prompts = torch.tensor(PROMPTS, device=device)
        self.positions = self.prompts.clone()  # of each sequence's next token
        self.sequences = torch.arange(batch, device=device)
        self.slots = torch.arange(slots, device=device)
        self.input = torch.zeros(batch, HIDDEN, **like)
        self.output = torch.zeros(batch, HEADS, HEAD_DIM, **like)
        # Exact angles need no table, whose length would bound the positions.
        options = {"base": BASE, "layout": "sequential", "angles": "exact"}
        self.rope = ropejit.RotaryEmbedding(HEAD_DIM, **options)

    def step(self) -> None:
        """Decodes `input`, a token of each sequence, into `output`."""
        qkv = (self.input @ self.weight).view(len(PROMPTS), 1, -1, HEAD_DIM)
        q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS], dim=2)
        self.rope.rotate_(q, k, offset=self.positions)
        self.k_cache[self.sequences, self.positions] = k[:, 0]
        self.v_cache[self.sequences, self.positions] = v[:, 0]
        seen = self.slots <= self.positions[:, None]
        attended = scaled_dot_product_attention(
            q.transpose(1, 2),
            self.k_cache.transpose(1, 2),
            self.v_cache.transpose(1, 2),
            attn_mask=seen[:, None, None],
            enable_gqa=True,
        )
        self.output.copy_(attended[:, :, 0])
        self.positions += 1


def capture(decoder: Decoder) -> torch.cuda.CUDAGraph:
    """A step as a graph."""
    # The first call loads kernels, and may compile them: neither is allowed during a capture.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        decoder.step()
    torch.cuda.current_stream().wait_stream(side)
    decoder.positions.copy_(decoder.prompts)  # the token that was decoded will be overwritten

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        decoder.step()
    return graph


def decode(decoder: Decoder, inputs: torch.Tensor) -> torch.Tensor:
    """The outputs for `inputs`, [tokens, batch, hidden]."""
    if inputs.is_cuda:
        run = capture(decoder).replay
    else:
        print("no GPU: the loop runs eagerly, on the CPU")
        run = decoder.step
    outputs = []
    for tokens in inputs:
        decoder.input.copy_(tokens)
        run()
        outputs.append(decoder.output.clone())
    return torch.stack(outputs)


def rotate(x: torch.Tensor, first_position: int) -> torch.Tensor:
    """x, [tokens, heads, head_dim] of float64; a pair is a complex number."""
    half = HEAD_DIM // 2
    positions = torch.arange(first_position, first_position + len(x), device=x.device)
    pairs = torch.arange(half, dtype=torch.float64, device=x.device)
    angles = positions[:, None, None] * BASE ** (-pairs / half)
    turns = torch.polar(torch.ones_like(angles), angles)
    turned = torch.complex(x[..., :half], x[..., half:]) * turns
    return torch.cat((turned.real, turned.imag), dim=-1)


def error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((got - wanted).abs().max() / wanted.abs().max()).item()


def worst_error(decoder: Decoder, inputs: torch.Tensor, outputs: torch.Tensor) -> float:
    """Of cached keys and outputs, against float64: all tokens of a sequence at once."""
    worst = []
    for sequence, prompt in enumerate(PROMPTS):
        qkv = inputs[:, sequence].double() @ decoder.weight.double()
        q, k, v = qkv.view(len(inputs), -1, HEAD_DIM).split([HEADS, KV_HEADS, KV_HEADS], dim=1)
        q, k = rotate(q, prompt), rotate(k, prompt)
        keys, values = (
            torch.cat((cache[sequence, :prompt].double(), new))
            for cache, new in ((decoder.k_cache, k), (decoder.v_cache, v))
        )
        rows = torch.arange(prompt, prompt + len(inputs), device=q.device)
        seen = torch.arange(len(keys), device=q.device) <= rows[:, None]
        attended = scaled_dot_product_attention(
            *(x.transpose(0, 1)[None] for x in (q, keys, values)), attn_mask=seen, enable_gqa=True
        )[0].transpose(0, 1)
        worst.append(error(decoder.k_cache[sequence, rows].double(), k))
        worst.append(error(outputs[:, sequence].double(), attended))
    return max(worst)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=64, help="to decode; default: 64")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if there is one")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    args = parser.parse_args()
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, args.dtype)

    torch.manual_seed(0)
    decoder = Decoder(args.tokens, device, dtype)
    inputs = torch.randn(args.tokens, len(PROMPTS), HIDDEN, device=device, dtype=dtype)
    with torch.no_grad():
        outputs = decode(decoder, inputs)
        worst = worst_error(decoder, inputs, outputs)
    print(f"{args.tokens} tokens, the sequences are now at {decoder.positions.tolist()}")
    print(f"largest error against float64: {worst:.1e}, tolerance {TOLERANCE[dtype]:.0e}")
    return 0 if worst <= TOLERANCE[dtype] else 1


if __name__ == "__main__":
    sys.exit(main())
