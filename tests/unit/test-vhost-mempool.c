/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "stub-memory.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-mempool.h"

/* The queues that a shared pool has room for. */
#define ROOM 64

static struct vhost_mempool *
get_pool(int node, int mtu, unsigned int n_queues)
{
    const struct vhost_mempool_request request = {
        .port = "port0", .node = node, .mtu = mtu, .n_queues = n_queues
    };

    return vhost_mempool_get(&request);
}

static bool
suits(const struct vhost_mempool *pool, int node, int mtu)
{
    const struct vhost_mempool_request request = { .node = node, .mtu = mtu };

    return vhost_mempool_suits(pool, &request);
}

static void
check_degradation(const struct vhost_mempool *pool, int node,
                  const char *part)
{
    char *text = vhost_mempool_degradation(pool, node);

    if (part) {
        CHECK_HAS(text, part);
        CHECK_HAS(text, "dpdk-socket-mem");
    } else {
        CHECK_STR(text, NULL);
    }
    free(text);
}

/* Makes a machine of three nodes, on which node 0 is nearer to node 2 than to
 * node 1. */
static void
use_three_nodes(void)
{
    static const int distance[3][3] = {
        { 10, 30, 20 }, { 30, 10, 30 }, { 20, 30, 10 }
    };

    stub_memory.n_nodes = 3;
    for (int i = 0; i < 3; i++) {
        memcpy(stub_memory.distance[i], distance[i], sizeof distance[i]);
    }
}

static void
set_free_mbufs(unsigned int node0, unsigned int node1, unsigned int node2)
{
    stub_memory.n_free_mbufs[0] = node0;
    stub_memory.n_free_mbufs[1] = node1;
    stub_memory.n_free_mbufs[2] = node2;
}

static void *
call_with_lcore(void *function)
{
    CHECK(!rte_thread_register());
    CHECK(rte_lcore_id() != LCORE_ID_ANY);
    ((void (*)(void)) function)();
    rte_thread_unregister();
    return NULL;
}

/* Calls 'function' in a thread that has a cache in each pool, as PMD threads
 * have. */
static void
run_with_lcore(void (*function)(void))
{
    pthread_t thread;

    CHECK(!pthread_create(&thread, NULL, call_with_lcore, function));
    CHECK(!pthread_join(thread, NULL));
}

/* Returns the most mbufs of 'pool' that this thread's cache ever holds. */
static unsigned int
fill_cache(struct vhost_mempool *pool)
{
    struct rte_mempool_cache *cache
        = rte_mempool_default_cache(pool->mp, rte_lcore_id());
    static void *mbufs[4096];
    unsigned int max = 0;

    CHECK(cache);
    for (unsigned int n = 1; n <= NETDEV_MAX_BURST; n++) {
        CHECK(!rte_mempool_get_bulk(pool->mp, mbufs, ARRAY_SIZE(mbufs)));
        for (unsigned int i = 0; i + n <= ARRAY_SIZE(mbufs); i += n) {
            rte_mempool_put_bulk(pool->mp, mbufs + i, n);
            max = MAX(max, cache->len);
        }
        for (unsigned int i = ROUND_DOWN(ARRAY_SIZE(mbufs), n);
             i < ARRAY_SIZE(mbufs); i++) {
            rte_mempool_put(pool->mp, mbufs[i]);
            max = MAX(max, cache->len);
        }
    }
    return max;
}

static unsigned int size_before;

/* A thread costs what its cache really holds, and a burst on the way there. */
static void
check_size_with_thread(void)
{
    unsigned int grown = vhost_mempool_size(10) - size_before;
    struct vhost_mempool *pool = get_pool(0, 1500, 1);

    CHECK(pool);
    CHECK_INT(grown, fill_cache(pool) + NETDEV_MAX_BURST);
    vhost_mempool_put(pool, 1);
}

static void
test_size(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    size_before = vhost_mempool_size(10);
    CHECK(size_before < 16384);

    /* Each queue may hold one burst in itself and one under way. */
    CHECK_INT(vhost_mempool_size(14) - size_before, 4 * 2 * NETDEV_MAX_BURST);

    run_with_lcore(check_size_with_thread);
    CHECK_INT(vhost_mempool_size(10), size_before);

    /* The transmit rings of the ports that can be asked (see
     * stub-memory.c). */
    stub_memory.n_ethdevs = 3;
    stub_memory.n_txqs = 4;
    stub_memory.n_txq_descs = 1000;
    CHECK_INT(vhost_mempool_size(10) - size_before, 2 * 3 * 1000);
}
VHOST_TEST(test_size, "mempool-size", "mempools: number of mbufs", TEST_DPDK);

static void
test_rounding(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    int mtu = vhost_mempool_rounded_mtu(1500);

    CHECK(mtu >= 1500 && mtu < 1500 + 1024);
    CHECK_INT(vhost_mempool_rounded_mtu(mtu), mtu);
    CHECK_INT(vhost_mempool_rounded_mtu(mtu + 1), mtu + 1024);
    CHECK_INT(vhost_mempool_rounded_mtu(1280), mtu);
}
VHOST_TEST(test_rounding, "mempool-rounding",
           "mempools: size of buffers", TEST_DPDK);

static void
test_sharing(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *a, *b, *c, *large;

    use_three_nodes();
    a = get_pool(0, 1500, 2);
    CHECK(a);
    CHECK_INT(a->node, 0);
    CHECK_INT(a->n_mbufs, vhost_mempool_size(ROOM));
    CHECK_INT(a->mp->size, a->n_mbufs);
    check_degradation(a, 0, NULL);

    /* The same node and buffer size. */
    CHECK(get_pool(0, 1500, 2) == a);
    CHECK(get_pool(0, 1400, 2) == a);
    CHECK_INT(stub_memory.n_pools, 1);
    CHECK_INT(a->n_users, 3);
    CHECK_INT(a->n_queues, 6);
    CHECK(suits(a, 0, 1500));
    CHECK(suits(a, 0, 1400));

    /* Others. */
    b = get_pool(0, 9000, 2);
    c = get_pool(1, 1500, 2);
    CHECK(b && c && b != a && c != a && b != c);
    CHECK(!suits(a, 0, 9000));
    CHECK(!suits(a, 1, 1500));
    CHECK_INT(c->node, 1);

    /* A port that does not fit gets another pool; one that fits is still
     * welcome in the first. */
    CHECK(get_pool(0, 1500, ROOM - 6 - 1) == a);
    large = get_pool(0, 1500, 2);
    CHECK(large && large != a);
    CHECK(get_pool(0, 1500, 1) == a);
    CHECK(get_pool(0, 1500, 1) == large);

    /* Nor is there a limit to one port's queues. */
    CHECK_INT(get_pool(2, 1500, 256)->n_mbufs, vhost_mempool_size(256));
}
VHOST_TEST(test_sharing, "mempool-sharing", "mempools: sharing", TEST_DPDK);

static void
test_private(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *a, *b;

    init_config("per-port-memory", "true", "shared-mempool-config", "9000",
                NULL);
    a = get_pool(0, 1500, 2);
    b = get_pool(0, 1500, 2);
    CHECK(a && b && a != b);
    CHECK_INT(a->n_mbufs, vhost_mempool_size(2));
    CHECK_INT(a->mtu, vhost_mempool_rounded_mtu(1500));

    vhost_mempool_put(a, 2);
    vhost_mempool_put(b, 2);
    check_mempools(0);
}
VHOST_TEST(test_private, "mempool-private",
           "mempools: per-port-memory", TEST_DPDK);

static void
test_configured(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *pool;

    use_three_nodes();
    init_config("shared-mempool-config", "9000,4000:1,6000:1,1500:2", NULL);

    /* The smallest that fits, of those for the node. */
    pool = get_pool(0, 1500, 2);
    CHECK_INT(pool->mtu, vhost_mempool_rounded_mtu(9000));
    CHECK(get_pool(0, 9000, 2) == pool);
    CHECK(suits(pool, 0, 1500));
    CHECK(suits(pool, 0, 9000));
    pool = get_pool(1, 1500, 2);
    CHECK_INT(pool->mtu, vhost_mempool_rounded_mtu(4000));
    CHECK(!suits(pool, 0, 1500));
    CHECK_INT(get_pool(1, 5000, 2)->mtu, vhost_mempool_rounded_mtu(6000));
    CHECK_INT(get_pool(2, 1500, 2)->mtu, vhost_mempool_rounded_mtu(1500));
    CHECK_INT(get_pool(2, 1600, 2)->mtu, vhost_mempool_rounded_mtu(1500));
    CHECK_INT(get_pool(2, 4000, 2)->mtu, vhost_mempool_rounded_mtu(9000));

    /* None fits: the port's own size. */
    CHECK_INT(get_pool(0, 9700, 2)->mtu, vhost_mempool_rounded_mtu(9700));
}
VHOST_TEST(test_configured, "mempool-configured",
           "mempools: shared-mempool-config", TEST_DPDK);

static void
test_smaller(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    unsigned int size = vhost_mempool_size(ROOM);
    struct vhost_mempool *pool;
    char *text;

    set_free_mbufs(size - 1, 0, 0);
    pool = get_pool(0, 1500, 2);
    CHECK(pool);
    CHECK_INT(pool->n_mbufs, size / 2);
    CHECK_INT(stub_memory.n_failed_pools, 1);
    text = xasprintf("%u mbufs instead of %u: DPDK has too little", size / 2,
                     size);
    check_degradation(pool, 0, text);
    CHECK_LOGGED(text);
    CHECK_LOGGED("port0: mempool ovs-vhost-");
    free(text);

    /* Others share it, as there is no better one, as long as there is none
     * in which they fit. */
    CHECK(get_pool(0, 1500, ROOM) == pool);
    CHECK(suits(pool, 0, 1500));

    /* The smallest pool that is tried is one quarter here; a pool of less than
     * 2048 mbufs is not worth having. */
    set_free_mbufs(size / 4, 0, 0);
    CHECK_INT(get_pool(0, 9000, 2)->n_mbufs, size / 4);
    set_free_mbufs(2047, 0, 0);
    forget_log();
    CHECK(!get_pool(0, 9700, 2));
    CHECK_LOGGED("port0: no memory for mbufs on any NUMA node");
}
VHOST_TEST(test_smaller, "mempool-smaller",
           "mempools: smaller for lack of memory", TEST_DPDK);

static void
test_other_node(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *near, *far;

    use_three_nodes();
    set_free_mbufs(0, UINT_MAX, UINT_MAX);
    near = get_pool(0, 1500, 2);
    CHECK_INT(near->node, 2);
    CHECK_INT(near->wanted_node, 0);
    CHECK_INT(near->n_mbufs, vhost_mempool_size(ROOM));
    check_degradation(near, 0, "mbufs on NUMA node 2, guest on node 0");
    CHECK_LOGGED("mbufs on NUMA node 2, guest on node 0");
    CHECK(suits(near, 0, 1500));

    /* It is not for the guests of the node that it is on. */
    CHECK(get_pool(2, 1500, 2) != near);
    CHECK(get_pool(0, 1500, 2) == near);

    set_free_mbufs(0, UINT_MAX, 0);
    far = get_pool(0, 9000, 2);
    CHECK_INT(far->node, 1);

    /* From the last node down to the first. */
    set_free_mbufs(UINT_MAX, 0, 0);
    CHECK_INT(get_pool(1, 9000, 2)->node, 0);
    CHECK_INT(get_pool(2, 4000, 2)->node, 0);

    /* Rather a small pool on the right node than a large one elsewhere. */
    set_free_mbufs(3000, UINT_MAX, UINT_MAX);
    CHECK_INT(get_pool(0, 5000, 2)->node, 0);
}
VHOST_TEST(test_other_node, "mempool-other-node",
           "mempools: on another node", TEST_DPDK);

static void
test_borrowing(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *small, *medium, *busy;
    char *text;

    small = get_pool(0, 1500, 2);
    busy = get_pool(0, 9000, 20);
    medium = get_pool(0, 6000, 10);
    check_degradation(busy, 0, NULL);

    /* The port gets the one with most mbufs to a queue, of those with large
     * enough buffers. */
    set_free_mbufs(0, 0, 0);
    forget_log();
    CHECK(get_pool(0, 4000, 2) == medium);
    CHECK_LOGGED("port0: no memory for a mempool of its own, using mempool");
    CHECK_INT(medium->n_users, 2);
    CHECK_INT(medium->n_queues, 12);
    CHECK(!suits(medium, 0, 4000));
    CHECK(get_pool(0, 7000, 2) == busy);

    /* The same when a full pool has no companion: its users are short of
     * mbufs, which they must learn. */
    check_degradation(small, 0, NULL);
    CHECK(get_pool(0, 1500, ROOM) == small);
    text = xasprintf("%u mbufs instead of %u", small->n_mbufs,
                     vhost_mempool_size(ROOM + 2));
    check_degradation(small, 0, text);
    free(text);
    vhost_mempool_put(small, ROOM);
    check_degradation(small, 0, NULL);

    /* None is large enough. */
    forget_log();
    CHECK(!get_pool(0, 9700, 2));
    CHECK_LOGGED("receives nothing until DPDK has more hugepage memory");
    CHECK_INT(stub_memory.n_pools, 3);
}
VHOST_TEST(test_borrowing, "mempool-borrowing",
           "mempools: borrowed, or none", TEST_DPDK);

static void
test_return(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_mempool *pool = get_pool(0, 1500, 2);
    struct rte_mbuf *mbufs[100];

    CHECK(get_pool(0, 1500, 4) == pool);
    CHECK(!rte_pktmbuf_alloc_bulk(pool->mp, mbufs, ARRAY_SIZE(mbufs)));
    vhost_mempool_put(NULL, 0);
    vhost_mempool_put(pool, 2);
    check_mempools(1);
    CHECK_INT(pool->n_queues, 4);

    /* The last user leaves, but a packet is still under way. */
    vhost_mempool_put(pool, 4);
    rte_pktmbuf_free_bulk(mbufs, ARRAY_SIZE(mbufs) - 1);
    check_mempools(1);

    /* It would have been needed again. */
    CHECK(get_pool(0, 1500, 2) == pool);
    CHECK_INT(pool->n_users, 1);
    vhost_mempool_put(pool, 2);

    /* The main loop comes back for it, even if nothing else happens. */
    stub_memory.wake_time = LLONG_MAX;
    vhost_mempool_wait();
    CHECK(stub_memory.wake_time <= time_msec() + 1000);

    rte_pktmbuf_free(mbufs[ARRAY_SIZE(mbufs) - 1]);
    check_mempools(0);
    stub_memory.wake_time = LLONG_MAX;
    vhost_mempool_wait();
    CHECK(stub_memory.wake_time == LLONG_MAX);

    /* Memory that nobody uses any more goes to whoever needs it. */
    set_free_mbufs(vhost_mempool_size(ROOM), 0, 0);
    vhost_mempool_put(get_pool(0, 1500, 2), 2);
    CHECK_INT(stub_memory.n_pools, 1);
    pool = get_pool(0, 9000, 2);
    CHECK(pool);
    CHECK_INT(stub_memory.n_pools, 1);
    CHECK_INT(stub_memory.n_failed_pools, 0);
    CHECK_INT(pool->n_mbufs, vhost_mempool_size(ROOM));
}
VHOST_TEST(test_return, "mempool-return", "mempools: given back", TEST_DPDK);

static void
test_packets(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const int mtus[] = { 68, 1500, 2022, 2023, 9000, 9702 };

    for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
        struct vhost_mempool *pool = get_pool(0, mtus[i], 2);
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool->mp);
        struct dp_packet *packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf);
        char *text, *line;
        size_t size;
        FILE *stream;

        CHECK(mbuf);
        CHECK_INT(packet->source, DPBUF_DPDK);
        CHECK_INT((uintptr_t) packet % RTE_CACHE_LINE_SIZE, 0);
        /* Two VLAN tags and the check sum go on top of the MTU. */
        CHECK(rte_pktmbuf_tailroom(mbuf) >= mtus[i] + 14 + 8 + 4);
        CHECK_INT(rte_pktmbuf_headroom(mbuf), RTE_PKTMBUF_HEADROOM);
        CHECK((char *) mbuf->buf_addr >= (char *) (packet + 1));

        stream = open_memstream(&text, &size);
        vhost_mempool_dump(pool, stream);
        fclose(stream);
        CHECK_HAS(text, "mempool <ovs-vhost-");
        line = xasprintf("count: avail (%u), in use (1)",
                         pool->n_mbufs - 1);
        CHECK_HAS(text, line);
        free(line);
        free(text);

        rte_pktmbuf_free(mbuf);
        vhost_mempool_put(pool, 2);
        vhost_mempool_run();
    }
    check_mempools(0);
}
VHOST_TEST(test_packets, "mempool-packets", "mempools: packets", TEST_DPDK);
