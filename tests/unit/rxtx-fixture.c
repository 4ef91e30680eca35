/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "rxtx-fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-port.h"

struct netdev *netdev;
struct vhost_port *port;
struct netdev_rxq *rxq;
int vid;
struct rte_mbuf **held;
unsigned int n_held;

void
start_port(unsigned int n_pairs, uint64_t features)
{
    netdev = open_client("vhu0", path_of("s0"));
    port = vhost_port_cast(netdev);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, features);
    guest_start(vid, n_pairs);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);
}

void
close_port(void)
{
    netdev_rxq_close(rxq);
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

void
finish_port(void)
{
    CHECK_INT(rte_mempool_in_use_count(port->mp), 0);
    close_port();
}

void
guest_send_n(int n, size_t size)
{
    for (int i = 0; i < n; i++) {
        struct dp_packet *packet = make_packet(size);

        *(uint8_t *) dp_packet_data(packet) = i & 0xfe;
        guest_send(vid, 1, dp_packet_data(packet), size);
        dp_packet_delete(packet);
    }
}

void
receive_into(struct dp_packet_batch *batch, int n, int *qfill)
{
    dp_packet_batch_init(batch);
    CHECK_INT(netdev_rxq_recv(rxq, batch, qfill), n ? 0 : EAGAIN);
    CHECK_INT(dp_packet_batch_size(batch), n);
}

void
receive_n(int n)
{
    struct dp_packet_batch batch;

    receive_into(&batch, n, NULL);
    dp_packet_delete_batch(&batch, true);
}

void
hold_mbufs(unsigned int n_left)
{
    n_held = rte_mempool_avail_count(port->mp) - n_left;
    held = xmalloc(n_held * sizeof *held);
    for (unsigned int i = 0; i < n_held; i++) {
        held[i] = rte_pktmbuf_alloc(port->mp);
        CHECK(held[i]);
    }
}

void
release_mbufs(void)
{
    rte_pktmbuf_free_bulk(held, n_held);
    free(held);
}

void
poll_in_vain(void)
{
    for (int i = 0; i < 2 * 4096; i++) {
        receive_n(0);
    }
}

struct dp_packet *
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

void
send_n(int qid, int n, size_t size)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    for (int i = 0; i < n; i++) {
        dp_packet_batch_add(&batch, make_mbuf(size));
    }
    CHECK_INT(netdev_send(netdev, qid, &batch, true), 0);
}

void
send_packet(struct dp_packet *packet)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, packet);
    CHECK_INT(netdev_send(netdev, 0, &batch, true), 0);
}

void
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
