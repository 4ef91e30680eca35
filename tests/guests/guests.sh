# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the guests' tests, beside those of system.sh.
#
# A guest is a virtual machine with a Linux kernel.  Guests are named "a", "b"
# and so on: the Nth has the address 10.0.I.N on its device eth<I>, and the MAC
# address 52:54:00:00:0I:0N.  Whatever the host has a guest do, a shell in it
# does, at the other end of a serial port.  A guest's console is NAME.log.
#
# What guests-setup has made is in $guests.
#
# "host" stands for the switch's network namespace where a guest is asked for,
# if it has a tap port; see add_tap.

guests=$abs_top_builddir/guests
# Memory of a guest, in MiB.
guest_mb=192

guests_can_run() {
    can_run || return 1
    test -e "$guests/initrd-dpdk" || { echo "needs guests-setup"; return 1; }
}

# figure TEXT...: a result that "make check-guests" prints at its end.
figure() {
    echo "figure: $*" | tee -a "$abs_top_builddir/tests/guests-figures.log"
}

number_of() {       # GUEST, by its first letter
    echo $(($(printf %d "'$1") - 96))
}

address() {         # GUEST [DEVICE-NUMBER]
    echo "10.0.${2:-0}.$(number_of "$1")"
}

mac() {             # GUEST [DEVICE-NUMBER]
    printf '52:54:00:00:%02x:%02x\n' "${2:-0}" "$(number_of "$1")"
}

# boot NAME client|server|tap:PORT[,queues=N][,PROPERTY=VALUE...]...
#      [-- OPTION...]
# Boots a guest whose device N is the other end of the Nth port, with these
# properties of QEMU's virtio-net-pci, and these options of QEMU's beside the
# usual ones.  With $firmware, a function that prints options of QEMU's, the
# guest boots with them, not with the kernel.
boot() {
    local guest=$1 nics='' n=0
    shift
    while test $# -gt 0 && test "$1" != --; do
        nics="$nics $(nic "$guest" $n "$1")"
        n=$((n + 1))
        shift
    done
    test $# -gt 0 && shift
    if test -z "${firmware-}"; then
        set -- -kernel "$guests/vmlinuz" -initrd "$guests/${image:-initrd}" \
            -append "$(command_line "$guest")" "$@"
    fi
    rm -f "$run/$guest".*
    # With room for a second CPU, QEMU emulates the guest's memory barriers.
    # Without, a guest may miss that a ring has something for it.
    # In a subshell, so that the shell does not tell of its end.
    # shellcheck disable=SC2086
    (nsenter --net="/run/netns/$netns" "$guests/qemu-system-x86_64" \
        -accel "$(accelerator)" -cpu max -nodefaults \
        -smp 1,maxcpus=2 -display none -no-reboot ${firmware:+$($firmware)} \
        -m "$guest_mb" -numa node,memdev=memory \
        -object "memory-backend-memfd,id=memory,size=${guest_mb}M,hugetlb=on" \
        -chardev "file,id=console,path=$guest.log,append=on" \
        -serial chardev:console \
        -serial "unix:$run/$guest.shell,server=on,wait=off" \
        -qmp "unix:$run/$guest.qmp,server=on,wait=off" \
        $nics "$@" < /dev/null > "$guest.qemu.log" 2>&1 &
     echo $! > "$guest.pid")
    on_exit "end KILL $guest.pid qemu-system-x86"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

accelerator() {
    head -n 1 "$guests/accelerator"
}

# Of the kernel.
command_line() {    # GUEST
    echo "console=ttyS0 panic=-1 mitigations=off no_timer_check" \
        "ipv6.disable=1 guest_number=$(number_of "$1") ${kernel_arguments-}"
}

# QEMU's options for one device.
nic() {             # GUEST N SPECIFICATION
    local port=${3#*:} properties='' queues netdev
    queues=$(expr "$3," : '.*,queues=\([0-9]*\),')
    properties=$(echo "$port" | sed 's/^[^,]*//; s/,queues=[0-9]*//')
    port=$run/${port%%,*}
    case $3 in
        client:*) echo "-chardev socket,id=port$2,path=$port,server=on" ;;
        server:*)
            echo "-chardev socket,id=port$2,path=$port,reconnect-ms=100" ;;
    esac
    case $3 in
        tap:*)
            netdev=tap,id=net$2,ifname=${port##*/},script=no,downscript=no ;;
        *)
            netdev=vhost-user,id=net$2,chardev=port$2,queues=${queues:-1} ;;
    esac
    echo "-netdev $netdev"
    test -z "$queues" ||
        properties=",mq=on,vectors=$((2 * queues + 2))$properties"
    # With a kernel, an option ROM is only waited for.
    test -n "${firmware-}" || properties=",romfile=$properties"
    properties="mac=$(mac "$1" "$2")$properties"
    echo "-device virtio-net-pci,netdev=net$2,$properties"
}

# up GUEST...: waits until these guests have booted.
up() {
    local guest
    for guest in "$@"; do
        wait_until 60 test -s "$guest.log" ||
            { echo "$guest shows no sign of life after 60 s"
              sed 's/^/accelerator: /' "$guests/accelerator"
              cat "$guest.qemu.log"; return 1; }
        wait_until 120 guest_says "$guest" "the guest is up" ||
            { cat "$guest.log" "$guest.qemu.log"; return 1; }
    done
}

guest_says() {      # GUEST REGEX
    grep -aqs "$2" "$1.log"
}

in_guest() {        # GUEST COMMAND [SECONDS = 60]
    if test "$1" = host; then
        (cd "$run" && in_netns sh -c "$2" < /dev/null 2>&1)
    else
        control shell "$run/$1.shell" "$2" \
            $((${3:-60} * ${VHOST_PATIENCE:-1}))
    fi
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

qmp() {             # GUEST COMMAND [JSON-ARGUMENTS]
    control qmp "$run/$1.qmp" "$2" ${3+"$3"}
}

control() {
    "${PYTHON3:-python3}" "$abs_top_srcdir/tests/guests/guests_control.py" "$@"
}

# Has a guest end as its user would.
shut_down() {       # GUEST
    in_guest "$1" 'sleep 0.1 && poweroff -f &'
}

kill_guest() {      # GUEST
    end KILL "$1.pid" qemu-system-x86
    rm "$1.log"
}

# pings FROM TO [OPTION...]: prints the percentage that was lost.  This ping is
# busybox's, which waits a second for the last replies, not twice the time that
# others took: an emulated machine may stand still for a moment.
pings() {
    local from=$1 to=$2
    shift 2
    in_guest "$from" "ping -q -c 10 -i 0.05 -W 1 $* $(address "$to")" \
        | sed -n 's/.* \([0-9.]*\)% packet loss.*/\1/p'
}

# Where have the packets gone?
explain_loss() {    # FROM TO
    local port
    for port in $(ovs-vsctl list-ports br0); do
        port_stats "$port" | sed -n "s/=0$/&/; t
            /good_packets\|drop\|notif\|held\|iotlb/s/^/$port: /p"
    done
    appctl dpif-netdev/pmd-rxq-show
    appctl dpctl/dump-flows -m
    in_guest "$1" "ethtool -S eth0"
    in_guest "$2" "ethtool -S eth0"
    in_guest "$2" "grep virtio /proc/interrupts"
}

# trouble PORT [ALLOWED]: counters of the port that should be zero, unless they
# match the regular expression, and keys of its status that tell of faults.
trouble() {
    refresh_stats
    port_stats "$1" | grep -E '_(drops|faults|errors|events)=' \
        | grep -vE "=0\$${2:+|$2}"
    ovs-vsctl get Interface "$1" status \
        | grep -oE '(ring_fault|config_error|memory|jumbo_frames)=[^,}]*'
    return 0
}

# Names of the features of virtio that the guest negotiated.
features() {        # PORT
    appctl netdev-vhost/show "$1" | awk '
        /^  [^ ]/ { here = sub(/^  features: [^ ]* */, "") }
        here { gsub(/^ +/, ""); print }' | paste -sd' '
}

# as_in_howto NAME [GUEST]: executes, here or in a guest, the commands that the
# howto has after the comment ".. suite: NAME".
as_in_howto() {
    local commands
    commands=$(howto "$1")
    test -n "$commands" || return 1
    if test $# = 1; then
        eval "$commands"
    else
        in_guest "$2" "$commands"
    fi
}

howto() {           # NAME
    awk -v mark=".. suite: $1" '
        $0 == mark { found = 1 }
        found && /^    / { print substr($0, 5); n++ }
        n && /^[^ ]/ { exit }' \
        "$abs_top_srcdir"/Documentation/howto/guests/*.rst \
        "$abs_top_srcdir"/Documentation/howto/ovn.rst |
        sed "s,/run/,$run/,g; s,^ovs-appctl,& -t $run/vs.ctl,"
}

# The howto's options of QEMU's for an IOMMU, and properties of a device.

iommu_options() {
    howto iommu-qemu
}

iommu_properties() {
    howto iommu-device | sed 's/.*netdev=n0,//'
}

# The howto's settings of table Open_vSwitch.
settings_in_howto() {   # NAME
    howto "$1" | sed -n 's/.* set Open_vSwitch \. //p'
}

# The howto's command for QEMU's monitor.
on_monitor() {      # GUEST NAME [SED-SCRIPT]
    local output
    output=$(qmp "$1" human-monitor-command \
             "{\"command-line\": \"$(howto "$2" | sed "${3-}")\"}") &&
        test "$output" = '""' || { echo "$output"; return 1; }
}

# Datagrams; see guests-traffic.c.

listen() {          # GUEST
    in_guest "$1" 'guests-traffic receive > received &
                   echo $! > receiver'
}

stream() {          # FROM TO RATE SECONDS SIZE
    in_guest "$1" "guests-traffic send $(address "$2") $3 $4 $5 &"
}

heard() {           # GUEST
    in_guest "$1" 'pid=$(cat receiver); kill $pid
                   while [ -d /proc/$pid ]; do sleep 0.05; done
                   cat received' | tee -a "$1.heard"
}

heard_of() {        # GUEST received|lost|holes|reordered|damaged|gap
    tail -n 1 "$1.heard" | sed -n "s/.*\<$2 \([0-9]*\).*/\1/p"
}

# transfer FROM TO MIB: a stream over TCP, of which all bytes must arrive.
# Prints the Mbit/s.
transfer() {
    local bytes=$(($3 << 20)) result
    in_guest "$2" 'guests-traffic read > read &'
    in_guest "$1" "guests-traffic write $(address "$2") $bytes" >&2 || return 1
    result=$(in_guest "$2" 'until [ -s read ]; do sleep 0.1; done; cat read')
    case $result in
        "read $bytes damaged 0 mbps "*) echo "${result##* }" ;;
        *) echo "$result" >&2; return 1 ;;
    esac
}

# The kernel's packet generator: frames from all queues, each one with the UDP
# ports of another flow.

generate() {        # FROM TO COUNT SIZE [DEVICE-NUMBER = 0]
    set_generator "$@" && in_guest "$1" "
        echo start > /proc/net/pktgen/pgctrl
        grep -o 'Result: OK.*' /proc/net/pktgen/eth${5:-0}"
}

set_generator() {   # as generate
    in_guest "$1" "
        dev=/proc/net/pktgen/eth${5:-0}
        echo 'rem_device_all' > /proc/net/pktgen/kpktgend_0
        echo 'add_device eth${5:-0}' > /proc/net/pktgen/kpktgend_0
        queues=\$(ls -d /sys/class/net/eth${5:-0}/queues/tx-* | wc -l)
        for set in 'count $3' 'pkt_size $4' 'dst $(address "$2" "${5:-0}")' \
                   'dst_mac $(mac "$2" "${5:-0}")' 'udp_src_min 1000' \
                   'udp_src_max 1999' 'flag UDPSRC_RND' 'queue_map_min 0' \
                   \"queue_map_max \$((queues - 1))\"; do
            echo \"\$set\" > \$dev || exit
        done"
}

# fill_rings FROM TO: three times, TO stands still until its ring is full.  The
# switch stands still too until FROM has filled its own ring, so that it then
# has batches of 32 packets, of at least 128 in all.  TO has room for about
# 100 then, another number each time, so for a part of a batch at least twice.
fill_rings() {
    local n i
    n=$(ring_size "$1")
    for i in 5 6 7; do
        kill -STOP "$(cat "$2.pid")"
        generate "$1" "$2" $((n - 100 - i)) 64 || return 1
        set_generator "$1" "$2" $((n + 149)) 64
        kill -STOP "$(cat vswitchd.pid)"
        in_guest "$1" 'echo start > /proc/net/pktgen/pgctrl &'
        wait_until 15 generator_is_stuck "$1" $((n / 2)) $((n + 149)) ||
            return 1
        kill -CONT "$(cat vswitchd.pid)"
        in_guest "$1" 'until grep "Result: OK.*usec" /proc/net/pktgen/eth0; do
                           sleep 0.05
                       done'
        kill -CONT "$(cat "$2.pid")"
        # Until it has taken them, and its ring has room again.
        in_guest "$2" 'cd /sys/class/net/eth0/statistics; n=
                       until [ "$n" = "$(cat rx_packets)" ]; do
                           n=$(cat rx_packets); sleep 0.1
                       done' || return 1
    done
}

# Has the packet generator sent more than MIN packets, not all of COUNT, and
# nothing for a while?
generator_is_stuck() {  # GUEST MIN COUNT
    in_guest "$1" "n=\$(grep -o 'pkts-sofar: [0-9]*' /proc/net/pktgen/eth0)
                   sleep 0.3
                   grep -q \"\$n \" /proc/net/pktgen/eth0 &&
                       [ \${n#* } -gt $2 ] && [ \${n#* } -lt $3 ]"
}

# The entries of each of the guest's rings.
ring_size() {       # GUEST
    in_guest "$1" 'ethtool -g eth0' | awk '/^RX:/ { n = $2 } END { print n }'
}

# What the switch dropped because a guest's buffers are too small for it, or
# used up.
large_drops() {      # PORT
    echo $(($(port_stat "$1" ovs_tx_small_buffer_drops) +
            $(port_stat "$1" ovs_tx_failure_drops)))
}

# guest_queues GUEST rx|tx: packets that went through each of its queues or,
# where Linux does not tell these (6.12), the queue's interrupts.
guest_queues() {
    local queue=output
    test "$2" = tx || queue=input
    in_guest "$1" 'ethtool -S eth0; cat /proc/interrupts' |
        awk -v way="$2" -v queue="$queue" '
            $1 ~ "^" way "_queue_[0-9]+_packets:$" { packets = packets " " $2 }
            $NF ~ "-" queue "[.][0-9]+$" {
                n = 0
                for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i
                interrupts = interrupts " " n
            }
            END { print substr(packets ? packets : interrupts, 2) }'
}

# port_queues PORT rx|tx: the same of the switch.
port_queues() {
    port_stats "$1" | sed -n "s/^$2_q[0-9]*_good_packets=//p" | paste -sd' '
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

set_queues_of() {   # GUEST N
    in_guest "$1" "$(howto queues-up | sed "s/combined .*/combined $2/")"
}

# Receive queues of PORT that each PMD thread polls.
pmd_queues() {
    appctl dpif-netdev/pmd-rxq-show | awk -v port="$1" '
        /^pmd thread/ { n++ }
        $1 == "port:" && $2 == port && /\(enabled\)/ { queues[n]++ }
        END { for (i = 1; i <= n; i++) print queues[i] + 0 }' | paste -sd' '
}

# Packets that each PMD thread has received.
pmd_packets() {
    appctl dpif-netdev/pmd-perf-show | awk '
        /^pmd thread/ { pmd = 1 }
        /^main thread/ { pmd = 0 }
        pmd && /Rx packets:/ { print $3 }' | paste -sd' '
}

# The switch dies.  What it leaves behind, sockets and hugepages, stays.
kill_switch() {
    end_switch KILL
}

# What the switch holds, the memory last, in KiB.
switch_holds() {
    local pid
    pid=$(cat vswitchd.pid)
    echo "fds $(fds "$pid")"
    echo "threads $(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)"
    echo "pools $(pools | wc -l)"
    echo "hugepages $(own_hugepages "$pid")"
    echo "memory $(memory "$pid" VmRSS)"
}

# come_and_go PORT N: N times, a small guest connects to a server port, starts
# its device and dies.
come_and_go() {
    PYTHONPATH=$abs_top_srcdir/tests/system \
        "${PYTHON3:-python3}" - "$run/$1" "$2" <<'PYTHON'
import sys
from vhost_user_guest import Guest

guest = Guest(sys.argv[1], listen=False)
for _ in range(int(sys.argv[2])):
    guest.connect()
    guest.start(0, [0])
    guest.disconnect()
PYTHON
}

# Live migration, to a second switch with a run directory, a directory for its
# files and a network namespace of its own.  The guest "a2" is what "a" becomes
# there.

# second COMMAND...: in the second switch's surroundings.
second() {
    (cd second || exit
     run=$run/second netns=$netns-2
     OVS_RUNDIR=$run OVS_SYSCONFDIR=$run OVS_LOGDIR=$PWD OVS_DBDIR=$PWD
     "$@")
}

# A cable connects its bridge with that of the first one.
start_second_switch() {     # [COLUMN:KEY=VALUE...]
    mkdir "$run/second" second
    : > second/cleanup
    on_exit 'cd second && . ./cleanup; cd ..'
    second start_switch other_config:dpdk-extra="--no-pci \
--log-level=pmd.*:error --file-prefix=second" "$@" || return 1
    ip link add cable netns "$netns" type veth \
        peer name cable netns "$netns-2" &&
        in_netns ip link set cable up &&
        second in_netns ip link set cable up &&
        ovs-vsctl add-port br0 cable &&
        second ovs-vsctl set-fail-mode br0 standalone \
                         -- add-port br0 cable
}

# incoming NAME: QEMU's option for a guest that another one is to become.
incoming() {
    echo "-incoming unix:$run/$1.incoming"
}

# migrate FROM TO: and waits until it is done.
migrate() {
    start_migration "$1" "$2" && wait_until 60 migration_is "$1" completed
}

start_migration() { # FROM TO
    moves > moves
    wait_until 15 test -S "$run/$2.incoming" &&
        on_monitor "$1" migrate "s/a2[.]incoming/$2.incoming/"
}

migration_is() {    # GUEST STATUS
    test "$(migration "$1" status)" = "$2"
}

# What QEMU says of the migration.
migration() {       # GUEST status|downtime|total-time|postcopy-requests
    qmp "$1" query-migrate | sed -n "s/.*\"$2\": \"*\([a-z0-9-]*\).*/\1/p"
}

# Did GUEST lose no more than one series of datagrams, or HOLES, and get all
# others in order and with the right bytes?
one_hole() {        # GUEST [HOLES]
    test "$(heard_of "$1" received)" -gt 500 &&
        test "$(heard_of "$1" holes)" -le "${2:-1}" &&
        test "$(heard_of "$1" reordered) $(heard_of "$1" damaged)" = "0 0"
}

# How many holes has the guest that the last migration was of?  Both switches
# learn once where it is now.  They may unlearn it for a moment: a revalidator
# that accounts for the last packets from the old place learns that.  Each time
# makes two moves more, and a hole.
holes_of_moves() {
    local n
    n=$(( ($(moves) - $(cat moves)) / 2 ))
    echo $(( n > 1 ? n : 1 ))
}

# How often have addresses moved from port to port, in both switches?
moves() {
    local show="appctl fdb/stats-show br0"
    { $show; second $show; } | awk '/moved MAC/ { n += $NF } END { print n }'
}

# Memory of a guest that has stopped, as a file.
dump_memory() {     # GUEST
    qmp "$1" pmemsave "{\"val\": 0, \"size\": $((guest_mb << 20)),
                       \"filename\": \"$run/$1.memory\"}"
}

# Does the switch know GUEST behind PORT?
knows() {           # GUEST PORT
    appctl fdb/show br0 \
        | grep -q "^ *$(ovs-vsctl get Interface "$2" ofport) .*$(mac "$1")"
}

# Tap ports.

# watch_segments DEVICE: until it has seen no frame for two seconds, counts the
# frames above the MTU, and those of them that do not say how to cut them.
watch_segments() {
    in_netns "${PYTHON3:-python3}" - "$1" <<'PYTHON'
import socket
import struct
import sys

SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 3

sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                     socket.htons(ETH_P_ALL))
sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
sock.bind((sys.argv[1], ETH_P_ALL))
sock.settimeout(15)
large = uncut = 0
try:
    while True:
        data = sock.recv(1 << 17)
        sock.settimeout(2)
        _, gso_type, headers, size, _, _ = struct.unpack('=BBHHHH', data[:10])
        if len(data) > 10 + 1514:
            large += 1
            uncut += gso_type == 0 or not 0 < size <= 1460
except TimeoutError:
    print(f'large {large} uncut {uncut}')
PYTHON
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# round_trips FROM TO DEVICE-NUMBER: how many a second, with packets of 64
# bytes: each is sent when the answer to the one before is there.  Guests that
# are sent as much as possible drop most of it under emulation.
round_trips() {
    in_guest "$1" "/bin/ping -q -f -c 500 -s 22 $(address "$2" "$3")" \
        | sed -n 's/^500 .*, 500 received,.*time \([0-9]*\)ms/\1/p' \
        | awk '{ print int(500000 / $1) }'
}

# The middle one of the numbers that are read.
median() {
    sort -n | awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }'
}

# libvirt: a daemon that knows nothing of the machine's own.

start_libvirt() {
    mkdir -p "$run/libvirt/pages"
    cat > "$run/libvirt/libvirtd.conf" <<CONF
unix_sock_dir = "$run/libvirt"
auth_unix_ro = "none"
auth_unix_rw = "none"
CONF
    cat > "$run/libvirt/qemu.conf" <<CONF
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
security_driver = "none"
stdio_handler = "file"
hugetlbfs_mount = "$run/libvirt/pages"
CONF
    # Made when Debian's libvirt is installed as a service.
    { cat /etc/passwd; echo "libvirt-qemu:x:0:0::/:"; } > "$run/libvirt/passwd"
    { cat /etc/group; echo "libvirt-qemu:x:0:"; } > "$run/libvirt/group"
    (unshare --mount sh -c "
         for dir in /etc /run /var/cache /var/lib /var/log; do
             mkdir -p \$dir/libvirt &&
                 mount -t tmpfs libvirt \$dir/libvirt || exit
         done
         for file in passwd group; do
             mount --bind $run/libvirt/\$file /etc/\$file || exit
         done
         mount -t hugetlbfs hugetlbfs $run/libvirt/pages &&
             cp $run/libvirt/qemu.conf /etc/libvirt &&
             exec libvirtd --config $run/libvirt/libvirtd.conf \
                 --pid-file $run/libvirtd.pid" > libvirtd.log 2>&1 &)
    on_exit "end TERM $run/libvirtd.pid libvirtd"
    wait_until 30 test -S "$run/libvirt/libvirt-sock"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

virsh() {
    command virsh -q -c "qemu:///system?socket=$run/libvirt/libvirt-sock" "$@"
}

# domain NAME FILE: the howto's domain XML, made to suit this test: the guest's
# name, address and memory, room for a second CPU as in boot(), what it boots,
# the paths, and a shell.
domain() {
    number=$(printf %02x "$(number_of "$1")")
    sed "s,<name>.*<,<name>$1<,
         s,type='kvm',type='$(accelerator | sed s/tcg/qemu/)' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0',
         s,<vcpu>1<,<vcpu current='1'>2<,; s,cpus='0',cpus='0-1',
         s,\([>']\)4096\([<']\),\1$guest_mb\2,
         s,/run/\(openvswitch/\)*,$run/,
         s,52:54:00:00:\(..\):..,52:54:00:00:\1:$number,
         s,<boot dev='hd'/>,<kernel>$guests/vmlinuz</kernel><initrd>$guests/initrd</initrd><cmdline>$(command_line "$1")</cmdline>,
         /<cpu mode/d; /<disk/,/<.disk>/d
         /<console/,/<.console>/d
         s,<serial type='pty'>,<serial type='file'><source path='$PWD/$1.log'/>,
         s,</devices>,<serial type='unix'><source mode='bind' path='$run/$1.shell'/><target port='1'/></serial></devices>,
         s,</domain>,<qemu:override>$(no_vectors net0)$(no_vectors net1)</qemu:override></domain>," "$abs_top_srcdir/Documentation/howto/guests/$2"
}

# Debian's libvirt does not know a QEMU as new as that of the other guests, and
# an older one can't emulate MSI-X here.
no_vectors() {      # DEVICE
    echo "<qemu:device alias='$1'><qemu:frontend><qemu:property name='vectors' type='unsigned' value='0'/></qemu:frontend></qemu:device>"
}

start_domain() {    # NAME FILE
    domain "$1" "$2" > "$1.xml"
    on_exit "virsh destroy $1 > /dev/null 2>&1"
    virsh create "$1.xml"
}
