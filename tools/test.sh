#!/usr/bin/env bash
# Builds everything and runs every test; then the Python package and its tests; then builds again with
# the address and undefined behaviour sanitizers, in build-asan/, and runs there the tests that need no
# GPU. GPU tests are reported as skipped on a machine without one.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/setup.sh
source tools/setup.sh

jobs=$(nproc)
summary=()
failed=0

# build_and_test <folder> <sanitizers> <ctest arguments>...
build_and_test() {
  local folder=$1 sanitizers=$2 start=$SECONDS
  shift 2
  printf '\n== %s\n' "$folder"
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DROPEJIT_SANITIZE="$sanitizers" \
    -DROPEJIT_CUDA_INCLUDE_DIR="$ROPEJIT_CUDA_INCLUDE_DIR" || return
  cmake --build "$folder" || return
  printf '\n== %s: tests, %d s after the start of its build\n' "$folder" $((SECONDS - start))
  ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$jobs" "$@"
}

# tree <folder> <sanitizers> <ctest arguments>...: the same, and a line for the summary.
tree() {
  local start=$SECONDS result=passed
  build_and_test "$@" || { result=FAILED && failed=1; }
  summary+=("$1: $result in $((SECONDS - start)) s")
}

# The Python package over the library that was built above.
python_package() {
  local start=$SECONDS result=passed
  printf '\n== python\n'
  if ! cmake --install build --prefix build-python/prefix >/dev/null ||
    ! ropejit_ROOT="$PWD/build-python/prefix" bash python/test.sh; then
    result=FAILED failed=1
  fi
  summary+=("python: $result in $((SECONDS - start)) s")
}

tree build ""
python_package
tree build-asan address,undefined -L '^cpu$'

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
