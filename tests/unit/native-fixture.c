/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "native-fixture.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_mempool.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-mapping.h"
#include "vhost-zerocopy.h"

/* A device with one virtqueue, of a connection that never gets further. */
const struct vhost_datapath *const native = &vhost_datapath_native;
static struct netdev *netdev;
struct vhost_mempool *pool;
int test_vid, callfd;
struct vhost_device device;
struct vhost_queue *q;
struct vhost_counters counters;
size_t hdr_len;
struct vhost_mapping *zero_copy_mapping;

uint64_t
counter(unsigned int i)
{
    uint64_t value;

    atomic_read_relaxed(&q->native.counters[i], &value);
    return value;
}

bool
is_running(void)
{
    struct virtq *running;

    atomic_read_relaxed(&q->native.virtq, &running);
    return running != NULL;
}

/* Sets up the next virtqueue: one that the guest transmits with if 'vring' is
 * 1. */
void
start(unsigned int vring, uint64_t features, unsigned int size)
{
    struct driver_options o = {
        .packed = (features & FEATURE(VIRTIO_F_RING_PACKED)) != 0,
        .event_idx = (features & FEATURE(VIRTIO_RING_F_EVENT_IDX)) != 0,
        .writable = vring == 0,
        .size = size,
    };
    struct rte_vhost_vring ring = { .size = size };

    if (!netdev) {
        const struct vhost_mempool_request request = {
            .port = "port0", .mtu = 1500, .n_queues = 2
        };

        netdev = open_client("vhu0", path_of("s0"));
        test_vid = guest_connect(path_of("s0"));
        CHECK((pool = vhost_mempool_get(&request)));
    }
    o.base = o.packed ? WRAP_BIT : 65530;
    guest_init(&guest);
    guest_add_region(&guest, 8 << 20);
    guest.next += 1 << 20;      /* For packets. */
    driver_init(&driver, &guest, &o);
    driver_want_call(&driver, true);

    callfd = eventfd(0, EFD_CLOEXEC);
    CHECK(callfd >= 0);
    ring.desc = driver.desc;
    ring.avail = driver.avail;
    ring.used = driver.used;
    ring.callfd = callfd;
    guest_set_features(test_vid, features);
    guest_set_ring(test_vid, vring, &ring, o.base);

    memset(&device, 0, sizeof device);
    memset(&counters, 0, sizeof counters);
    device.datapath = native;
    device.vid = test_vid;
    device.features = features;
    device.memory = guest.memory;
    device.mapping = zero_copy_mapping;
    if (zero_copy_mapping) {
        zero_copy_mapping->memory = guest.memory;
    }
    q = vhost_device_queue(&device, vring);
    q->vring = vring;
    atomic_store_relaxed(&q->native.callfd, -1);
    native->start(&device, q);
    CHECK(is_running());
    hdr_len = (features & (FEATURE(VIRTIO_NET_F_MRG_RXBUF)
                           | FEATURE(VIRTIO_F_VERSION_1)
                           | FEATURE(VIRTIO_F_RING_PACKED)) ? 12 : 10);
}

void
stop(void)
{
    CHECK(native->suspend(&device, q));
    native->stop(&device, q, vhost_zerocopy_deadline());
    native->hand_back(&device, q);
    CHECK(!native->suspend(&device, q));
    vhost_zerocopy_sweep();
    CHECK(!vhost_zerocopy_has_retired());
    CHECK_INT(rte_mempool_in_use_count(pool->mp), 0);
    close(callfd);
    driver_destroy(&driver);
    guest_destroy(&guest);
}

void
finish(void)
{
    vhost_mempool_put(pool, 2);
    guest_disconnect(test_vid);
    netdev_close(netdev);
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

uint8_t
byte_of(unsigned int number, unsigned int i)
{
    return i ? number * 13 + i * 7 : 2 * number;
}

/* The guest sends packet 'number', of 'len' bytes behind the header, in pieces
 * of at most 'piece' bytes. */
void
guest_sends(unsigned int number, uint32_t len, uint32_t piece)
{
    uint64_t start_address = PAGE + number % 16 * 65536;
    struct driver_piece pieces[DRIVER_MAX_PIECES];
    uint64_t address = start_address;
    uint32_t left = hdr_len + len;
    unsigned int n = 0;

    for (; left; left -= pieces[n++].len) {
        pieces[n] = (struct driver_piece) { address, MIN(left, piece) };
        address += pieces[n].len;
    }
    for (unsigned int i = 0; i < hdr_len + len; i++) {
        uint8_t c = i < hdr_len ? 0 : byte_of(number, i - hdr_len);

        guest_write(&guest, start_address + i, &c, 1);
    }
    CHECK(driver_add(&driver, pieces, n, false) >= 0);
}

unsigned int
receive(struct rte_mbuf **mbufs, unsigned int n)
{
    return native->dequeue(&device, q, pool->mp, mbufs, n, &counters);
}

/* Checks that packet 'number' of 'len' bytes comes. */
void
receive_one(unsigned int number, uint32_t len)
{
    struct rte_mbuf *mbuf;
    uint32_t written;

    CHECK_INT(receive(&mbuf, 1), 1);
    CHECK_INT(mbuf->pkt_len, len);
    CHECK_INT(mbuf->data_len, len);
    for (unsigned int i = 0; i < len; i++) {
        CHECK_INT(*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, i),
                  byte_of(number, i));
    }
    rte_pktmbuf_free(mbuf);
    CHECK(driver_get(&driver, &written) >= 0);
    CHECK_INT(written, 0);
}

static struct rte_mbuf *
make_mbuf(unsigned int number, uint32_t len, bool split)
{
    struct rte_mbuf *first = rte_pktmbuf_alloc(pool->mp);
    struct rte_mbuf *last;

    CHECK(first);
    for (uint32_t i = 0; i < len; i++) {
        uint8_t *p;

        if (split && i == len / 2) {
            CHECK((last = rte_pktmbuf_alloc(pool->mp)));
            CHECK(!rte_pktmbuf_chain(first, last));
        }
        CHECK((p = (uint8_t *) rte_pktmbuf_append(first, 1)));
        *p = byte_of(number, i);
    }
    return first;
}

unsigned int
send_one(unsigned int number, uint32_t len, bool split)
{
    struct rte_mbuf *mbuf = make_mbuf(number, len, split);
    unsigned int n = native->enqueue(&device, q, &mbuf, 1, &counters);

    rte_pktmbuf_free(mbuf);
    return n;
}

void
offer(unsigned int n, uint32_t len)
{
    for (unsigned int i = 0; i < n; i++) {
        CHECK(driver_add_simple(&driver, PAGE + i * len, len) >= 0);
    }
}

/* The layouts and headers that there are. */
const uint64_t all_features[N_FEATURES] = {
    0,
    FEATURE(VIRTIO_F_VERSION_1),
    FEATURE(VIRTIO_NET_F_MRG_RXBUF),
    FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1),
    FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_NET_F_MRG_RXBUF),
    FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_RING_F_EVENT_IDX)
    | FEATURE(VIRTIO_NET_F_CSUM),
    FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURE(VIRTIO_NET_F_CSUM),
};
