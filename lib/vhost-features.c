/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-features.h"

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <rte_vhost.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

/* Features that a port may cease to offer, and what makes it offer them. */
static const struct {
    unsigned int feature;
    const char *option;
} revocable[] = {
    { VIRTIO_F_ACCESS_PLATFORM, "options:vhost-iommu-support=true" },
    { VIRTIO_F_IN_ORDER, "options:dq-zero-copy=false" },
};

/* Returns what is to be said of a guest from whom the features 'withdrawn' of
 * virtio were withdrawn, or NULL if there is nothing to be said.  The caller
 * must free it. */
char *
vhost_features_withdrawal(uint64_t withdrawn)
{
    struct ds names = DS_EMPTY_INITIALIZER;
    struct ds options = DS_EMPTY_INITIALIZER;
    char *message = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(revocable); i++) {
        if (withdrawn & UINT64_C(1) << revocable[i].feature) {
            ds_put_format(&names, "%s%s", names.length ? ", " : "",
                          vhost_virtio_features[revocable[i].feature]);
            ds_put_format(&options, "%s%s", options.length ? " " : "",
                          revocable[i].option);
        }
    }
    if (names.length) {
        message = xasprintf("%s: the port no longer offers what its guest "
                            "negotiated, so that QEMU refuses to come back; "
                            "reset the guest, or offer it again: %s",
                            ds_cstr(&names), ds_cstr(&options));
    }
    ds_destroy(&names);
    ds_destroy(&options);
    return message;
}

const char *const vhost_virtio_features[VHOST_N_FEATURES] = {
    [0] = "csum",
    [1] = "guest_csum",
    [2] = "ctrl_guest_offloads",
    [3] = "mtu",
    [5] = "mac",
    [6] = "gso",
    [7] = "guest_tso4",
    [8] = "guest_tso6",
    [9] = "guest_ecn",
    [10] = "guest_ufo",
    [11] = "host_tso4",
    [12] = "host_tso6",
    [13] = "host_ecn",
    [14] = "host_ufo",
    [15] = "mrg_rxbuf",
    [16] = "status",
    [17] = "ctrl_vq",
    [18] = "ctrl_rx",
    [19] = "ctrl_vlan",
    [20] = "ctrl_rx_extra",
    [21] = "guest_announce",
    [22] = "mq",
    [23] = "ctrl_mac_addr",
    [24] = "notify_on_empty",
    [26] = "log_all",
    [27] = "any_layout",
    [28] = "indirect_desc",
    [29] = "event_idx",
    [30] = "protocol_features",
    [32] = "version_1",
    [33] = "access_platform",
    [34] = "ring_packed",
    [35] = "in_order",
    [36] = "order_platform",
    [37] = "sr_iov",
    [38] = "notification_data",
    [39] = "notif_config_data",
    [40] = "ring_reset",
    [53] = "notf_coal",
    [54] = "guest_uso4",
    [55] = "guest_uso6",
    [56] = "host_uso",
    [57] = "hash_report",
    [59] = "guest_hdrlen",
    [60] = "rss",
    [61] = "rsc_ext",
    [62] = "standby",
    [63] = "speed_duplex",
};

const char *const vhost_protocol_features[VHOST_N_FEATURES] = {
    [0] = "mq",
    [1] = "log_shmfd",
    [2] = "rarp",
    [3] = "reply_ack",
    [4] = "mtu",
    [5] = "backend_req",
    [6] = "cross_endian",
    [7] = "crypto_session",
    [8] = "pagefault",
    [9] = "config",
    [10] = "backend_send_fd",
    [11] = "host_notifier",
    [12] = "inflight_shmfd",
    [13] = "reset_device",
    [14] = "inband_notifications",
    [15] = "configure_mem_slots",
    [16] = "status",
    [17] = "xen_mmap",
};

/* What librte_vhost offered when it was looked at last, in DPDK 22.11 to
 * 25.11.  What it offers since then needs a look before guests get it: it may
 * come with messages that change memory or rings, such as ADD_MEM_REG of
 * "configure_mem_slots", which DPDK 26.07 offers. */
const uint64_t vhost_supported_features = (
    UINT64_C(1) << VIRTIO_NET_F_CSUM
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM
    | UINT64_C(1) << VIRTIO_NET_F_MTU
    | UINT64_C(1) << VIRTIO_NET_F_GSO
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_ECN
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_UFO
    | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4
    | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6
    | UINT64_C(1) << VIRTIO_NET_F_HOST_ECN
    | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO
    | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF
    | UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ
    | UINT64_C(1) << VIRTIO_NET_F_CTRL_RX
    | UINT64_C(1) << VIRTIO_NET_F_GUEST_ANNOUNCE
    | UINT64_C(1) << VIRTIO_NET_F_MQ
    | UINT64_C(1) << VHOST_F_LOG_ALL
    | UINT64_C(1) << VIRTIO_F_ANY_LAYOUT
    | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC
    | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX
    | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES
    | UINT64_C(1) << VIRTIO_F_VERSION_1
    | UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM
    | UINT64_C(1) << VIRTIO_F_RING_PACKED
    | UINT64_C(1) << VIRTIO_F_IN_ORDER);

/* Bits 5 and 10 have other names in some releases of DPDK.
 *
 * Sessions of vhost-crypto, which it offers for network devices, too, are not
 * here: their messages are for devices of another kind. */
const uint64_t vhost_supported_protocol_features = (
    UINT64_C(1) << VHOST_USER_PROTOCOL_F_MQ
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_LOG_SHMFD
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_RARP
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_REPLY_ACK
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_NET_MTU
    | UINT64_C(1) << 5          /* BACKEND_REQ. */
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_PAGEFAULT
    | UINT64_C(1) << 10         /* BACKEND_SEND_FD. */
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_HOST_NOTIFIER
    | UINT64_C(1) << VHOST_USER_PROTOCOL_F_STATUS);
