#!/usr/bin/env bash
# selftest.sh TOOLKIT: each fault must be noticed; prints those that are not, and then exits with 1.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd) test=$(mktemp -d)
trap 'rm -rf "$test"' EXIT
"${CXX:-g++}" -std=c++17 -o "$test/t" "$here/selftest.cpp" -L"$1/lib" -l:libcuda.so.1 || exit 1
export LD_LIBRARY_PATH=$1/lib
outcome=0
# notices FAULT PATTERN: the output of the fault has the pattern.
notices() {
    local said
    said=$("$test/t" "$1" 2>&1)
    grep -q -- "$2" <<<"$said" && return
    echo "$1: $said"
    outcome=1
}
notices context 'without a current context'
notices turned '^0$'
CUDASIM_BACKWARDS=1 notices turned '^0$'
notices apart 'different barriers'
notices freed 'is not in use'
CUDASIM_GUARD=1 notices outside 'touches'
CUDASIM_GUARD=1 notices outside '^700$'
exit $outcome
