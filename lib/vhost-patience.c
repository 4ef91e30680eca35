/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-patience.h"

#include "timeval.h"
#include "util.h"

void
vhost_patience_init(struct vhost_patience *patience)
{
    *patience = (struct vhost_patience) {
        .credit = VHOST_PATIENCE_MAX, .updated = time_msec(),
    };
}

/* Takes all that there is of 'patience', for a wait that begins now, and
 * returns how long that may last, in ms. */
unsigned int
vhost_patience_take(struct vhost_patience *patience)
{
    long long int now = time_msec();
    long long int gained = (now - patience->updated) / VHOST_PATIENCE_RECOVERY;

    patience->granted = MIN(VHOST_PATIENCE_MAX, patience->credit + gained);
    patience->credit = 0;
    patience->updated = patience->start = now;
    return MAX(patience->granted, VHOST_PATIENCE_MIN);
}

/* Gives back what the wait that began last, which has ended well, has not
 * used. */
void
vhost_patience_give_back(struct vhost_patience *patience)
{
    long long int used = time_msec() - patience->start;

    patience->credit += patience->granted - MIN(patience->granted, used);
    patience->granted = 0;
}
