"""Checks and times the peers of one library; tools/peers.py runs one such process per library.

    python3 tools/peer_runs.py PLAN RECORDS

PLAN is the JSON file of a Plan. RECORDS gets a JSON object per line as soon as something is known,
so that what was measured survives a crash or a time-out:
    {"record": "device", "name", "l2_bytes", "torch", "cuda"}
    {"record": "library", "load_s"}                         it could be imported
    {"record": "peer", "peer", "in_place", "layout", "status": "ok" | "wrong" | "failed", ...}
    {"record": "cell", "peer", "in_place", "layout", "tokens", "gpu_us", "copy_us", ...}
"""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peer_calls import LIBRARIES, Call, Peer, QAndK, Workload, worst_error
from peer_timing import Step, host_us, ring_sets, time_interleaved, warm_up

# A lone token, and a number of tokens that no power of two divides. Positions stay small: the
# angles' own error is not the question here.
CHECKED_TOKENS = (1, 67)
# What rounding the table, two products and a sum to the dtype can add up to, and then some.
LARGEST_ERROR = 4.0


# Adds a line to RECORDS.
Adder = Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Plan:
    library: str
    tokens: list[int]
    layouts: list[str]
    q_heads: int
    kv_heads: int
    head_dim: int
    dtype: str
    theta: float

    def workload(self, layout: str, tokens: int) -> Workload:
        return Workload(
            tokens, self.q_heads, self.kv_heads, self.head_dim, self.dtype, layout, self.theta
        )


def split(buffer: Tensor, workload: Workload) -> QAndK:
    """q and k, [tokens, heads, head_dim], one behind the other in `buffer`."""
    heads = (workload.q_heads, workload.kv_heads)
    parts = buffer.split([workload.tokens * count * workload.head_dim for count in heads])
    q, k = (part.view(workload.tokens, -1, workload.head_dim) for part in parts)
    return q, k


def random_buffer(workload: Workload) -> Tensor:
    elements = workload.bytes // workload.torch_dtype.itemsize
    return torch.randn(elements, dtype=workload.torch_dtype, device=workload.device)


@dataclasses.dataclass(frozen=True)
class Check:
    """How a call did against float64."""

    error: float  # in units of the dtype's epsilon times the pair's norm
    broken_promise: str  # about its inputs; empty if there is none
    call_ms: float

    @property
    def right(self) -> bool:
        return self.error <= LARGEST_ERROR and not self.broken_promise


def check_call(peer: Peer, call: Call, workload: Workload) -> Check:
    buffer = random_buffer(workload)
    before = buffer.clone()
    inputs = split(buffer, workload)
    views = [peer.view(x) for x in inputs]
    torch.cuda.synchronize()
    start = time.perf_counter()
    results = call(*views) or views
    torch.cuda.synchronize()
    call_ms = (time.perf_counter() - start) * 1000

    outputs = [peer.unview(x, workload) for x in results]
    broken = ""
    if peer.in_place and any(x.data_ptr() != y.data_ptr() for x, y in zip(inputs, outputs)):
        broken = "the result is not in place"
    if not peer.in_place and not torch.equal(buffer, before):
        broken = "the inputs changed"
    errors = [worst_error(x, y, workload) for x, y in zip(split(before, workload), outputs)]
    return Check(max(errors), broken, call_ms)


def check_peer(peer: Peer, loaded: Any, plan: Plan, layout: str) -> dict[str, Any]:
    """What a "peer" record says of a peer that did not fail."""
    checks = []
    for tokens in CHECKED_TOKENS:
        workload = plan.workload(layout, tokens)
        checks.append(check_call(peer, peer.prepare(loaded, workload), workload))
    worst = max(check.error for check in checks)
    fields = {
        "status": "ok",
        "worst_error_eps": worst if math.isfinite(worst) else None,
        "first_call_ms": checks[0].call_ms,
    }
    wrong = [check for check in checks if not check.right]
    if wrong:
        fields["status"] = "wrong"
        fields["reason"] = wrong[0].broken_promise or f"an error of {worst:.3g} epsilon"
    return fields


def copy_steps(sources: list[Tensor], targets: list[Tensor]) -> dict[str, Step]:
    """Two ways to move a call's bytes: a copy, which is cudaMemcpyAsync, and a kernel, which can be
    the faster one past a few hundred megabytes."""
    words = [(x.view(torch.int32), y.view(torch.int32)) for x, y in zip(sources, targets)]
    return {
        "memcpy": lambda i: targets[i].copy_(sources[i]),
        "kernel": lambda i: torch.bitwise_not(words[i][0], out=words[i][1]),
    }


def time_cell(peer: Peer, call: Call, workload: Workload, l2_bytes: int) -> dict[str, Any]:
    """The times of a "cell" record: of the call, and of a copy of the same bytes."""
    touched = workload.bytes if peer.in_place else 2 * workload.bytes
    buffers = [random_buffer(workload) for _ in range(ring_sets(touched, l2_bytes))]
    targets = [torch.empty_like(buffer) for buffer in buffers]
    views = [[peer.view(x) for x in split(buffer, workload)] for buffer in buffers]
    copies = copy_steps(buffers, targets)

    timing, *copy_timings = time_interleaved(
        [lambda i: call(*views[i]), *copies.values()], len(buffers)
    )
    copy_us, copy_by = min((taken.us, by) for taken, by in zip(copy_timings, copies))
    return {
        "gpu_us": timing.us,
        "gpu_us_quartiles": [timing.low, timing.high],
        "rounds": timing.rounds,
        "copy_us": copy_us,
        "copy_by": copy_by,
    }


def time_host(peer: Peer, call: Call, workload: Workload) -> float:
    views = [peer.view(x) for x in split(random_buffer(workload), workload)]
    return host_us(lambda _: call(*views))


def run_peer(peer: Peer, loaded: Any, plan: Plan, layout: str, l2_bytes: int, add: Adder) -> None:
    """Checks and times a peer; a failure of any kind is a record too."""
    identity = {"peer": peer.name, "in_place": peer.in_place, "layout": layout}
    try:
        add("peer", **identity, **check_peer(peer, loaded, plan, layout))
        for tokens in plan.tokens:
            workload = plan.workload(layout, tokens)
            call = peer.prepare(loaded, workload)
            times = time_cell(peer, call, workload, l2_bytes)
            if tokens == min(plan.tokens):
                times["host_us"] = time_host(peer, call, workload)
            add("cell", **identity, tokens=tokens, **times)
    except Exception as error:  # whatever a library throws, the others go on
        add("peer", **identity, status="failed", reason=f"{type(error).__name__}: {error}")


def add_device(add: Adder) -> int:
    """Says which device it is, and returns the size of its L2 cache in bytes."""
    properties = torch.cuda.get_device_properties(0)
    add(
        "device",
        name=properties.name,
        l2_bytes=properties.L2_cache_size,
        torch=torch.__version__,
        cuda=torch.version.cuda,
    )
    return properties.L2_cache_size


def main() -> None:
    plan_path, records_path = map(Path, sys.argv[1:])
    plan = Plan(**json.loads(plan_path.read_text(encoding="utf-8")))
    with records_path.open("w", encoding="utf-8") as file:

        def add(record: str, **fields: Any) -> None:
            print(json.dumps({"record": record, **fields}), file=file, flush=True)

        l2_bytes = add_device(add)
        library = LIBRARIES[plan.library]
        start = time.perf_counter()
        loaded = library.load()
        add("library", load_s=time.perf_counter() - start)
        warm_up()
        with torch.no_grad():
            for peer in library.peers:
                for layout in plan.layouts:
                    if layout in peer.layouts:
                        run_peer(peer, loaded, plan, layout, l2_bytes, add)


if __name__ == "__main__":
    main()
