/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Packets on a round trip between a guest's thread and the switch's, over the
 * native data path, for each kind of ring: none is lost, all bytes are right,
 * the order is kept, bursts are full, and a guest that sleeps is woken.  The
 * threads meet in the rings alone, so this is also the test of the rings'
 * barriers. */

#include <config.h>
#undef NDEBUG

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-thread.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-mempool.h"
#include "virtq-driver.h"

#define FEATURE(NAME) (UINT64_C(1) << (NAME))
#define MRG FEATURE(VIRTIO_NET_F_MRG_RXBUF)
#define MODERN FEATURE(VIRTIO_F_VERSION_1)
#define EVENT_IDX FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define PACKED (FEATURE(VIRTIO_F_RING_PACKED) | MODERN)

#define BURST 32
#define MAX_LEN 1514
#define MAX_WINDOW 1024         /* Packets under way. */
#define WAKE_TIMEOUT 5000       /* In ms. */

struct variant {
    const char *name;
    uint64_t features;
    unsigned int size;          /* Of both rings. */
    unsigned int n_pieces;      /* That a packet for the switch has. */
    bool indirect;
    uint32_t buffer_size;       /* For packets from the switch. */
};

static const struct variant variants[] = {
    { "split, old header", 0, 256, 1, false, 2048 },
    { "split", MODERN, 256, 1, false, 2048 },
    { "split, large", MODERN, 32768, 1, false, 2048 },
    { "split, chains", MODERN, 256, 2, false, 2048 },
    { "split, indirect", MODERN, 256, 3, true, 2048 },
    { "split, mergeable", MRG, 256, 1, false, 2048 },
    { "split, mergeable, small buffers", MRG, 1024, 2, false, 600 },
    { "split, event index", MODERN | EVENT_IDX, 256, 1, false, 2048 },
    { "split, event index, mergeable, indirect", MRG | EVENT_IDX, 64, 2, true,
      800 },
    { "packed", PACKED, 256, 1, false, 2048 },
    { "packed, odd size", PACKED, 100, 1, false, 2048 },
    { "packed, large", PACKED, 32768, 1, false, 2048 },
    { "packed, chains", PACKED, 250, 2, false, 2048 },
    { "packed, indirect", PACKED, 256, 3, true, 2048 },
    { "packed, mergeable", PACKED | MRG, 256, 1, false, 2048 },
    { "packed, mergeable, small buffers", PACKED | MRG, 1000, 2, false, 600 },
    { "packed, event index", PACKED | EVENT_IDX, 256, 1, false, 2048 },
    { "packed, event index, mergeable, indirect", PACKED | MRG | EVENT_IDX, 64,
      2, true, 800 },
};

/* Shared by both threads, constant while these run. */
static const struct vhost_datapath *native = &vhost_datapath_native;
static struct vhost_mempool *pool;
static struct vhost_device device;
static struct vhost_queue *rxq, *txq;   /* As the switch calls them. */

/* The switch's. */
static struct vhost_counters counters;
static bool done;                       /* Atomic. */
static unsigned long long int n_forwarded;

/* The guest's. */
static struct guest guest;
static struct driver to_switch, from_switch;
static uint64_t sent_at, received_at;   /* Where packets are. */
static uint32_t buffer_size;
static size_t hdr_len;
static int callfd;
static unsigned int n_buffers, next_buffer, n_sleeps;
static uint8_t pattern[4096 + MAX_LEN];

static uint32_t
len_of(uint32_t number)
{
    return 60 + number * 97 % (MAX_LEN - 60 + 1);
}

/* Packet 'number', but for its first bytes, which are the number. */
static const uint8_t *
bytes_of(uint32_t number)
{
    return &pattern[number * 31 % 4096];
}

/* The switch. */

static void *
forward(void *aux OVS_UNUSED)
{
    struct rte_mbuf *mbufs[BURST];

    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        unsigned int n;

        if (native->n_pending(&device, rxq) < BURST) {
            sched_yield();
            continue;
        }
        CHECK_INT(native->dequeue(&device, rxq, pool->mp, mbufs, BURST,
                                  &counters), BURST);
        for (n = 0; n < BURST && !__atomic_load_n(&done, __ATOMIC_ACQUIRE); ) {
            unsigned int n_sent = native->enqueue(&device, txq, &mbufs[n],
                                                  BURST - n, &counters);

            if (!n_sent) {
                sched_yield();
            }
            n += n_sent;
        }
        rte_pktmbuf_free_bulk(mbufs, BURST);
        n_forwarded += n;
    }
    return NULL;
}

/* The guest. */

static void
send_burst(const struct variant *v, uint32_t number)
{
    uint32_t written;

    while (driver_get(&to_switch, &written) >= 0) {
        CHECK_INT(written, 0);
    }
    for (uint32_t end = number + BURST; number < end; number++) {
        uint64_t address = sent_at + number % MIN(v->size, MAX_WINDOW) * 2048;
        uint8_t *packet = guest_at(&guest, address);
        uint32_t len = hdr_len + len_of(number);
        struct driver_piece pieces[3];
        unsigned int n = 0;

        memset(packet, 0, hdr_len);
        memcpy(packet + hdr_len, bytes_of(number), len_of(number));
        memcpy(packet + hdr_len, &number, sizeof number);
        /* The first piece may be the header, or less. */
        while (n + 1 < v->n_pieces) {
            pieces[n] = (struct driver_piece) { address, hdr_len - n };
            address += pieces[n].len;
            len -= pieces[n++].len;
        }
        pieces[n++] = (struct driver_piece) { address, len };
        CHECK(driver_add(&to_switch, pieces, n, v->indirect) >= 0);
    }
}

static void
offer_buffer(void)
{
    uint64_t address = received_at + next_buffer * buffer_size;

    CHECK(driver_add_simple(&from_switch, address, buffer_size) >= 0);
    next_buffer = (next_buffer + 1) % n_buffers;
}

/* Takes packet 'number', of which one buffer has come. */
static void
check_packet(uint32_t number, uint32_t written)
{
    uint32_t len = len_of(number), left = len, skip = hdr_len;
    const uint8_t *expected = bytes_of(number);
    struct virtio_net_hdr_mrg_rxbuf hdr;
    unsigned int n = 0;

    for (;;) {
        const uint8_t *p = guest_at(&guest,
                                    received_at + next_buffer * buffer_size);
        uint32_t chunk = written - skip;

        CHECK(written > skip && chunk <= left);
        if (!n++) {
            uint32_t found;

            memcpy(&hdr, p, hdr_len);
            memcpy(&found, p + hdr_len, sizeof found);
            CHECK_INT(found, number);
            CHECK(!memcmp(p + hdr_len + 4, expected + 4, chunk - 4));
        } else {
            CHECK(!memcmp(p, expected + len - left, chunk));
        }
        left -= chunk;
        skip = 0;
        offer_buffer();
        if (!left) {
            break;
        }
        /* All of a packet's buffers come at once. */
        CHECK(driver_get(&from_switch, &written) >= 0);
    }
    CHECK_INT(hdr.hdr.flags | hdr.hdr.gso_type, 0);
    CHECK(hdr_len == sizeof(struct virtio_net_hdr) || hdr.num_buffers == n);
}

/* Waits for a notification, unless there is a buffer, which is taken. */
static int
sleep_until_called(uint32_t *written)
{
    struct pollfd pollfd = { .fd = callfd, .events = POLLIN };
    eventfd_t value;
    int id;

    driver_want_call(&from_switch, true);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);    /* See virtq_wants_call(). */
    id = driver_get(&from_switch, written);
    if (id < 0) {
        n_sleeps++;
        CHECK_INT(poll(&pollfd, 1, WAKE_TIMEOUT), 1);
        CHECK(!eventfd_read(callfd, &value));
        id = driver_get(&from_switch, written);
    }
    driver_want_call(&from_switch, false);
    return id;
}

static void
round_trip(const struct variant *v, uint32_t n_packets)
{
    unsigned int window = v->size / (v->indirect ? 1 : v->n_pieces);
    uint32_t n_sent = 0, n_received = 0;

    window = MIN(window, MAX_WINDOW) / BURST * BURST;
    while (n_received < n_packets) {
        uint32_t written;
        int id;

        while (n_sent < n_packets && n_sent - n_received + BURST <= window) {
            send_burst(v, n_sent);
            n_sent += BURST;
        }
        id = driver_get(&from_switch, &written);
        if (id < 0) {
            id = sleep_until_called(&written);
        }
        if (id >= 0) {
            check_packet(n_received++, written);
        }
    }
    CHECK_INT(n_sent, n_packets);
}

static void
start_ring(struct driver *driver, int vid, unsigned int vring,
           const struct variant *v)
{
    struct driver_options options = {
        .packed = (v->features & FEATURE(VIRTIO_F_RING_PACKED)) != 0,
        .event_idx = (v->features & EVENT_IDX) != 0,
        .writable = vring == 0,
        .size = v->size,
    };
    struct vhost_queue *q = vhost_device_queue(&device, vring);
    struct rte_vhost_vring ring = { .size = v->size, .callfd = callfd };

    options.base = options.packed ? 1 << VRING_PACKED_EVENT_F_WRAP_CTR : 65000;
    driver_init(driver, &guest, &options);
    driver_want_call(driver, false);
    ring.desc = driver->desc;
    ring.avail = driver->avail;
    ring.used = driver->used;
    guest_set_ring(vid, vring, &ring, options.base);
    q->vring = vring;
    atomic_store_relaxed(&q->native.callfd, -1);
}

static void
run_variant(int vid, const struct variant *v, uint32_t n_packets)
{
    const char *fault;
    pthread_t thread;

    guest_init(&guest);
    for (int i = 0; i < 5; i++) {
        guest_add_region(&guest, GUEST_MAX_REGION);
    }
    buffer_size = v->buffer_size;
    hdr_len = v->features & (MRG | MODERN) ? 12 : 10;
    /* guest_at() is asked for whole packets. */
    n_buffers = MIN(v->size, GUEST_MAX_REGION / buffer_size);
    next_buffer = 0;
    n_sleeps = 0;
    n_forwarded = 0;
    done = false;
    sent_at = guest_alloc(&guest, MAX_WINDOW * 2048, 4096);
    received_at = guest_alloc(&guest, n_buffers * buffer_size, 4096);

    memset(&device, 0, sizeof device);
    memset(&counters, 0, sizeof counters);
    device.datapath = native;
    device.vid = vid;
    device.features = v->features;
    device.memory = guest.memory;
    guest_set_features(vid, v->features);
    callfd = eventfd(0, EFD_CLOEXEC);
    CHECK(callfd >= 0);
    start_ring(&from_switch, vid, 0, v);
    start_ring(&to_switch, vid, 1, v);
    txq = vhost_device_queue(&device, 0);
    rxq = vhost_device_queue(&device, 1);
    for (unsigned int i = 0; i < n_buffers; i++) {
        offer_buffer();
    }
    native->start(&device, txq);
    native->start(&device, rxq);

    thread = ovs_thread_create("switch", forward, NULL);
    round_trip(v, n_packets);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    xpthread_join(thread, NULL);

    CHECK_INT(n_forwarded, n_packets);
    for (int i = 0; i < 2; i++) {
        struct vhost_queue *q = vhost_device_queue(&device, i);

        atomic_read_relaxed(&q->fault, &fault);
        CHECK(!fault);
        CHECK(native->suspend(&device, q));
        native->stop(&device, q, 0);
        native->hand_back(&device, q);
    }
    printf("%s: %"PRIu32" packets, %u sleeps\n", v->name, n_packets, n_sleeps);
    close(callfd);
    driver_destroy(&to_switch);
    driver_destroy(&from_switch);
    guest_destroy(&guest);
}

/* Argument: how many packets go round in each kind of ring. */
static void
test_loop(int argc, char *argv[])
{
    const struct vhost_mempool_request request = {
        .port = "port0", .mtu = 1500, .n_queues = 2
    };
    uint32_t n_packets = argc > 1 ? atoi(argv[1]) : 32000;
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    int vid = guest_connect(path_of("s0"));

    CHECK((pool = vhost_mempool_get(&request)));
    for (size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = i * i >> 3;
    }
    for (int i = 0; i < ARRAY_SIZE(variants); i++) {
        run_variant(vid, &variants[i], ROUND_UP(n_packets, BURST));
    }
    vhost_mempool_put(pool, 2);
    vhost_mempool_run();
    guest_disconnect(vid);
    netdev_close(netdev);
    netdev_run();
    check_sessions_closed();
}
VHOST_TEST(test_loop, "loop 320000",
           "native: round trips in full bursts", TEST_DPDK);
