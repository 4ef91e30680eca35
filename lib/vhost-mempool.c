/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-mempool.h"

#include <limits.h>

#include <numa.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/thread.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "packets.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"

VLOG_DEFINE_THIS_MODULE(vhost_mempool);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Mbufs that a queue may hold: one burst received or gathered for sending, and
 * one on its way through the datapath. */
#define MBUFS_PER_QUEUE (2 * NETDEV_MAX_BURST)

/* Mbufs for what holds packets without being a queue: fragments that wait for
 * reassembly, packets to the controller, recirculation. */
#define MBUFS_IN_DATAPATH 4096

/* The size of the per-thread cache of a pool, which may hold more: see
 * max_cached(). */
#define CACHE_SIZE RTE_MEMPOOL_CACHE_MAX_SIZE

/* A shared pool is made for at least this many queues, so that ports that come
 * later fit in. */
#define MIN_SHARED_QUEUES 64

/* The smallest pool that is worth having. */
#define MIN_MBUFS 2048

/* Buffers come in multiples of this, so that ports with similar MTUs share a
 * pool and physical ports find the buffer sizes that they like. */
#define BUFFER_ALIGN 1024
#define MAX_FRAME_OVERHEAD (ETH_HEADER_LEN + 4 + 2 * VLAN_HEADER_LEN)

/* How often vhost_mempool_run() looks for mbufs that came back, in ms. */
#define SWEEP_INTERVAL 100

/* More than a thread takes to put mbufs into a pool, in us. */
#define PUT_TIME_US 10000

/* All pools, those without users included. */
static struct ovs_mutex pools_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list pools OVS_GUARDED_BY(pools_mutex)
    = OVS_LIST_INITIALIZER(&pools);

/* Number of pools without users. */
static unsigned int n_unused OVS_GUARDED_BY(pools_mutex);

static int configured_mtu(const struct vhost_mempool_request *);
static struct vhost_mempool *find_shared(int node, int mtu,
                                         unsigned int n_queues)
    OVS_REQUIRES(pools_mutex);
static struct vhost_mempool *borrow(const struct vhost_mempool_request *)
    OVS_REQUIRES(pools_mutex);
static struct vhost_mempool *create(const struct vhost_mempool_request *,
                                    int mtu)
    OVS_REQUIRES(pools_mutex);
static int nearest_node(int node, uint64_t set);
static struct rte_mempool *create_on_node(const struct vhost_mempool *);
static void sweep(void) OVS_REQUIRES(pools_mutex);
static void sweep_now(void) OVS_REQUIRES(pools_mutex);

/* Returns a pool for 'request', from which the caller may allocate until it
 * calls vhost_mempool_put() with the same number of queues.  A caller that
 * changes pools gives the old one back first, so that it may get it again.
 *
 * Returns NULL, and logs why, if there is no memory at all. */
struct vhost_mempool *
vhost_mempool_get(const struct vhost_mempool_request *request)
{
    struct vhost_mempool *pool = NULL;
    int mtu = configured_mtu(request);

    ovs_mutex_lock(&pools_mutex);
    if (!vhost_config()->per_port_memory) {
        pool = find_shared(request->node, mtu, request->n_queues);
    }
    if (!pool) {
        sweep_now();
        pool = create(request, mtu);
    }
    if (!pool) {
        pool = borrow(request);
    }
    if (pool) {
        n_unused -= !pool->n_users;
        pool->n_users++;
        pool->full_since = 0;
        pool->n_queues += request->n_queues;
    } else {
        VLOG_ERR_RL(&rl, "%s: %s", request->port, vhost_mempool_shortage());
    }
    ovs_mutex_unlock(&pools_mutex);
    return pool;
}

/* Returns what users are told when vhost_mempool_get() has returned NULL. */
const char *
vhost_mempool_shortage(void)
{
    return "no memory for mbufs on any NUMA node: the port receives nothing "
           "until DPDK has more hugepage memory (dpdk-socket-mem, "
           "dpdk-socket-limit, the system's hugepages)";
}

/* Gives 'pool', which may be NULL, back for a port with 'n_queues' queues.
 * Mbufs from it may still be under way; the pool is freed when they are
 * back. */
void
vhost_mempool_put(struct vhost_mempool *pool, unsigned int n_queues)
{
    if (pool) {
        ovs_mutex_lock(&pools_mutex);
        ovs_assert(pool->n_users && pool->n_queues >= n_queues);
        pool->n_users--;
        pool->n_queues -= n_queues;
        n_unused += !pool->n_users;
        ovs_mutex_unlock(&pools_mutex);
    }
}

/* Has 'pool' become too small since it was made, because there are more
 * threads, or physical ports with more or larger transmit rings? */
bool
vhost_mempool_is_outgrown(const struct vhost_mempool *pool)
{
    return (pool->n_mbufs >= pool->wanted_mbufs && !pool->lent
            && vhost_mempool_size(pool->n_queues) > pool->n_mbufs);
}

/* Is 'pool' the kind of pool that 'request' would get if there is memory? */
bool
vhost_mempool_suits(const struct vhost_mempool *pool,
                    const struct vhost_mempool_request *request)
{
    return (pool->wanted_node == request->node
            && pool->mtu == configured_mtu(request)
            && !vhost_mempool_is_outgrown(pool));
}

/* Returns what is wrong with 'pool' for a guest on NUMA node 'node', and what
 * to set, or NULL if nothing is.  The caller must free the string. */
char *
vhost_mempool_degradation(const struct vhost_mempool *pool, int node)
{
    unsigned int wanted = pool->wanted_mbufs;

    if (pool->lent) {
        wanted = MAX(wanted, vhost_mempool_size(pool->n_queues));
    }
    if (pool->node != node) {
        return xasprintf("mbufs on NUMA node %d, guest on node %d: "
                         "DPDK has too little hugepage memory on node %d; "
                         "give it more (dpdk-socket-mem, dpdk-socket-limit "
                         "and the node's hugepages)",
                         pool->node, node, node);
    } else if (pool->n_mbufs < wanted) {
        return xasprintf("%u mbufs instead of %u: DPDK has too little "
                         "hugepage memory on NUMA node %d; give it more "
                         "(dpdk-socket-mem, dpdk-socket-limit and the "
                         "node's hugepages)",
                         pool->n_mbufs, wanted, pool->node);
    }
    return NULL;
}

/* Writes a description of 'pool' to 'stream', in the format of "ovs-appctl
 * netdev-dpdk/get-mempool-info". */
void
vhost_mempool_dump(const struct vhost_mempool *pool, FILE *stream)
{
    rte_mempool_dump(stream, pool->mp);
    fprintf(stream, "    count: avail (%u), in use (%u)\n",
            rte_mempool_avail_count(pool->mp),
            rte_mempool_in_use_count(pool->mp));
}

/* Frees pools that have no users and no mbufs under way. */
void
vhost_mempool_run(void)
{
    ovs_mutex_lock(&pools_mutex);
    if (n_unused) {
        sweep();
    }
    ovs_mutex_unlock(&pools_mutex);
}

/* Arranges for poll_block() to wake up when vhost_mempool_run() should be
 * called again. */
void
vhost_mempool_wait(void)
{
    ovs_mutex_lock(&pools_mutex);
    if (n_unused) {
        poll_timer_wait(SWEEP_INTERVAL);
    }
    ovs_mutex_unlock(&pools_mutex);
}

/* Returns the largest MTU that fits the buffers made for 'mtu'. */
int
vhost_mempool_rounded_mtu(int mtu)
{
    return ROUND_UP(mtu + MAX_FRAME_OVERHEAD, BUFFER_ALIGN)
           - MAX_FRAME_OVERHEAD;
}

/* Returns the number of mbufs that a cache of CACHE_SIZE may hold: DPDK knows,
 * and has changed it. */
static unsigned int
max_cached(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static unsigned int max = sizeof ((struct rte_mempool_cache *) 0)->objs
                              / sizeof(void *);

    if (ovsthread_once_start(&once)) {
        struct rte_mempool_cache *cache
            = rte_mempool_cache_create(CACHE_SIZE, SOCKET_ID_ANY);

        if (cache) {
            max = VHOST_MEMPOOL_CACHE_MAX(cache);
            rte_mempool_cache_free(cache);
        }
        ovsthread_once_done(&once);
    }
    return max;
}

/* Returns the number of mbufs for a pool that serves 'n_queues' queues: what
 * they, the datapath, the caches of the threads and the transmit rings of
 * physical ports may hold together. */
unsigned int
vhost_mempool_size(unsigned int n_queues)
{
    unsigned int n = MBUFS_IN_DATAPATH + n_queues * MBUFS_PER_QUEUE;
    unsigned int lcore;
    uint16_t port;

    for (lcore = 0; lcore < RTE_MAX_LCORE; lcore++) {
        if (rte_eal_lcore_role(lcore) != ROLE_OFF) {
            n += max_cached() + NETDEV_MAX_BURST;
        }
    }
    RTE_ETH_FOREACH_DEV (port) {
        struct rte_eth_dev_info info;

        if (rte_eth_dev_info_get(port, &info)) {
            continue;
        }
        for (uint16_t q = 0; q < info.nb_tx_queues; q++) {
            struct rte_eth_txq_info txq;

            if (!rte_eth_tx_queue_info_get(port, q, &txq)) {
                n += txq.nb_desc;
            }
        }
    }
    return n;
}

/* Returns the MTU that the buffers for 'request' should hold: that of the
 * smallest fitting pool in "shared-mempool-config", or the port's own. */
static int
configured_mtu(const struct vhost_mempool_request *request)
{
    const struct vhost_config *config = vhost_config();
    int mtu = vhost_mempool_rounded_mtu(request->mtu);
    int best = INT_MAX;

    if (!config->per_port_memory) {
        for (size_t i = 0; i < config->n_shared_mempools; i++) {
            const struct vhost_shared_mempool *sm
                = &config->shared_mempools[i];
            int rounded = vhost_mempool_rounded_mtu(sm->mtu);

            if (rounded >= mtu && rounded < best
                && (sm->node == VHOST_ANY_NODE || sm->node == request->node)) {
                best = rounded;
            }
        }
    }
    return best != INT_MAX ? best : mtu;
}

/* Returns a pool for 'mtu' on 'node' that has room for 'n_queues' more queues,
 * or one that fell short of what was asked for on that node, or NULL. */
static struct vhost_mempool *
find_shared(int node, int mtu, unsigned int n_queues)
{
    struct vhost_mempool *pool, *degraded = NULL;

    LIST_FOR_EACH (pool, list_node, &pools) {
        if (pool->private || pool->wanted_node != node || pool->mtu != mtu) {
            continue;
        }
        if (pool->node != node || pool->n_mbufs < pool->wanted_mbufs) {
            degraded = pool;
        } else if (vhost_mempool_size(pool->n_queues + n_queues)
                   <= pool->n_mbufs) {
            return pool;
        }
    }
    return degraded;
}

/* Returns any pool with buffers large enough for 'request', the one with the
 * fewest queues for each mbuf, or NULL. */
static struct vhost_mempool *
borrow(const struct vhost_mempool_request *request)
{
    int mtu = vhost_mempool_rounded_mtu(request->mtu);
    struct vhost_mempool *pool, *best = NULL;

    LIST_FOR_EACH (pool, list_node, &pools) {
        if (pool->mtu >= mtu
            && (!best || ((uint64_t) pool->n_queues * best->n_mbufs
                          < (uint64_t) best->n_queues * pool->n_mbufs))) {
            best = pool;
        }
    }
    if (best) {
        best->lent = true;
        VLOG_WARN("%s: no memory for a mempool of its own, using mempool %s "
                  "that others use", request->port, best->mp->name);
    }
    return best;
}

/* Creates a pool for 'request' with buffers for 'mtu', on the nearest node
 * that has memory for it.  Returns NULL if none has. */
static struct vhost_mempool *
create(const struct vhost_mempool_request *request, int mtu)
{
    int n_nodes = numa_available() < 0 ? 1 : MIN(numa_max_node() + 1, 64);
    struct vhost_mempool *pool = xzalloc(sizeof *pool);
    uint64_t untried = n_nodes == 64 ? UINT64_MAX
                                     : (UINT64_C(1) << n_nodes) - 1;
    char *warning;

    pool->wanted_node = request->node;
    pool->mtu = mtu;
    pool->private = vhost_config()->per_port_memory;
    pool->wanted_mbufs = vhost_mempool_size(
        pool->private ? request->n_queues
                      : MAX(request->n_queues, MIN_SHARED_QUEUES));

    while (!pool->mp && untried) {
        pool->node = nearest_node(request->node, untried);
        untried &= ~(UINT64_C(1) << pool->node);

        pool->n_mbufs = pool->wanted_mbufs;
        do {
            pool->mp = create_on_node(pool);
        } while (!pool->mp && (pool->n_mbufs /= 2) >= MIN_MBUFS);
    }
    if (!pool->mp) {
        free(pool);
        return NULL;
    }

    ovs_list_push_back(&pools, &pool->list_node);
    n_unused++;                 /* Until vhost_mempool_get() counts a user. */
    VLOG_DBG("%s: created mempool %s with %u mbufs on NUMA node %d.",
             request->port, pool->mp->name, pool->n_mbufs, pool->node);
    warning = vhost_mempool_degradation(pool, request->node);
    if (warning) {
        VLOG_WARN("%s: mempool %s: %s", request->port, pool->mp->name,
                  warning);
        free(warning);
    }
    return pool;
}

/* Returns the node in 'set', a nonempty bitmap, that is nearest to 'node'. */
static int
nearest_node(int node, uint64_t set)
{
    int best = raw_ctz(set);

    for (uint64_t rest = zero_rightmost_1bit(set); rest;
         rest = zero_rightmost_1bit(rest)) {
        int candidate = raw_ctz(rest);

        if (candidate == node
            || (best != node
                && numa_distance(node, candidate) < numa_distance(node,
                                                                  best))) {
            best = candidate;
        }
    }
    return best;
}

static void
init_dp_packet(struct rte_mempool *mp OVS_UNUSED, void *opaque OVS_UNUSED,
               void *packet, unsigned int i OVS_UNUSED)
{
    dp_packet_init_dpdk(packet);
}

static struct rte_mempool *
create_on_node(const struct vhost_mempool *pool)
{
    static unsigned int serial;
    char name[RTE_MEMPOOL_NAMESIZE];
    size_t room = pool->mtu + MAX_FRAME_OVERHEAD + RTE_PKTMBUF_HEADROOM;
    size_t private_size = sizeof(struct dp_packet) - sizeof(struct rte_mbuf);
    struct rte_mempool *mp;

    /* Each packet starts on a cache line. */
    private_size += PAD_SIZE(sizeof(struct dp_packet) + room,
                             RTE_CACHE_LINE_SIZE);
    private_size = ROUND_UP(private_size, RTE_MBUF_PRIV_ALIGN);

    snprintf(name, sizeof name, "ovs-vhost-%04x-n%d-%d",
             serial++ & 0xffff, pool->node, pool->mtu);
    mp = rte_pktmbuf_pool_create(name, pool->n_mbufs, CACHE_SIZE, private_size,
                                 room, pool->node);
    if (mp) {
        rte_mempool_obj_iter(mp, init_dp_packet, NULL);
    } else {
        VLOG_DBG("mempool %s of %u mbufs: %s", name,
                 pool->n_mbufs, rte_strerror(rte_errno));
    }
    return mp;
}

/* Are all mbufs of 'mp', from which no thread takes any, back in it?  A thread
 * that is putting some back may have them in two places, or still write to its
 * cache: it must have finished that before the pool may be freed.
 *
 * rte_mempool_full() is no answer: it takes more for as many. */
static bool
is_full(const struct rte_mempool *mp)
{
    unsigned int n = rte_mempool_get_ops(mp->ops_index)->get_count(mp);

    for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
        n += mp->local_cache[i].len;
    }
    return n == mp->size;
}

static void
destroy(struct vhost_mempool *pool)
    OVS_REQUIRES(pools_mutex)
{
    VLOG_DBG("Freeing mempool %s.", pool->mp->name);
    ovs_list_remove(&pool->list_node);
    rte_mempool_free(pool->mp);
    free(pool);
    n_unused--;
}

static void
note_grace_period(atomic_uint64_t *n_ended)
{
    uint64_t n;

    atomic_add_relaxed(n_ended, 1, &n);
}

/* Frees the pools that have no user and that were full before the last grace
 * period of the RCU, which this sees to: 'full_since' is the number of the
 * first one that began later, or 0. */
static void
sweep(void)
{
    static atomic_uint64_t n_ended = 0;
    static uint64_t n_begun;
    struct vhost_mempool *pool;
    bool waiting = false;
    uint64_t n;

    atomic_read_relaxed(&n_ended, &n);
    LIST_FOR_EACH_SAFE (pool, list_node, &pools) {
        if (pool->n_users || !is_full(pool->mp)) {
            pool->full_since = 0;
        } else if (!pool->full_since) {
            pool->full_since = n_begun + 1;
            waiting = true;
        } else if (n >= pool->full_since) {
            destroy(pool);
        } else {
            waiting = true;
        }
    }
    if (waiting && n == n_begun) {
        n_begun++;
        ovsrcu_postpone(note_grace_period, &n_ended);
    }
}

/* Frees the pools that have no user, because their memory is needed now.
 * There can be no grace period, for which the caller would have to quiesce. */
static void
sweep_now(void)
{
    struct vhost_mempool *pool;
    bool any = false;

    LIST_FOR_EACH (pool, list_node, &pools) {
        pool->was_full = !pool->n_users && is_full(pool->mp);
        any |= pool->was_full;
    }
    if (any) {
        rte_delay_us_sleep(PUT_TIME_US);        /* xnanosleep() quiesces. */
    }
    LIST_FOR_EACH_SAFE (pool, list_node, &pools) {
        if (pool->was_full && is_full(pool->mp)) {
            destroy(pool);
        }
    }
}
