#!/usr/bin/env bash
# ropejit can be installed and found by find_package, and be a subdirectory of another project: the
# C++ example is built and run either way.
set -euo pipefail
: "${BUILD_DIR:?the build folder}" "${SOURCE_DIR:?the source folder}"

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
launcher=$(command -v ccache || true)

export ROPEJIT_CACHE_DIR=$scratch/cache

# build_and_run <project> <cmake argument>...
build_and_run() {
  local project=$1
  shift
  echo "== $project"
  cmake -S "$SOURCE_DIR/$project" -B "$scratch/$project" -G Ninja \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" "$@"
  cmake --build "$scratch/$project"
  "$scratch/$project/decode_step" "$SOURCE_DIR/examples/cpp/config.json"
}

cmake --install "$BUILD_DIR" --prefix "$scratch/pre fix"
# The installation stands alone: what built it is not mentioned.
if grep -rnF -e "$SOURCE_DIR" -e "$BUILD_DIR" "$scratch/pre fix" --include='*.cmake'; then
  echo "the installed package refers to the tree that it was built from" >&2
  exit 1
fi
"$scratch/pre fix/bin/ropejit" --version
build_and_run examples/cpp -DCMAKE_PREFIX_PATH="$scratch/pre fix"

include_dir=$(sed -n 's/^ROPEJIT_CUDA_INCLUDE_DIR:PATH=//p' "$BUILD_DIR/CMakeCache.txt")
build_and_run tests/consumer_subdirectory -DROPEJIT_SOURCE_DIR="$SOURCE_DIR" \
  -DROPEJIT_CUDA_INCLUDE_DIR="$include_dir"
if [[ -e $scratch/tests/consumer_subdirectory/ropejit/ropejit ]]; then
  echo "the command line tool was built as part of another project" >&2
  exit 1
fi
