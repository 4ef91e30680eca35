# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the NUMA tests, beside those of system.sh.
#
# The tests have a machine with four nodes of two CPUs for themselves.  The
# first CPU of a node runs guests, the second one is the PMD thread's, if the
# switch has one there.  Under emulation all of it is slow, a start of the
# switch above all, so that groups share a switch where they can: it is in
# $run, and "$run/busy" is there while a group uses it, or has failed with it.
#
# Guests are of two kinds: dpdk-testpmd, and those that guests.py, which all
# groups share as well, has on nodes of one's choice.

# The switch.

numa_env() {
    run=/tmp/ovs-numa
    netns=ovs-numa
    OVS_RUNDIR=$run OVS_SYSCONFDIR=$run OVS_LOGDIR=$run OVS_DBDIR=$run/state
    export OVS_RUNDIR OVS_SYSCONFDIR OVS_LOGDIR OVS_DBDIR
    : > cleanup
    trap '. ./cleanup' 0
}

# use_switch [COLUMN:KEY=VALUE...]: a switch that was started with these
# settings, without ports and with a new log, and no guests.
use_switch() {
    if test -e "$run/settings" && test ! -e "$run/busy" &&
        test "$(cat "$run/settings")" = "$*"
    then
        reset_switch || return 1
    else
        new_switch "$@" || return 1
    fi
    touch "$run/busy"
    ln -s "$run/ovs-vswitchd.log" "$run/ovsdb-server.log" .
    on_exit "cp --remove-destination $run/*.log ."
}

release_switch() {
    rm "$run/busy"
}

new_switch() {
    test ! -d "$run" || (cd "$run/state" && . ./cleanup)
    rm -rf "$run"
    mkdir -p "$run/state"
    (cd "$run/state" && : > cleanup && start_switch \
        other_config:pmd-cpu-mask=0xa other_config:pmd-maxsleep=5000 \
        other_config:dpdk-socket-mem="$(per_node 128)" \
        other_config:dpdk-socket-limit="$(per_node 256)" "$@" \
        && start_guests) || return 1
    # One switch serves many groups, each of which waits for what it logs.
    appctl vlog/disable-rate-limit vhost_port_status || return 1
    ovs-vsctl get Open_vSwitch . other_config > "$run/other_config"
    echo "$*" > "$run/settings"
}

reset_switch() {
    guests reset || return 1
    mv "$run/ovs-vswitchd.log" "$run/old.log"
    appctl vlog/reopen || return 1
    ovs-ofctl del-flows br0 || return 1
    for port in $(ovs-vsctl list-ports br0); do
        ovs-vsctl del-port "$port" || return 1
    done
    ovs-vsctl set Open_vSwitch . other_config="$(cat "$run/other_config")"
}

# With the settings that the database has by now.  Guests of client ports come
# back when they are told to start again.
restart_switch() {
    appctl exit --cleanup &&
        wait_until 60 is_gone "$(cat "$run/state/vswitchd.pid")" &&
        (cd "$run/state" && start_vswitchd)
}

# The memory of a node.

# hugepages NODE [N]: has the kernel keep N hugepages there until the group
# ends, or prints how many there are.
hugepages() {
    local file=/sys/devices/system/node/node$1
    file=$file/hugepages/hugepages-2048kB/nr_hugepages
    if test $# = 1; then
        cat "$file"
        return
    fi
    on_exit "echo $(cat "$file") > $file"
    echo "$2" > "$file"
    test "$(cat "$file")" = "$2"
}

# Where a port is.

# placement PORT: the nodes of the PMD threads that have its queues, the
# guest's node, that of the mempool, and the switch's verdict on it.
placement() {
    local pmds numa pool verdict
    pmds=$(pmd_nodes "$1")
    if test "${VHOST_STOCK:-no}" = yes; then
        numa=$(status "$1" numa)
        pool=$(pool_head "$1" socket_id=)
        case $pmds$pool in
            *[!$numa\ ]*) verdict=remote ;;
            *) verdict=local ;;
        esac
    else
        ovs-vsctl --if-exists get Interface "$1" status:numa \
            status:mempool_numa status:placement | sed 's/"//g' > placement
        { read -r numa; read -r pool; read -r verdict; } < placement
        case $verdict in *remote:*) verdict=remote ;; esac
    fi
    echo "PMD $pmds, guest $numa, mempool $pool, $verdict"
}

pmd_nodes() {       # PORT
    appctl dpif-netdev/pmd-rxq-show | awk -v port="$1" '
        /^pmd thread/ { node = $4 }
        $1 == "port:" && $2 == port { print node }' | sort -n | paste -sd' '
}

# is_placed PORT PLACEMENT: leaves what it found in "placed".
is_placed() {
    placement "$1" > placed
    test "$(cat placed)" = "$2"
}

# pool_head PORT PREFIX: what follows PREFIX in the description of its mempool.
pool_head() {
    appctl netdev-dpdk/get-mempool-info "$1" | sed -n "s/^ *$2\([^>]*\).*/\1/p"
}

# The nodes on which the kernel has pages of PORT's mempool.
page_nodes() {
    local pool
    pool=$(pool_head "$1" "mempool <")
    test -n "$pool" || return 1
    guests pages "$pool" > pages || return 1
    cat pages >&2
    cut -d: -f1 pages
}

# has_advice PORT TEXT...: do the verdict of PORT in its status and the log
# have these texts?
has_advice() {
    local port=$1 text
    status "$port" placement > verdict
    log_has "$port: placement: " >> verdict
    shift
    for text in "$@"; do
        test "$(grep -cF "$text" verdict)" -ge 2 || { cat verdict; return 1; }
    done
}

# What the switch logs when vh1's guest, on node 1, gets a PMD thread of node
# 0.
no_pmd="no available .non-isolated. pmd thread on numa node 1. Port 'vh1'"
no_pmd="$no_pmd rx queue 0 will be assigned to a pmd on numa node 0"

# has_moved SOCKET NODE: has librte_vhost moved its structures there?
has_moved() {
    log_has "VHOST_CONFIG: .$1. reallocated virtqueue on node $2" &&
        log_has "VHOST_CONFIG: .$1. reallocated device on node $2" &&
        log_has "vHost Device '$1' has been added on numa node $2"
}

# draw_map NAME: as text and as JSON, which ovs-vhost-map draws elsewhere.
draw_map() {
    "$abs_top_srcdir/utilities/ovs-vhost-map" -t "$run/vs.ctl" -o "$1.json" &&
        "$abs_top_srcdir/utilities/ovs-vhost-map" -i "$1.json" -o "$1.txt"
}

# mend PORT: follows the switch's advice, but for what is in parentheses.
mend() {
    appctl netdev-vhost/show "$1" \
        | sed '1,/^  to fix:/d; s/^ *//; /^(/d' > advice
    cat advice
    sh -e ./advice
}

# What the switch holds: file descriptors, objects in DPDK's heap on all nodes,
# KiB of hugepages and of other memory.
holdings() {
    local pid
    pid=$(cat "$run/state/vswitchd.pid")
    echo "fds $(fds "$pid")"
    appctl dpdk/get-malloc-stats | awk -F'[:,]' '
        $1 ~ "Alloc_count" { n += $2 } END { print "objects", n }'
    echo "HugetlbPages $(memory "$pid" HugetlbPages)"
    echo "VmRSS $(memory "$pid" VmRSS)"
}

# is_no_leak BEFORE AFTER: of what holdings() printed, may only the rest of the
# memory have grown, and by no more than 5 MiB?  That much is the play of
# malloc's free memory, which grew for 150 moves and not in the next 150.  A
# "struct vhost_device" has 80 KiB: lost with each of 100 moves, it is found.
is_no_leak() {
    paste -d' ' "$1" "$2" | awk '
        NF != 4 || $4 > $2 + ($1 == "VmRSS" ? 5120 : 0) { bad = 1 }
        END { exit bad || NR != 4 }'
}

# moves_are_smooth < REPLY of "guests moves": no second of silence, in order?
moves_are_smooth() {
    awk -F'silence | s, |, ' '
        { ok = $3 < 1 && / 0 reordered$/ }
        END { exit !ok }'
}

# Guests.

start_guests() {
    mkfifo "$run/guests.in" "$run/guests.out"
    $PYTHON3 "$abs_top_srcdir/tests/system/vhost_user_guest.py" \
        "$run/guests.in" "$run/guests.out" > "$run/guests.log" 2>&1 &
    on_exit "kill $!"
}

# guests COMMAND...: see vhost_user_guest.py.
guests() {
    echo "$*" > "$run/guests.in"
    timeout 300 cat "$run/guests.out" > reply
    sed '/^ok$/d' reply
    grep -q . reply && ! grep -q '^error' reply
}

add_guest() {       # PORT client|server [QUEUES]
    guests add "$1" "$run/$1" "$2" "${3:-1}"
}

# start_testpmd NAME NODE client|server:PORT
start_testpmd() {
    local guest=$1 node=$2 path=${3#*:} server='' memory
    test "${3%:*}" = server || server=,server=1
    memory=$(per_node 0 |
        awk -v node="$node" -F, -v OFS=, '{ $(node + 1) = 64; print }')
    rm -f "$run/$guest.in"
    mkfifo "$run/$guest.in"
    numactl --cpunodebind="$node" --membind="$node" stdbuf -oL dpdk-testpmd \
        --lcores="(0,1)@$((2 * node))" --no-pci --in-memory \
        --single-file-segments --socket-mem="$memory" --no-telemetry \
        --vdev="net_virtio_user0,path=$run/$path$server" \
        -- -i --nb-cores=1 --total-num-mbufs=2048 --forward-mode=rxonly \
        <> "$run/$guest.in" > "$guest.log" 2>&1 &
    echo $! > "$guest.pid"
    on_exit "end KILL $guest.pid dpdk-testpmd"
}

# Guests of QEMU.

# start_qemu N NODE client|server: guest N on port dpdkvhostuserN, with its
# memory and its threads on NODE.  It pings the other one.
start_qemu() {
    local path=$run/dpdkvhostuser$1 server='' memory device addresses
    memory="memory-backend-memfd,id=memory,size=192M,hugetlb=on,prealloc=on"
    device=virtio-net-pci,netdev=net,mac=52:54:00:00:00:0$1,romfile=,vectors=0
    addresses="address=10.0.0.1$1 peer=10.0.0.1$((1 - $1))"
    rm -f "guest$1.log"
    if test "$3" = client; then
        server=,server=on
        rm -f "$path"
    fi
    # Under emulation, QEMU 7.2 crashes when the device starts with MSI-X, and
    # leaves memory barriers out if there can be one CPU only.
    numactl --cpunodebind="$2" --membind="$2" \
        qemu-system-x86_64 -name "VM$1" -accel tcg -cpu max -m 192 \
        -smp 1,maxcpus=2 -nodefaults -display none -no-reboot \
        -kernel "$NUMA_GUEST_IMAGE/vmlinuz" \
        -initrd "$NUMA_GUEST_IMAGE/initrd" \
        -append "console=ttyS0 quiet $addresses" \
        -object "$memory,host-nodes=$2,policy=bind" \
        -numa node,memdev=memory \
        -chardev "socket,id=port,path=$path$server" \
        -netdev vhost-user,id=net,chardev=port \
        -device "$device" \
        -serial "file:guest$1.log" > "qemu$1.log" 2>&1 < /dev/null &
    echo $! > "guest$1.pid"
    on_exit "end KILL guest$1.pid qemu-system-x86"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

guest_says() {      # N TEXT
    grep -as "$2" "guest$1.log"
}

# The walk-through in Documentation/howto/numa.rst.

# walk_text SECTION: its commands.
walk_text() {
    awk -v section="# [$1]" '
        /^# \[/ { on = $0 == section; next }
        on' "$abs_top_srcdir/Documentation/howto/numa-walk-through.sh"
}

# walk SECTION: runs them, as on a machine where the switch is the only one.
walk() {
    ln -sf vswitchd.pid "$run/ovs-vswitchd.pid"
    ln -sf vs.ctl "$run/ovs-vswitchd.$(cat "$run/vswitchd.pid").ctl"
    PATH=$abs_top_srcdir/utilities:$PATH
    eval "$(walk_text "$1")"
}

# is_as_documented FILE: what is in "stdout" and in a file of the
# documentation, but for what is different each time.
is_as_documented() {
    local file
    for file in "$abs_top_srcdir/Documentation/howto/$1" stdout; do
        sed 's/\(usage\|overhead\): .*/\1: N/
             s/memory [0-9]*:[0-9]*,/memory N,/
             s/data path: [^ ]*$/data path: N/
             s/0x00[0-9a-f]*/ADDRESS/; s/  *[0-9]* of \([0-9]\)/ N of \1/
             s/\( of 256\)  *[^ ]*  *[^ ]*\(  *[0-9]  [tC]\)/\1 RATES\2/
             s/ovs-vhost-[0-9a-f]*-n\([0-9]\)-[0-9]*/ovs-vhost-N-n\1-N/' \
            "$file" > "${file##*/}.plain"
    done
    diff "$1.plain" stdout.plain
}

walk_guest() {      # N
    walk "guest $1" > "guest$1.log" 2>&1 < /dev/null
    echo $! > "guest$1.pid"
    on_exit "rm -f /tmp/vhost$1.sock"
    on_exit "end KILL guest$1.pid dpdk-testpmd"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
