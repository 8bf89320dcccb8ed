#!/usr/bin/env bash
# The README's examples do what it says: the C++ program compiles and prints what is promised, every
# command of a console block prints the lines below it, and the spec file is accepted.
set -euo pipefail
: "${BUILD_DIR:?}" "${SOURCE_DIR:?}"
folder=$(mktemp -d)
trap 'rm -rf -- "$folder" /tmp/ropejit-readme' EXIT
export ROPEJIT_CACHE_DIR=$folder/cache HOME=$folder

# block <language>: the text of the README's blocks of that language.
block() {
  awk -v fence="\`\`\`$1" '$0 == fence {inside = 1; next} /^```/ {inside = 0} inside' "$SOURCE_DIR/README.md"
}
fail() {
  printf 'README: %s\n' "$@" >&2
  exit 1
}

block cpp >"$folder/example.cpp"
"${CXX:-c++}" -std=c++20 -I"$SOURCE_DIR/include" "$folder/example.cpp" "$BUILD_DIR/libropejit.a" -ldl -pthread \
  -o "$folder/example"
output=$("$folder/example")
grep -qF "It prints \`$output\`" "$SOURCE_DIR/README.md" || fail "the C++ example prints $output"

block json >"$folder/spec.json"
"$BUILD_DIR/ropejit" render --spec "$folder/spec.json" >"$folder/kernel.cu" 2>/dev/null || fail 'the spec file is refused'

# Runs in a folder where build/ropejit and tests/ are found as from the root of the repository.
mkdir "$folder/root" && cd "$folder/root"
ln -s "$BUILD_DIR" build && ln -s "$SOURCE_DIR/tests" tests
commands=0 expected='' command=''
check() {
  [[ -n $command ]] || return 0
  local actual
  actual=$(bash -o pipefail -c "$command" 2>/dev/null) || fail "fails: $command"
  [[ $actual == "${expected%$'\n'}" ]] || fail "$command" "prints:" "$actual" "not:" "$expected"
  commands=$((commands + 1))
}
while IFS= read -r line; do
  if [[ $line == '$ '* ]]; then
    check
    command=${line#\$ } expected=''
  else
    expected+=$line$'\n'
  fi
done < <(block console)
check
((commands >= 5)) || fail "only $commands commands found"
echo "the C++ example, the spec file and $commands commands did as the README says"
