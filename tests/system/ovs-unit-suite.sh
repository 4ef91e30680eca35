#!/usr/bin/env bash
#
# SPDX-License-Identifier: Apache-2.0
#
# Runs Open vSwitch's own unit test suite in a build tree, and optionally
# compares its result, test by test, with that of a second tree.

set -euo pipefail

usage() {
    cat <<USAGE
usage: ${0##*/} --ovs-build DIR [--keywords WORD[,WORD...]]
       [--compare OTHER_DIR] [--results FILE]

Runs Open vSwitch's unit test suite, "make check", in the build tree DIR.
Tests that fail, as some that depend on timing do on a busy machine, are run
again alone, up to twice; the last result counts.

  --keywords WORD,...  only the tests that have one of these keywords
  --compare OTHER_DIR  run the same tests in OTHER_DIR too, print the tests
                       whose results differ
  --results FILE       write the result of each test to FILE

The exit status is 0 if all tests passed or were skipped or, with --compare,
if both trees gave the same result for each test.
USAGE
}

# The tests know each line that the switch logs when it starts.  A plugin that
# has been installed would add one.
export OVS_NETDEV_PLUGINDIR=/nonexistent

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

ovs_build='' keywords='' compare='' results=''
while (( $# )); do
    case $1 in
    -h|--help) usage; exit 0 ;;
    --ovs-build|--keywords|--compare|--results)
        (( $# > 1 )) || die "$1 needs an argument"
        case $1 in
        --ovs-build) ovs_build=$2 ;;
        --keywords) keywords=$2 ;;
        --compare) compare=$2 ;;
        --results) results=$2 ;;
        esac
        shift 2 ;;
    *) usage >&2; exit 2 ;;
    esac
done
[[ -n $ovs_build ]] || { usage >&2; exit 2; }
for tree in "$ovs_build" ${compare:+"$compare"}; do
    [[ -f $tree/tests/atconfig ]] \
        || die "$tree: not a configured Open vSwitch build tree"
done

# Autotest joins words separated by commas with "and", options with "or".
flags=-j2${keywords:+ -k ${keywords//,/ -k }}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The make that runs this script must not hand its own flags to theirs.
unset MAKEFLAGS MFLAGS MAKELEVEL

# Some tests connect to addresses that they expect to be unreachable: with
# root, take care that they are.
isolate=()
if (( EUID == 0 )); then
    # shellcheck disable=SC2016    # The expansion is the inner shell's.
    isolate=(unshare --net bash -c 'ip link set lo up && exec "$@"' bash)
fi

# make_check TREE FLAGS: runs "make check" and adds its output to the log.
make_check() {
    "${isolate[@]}" make -C "$1" check TESTSUITEFLAGS="$2" 2>&1 \
        | tee -a "$work/log"
}

# run_suite TREE OUT: runs the suite in TREE, writes a line "RESULT<tab>TITLE"
# for each test, sorted by title, to OUT.  Titles, unlike numbers, survive a
# test that one of the trees has more.
run_suite() {
    echo "== Open vSwitch's unit tests in $1"
    : > "$work/log"
    status=0
    make_check "$1" "$flags" || make_check "$1" --recheck \
        || make_check "$1" --recheck || status=$?
    awk '
        match($0, /^ *[0-9]+: /) {
            number = $1
            line = substr($0, RLENGTH + 1)
            if (match(line, / (ok|UNEXPECTED PASS)$/) ||
                match(line, / (skipped|FAILED|expected failure) \(.*\)$/)) {
                title[number] = substr(line, 1, RSTART)
                sub(/ +$/, "", title[number])
                result[number] = substr(line, RSTART + 1)
                sub(/ \(.*/, "", result[number])
            }
        }
        END {
            for (number in title) {
                print result[number] "\t" title[number]
            }
        }' "$work/log" | LC_ALL=C sort -t $'\t' -k 2 -k 1 > "$2"
    [[ -s $2 ]] || die "no test ran in $1"
    echo "== Results in $1:"
    cut -f 1 "$2" | sort | uniq -c
    grep -E '^(FAILED|UNEXPECTED PASS)' "$2" || true
}

run_suite "$ovs_build" "$work/results"
[[ -z $results ]] || cp "$work/results" "$results"

[[ -n $compare ]] || exit "$status"

run_suite "$compare" "$work/results.other"
if ! diff -U0 "$work/results.other" "$work/results" > "$work/diff"; then
    echo "== The results of $compare (-) and $ovs_build (+) differ:"
    sed '1,2d; /^@@/d' "$work/diff"
    exit 1
fi
echo "== $compare and $ovs_build gave the same result for each test."
