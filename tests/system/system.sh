# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the system tests.  Each group sources this file; see
# VHOST_START in system-macros.at.
#
# A group has a run directory with a short name, because the path of a Unix
# socket has room for 107 characters, and a network namespace for the switch,
# because bridges and tap ports are kernel devices.  A guest is a dpdk-testpmd
# whose ports are virtio-user devices.  Core 1 is the PMD thread's, core 0
# runs everything else.
#
# Variables that may be set from outside:
#   VSWITCHD        the switch (default: ovs-vswitchd of PATH)
#   VSWITCH_SCHEMA  its vswitch.ovsschema
#   VHOST_DATA_PATH other_config:vhost-data-path (default: not set)
#   VHOST_ZERO_COPY options:dq-zero-copy of client ports (default: not set)
#   VHOST_PATIENCE  factor of the time that is waited for anything (default: 1)
#   VHOST_STOCK     "yes" for a switch without plugins, to compare with
# Variables of Autotest's:
#   at_status_file  where the result of the group is
# Variables for the groups:
#   run             the run directory; the socket of port P is $run/P
#   netns           the network namespace
#   group_ended     "yes" once the group has come to its end

VSWITCHD=${VSWITCHD:-ovs-vswitchd}
VSWITCH_SCHEMA=${VSWITCH_SCHEMA:-$OVS_BUILD/vswitchd/vswitch.ovsschema}

vhost_env() {
    run=$(mktemp -d /tmp/ovs-vhost.XXXXXX) || return 1
    netns=${run##*/}
    OVS_RUNDIR=$run OVS_SYSCONFDIR=$run OVS_LOGDIR=$PWD OVS_DBDIR=$PWD
    export OVS_RUNDIR OVS_SYSCONFDIR OVS_LOGDIR OVS_DBDIR
    echo "rm -rf $run" > cleanup
    group_ended=no
    trap leave_group 0
    trap 'exit 1' HUP INT TERM
}

leave_group() {
    trap '' HUP INT TERM
    # Autotest takes a group that a mistake in its shell code ends for good.
    # shellcheck disable=SC2154
    if test "$group_ended" = no && test "$(cat "$at_status_file")" = 0; then
        echo 1 > "$at_status_file"
    fi
    # shellcheck disable=SC1091
    . ./cleanup
}

# on_exit COMMAND: adds it to those that run, latest first, after the group.
on_exit() {
    { echo "$1"; cat cleanup; } > cleanup.tmp
    mv cleanup.tmp cleanup
}

# wait_until SECONDS COMMAND...
wait_until() {
    local deadline
    deadline=$(($(date +%s) + $1 * ${VHOST_PATIENCE:-1}))
    shift
    until "$@"; do
        test "$(date +%s)" -lt "$deadline" || return 1
        sleep 0.1
    done
}

# The main thread may have ended before others, which still hold the process's
# files.
is_running() {      # PID
    grep -qs '^State:.[^Z]' /proc/"$1"/task/*/status
}

is_gone() {         # PID
    ! is_running "$1"
}

# end SIGNAL PIDFILE COMMAND: sends the process, if it still runs that command,
# the signal and waits for its end.
end() {
    local pid
    pid=$(cat "$2" 2>/dev/null) || return 0
    test "$(cut -c1-15 "/proc/$pid/comm" 2>/dev/null)" = "$3" || return 0
    kill "-$1" "$pid"
    wait_until 10 is_gone "$pid" || kill -9 "$pid"
}

# per_node N: N for each NUMA node, separated by commas.
per_node() {
    find /sys/devices/system/node/ -maxdepth 1 -name 'node[0-9]*' \
        | sed "s/.*/$1/" | paste -sd,
}

# Are that many MiB of hugepages free?
free_hugepages() {
    test "$(awk '/HugePages_Free/ { n = $2 } /Hugepagesize/ { size = $2 }
                 END { print int(n * size / 1024) }' /proc/meminfo)" -ge "$1"
}

# Fails, with the reason on stdout, if these tests cannot run here.
can_run() {
    local tool
    test "$(id -u)" = 0 || { echo "needs root"; return 1; }
    for tool in dpdk-testpmd ip nsenter stdbuf; do
        command -v $tool > /dev/null || { echo "needs $tool"; return 1; }
    done
    test "$(nproc)" -ge 2 || { echo "needs two cores"; return 1; }
    # A process that has just ended may hold its pages for a moment more.
    wait_until 5 free_hugepages 1024 ||
        { echo "needs 1 GiB of free hugepages"; return 1; }
}

# The switch.  What starts here may outlive the tests when they are killed, so
# it does not get their file descriptors, which may hold somebody's lock.

# start_switch [COLUMN:KEY=VALUE...]: the switch and bridge br0, with these
# settings of table Open_vSwitch beside the usual ones.
start_switch() {
    ip netns add "$netns"
    on_exit "ip netns del $netns"
    ovsdb-tool create conf.db "$VSWITCH_SCHEMA" || return 1
    ovsdb-server --detach --no-chdir --pidfile --log-file -vconsole:off \
        --remote="punix:$run/db.sock" || return 1
    on_exit "end TERM $run/ovsdb-server.pid ovsdb-server"
    ovs-vsctl --no-wait init -- set Open_vSwitch . \
        other_config:dpdk-init=true \
        other_config:dpdk-extra="--no-pci --log-level=pmd.*:error" \
        other_config:dpdk-lcore-mask=0x1 other_config:pmd-cpu-mask=0x2 \
        other_config:dpdk-socket-mem="$(per_node 256)" \
        other_config:dpdk-socket-limit="$(per_node 1024)" \
        ${VHOST_DATA_PATH:+other_config:vhost-data-path=$VHOST_DATA_PATH} \
        "$@" || return 1
    # shellcheck disable=SC2119
    start_vswitchd || return 1
    ovs-vsctl add-br br0 \
        -- set bridge br0 datapath_type=netdev fail-mode=secure
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# start_vswitchd [OPTION...]: the daemon alone, on the database there is.
# shellcheck disable=SC2120
start_vswitchd() {
    nsenter --net="/run/netns/$netns" "$VSWITCHD" --detach --no-chdir \
        --log-file --pidfile="$run/vswitchd.pid" --unixctl="$run/vs.ctl" \
        -vconsole:off "$@" || return 1
    # A restart may find the pid file gone.
    cp "$run/vswitchd.pid" vswitchd.pid
    cut -c1-15 "/proc/$(cat vswitchd.pid)/comm" > vswitchd.comm
    on_exit "end_switch KILL"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

end_switch() {      # SIGNAL
    end "$1" vswitchd.pid "$(cat vswitchd.comm)"
}

# Fails, with the reason on stdout, if the switch lacks the plugin's ports.
has_plugin() {
    local list
    test "${VHOST_STOCK:-no}" = yes && return
    list=$(appctl netdev-plugin/list)
    case $list in
        *dpdkvhostuserclient*) ;;
        *) echo "$list"; return 1 ;;
    esac
}

appctl() {
    ovs-appctl -t "$run/vs.ctl" "$@"
}

# log_has [-c] REGEX: of the switch's log.
log_has() {
    grep -sE "$@" ovs-vswitchd.log
}

log_has_times() {   # COUNT REGEX
    test "$(log_has -c "$2")" -ge "$1"
}

# Warnings and worse that no group expects, without those that match $1.
unexpected_logs() {
    grep -hE '\|(WARN|ERR|EMER)\|' ovs-vswitchd.log ovsdb-server.log \
        | grep -vE "EAL: No (available|free) .*hugepages reported
TELEMETRY: No legacy callbacks
kernel module is probably not loaded
failed to enumerate system datapaths
dpdkvhostuser ports are considered deprecated
failed to connect: (No such file|Connection refused)
another ovs-vswitchd process is running, disabling this process
recvmsg failed|vhost read message failed
used->idx \([0-9]+\) mismatches|packets maybe resent for Tx
reset by peer|Broken pipe|is not connected
timeval.*(Unreasonably long|faults:|disk:|context switches:)
Spent an unreasonably long [0-9]+ms dumping flows
blocked [0-9]+ ms waiting for .* to quiesce
pmd-maxsleep is deprecated
Dropped [0-9]+ log messages${1:+
$1}"
    test $? = 1
}

# Ports and their guests' view.

# add_port NAME client|server [KEY=VALUE...]
add_port() {
    local name=$1 type=$2
    shift 2
    if test "$type" = client; then
        set -- type=dpdkvhostuserclient \
            options:vhost-server-path="$run/$name" \
            ${VHOST_ZERO_COPY:+options:dq-zero-copy=$VHOST_ZERO_COPY} "$@"
    else
        set -- type=dpdkvhostuser "$@"
    fi
    ovs-vsctl add-port br0 "$name" -- set Interface "$name" "$@"
}

# refused COMMAND...: ovs-vsctl adds a port that the switch may not take.
# Since 4.0, it has a status of its own for that.
refused() {
    local status=0
    "$@" || status=$?
    test $status = 0 || test $status = 65
}

# wire A B: all that port A receives goes to port B, and back.
wire() {
    ovs-ofctl add-flow br0 "in_port=$1,actions=output:$2" &&
        ovs-ofctl add-flow br0 "in_port=$2,actions=output:$1"
}

status() {          # PORT KEY
    ovs-vsctl --if-exists get Interface "$1" status:"$2" | sed '/^$/d; s/"//g'
}

has_status() {      # PORT KEY VALUE
    test "$(status "$1" "$2")" = "$3"
}

# Connected, with N queues that a PMD thread polls.
is_ready() {        # PORT N
    has_status "$1" status connected && has_link "$1" up &&
        test "$(polled_queues "$1")" = "$2"
}

has_link() {        # PORT up|down
    test "$(ovs-vsctl get Interface "$1" link_state)" = "$2"
}

# The number of receive queues of PORT that a PMD thread polls.
polled_queues() {
    appctl dpif-netdev/pmd-rxq-show | grep -cE "port: $1 .*\(enabled\)"
}

# The number of receive queues of PORT that a PMD thread has.
queues() {
    appctl dpif-netdev/pmd-rxq-show | grep -c "port: $1 "
}

# All statistics of PORT, of $bridge or br0, from the switch itself, as the
# Interface table names them, one KEY=VALUE a line; the database lags behind by
# seconds.
port_stats() {
    ovs-ofctl -O OpenFlow14 dump-ports "${bridge:-br0}" "$1" |
        tr ', ' '[\n*]' | awk -F= '
        $1 == "rx" || $1 == "tx" { way = $1 }
        $1 == "pkts" { print way "_packets=" $2 }
        $1 == "bytes" { print way "_bytes=" $2 }
        $1 == "drop" { print way "_dropped=" $2 }
        $1 ~ /^(ovs_|[rt]x_q)/'
}

port_stat() {       # PORT KEY
    port_stats "$1" | sed -n "s/^$2=//p"
}

# stats_like PORT FILE: the values of PORT's statistics that FILE names, in
# FILE's order and format.
stats_like() {
    port_stats "$1" | awk -F= 'NR == FNR { value[$1] = $2; next }
                               { print $1 "=" value[$1] }' - "$2"
}

stats_agree() {     # PORT FILE
    stats_like "$1" "$2" | cmp -s - "$2"
}

# sum PORT:KEY...
sum() {
    local total=0 term
    for term in "$@"; do
        total=$((total + $(port_stat "${term%:*}" "${term#*:}")))
    done
    echo $total
}

# rate PORT KEY SECONDS: how much the value grows in a second.
rate() {
    local n t
    n=$(port_stat "$1" "$2")
    t=$(date +%s%N)
    sleep "$3"
    n=$(($(port_stat "$1" "$2") - n))
    t=$(($(date +%s%N) - t))
    echo $((n * 1000000000 / t))
}

# Does the value grow by RATE in a second, give or take 10 %?  It is measured
# again if not: on a busy machine, the sender may be late.
has_rate() {        # PORT KEY RATE
    local rate
    for _ in 1 2 3; do
        rate=$(rate "$1" "$2" 2)
        test $((10 * rate)) -ge $((9 * $3)) &&
            test $((10 * rate)) -le $((11 * $3)) && return
        echo "$rate"
    done
    return 1
}

# Has the switch write its statistics to the database now: it does when the
# interval changes.
refresh_stats() {
    local interval
    interval=$(ovs-vsctl --if-exists get Open_vSwitch . \
                   other_config:stats-update-interval | tr -d '"')
    ovs-vsctl set Open_vSwitch . \
        other_config:stats-update-interval=$((${interval:-5000} + 1))
}

db_stat() {         # PORT KEY
    ovs-vsctl --if-exists get Interface "$1" statistics:"$2"
}

# Packets that all flows with IN_PORT have forwarded.
flow_packets() {
    ovs-ofctl dump-flows br0 "in_port=$1" \
        | sed -n 's/.*n_packets=\([0-9]*\),.*/\1/p'
}

# The switch's mempools of mbufs, by name.
pools() {
    appctl netdev-dpdk/get-mempool-info |
        sed -n 's/^mempool <\(ovs[^>]*\)>.*/\1/p'
}

# Guests.

# start_guest NAME client|server:PORT[,DEVARG=VALUE...]... [-- OPTION...]
# A dpdk-testpmd NAME whose port N is the guest's end of the Nth PORT given,
# with these options of testpmd's beside the usual ones.  It only receives
# until told otherwise.
start_guest() {
    local guest=$1 vdevs='' n=0 path args
    shift
    : > "$guest.log"
    : > "$guest.ports"
    while test $# -gt 0 && test "$1" != --; do
        path=${1#*:}
        args=${path#"${path%%,*}"}
        case $1 in client:*)
            args=",server=1$args"
            # testpmd does not replace what a killed one has left.
            rm -f "$run/${path%%,*}" ;;
        esac
        vdevs="$vdevs --vdev=net_virtio_user$n,path=$run/${path%%,*}"
        vdevs="$vdevs,queue_size=1024$args"
        echo "$1" >> "$guest.ports"
        n=$((n + 1))
        shift
    done
    test $# -gt 0 && shift
    # With the log of one before it, "ready" would take this one for ready.
    rm -f "$run/$guest.in" "$guest.log"
    mkfifo "$run/$guest.in"
    # The pages of --in-memory go with the process, whatever its end.
    # shellcheck disable=SC2086
    stdbuf -oL dpdk-testpmd --lcores=0@0,1@0 --no-pci --in-memory \
        --single-file-segments --socket-mem="$(per_node 128)" --no-telemetry \
        $vdevs -- -i --nb-cores=1 --total-num-mbufs=8192 --rxd=1024 \
        --txd=1024 --forward-mode=rxonly "$@" \
        <> "$run/$guest.in" > "$guest.log" 2>&1 &
    echo $! > "$guest.pid"
    on_exit "end KILL $guest.pid dpdk-testpmd"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# start_grout PORT ADDRESS split|packed: a router that is the guest's end of
# PORT, with one interface.  It makes devices of the kernel, too, which must be
# somewhere else.
start_grout() {
    local packed=''
    test "$3" = split || packed=,packed_vq=1
    rm -f "$run/$1" "$run/grout.sock"
    unshare --net grout -t -s "$run/grout.sock" \
        -M "unix:$run/grout.metrics" -- --no-pci > grout.log 2>&1 &
    echo $! > grout.pid
    on_exit "end KILL grout.pid grout:main"
    wait_until 60 test -S "$run/grout.sock" || return 1
    grcli -s "$run/grout.sock" interface add port p0 devargs \
        "net_virtio_user0,path=$run/$1,server=1$packed" up &&
        grcli -s "$run/grout.sock" address add "$2" iface p0
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# ready GUEST...: waits until these guests and their ports can take traffic.
ready() {
    local guest port queues
    for guest in "$@"; do
        wait_until 15 grep -qs '^testpmd>' "$guest.log" ||
            { cat "$guest.log"; return 1; }
        while read -r port; do
            queues=$(expr "$port," : '.*,queues=\([0-9]*\),') || queues=1
            port=${port#*:}
            port=${port%%,*}
            wait_until 15 is_ready "$port" "$queues" ||
                { echo "$port"; return 1; }
        done < "$guest.ports"
    done
}

end_guest() {       # NAME [SIGNAL]
    end "${2:-KILL}" "$1.pid" dpdk-testpmd
}

# tell GUEST COMMAND...: has testpmd run the commands, and prints what it
# said.  It echoes a line when it comes to it, after the commands before.
tell() {
    local guest=$1 start mark
    shift
    start=$(wc -c < "$guest.log")
    mark=mark$start
    printf '%s\n' "$@" "$mark" > "$run/$guest.in"
    wait_until 15 grep -q "> $mark" "$guest.log" || return 1
    tail -c +$((start + 1)) "$guest.log" | sed "/> $mark/,\$d"
}

# guest_stat GUEST PORT RX-packets|TX-packets|...
guest_stat() {
    tell "$1" "show port stats $2" | sed -n "s/.*$3: *\([0-9]*\).*/\1/p"
}

# send GUEST BURSTS SIZE [FRAMES = 32]: BURSTS times FRAMES frames from each
# transmit queue, whose ring holds 1024; then the guest receives.
send() {
    tell "$1" stop "set fwd rxonly" "set burst ${4:-32}" "set txpkts $3" \
        "start tx_first $2"
}

receive() {         # GUEST
    tell "$1" stop "set fwd rxonly" start
}

flood() {           # GUEST SIZE
    tell "$1" stop "set fwd txonly" "set burst 32" "set txpkts $2" start
}

clear_stats() {     # GUEST...
    local guest
    for guest in "$@"; do
        tell "$guest" "clear port stats all" || return 1
    done
}

set_queues() {      # GUEST N
    tell "$1" stop "port stop all" "port config all rxq $2" \
        "port config all txq $2" "port start all"
}

# Fails, with the reason on stdout, if the plugin cannot be traced here.
can_trace() {
    command -v bpftrace > /dev/null || { echo "needs bpftrace"; return 1; }
    bpftrace -e 'BEGIN { exit() }' > /dev/null 2>&1 ||
        { echo "the kernel does not let bpftrace work"; return 1; }
    readelf -n "$OVS_NETDEV_PLUGINDIR/netdev-vhost.so" \
        | grep -q 'Provider: netdev_vhost' ||
        { echo "the plugin has no probes: needs systemtap-sdt-dev"; return 1; }
}

# trace SCRIPT: runs utilities/usdt/SCRIPT.bt on the switch until the group
# ends, from when it returns, with its output in SCRIPT.log.
trace() {
    bpftrace -p "$(cat vswitchd.pid)" "$abs_top_srcdir/utilities/usdt/$1.bt" \
        > "$1.log" 2>&1 &
    echo $! > "$1.pid"
    on_exit "end INT $1.pid bpftrace"
    wait_until 30 grep -qs '^Tracing' "$1.log"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# What a process holds.

fds() {             # PID
    find "/proc/$1/fd" -mindepth 1 | wc -l
}

memory() {          # PID VmRSS|HugetlbPages, in KiB
    awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"
}

# KiB of hugepages, but for those that guests share with it, which it sees as
# they use them.
own_hugepages() {   # PID
    awk '$1 == "Private_Hugetlb:" { n += $2 } END { print n }' "/proc/$1/smaps"
}

# Shared mappings of the switch that are not its own memory: those of guests.
foreign_mappings() {
    grep ' rw-s ' "/proc/$(cat vswitchd.pid)/maps" |
        grep -vc 'memfd:seg_[0-9]*-'
}

# Mbufs of PORT's pool that are in use.
mbufs_in_use() {
    appctl netdev-dpdk/get-mempool-info "$1" \
        | sed -n 's/.*count: avail.*in use (\([0-9]*\))/\1/p'
}

# Tap ports.

in_netns() {
    nsenter --net="/run/netns/$netns" "$@"
}

# add_tap PORT [ADDRESS/PREFIX]: a tap port, whose device is up.
add_tap() {
    ovs-vsctl add-port br0 "$1" -- set Interface "$1" type=tap || return 1
    test $# = 1 || in_netns ip address add "$2" dev "$1" || return 1
    in_netns ip link set "$1" up
}

# send_to_tap DEVICE COUNT SIZE [gso]: frames of a protocol of their own or,
# with "gso", TCP segments that the receiver is to cut.
send_to_tap() {
    in_netns "${PYTHON3:-python3}" - "$@" <<'PYTHON'
import socket
import struct
import sys
import time

device, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
gso = len(sys.argv) > 4
SOL_PACKET, PACKET_VNET_HDR = 263, 15

ethernet = bytes.fromhex('020000000001' '020000000002')
if gso:
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, size - 14, 0, 0, 64, 6, 0,
                     bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]))
    tcp = struct.pack('!HHIIBBHHH', 1, 2, 0, 0, 0x50, 0x10, 65535, 0, 0)
    frame = ethernet + b'\x08\x00' + ip + tcp
    # Flags: checksum needed.  GSO type: TCP over IPv4.
    frame = struct.pack('=BBHHHH', 1, 1, 54, 1446, 34, 16) + frame.ljust(size)
else:
    frame = (ethernet + b'\x88\xb5').ljust(size)

sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
if gso:
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
sock.bind((device, 0))
for i in range(count):
    sock.send(frame)
    if i % 32 == 31:        # Leave the switch time to read.
        time.sleep(0.01)
PYTHON
}

tap_rx_packets() {  # DEVICE
    in_netns cat /proc/net/dev |
        awk -v device="$1:" '$1 == device { print $3 }'
}

# A socket file that nobody listens on.
leave_socket() {    # PATH
    "${PYTHON3:-python3}" -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1"
}
