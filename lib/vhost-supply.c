/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-supply.h"

#include "timeval.h"
#include "util.h"
#include "vhost-numa.h"

static bool is_less_for_long(const struct vhost_supply *);
static bool wants_move(struct vhost_supply *);

void
vhost_supply_init(struct vhost_supply *supply)
{
    *supply = (struct vhost_supply) {
        .wanted = { .n_rxqs = 1, .n_txqs = 1, .node = VHOST_NODE_UNKNOWN },
    };
    supply->taken = supply->wanted;

    /* A token for each ms. */
    token_bucket_init(&supply->moves, 1, VHOST_MAX_MOVES * VHOST_MOVE_TIME);
}

/* What the guest wants may have changed.  Returns true if the port is to take
 * it now. */
bool
vhost_supply_review(struct vhost_supply *supply)
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

/* Is the port to take, now that time has passed, what it was not before? */
bool
vhost_supply_is_due(struct vhost_supply *supply)
{
    return is_less_for_long(supply) || wants_move(supply);
}

/* Stores what the port is to take now in '*demand'.  From now on,
 * vhost_supply_review() compares with that. */
void
vhost_supply_take(struct vhost_supply *supply, struct vhost_demand *demand)
{
    const struct vhost_demand *taken = &supply->taken;

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
    vhost_supply_review(supply);
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
