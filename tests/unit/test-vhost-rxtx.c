/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_spinlock.h>

#include "coverage.h"
#include "dp-packet.h"
#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "packets.h"
#include "rxtx-fixture.h"
#include "smap.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-mempool.h"
#include "vhost-port.h"
#include "vhost-rxtx.h"
#include "vhost-session.h"

static void
test_receive(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;
    struct dp_packet *packet, *expected;
    enum netdev_flags flags;
    int qfill = -1;

    start_port(1, 0);
    CHECK(netdev_rxq_enabled(rxq));
    receive_into(&batch, 0, &qfill);
    CHECK_INT(qfill, -1);

    /* A packet comes as it was sent, ready for the datapath. */
    guest_send_n(3, 1400);
    receive_into(&batch, 3, &qfill);
    CHECK_INT(qfill, 0);
    expected = make_packet(1400);
    DP_PACKET_BATCH_FOR_EACH (i, packet, &batch) {
        CHECK_INT(packet->source, DPBUF_DPDK);
        CHECK_INT(dp_packet_size(packet), 1400);
        *(uint8_t *) dp_packet_data(expected) = i & 0xfe;
        CHECK(!memcmp(dp_packet_data(packet), dp_packet_data(expected),
                      1400));
        CHECK_INT(packet->packet_type, htonl(PT_ETH));
        CHECK_INT(packet->cutlen, 0);
    }
    dp_packet_delete(expected);
    dp_packet_delete_batch(&batch, true);

    /* A full burst, and what waits behind it. */
    guest_send_n(50, 60);
    receive_into(&batch, NETDEV_MAX_BURST, &qfill);
    CHECK_INT(qfill, 50 - NETDEV_MAX_BURST);
    dp_packet_delete_batch(&batch, true);
    receive_into(&batch, 50 - NETDEV_MAX_BURST, &qfill);
    CHECK_INT(qfill, 0);
    dp_packet_delete_batch(&batch, true);

    /* The guest is told once that it need not notify, and again when it has
     * set the queue up anew. */
    CHECK_INT(stub_vhost.n_suppressions, 1);
    guest_set_vring(vid, 1, false);
    CHECK(!netdev_rxq_enabled(rxq));
    guest_set_vring(vid, 1, true);
    CHECK(netdev_rxq_enabled(rxq));
    receive_n(0);
    receive_n(0);
    CHECK_INT(stub_vhost.n_suppressions, 2);

    /* Down: what the guest sends stays in its ring. */
    guest_send_n(1, 60);
    CHECK_INT(vhost_port_update_flags(port, NETDEV_UP, 0, &flags), 0);
    receive_n(0);
    CHECK_INT(vhost_port_update_flags(port, 0, NETDEV_UP, &flags), 0);
    receive_n(1);

    /* Stopped, and gone. */
    guest_stop(vid);
    CHECK(!netdev_rxq_enabled(rxq));
    receive_n(0);
    guest_start(vid, 1);
    guest_send_n(1, 60);
    receive_n(1);
    finish_port();
}
VHOST_TEST(test_receive, "rxtx-receive", "packets: received", TEST_DPDK);

static void
test_receive_policed(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;

    start_port(1, 0);

    /* 80 kbit of burst: ten packets of 1000 bytes, Ethernet header not
     * counted. */
    CHECK_INT(netdev_set_policing(netdev, 1, 80, 0, 0), 0);
    guest_send_n(15, 1014);
    receive_n(10);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 5);

    /* Nothing passes, which is not the same as nothing came: the thread was
     * not idle. */
    guest_send_n(2, 1014);
    dp_packet_batch_init(&batch);
    CHECK_INT(netdev_rxq_recv(rxq, &batch, NULL), 0);
    CHECK_INT(dp_packet_batch_size(&batch), 0);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 7);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 0, 0), 0);
    guest_send_n(15, 1014);
    receive_n(15);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 7);

    /* A thousand packets, while the time stands still. */
    atomic_store_relaxed(&stub_memory.bucket_time, 1);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 1, 1), 0);
    for (int i = 0; i < 66; i++) {
        guest_send_n(15, 60);
        receive_n(15);
    }
    guest_send_n(15, 60);
    receive_n(10);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 12);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 0, 0), 0);
    guest_send_n(15, 60);
    receive_n(15);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 12);
    finish_port();
}
VHOST_TEST(test_receive_policed, "rxtx-receive-policed",
           "packets: received and policed", TEST_DPDK);

/* Leaves some hundred mbufs in the cache of another thread. */
static void *
fill_cache(void *aux OVS_UNUSED)
{
    struct rte_mbuf *mbufs[200];

    CHECK(!rte_thread_register());
    for (size_t i = 0; i < ARRAY_SIZE(mbufs); i++) {
        mbufs[i] = rte_pktmbuf_alloc(port->mp);
        CHECK(mbufs[i]);
    }
    rte_pktmbuf_free_bulk(mbufs, ARRAY_SIZE(mbufs));

    /* A thread that unregisters keeps them, too, until another one gets its
     * number. */
    rte_thread_unregister();
    return NULL;
}

static void
test_no_mbufs(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    pthread_t thread;

    start_port(1, 0);

    /* An empty queue is no event, however few mbufs there are. */
    hold_mbufs(1);
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_no_mbuf_events"), 0);

    guest_send_n(20, 60);
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_no_mbuf_events"), 1);
    CHECK_LOGGED("has no mbufs left; packets of the guest wait on queue 0");
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_no_mbuf_events"), 3);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 0);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);
    release_mbufs();
    receive_n(20);

    /* Mbufs in another thread's cache are of no use to this one. */
    CHECK(!pthread_create(&thread, NULL, fill_cache, NULL));
    CHECK(!pthread_join(thread, NULL));
    n_held = 0;
    held = xmalloc(port->pool->n_mbufs * sizeof *held);
    while ((held[n_held] = rte_pktmbuf_alloc(port->mp))) {
        n_held++;
    }
    CHECK(rte_mempool_avail_count(port->mp) > 2 * NETDEV_MAX_BURST);
    guest_send_n(20, 60);
    poll_in_vain();
    CHECK(counter_of(netdev, "ovs_rx_no_mbuf_events") > 3);
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 0);
    release_mbufs();
    receive_n(20);
    finish_port();
}
VHOST_TEST(test_no_mbufs, "rxtx-no-mbufs", "packets: no mbufs", TEST_DPDK);

static void
test_ring_fault(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    uint64_t seq;

    start_port(1, 0);
    /* A second without packets, although the ring has some. */
    guest_send_n(1, 60);
    guest_set_broken(vid, 1, true);
    poll_in_vain();
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 0);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);
    stub_memory.tsc_divisor = 100000;
    poll_in_vain();
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 1);
    CHECK_INT(counter_of(netdev, "ovs_rx_no_mbuf_events"), 0);
    CHECK_HAS(status_of(netdev, "ring_fault"), "descriptors");
    seq = netdev_get_change_seq(netdev);
    pass_time(1000);
    CHECK(netdev_get_change_seq(netdev) != seq);
    CHECK(!netdev_is_reconf_required(netdev));
    CHECK_LOGGED("vhu0: the guest's virtqueue 1 is unusable: its descriptors "
                 "are invalid; it is stopped until");

    /* It recovers, and may fail again. */
    guest_set_broken(vid, 1, false);
    receive_n(1);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);
    guest_send_n(1, 60);
    guest_set_broken(vid, 1, true);
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 2);

    /* A guest that resets its device starts afresh. */
    guest_set_broken(vid, 1, false);
    guest_stop(vid);
    guest_start(vid, 1);
    CHECK_STR(status_of(netdev, "ring_fault"), NULL);
    receive_n(1);

    /* Of packed rings, librte_vhost does not know how much is in them. */
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED);
    guest_start(vid, 1);
    guest_send_n(1, 60);
    guest_set_broken(vid, 1, true);
    poll_in_vain();
    poll_in_vain();
    CHECK_INT(counter_of(netdev, "ovs_rx_ring_faults"), 2);
    finish_port();
}
VHOST_TEST(test_ring_fault, "rxtx-ring-fault",
           "packets: broken ring", TEST_DPDK);

static void
test_mtu(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;

    /* Ethernet header and a VLAN tag go on top of the MTU. */
    start_port(1, 0);
    send_n(0, 1, 1518);
    check_received(0, 1, 1518);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), 0);
    send_n(0, 3, 1519);
    check_received(0, 0, 0);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), 3);
    CHECK_LOGGED("vhu0: Too big size 1519 max_packet_len 1518");

    /* The rest of the batch is sent, in order. */
    dp_packet_batch_init(&batch);
    dp_packet_batch_add(&batch, make_mbuf(1519));
    dp_packet_batch_add(&batch, make_mbuf(64));
    dp_packet_batch_add(&batch, make_packet(2000));
    dp_packet_batch_add(&batch, make_packet(64));
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
    check_received(0, 2, 64);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), 5);

    CHECK_INT(netdev_set_mtu(netdev, 1000), 0);
    CHECK(reconfigure(netdev));
    send_n(0, 1, 1018);
    check_received(0, 1, 1018);
    send_n(0, 1, 1019);
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), 6);
    finish_port();
}
VHOST_TEST(test_mtu, "rxtx-mtu", "packets: MTU", TEST_DPDK);

static void
test_retries(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char *error;

    /* The guest takes four at a time: eight attempts of a burst. */
    start_port(1, 0);
    guest_set_burst(vid, 0, 4);
    send_n(0, NETDEV_MAX_BURST, 60);
    check_received(0, NETDEV_MAX_BURST, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);

    /* Three at a time: with eight retries, 27 go. */
    guest_set_burst(vid, 0, 3);
    send_n(0, NETDEV_MAX_BURST, 60);
    check_received(0, 27, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7 + 8);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 5);

    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "tx-retries-max", "0", NULL), 0);
    send_n(0, NETDEV_MAX_BURST, 60);
    check_received(0, 3, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7 + 8);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 5 + 29);
    CHECK_INT(set_options(netdev, &error, "vhost-server-path", path_of("s0"),
                          "tx-retries-max", "32", NULL), 0);
    guest_set_burst(vid, 0, 1);
    send_n(0, NETDEV_MAX_BURST, 60);
    check_received(0, NETDEV_MAX_BURST, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7 + 8 + 31);

    /* A ring that is full is not asked again. */
    guest_set_burst(vid, 0, NETDEV_MAX_BURST);
    guest_set_room(vid, 0, 0);
    send_n(0, 4, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7 + 8 + 31);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 5 + 29 + 4);
    guest_set_room(vid, 0, 5);
    send_n(0, 8, 60);
    check_received(0, 5, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_retries"), 7 + 8 + 31 + 1);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 5 + 29 + 4 + 3);
    finish_port();
}
VHOST_TEST(test_retries, "rxtx-retries", "packets: retries", TEST_DPDK);

/* Sends 'n' packets at once, more than a batch has before Open vSwitch 4.0.
 * Those whose number is a multiple of 'n_long' are too long for the MTU; every
 * other one has to be copied. */
static void
send_at_once(int n, int n_long)
{
    struct dp_packet **packets = xmalloc(n * sizeof *packets);
    struct vhost_device *device = vhost_session_device(port->session);
    const struct vhost_tx_params params = {
        .mp = port->mp,
        .qos = ovsrcu_get(struct vhost_qos *, &port->qos),
        .counters = &port->counters,
        .port = port->up.name,
        .mtu = port->mtu,
    };

    for (int i = 0; i < n; i++) {
        size_t size = n_long && !(i % n_long) ? 2000 : 1014;

        packets[i] = i % 2 ? make_mbuf(size) : make_packet(size);
        memcpy(dp_packet_data(packets[i]), &i, sizeof i);
    }
    vhost_tx_burst(device, &device->txqs[0], &params, packets, n);
    free(packets);
}

/* Checks that the guest got, of 'n' packets, the first 'n_passed' that are not
 * too long, in order. */
static void
check_got(int n, int n_long, int n_passed)
{
    for (int i = 0; i < n && n_passed; i++) {
        struct guest_packet *got;

        if (n_long && !(i % n_long)) {
            continue;
        }
        got = guest_receive(vid, 0);
        CHECK(got);
        CHECK_INT(got->size, 1014);
        CHECK(!memcmp(got->data, &i, sizeof i));
        guest_packet_free(got);
        n_passed--;
    }
    CHECK(!n_passed && !guest_receive(vid, 0));
}

static void
test_large_batches(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const int sizes[] = { 0, 1, 31, 32, 33, 64, 65, 100, 4096 };
    struct smap details = SMAP_INITIALIZER(&details);
    long long int n_long = 0, n_policed = 0;

    start_port(1, 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        int n = sizes[i];

        send_at_once(n, 0);
        check_got(n, 0, n);
        send_at_once(n, 3);
        check_got(n, 3, n - DIV_ROUND_UP(n, 3));
        n_long += DIV_ROUND_UP(n, 3);
    }
    CHECK_INT(counter_of(netdev, "ovs_tx_mtu_exceeded_drops"), n_long);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);

    /* The policer drops what exceeds fifty packets. */
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        int n = sizes[i];

        smap_replace(&details, "cir", i % 2 ? "1" : "2");
        smap_replace(&details, "cbs", "50000");
        CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), 0);
        send_at_once(n, 0);
        check_got(n, 0, MIN(n, 50));
        n_policed += n - MIN(n, 50);
    }
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), n_policed);
    CHECK_INT(netdev_set_qos(netdev, "", &details), 0);

    /* The ring takes seventy. */
    guest_set_room(vid, 0, 70);
    send_at_once(100, 0);
    check_got(100, 0, 70);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 30);
    smap_destroy(&details);
    finish_port();
}
VHOST_TEST(test_large_batches, "rxtx-large-batches",
           "packets: batches of any size", TEST_DPDK);

static void
test_send_qos(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct smap details = SMAP_INITIALIZER(&details);

    start_port(1, 0);
    smap_add(&details, "cir", "1");
    smap_add(&details, "cbs", "10000");
    CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), 0);
    send_n(0, 12, 1014);
    check_received(0, 10, 1014);
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 2);
    send_n(0, 3, 1014);
    check_received(0, 0, 0);
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 5);

    /* Packets that were copied keep the priority that chooses their queue. */
    smap_add(&details, "eir", "1");
    smap_add(&details, "ebs", "10000");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_set_queue(netdev, 3, &details), 0);
    struct dp_packet *packet = make_packet(1014);

    packet->md.skb_priority = 3;
    send_packet(packet);
    send_packet(make_packet(1014));
    check_received(0, 1, 1014);
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 6);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);
    smap_destroy(&details);
    finish_port();
}
VHOST_TEST(test_send_qos, "rxtx-qos", "packets: QoS", TEST_DPDK);

static void
test_copy(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct { size_t size; unsigned int n_segs; } cases[] = {
        { 14, 1 }, { 60, 1 }, { 1514, 1 }, { 2048, 1 }, { 2049, 2 },
        { 4096, 2 }, { 9000, 5 }, { 9718, 5 },
    };

    start_port(1, 0);
    CHECK_INT(rte_pktmbuf_data_room_size(port->mp),
              2048 + RTE_PKTMBUF_HEADROOM);

    /* The pool stays as it is, as if it were borrowed. */
    port->mtu = 9702;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dp_packet *packet = make_packet(cases[i].size);
        struct guest_packet *copy;

        send_packet(packet);
        packet = make_packet(cases[i].size);
        copy = guest_receive(vid, 0);
        CHECK(copy);
        CHECK_INT(copy->size, cases[i].size);
        CHECK_INT(copy->n_segs, cases[i].n_segs);
        CHECK(!memcmp(copy->data, dp_packet_data(packet), cases[i].size));
        guest_packet_free(copy);
        dp_packet_delete(packet);
    }

    /* No mbuf, and too few of them for all segments. */
    hold_mbufs(0);
    send_packet(make_packet(60));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 1);
    rte_pktmbuf_free(held[--n_held]);
    send_packet(make_packet(9000));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 2);
    CHECK_INT(rte_mempool_avail_count(port->mp), 1);
    send_packet(make_packet(60));
    check_received(0, 1, 60);
    release_mbufs();

    /* DPDK's own packets do without. */
    struct rte_mempool *mp = port->mp;
    struct dp_packet *packet = make_mbuf(60);

    port->mp = NULL;
    send_packet(packet);
    check_received(0, 1, 60);
    send_packet(make_packet(60));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 3);
    port->mp = mp;
    finish_port();
}
VHOST_TEST(test_copy, "rxtx-copy", "packets: copied", TEST_DPDK);

static void *
hold_txq(void *started)
{
    struct vhost_device *device = vhost_session_device(port->session);

    rte_spinlock_lock(&device->txqs[0].lock);
    atomic_store((atomic_bool *) started, true);
    xnanosleep(50 * 1000 * 1000);
    rte_spinlock_unlock(&device->txqs[0].lock);
    return NULL;
}

/* Two threads on one transmit queue. */
static void
test_contention(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    atomic_bool started = false;
    pthread_t thread;
    bool value;

    start_port(1, 0);
    send_n(0, 1, 60);
    CHECK(!pthread_create(&thread, NULL, hold_txq, &started));
    do {
        atomic_read(&started, &value);
    } while (!value);
    send_n(0, 1, 60);
    CHECK(!pthread_join(thread, NULL));
    check_received(0, 2, 60);
    coverage_clear();
    stub_memory.time_offset += 2 * COVERAGE_CLEAR_INTERVAL;
    coverage_clear();
    coverage_log();
    CHECK_LOGGED("vhost_tx_contention ");
    finish_port();
}
VHOST_TEST(test_contention, "rxtx-contention",
           "packets: contention", TEST_DPDK);
