#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: numa-guest-image.sh DIR
#
# Makes the kernel DIR/vmlinuz and the first file system DIR/initrd of the
# guests that "make check-numa-guests" starts.

set -eu
# shellcheck source=utilities/ovs-vhost-lib.sh
. "$(dirname "$0")/../../utilities/ovs-vhost-lib.sh"

# shellcheck disable=SC2317    # Called by make_image.
# The kernel makes $address and $peer of its arguments.
guest_init() {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
    insmod "$module"
done
ip link set eth0 up
ip address add "$address/24" dev eth0
echo "guest $address is up"
until ping -c 1 -W 1 "$peer" > /dev/null; do :; done
ping -c 20 -i 0.2 "$peer"
echo "ping has ended"
sleep 100000
INIT
}

images=$(realpath -m "$1")
[[ $images/initrd -nt ${BASH_SOURCE[0]} ]] || rm -f "$images/initrd"
log=$(mktemp -t numa-guest-image.XXXXXX)
trap 'rm "$log"' EXIT
need_packages "$log" busybox-static cpio kmod
PATH=$PATH:/usr/sbin:/sbin
step "$log" "Making the guests' image" \
    make_image linux-image-cloud-amd64 guest_init virtio_pci virtio_net
