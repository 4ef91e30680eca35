# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# The commands of numa.rst, which shows them by the names in brackets.  "make
# check-numa" runs them.

# [ports]
ovs-vsctl set Open_vSwitch . other_config:pmd-cpu-mask=0xa
for i in 0 1; do
    ovs-vsctl add-port br0 dpdkvhostuser$i \
        -- set Interface dpdkvhostuser$i type=dpdkvhostuserclient \
        options:vhost-server-path=/tmp/vhost$i.sock
done
# [before]
ovs-appctl dpif-netdev/pmd-rxq-show
# [guest 0]
numactl --cpunodebind=0 --membind=0 dpdk-testpmd --lcores='(0,1)@0' \
    --no-pci --in-memory --single-file-segments --socket-mem=64,0 \
    --vdev=net_virtio_user0,path=/tmp/vhost0.sock,server=1 \
    -- --total-num-mbufs=2048 --forward-mode=rxonly --stats-period=60 &
# [guest 1]
numactl --cpunodebind=1 --membind=1 dpdk-testpmd --lcores='(0,1)@2' \
    --no-pci --in-memory --single-file-segments --socket-mem=0,64 \
    --vdev=net_virtio_user0,path=/tmp/vhost1.sock,server=1 \
    -- --total-num-mbufs=2048 --forward-mode=rxonly --stats-period=60 &
# [after]
ovs-appctl dpif-netdev/pmd-rxq-show
ovs-vsctl get Interface dpdkvhostuser1 status:numa status:mempool_numa \
    status:placement
# [show]
ovs-appctl netdev-vhost/show dpdkvhostuser1
# [map]
ovs-vhost-map
ovs-vhost-map --output=map.svg
# [spoil]
ovs-vsctl set Open_vSwitch . other_config:pmd-cpu-mask=0x2
# [fix]
ovs-vsctl set Open_vSwitch . other_config:pmd-cpu-mask=0x6
# [end]
