/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "stub-memory.h"

#include <errno.h>
#include <limits.h>

#include <numa.h>
#include <numaif.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dpdk.h"
#include "openvswitch/poll-loop.h"
#include "stub-rte-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-bucket.h"

struct stub_memory stub_memory = {
    .n_nodes = 1,
    .n_free_mbufs = { [0 ... STUB_MAX_NODES - 1] = UINT_MAX },
};

/* What the linker makes of a call of FUNCTION, and of FUNCTION itself. */
#define WRAP(RETURN, FUNCTION, ...)             \
    RETURN __real_##FUNCTION(__VA_ARGS__);      \
    RETURN __wrap_##FUNCTION(__VA_ARGS__);      \
    RETURN __wrap_##FUNCTION(__VA_ARGS__)

/* NUMA. */

WRAP(int, numa_available, void)
{
    return stub_memory.n_nodes > 1 ? 0 : -1;
}

WRAP(int, numa_max_node, void)
{
    return stub_memory.n_nodes - 1;
}

WRAP(int, numa_distance, int a, int b)
{
    return (a < STUB_MAX_NODES && b < STUB_MAX_NODES
            ? stub_memory.distance[a][b] : 0);
}

WRAP(long, get_mempolicy, int *node, unsigned long *mask OVS_UNUSED,
     unsigned long max OVS_UNUSED, void *p, unsigned int flags)
{
    ovs_assert(flags == (MPOL_F_NODE | MPOL_F_ADDR));
    return stub_vhost_ring_node(p, node) ? 0 : -1;
}

/* Mempools. */

static struct {
    struct rte_mempool *mp;
    int node;
} pools[64];

WRAP(struct rte_mempool *, rte_pktmbuf_pool_create, const char *name,
     unsigned int n, unsigned int cache_size, uint16_t private_size,
     uint16_t room, int node)
{
    struct rte_mempool *mp = NULL;
    int i = 0;

    ovs_assert(node >= 0 && node < STUB_MAX_NODES);
    if (n <= stub_memory.n_free_mbufs[node]) {
        mp = __real_rte_pktmbuf_pool_create(name, n, cache_size, private_size,
                                            room, SOCKET_ID_ANY);
    } else {
        rte_errno = ENOMEM;
    }
    if (!mp) {
        stub_memory.n_failed_pools++;
        return NULL;
    }
    while (pools[i].mp) {
        ovs_assert(++i < ARRAY_SIZE(pools));
    }
    pools[i].mp = mp;
    pools[i].node = node;
    stub_memory.n_pools++;
    if (stub_memory.n_free_mbufs[node] != UINT_MAX) {
        stub_memory.n_free_mbufs[node] -= n;
    }
    return mp;
}

WRAP(void, rte_mempool_free, struct rte_mempool *mp)
{
    for (int i = 0; i < ARRAY_SIZE(pools); i++) {
        if (pools[i].mp == mp) {
            unsigned int *n_free = &stub_memory.n_free_mbufs[pools[i].node];

            /* Nobody may have an mbuf of a pool that goes. */
            ovs_assert(!rte_mempool_in_use_count(mp));
            *n_free += *n_free != UINT_MAX ? mp->size : 0;
            pools[i].mp = NULL;
            stub_memory.n_pools--;
        }
    }
    __real_rte_mempool_free(mp);
}

/* Blocks of memory: the C library's, so that its tools find mistakes. */

WRAP(void *, numa_alloc, size_t size)
{
    atomic_count_inc(&stub_memory.n_blocks);
    stub_memory.last_block_node = -1;
    return xmalloc_cacheline(size);
}

WRAP(void, numa_tonode_memory, void *p OVS_UNUSED, size_t size OVS_UNUSED,
     int node)
{
    stub_memory.last_block_node = node;
}

WRAP(void, numa_free, void *p, size_t size OVS_UNUSED)
{
    atomic_count_dec(&stub_memory.n_blocks);
    free_cacheline(p);
}

/* "Physical" ports. */

WRAP(uint64_t, rte_eth_find_next_owned_by, uint16_t port,
     uint64_t owner OVS_UNUSED)
{
    return port < stub_memory.n_ethdevs ? port : RTE_MAX_ETHPORTS;
}

WRAP(int, rte_eth_dev_info_get, uint16_t port, struct rte_eth_dev_info *info)
{
    memset(info, 0, sizeof *info);
    info->nb_tx_queues = stub_memory.n_txqs;
    return port == 0 ? -ENODEV : 0;     /* The first is being removed. */
}

WRAP(int, rte_eth_tx_queue_info_get, uint16_t port OVS_UNUSED, uint16_t q,
     struct rte_eth_txq_info *info)
{
    memset(info, 0, sizeof *info);
    info->nb_desc = stub_memory.n_txq_descs;
    return q == 0 ? -ENOTSUP : 0;
}

/* The rest of the world. */

WRAP(uint64_t, rte_get_tsc_hz, void)
{
    return (__real_rte_get_tsc_hz() / MAX(1, stub_memory.tsc_divisor)
            * MAX(1, stub_memory.tsc_multiplier));
}

WRAP(uint64_t, vhost_bucket_now, void)
{
    uint64_t now;

    atomic_add(&stub_memory.bucket_time, stub_memory.bucket_step, &now);
    return now ? now : __real_vhost_bucket_now();
}

WRAP(long long int, time_msec, void)
{
    return ((stub_memory.time ? stub_memory.time : __real_time_msec())
            + stub_memory.time_offset);
}

WRAP(void, poll_timer_wait_at, long long int ms, const char *where)
{
    stub_memory.wake_time = MIN(stub_memory.wake_time, time_msec() + ms);
    __real_poll_timer_wait_at(ms, where);
}

WRAP(void, poll_timer_wait_until_at, long long int when, const char *where)
{
    stub_memory.wake_time = MIN(stub_memory.wake_time, when);
    __real_poll_timer_wait_until_at(when, where);
}

WRAP(bool, dpdk_available, void)
{
    return stub_memory.dpdk_available;
}
