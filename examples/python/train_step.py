#!/usr/bin/env python3
"""Training with rotary embeddings: a block of attention whose q and k ropejit rotates.

    python3 train_step.py --steps 60

The block learns to repeat what stood two tokens before, which it cannot without positions. In
the first and the last step, every gradient is compared with that of the same block rotated by plain
PyTorch operations, rope_reference. On CUDA where there is a device, else on the CPU.
"""

import argparse
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, scaled_dot_product_attention

import ropejit

HEADS, KV_HEADS, HEAD_DIM, HIDDEN = 8, 2, 32, 16
BATCH, SEQ, LAG = 32, 32, 2
TOLERANCE = 1e-4  # of a gradient's largest element, in float32

Rotate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Attention(nn.Module):
    """Causal grouped-query attention. `rotate` turns q and k, [batch, seq, heads, head_dim]."""

    def __init__(self, rotate: Rotate) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, (HEADS + 2 * KV_HEADS) * HEAD_DIM)
        self.rotate = rotate
        self.out = nn.Linear(HEADS * HEAD_DIM, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (-1, HEAD_DIM))
        q, k, v = heads.split([HEADS, KV_HEADS, KV_HEADS], dim=2)
        q, k = self.rotate(q, k)  # autograd turns the gradients back
        attended = scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in (q, k, v)), is_causal=True, enable_gqa=True
        )
        return self.out(attended.transpose(1, 2).flatten(2))


def plain_rotation(device: str) -> Rotate:
    cos, sin = ropejit.build_rope_cache(SEQ, HEAD_DIM, device=device)
    return lambda q, k: ropejit.rope_reference(q, k, cos, sin, layout="sequential")


def backward(model: nn.Module, x: Tensor) -> float:
    """Leaves the loss's gradients in the parameters, and returns the loss."""
    model.zero_grad()
    loss = mse_loss(model(x)[:, LAG:], x[:, :-LAG])
    loss.backward()
    return loss.item()


def gradient_error(model: nn.Module, reference: nn.Module, x: Tensor) -> float:
    """The largest difference from the reference's gradients, relative to each one's largest
    element. `model` has its gradients already."""
    reference.load_state_dict(model.state_dict())
    backward(reference, x)
    errors = [
        (ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max()
        for ours, theirs in zip(model.parameters(), reference.parameters())
    ]
    return torch.stack(errors).max().item()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="default: 60")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if there is one")
    args = parser.parse_args()
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")

    torch.manual_seed(0)
    rope = ropejit.RotaryEmbedding(HEAD_DIM, max_seq_len=SEQ, layout="sequential")
    model = Attention(rope).to(device)
    reference = Attention(plain_rotation(device)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)

    losses, errors = [], []
    for step in range(args.steps):
        x = torch.randn(BATCH, SEQ, HIDDEN, device=device)
        losses.append(backward(model, x))
        checked = step in (0, args.steps - 1)
        if checked or step % 10 == 0:
            print(f"step {step:3}  loss {losses[-1]:.4f}")
        if checked:
            errors.append(gradient_error(model, reference, x))
            print(f"  gradients differ from the reference's by {errors[-1]:.1e} at most")
        optimizer.step()
    return 0 if max(errors) <= TOLERANCE and losses[-1] < losses[0] else 1


if __name__ == "__main__":
    sys.exit(main())
