"""A rotation in Triton and nothing else: what a launch costs there without a library around it.

Sequential layout, in place, q and k in one launch.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from peer_calls import (
    FLOAT_TABLE,
    SEQUENTIAL,
    Call,
    Library,
    Peer,
    Workload,
    as_is,
    from_any,
    half_tables,
)


@triton.jit
def rotate_kernel(q, k, cos, sin, q_heads, kv_heads, half: tl.constexpr):
    """A program rotates a head of a token. q and k are contiguous, [tokens, heads, 2 * half]."""
    token = tl.program_id(0)
    head = tl.program_id(1)
    if head < q_heads:
        start = q + (token * q_heads + head) * 2 * half
    else:
        start = k + (token * kv_heads + head - q_heads) * 2 * half
    pair = tl.arange(0, half)
    cosine = tl.load(cos + token * half + pair)
    sine = tl.load(sin + token * half + pair)
    first = tl.load(start + pair).to(tl.float32)
    second = tl.load(start + half + pair).to(tl.float32)
    tl.store(start + pair, first * cosine - second * sine)
    tl.store(start + half + pair, second * cosine + first * sine)


def prepare_triton(kernel: Any, workload: Workload) -> Call:
    cos, sin = half_tables(workload, torch.float32)
    q_heads, kv_heads, half = workload.q_heads, workload.kv_heads, workload.head_dim // 2
    launch = kernel[(workload.tokens, q_heads + kv_heads)]

    def call(q: torch.Tensor, k: torch.Tensor) -> None:
        launch(q, k, cos, sin, q_heads, kv_heads, half)

    return call


TRITON = Library(
    "triton",
    lambda: rotate_kernel,
    (Peer("triton", True, (SEQUENTIAL,), FLOAT_TABLE, as_is, from_any, prepare_triton),),
)
