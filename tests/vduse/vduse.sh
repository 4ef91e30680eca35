# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the VDUSE tests, beside those of system.sh.
#
# The tests have a virtual machine for themselves, in which the kernel has the
# modules vduse and virtio_vdpa.  A guest is a network namespace with the
# kernel's own virtio-net device.

# Under emulation all of it is slow.
: "${VHOST_PATIENCE:=20}"

# Has Open vSwitch's tools not print that the machine is slow.
silence_tools() {
    local tool
    mkdir bin
    for tool in ovs-appctl ovs-ofctl ovs-vsctl; do
        printf '#!/bin/sh\nexec "%s" -vconsole:off "$@"\n' \
            "$(command -v $tool)" > bin/$tool
        chmod +x bin/$tool
    done
    PATH=$PWD/bin:$PATH
}

# Fails, with the reason on stdout, if these tests cannot run here.
can_run_vduse() {
    local tool
    test -d /run/lab || { echo "needs DPDK 24.11"; return 1; }
    test -e /dev/vduse/control ||
        { echo "needs a kernel with VDUSE"; return 1; }
    for tool in ethtool ip ping vdpa; do
        command -v $tool > /dev/null || { echo "needs $tool"; return 1; }
    done
}

# add_device PORT [KEY=VALUE...]: a port with a device of its name.
add_device() {
    local name=$1
    shift
    add_port "$name" client options:vhost-server-path="/dev/vduse/$name" "$@"
}

put_on_bus() {      # PORT
    vdpa dev add name "$1" mgmtdev vduse &&
        on_exit "vdpa dev del $1 2> /dev/null || :"
}

# add_driver PORT ADDRESS: puts its device on the vDPA bus, where the kernel's
# driver takes it, and the driver's eth0 in a namespace of the port's name.
add_driver() {
    local net
    put_on_bus "$1" || return 1
    test -e "/run/netns/$1" ||
        { ip netns add "$1" && on_exit "ip netns del $1"; } || return 1
    wait_until 10 has_net "$1" || return 1
    net=$(echo "/sys/bus/vdpa/devices/$1"/virtio*/net/*)
    # The kernel would choose another MAC address each time.
    ip link set "${net##*/}" netns "$1" name eth0 \
        address "02:00:00:00:00:0${1#v}" &&
        ip -n "$1" address add "$2/24" dev eth0 &&
        ip -n "$1" link set eth0 up
}

has_net() {         # PORT
    test -n "$(ls "/sys/bus/vdpa/devices/$1"/virtio*/net 2> /dev/null)"
}

has_tso() {         # PORT
    ip netns exec "$1" ethtool -k eth0 |
        grep -q "tcp-segmentation-offload: on"
}

del_driver() {      # PORT
    vdpa dev del "$1"
}

# expose PORT: puts its device on the vDPA bus, for processes, as $run/PORT.
expose() {
    local drivers=/sys/bus/vdpa/drivers node
    put_on_bus "$1" || return 1
    test ! -e "$drivers/virtio_vdpa/$1" ||
        echo "$1" > $drivers/virtio_vdpa/unbind || return 1
    test -e "$drivers/vhost_vdpa/$1" ||
        echo "$1" > $drivers/vhost_vdpa/bind || return 1
    node=$(echo "/sys/bus/vdpa/devices/$1"/vhost-vdpa-*)
    # shellcheck disable=SC2154
    ln -s "/dev/${node##*/}" "$run/$1"
}

# pings PORT ADDRESS: three pings are answered, however late.
pings() {
    for _ in 1 2 3; do
        ip netns exec "$1" ping -q -c 1 -W 20 "$2" || return 1
    done
}

# The switch ends at once, and another one starts on the same database, without
# flows.
kill_and_restart() {
    kill -9 "$(cat vswitchd.pid)" &&
        wait_until 10 is_gone "$(cat vswitchd.pid)" &&
        start_vswitchd && ovs-ofctl add-flow br0 actions=normal
}

# has_error PORT TEXT: in its status?
has_error() {
    status "$1" config_error > error
    grep -F "$2" error
}
