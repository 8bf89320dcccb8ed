#!/usr/bin/env bash
# Holds who may include what. `layering_test.sh [folder]` checks another checkout.
set -euo pipefail
cd -- "${1:-${SOURCE_DIR:-"$(dirname -- "${BASH_SOURCE[0]}")/.."}}"

failed=0

# sources <path>...: the C++ and CUDA files below the paths.
sources() {
  find "$@" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \)
}

# rule <sentence> <pattern> <file>...: none of the files has an include that matches the pattern, a
# Perl regular expression for what stands after `#include`, quote or bracket included.
rule() {
  local sentence=$1 pattern=$2 status=0
  shift 2
  if (($# == 0)); then
    echo "no files to check: $sentence" >&2
    failed=1
    return
  fi
  grep -HnP "^\s*#\s*include\s*$pattern" "$@" >&2 || status=$?
  if ((status != 1)); then # 1: no match; above it: grep itself failed
    echo "broken: $sentence" >&2
    failed=1
  fi
}

mapfile -t all < <(sources include src cache tools tests templates)
mapfile -t outside_driver < <(printf '%s\n' "${all[@]}" |
  grep -vE '^(src/driver_api\.h|tests/stub_cuda[^/]*)$')
mapfile -t beside_driver < <(printf '%s\n' "${all[@]}" | grep -vE '^src/driver[^/]*\.cpp$')
mapfile -t outside_compiler < <(printf '%s\n' "${all[@]}" | grep -vxF src/compiler.cpp)
mapfile -t headers < <(printf '%s\n' "${all[@]}" | grep -E '\.(h|cuh)$')
mapfile -t in_include < <(sources include)
mapfile -t in_cache < <(sources cache)
mapfile -t in_templates < <(sources templates)
mapfile -t in_examples < <(sources examples)

any_cuda='[<"](cuda|nvrtc|crt/|cooperative_groups|device_launch)'
rule 'cuda.h is included by src/driver_api.h alone' '[<"]cuda\.h' "${outside_driver[@]}"
rule 'driver_api.h is included by src/driver*.cpp alone' '".*driver_api\.h' \
  "${beside_driver[@]}"
rule 'nvrtc.h is included by src/compiler.cpp alone' '[<"]nvrtc\.h' "${outside_compiler[@]}"
rule 'no other CUDA header is included anywhere' '[<"]cuda[A-Z_/]' "${all[@]}"
rule 'nlohmann/json is included by no header' '[<"]nlohmann/' "${headers[@]}"
rule 'cache/ includes nothing of src/ and include/' '[<"](\.\./)*(src|include|ropejit)/' "${in_cache[@]}"
rule 'cache/ includes no CUDA header' "$any_cuda" "${in_cache[@]}"
rule 'include/ includes no CUDA header' "$any_cuda" "${in_include[@]}"
rule 'include/ includes nothing but the standard library and itself' '("(?!ropejit/)|<.*[./])' \
  "${in_include[@]}"
rule 'the compiler does not include the driver' '"(src/)?driver' src/compiler*
rule 'the driver does not include the compiler' '"(src/)?compiler' src/driver*
rule 'templates include no header but each other' '(<|".*/)' "${in_templates[@]}"
rule 'nothing of the library includes tools/ or tests/' '"(tools|tests)/' \
  "${in_include[@]}" "${in_cache[@]}" "${in_templates[@]}" src/*
rule 'examples use nothing of ropejit but its public interface' \
  '([<"](\.\./)*(src|cache|tools|tests|include)/|".*/)' "${in_examples[@]}"

exit "$failed"
