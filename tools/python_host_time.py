#!/usr/bin/env python3
"""Measures how long a call from Python takes to return, ropejit's beside other libraries'.

    python3 tools/python_host_time.py --commit "$(git rev-parse --short=12 HEAD)"

A call rotates q and k of a decode step: one token of each sequence of a batch, in the sequential
layout. Everything is warm: kernels are loaded, tables and position tensors are made. The package
ropejit must be importable. The peers are those of tools/peers.py, with tools/peer_triton.py in
Liger's place where that is missing. What cannot be had or fails is named below the table.

A block is a number of calls in a row, timed as a whole. The device is waited for before each block,
so that no call finds the launch queue full. The contenders take turns, block by block, each round
beginning with another one. Shown are the median over the blocks and the quartiles. "nothing" is an
empty function: what the loop itself costs, in every other row too. What the calls compute is
checked elsewhere: the peers' by tools/peers.py, ropejit's by its tests. With --device cpu, where
ropejit computes before it returns, it shows no more than that this program works.
"""

import argparse
import gc
import importlib
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import ropejit
from peer_calls import DTYPES, LIBRARIES, SEQUENTIAL, Library, Peer, QAndK, Workload
from peer_runs import random_buffer, split
from peer_table import number
from peer_timing import Timing, summary
from peers import heads, names_among, numbers, output_of, package_versions

WARM_UP_CALLS = 20
OFFSET = 1000  # of the token in its sequence
IN_PLACE, OUT_OF_PLACE = "in place", "out of place"


class Contender(NamedTuple):
    name: str
    place: str
    make: Callable[[], Callable[[], Any]]  # the call, ready to be repeated


class Missing(NamedTuple):
    name: str
    reason: str


def missing(name: str, error: Exception) -> Missing:
    return Missing(name, " ".join(f"{type(error).__name__}: {error}".split())[:200])


def inputs(workload: Workload) -> QAndK:
    """q and k, [batch, heads, head_dim]."""
    return split(random_buffer(workload), workload)


def plain_contenders(workload: Workload) -> Iterator[Contender]:
    q, _ = inputs(workload)
    yield Contender("nothing", "", lambda: lambda: None)
    yield Contender("torch q.copy_", "", lambda: partial(q.copy_, q.clone()))


def ropejit_contenders(workload: Workload) -> Iterator[Contender]:
    """Of q and k as [batch, 1, heads, head_dim]."""
    device, head_dim, base = workload.device, workload.head_dim, workload.theta
    cos, sin = ropejit.build_rope_cache(2 * OFFSET, head_dim, base, device=device)
    by_table = {"cos": cos, "sin": sin, "layout": SEQUENTIAL, "offset": OFFSET}
    exact = ropejit.RotaryEmbedding(head_dim, base=base, layout=SEQUENTIAL, angles="exact")
    starts = torch.arange(OFFSET, OFFSET + workload.tokens, device=device)
    for name, place, function, options in (
        ("apply_rope_, table", IN_PLACE, ropejit.apply_rope_, by_table),
        ("rotate_, offset", IN_PLACE, exact.rotate_, {"offset": OFFSET}),
        ("rotate_, offset tensor", IN_PLACE, exact.rotate_, {"offset": starts}),
        ("rotate_, position_ids", IN_PLACE, exact.rotate_, {"position_ids": starts[:, None]}),
        ("apply_rope, table", OUT_OF_PLACE, ropejit.apply_rope, by_table),
        ("forward, offset", OUT_OF_PLACE, exact, {"offset": OFFSET}),
    ):
        q, k = (x[:, None] for x in inputs(workload))
        yield Contender(f"ropejit {name}", place, partial(partial, function, q, k, **options))


def peer_contenders(library: Library, loaded: Any, workload: Workload) -> Iterator[Contender]:
    for peer in library.peers:
        views = [peer.view(x) for x in inputs(workload)]

        def make(peer: Peer = peer, views: list[Tensor] = views) -> Callable[[], Any]:
            return partial(peer.prepare(loaded, workload), *views)

        yield Contender(peer.name, IN_PLACE if peer.in_place else OUT_OF_PLACE, make)


def load_peers(names: Sequence[str]) -> tuple[list[tuple[Library, Any]], list[Missing]]:
    """The libraries that can be had, each with what it loads."""
    found: list[tuple[Library, Any]] = []
    lacking: list[Missing] = []
    for name in names:
        try:
            found.append((LIBRARIES[name], LIBRARIES[name].load()))
        except Exception as error:  # whatever an import throws, the others go on
            lacking.append(missing(name, error))
    if any(library.name == "liger" for library in lacking):
        try:
            triton = importlib.import_module("peer_triton").TRITON
            found.append((triton, triton.load()))
        except Exception as error:
            lacking.append(missing("triton", error))
    return found, lacking


def label(contender: Contender) -> str:
    return ", ".join(filter(None, (contender.name, contender.place)))


def warm_calls(
    contenders: Iterable[Contender],
) -> tuple[dict[str, Callable[[], Any]], list[Missing]]:
    """The calls by label, of those that can be made. What compiles does so here."""
    calls: dict[str, Callable[[], Any]] = {}
    failed: list[Missing] = []
    for contender in contenders:
        try:
            call = contender.make()
            for _ in range(WARM_UP_CALLS):
                call()
            calls[label(contender)] = call
        except Exception as error:  # likewise
            failed.append(missing(label(contender), error))
    return calls, failed


def block_us(call: Callable[[], Any], count: int, synchronize: Callable[[], Any]) -> float:
    """Host time of one call, in microseconds, of `count` in a row that wait for nothing."""
    synchronize()
    start = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - start) / 1000 / count


def time_in_turn(
    calls: dict[str, Callable[[], Any]], args: argparse.Namespace
) -> dict[str, Timing]:
    synchronize = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    samples: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    gc.disable()  # a collection would fall into somebody's block
    gc.freeze()
    for block in range(args.blocks):
        first = block % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(block_us(calls[name], args.calls, synchronize))
        gc.collect()
    gc.enable()
    return {name: summary(taken) for name, taken in samples.items()}


def measure(args: argparse.Namespace) -> tuple[list[dict[str, Timing]], list[Missing]]:
    """The times for each batch."""
    libraries, lacking = load_peers(args.peers)
    times = []
    for batch in args.batch:
        workload = Workload(
            batch, *args.heads, args.head_dim, args.dtype, SEQUENTIAL, 10000.0, args.device
        )
        contenders = [*plain_contenders(workload), *ropejit_contenders(workload)]
        for library, loaded in libraries:
            contenders += peer_contenders(library, loaded, workload)
        calls, failed = warm_calls(contenders)
        times.append(time_in_turn(calls, args))
        lacking += [one for one in failed if one not in lacking]
    return times, lacking


def table(times: Sequence[dict[str, Timing]], batches: Sequence[int]) -> Iterator[str]:
    """Markdown, a row for each contender."""
    columns = [f"batch {batch} | quartiles" for batch in batches]
    yield f"| host µs of a call | {' | '.join(columns)} |"
    yield f"|---|{'---|---|' * len(columns)}"
    for name in dict.fromkeys(name for column in times for name in column):
        cells = [cell(column.get(name)) for column in times]
        yield f"| {name} | {' | '.join(cells)} |"


def cell(timing: Timing | None) -> str:
    if timing is None:
        return "- | -"
    return f"{number(timing.us)} | {number(timing.low)} to {number(timing.high)}"


def cpu_name() -> str:
    """As the kernel calls it, where it does."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def surroundings(args: argparse.Namespace) -> str:
    """What was measured, on what, and when, in a sentence."""
    parts = [cpu_name()]
    if args.device == "cuda":
        driver = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        parts = [f"{torch.cuda.get_device_name()}, driver {driver}", *parts]
    parts += [f"Python {platform.python_version()}", f"PyTorch {torch.__version__}"]
    known = package_versions()
    known.pop("torch")
    parts += [f"{name} {known[name]}" for name in known if known[name] != "not installed"]
    parts.append(f"ropejit {args.commit or 'of an unnamed commit'}")
    q_heads, kv_heads = args.heads
    shape = f"{args.dtype}, {q_heads}/{kv_heads} heads of {args.head_dim}"
    blocks = f"{args.blocks} blocks of {args.calls} calls"
    return f"{'; '.join(parts)}; {datetime.now(timezone.utc):%Y-%m-%d}. {shape}; {blocks}."


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    add("--batch", type=numbers, default=[1, 8], metavar="N,...", help="default: 1,8")
    add("--heads", type=heads, default=(32, 8), metavar="Q/KV", help="default: 32/8")
    add("--head-dim", type=int, default=128, help="default: 128")
    add("--dtype", choices=DTYPES, default="bfloat16", help="default: bfloat16")
    add("--blocks", type=int, default=101, help="of each contender, at least 2; default: 101")
    add("--calls", type=int, default=200, help="in a block; default: 200")
    add(
        "--peers",
        type=names_among(LIBRARIES),
        default=list(LIBRARIES),
        metavar="NAME,...",
        help=f"default: {','.join(LIBRARIES)}",
    )
    add("--commit", default="", help="of ropejit, for the report")
    return parser.parse_args()


def main() -> int:
    args = parse_arguments()
    with torch.no_grad():
        times, lacking = measure(args)
    print(surroundings(args), "", *table(times, args.batch), "", sep="\n")
    for name, reason in lacking:
        print(f"not measured: {name}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
