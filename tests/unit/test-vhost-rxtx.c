/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "coverage.h"
#include "dp-packet.h"
#include "netdev-provider.h"
#include "packets.h"
#include "smap.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "userspace-tso.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-hold.h"
#include "vhost-mempool.h"
#include "vhost-port.h"
#include "vhost-rxtx.h"

/* A client port with a guest: what all tests here begin with. */
static struct netdev *netdev;
static struct vhost_port *port;
static struct netdev_rxq *rxq;
static int vid;

static void
start_with(unsigned int n_pairs, uint64_t features)
{
    netdev = open_client("vhu0", path_of("s0"));
    port = vhost_port_cast(netdev);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, features);
    guest_start(vid, n_pairs);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);
}

static void
start(unsigned int n_pairs)
{
    start_with(n_pairs, 0);
}

static void
close_port(void)
{
    netdev_rxq_close(rxq);
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

/* Ends the test; all mbufs must be home again. */
static void
finish(void)
{
    CHECK_INT(rte_mempool_in_use_count(port->mp), 0);
    close_port();
}

static void
guest_send_n(int n, size_t size)
{
    for (int i = 0; i < n; i++) {
        struct dp_packet *packet = make_packet(size);

        *(uint8_t *) dp_packet_data(packet) = i & 0xfe;
        guest_send(vid, 1, dp_packet_data(packet), size);
        dp_packet_delete(packet);
    }
}

/* Receives a burst and checks that it has 'n' packets. */
static void
receive_into(struct dp_packet_batch *batch, int n, int *qfill)
{
    dp_packet_batch_init(batch);
    CHECK_INT(netdev_rxq_recv(rxq, batch, qfill), n ? 0 : EAGAIN);
    CHECK_INT(dp_packet_batch_size(batch), n);
}

static void
receive(int n)
{
    struct dp_packet_batch batch;

    receive_into(&batch, n, NULL);
    dp_packet_delete_batch(&batch, true);
}

static void
test_receive(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;
    struct dp_packet *packet, *expected;
    enum netdev_flags flags;
    int qfill = -1;

    start(1);
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
    receive(0);
    receive(0);
    CHECK_INT(stub_vhost.n_suppressions, 2);

    /* Down: what the guest sends stays in its ring. */
    guest_send_n(1, 60);
    CHECK_INT(vhost_port_update_flags(port, NETDEV_UP, 0, &flags), 0);
    receive(0);
    CHECK_INT(vhost_port_update_flags(port, 0, NETDEV_UP, &flags), 0);
    receive(1);

    /* Stopped, and gone. */
    guest_stop(vid);
    CHECK(!netdev_rxq_enabled(rxq));
    receive(0);
    guest_start(vid, 1);
    guest_send_n(1, 60);
    receive(1);
    finish();
}
VHOST_TEST(test_receive, "rxtx-receive", "packets: received", TEST_DPDK);

static void
test_receive_policed(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;

    start(1);

    /* 80 kbit of burst: ten packets of 1000 bytes, Ethernet header not
     * counted. */
    CHECK_INT(netdev_set_policing(netdev, 1, 80, 0, 0), 0);
    guest_send_n(15, 1014);
    receive(10);
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
    receive(15);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 7);

    /* A thousand packets, while the time stands still. */
    atomic_store_relaxed(&stub_memory.bucket_time, 1);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 1, 1), 0);
    for (int i = 0; i < 66; i++) {
        guest_send_n(15, 60);
        receive(15);
    }
    guest_send_n(15, 60);
    receive(10);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 12);
    CHECK_INT(netdev_set_policing(netdev, 0, 0, 0, 0), 0);
    guest_send_n(15, 60);
    receive(15);
    CHECK_INT(counter_of(netdev, "ovs_rx_qos_drops"), 12);
    finish();
}
VHOST_TEST(test_receive_policed, "rxtx-receive-policed",
           "packets: received and policed", TEST_DPDK);

/* The mbufs that hold_mbufs() took. */
static struct rte_mbuf **held;
static unsigned int n_held;

/* Takes all mbufs of the port's pool but 'n_left'. */
static void
hold_mbufs(unsigned int n_left)
{
    n_held = rte_mempool_avail_count(port->mp) - n_left;
    held = xmalloc(n_held * sizeof *held);
    for (unsigned int i = 0; i < n_held; i++) {
        held[i] = rte_pktmbuf_alloc(port->mp);
        CHECK(held[i]);
    }
}

static void
release_mbufs(void)
{
    rte_pktmbuf_free_bulk(held, n_held);
    free(held);
}

/* Polls as often as a thread does in less than a millisecond. */
static void
poll_in_vain(void)
{
    for (int i = 0; i < 2 * 4096; i++) {
        receive(0);
    }
}

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

    start(1);

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
    receive(20);

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
    receive(20);
    finish();
}
VHOST_TEST(test_no_mbufs, "rxtx-no-mbufs", "packets: no mbufs", TEST_DPDK);

static void
test_ring_fault(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    uint64_t seq;

    start(1);
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
    receive(1);
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
    receive(1);

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
    finish();
}
VHOST_TEST(test_ring_fault, "rxtx-ring-fault",
           "packets: broken ring", TEST_DPDK);

/* Returns an mbuf of the port's pool with the contents of make_packet(). */
static struct dp_packet *
make_mbuf(size_t size)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(port->mp);
    struct dp_packet *contents = make_packet(size);
    struct dp_packet *packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf);

    memcpy(rte_pktmbuf_append(mbuf, size), dp_packet_data(contents), size);
    dp_packet_delete(contents);
    pkt_metadata_init(&packet->md, 0);
    dp_packet_reset_offsets(packet);
    return packet;
}

/* Sends 'n' packets of 'size' bytes to queue 'qid'. */
static void
send_n(int qid, int n, size_t size)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    for (int i = 0; i < n; i++) {
        dp_packet_batch_add(&batch, make_mbuf(size));
    }
    CHECK_INT(netdev_send(netdev, qid, &batch, true), 0);
}

static void
send_one(struct dp_packet *packet)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, packet);
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
}

/* Checks that the guest got 'n' packets of 'size' bytes on 'vring'. */
static void
check_received(unsigned int vring, int n, size_t size)
{
    struct dp_packet *expected = make_packet(size);
    struct guest_packet *packet;

    for (int i = 0; i < n; i++) {
        packet = guest_receive(vid, vring);
        CHECK(packet);
        CHECK_INT(packet->size, size);
        CHECK(!memcmp(packet->data, dp_packet_data(expected), size));
        guest_packet_free(packet);
    }
    CHECK(!guest_receive(vid, vring));
    dp_packet_delete(expected);
}

static void
test_send(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    enum netdev_flags flags;

    start(3);
    send_n(0, 1, 60);
    check_received(0, 1, 60);
    send_n(1, NETDEV_MAX_BURST, 1500);
    check_received(2, NETDEV_MAX_BURST, 1500);

    /* More queues in the switch than in the guest, and a hole. */
    send_n(5, 2, 100);
    check_received(4, 2, 100);
    guest_set_vring(vid, 2, false);
    send_n(1, 2, 100);
    check_received(0, 2, 100);
    send_n(VHOST_MAX_QUEUE_PAIRS, 1, 100);
    check_received(0, 1, 100);

    /* Once for each queue of the guest. */
    CHECK_INT(stub_vhost.n_suppressions, 3);

    /* Nobody is there to take it: down, no queue, no device. */
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 0);
    CHECK_INT(vhost_port_update_flags(port, NETDEV_UP, 0, &flags), 0);
    send_n(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 1);
    CHECK_INT(vhost_port_update_flags(port, 0, NETDEV_UP, &flags), 0);
    guest_set_vring(vid, 0, false);
    guest_set_vring(vid, 4, false);
    send_n(0, 2, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 3);
    guest_stop(vid);
    send_n(0, 4, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 7);
    guest_start(vid, 1);
    send_n(0, 1, 60);
    check_received(0, 1, 60);
    CHECK_INT(counter_of(netdev, "ovs_tx_disconnected_drops"), 7);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);
    finish();
}
VHOST_TEST(test_send, "rxtx-send", "packets: sent", TEST_DPDK);

static void
test_mtu(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct dp_packet_batch batch;

    /* Ethernet header and a VLAN tag go on top of the MTU. */
    start(1);
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
    finish();
}
VHOST_TEST(test_mtu, "rxtx-mtu", "packets: MTU", TEST_DPDK);

static void
test_retries(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    char *error;

    /* The guest takes four at a time: eight attempts of a burst. */
    start(1);
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
    finish();
}
VHOST_TEST(test_retries, "rxtx-retries", "packets: retries", TEST_DPDK);

static void
test_send_qos(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct smap details = SMAP_INITIALIZER(&details);

    start(1);
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
    send_one(packet);
    send_one(make_packet(1014));
    check_received(0, 1, 1014);
    CHECK_INT(counter_of(netdev, "ovs_tx_qos_drops"), 6);
    CHECK_INT(counter_of(netdev, "ovs_tx_failure_drops"), 0);
    smap_destroy(&details);
    finish();
}
VHOST_TEST(test_send_qos, "rxtx-qos", "packets: QoS", TEST_DPDK);

static void
test_copy(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const struct { size_t size; unsigned int n_segs; } cases[] = {
        { 14, 1 }, { 60, 1 }, { 1514, 1 }, { 2048, 1 }, { 2049, 2 },
        { 4096, 2 }, { 9000, 5 }, { 9718, 5 },
    };

    start(1);
    CHECK_INT(rte_pktmbuf_data_room_size(port->mp),
              2048 + RTE_PKTMBUF_HEADROOM);

    /* The pool stays as it is, as if it were borrowed. */
    port->mtu = 9702;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dp_packet *packet = make_packet(cases[i].size);
        struct guest_packet *copy;

        send_one(packet);
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
    send_one(make_packet(60));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 1);
    rte_pktmbuf_free(held[--n_held]);
    send_one(make_packet(9000));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 2);
    CHECK_INT(rte_mempool_avail_count(port->mp), 1);
    send_one(make_packet(60));
    check_received(0, 1, 60);
    release_mbufs();

    /* DPDK's own packets do without. */
    struct rte_mempool *mp = port->mp;
    struct dp_packet *packet = make_mbuf(60);

    port->mp = NULL;
    send_one(packet);
    check_received(0, 1, 60);
    send_one(make_packet(60));
    CHECK_INT(counter_of(netdev, "ovs_tx_no_mbuf_drops"), 3);
    port->mp = mp;
    finish();
}
VHOST_TEST(test_copy, "rxtx-copy", "packets: copied", TEST_DPDK);

/* Adds the layers of an IPv4/TCP packet, of which 'l4_size' bytes are there,
 * to 'packet'. */
static void
set_layers(struct dp_packet *packet, size_t l4_size, unsigned int tcp_words)
{
    struct tcp_header *tcp;

    dp_packet_set_size(packet, 14 + 20 + l4_size);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    dp_packet_set_l4(packet, (char *) dp_packet_data(packet) + 34);
    tcp = dp_packet_l4(packet);
    tcp->tcp_ctl = TCP_CTL(0, tcp_words);
}

static void
check_invalid(struct dp_packet *packet, const char *message)
{
    long long int n = counter_of(netdev, "ovs_tx_invalid_hwol_drops");

    forget_log();
    send_one(packet);
    CHECK_INT(counter_of(netdev, "ovs_tx_invalid_hwol_drops"), n + 1);
    CHECK(!guest_receive(vid, 0));
    CHECK_LOGGED(message);
}

#define CHECKSUMS (UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM)
#define SEGMENTS (CHECKSUMS | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4   \
                  | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6)

static void
test_offloads(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    struct guest_packet *got;
    struct dp_packet *packet;

    userspace_tso_init(&config);
    start_with(1, SEGMENTS);
    CHECK(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO);

    /* No request. */
    packet = make_mbuf(60);
    send_one(packet);
    got = guest_receive(vid, 0);
    CHECK_INT(got->ol_flags & (RTE_MBUF_F_TX_L4_MASK
                               | RTE_MBUF_F_TX_TCP_SEG), 0);
    CHECK_INT(got->l2_len + got->l3_len + got->l4_len, 0);
    guest_packet_free(got);

    /* A check sum, of a packet of DPDK's and of another. */
    for (int i = 0; i < 2; i++) {
        packet = i ? make_packet(200) : make_mbuf(200);
        set_layers(packet, 166, 5);
        dp_packet_hwol_set_tx_ipv4(packet);
        dp_packet_hwol_set_csum_tcp(packet);
        send_one(packet);
        got = guest_receive(vid, 0);
        CHECK(got);
        CHECK_INT(got->size, 200);
        CHECK((got->ol_flags & RTE_MBUF_F_TX_L4_MASK)
              == RTE_MBUF_F_TX_TCP_CKSUM);
        CHECK_INT(got->l2_len, 14);
        CHECK_INT(got->l3_len, 20);
        guest_packet_free(got);
    }

    /* Segmentation, of a packet that is longer than the MTU. */
    packet = make_packet(6000);
    set_layers(packet, 6000 - 34, 8);
    dp_packet_hwol_set_tx_ipv4(packet);
    dp_packet_hwol_set_tcp_seg(packet);
    send_one(packet);
    got = guest_receive(vid, 0);
    CHECK(got);
    CHECK_INT(got->size, 6000);
    CHECK(got->n_segs > 1);
    CHECK_INT(got->l2_len, 14);
    CHECK_INT(got->l3_len, 20);
    CHECK_INT(got->l4_len, 32);
    CHECK_INT(got->tso_segsz, 1500 - 20 - 32);
    CHECK((got->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM);
    CHECK(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    guest_packet_free(got);
    packet = make_mbuf(1000);
    set_layers(packet, 1000 - 34, 5);
    dp_packet_hwol_set_tx_ipv6(packet);
    dp_packet_hwol_set_tcp_seg(packet);
    send_one(packet);
    got = guest_receive(vid, 0);
    CHECK(!(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM));
    guest_packet_free(got);

    /* Requests that make no sense. */
    packet = make_mbuf(100);
    dp_packet_hwol_set_csum_udp(packet);
    check_invalid(packet, "without L3 header");
    packet = make_mbuf(100);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    dp_packet_hwol_set_csum_sctp(packet);
    check_invalid(packet, "without L4 header");
    packet = make_mbuf(100);
    set_layers(packet, 66, 4);
    dp_packet_hwol_set_tcp_seg(packet);
    check_invalid(packet, "headers of 36 bytes for an MTU of 1500");

    /* A TCP header that is not wholly there. */
    packet = make_mbuf(54);
    set_layers(packet, 19, 5);
    dp_packet_hwol_set_tcp_seg(packet);
    check_invalid(packet, "vhu0: segmentation request");
    packet = make_mbuf(200);
    set_layers(packet, 59, 15);
    dp_packet_hwol_set_tcp_seg(packet);
    check_invalid(packet, "vhu0: segmentation request");
    packet = make_mbuf(200);
    set_layers(packet, 60, 15);
    dp_packet_hwol_set_tcp_seg(packet);
    send_one(packet);
    guest_packet_free(guest_receive(vid, 0));

    /* Headers that leave no room for data. */
    CHECK_INT(netdev_set_mtu(netdev, 68), 0);
    CHECK(reconfigure(netdev));
    packet = make_mbuf(200);
    set_layers(packet, 166, 12);
    dp_packet_hwol_set_tcp_seg(packet);
    check_invalid(packet, "headers of 68 bytes for an MTU of 68");

    /* Nothing of it costs other packets of a batch anything. */
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    packet = make_mbuf(60);
    dp_packet_hwol_set_csum_udp(packet);
    dp_packet_batch_add(&batch, packet);
    dp_packet_batch_add(&batch, make_mbuf(60));
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
    check_received(0, 1, 60);
    finish();
}
VHOST_TEST(test_offloads, "rxtx-offloads", "packets: offloads", TEST_DPDK);

/* What is in the place of a checksum before it is computed. */
#define PARTIAL_CSUM ((OVS_FORCE ovs_be16) 0x1234)

/* A packet of UDP over IPv4 whose checksum is left to the port. */
static struct dp_packet *
make_udp_request(void)
{
    struct dp_packet *packet = make_mbuf(100);
    struct ip_header *ip;
    struct udp_header *udp;

    memset((char *) dp_packet_data(packet) + 14, 0, 28);
    dp_packet_set_l3(packet, (char *) dp_packet_data(packet) + 14);
    dp_packet_set_l4(packet, (char *) dp_packet_data(packet) + 34);
    ip = dp_packet_l3(packet);
    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_proto = IPPROTO_UDP;
    ip->ip_tot_len = htons(86);
    udp = dp_packet_l4(packet);
    udp->udp_len = htons(66);
    udp->udp_csum = PARTIAL_CSUM;
    packet->mbuf.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
    return packet;
}

/* Sends a packet whose checksum is left to the port: is it left to the
 * guest? */
static bool
is_left_to_guest(void)
{
    const struct udp_header *udp;
    struct guest_packet *got;
    bool left;

    send_one(make_udp_request());
    got = guest_receive(vid, 0);
    CHECK(got);
    udp = (const struct udp_header *) &got->data[34];
    left = (got->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0;
    CHECK(left == (udp->udp_csum == PARTIAL_CSUM));
    CHECK_INT(got->l2_len + got->l3_len, left ? 34 : 0);
    guest_packet_free(got);
    return left;
}

/* What the switch leaves to a guest is what the guest negotiated. */
static void
test_offloads_by_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const struct smap config = SMAP_CONST1(&config, "userspace-tso-enable",
                                           "true");
    struct guest_packet *got;
    struct dp_packet *packet;

    if (!VHOST_CHECKSUMS_ALWAYS) {
        return;
    }

    /* Without userspace-tso-enable. */
    start(1);
    CHECK_INT(netdev->ol_flags, 0);
    CHECK(!is_left_to_guest());
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, SEGMENTS);
    guest_start(vid, 1);
    CHECK_INT(netdev->ol_flags, (NETDEV_TX_OFFLOAD_IPV4_CKSUM
                                 | NETDEV_TX_OFFLOAD_TCP_CKSUM
                                 | NETDEV_TX_OFFLOAD_UDP_CKSUM
                                 | NETDEV_TX_OFFLOAD_SCTP_CKSUM));
    CHECK(is_left_to_guest());

    /* IPv4's checksum alone. */
    packet = make_udp_request();
    packet->mbuf.ol_flags &= ~RTE_MBUF_F_TX_UDP_CKSUM;
    packet->mbuf.ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
    send_one(packet);
    got = guest_receive(vid, 0);
    CHECK(got->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    CHECK_INT(got->l2_len, 14);
    CHECK_INT(got->l3_len, 20);
    guest_packet_free(got);

    /* Without a guest, nothing is left to it. */
    guest_disconnect(vid);
    CHECK_INT(netdev->ol_flags, 0);
    close_port();

    /* Segments are of the size that is asked for, if the MTU permits. */
    userspace_tso_init(&config);
    start_with(1, CHECKSUMS);
    CHECK(!(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO));
    CHECK(is_left_to_guest());
    guest_disconnect(vid);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, SEGMENTS);
    guest_start(vid, 1);
    CHECK(netdev->ol_flags & NETDEV_TX_OFFLOAD_TCP_TSO);
    for (int i = 0; i < 2; i++) {
        packet = i ? make_packet(6000) : make_mbuf(1000);
        set_layers(packet, dp_packet_size(packet) - 34, 5);
        packet->mbuf.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG;
        packet->mbuf.tso_segsz = i ? 700 : 2000;
        send_one(packet);
        got = guest_receive(vid, 0);
        CHECK_INT(got->tso_segsz, i ? 700 : 1460);
        guest_packet_free(got);
    }

#if OVS_SINCE(3, 3)
    /* Inside of a tunnel, checksums are completed. */
    packet = make_udp_request();
    packet->inner_l3_ofs = packet->l3_ofs;
    packet->inner_l4_ofs = packet->l4_ofs;
    packet->mbuf.ol_flags |= (RTE_MBUF_F_TX_TUNNEL_VXLAN
                              | RTE_MBUF_F_TX_OUTER_IPV4);
    send_one(packet);
    got = guest_receive(vid, 0);
    CHECK_INT(got->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
    CHECK(((const struct udp_header *) &got->data[34])->udp_csum
          != PARTIAL_CSUM);
    guest_packet_free(got);
#endif
    finish();
}
VHOST_TEST(test_offloads_by_guest, "rxtx-offloads-by-guest",
           "packets: offloads that the guest takes", TEST_DPDK);

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

    start(1);
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
    finish();
}
VHOST_TEST(test_contention, "rxtx-contention",
           "packets: contention", TEST_DPDK);

/* Polls the port after 20 microseconds: packets that wait are looked at every
 * 10. */
static void
poll_for_held(void)
{
    uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 50000;

    while (rte_rdtsc() < end) {
        continue;
    }
    receive(0);
}

/* With an IOMMU, packets wait for the translation of addresses. */
static void
test_hold(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start(1);
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

    /* What waits when the guest stops is dropped and counted. */
    guest_set_room(vid, 0, 0);
    send_n(0, 3, 60);
    guest_stop(vid);
    CHECK_INT(counter_of(netdev, "ovs_tx_held_drops"), VHOST_HOLD_SIZE + 3);
    guest_start(vid, 1);

    /* What waits when the port goes away is given back. */
    send_n(0, 3, 60);
    CHECK_INT(rte_mempool_in_use_count(port->mp), 3);
    close_port();
}
VHOST_TEST(test_hold, "rxtx-hold",
           "packets: waiting for an address", TEST_DPDK);

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

    start_with(1, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
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
    finish();
}
VHOST_TEST(test_translations, "rxtx-translations",
           "packets: addresses that change", TEST_DPDK);
