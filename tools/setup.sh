#!/usr/bin/env bash
# Installs what the build needs and this machine lacks: Debian or Ubuntu packages with apt, as root
# or with sudo, and, where there is no CUDA toolkit, NVRTC and the CUDA headers with pip, into
# .deps/. Changes nothing the second time. run.sh and test.sh source it for what it exports:
#   ROPEJIT_CUDA_INCLUDE_DIR  the folder of cuda.h and nvrtc.h
#   ROPEJIT_NVRTC             libnvrtc, only where it is the one in .deps/
# ROPEJIT_SETUP_IGNORE_TOOLKIT=1 behaves as if no CUDA toolkit were installed.
set -euo pipefail

setup_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
setup_deps=$setup_root/.deps

# The packages that are missing, one per line. Programs and headers count, however they came.
missing_packages() {
  local pair compiler
  read -ra compiler <<<"${CXX:-g++}"
  for pair in cmake:cmake ninja:ninja-build git:git "${compiler[0]}:g++"; do
    command -v "${pair%:*}" >/dev/null || echo "${pair##*:}"
  done
  local headers=(
    fmt/format.h libfmt-dev nlohmann/json.hpp nlohmann-json3-dev doctest/doctest.h doctest-dev
    CLI/CLI.hpp libcli11-dev xxhash.h libxxhash-dev
  )
  if command -v "${compiler[0]}" >/dev/null; then
    printf '#if !__has_include(<%s>)\n%s\n#endif\n' "${headers[@]}" |
      "${compiler[@]}" -std=c++20 -x c++ -E -P - | sed '/^$/d'
  else
    printf '%s %s\n' "${headers[@]}" | cut -d ' ' -f 2
  fi
}

install_packages() {
  local as_root=()
  if ! command -v apt-get >/dev/null; then
    echo "setup: missing: $*; there is no apt-get here: install what your system calls them" >&2
    return 1
  fi
  if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: missing: $*; neither root nor sudo: have them installed with apt-get" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "setup: installing $*"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q
    -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3)
  "${apt[@]}" update || echo "setup: apt-get update failed; going on with its last lists" >&2
  "${apt[@]}" install -y --no-install-recommends "$@"
}

# Prints the include folder of a CUDA toolkit, version 12 or later, that has NVRTC.
toolkit_include_dir() {
  local toolkit include version
  [[ ${ROPEJIT_SETUP_IGNORE_TOOLKIT:-0} != 1 ]] || return 1
  for toolkit in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-* /usr; do
    [[ -n $toolkit ]] || continue
    compgen -G "$toolkit/lib*/libnvrtc.so*" >/dev/null ||
      compgen -G "$toolkit/lib/*-linux-gnu/libnvrtc.so*" >/dev/null ||
      compgen -G "$toolkit/targets/*/lib/libnvrtc.so*" >/dev/null || continue
    for include in "$toolkit/include" "$toolkit"/targets/*/include; do
      [[ -f $include/cuda.h && -f $include/nvrtc.h ]] || continue
      version=$(sed -n 's/^#define CUDA_VERSION *\([0-9]*\).*/\1/p' "$include/cuda.h")
      if ((version >= 12000)); then
        echo "$include"
        return 0
      fi
    done
  done
  return 1
}

# Fills .deps/cuda from the Python index. Downloads beside it and renames: no half-filled folder
# outlives an interruption.
fetch_cuda() {
  local pip=(python3 -m pip) partial=$setup_deps/cuda.partial
  if ! python3 -m pip --version >/dev/null 2>&1; then
    if ! "$setup_deps/venv/bin/python3" -m pip --version >/dev/null 2>&1; then
      python3 -m venv --clear "$setup_deps/venv" >/dev/null 2>&1 || {
        install_packages python3 python3-venv
        python3 -m venv --clear "$setup_deps/venv"
      }
    fi
    pip=("$setup_deps/venv/bin/python3" -m pip)
  fi
  echo "setup: no CUDA toolkit: fetching NVRTC and the CUDA headers into .deps/ (90 MB)"
  rm -rf -- "$partial"
  PIP_ROOT_USER_ACTION=ignore "${pip[@]}" install --quiet --no-input --disable-pip-version-check --no-deps \
    --only-binary=:all: --target "$partial" 'nvidia-cuda-nvrtc==13.0.*' 'nvidia-cuda-runtime==13.0.*'
  rm -rf -- "$setup_deps/cuda"
  mv -- "$partial" "$setup_deps/cuda"
}

provide_cuda() {
  local include
  if [[ -n ${ROPEJIT_CUDA_INCLUDE_DIR:-} ]]; then
    return 0 # the caller knows better
  elif include=$(toolkit_include_dir); then
    export ROPEJIT_CUDA_INCLUDE_DIR=$include
  else
    include=$setup_deps/cuda/nvidia/cu13/include
    [[ -f $include/cuda.h && -f $include/nvrtc.h ]] || fetch_cuda
    export ROPEJIT_CUDA_INCLUDE_DIR=$include
    export ROPEJIT_NVRTC=${ROPEJIT_NVRTC:-$setup_deps/cuda/nvidia/cu13/lib/libnvrtc.so.13}
  fi
}

missing=$(missing_packages)
if [[ -n $missing ]]; then
  # shellcheck disable=SC2086 # one word per package
  install_packages $missing
fi
provide_cuda
echo "setup: CUDA headers: $ROPEJIT_CUDA_INCLUDE_DIR${ROPEJIT_NVRTC:+; NVRTC: $ROPEJIT_NVRTC}"
