/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <string.h>

#include <rte_mbuf.h>

#include "netdev-provider.h"
#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-session.h"
#include "vhost-tally.h"

/* Exchanges 'n' packets of 100 bytes in each direction on queue pair
 * 'pair'. */
static void
exchange(const struct vhost_session *session, unsigned int pair, int n)
{
    static struct rte_mempool *mp;
    struct vhost_device *device = vhost_session_device(session);
    const struct vhost_datapath *datapath = device->datapath;

    if (!mp) {
        mp = make_mempool();
    }
    for (int i = 0; i < n; i++) {
        static const char data[100];
        struct rte_mbuf *mbuf;

        guest_send(device->vid, 2 * pair + 1, data, sizeof data);
        CHECK_INT(datapath->n_pending(device, &device->rxqs[pair]), 1);
        CHECK_INT(datapath->dequeue(device, &device->rxqs[pair], mp, &mbuf,
                                    1, NULL), 1);
        CHECK_INT(datapath->enqueue(device, &device->txqs[pair], &mbuf, 1,
                                    NULL), 1);
        rte_pktmbuf_free(mbuf);
        guest_packet_free(guest_receive(device->vid, 2 * pair));
    }
}

static void
check_stats(struct vhost_session *session, long long int n)
{
    struct vhost_vring_stats rx, tx;

    memset(&rx, 0, sizeof rx);
    memset(&tx, 0, sizeof tx);
    vhost_tally_add_sums(vhost_session_tally(session), &rx, &tx);
    CHECK_INT(rx.good_packets, n);
    CHECK_INT(tx.good_packets, n);
    CHECK_INT(rx.good_bytes, n * 100);
    CHECK_INT(tx.size_65_127_packets, n);
    CHECK_INT(tx.size_128_255_packets, 0);
}

static void
check_custom_stats(struct vhost_session *session, int n_vrings)
{
    struct netdev_custom_stats custom = { .size = 0 };

    vhost_tally_add_vrings(vhost_session_tally(session), &custom);
    CHECK_INT(custom.size, n_vrings * VHOST_N_VRING_STATS);
    netdev_free_custom_stats_counters(&custom);
}

static void
test_stats(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid;

    check_stats(session, 0);
    check_custom_stats(session, 0);

    vid = connect_guest(session, 2);
    exchange(session, 0, 3);
    check_stats(session, 3);
    check_custom_stats(session, 4);
    exchange(session, 1, 2);
    check_stats(session, 5);
    check_stats(session, 5);

    /* A guest that grows. */
    guest_start(vid, 3);
    exchange(session, 2, 1);
    check_stats(session, 6);
    check_custom_stats(session, 6);

    /* Restart: nothing is lost, nothing counts twice. */
    guest_stop(vid);
    CHECK(!vhost_session_device(session));
    check_stats(session, 6);
    check_custom_stats(session, 0);
    guest_start(vid, 2);
    check_stats(session, 6);
    exchange(session, 0, 1);
    check_stats(session, 7);

    /* The library does not always know. */
    exchange(session, 0, 1);
    stub_vhost.fail_stats = true;
    check_stats(session, 7);
    check_custom_stats(session, 6);
    stub_vhost.fail_stats = false;
    check_stats(session, 8);

    /* Even if nobody asks between: what the guest did last counts. */
    exchange(session, 1, 1);
    guest_disconnect(vid);
    check_stats(session, 9);
    check_custom_stats(session, 0);
    vid = connect_guest(session, 1);
    check_stats(session, 9);
    exchange(session, 0, 1);
    check_stats(session, 10);

    /* A virtqueue that moves cannot be asked, nor reset when the device
     * stops: it must not count twice after that. */
    guest_move_vring(vid, 0);
    guest_move_vring(vid, 1);
    check_stats(session, 10);
    guest_stop(vid);
    check_stats(session, 10);
    guest_disconnect(guest_connect(vhost_session_path(session)));
    check_stats(session, 10);
    guest_start(vid, 1);
    check_stats(session, 10);
    exchange(session, 0, 1);
    check_stats(session, 11);

    /* Nor may it be lost when another guest takes over. */
    guest_move_vring(vid, 0);
    guest_move_vring(vid, 1);
    connect_guest(session, 1);
    guest_disconnect(vid);
    CHECK(vhost_session_device(session));
    check_stats(session, 11);

    close_last_session(session);
}
VHOST_TEST(test_stats, "session-stats", "session: statistics", TEST_DPDK);
