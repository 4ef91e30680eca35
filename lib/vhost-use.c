/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-use.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <rte_cycles.h>

#include "openvswitch/vlog.h"
#include "ovs-thread.h"

VLOG_DEFINE_THIS_MODULE(vhost_use);

/* How often the end of a burst is looked for, in us. */
#define POLL_INTERVAL 10

atomic_bool vhost_use_fences = true;

static int
membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

/* Does without fences in bursts, if possible.  Called before there are any. */
void
vhost_use_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {
            atomic_store_relaxed(&vhost_use_fences, false);
        } else {
            VLOG_INFO("each burst has a memory barrier, because there is no "
                      "membarrier() (%s)", ovs_strerror(errno));
        }
        ovsthread_once_done(&once);
    }
}

/* Orders what the caller has stored before its next loads, in the eyes of
 * bursts and looks. */
void
vhost_use_order(void)
{
    bool fences;

    /* Pairs with the fences in vhost_use_begin() and vhost_use_look(). */
    atomic_thread_fence(memory_order_seq_cst);
    atomic_read_relaxed(&vhost_use_fences, &fences);
    /* Pairs with the signal fence in vhost_use_begin().  For a process that is
     * registered, the kernel may lack memory for a moment, but no more. */
    while (!fences && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
        rte_delay_us_sleep(POLL_INTERVAL);
    }
}

/* Waits until no burst or look is under way that was when this was called, or
 * until 'deadline', a value of the TSC.  Returns true in the first case.
 * (Looks are rare: it waits until there is none at all.) */
bool
vhost_use_await(struct vhost_use *use, uint64_t deadline)
{
    unsigned int first, now, n_looks;

    atomic_read_explicit(&use->n_changes, &first, memory_order_acquire);
    for (;;) {
        /* These pair with vhost_use_end() and vhost_use_unlook(). */
        atomic_read_explicit(&use->n_changes, &now, memory_order_acquire);
        atomic_read_explicit(&use->n_looks, &n_looks, memory_order_acquire);
        if ((now != first || !(now & 1)) && !n_looks) {
            return true;
        } else if (rte_get_tsc_cycles() >= deadline) {
            return false;
        }
        rte_delay_us_sleep(POLL_INTERVAL);      /* xnanosleep() would end
                                                 * quiescence. */
    }
}
