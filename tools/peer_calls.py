"""RoPE as other libraries call it: each peer as one function of the same q and k.

Every peer rotates the tokens of one sequence, positions 0 to tokens - 1. q is [tokens, q_heads,
head_dim], contiguous, and k likewise; a peer gets them through the view that its library expects.
What depends on the shape alone (tables, positions) is made beforehand and is not part of a call.
"""

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SEQUENTIAL, INTERLEAVED = "sequential", "interleaved"
LAYOUTS = (SEQUENTIAL, INTERLEAVED)
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Workload:
    """What one call rotates."""

    tokens: int
    q_heads: int
    kv_heads: int
    head_dim: int
    dtype: str
    layout: str
    theta: float
    device: str = "cuda"

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def bytes(self) -> int:
        """The size of q and k together."""
        heads = self.q_heads + self.kv_heads
        return self.tokens * heads * self.head_dim * self.torch_dtype.itemsize


QAndK = tuple[Tensor, Tensor]
# Rotates q and k; returns nothing if the library's function returns nothing, being in place.
Call = Callable[[Tensor, Tensor], QAndK | None]
# Makes the call for a workload out of what Library.load returned.
Prepare = Callable[[Any, Workload], Call]


@dataclass(frozen=True)
class Peer:
    """One way to rotate q and k with a library."""

    name: str
    in_place: bool
    layouts: tuple[str, ...]
    table: str  # where cosines and sines come from, for the report
    view: Callable[[Tensor], Tensor]  # from [tokens, heads, head_dim] to what the call takes
    unview: Callable[[Tensor, Workload], Tensor]  # back again, from what it returns
    prepare: Prepare


@dataclass(frozen=True)
class Library:
    """Where peers come from. `load` imports it, and raises what the import raises."""

    distribution: str  # whose version is reported
    load: Callable[[], Any]
    peers: tuple[Peer, ...]


def positions(workload: Workload, dtype: torch.dtype) -> Tensor:
    return torch.arange(workload.tokens, dtype=dtype, device=workload.device)


def angles(workload: Workload) -> Tensor:
    """[tokens, head_dim / 2] in float64: position times theta^(-2i / head_dim)."""
    where = positions(workload, torch.float64)
    evens = torch.arange(0, workload.head_dim, 2, dtype=where.dtype, device=where.device)
    return torch.outer(where, workload.theta ** (-evens / workload.head_dim))


def half_tables(workload: Workload, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [tokens, head_dim / 2], rounded once."""
    phases = angles(workload)
    return phases.cos().to(dtype), phases.sin().to(dtype)


def full_tables(workload: Workload) -> tuple[Tensor, Tensor]:
    """Cosines and sines as transformers hands them on: one per element, [1, tokens, head_dim]."""
    phases = angles(workload)
    if workload.layout == INTERLEAVED:
        phases = phases.repeat_interleave(2, dim=-1)
    else:
        phases = torch.cat((phases, phases), dim=-1)
    dtype = workload.torch_dtype
    return phases.cos().to(dtype)[None], phases.sin().to(dtype)[None]


def joint_table(workload: Workload, dtype: torch.dtype) -> Tensor:
    """Rows of cosines, then sines, [tokens, head_dim], as FlashInfer and vLLM want them."""
    return torch.cat(half_tables(workload, dtype), dim=-1)


def pairs(x: Tensor, layout: str) -> tuple[Tensor, Tensor]:
    """The first and the second elements of the pairs that rotate."""
    if layout == INTERLEAVED:
        return x[..., ::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]


def worst_error(inputs: Tensor, outputs: Tensor, workload: Workload) -> float:
    """The largest error against float64, in units of the dtype's epsilon times the pair's norm."""
    first, second = pairs(inputs.double(), workload.layout)
    phases = angles(workload)[:, None, :]
    cos, sin = phases.cos(), phases.sin()
    got_first, got_second = pairs(outputs.double(), workload.layout)
    error = torch.maximum(
        (got_first - (first * cos - second * sin)).abs(),
        (got_second - (second * cos + first * sin)).abs(),
    )
    limits = torch.finfo(workload.torch_dtype)
    norm = torch.hypot(first, second).clamp_min(limits.tiny)
    return (error / (norm * limits.eps)).nan_to_num(nan=math.inf).max().item()


def as_is(x: Tensor) -> Tensor:
    return x


def as_bshd(x: Tensor) -> Tensor:
    return x[None]


def as_bhsd(x: Tensor) -> Tensor:
    """[1, heads, tokens, head_dim], not contiguous: what transformers' attention passes on."""
    return x[None].transpose(1, 2)


def as_flat_heads(x: Tensor) -> Tensor:
    return x.flatten(1)


def from_any(x: Tensor, workload: Workload) -> Tensor:
    return x.reshape(workload.tokens, -1, workload.head_dim)


def from_bhsd(x: Tensor, workload: Workload) -> Tensor:
    return from_any(x.transpose(1, 2), workload)


def load_liger() -> Any:
    return importlib.import_module("liger_kernel.transformers.rope").liger_rotary_pos_emb


def prepare_liger(liger_rotary_pos_emb: Any, workload: Workload) -> Call:
    cos, sin = full_tables(workload)
    return lambda q, k: liger_rotary_pos_emb(q, k, cos, sin)


def load_flash_attn() -> Any:
    """The function of the Triton module, loaded from its file: flash_attn/__init__.py wants the
    CUDA extension, which has no part in this."""
    package = importlib.util.find_spec("flash_attn")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'flash_attn'")
    path = Path(package.submodule_search_locations[0], "ops", "triton", "rotary.py")
    spec = importlib.util.spec_from_file_location("flash_attn_rotary", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.apply_rotary


def flash_attn(in_place: bool) -> Prepare:
    def prepare(apply_rotary: Any, workload: Workload) -> Call:
        cos, sin = half_tables(workload, workload.torch_dtype)
        options = {"interleaved": workload.layout == INTERLEAVED, "inplace": in_place}
        return lambda q, k: (
            apply_rotary(q, cos, sin, **options),
            apply_rotary(k, cos, sin, **options),
        )

    return prepare


def load_flashinfer() -> Any:
    return importlib.import_module("flashinfer.rope")


def flashinfer_table(in_place: bool) -> Prepare:
    def prepare(rope: Any, workload: Workload) -> Call:
        where = positions(workload, torch.int32)
        table = joint_table(workload, torch.float32)
        head_dim, is_neox = workload.head_dim, workload.layout == SEQUENTIAL
        if in_place:
            apply = rope.apply_rope_with_cos_sin_cache_inplace
        else:
            apply = rope.apply_rope_with_cos_sin_cache
        return lambda q, k: apply(where, q, k, head_dim, table, is_neox)

    return prepare


def flashinfer_angles(in_place: bool) -> Prepare:
    def prepare(rope: Any, workload: Workload) -> Call:
        where = positions(workload, torch.int32)
        options = {"interleave": workload.layout == INTERLEAVED, "rope_theta": workload.theta}
        apply = rope.apply_rope_pos_ids_inplace if in_place else rope.apply_rope_pos_ids
        return lambda q, k: apply(q, k, where, **options)

    return prepare


def load_vllm() -> Any:
    return importlib.import_module("vllm._custom_ops").rotary_embedding


def prepare_vllm(rotary_embedding: Any, workload: Workload) -> Call:
    where = positions(workload, torch.int64)
    table = joint_table(workload, workload.torch_dtype)
    head_dim, is_neox = workload.head_dim, workload.layout == SEQUENTIAL
    return lambda q, k: rotary_embedding(where, q, k, head_dim, table, is_neox)


def rotate_half(x: Tensor) -> Tensor:
    first, second = pairs(x, SEQUENTIAL)
    return torch.cat((-second, first), dim=-1)


def rotate_every_two(x: Tensor) -> Tensor:
    first, second = pairs(x, INTERLEAVED)
    return torch.stack((-second, first), dim=-1).flatten(-2)


def apply_as_llama(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> QAndK:
    """transformers' apply_rotary_pos_emb of Llama and of nearly all others."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def apply_as_cohere(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> QAndK:
    """transformers' apply_rotary_pos_emb of Cohere, which is interleaved."""
    dtype = q.dtype
    q, k = q.float(), k.float()
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    q_out = q * cos + rotate_every_two(q) * sin
    k_out = k * cos + rotate_every_two(k) * sin
    return q_out.to(dtype), k_out.to(dtype)


def uncompiled(function: Call) -> Call:
    return function


def compiled(function: Call) -> Call:
    """Compiled for the shapes of its first call alone. Earlier compilations are forgotten: past a
    number of them for one function, torch.compile refuses."""
    torch.compiler.reset()
    return torch.compile(function, dynamic=False, fullgraph=True)


def prepare_torch(transform: Any, workload: Workload) -> Call:
    cos, sin = full_tables(workload)
    apply = transform(apply_as_cohere if workload.layout == INTERLEAVED else apply_as_llama)
    return lambda q, k: apply(q, k, cos, sin)


OWN_TABLE = "table of the tensors' dtype"
FLOAT_TABLE = "float32 table"
NO_TABLE = "float32 angles in the kernel"
IN_PLACE_OR_NOT = (False, True)

LIBRARIES: dict[str, Library] = {
    "liger": Library(
        "liger-kernel",
        load_liger,
        (Peer("liger", True, (SEQUENTIAL,), OWN_TABLE, as_bhsd, from_bhsd, prepare_liger),),
    ),
    "flash-attn": Library(
        "flash-attn",
        load_flash_attn,
        tuple(
            Peer(
                "flash-attn", in_place, LAYOUTS, OWN_TABLE, as_bshd, from_any, flash_attn(in_place)
            )
            for in_place in IN_PLACE_OR_NOT
        ),
    ),
    "flashinfer": Library(
        "flashinfer-python",
        load_flashinfer,
        tuple(
            Peer(name, in_place, LAYOUTS, table, view, from_any, prepare(in_place))
            for name, table, view, prepare in (
                ("flashinfer", FLOAT_TABLE, as_flat_heads, flashinfer_table),
                ("flashinfer angles", NO_TABLE, as_is, flashinfer_angles),
            )
            for in_place in IN_PLACE_OR_NOT
        ),
    ),
    "vllm": Library(
        "vllm",
        load_vllm,
        (Peer("vllm", True, LAYOUTS, OWN_TABLE, as_flat_heads, from_any, prepare_vllm),),
    ),
    "eager": Library(
        "torch",
        lambda: uncompiled,
        (Peer("eager", False, LAYOUTS, OWN_TABLE, as_bhsd, from_bhsd, prepare_torch),),
    ),
    "compile": Library(
        "torch",
        lambda: compiled,
        (Peer("compile", False, LAYOUTS, OWN_TABLE, as_bhsd, from_bhsd, prepare_torch),),
    ),
}
