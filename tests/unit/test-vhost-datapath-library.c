/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dp-packet.h"
#include "ovs-atomic.h"
#include "rxtx-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-session.h"

static atomic_bool moving;
static atomic_uint n_moved;

/* Sends what it receives, on one thread for both, as long as 'moving'. */
static void *
move_packets(void *arg OVS_UNUSED)
{
    struct vhost_device *device = vhost_session_device(port->session);
    struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
    bool go_on;

    do {
        uint16_t n = device->datapath->dequeue(
            device, &device->rxqs[0], port->mp, mbufs, NETDEV_MAX_BURST,
            &port->counters);

        if (n) {
            unsigned int n_sent = device->datapath->enqueue(
                device, &device->txqs[0], mbufs, n, &port->counters);
            unsigned int n_before;

            atomic_add(&n_moved, n_sent, &n_before);
            rte_pktmbuf_free_bulk(mbufs, n);
        }
        atomic_read(&moving, &go_on);
    } while (go_on);
    return NULL;
}

/* With an IOMMU, no burst runs while translations change.  The stub counts
 * those that do. */
static void
test_translations(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    unsigned int n_before, n;
    pthread_t thread;

    start_port(1, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    stub_vhost.endless = true;
    atomic_store(&moving, true);
    CHECK(!pthread_create(&thread, NULL, move_packets, NULL));
    for (int i = 0; i < 1000; i++) {
        guest_translate(vid, 0, 0);
        rte_delay_us_block(20);
    }
    /* They go on after the last. */
    atomic_read(&n_moved, &n_before);
    do {
        rte_delay_us_block(20);
        atomic_read(&n_moved, &n);
    } while (n - n_before < 1000);
    atomic_store(&moving, false);
    CHECK(!pthread_join(thread, NULL));
    stub_vhost.endless = false;
    finish_port();
}
VHOST_TEST(test_translations, "rxtx-translations",
           "packets: addresses that change", TEST_DPDK);

/* Open vSwitch may take the size of segments alone for a request. */
static void
test_sizes_alone(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_device *device;
    struct rte_mbuf *mbuf;

    start_port(1, UINT64_C(1) << VIRTIO_NET_F_HOST_ECN);
    device = vhost_session_device(port->session);
    stub_vhost.segment_size = 1;
    guest_send_n(1, 60);
    CHECK_INT(device->datapath->dequeue(device, &device->rxqs[0], port->mp,
                                        &mbuf, 1, &port->counters), 1);
    CHECK_INT(mbuf->tso_segsz, 0);
    rte_pktmbuf_free(mbuf);
    finish_port();
}
VHOST_TEST(test_sizes_alone, "rxtx-sizes-alone",
           "packets: sizes of segments, not asked for", TEST_DPDK);
