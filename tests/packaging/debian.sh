#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds everything and runs the tests in a chroot of a Debian release.

set -eu
# shellcheck source=utilities/ovs-vhost-lib.sh
. "$(dirname "$0")/../../utilities/ovs-vhost-lib.sh"
# shellcheck source=tests/packaging/chroot.sh
. "$(dirname "$0")/chroot.sh"

usage() {
    cat <<USAGE
usage: ${0##*/} SOURCE DIR RELEASE [STAGE...]

Runs utilities/ovs-vhost-check of SOURCE, the contents of a distribution
tarball, in a chroot of Debian's RELEASE, which has the release's compiler,
Open vSwitch and DPDK.  The kernel is this machine's.  Leaves the logs in DIR.
Needs root and Debian's mirror.  The last line of the output is

    N passed, N failed, N skipped

and the exit status is 0 if none failed.
USAGE
}

main() {
    case ${1-} in
    -h|--help) usage; exit ;;
    esac
    (( $# >= 3 )) || { usage >&2; exit 2; }
    source=$(realpath -e "$1")
    logs=$(realpath -m "$2")
    release=$3
    can_chroot

    rm -rf "$logs"
    mkdir -p "$logs"
    run=$(mktemp -d /tmp/ovs-vhost-debian.XXXXXX)
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
    step "$logs/chroot.log" "Making a chroot of $release" make
    in_chroot root /src/netdev-vhost/utilities/ovs-vhost-check \
        --this-release "${@:4}"
}

make() {
    make_chroot root
    mkdir "$run/root/src"
    # With the times of files, or make would make some of them again.
    cp -a "$source" "$run/root/src/netdev-vhost"
    start_chroot root
}

finish() {
    local status=$? build=$run/root/src/netdev-vhost/_build
    trap '' HUP INT TERM
    end_chroot root
    cp -r "$build"/*.log "$build"/check "$logs" 2> /dev/null || true
    rm -rf --one-file-system "$run"
    exit "$status"
}

main "$@"
