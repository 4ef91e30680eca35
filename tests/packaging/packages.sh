#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the Debian packages in a clean chroot, and installs, uses, upgrades and
# removes them in another one, over Debian's openvswitch-switch.

set -eu
# shellcheck source=utilities/ovs-vhost-lib.sh
. "$(dirname "$0")/../../utilities/ovs-vhost-lib.sh"
# shellcheck source=tests/packaging/chroot.sh
. "$(dirname "$0")/chroot.sh"

usage() {
    cat <<USAGE
usage: ${0##*/} SOURCE [DIR [RELEASE]]

Tests the Debian packages of SOURCE, the contents of a distribution tarball.
Leaves the packages and the logs in DIR (default: packages).  RELEASE is the
Debian release to make them for (default: this machine's).  Needs root,
512 MiB in hugepages, and Debian's mirror.  The last line of the output is

    N passed, N failed, N skipped

and the exit status is 0 if none failed.
USAGE
}

packages=(openvswitch-netdev-vhost openvswitch-switch-vhost)
stock=/usr/lib/openvswitch-switch/ovs-vswitchd
ours=/usr/lib/openvswitch-switch-vhost/ovs-vswitchd
switch_mb=256
guest_mb=128

passed=0 failed=0

main() {
    case ${1-} in
    -h|--help) usage; exit ;;
    -*|'') usage >&2; exit 2 ;;
    esac
    source=$(realpath -e "$1")
    logs=$(realpath -m "${2-packages}")
    release=${3-}
    can_chroot
    command -v dpdk-testpmd > /dev/null || skip "needs the package dpdk-dev"

    rm -rf "$logs"
    mkdir -p "$logs"
    # Not $TMPDIR: the path of a socket has room for 107 characters.
    run=$(mktemp -d /tmp/ovs-vhost-packages.XXXXXX)
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
    step "$logs/hugepages.log" "Setting up hugepages" \
        add_hugepages $((switch_mb + 2 * guest_mb))
    step "$logs/chroots.log" "Making chroots" make_chroots

    check "Building the packages" build
    check "Checking them with lintian" run_lintian
    check "Installing Debian's switch" install_stock
    check "Installing the packages over it" install_ours
    check "Sending packets from guest to guest" send_packets
    check "Running the tools" run_tools
    check "Switching back" switch_back
    check "Building an upgrade" build_upgrade
    check "Upgrading" upgrade
    check "Switching to ours again" switch_to_ours
    check "Sending packets from guest to guest" send_packets
    check "Removing the packages" remove
    check "Purging them" purge
}

# check TITLE FUNCTION...: all that follow need those before.
check() {
    local log=$((passed + 1))
    step "$logs/$log-$2.log" "$@"
    passed=$log
}

finish() {
    local status=$? name
    trap '' HUP INT TERM
    if (( status )); then
        failed=1
        cp "$run"/root/var/log/openvswitch/*.log "$run"/*.log "$logs" \
            2> /dev/null || true
    fi
    end_guests
    for name in build root; do
        end_chroot "$name"
    done
    remove_hugepages
    rm -rf --one-file-system "$run"
    echo "The packages and the logs are in $logs."
    echo "$passed passed, $failed failed, 0 skipped"
    exit $(( failed > 0 ))
}

# The chroots: "build", and "root" for the rest.

make_chroots() {
    make_chroot build
    cp -a "$run/build" "$run/root"
    start_chroot build
    start_chroot root
}

in_root() {
    in_chroot root "$@"
}

# Building.

build() {
    get build update
    mkdir "$run/build/src"
    cp -a "$source" "$run/build/src/netdev-vhost"
    in_chroot build chown -R nobody: /src
    get build install lintian
    get build build-dep /src/netdev-vhost
    make_packages first
}

# make_packages NAME [OPTION...]: leaves them in $logs/NAME.
make_packages() {
    in_chroot --userspec=nobody:nogroup build env \
        DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" sh -euc \
        'cd /src/netdev-vhost && dpkg-buildpackage -us -uc -b "$@"' sh "${@:2}"
    mkdir "$logs/$1"
    mv "$run"/build/src/*.{deb,changes,buildinfo} "$logs/$1"
}

run_lintian() {
    cp -r "$logs/first" "$run/build/src"
    in_chroot --userspec=nobody:nogroup build sh -euc \
        'lintian --fail-on error /src/first/*.changes'
}

# The second has another version, that is all.
build_upgrade() {
    sed -i '1s/)/+upgrade)/' "$run/build/src/netdev-vhost/debian/changelog"
    make_packages second -nc
}

# The switch that is installed.

# ctl COMMAND: its bridges' devices are not to meet others.
ctl() {
    in_root unshare --net /usr/share/openvswitch/scripts/ovs-ctl \
        --system-id=random --no-record-hostname "$1"
}

vsctl() {
    in_root ovs-vsctl --timeout=30 "$@"
}

appctl() {
    in_root ovs-appctl --timeout=30 "$@"
}

switch_pid() {
    in_root cat /run/openvswitch/ovs-vswitchd.pid
}

is_chosen() {
    [[ $(in_root readlink /etc/alternatives/ovs-vswitchd) == "$1" ]]
}

is_running() {
    [[ $(in_root readlink "/proc/$(switch_pid)/exe") == "$1" ]]
}

# What the database must keep.
database() {
    vsctl get Bridge br0 _uuid datapath_type fail_mode \
        -- get Port p0 _uuid external_ids \
        -- get Open_vSwitch . external_ids:system-id
}

# Does a packet to port p0 get there?
forwards() {
    local before
    in_root nsenter --target "$(switch_pid)" --net ip link set p0 up
    before=$(sent)
    in_root ovs-ofctl packet-out br0 \
        in_port=LOCAL,packet=ffffffffffff0200000000010800,actions=output:p0
    wait_until 10 has_sent $((before + 1))
}

sent() {
    in_root ovs-ofctl dump-ports br0 p0 \
        | sed -n 's/.*tx pkts=\([0-9]*\),.*/\1/p'
}

has_sent() {
    (( $(sent) == $1 ))
}

# restart_as PATH: the database stays the same, as does what it does.
restart_as() {
    ctl restart
    is_chosen "$1"
    is_running "$1"
    database | diff "$run/database" -
    forwards
}

install_stock() {
    get root update
    # The tools want the latter, which only some releases bring along.
    get root install bash-completion iproute2 openvswitch-switch \
        python3-openvswitch
    ctl start
    is_running "$stock"
    vsctl add-br br0 \
        -- set Bridge br0 datapath_type=netdev fail_mode=secure \
        -- add-port br0 p0 -- set Interface p0 type=internal \
        -- set Port p0 external_ids:owner=me
    database > "$run/database"
    forwards
}

# Installing and removing.

# install_packages NAME: those that make_packages has left there.
install_packages() {
    local debs
    cp -r "$logs/$1" "$run/root/tmp"
    debs=("$run/root/tmp/$1"/*.deb)
    get root install "${debs[@]#"$run/root"}"
}

# The files that are there for good.
files() {
    (cd "$run/root" && find . \( -path ./run -o -path ./tmp \
        -o -path ./var/cache -o -path ./var/lib/apt \
        -o -path ./var/lib/openvswitch -o -path ./var/log \) -prune \
        -o -print | sort)
}

# Debian's switch goes on until somebody restarts it.
install_ours() {
    files > "$run/files"
    install_packages first
    is_chosen "$ours"
    is_running "$stock"
    vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true \
        other_config:dpdk-extra=--no-pci \
        other_config:dpdk-socket-limit="$(per_node $switch_mb)" \
        other_config:pmd-cpu-mask="$(cpu_mask "$(last_cpu)")"
    restart_as "$ours"
    appctl netdev-plugin/list | grep 'types:.* dpdkvhostuserclient'
}

switch_back() {
    in_root update-alternatives --set ovs-vswitchd "$stock"
    restart_as "$stock"
}

# Who has switched back stays there.
upgrade() {
    local package
    install_packages second
    for package in "${packages[@]}"; do
        in_root dpkg-query -W "$package" | grep '+upgrade$'
    done
    is_chosen "$stock"
    is_running "$stock"
}

switch_to_ours() {
    in_root update-alternatives --auto ovs-vswitchd
    restart_as "$ours"
}

remove() {
    get root remove "${packages[@]}"
    is_chosen "$stock"
    is_running "$ours (deleted)"
    restart_as "$stock"
}

purge() {
    in_root dpkg --purge "${packages[@]}"
    get root autoremove --purge
    files | diff "$run/files" -
    is_running "$stock"
    forwards
}

# Guests: each is a dpdk-testpmd outside of the chroot, with one port.

send_packets() {
    vsctl -- --may-exist add-port br0 vm0 -- set Interface vm0 \
        type=dpdkvhostuserclient options:vhost-server-path=/run/vm0 \
        -- --may-exist add-port br0 vm1 -- set Interface vm1 type=dpdkvhostuser
    # Ports may have got other numbers since.
    in_root ovs-ofctl del-flows br0
    in_root ovs-ofctl add-flow br0 in_port=vm0,actions=output:vm1
    in_root ovs-ofctl add-flow br0 in_port=vm1,actions=output:vm0
    start_guest 0 "$run/root/run/vm0,server=1"
    start_guest 1 "$run/root/run/openvswitch/vm1"
    wait_until 15 are_polled 2
    tell 1 start
    tell 0 "start tx_first 10"
    wait_until 10 has_received 1 320
    tell 1 stop "start tx_first 20"
    wait_until 10 has_received 0 640
    appctl netdev-vhost/show
    end_guests
}

start_guest() {         # N SOCKET[,DEVARG=VALUE]
    local input=$run/guest$1.in cpu
    cpu=$(first_cpu)
    rm -f "$input" "$run/guest$1.log"
    mkfifo "$input"
    stdbuf -oL dpdk-testpmd --lcores="0@$cpu,1@$cpu" --no-pci --in-memory \
        --single-file-segments --no-telemetry \
        --socket-mem="$(per_node $guest_mb)" \
        --vdev="net_virtio_user0,path=$2,queue_size=1024" -- -i --nb-cores=1 \
        --total-num-mbufs=8192 --rxd=1024 --txd=1024 --forward-mode=rxonly \
        <> "$input" > "$run/guest$1.log" 2>&1 &
    echo $! > "$run/guest$1.pid"
    wait_until 15 grep -qs '^testpmd>' "$run/guest$1.log"
}

tell() {                # N COMMAND...
    printf '%s\n' "${@:2}" > "$run/guest$1.in"
}

end_guests() {
    end_process guest0
    end_process guest1
}

are_polled() {
    (( $(appctl dpif-netdev/pmd-rxq-show | grep -c '(enabled)') == $1 ))
}

# has_received N COUNT: no more, no less.
has_received() {
    tell "$1" "show port stats 0"
    sleep 0.2
    [[ $(sed -n 's/.*RX-packets: \([0-9]*\) .*/\1/p' "$run/guest$1.log" \
         | tail -n 1) == "$2" ]]
}

# The tools.

run_tools() {
    local tool unit
    for tool in bench exporter map numa-lab; do
        in_root "ovs-vhost-$tool" --help > /dev/null
        test -e "$run/root/usr/share/man/man1/ovs-vhost-$tool.1.gz"
    done
    in_root ovs-vhost-map | grep -w vm0
    in_root ovs-vhost-exporter --once | grep 'ovs_vhost_port_info.*port="vm0"'
    for unit in service socket; do
        test -e "$run/root/usr/lib/systemd/system/ovs-vhost-exporter.$unit"
    done
    in_root ovs-vhost-bench --help | grep 'default: /usr)'
    [[ $(completions ovs-vhost-numa-lab --hu) == --hugepages ]]
    [[ $(completions ovs-vhost-map --format s) == svg ]]
    in_root ovs-bugtool --yestoall --entries=network-status --output=tar \
        --outfile=/tmp/bugtool.tar
    tar -xOf "$run/root/tmp/bugtool.tar" --wildcards '*netdev-plugin-list*' \
        | grep netdev-vhost.so
    for tool in netdev-vhost-show pmd-rxq-show get-mempool-info; do
        tar -tf "$run/root/tmp/bugtool.tar" | grep "$tool"
    done
}

# completions WORD...: what bash makes of the last one.
completions() {
    # shellcheck disable=SC2016    # The expansions are the inner shell's.
    in_root bash -euc '
        . /usr/share/bash-completion/bash_completion
        _completion_loader "$1" || true
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
        COMP_POINT=${#COMP_LINE}
        _ovs_vhost "$1" "${!#}" "${COMP_WORDS[-2]}"
        echo "${COMPREPLY[@]}"' bash "$@"
}

main "$@"
