/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SUPPLY_H
#define VHOST_SUPPLY_H 1

/* What a port has for its guest, and when that is to change.
 *
 * A change is a reconfiguration, which holds up the ports around.  So a guest
 * gets more queues at once, and all that it has set up; has fewer taken away
 * only when it has not wanted them for a while; and is followed to another
 * NUMA node some times in a row, and then once in a while.  None of what it
 * does over and over keeps the datapath busy.
 *
 * Any thread; the caller locks. */

#include <stdbool.h>

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
    /* For the caller to set, with a vhost_supply_review() after it. */
    struct vhost_demand wanted;
    unsigned int n_pairs;       /* Queue pairs that the guest has set up. */

    struct vhost_demand taken;  /* What the port has. */
    long long int less_since;   /* When 'wanted' became less, in ms; or 0. */
    struct token_bucket moves;
    bool may_move;              /* Was a move taken from 'moves'? */
};

void vhost_supply_init(struct vhost_supply *);
bool vhost_supply_review(struct vhost_supply *);
bool vhost_supply_is_due(struct vhost_supply *);
void vhost_supply_take(struct vhost_supply *, struct vhost_demand *);

#endif /* vhost-supply.h */
