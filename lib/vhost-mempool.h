/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_MEMPOOL_H
#define VHOST_MEMPOOL_H 1

/* Pools of mbufs for vhost-user ports, by NUMA node and buffer size.
 *
 * A pool is made when a guest connects and freed when its last user has left
 * and its last mbuf has come back.  Ports with the same node and buffer size
 * share one, as long as its size covers what they may hold together; a port
 * that does not fit gets a further pool.  With "per-port-memory", no port
 * shares.
 *
 * What a vhost-user port holds is small, because it copies: a burst for each
 * receive queue, one for each transmit queue that gathers output.  What holds
 * many mbufs is elsewhere in the switch: the caches of the threads and the
 * transmit rings of physical ports.  vhost_mempool_size() adds all of it up.
 *
 * When memory is short, a smaller pool is tried, then other nodes' memory,
 * nearest node first, then a pool that others use.  A user that gets less than
 * it asked for can tell with vhost_mempool_degradation().
 *
 * The functions may be called from any thread.  Those that take a pool are for
 * its users. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "openvswitch/list.h"

struct rte_mempool;

/* What a port needs. */
struct vhost_mempool_request {
    const char *port;           /* Port name, for messages. */
    int node;                   /* NUMA node of the guest. */
    int mtu;                    /* MTU of the port. */
    unsigned int n_queues;      /* Receive plus transmit queues. */
};

struct vhost_mempool {
    struct ovs_list list_node;  /* In the list of all pools. */
    struct rte_mempool *mp;
    int wanted_node;            /* NUMA node that was asked for. */
    int node;                   /* NUMA node where the memory is. */
    int mtu;                    /* Rounded MTU that a buffer holds. */
    unsigned int n_mbufs;       /* Size. */
    unsigned int wanted_mbufs;  /* Size that was asked for. */
    unsigned int n_users;
    unsigned int n_queues;      /* Sum over the users. */
    bool private;               /* Made under "per-port-memory". */
    bool lent;                  /* Used for lack of a further pool? */

    /* Without users, was it full: when it was swept (see there), and when
     * memory was needed at last? */
    uint64_t full_since;
    bool was_full;
};

struct vhost_mempool *vhost_mempool_get(const struct vhost_mempool_request *);
const char *vhost_mempool_shortage(void);
void vhost_mempool_put(struct vhost_mempool *, unsigned int n_queues);
bool vhost_mempool_suits(const struct vhost_mempool *,
                         const struct vhost_mempool_request *);
bool vhost_mempool_is_outgrown(const struct vhost_mempool *);
char *vhost_mempool_degradation(const struct vhost_mempool *, int node);
void vhost_mempool_dump(const struct vhost_mempool *, FILE *);

void vhost_mempool_run(void);
void vhost_mempool_wait(void);

int vhost_mempool_rounded_mtu(int mtu);
unsigned int vhost_mempool_size(unsigned int n_queues);

#endif /* vhost-mempool.h */
