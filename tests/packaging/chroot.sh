# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Chroots of a Debian release: what the tests in them share.  They source this
# after utilities/ovs-vhost-lib.sh.

# The release, default: this machine's.
release=''

# can_chroot: skips the test if there can be no chroot.
can_chroot() {
    (( EUID == 0 )) || skip "needs root"
    command -v debootstrap > /dev/null || skip "needs the package debootstrap"
}

skip() {
    echo "    skipped: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

# make_chroot NAME: makes it in $run.
make_chroot() {
    local uri codename script root=$run/$1
    read -r uri codename < <(debian_mirror)
    [[ -n ${codename-} ]] || die "apt has no lists of Debian's packages"
    codename=${release:-$codename}
    # A release that this machine's debootstrap does not know is like sid.
    script=/usr/share/debootstrap/scripts/$codename
    [[ -e $script ]] || script=${script%/*}/sid
    unshare --mount debootstrap --variant=minbase "$codename" "$root" "$uri" \
        "$script"
    # A proxy, perhaps.
    apt-config dump --format '%F "%v";%n' Acquire \
        > "$root/etc/apt/apt.conf.d/machine"
    # No service starts by itself.
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    # The userspace datapath needs none of the kernel's modules; virtual
    # machines ask for files.
    printf '%s\n' '#!/bin/sh' \
        'case "$*" in *--show-depends*) exec /usr/sbin/modprobe "$@" ;; esac' \
        > "$root/usr/local/sbin/modprobe"
    chmod +x "$root/usr/sbin/policy-rc.d" "$root/usr/local/sbin/modprobe"
    mkdir -p "$root/dev/hugepages" "$root/dev/net"
    mknod -m 666 "$root/dev/net/tun" c 10 200
}

# start_chroot NAME: with namespaces of its own, whose first process adopts and
# reaps all others.
start_chroot() {
    # shellcheck disable=SC2016    # The expansions are the inner shell's.
    # Namespaces of networks want their root to be a mount point.
    unshare --mount --pid --fork --kill-child bash -euc '
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        mount -t sysfs sysfs "$1/sys"
        mount -t hugetlbfs hugetlbfs "$1/dev/hugepages"
        touch "$1.started"
        sleep infinity & wait' bash "$run/$1" &
    echo $! > "$run/$1.pid"
    wait_until 5 test -e "$run/$1.started"
}

# With its first process it loses all others, and what is mounted.
end_chroot() {
    local pid
    pid=$(cat "$run/$1.pid" 2> /dev/null) || return 0
    kill -KILL "$pid"
    wait_until 10 is_gone "$pid"
}

# in_chroot [-OPTION...] NAME COMMAND...: with these options of chroot's.
in_chroot() {
    local options=() pid
    while [[ $1 == -* ]]; do
        options+=("$1")
        shift
    done
    # The children of unshare: one.
    pid=$(< "$run/$1.pid")
    pid=$(< "/proc/$pid/task/$pid/children")
    nsenter --target "${pid% }" --mount --pid --root \
        env -i HOME=/ LC_ALL=C DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "${options[@]}" "$run/$1" "${@:2}"
}

# get NAME ARG...: apt-get in a chroot.
get() {
    in_chroot "$1" apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends \
        "${@:2}"
}
