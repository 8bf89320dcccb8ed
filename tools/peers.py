#!/usr/bin/env python3
"""Measures ropejit beside other libraries' RoPE, on one NVIDIA GPU, in one run.

    python3 tools/peers.py --ropejit build-gpu/ropejit --json peers.json

The peers: Liger (Triton), flash-attn's Triton rotary kernel, FlashInfer (CUDA, compiled by nvcc at
its first use), vLLM's CUDA kernel, transformers' formula in PyTorch, and the same under
torch.compile. Each library runs in a process of its own (tools/peer_runs.py) under a time limit;
one that is missing, crashes or hangs is reported with the reason, and nothing is estimated. A peer
is first compared with float64 at small positions; one that is wrong is timed, and marked.

It needs Python 3.10 and PyTorch with CUDA. The libraries are Python packages: liger-kernel;
flash-attn, of which the Python files do (FLASH_ATTENTION_SKIP_CUDA_BUILD=TRUE pip wheel --no-deps
--no-build-isolation flash-attn); flashinfer-python with apache-tvm-ffi, whose compilation takes a
minute and needs nvcc and ninja; vllm. Without --cache-dir their compilation caches are new, so that
the first call is a cold one.

Times: "gpu us" is the GPU time of one call in a CUDA graph of many, the median over its replays;
calls that touch more than an eighth of the L2 cache rotate over three times that cache. The copy is
one of the same bytes, timed in turn with the call, by cudaMemcpyAsync or by a kernel, whichever is
faster. "host us" is the time until a call returns, at the fewest tokens. Table and position tensors
are made beforehand. flash-attn needs a call for q and another for k; both count.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from peer_calls import DTYPES, LAYOUTS, LIBRARIES
from peer_runs import Plan
from peer_table import ROPEJIT, Row, problems, short_table, times_table

DEFAULT_TOKENS = (1, 8, 32, 128, 256, 512, 2048, 8192, 32768)
# Where the libraries keep what they compile.
CACHE_VARIABLES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE")
PLAN_OPTIONS = ("heads", "head_dim", "dtype", "theta", "tokens", "layouts")
STOPPING_S = 5.0
LOG_END = 4000  # characters of a library's output that the JSON file keeps


class Ended(NamedTuple):
    """How a process ended; `problem` is empty if it ended well."""

    seconds: float
    problem: str


def last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that is still running, and what it started: first with a signal that ninja
    passes on to its compilers, which are in groups of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING_S)


def run_limited(command: list[str], limit_s: float, log: Path, env: dict[str, str]) -> Ended:
    """Runs `command` with its output in `log`, and stops it at the limit."""
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        try:
            process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )
        except OSError as error:
            return Ended(0.0, str(error))
        try:
            code = process.wait(limit_s)
            problem = f"exit status {code}: {last_line(log)}" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"stopped after {limit_s:g} s"
        finally:
            stop(process)
    return Ended(time.monotonic() - start, problem)


def library_environment(cache_dir: Path) -> dict[str, str]:
    """This process's, with the caches in `cache_dir`, and with the programs of Python's environment
    (ninja, for one) on the path even if that environment is not activated."""
    env = dict(os.environ)
    env.update({variable: str(cache_dir / variable.lower()) for variable in CACHE_VARIABLES})
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", "")))
    return env


def run_library(name: str, args: argparse.Namespace, folder: Path) -> tuple[Ended, list[dict]]:
    """Runs the peers of a library, and returns the records that peer_runs.py left."""
    q_heads, kv_heads = args.heads
    plan = Plan(
        name, args.tokens, args.layouts, q_heads, kv_heads, args.head_dim, args.dtype, args.theta
    )
    plan_path, records_path = folder / f"{name}.plan", folder / f"{name}.records"
    plan_path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    records_path.touch()
    program = Path(__file__).with_name("peer_runs.py")
    ended = run_limited(
        [sys.executable, str(program), str(plan_path), str(records_path)],
        args.limit,
        folder / f"{name}.log",
        library_environment(args.cache_dir or folder),
    )
    lines = records_path.read_text(encoding="utf-8").splitlines(keepends=True)
    return ended, [json.loads(line) for line in lines if line.endswith("\n")]


def rows_of_library(
    name: str, args: argparse.Namespace, ended: Ended, records: list[dict[str, Any]]
) -> list[Row]:
    """A row for each peer and layout of the library, also if there is no record of it."""
    rows = {
        (peer.name, peer.in_place, layout): Row(peer.name, peer.in_place, layout, peer.table)
        for peer in LIBRARIES[name].peers
        for layout in args.layouts
        if layout in peer.layouts
    }
    for record in records:
        if record["record"] == "peer":
            row = rows[row_key(record)]
            row.status = record["status"]
            row.reason = record.get("reason", "")
            row.worst_error_eps = record.get("worst_error_eps", row.worst_error_eps)
            row.first_call_ms = record.get("first_call_ms", row.first_call_ms)
        elif record["record"] == "cell":
            rows[row_key(record)].cells.append(cell_of(record))
    if ended.problem:
        blame(rows.values(), ended.problem, len(args.tokens))
    return list(rows.values())


def fields_of(kind: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The only record of a kind, "device" or "library"; empty if a run did not come so far."""
    found = next((record for record in records if record["record"] == kind), {})
    return {key: found[key] for key in found if key != "record"}


def row_key(record: dict[str, Any]) -> tuple[str, bool, str]:
    return record["peer"], record["in_place"], record["layout"]


def cell_of(record: dict[str, Any]) -> dict[str, Any]:
    """What of a cell's record its row does not say already."""
    return {
        key: record[key] for key in record if key not in ("record", "peer", "in_place", "layout")
    }


def blame(rows: Iterable[Row], problem: str, cells: int) -> None:
    """Marks the rows that are not complete because their process ended badly."""
    for row in rows:
        if len(row.cells) < cells and row.status != "failed":
            row.status = "unavailable" if row.status == "unavailable" else "failed"
            row.reason = problem


def run_ropejit(args: argparse.Namespace, folder: Path) -> tuple[Ended, Path]:
    """Runs `ropejit bench` on the same calls, and returns where it put its JSON."""
    q_heads, kv_heads = args.heads
    shape = {"head_dim": args.head_dim, "dtype": args.dtype, "theta": args.theta}
    shape.update({"q_heads": q_heads, "kv_heads": kv_heads, "positions": "offset"})
    specs, found = folder / "ropejit-specs.json", folder / "ropejit.json"
    specs.write_text(
        json.dumps([{**shape, "layout": layout} for layout in args.layouts]), encoding="utf-8"
    )
    command = [str(args.ropejit), "bench", "--spec", str(specs), "--json", str(found)]
    command += ["--in-place", "--tokens", ",".join(map(str, args.tokens))]
    return run_limited(command, args.limit, folder / "ropejit.log", dict(os.environ)), found


def read_ropejit(path: Path, args: argparse.Namespace) -> list[Row]:
    """The rows of `ropejit bench --json`: of its `cells`, the fields that are used here."""
    rows: dict[tuple[str, bool], Row] = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        layout, in_place = cell["spec"]["layout"], cell["in_place"]
        if layout not in args.layouts or cell["tokens"] not in args.tokens:
            continue
        row = rows.setdefault((layout, in_place), Row(ROPEJIT, in_place, layout, status="ok"))
        row.cells.append({key: cell[key] for key in ("tokens", "gpu_us", "copy_us")})
    return list(rows.values())


def ropejit_rows(args: argparse.Namespace, folder: Path) -> list[Row]:
    """ropejit's rows, measured or read as the options say; none if they say neither."""
    path, problem = args.ropejit_json, ""
    if args.ropejit:
        ended, path = run_ropejit(args, folder)
        report_progress(ROPEJIT, ended)
        problem = ended.problem
    if path is None:
        return []
    try:
        if not problem:
            return read_ropejit(path, args)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{path.name}: {type(error).__name__}: {error}"
    return [Row(ROPEJIT, False, layout, reason=problem) for layout in args.layouts]


def report_progress(name: str, ended: Ended) -> None:
    print(f"{name}: {ended.seconds:.0f} s. {ended.problem}", file=sys.stderr, flush=True)


def output_of(*command: str) -> str:
    """The last line that a program prints; empty if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().rpartition("\n")[2]


def package_versions() -> dict[str, str]:
    """Of the libraries, and of what some of them stand on."""
    names = {library.distribution for library in LIBRARIES.values()}
    versions = {}
    for name in sorted(names | {"triton", "apache-tvm-ffi"}):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def numbers(text: str) -> list[int]:
    values = sorted({int(part) for part in text.split(",")})
    if values[0] < 1:
        raise ValueError(text)
    return values


def heads(text: str) -> tuple[int, int]:
    q_heads, kv_heads = map(int, text.split("/"))
    return q_heads, kv_heads


def names_among(known: Iterable[str]) -> Any:
    """A parser of comma-separated names."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return names

    return parse


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--heads", type=heads, default=(32, 8), metavar="Q/KV", help="default: 32/8")
    add("--head-dim", type=int, default=128, help="default: 128")
    add("--dtype", choices=DTYPES, default="bfloat16", help="default: bfloat16")
    add("--theta", type=float, default=10000.0, help="base of the frequencies; default: 10000")
    add(
        "--tokens",
        type=numbers,
        default=list(DEFAULT_TOKENS),
        metavar="N,...",
        help=f"default: {','.join(map(str, DEFAULT_TOKENS))}",
    )
    add(
        "--layouts",
        type=names_among(LAYOUTS),
        default=list(LAYOUTS),
        metavar="NAME,...",
        help=f"default: {','.join(LAYOUTS)}",
    )
    add(
        "--peers",
        type=names_among(LIBRARIES),
        default=list(LIBRARIES),
        metavar="NAME,...",
        help=f"default: {','.join(LIBRARIES)}",
    )
    add("--limit", type=float, default=90.0, metavar="S", help="seconds a library may take")
    add("--cache-dir", type=Path, help="compilation caches that stay; default: new ones")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--ropejit", type=Path, metavar="PATH", help="the tool, which is run")
    source.add_argument("--ropejit-json", type=Path, metavar="FILE", help="what `bench` wrote")
    add("--json", type=Path, metavar="FILE", help="everything, as JSON")
    return parser.parse_args()


def measure(args: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Runs everything, one process after the other. The second is for the JSON file."""
    rows: list[Row] = []
    device: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ropejit-peers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rows += ropejit_rows(args, folder)
        for library in args.peers:
            ended, records = run_library(library, args, folder)
            report_progress(library, ended)
            rows += rows_of_library(library, args, ended, records)
            device = fields_of("device", records) or device
            log = (folder / f"{library}.log").read_text(encoding="utf-8", errors="replace")
            runs[library] = {
                **ended._asdict(),
                **fields_of("library", records),
                "log_end": log[-LOG_END:],
            }
    device["driver"] = output_of(
        "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"
    )
    return rows, {
        "device": device,
        "nvcc": output_of("nvcc", "--version"),
        "packages": package_versions(),
        "options": {key: getattr(args, key) for key in PLAN_OPTIONS},
        "runs": runs,
        "rows": [asdict(row) for row in rows],
    }


def main() -> int:
    args = parse_arguments()
    start = time.monotonic()
    rows, report = measure(args)
    report["seconds"] = time.monotonic() - start
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    device, packages = report["device"], report["packages"]
    print(f"{device.get('name', 'no GPU')}, driver {device['driver']}, {report['seconds']:.0f} s")
    print(", ".join(f"{name} {version}" for name, version in packages.items()))
    print(*times_table(rows, args.tokens), *problems(rows), sep="\n")
    print()
    print(*short_table(rows, args.tokens), sep="\n")
    return 0 if any(row.cells for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
