/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Fuzzer of the native data path, from rings to mbufs and back: see
 * fuzz-guest.h.
 *
 * What must hold whatever the guest does: all mbufs come home; a packet from
 * the guest is wholly in its mbuf, and its offload request wholly in the
 * packet; no more packets are moved than was asked for; a queue with a fault
 * says so and stops.  With zero-copy, some packets are kept for a while, and
 * nothing of them is left in the end. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "fuzz-guest.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-mapping.h"
#include "vhost-offload.h"
#include "vhost-zerocopy.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define MAX_BURST 32
#define N_MBUFS 255
#define MAX_KEPT 128

static struct fuzz_guest guest;
static struct vhost_device device;
static struct vhost_queue *queue;
static struct rte_mempool *mp;
static uint64_t log_features;

/* Zero-copy. */
static struct vhost_mapping mapping;
static struct rte_mbuf *kept[MAX_KEPT];
static unsigned int n_kept;

/* What librte_vhost says. */

int
rte_vhost_get_vhost_vring(int vid OVS_UNUSED, uint16_t idx OVS_UNUSED,
                          struct rte_vhost_vring *vring)
{
    memset(vring, 0, sizeof *vring);
    vring->desc = guest.config.desc;
    vring->avail = guest.config.driver;
    vring->used = guest.config.device;
    vring->size = guest.config.size;
    vring->callfd = vring->kickfd = -1;
    return 0;
}

int
rte_vhost_get_vring_base(int vid OVS_UNUSED, uint16_t idx OVS_UNUSED,
                         uint16_t *avail, uint16_t *used)
{
    *avail = guest.config.avail_base;
    *used = guest.config.used_base;
    return 0;
}

int
rte_vhost_set_vring_base(int vid OVS_UNUSED, uint16_t idx OVS_UNUSED,
                         uint16_t avail, uint16_t used)
{
    guest.config.avail_base = avail;
    guest.config.used_base = used;
    return 0;
}

int
rte_vhost_get_negotiated_features(int vid OVS_UNUSED, uint64_t *features)
{
    *features = device.features | log_features;
    return 0;
}

void
rte_vhost_log_write(int vid OVS_UNUSED, uint64_t address, uint64_t len)
{
    FUZZ_CHECK(len && guest_memory_at(&guest.memory, address, len));
}

/* Packets. */

/* Takes an mbuf with a packet of 'len' bytes, in two segments if 'split'. */
static struct rte_mbuf *
make_packet(unsigned int len, unsigned int offload, bool split)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(mp);
    static const uint8_t headers[] = {
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, [23] = 6, [46] = 0x50
    };
    char *data;

    FUZZ_CHECK(m);
    len = MAX(len, 64);
    data = rte_pktmbuf_append(m, len);
    FUZZ_CHECK(data);
    memset(data, 0x55, len);
    memcpy(data, headers, sizeof headers);
    if (offload) {
        m->l2_len = 14;
        m->l3_len = 20;
        m->l4_len = 20;
        m->tso_segsz = 100;
        m->ol_flags = (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM
                       | (offload & 1 ? RTE_MBUF_F_TX_TCP_CKSUM
                          : RTE_MBUF_F_TX_TCP_SEG));
    }
    if (split) {
        struct rte_mbuf *more = rte_pktmbuf_alloc(mp);

        FUZZ_CHECK(more && rte_pktmbuf_append(more, len));
        FUZZ_CHECK(!rte_pktmbuf_chain(m, more));
    }
    return m;
}

/* Looks at a packet that the guest sent. */
static void
check_packet(struct rte_mbuf *m)
{
    struct virtio_net_hdr hdr = { .flags = 0 };
    const char *reason;

    FUZZ_CHECK(!rte_mbuf_check(m, 1, &reason));
    FUZZ_CHECK(m->nb_segs == 1 && m->pkt_len && m->pkt_len == m->data_len);
    FUZZ_CHECK(m->data_off + m->data_len <= m->buf_len);
    for (unsigned int i = 0; i < m->data_len; i++) {
        (void) *rte_pktmbuf_mtod_offset(m, volatile uint8_t *, i);
    }
    if (m->ol_flags & VHOST_OFFLOAD_FLAGS) {
        FUZZ_CHECK(m->l2_len + m->l3_len + m->l4_len <= m->pkt_len);
        vhost_offload_to_guest(m, &hdr);
        FUZZ_CHECK(hdr.csum_start + hdr.csum_offset < m->pkt_len);
        FUZZ_CHECK(hdr.hdr_len <= m->pkt_len);
        FUZZ_CHECK(hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || hdr.gso_size);
    }
}

/* Frees the kept packets but for 'n' of them, the oldest or the youngest. */
static void
free_kept(unsigned int n, bool oldest)
{
    while (n_kept > n) {
        n_kept--;
        if (oldest) {
            rte_pktmbuf_free(kept[0]);
            memmove(kept, kept + 1, n_kept * sizeof kept[0]);
        } else {
            rte_pktmbuf_free(kept[n_kept]);
        }
    }
}

static void
receive(unsigned int n, unsigned int n_held)
{
    struct rte_mbuf *held[N_MBUFS], *mbufs[MAX_BURST];
    struct vhost_counters counters;
    unsigned int received;

    /* Some inputs want a lack of mbufs. */
    memset(&counters, 0, sizeof counters);
    n_held = MIN(n_held, N_MBUFS - n_kept);
    FUZZ_CHECK(!n_held || !rte_mempool_get_bulk(mp, (void **) held, n_held));
    received = device.datapath->dequeue(&device, queue, mp, mbufs, n,
                                        &counters);
    FUZZ_CHECK(received <= n);
    for (unsigned int i = 0; i < received; i++) {
        check_packet(mbufs[i]);
        if (device.mapping && n_kept < MAX_KEPT && fuzz_byte(&guest) % 2) {
            kept[n_kept++] = mbufs[i];
        } else {
            rte_pktmbuf_free(mbufs[i]);
        }
    }
    if (n_held) {
        rte_mempool_put_bulk(mp, (void **) held, n_held);
    }
}

static void
transmit(unsigned int n)
{
    struct rte_mbuf *mbufs[MAX_BURST];
    struct vhost_counters counters;
    unsigned int sent;

    memset(&counters, 0, sizeof counters);
    for (unsigned int i = 0; i < n; i++) {
        unsigned int shape = fuzz_byte(&guest);

        mbufs[i] = make_packet((shape & 0x1f) * 60,
                               shape & 0x20 ? 1 + (shape & 1) : 0,
                               shape & 0x40);
    }
    sent = device.datapath->enqueue(&device, queue, mbufs, n, &counters);
    FUZZ_CHECK(sent <= n);
    for (unsigned int i = 0; i < n; i++) {
        rte_pktmbuf_free(mbufs[i]);
    }
}

/* The device. */

static bool
start(unsigned int features)
{
    static const uint8_t bits[] = {
        VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_VERSION_1, VIRTIO_NET_F_CSUM,
    };
    struct virtq *vq;

    device.features = ((uint64_t) guest.config.packed << VIRTIO_F_RING_PACKED
                       | (uint64_t) guest.config.event_idx
                         << VIRTIO_RING_F_EVENT_IDX);
    for (int i = 0; i < ARRAY_SIZE(bits); i++) {
        device.features |= (uint64_t) (features >> i & 1) << bits[i];
    }
    log_features = features & 8 ? UINT64_C(1) << VHOST_F_LOG_ALL : 0;
    device.large_packets = features & 16;
    device.memory = mapping.memory = guest.memory;
    device.mapping = features & 32 ? &mapping : NULL;
    queue = vhost_device_queue(&device, guest.config.writable ? 0 : 1);
    queue->vring = guest.config.writable ? 0 : 1;
    device.datapath->start(&device, queue);
    atomic_read_relaxed(&queue->native.virtq, &vq);
    return vq != NULL;
}

/* The guest gives the ring up, or will go on with it. */
static void
stop(bool for_good)
{
    device.datapath->suspend(&device, queue);
    if (for_good) {
        device.datapath->stop(&device, queue, vhost_zerocopy_deadline());
    }
    device.datapath->hand_back(&device, queue);
}

static void
step(unsigned int op)
{
    unsigned int n = fuzz_byte(&guest);
    const char *fault;

    atomic_read_relaxed(&queue->fault, &fault);
    switch (op) {
    case 0:
    case 1:
        if (guest.config.writable) {
            transmit(1 + n % MAX_BURST);
        } else {
            receive(1 + n % MAX_BURST, n >= 250 ? N_MBUFS - n % 4 : 0);
        }
        break;
    case 2:
        FUZZ_CHECK(!device.datapath->n_pending(&device, queue) || !fault);
        free_kept(n / 2, n % 2);
        break;
    case 3:
        if (n % 16 < 15) {
            free_kept(0, true);         /* Not to wait for them. */
        }
        stop(n >= 224 || n % 3);
        if (n >= 224) {
            fuzz_guest_set_up(&guest);
        }
        start(n);
        break;
    case 4:
        atomic_store_relaxed(&device.rarp_address, n);
        break;
    }
    FUZZ_CHECK(rte_mempool_avail_count(mp) + n_kept == N_MBUFS);
}

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv)
{
    char *args[] = {
        (*argv)[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
        "-m", "256", "--log-level=error", NULL,
    };

    if (rte_eal_init(ARRAY_SIZE(args) - 1, args) < 0) {
        ovs_fatal(0, "cannot start DPDK");
    }
    mp = rte_pktmbuf_pool_create("fuzz", N_MBUFS, 0, 0,
                                 RTE_PKTMBUF_HEADROOM + 2048, SOCKET_ID_ANY);
    FUZZ_CHECK(mp);
    device.datapath = &vhost_datapath_native;
    mapping.owner = "fuzz";
    ovs_refcount_init(&mapping.refcount);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
    fuzz_guest_start(&guest, input, n);
    atomic_store_relaxed(&device.rarp_address, 0);
    start(fuzz_byte(&guest));
    while (fuzz_has_input(&guest)) {
        unsigned int op = fuzz_byte(&guest) % (FUZZ_N_GUEST_OPS + 5);

        if (op < FUZZ_N_GUEST_OPS) {
            fuzz_guest_do(&guest, op);
        } else {
            step(op - FUZZ_N_GUEST_OPS);
        }
    }
    free_kept(0, false);
    stop(true);
    vhost_zerocopy_sweep();
    FUZZ_CHECK(!vhost_zerocopy_has_retired());
    FUZZ_CHECK(ovs_refcount_read(&mapping.refcount) == 1);
    FUZZ_CHECK(rte_mempool_avail_count(mp) == N_MBUFS);
    return 0;
}
