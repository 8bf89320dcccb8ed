#!/usr/bin/env bash
# Builds ropejit and does its main job once: fills the kernel cache for a model, for the GPU of this
# machine or else for sm_90, and verifies the model's kernels against the CPU reference.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/setup.sh
source tools/setup.sh
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DROPEJIT_WERROR=OFF \
  -DROPEJIT_CUDA_INCLUDE_DIR="$ROPEJIT_CUDA_INCLUDE_DIR"
cmake --build build --target ropejit_cli

model=tests/data/models/llama-3-8b/config.json
arch=sm_90
verify=(--cpu)
if capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null) &&
  [[ $capability =~ ^([0-9]+)\.([0-9]+) ]]; then
  arch=sm_${BASH_REMATCH[1]}${BASH_REMATCH[2]}
  verify=()
fi

failed=()
step() {
  printf '\n== %s\n' "$*"
  "$@" || failed+=("$*")
}
step build/ropejit prewarm --model "$model" --arch "$arch"
step build/ropejit verify --model "$model" "${verify[@]}"
step build/ropejit doctor

printf '\n== summary\n'
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
if ((${#verify[@]})); then
  echo "No GPU here: the kernels of $model were built for sm_90 and verified on the CPU."
else
  echo "The kernels of $model were built for $arch and verified on the GPU."
fi
echo "They are in the cache folder that doctor names above."
