#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh SOURCE-DIRECTORY COMPILER-OPTION...: runs those checkers over the
# source in git that are installed, from the build directory.  What they are
# not asked, and why, is all here.  The last line of the output is
#
#     N passed, N failed, N skipped

set -u
top=$1
options=("${@:2}")
passed=0 failed=0 skipped=0

# check NAME COMMAND...: has NAME, if it is installed, find nothing.
check() {
    if ! command -v "$1" > /dev/null; then
        skip "$1, because it is not installed"
        return
    fi
    echo "  LINT     $1"
    if "${@:2}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

skip() {
    echo "    skipped: $*"
    skipped=$((skipped + 1))
}

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $(( failed > 0 ))
}

# files COMMAND...: runs "git COMMAND", which lists files.
files() {
    git -C "$top" "$@" | sort -u | sed "s,^,$top/,"
}

if ! git -C "$top" rev-parse 2> /dev/null; then
    skip "all, because this is no clone in git"
    finish
fi

# Licences.  debian/copyright has that of the others: texts, what programs
# write or read, what is made of other sources.
licences() {
    local unmarked
    unmarked=$(files grep -L SPDX-License-Identifier -- . \
        ':!tests/fuzz/corpus' ':!LICENSE' ':!NOTICE' ':!NEWS' ':!*.json' \
        ':!*.txt' ':!*.svg' ':!*.patch' ':!debian/changelog' \
        ':!debian/copyright' ':!debian/source/format')
    if [[ -n $unmarked ]]; then
        printf 'no SPDX-License-Identifier:\n%s\n' "$unmarked"
        return 1
    fi
}
check git licences

# Lines, functions, words.
style() {
    python3 "$top/tests/lint/style.py" "$top"
}
check style style

# Files: tests for each of lib/, and their length.
structure() {
    python3 "$top/tests/lint/structure.py" "$top"
}
check structure structure

# Python.
mapfile -t python < <(
    { files grep -lE '^#!.*python'; files ls-files '*.py'; } | sort -u)
check pyflakes3 pyflakes3 "${python[@]}"

# Shell.  Variables of the sourced parts (*.sh) are those of Autotest and of
# whoever sources them (SC2034, SC2154).
mapfile -t shell < <(files grep -lE '^#!.*[/ ](ba)?sh$|^# shellcheck shell=')
check shellcheck shellcheck -x -S warning -e SC2034,SC2154 "${shell[@]}"

lib=(':(glob)lib/*.c')
tests=(':(glob)tests/unit/*.c' ':(glob)tests/guests/*.c')
mapfile -t c < <(files ls-files "${lib[@]}" "${tests[@]}")

# cppcheck does not understand:
# - uninitvar, ctunullpointer: loops with at least one turn, and Open vSwitch's
#   lists, whose loops begin with a pointer that is set in a macro;
# - nullPointerRedundantCheck: CHECK(), which is not the last to look;
# - varFuncNullUB: NULL is a pointer here;
# - literalWithCharPtrCompare, AssignmentAddressToInteger: CONST_CAST() and the
#   like, which compare types in dead code;
# - invalidFunctionArgBool: memchr() for a bool among bool.
cppcheck_options=(--quiet --error-exitcode=1 --std=c11 --max-configs=1
    -j "$(nproc)"
    "--enable=warning,performance,portability"
    -I openvswitch/include -I openvswitch/lib
    -I "$top/lib" -I "$top/tests/unit"
    --suppress='*:openvswitch/*'
    --suppress=uninitvar --suppress=ctunullpointer
    --suppress=nullPointerRedundantCheck --suppress=varFuncNullUB
    --suppress=literalWithCharPtrCompare --suppress=AssignmentAddressToInteger
    --suppress=invalidFunctionArgBool)
check cppcheck cppcheck "${cppcheck_options[@]}" "${c[@]}"

# clang's analysis of what lib/ says of its locks (see lib/vhost-session.h).
thread_safety() {
    files ls-files ':(glob)lib/*.c' | xargs -P "$(nproc)" -I FILE \
        clang -fsyntax-only -Wthread-safety -Werror=thread-safety \
        "${options[@]}" FILE
}
check clang thread_safety

# clang-tidy:
# - easily-swappable-parameters, narrowing-conversions and
#   implicit-widening-of-multiplication-result are about style here;
# - sizeof-expression, assignment-in-if-condition, macro-parentheses and
#   suspicious-string-compare are Open vSwitch's style;
# - reserved-identifier: the linker's --wrap makes such names;
# - DeprecatedOrUnsafeBufferHandling wants C11's Annex K, which no libc has;
# - mt-unsafe: strerror() and the like, in tests and with one thread only;
# - optin.performance.Padding: of which we have few;
# - valist.Uninitialized does not see that va_start() was called;
# - unix.Malloc does not see that what LIST_FOR_EACH_POP has freed was taken
#   out of the list before;
# - suspicious-memory-comparison: of copies, made with memcpy();
# - not-null-terminated-result: of bytes that are no strings;
# - core.*, in tests: that check() returns only if the condition is true.
checks='-*,bugprone-*,clang-analyzer-*,concurrency-*'
for name in bugprone-{easily-swappable-parameters,narrowing-conversions} \
    bugprone-implicit-widening-of-multiplication-result \
    bugprone-{sizeof-expression,assignment-in-if-condition,macro-parentheses} \
    bugprone-{suspicious-string-compare,reserved-identifier} \
    bugprone-{suspicious-memory-comparison,not-null-terminated-result} \
    clang-analyzer-unix.Malloc \
    clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling \
    clang-analyzer-{optin.performance.Padding,valist.Uninitialized} \
    concurrency-mt-unsafe; do
    checks+=,-$name
done
# tidy CHECKS PATTERN...: of files in git.
tidy() {
    files ls-files "${@:2}" | xargs -P "$(nproc)" -I FILE \
        clang-tidy --quiet --warnings-as-errors='*' --checks="$1" FILE \
        -- "${options[@]}" 2> /dev/null
}
check clang-tidy tidy "$checks" "${lib[@]}"
check clang-tidy tidy "$checks,-clang-analyzer-core.*" "${tests[@]}"

finish
