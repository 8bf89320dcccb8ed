#!/usr/bin/env bash
# Builds the Python package from this checkout, as `pip install .` does, in an environment of its
# own in build-python/, and runs its tests. Arguments go to pytest. Tests of PyTorch and transformers
# run where the environment has them: ROPEJIT_PYTHON=<python> takes another interpreter than python3
# and lets the environment see its packages; ROPEJIT_TEST_TORCH=1 installs them, 3 GB, if that can be
# done within ten minutes. ropejit_ROOT=<prefix> takes the library that is installed there instead of
# building it.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/setup.sh
source tools/setup.sh

python=${ROPEJIT_PYTHON:-python3}
buildable='import ensurepip, os, sysconfig, venv; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))'
"$python" -c "$buildable" 2>/dev/null || install_packages python3 python3-venv python3-dev

folder=$PWD/build-python
venv=$folder/venv
options=()
if [[ -n ${ROPEJIT_PYTHON:-} ]]; then
  options=(--system-site-packages)
fi
[[ -x $venv/bin/python ]] || "$python" -m venv "${options[@]}" "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet 'scikit-build-core>=0.10' 'nanobind>=2.4' 'numpy>=1.23' pytest

if [[ ${ROPEJIT_TEST_TORCH:-} == 1 ]]; then
  timeout 600 "${pip[@]}" install --quiet 'torch>=2.11,<2.12' 'transformers>=5.24,<5.25' ||
    echo "PyTorch could not be installed: its tests are skipped" >&2
fi

# Without isolation, so that CMake finds nanobind where it was, and a second run builds only what
# changed.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
fi
start=$SECONDS
wheel=("${pip[@]}" wheel --quiet --no-build-isolation --no-deps
  --config-settings="build-dir=$folder/cmake"
  --config-settings="cmake.define.ropejit_ROOT=${ropejit_ROOT:-}")
rm -rf -- "$folder/wheels"
"${wheel[@]}" --wheel-dir "$folder/wheels/root" .
"${wheel[@]}" --wheel-dir "$folder/wheels/python" ./python
"${pip[@]}" install --quiet --no-deps --force-reinstall "$folder"/wheels/root/ropejit-*.whl
echo "built and installed in $((SECONDS - start)) s"

# The wheel of the package's folder, in an environment with nothing else in it.
"$python" -m venv --clear "$folder/clean"
"$folder/clean/bin/python" -m pip --disable-pip-version-check install --quiet "$folder"/wheels/python/ropejit-*.whl
env -i "$folder/clean/bin/python" -c 'import ropejit, numpy; print(ropejit.RotaryEmbedding(64)(numpy.ones((1, 2, 3, 64), "f4"))[0].shape)'
env -i "$folder/clean/bin/ropejit" --version

"$venv/bin/python" -m pytest -q -rs python "$@"
