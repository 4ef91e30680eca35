/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "vhost-hold.h"

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_mempool.h>
#include <rte_spinlock.h>

#include "rxtx-fixture.h"
#include "session-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-rxtx.h"
#include "vhost-session.h"
#include "vhost-stats.h"

/* A device whose data path takes 'n_room' packets, which are to come in
 * order. */
static struct vhost_device *device;
static struct vhost_counters counters;
static struct rte_mempool *mp;
static unsigned int n_room, n_made, n_sent, n_calls;

static uint16_t
fake_enqueue(struct vhost_device *d OVS_UNUSED,
             struct vhost_queue *q OVS_UNUSED, struct rte_mbuf **mbufs,
             uint16_t n, struct vhost_counters *c OVS_UNUSED)
{
    n_calls++;
    n = MIN(n, n_room);
    n_room -= n;
    for (uint16_t i = 0; i < n; i++) {
        CHECK_INT(mbufs[i]->pkt_len, n_sent++);
    }
    return n;
}

static const struct vhost_datapath fake_datapath = {
    .name = "fake", .enqueue = fake_enqueue,
};

static void
start_device(void)
{
    mp = make_mempool();
    device = xzalloc_cacheline(sizeof *device);
    device->datapath = &fake_datapath;
    vhost_counters_init(&counters, NULL);
}

static void
stop_device(void)
{
    CHECK_INT(rte_mempool_in_use_count(mp), 0);
    for (int i = 0; i < 2; i++) {
        vhost_hold_destroy(&device->txqs[i]);
    }
    free_cacheline(device);
    rte_mempool_free(mp);
}

/* Lets up to 'n' packets wait for queue 'i' and returns how many do. */
static unsigned int
add(unsigned int i, unsigned int n)
{
    struct rte_mbuf *mbufs[VHOST_HOLD_SIZE + 1];
    unsigned int n_added;

    CHECK(!n || !rte_pktmbuf_alloc_bulk(mp, mbufs, n));
    for (unsigned int j = 0; j < n; j++) {
        mbufs[j]->pkt_len = n_made + j;
    }
    n_added = vhost_hold_add(device, &device->txqs[i], mbufs, n, &counters);
    rte_pktmbuf_free_bulk(mbufs + n_added, n - n_added);
    n_made += n_added;
    return n_added;
}

/* Tries to send what waits for queue 'i', after the interval between two
 * attempts, and returns whether that is all. */
static bool
flush(unsigned int i)
{
    rte_delay_us_block(20);
    return vhost_hold_flush(device, &device->txqs[i], &counters);
}

static void
check_holding(int n)
{
    int n_holding;

    atomic_read_relaxed(&device->n_holding, &n_holding);
    CHECK_INT(n_holding, n);
}

static void
check_counter(const atomic_uint64_t *counter, unsigned int n)
{
    uint64_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint64_t *, counter), &value);
    CHECK_INT(value, n);
}

/* Packets stay in order and in number, round the end of the ring. */
static void
test_order(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start_device();

    /* Without room to wait there is nothing to do. */
    CHECK_INT(add(0, 1), 0);
    CHECK(flush(0));
    vhost_hold_drop(device, &device->txqs[0], &counters);
    vhost_hold_destroy(&device->txqs[0]);
    check_holding(0);
    CHECK_INT(n_calls, 0);

    vhost_hold_create(&device->txqs[0]);
    CHECK(flush(0));
    CHECK_INT(add(0, 0), 0);
    check_holding(0);
    CHECK_INT(add(0, 200), 200);
    check_holding(1);
    n_room = 150;
    CHECK(!flush(0));
    CHECK_INT(n_sent, 150);
    CHECK_INT(add(0, 180), 180);
    CHECK_INT(add(0, 100), VHOST_HOLD_SIZE - 230);
    CHECK_INT(add(0, 1), 0);
    check_holding(1);

    /* What is there already stays when it is created again. */
    vhost_hold_create(&device->txqs[0]);
    n_room = 1000;
    CHECK(flush(0));
    CHECK_INT(n_sent, n_made);
    check_holding(0);
    check_counter(&counters.tx_held, n_made);
    check_counter(&counters.tx_held_drops, 0);

    CHECK_INT(add(0, VHOST_HOLD_SIZE + 1), VHOST_HOLD_SIZE);
    CHECK(flush(0));
    CHECK_INT(n_sent, n_made);
    stop_device();
}
VHOST_TEST(test_order, "hold-order", "packets that wait: order", TEST_DPDK);

/* They do not wait for ever, and are not tried again at once. */
static void
test_time(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_queue *q;
    struct vhost_hold *hold;

    start_device();
    q = &device->txqs[0];
    vhost_hold_create(q);
    hold = ovsrcu_get(struct vhost_hold *, &q->hold);

    /* An interval of 10 s. */
    CHECK_INT(add(0, 3), 3);
    stub_memory.tsc_multiplier = 1000000;
    CHECK(!flush(0));
    CHECK_INT(n_calls, 0);
    stub_memory.tsc_multiplier = 1;
    CHECK(!flush(0));
    CHECK_INT(n_calls, 1);

    /* As long as some get through, the others may wait. */
    hold->last_success -= 2 * rte_get_tsc_hz();
    n_room = 1;
    CHECK(!flush(0));
    CHECK_INT(n_sent, 1);
    CHECK(!flush(0));
    check_holding(1);
    hold->last_success -= rte_get_tsc_hz() / 1000 * VHOST_HOLD_TIME;
    CHECK(flush(0));
    CHECK_INT(n_sent, 1);
    check_counter(&counters.tx_held_drops, 2);
    check_holding(0);
    CHECK_INT(rte_mempool_in_use_count(mp), 0);

    /* Dropped on demand, which need not be counted. */
    CHECK_INT(add(0, 2), 2);
    vhost_hold_drop(device, q, NULL);
    check_counter(&counters.tx_held_drops, 2);
    CHECK_INT(add(0, 5), 5);
    vhost_hold_drop(device, q, &counters);
    vhost_hold_drop(device, q, &counters);
    check_counter(&counters.tx_held_drops, 7);
    check_holding(0);
    stop_device();
}
VHOST_TEST(test_time, "hold-time", "packets that wait: time", TEST_DPDK);

/* All queues, except for one that another thread has at the moment. */
static void
test_flush_all(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start_device();
    vhost_hold_create(&device->txqs[0]);
    vhost_hold_create(&device->txqs[1]);
    CHECK_INT(add(0, 2), 2);
    check_holding(1);
    CHECK_INT(add(1, 3), 3);
    check_holding(2);
    n_room = 10;
    rte_delay_us_block(20);
    rte_spinlock_lock(&device->txqs[1].lock);
    vhost_hold_flush_all(device, &counters);
    CHECK_INT(n_sent, 2);
    check_holding(1);
    rte_spinlock_unlock(&device->txqs[1].lock);
    vhost_hold_flush_all(device, &counters);
    CHECK_INT(n_sent, 5);
    check_holding(0);
    CHECK(rte_spinlock_trylock(&device->txqs[0].lock));
    CHECK(rte_spinlock_trylock(&device->txqs[1].lock));
    stop_device();
}
VHOST_TEST(test_flush_all, "hold-flush-all",
           "packets that wait: all queues", TEST_DPDK);

/* Polls the port after 20 microseconds: packets that wait are looked at every
 * 10. */
static void
poll_for_held(void)
{
    uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 50000;

    while (rte_rdtsc() < end) {
        continue;
    }
    receive_n(0);
}

/* With an IOMMU, packets wait for the translation of addresses. */
static void
test_hold(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_tx_params params = { .port = "vhu0", .mtu = 1500 };
    struct dp_packet_batch batch;

    start_port(1, 0);
    params.counters = &port->counters;
    guest_set_room(vid, 0, 0);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 0);

    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    guest_start(vid, 1);

    /* They stay in their order, with those that come later. */
    guest_set_room(vid, 0, 2);
    send_n(0, 5, 60);
    check_received(0, 2, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 3);
    guest_set_room(vid, 0, 1);
    poll_for_held();
    check_received(0, 1, 60);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4);
    guest_set_room(vid, 0, 10);
    poll_for_held();
    check_received(0, 3, 60);
    send_n(0, 1, 90);
    check_received(0, 1, 90);
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4);
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), 0);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1);

    /* There is room for so many... */
    guest_set_room(vid, 0, 0);
    for (int i = 0; i < 9; i++) {
        send_n(0, 32, 60);
    }
    CHECK_INT(counter_of(netdev, "ovs_tx_held"), 4 + VHOST_HOLD_SIZE);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1 + 32);

    /* ...and for so long. */
    stub_memory.tsc_divisor = 100000;
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), VHOST_HOLD_SIZE);
    stub_memory.tsc_divisor = 1;
    guest_set_room(vid, 0, 10);
    send_n(0, 1, 70);
    check_received(0, 1, 70);

    /* What waits when the guest stops is dropped and counted.  A thread that
     * was about to send then has its packets wait no longer. */
    guest_set_room(vid, 0, 0);
    send_n(0, 3, 60);
    device = vhost_session_device(port->session);
    guest_stop(vid);
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), VHOST_HOLD_SIZE + 3);
    params.mp = port->mp;
    dp_packet_batch_init_packet(&batch, make_packet(60));
    vhost_tx_burst(device, &device->txqs[0], &params, batch.packets,
                   dp_packet_batch_size(&batch));
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 1 + 32 + 1);
    CHECK_INT(rte_mempool_in_use_count(port->mp), 0);
    guest_start(vid, 1);

    /* What waits when the port goes away is given back. */
    send_n(0, 3, 60);
    CHECK_INT(rte_mempool_in_use_count(port->mp), 3);
    close_port();
}
VHOST_TEST(test_hold, "rxtx-hold",
           "packets: waiting for an address", TEST_DPDK);
