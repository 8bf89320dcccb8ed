#!/usr/bin/env bash
# A whole pass on a machine with a GPU: builds, runs the tests that need the device, verifies every
# model of tests/data/models/ on it, measures cold and warm start, runs part of the kernel matrix
# under compute-sanitizer, tests the Python package with the PyTorch that is there, measures the suite of
# docs/performance.md, other libraries and the host time from Python, and prints a short table last. docs/verification.md and docs/performance.md hold its results.
#   bash tools/gpu.sh [--out DIR] [STEP...]
# DIR: where the full logs go (default: build-gpu/logs). STEP: of those at the end of this file; default: all.
# COMMIT names the commit where the repository does not. Installs nothing; on a machine that cannot install
# xxhash.h, put it into .deps/include/, and pytest into a folder on PYTHONPATH.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit

logs=build-gpu/logs
if [[ ${1:-} == --out && -n ${2:-} ]]; then
  logs=$2
  shift 2
fi
steps=" $* "
mkdir -p "$logs" && logs=$(cd -- "$logs" && pwd) || exit
cache=$(mktemp -d)
trap 'rm -rf -- "$cache"' EXIT
export ROPEJIT_CACHE_DIR=$cache

table=()
failed=0
# step <name> <command>...: runs it with its output in <name>.log; a line for the table.
step() {
  local name=$1 start=$SECONDS result
  shift
  [[ $steps == '  ' || $steps == *" $name "* ]] || return 0
  if "$@" >"$logs/$name.log" 2>&1; then
    result=$(grep -E ' passed, |right, by| passed in |tests passed|host µs|ropejit (apply|rotate)|copy_|ERROR SUMMARY|(cold|warm|disk) start| cells  mean|fastest peer' "$logs/$name.log" | tail -n 7 | paste -sd ';')
  else
    result="FAILED: $(tail -n 3 "$logs/$name.log" | paste -sd ' ')"
    failed=1
  fi
  table+=("$(printf '%-24s %4d s  %s' "$name" $((SECONDS - start)) "$result")")
}

build() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DROPEJIT_WERROR=OFF "-DROPEJIT_COMMIT=${COMMIT:-}")
  [[ ! -f .deps/include/xxhash.h ]] || options+=("-DXXHASH_INCLUDE_DIR=$PWD/.deps/include")
  cmake -S . -B build-gpu -G Ninja "${options[@]}" && cmake --build build-gpu
}

# Several at a time: most of a verification is the reference's, on the CPU.
verify_models() {
  local status=0
  # shellcheck disable=SC2016
  find tests/data/models -name config.json | sort | xargs -P 8 -I{} bash -c '
    text=$(build-gpu/ropejit verify --model "$1" --variants all 2>&1)
    status=$?
    printf "\n== %s\n%s\n" "$1" "$text"
    ((status != 2)) || echo "not supported yet"
    ((status == 0 || status == 2))' _ {} || status=1
  grep -E ' passed, ' "$logs/verify_models.log" |
    awk '{p += $1; f += $3} END {printf "%d passed, %d failed\n", p, f}'
  return $status
}

step build build
step gpu_tests ctest --test-dir build-gpu -L gpu --verbose --no-tests=error
step verify_models verify_models
step start_timing build-gpu/ropejit verify --timing --model tests/data/models/llama-3-8b/config.json
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
step memcheck "$sanitizer" --tool memcheck --error-exitcode 1 \
  build-gpu/ropejit verify --model tests/data/models/phi-2/config.json
step racecheck "$sanitizer" --tool racecheck --error-exitcode 1 \
  build-gpu/ropejit verify --model tests/data/models/phi-2/config.json

# The program of examples/cpp over the library as it would be installed.
example() {
  cmake --install build-gpu --prefix build-gpu/prefix &&
    cmake -S examples/cpp -B build-gpu/example "-DCMAKE_PREFIX_PATH=$PWD/build-gpu/prefix" &&
    cmake --build build-gpu/example &&
    build-gpu/example/decode_step examples/cpp/config.json
}
step example example

# The package as it would be installed, in build-gpu/package.
build_python() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DROPEJIT_WERROR=OFF -DROPEJIT_BUILD_TESTS=OFF
    "-Dnanobind_DIR=$(python3 -m nanobind --cmake_dir)")
  [[ ! -f .deps/include/xxhash.h ]] || options+=("-DXXHASH_INCLUDE_DIR=$PWD/.deps/include")
  cmake -S python -B build-gpu/python -G Ninja "${options[@]}" &&
    cmake --build build-gpu/python --target _core &&
    mkdir -p build-gpu/package/ropejit &&
    cp python/src/ropejit/* build-gpu/python/_core*.so build-gpu/package/ropejit/
}
step build_python build_python
export PYTHONPATH=$PWD/build-gpu/package${PYTHONPATH:+:$PYTHONPATH}
workers=()
if python3 -c 'import xdist' 2>/dev/null; then
  workers=(-n 8)
fi
step python_tests python3 -m pytest -q -rs "${workers[@]}" python/tests
step host_time python3 tools/python_host_time.py --commit "${COMMIT:-}"

step bench build-gpu/ropejit bench --suite --json "$logs/suite.json"
# What other libraries take, of those that Python finds here; the rest is reported as absent.
step peers python3 tools/peers.py --ropejit build-gpu/ropejit --json "$logs/peers.json"

printf '\n== %s, commit %s\n' "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)" \
  "${COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)}"
printf '%s\n' "${table[@]}"
exit "$failed"
