#!/usr/bin/env bash
# tools/plot.py makes well-formed plots with named axes, and tables with the right numbers, of a report
# that `ropejit bench` writes (on the stub of libcuda) and of one with known ratios.
set -euo pipefail
: "${BUILD_DIR:?}" "${SOURCE_DIR:?}"
command -v python3 >/dev/null || {
  echo 'skipped: there is no python3'
  exit 77
}
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
export PYTHONDONTWRITEBYTECODE=1
plot() { python3 "$SOURCE_DIR/tools/plot.py" "$@"; }
fail() {
  printf 'plot.py: %s\n' "$@" >&2
  exit 1
}
# expect <text> <file>: the file has the text.
expect() { grep -qF -- "$1" "$2" || fail "$2 lacks: $1"; }

# well_formed <file>...: XML whose texts include the axes' names and units.
well_formed() {
  python3 - "$@" <<'PYTHON' || fail "not well-formed: $*"
import sys
from xml.etree import ElementTree
names = {"ratio": ["tokens", "copy's time / ropejit's time"], "time": ["tokens", "time, µs"],
         "grid": ["copy's time / ropejit's time (bar: geometric mean)", "heads (q/kv) × head size"]}
for path in sys.argv[1:]:
    root = ElementTree.parse(path).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in names[path.rsplit("/", 1)[1].removesuffix(".svg")]:
        assert name in texts, (path, name)
    assert not any("nan" in value for element in root.iter() for value in element.attrib.values())
PYTHON
}

# A report of two groups: in `grid` speeds of 1/2 and 2, whose geometric mean is 1, and in `decode`
# times with known digits.
python3 - "$folder/known.json" <<'PYTHON'
import json, sys
def cell(group, tokens, gpu_us, copy_us, **changes):
    spec = {"head_dim": 128, "rotary_dim": 128, "dtype": "bfloat16", "layout": "sequential", "q_heads": 32,
            "kv_heads": 8, "positions": "offset", "index_type": "int32", "angles": "exact",
            "direction": "forward", "alignment": 16}
    spec.update(changes)
    config = {"block_threads": 96, "access_bytes": 8, "pairing": "exchange", "heads_per_thread": 2}
    return {"spec": spec, "tokens": tokens, "in_place": False, "layout": "bshd", "group": group,
            "bytes": 4000000, "gpu_us": gpu_us, "gpu_us_low": gpu_us * 0.9, "gpu_us_high": gpu_us * 1.1,
            "copy_us": copy_us, "copy_kind": "memcpy", "twin_us": gpu_us / 2,
            "chain_us": 0.7654 if tokens <= 256 else None, "rounds": 7, "config": config}
device = {"name": "A <GPU> & more", "capability": "9.0", "multiprocessors": 132, "l2_bytes": 52428800,
          "memory_bytes": 85899345920, "clock_khz": None, "memory_clock_khz": None, "cuda": "13.0",
          "nvrtc": "NVRTC 13.0"}
host = {"spec": {}, "apply_ns": 3400, "raw_ns": 3350, "overhead_ns": 50, "overhead_ns_low": 48,
        "overhead_ns_high": 52, "launches": 10000}
start = {"spec": {}, "cold_ms": 80.25, "kernels": 3, "disk_ms": 0.75, "disk_runs": 15}
cells = [cell("grid", 8192, 40, 20), cell("grid", 32768, 100, 200),
         cell("grid", 8192, 10, 9, q_heads=64, layout="interleaved"),
         cell("decode", 1, 1.0, 0.9), cell("decode", 8, 1.25, 1.0)]
json.dump({"schema": 1, "version": "0.1.0", "commit": "c0ffee", "date": "2026-01-31T12:00:00Z",
           "device": device, "cells": cells, "host": [host], "start": [start]}, open(sys.argv[1], "w"))
PYTHON
plot plots "$folder/known.json" --out "$folder/plots/known"
well_formed "$folder"/plots/known/{ratio,time,grid}.svg
expect 'A &lt;GPU&gt; &amp; more' "$folder/plots/known/ratio.svg"
plot tables "$folder/known.json" >"$folder/tables.md"
expect '| grid | 3 | 0.965 | 0.500 | 0.500 |' "$folder/tables.md"  # (0.5 x 2 x 0.9)^(1/3)
expect '| decode | 2 | 0.849 | 0.800 | 0.500 |' "$folder/tables.md"
expect '### 32/8 heads of 128, offset, exact angles, bfloat16 sequential' "$folder/tables.md"
expect '| 1 | 1.00 | 0.900 to 1.10 | 0.900 | 0.500 | 0.765 | 4000 | 0.900 |' "$folder/tables.md"
expect '| 32768 | 100 | 90.0 to 110 | 200 | 50.0 |  | 40 | 2.000 |' "$folder/tables.md"
expect '| 32/8 × 128 |  | 1.000 (0.500) |  |  |  |  |' "$folder/tables.md"
expect '| 64/8 × 128 | 0.900 (0.900) |  |  |  |  |  |' "$folder/tables.md"
expect '| 32/8 × 128 (128) bfloat16 sequential exact, bshd | 8192 | 0.500 | 0.500 | 96 threads, 8 bytes, exchange, 2 |' \
  "$folder/tables.md"
expect '3400 ns, a raw `cuLaunchKernelEx` 3350 ns; the median difference is 50 ns (48 to 52)' "$folder/tables.md"
expect 'cold 80.2 ms (3 kernels compiled), from disk 0.75 ms (median of 15)' "$folder/tables.md"

# The document's tables are replaced between its markers, and nothing else of it.
cp "$SOURCE_DIR/docs/performance.md" "$folder/page.md"
plot tables "$folder/known.json" --into "$folder/page.md"
plot tables "$folder/known.json" --into "$folder/page.md"
expect '| grid | 3 | 0.965 |' "$folder/page.md"
[[ $(grep -c '^| grid | 3 ' "$folder/page.md") == 1 ]] || fail 'tables were added, not replaced'
outside() { sed '/^<!-- tables of/,/^<!-- end of tables/d' "$1"; }
[[ $(outside "$folder/page.md") == "$(outside "$SOURCE_DIR/docs/performance.md")" ]] ||
  fail 'the rest of the page has changed'

# A report as the tool writes it.
echo '[{"head_dim": 16, "q_heads": 2, "kv_heads": 1}, {"head_dim": 16, "q_heads": 2, "kv_heads": 1,
  "layout": "interleaved", "dtype": "float32"}]' >"$folder/specs.json"
ROPEJIT_CUDA=$BUILD_DIR/tests/libstub_cuda.so "$BUILD_DIR/ropejit" bench --spec "$folder/specs.json" \
  --tokens 1,300 --budget 1 --json "$folder/bench.json" >/dev/null
plot plots "$folder/bench.json" --out "$folder/plots/bench"
well_formed "$folder"/plots/bench/{ratio,time,grid}.svg
plot tables "$folder/bench.json" >"$folder/bench.md"
expect 'On Stub GPU (capability 9.0, 132 multiprocessors' "$folder/bench.md"
expect '| all | 4 | 1.000 | 1.000 | 1.000 |' "$folder/bench.md"

# refused <message> <argument>...: exits with 1 and says so.
refused() {
  local message=$1 status=0
  shift
  plot "$@" 2>"$folder/complaint" || status=$?
  [[ $status == 1 ]] || fail "exit code $status: $*"
  expect "$message" "$folder/complaint"
}
sed 's/"schema": 1/"schema": 2/' "$folder/known.json" >"$folder/newer.json"
refused 'newer.json: schema = 2: must be 1' tables "$folder/newer.json"
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); r["cells"] = []; json.dump(r, sys.stdout)' \
  "$folder/known.json" >"$folder/empty.json"
refused 'empty.json: cells is empty: nothing was measured' plots "$folder/empty.json"
refused 'No such file' tables "$folder/missing.json"
echo 'no markers' >"$folder/other.md"
refused 'other.md: must have the lines <!-- tables of' tables "$folder/known.json" --into "$folder/other.md"
echo "plots and tables of two reports are as they should be"
