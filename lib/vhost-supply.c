/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-supply.h"

#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"
#include "vhost-numa.h"

static bool review(struct vhost_supply *supply) OVS_REQUIRES(supply->mutex);
static bool is_less_for_long(const struct vhost_supply *supply)
    OVS_REQUIRES(supply->mutex);
static bool wants_move(struct vhost_supply *supply)
    OVS_REQUIRES(supply->mutex);

void
vhost_supply_init(struct vhost_supply *supply)
{
    const struct vhost_demand least = {
        .n_rxqs = 1, .n_txqs = 1, .node = VHOST_NODE_UNKNOWN
    };

    ovs_mutex_init(&supply->mutex);
    ovs_mutex_lock(&supply->mutex);
    supply->wanted = supply->taken = least;
    supply->n_pairs = 0;
    supply->less_since = 0;
    supply->may_move = false;

    /* A token for each ms. */
    token_bucket_init(&supply->moves, 1, VHOST_MAX_MOVES * VHOST_MOVE_TIME);
    ovs_mutex_unlock(&supply->mutex);
}

void
vhost_supply_destroy(struct vhost_supply *supply)
{
    ovs_mutex_destroy(&supply->mutex);
}

/* A guest has come, whose rings are on NUMA node 'node'.  What else it wants
 * is said by the vhost_supply_want() that follows. */
void
vhost_supply_arrive(struct vhost_supply *supply, int node)
{
    ovs_mutex_lock(&supply->mutex);
    supply->wanted.has_guest = true;
    supply->wanted.node = node;
    ovs_mutex_unlock(&supply->mutex);
}

/* The guest, which has set up 'n_pairs' queue pairs, wants so many receive and
 * transmit queues of the port, at least 1 of each.  Returns true if the port
 * is to take now what the guest wants. */
bool
vhost_supply_want(struct vhost_supply *supply, unsigned int n_rxqs,
                  unsigned int n_txqs, unsigned int n_pairs)
{
    bool more;

    ovs_mutex_lock(&supply->mutex);
    supply->wanted.n_rxqs = n_rxqs;
    supply->wanted.n_txqs = n_txqs;
    supply->n_pairs = n_pairs;
    more = review(supply);
    ovs_mutex_unlock(&supply->mutex);
    return more;
}

/* The last guest has gone. */
void
vhost_supply_leave(struct vhost_supply *supply)
{
    ovs_mutex_lock(&supply->mutex);
    supply->wanted.has_guest = false;
    supply->wanted.n_rxqs = supply->wanted.n_txqs = 1;
    review(supply);
    ovs_mutex_unlock(&supply->mutex);
}

/* Notes since when the guest has wanted less than the port has.  Returns true
 * if the port is to take now what it wants. */
static bool
review(struct vhost_supply *supply)
{
    const struct vhost_demand *wanted = &supply->wanted;
    const struct vhost_demand *taken = &supply->taken;
    bool less = (wanted->has_guest < taken->has_guest
                 || wanted->n_rxqs < taken->n_rxqs
                 || wanted->n_txqs < taken->n_txqs);

    if (!less) {
        supply->less_since = 0;
    } else if (!supply->less_since) {
        supply->less_since = time_msec();
    }
    return (wanted->has_guest > taken->has_guest
            || wanted->n_rxqs > taken->n_rxqs
            || wanted->n_txqs > taken->n_txqs
            || wants_move(supply));
}

/* Has enough time passed for a change that had to wait? */
bool
vhost_supply_is_due(struct vhost_supply *supply)
{
    bool is_due;

    ovs_mutex_lock(&supply->mutex);
    is_due = is_less_for_long(supply) || wants_move(supply);
    ovs_mutex_unlock(&supply->mutex);
    return is_due;
}

/* Stores what the port is to take now in '*demand'.  What the guest wants is
 * compared with that from now on. */
void
vhost_supply_take(struct vhost_supply *supply, struct vhost_demand *demand)
{
    const struct vhost_demand *taken;

    ovs_mutex_lock(&supply->mutex);
    taken = &supply->taken;
    *demand = supply->wanted;
    if (!is_less_for_long(supply)) {
        demand->has_guest |= taken->has_guest;
        demand->n_rxqs = (demand->n_rxqs > taken->n_rxqs
                          ? MAX(demand->n_rxqs, supply->n_pairs)
                          : taken->n_rxqs);
        demand->n_txqs = (demand->n_txqs > taken->n_txqs
                          ? MAX(demand->n_txqs, supply->n_pairs)
                          : taken->n_txqs);
    }
    if (wants_move(supply)) {
        supply->may_move = false;
    } else {
        demand->node = taken->node;
    }
    supply->taken = *demand;
    review(supply);
    ovs_mutex_unlock(&supply->mutex);
}

static bool
is_less_for_long(const struct vhost_supply *supply)
{
    return (supply->less_since
            && time_msec() >= supply->less_since + VHOST_SETTLE_TIME);
}

/* Is the guest on another node, and not so for too many times? */
static bool
wants_move(struct vhost_supply *supply)
{
    if (!supply->wanted.has_guest
        || supply->wanted.node == supply->taken.node) {
        return false;
    }
    if (!supply->may_move) {
        supply->may_move = token_bucket_withdraw(&supply->moves,
                                                 VHOST_MOVE_TIME);
    }
    return supply->may_move;
}
