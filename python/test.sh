#!/usr/bin/env bash
# Builds the Python package from this checkout, as `pip install .` does, in an environment of its
# own in build-python/, and runs its tests. Arguments go to pytest. Tests of PyTorch run where the
# environment has it: ROPEJIT_PYTHON=<python> takes another interpreter than python3 and lets the
# environment see its packages.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/setup.sh
source tools/setup.sh

folder=$PWD/build-python
venv=$folder/venv
options=()
if [[ -n ${ROPEJIT_PYTHON:-} ]]; then
  options=(--system-site-packages)
fi
[[ -x $venv/bin/python ]] || "${ROPEJIT_PYTHON:-python3}" -m venv "${options[@]}" "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet 'scikit-build-core>=0.10' 'nanobind>=2.4' 'numpy>=1.23' pytest

# Without isolation, so that CMake finds nanobind where it was, and a second run builds only what
# changed.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
fi
start=$SECONDS
"${pip[@]}" install --quiet --no-build-isolation --no-deps --force-reinstall \
  --config-settings="build-dir=$folder/cmake" ./python
echo "built and installed in $((SECONDS - start)) s"
"$venv/bin/python" -m pytest -q python "$@"
