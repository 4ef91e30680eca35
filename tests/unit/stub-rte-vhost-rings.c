/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The virtqueues of the stub: packets, notifications and statistics, from both
 * sides. */

#include <config.h>
#undef NDEBUG

#include "stub-rte-vhost.h"

#include <stdio.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "openvswitch/list.h"
#include "stub-rte-vhost-private.h"
#include "util.h"

#define MAX_BURST 32

static const char *const stat_names[] = {
#define STAT(NAME) #NAME,
    STATS
#undef STAT
};

struct queued {
    struct ovs_list list_node;
    struct guest_packet packet;
};

void
stub_free_packets(struct ovs_list *list)
{
    struct queued *queued;

    LIST_FOR_EACH_POP (queued, list_node, list) {
        free(queued);
    }
}

int
rte_vhost_enable_guest_notification(int vid, uint16_t idx, int enable)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);

    if (!vring) {
        return -1;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_suppressions += !enable;
    rte_spinlock_unlock(&vring->access_lock);
    return 0;
}

uint32_t
rte_vhost_rx_queue_count(int vid, uint16_t idx)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);
    uint32_t n = 0;

    if (vring && idx & 1) {
        rte_spinlock_lock(&vring->access_lock);
        if (vring->access_ok && vring->enabled) {
            n = stub_vhost.endless ? MAX_BURST : vring->n_pending;
            n |= 0xffff0000;    /* The library does not take care. */
        }
        rte_spinlock_unlock(&vring->access_lock);
    }
    return n;
}

uint16_t
rte_vhost_avail_entries(int vid, uint16_t idx)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);
    uint16_t n = 0;

    if (vring) {
        rte_spinlock_lock(&vring->access_lock);
        if (vring->access_ok && vring->enabled) {
            n = idx & 1 ? vring->n_pending : MIN(vring->room, 256);
        }
        rte_spinlock_unlock(&vring->access_lock);
    }
    return n;
}

int
rte_vhost_vring_stats_get_names(int vid, uint16_t idx,
                                struct rte_vhost_stat_name *names,
                                unsigned int n)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);

    if (!vring || !(stub_vhost.flags & RTE_VHOST_USER_NET_STATS_ENABLE)) {
        return -1;
    }
    for (int i = 0; names && n >= N_STATS && i < N_STATS; i++) {
        snprintf(names[i].name, sizeof names[i].name, "%s_q%d_%s",
                 idx & 1 ? "rx" : "tx", idx / 2, stat_names[i]);
    }
    return N_STATS;
}

int
rte_vhost_vring_stats_get(int vid, uint16_t idx, struct rte_vhost_stat *stats,
                          unsigned int n)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);
    int retval = N_STATS;

    if (!vring || stub_vhost.fail_stats) {
        return -1;
    }
    if (!stats || n < N_STATS) {
        return N_STATS;
    }
    rte_spinlock_lock(&vring->access_lock);
    if (vring->access_ok) {
        for (int i = 0; i < N_STATS; i++) {
            stats[i].id = i;
            stats[i].value = vring->stats[i];
        }
    } else {
        retval = -1;
    }
    rte_spinlock_unlock(&vring->access_lock);
    return retval;
}

int
rte_vhost_vring_stats_reset(int vid, uint16_t idx)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);
    int retval = 0;

    if (!vring) {
        return -1;
    }
    rte_spinlock_lock(&vring->access_lock);
    if (vring->access_ok) {
        memset(vring->stats, 0, sizeof vring->stats);
    } else {
        retval = -1;
    }
    rte_spinlock_unlock(&vring->access_lock);
    return retval;
}

static void
count_packet(struct stub_vring *vring, const uint8_t *data, size_t size)
{
    static const size_t bins[] = { 0, 64, 65, 128, 256, 512, 1024, 1519 };
    int bin = 0;

    vring->stats[STAT_good_packets]++;
    vring->stats[STAT_good_bytes] += size;
    if (rte_is_broadcast_ether_addr((const struct rte_ether_addr *) data)) {
        vring->stats[STAT_broadcast_packets]++;
    } else if (data[0] & 1) {
        vring->stats[STAT_multicast_packets]++;
    }
    while (bin + 1 < ARRAY_SIZE(bins) && size >= bins[bin + 1]) {
        bin++;
    }
    vring->stats[STAT_undersize_packets + bin]++;
}

static struct queued *
new_packet(size_t size)
{
    struct queued *queued = xzalloc(sizeof *queued + size);

    queued->packet.size = size;
    return queued;
}

static void
fill_mbuf(struct stub_vring *vring, struct rte_mbuf *mbuf)
{
    static const uint8_t endless[64] = { 2 };

    if (stub_vhost.endless) {
        memcpy(rte_pktmbuf_append(mbuf, sizeof endless), endless,
               sizeof endless);
        count_packet(vring, endless, sizeof endless);
    } else {
        struct queued *queued;
        char *data;

        queued = CONTAINER_OF(ovs_list_pop_front(&vring->pending),
                              struct queued, list_node);
        vring->n_pending--;
        data = rte_pktmbuf_append(mbuf, queued->packet.size);
        ovs_assert(data);       /* A test's packets are not that long. */
        memcpy(data, queued->packet.data, queued->packet.size);
        count_packet(vring, queued->packet.data, queued->packet.size);
        free(queued);
    }
}

uint16_t
rte_vhost_dequeue_burst(int vid, uint16_t idx, struct rte_mempool *mp,
                        struct rte_mbuf **mbufs, uint16_t n)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);

    if (!vring || !(idx & 1)) {
        return 0;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_late_calls += vring->late;
    if (stub_vhost.during_burst) {
        stub_vhost.during_burst();
    }
    n = MIN(n, MAX_BURST);
    n = stub_vhost.endless ? n : MIN(n, vring->n_pending);
    if (!vring->access_ok || !vring->enabled || vring->broken
        || rte_pktmbuf_alloc_bulk(mp, mbufs, n)) {
        n = 0;
    }
    for (uint16_t i = 0; i < n; i++) {
        fill_mbuf(vring, mbufs[i]);
        mbufs[i]->tso_segsz = stub_vhost.segment_size;
    }
    rte_spinlock_unlock(&vring->access_lock);
    return n;
}

static void
receive_mbuf(struct stub_vring *vring, const struct rte_mbuf *mbuf)
{
    struct queued *queued = new_packet(rte_pktmbuf_pkt_len(mbuf));
    struct guest_packet *packet = &queued->packet;
    size_t size = 0;

    packet->ol_flags = mbuf->ol_flags;
    packet->n_segs = mbuf->nb_segs;
    packet->l2_len = mbuf->l2_len;
    packet->l3_len = mbuf->l3_len;
    packet->l4_len = mbuf->l4_len;
    packet->tso_segsz = mbuf->tso_segsz;
    for (unsigned int i = packet->n_segs; i--; mbuf = mbuf->next) {
        ovs_assert(size + mbuf->data_len <= packet->size);
        memcpy(packet->data + size, rte_pktmbuf_mtod(mbuf, void *),
               mbuf->data_len);
        size += mbuf->data_len;
    }
    ovs_assert(size == packet->size);
    count_packet(vring, packet->data, size);
    if (stub_vhost.endless) {
        free(queued);
    } else {
        ovs_list_push_back(&vring->received, &queued->list_node);
    }
}

uint16_t
rte_vhost_enqueue_burst(int vid, uint16_t idx, struct rte_mbuf **mbufs,
                        uint16_t n)
{
    struct stub_vring *vring = stub_get_vring(vid, idx);

    if (!vring || idx & 1) {
        return 0;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_late_calls += vring->late;
    n = MIN(n, MIN(MAX_BURST, vring->burst));
    n = stub_vhost.endless ? n : MIN(n, vring->room);
    if (!vring->access_ok || !vring->enabled) {
        n = 0;
    }
    vring->room -= stub_vhost.endless ? 0 : n;
    for (uint16_t i = 0; i < n; i++) {
        receive_mbuf(vring, mbufs[i]);
    }
    rte_spinlock_unlock(&vring->access_lock);
    return n;
}

static struct stub_vring *
lock_vring(int vid, unsigned int vring)
{
    struct stub_vring *v = stub_get_vring(vid, vring);

    ovs_assert(v);
    rte_spinlock_lock(&v->access_lock);
    return v;
}

void
guest_set_room(int vid, unsigned int vring, unsigned int n_descs)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->room = n_descs;
    rte_spinlock_unlock(&v->access_lock);
}

/* Makes the library send at most 'n_max' packets in a call. */
void
guest_set_burst(int vid, unsigned int vring, unsigned int n_max)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->burst = n_max;
    rte_spinlock_unlock(&v->access_lock);
}

/* Makes the library find packets that it can do nothing with. */
void
guest_set_broken(int vid, unsigned int vring, bool broken)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->broken = broken;
    rte_spinlock_unlock(&v->access_lock);
}

void
guest_send(int vid, unsigned int vring, const void *data, size_t size)
{
    struct queued *queued = new_packet(size);
    struct stub_vring *v;

    memcpy(queued->packet.data, data, size);
    v = lock_vring(vid, vring);
    ovs_list_push_back(&v->pending, &queued->list_node);
    v->n_pending++;
    rte_spinlock_unlock(&v->access_lock);
}

/* Returns the next packet that came, which the caller must release with
 * guest_packet_free(), or NULL. */
struct guest_packet *
guest_receive(int vid, unsigned int vring)
{
    struct stub_vring *v = lock_vring(vid, vring);
    struct guest_packet *packet = NULL;

    if (!ovs_list_is_empty(&v->received)) {
        packet = &CONTAINER_OF(ovs_list_pop_front(&v->received),
                               struct queued, list_node)->packet;
    }
    rte_spinlock_unlock(&v->access_lock);
    return packet;
}

void
guest_packet_free(struct guest_packet *packet)
{
    if (packet) {
        free(CONTAINER_OF(packet, struct queued, packet));
    }
}
