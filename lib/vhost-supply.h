/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SUPPLY_H
#define VHOST_SUPPLY_H 1

/* What a port has for its guest, and when that is to change.
 *
 * A change is a reconfiguration, which holds up the ports around.  So a guest
 * gets more queues at once, and all that it has set up; loses some only when
 * it has not wanted them for a while; and is followed to another NUMA node
 * some times in a row, and then once in a while.  Nothing that a guest does
 * repeatedly keeps the datapath busy.
 *
 * All functions are thread-safe.  The event thread of librte_vhost says what
 * the guest wants, the main thread what the port has taken. */

#include <stdbool.h>

#include "openvswitch/thread.h"
#include "openvswitch/token-bucket.h"

/* How long a guest must want less than the port has before that is taken away,
 * in ms.  Until then, a guest that comes back costs no reconfiguration. */
#define VHOST_SETTLE_TIME 3000

/* A guest is followed to another node this many times in a row, and one more
 * time each so many ms. */
#define VHOST_MAX_MOVES 32
#define VHOST_MOVE_TIME 500

/* What a guest wants of a port. */
struct vhost_demand {
    bool has_guest;             /* Did a device run on this connection? */
    unsigned int n_rxqs;        /* At least 1. */
    unsigned int n_txqs;        /* At least 1. */
    int node;                   /* NUMA node, or VHOST_NODE_UNKNOWN. */
};

struct vhost_supply {
    struct ovs_mutex mutex;
    struct vhost_demand wanted OVS_GUARDED;     /* By the guest. */
    unsigned int n_pairs OVS_GUARDED;   /* Queue pairs that it has set up. */

    struct vhost_demand taken OVS_GUARDED;      /* What the port has. */
    long long int less_since OVS_GUARDED;       /* When 'wanted' became less,
                                                 * in ms; or 0. */
    struct token_bucket moves OVS_GUARDED;
    bool may_move OVS_GUARDED;          /* Was a move taken from 'moves'? */
};

void vhost_supply_init(struct vhost_supply *);
void vhost_supply_destroy(struct vhost_supply *);

void vhost_supply_arrive(struct vhost_supply *, int node);
bool vhost_supply_want(struct vhost_supply *, unsigned int n_rxqs,
                       unsigned int n_txqs, unsigned int n_pairs);
void vhost_supply_leave(struct vhost_supply *);

bool vhost_supply_is_due(struct vhost_supply *);
void vhost_supply_take(struct vhost_supply *, struct vhost_demand *);

#endif /* vhost-supply.h */
