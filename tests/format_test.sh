#!/usr/bin/env bash
# Every C++ and CUDA file is formatted as .clang-format says. Releases of clang-format disagree in
# details, so one of them is the judge; without it the test is skipped.
set -euo pipefail
cd -- "${SOURCE_DIR:-"$(dirname -- "${BASH_SOURCE[0]}")/.."}"

judge=14
formatter=$(command -v "clang-format-$judge" || command -v clang-format || true)
if [[ -z $formatter || $("$formatter" --version) != *"version $judge."* ]]; then
  echo "skipped: there is no clang-format $judge here"
  exit 77
fi

if git rev-parse --git-dir >/dev/null 2>&1; then
  mapfile -d '' files < <(git ls-files -z --cached --others --exclude-standard \
    -- '*.h' '*.cpp' '*.cu' '*.cuh')
else
  mapfile -d '' files < <(find . -name 'build*' -prune -o -type f \
    \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0)
fi
((${#files[@]})) || { echo "no files found" >&2; exit 1; }
"$formatter" --dry-run -Werror "${files[@]}"
