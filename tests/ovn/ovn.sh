# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of OVN's tests, beside those of guests.sh and system.sh.
#
# There are two chassis.  "hv1" is the switch of system.sh, "hv2" the second
# one of guests.sh: what runs there is run by second().  The cable between them
# carries Geneve packets.  Another cable, "control", connects the second one's
# ovn-controller with OVN's databases, which are in the namespace of the first.
#
# The guests "a" and "b" run on hv1, "c" and "d" on hv2.  "d" is on the logical
# switch net1, the others on net0.  They have ports vm0 to vm3 and the
# addresses that OVN tells them; see as_in_howto().
#
# What ovn-setup has made is in $ovn.

ovn=$abs_top_builddir/ovn
PATH=$ovn/usr/bin:$PATH
# Two switches and four guests.
guest_mb=128

ovn_can_run() {
    test -x "$ovn/usr/bin/ovn-controller" ||
        { echo "needs Debian's packages of OVN"; return 1; }
}

ovn_env() {
    vhost_env && OVN_RUNDIR=$run && export OVN_RUNDIR
}

start_both_switches() { # [COLUMN:KEY=VALUE...]
    set -- other_config:pmd-maxsleep=100 \
        other_config:dpdk-socket-mem="$(per_node 128)" "$@"
    start_switch "$@" && start_second_switch "$@"
}

# The databases and ovn-northd.
start_central() {
    local name
    for name in nb sb; do
        ovsdb-tool create ovn$name.db "$ovn/usr/share/ovn/ovn-$name.ovsschema"
    done
    in_netns ovsdb-server --detach --no-chdir -vconsole:off \
        --pidfile="$run/central.pid" --unixctl="$run/central.ctl" \
        --log-file=central.log --remote="punix:$run/ovnnb_db.sock" \
        --remote="punix:$run/ovnsb_db.sock" \
        --remote=db:OVN_Southbound,SB_Global,connections \
        ovnnb.db ovnsb.db || return 1
    on_exit "end TERM $run/central.pid ovsdb-server"
    ovn-nbctl init && ovn-sbctl init || return 1
    in_netns ovn-northd --detach --no-chdir -vconsole:off \
        --pidfile="$run/northd.pid" --unixctl="$run/northd.ctl" \
        --log-file=ovn-northd.log --ovnnb-db="unix:$run/ovnnb_db.sock" \
        --ovnsb-db="unix:$run/ovnsb_db.sock" || return 1
    on_exit "end TERM $run/northd.pid ovn-northd"
    ip link add control netns "$netns" type veth \
        peer name control netns "$netns-2" &&
        in_netns ip address add 192.0.2.1/24 dev control &&
        second in_netns ip address add 192.0.2.2/24 dev control &&
        in_netns ip link set lo up && in_netns ip link set control up &&
        second in_netns ip link set control up &&
        as_in_howto ovn-central
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# Makes a chassis of a switch.
start_chassis() {
    ovs-vsctl del-br br0 &&
        as_in_howto ovn-underlay && as_in_howto ovn-chassis &&
        start_controller
}

start_controller() {
    OVN_RUNDIR=$run in_netns ovn-controller --detach --no-chdir \
        -vconsole:off --pidfile --log-file="$PWD/ovn-controller.log" \
        "unix:$run/db.sock" || return 1
    on_exit "end TERM $run/ovn-controller.pid ovn-controller"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# It is away for two seconds.  What it leaves behind depends on how it ends:
# "exit", "exit --restart", or "kill".
restart_controller() {  # HOW...
    local pid
    pid=$(cat "$run/ovn-controller.pid")
    case $1 in
        kill) end KILL "$run/ovn-controller.pid" ovn-controller ;;
        *) ovn-appctl -t "$run/ovn-controller.$pid.ctl" "$@" ;;
    esac
    wait_until 10 is_gone "$pid" && sleep 2 && start_controller
}

restart_switch() {
    kill_switch && start_vswitchd
}

port_of() {         # GUEST
    echo "vm$(($(number_of "$1") - 1))"
}

address() {         # GUEST
    echo "192.168.$(net_of "$1").1$(number_of "$1")"
}

net_of() {          # GUEST
    case $1 in d) echo 1 ;; *) echo 0 ;; esac
}

on_chassis_of() {   # GUEST COMMAND...
    case $1 in
        a | b) shift; "$@" ;;
        *) shift; second "$@" ;;
    esac
}

# For boot(), with $nic_properties, from a comma on.
device_of() {       # GUEST
    local dir
    case $1 in a | b) dir='' ;; *) dir=second/ ;; esac
    echo "client:$dir$(port_of "$1").sock${nic_properties-}"
}

# The howto's properties of a device.
nic_properties_in_howto() {     # NAME
    howto "$1" | sed 's/.*mac=[0-9a-f:]*//'
}

# as_in_howto NAME [GUEST]: executes the howto's commands; it says them for the
# first chassis, and for the guest a.
as_in_howto() {
    local commands
    commands=$(howto "$1" | sed "s/^ip /in_netns &/; s/\<eth1\>/cable/
                                 $(test "${run##*/}" = second && echo "
                                     s/hv1/hv2/; s/198.51.100.1/198.51.100.2/")
                                 $(test $# = 1 || in_place_of_a "$2")")
    test -n "$commands" && eval "$commands"
}

in_place_of_a() {   # GUEST
    local n net
    n=$(number_of "$1")
    net=$(net_of "$1")
    echo "s/\<vm0/$(port_of "$1")/g; s/:01\>/:0$n/g; s/net0/net$net/
          s/192.168.0.11/$(address "$1")/g; s/192.168.0/192.168.$net/"
}

add_logical_port() {    # GUEST
    as_in_howto ovn-logical-port "$1"
}

attach() {          # GUEST
    on_chassis_of "$1" as_in_howto ovn-port "$1"
}

wait_for_port() {   # GUEST
    as_in_howto ovn-up "$1" &&
        test "$(ovn-nbctl lsp-get-up "$(port_of "$1")")" = up
}

# Has the guest get its address and MTU, and only these.
dhcp() {            # GUEST
    in_guest "$1" '
        ip address flush dev eth0
        cat > /tmp/dhcp <<SCRIPT
#!/bin/sh
[ \$1 = bound ] || exit 0
ip address add \$ip/\$mask dev \$interface
ip link set \$interface mtu \$mtu
ip route add default via \$router
SCRIPT
        chmod +x /tmp/dhcp
        udhcpc -i eth0 -n -q -t 10 -T 1 -O mtu -s /tmp/dhcp
        ip address show dev eth0; ip route' > "$1.dhcp"
    cat "$1.dhcp"
    grep -q " mtu 1442 " "$1.dhcp" &&
        grep -q "inet $(address "$1")/24 " "$1.dhcp" &&
        grep -q "default via 192.168.$(net_of "$1").1 " "$1.dhcp"
}

# The switch drops what it sends into a tunnel until it has the other chassis'
# MAC address.
reaches() {         # FROM TO
    wait_until 60 in_guest "$1" "ping -q -c 1 -W 1 $(address "$2")"
}

# A nc of busybox's ends a connection from its side at the end of its input, so
# one that listens gets some that has none.

# answers FROM TO PORT: does TO, which listens there, get what FROM sends?
answers() {
    in_guest "$2" "sleep 999 | nc -l -p $3 > heard & echo \$! > listener"
    in_guest "$1" "echo hello | timeout 10 nc -w 5 $(address "$2") $3"
    in_guest "$2" 'kill $(cat listener); cat heard' | grep hello
}

# hold_connection FROM TO: opens a TCP connection, and says something.
hold_connection() {
    in_guest "$2" 'sleep 999 | nc -l -p 5201 > held &'
    in_guest "$1" "rm -f go; { echo hello; until [ -e go ]; do sleep 0.1; done
                     echo again; } | nc $(address "$2") 5201 &"
    wait_until 30 in_guest "$2" 'grep hello held'
}

# Says something more, on that connection.
use_connection() {  # FROM TO
    in_guest "$1" 'touch go'
    wait_until 60 in_guest "$2" 'grep again held'
}

# Has the switch packets that it sends to the other chassis?
uses_tunnel() {
    appctl dpctl/dump-flows | grep -q 'tnl_push(.*geneve'
}

# Where have the packets gone?
explain_ovn() {
    ovn-sbctl show
    for where in eval second; do
        $where ovs-vsctl show
        $where appctl dpif/show
        $where appctl tnl/neigh/show
        $where appctl ovs/route/show
        $where appctl dpctl/dump-flows -m
        $where appctl dpctl/dump-conntrack
    done
}
