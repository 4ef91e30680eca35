/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "dp-packet.h"
#include "netdev-provider.h"
#include "packets.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "unaligned.h"
#include "util.h"
#include "vhost-port.h"

static struct netdev *netdev;
static int vid;

/* Sends a frame of 'size' bytes with Ethernet type 'outer', behind which there
 * is 'inner' where that would be if 'outer' is a VLAN tag.  Returns whether
 * the guest gets it. */
static bool
is_sent(size_t size, uint16_t outer, uint16_t inner)
{
    long long int n_drops = counter_of(netdev, "ovs_tx_mtu_exceeded_drops");
    struct dp_packet *packet = make_packet(size);
    uint8_t *data = dp_packet_data(packet);
    struct dp_packet_batch batch;
    struct guest_packet *copy;
    bool sent;

    put_unaligned_be16((ovs_be16 *) (data + 12), htons(outer));
    put_unaligned_be16((ovs_be16 *) (data + 16), htons(inner));
    dp_packet_batch_init_packet(&batch, packet);
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
    copy = guest_receive(vid, 0);
    sent = copy != NULL;
    CHECK(!copy || copy->size == size);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"),
              n_drops + !sent);
    guest_packet_free(copy);
    return sent;
}

/* Frames may be as long as the MTU, with the tags that they have. */
static void
test_tags(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const int mtus[] = { 68, 1500, 9000, 9702 };

    netdev = open_client("vhu0", path_of("s0"));
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));
    for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
        int mtu = mtus[i];

        vhost_port_cast(netdev)->mtu = mtu;
        CHECK(is_sent(mtu + 14, ETH_TYPE_IP, 0));
        CHECK(is_sent(mtu + 18, ETH_TYPE_VLAN_8021Q, ETH_TYPE_IP));
        CHECK(is_sent(mtu + 22, ETH_TYPE_VLAN_8021AD, ETH_TYPE_VLAN_8021Q));
        CHECK(is_sent(mtu + 22, ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021Q));
        CHECK(is_sent(mtu + 19, ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD));

        /* As ever: room for a tag, or for a CRC, whatever is there. */
        CHECK(is_sent(mtu + 18, ETH_TYPE_IP, 0));
        CHECK(!is_sent(mtu + 19, ETH_TYPE_IP, 0));
        CHECK(!is_sent(mtu + 22, ETH_TYPE_IP, ETH_TYPE_VLAN_8021Q));
        CHECK(!is_sent(mtu + 19, ETH_TYPE_VLAN_8021Q, ETH_TYPE_IP));
        CHECK(!is_sent(mtu + 22, ETH_TYPE_VLAN_8021AD, ETH_TYPE_IP));
        CHECK(!is_sent(mtu + 23, ETH_TYPE_VLAN_8021AD, ETH_TYPE_VLAN_8021Q));
    }
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}
VHOST_TEST(test_tags, "mtu-tags", "packets: MTU and VLAN tags", TEST_DPDK);
