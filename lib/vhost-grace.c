/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-grace.h"

#include <stdlib.h>

#include <rte_cycles.h>

#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "util.h"

/* How often the end is looked for, in us. */
#define POLL_INTERVAL 100

/* The end of a grace period, shared by the thread that waits for it and the
 * callback that the RCU makes then: the last one frees it. */
struct grace {
    struct ovs_refcount refcount;
    atomic_bool over;
};

static void
grace_unref(struct grace *grace)
{
    if (ovs_refcount_unref(&grace->refcount) == 1) {
        free(grace);
    }
}

static void
grace_end(struct grace *grace)
{
    /* Pairs with the acquisition in vhost_grace_wait(). */
    atomic_store_explicit(&grace->over, true, memory_order_release);
    grace_unref(grace);
}

/* Waits until each thread has quiesced, or until 'give_up', with 'aux' as its
 * argument, returns true.  Returns true if all threads have quiesced. */
bool
vhost_grace_wait(bool (*give_up)(void *aux), void *aux)
{
    struct grace *grace = xmalloc(sizeof *grace);
    bool over;

    ovs_refcount_init(&grace->refcount);
    ovs_refcount_ref(&grace->refcount);
    atomic_init(&grace->over, false);
    ovsrcu_postpone(grace_end, grace);
    ovsrcu_quiesce_start();     /* librte_vhost's threads know no RCU. */

    for (;;) {
        atomic_read_explicit(&grace->over, &over, memory_order_acquire);
        if (give_up(aux) || over) {
            break;
        }
        rte_delay_us_sleep(POLL_INTERVAL);  /* xnanosleep() would end
                                             * quiescence. */
    }
    grace_unref(grace);
    return over;
}
