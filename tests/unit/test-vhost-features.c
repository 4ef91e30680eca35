/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-features.h"

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_vhost.h>

#include "test-vhost.h"
#include "util.h"

static void
check_distinct(const char *const names[])
{
    for (int i = 0; i < VHOST_N_FEATURES; i++) {
        for (int j = 0; names[i] && j < i; j++) {
            CHECK(!names[j] || strcmp(names[i], names[j]));
        }
    }
}

/* The names are at the bits that the kernel and DPDK give them. */
static void
test_features(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *const *names = vhost_virtio_features;

    CHECK_STR(names[VIRTIO_NET_F_CSUM], "csum");
    CHECK_STR(names[VIRTIO_NET_F_GUEST_CSUM], "guest_csum");
    CHECK_STR(names[VIRTIO_NET_F_MTU], "mtu");
    CHECK_STR(names[VIRTIO_NET_F_MAC], "mac");
    CHECK_STR(names[VIRTIO_NET_F_GUEST_TSO4], "guest_tso4");
    CHECK_STR(names[VIRTIO_NET_F_HOST_UFO], "host_ufo");
    CHECK_STR(names[VIRTIO_NET_F_MRG_RXBUF], "mrg_rxbuf");
    CHECK_STR(names[VIRTIO_NET_F_STATUS], "status");
    CHECK_STR(names[VIRTIO_NET_F_CTRL_VLAN], "ctrl_vlan");
    CHECK_STR(names[VIRTIO_NET_F_GUEST_ANNOUNCE], "guest_announce");
    CHECK_STR(names[VIRTIO_NET_F_MQ], "mq");
    CHECK_STR(names[VIRTIO_NET_F_CTRL_MAC_ADDR], "ctrl_mac_addr");
    CHECK_STR(names[VIRTIO_F_ANY_LAYOUT], "any_layout");
    CHECK_STR(names[VHOST_USER_F_PROTOCOL_FEATURES], "protocol_features");
    CHECK_STR(names[VIRTIO_F_VERSION_1], "version_1");
    CHECK_STR(names[VIRTIO_F_ACCESS_PLATFORM], "access_platform");
    CHECK_STR(names[VIRTIO_F_RING_PACKED], "ring_packed");
    CHECK_STR(names[VIRTIO_F_ORDER_PLATFORM], "order_platform");
    CHECK_STR(names[VIRTIO_F_SR_IOV], "sr_iov");
    CHECK_STR(names[VIRTIO_NET_F_RSS], "rss");
    CHECK_STR(names[VIRTIO_NET_F_STANDBY], "standby");
    CHECK_STR(names[VIRTIO_NET_F_SPEED_DUPLEX], "speed_duplex");
    CHECK_STR(names[45], NULL);
    check_distinct(names);

    names = vhost_protocol_features;
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_MQ], "mq");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_LOG_SHMFD], "log_shmfd");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_RARP], "rarp");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_REPLY_ACK], "reply_ack");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_NET_MTU], "mtu");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_PAGEFAULT], "pagefault");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_CONFIG], "config");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_HOST_NOTIFIER], "host_notifier");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD], "inflight_shmfd");
    CHECK_STR(names[VHOST_USER_PROTOCOL_F_STATUS], "status");
    CHECK_STR(names[VHOST_N_FEATURES - 1], NULL);
    check_distinct(names);
}
VHOST_TEST(test_features, "features", "features: names of bits", 0);
