"""GPU and host time of calls that are prepared as PyTorch work.

GPU time is that of a CUDA graph of many calls, replayed between two events right behind an untimed
replay, so that the device never waits for the host. What is timed together is timed in turn, round
by round, so that whatever drifts drifts for all alike.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Enqueues one call on a set of a ring of buffers; what it returns lives until the set's next turn.
Step = Callable[[int], Any]

REPLAY_US = 500.0
MOST_CALLS = 1024
PILOT_CALLS = 4
BUDGET_S = 0.06
LEAST_ROUNDS = 7
MOST_ROUNDS = 101
HOST_CHUNKS = 21
HOST_CALLS_PER_CHUNK = 50
WARM_UP_S = 0.3


@dataclass(frozen=True)
class Timing:
    """Microseconds per call: the median over the rounds, and the quartiles."""

    us: float
    low: float
    high: float
    rounds: int


def ring_sets(touched_bytes: int, l2_bytes: int) -> int:
    """How many sets of buffers calls take in turn, so that a call finds in the L2 cache what it
    would find in a model: a small one its data, a large one nothing."""
    if touched_bytes <= l2_bytes // 8:
        return 1
    return math.ceil(3 * l2_bytes / touched_bytes)


@dataclass(frozen=True)
class Replay:
    """A CUDA graph of `calls` calls."""

    graph: torch.cuda.CUDAGraph
    calls: int

    def us_per_call(self) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.graph.replay()
        start.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        return max(start.elapsed_time(end), 1e-3) * 1000 / self.calls  # its ticks are half that


def capture(step: Step, sets: int, calls: int) -> Replay:
    graph = torch.cuda.CUDAGraph()
    kept: list[Any] = [None] * sets  # else outputs would share one buffer, which stays in the cache
    with torch.cuda.graph(graph):
        for i in range(calls):
            kept[i % sets] = step(i % sets)
    return Replay(graph, calls)


def prepare_replay(step: Step, sets: int) -> Replay:
    """A graph of whole rings that takes about REPLAY_US, warmed up."""
    for i in range(sets):
        step(i)  # whatever compiles does so now: it must not during a capture
    torch.cuda.synchronize()
    pilot = capture(step, sets, max(sets, PILOT_CALLS))
    wanted = min(math.ceil(REPLAY_US / pilot.us_per_call()), MOST_CALLS)
    replay = capture(step, sets, math.ceil(wanted / sets) * sets)
    replay.us_per_call()
    return replay


def time_interleaved(steps: Sequence[Step], sets: int) -> list[Timing]:
    """GPU time of each of `steps`, which all take the same ring."""
    replays = [prepare_replay(step, sets) for step in steps]
    samples: list[list[float]] = [[] for _ in replays]
    end = time.perf_counter() + BUDGET_S
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() > end:
            break
        for replay, taken in zip(replays, samples):
            taken.append(replay.us_per_call())
    return [summary(taken) for taken in samples]


def summary(samples: Sequence[float]) -> Timing:
    low, median, high = statistics.quantiles(samples, n=4)
    return Timing(median, low, high, len(samples))


def host_us(step: Step) -> float:
    """Median host time of one call, in microseconds, that waits for nothing."""
    samples = []
    for _ in range(HOST_CHUNKS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(HOST_CALLS_PER_CHUNK):
            step(0)
        samples.append((time.perf_counter() - start) * 1e6 / HOST_CALLS_PER_CHUNK)
    torch.cuda.synchronize()
    return statistics.median(samples)


def warm_up() -> None:
    """Keeps the device busy for a moment, so that its clocks are up."""
    source = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    end = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < end:
        for _ in range(20):
            target.copy_(source)
        torch.cuda.synchronize()
