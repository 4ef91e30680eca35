/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_USE_H
#define VHOST_USE_H 1

/* Who is using a virtqueue at the moment?
 *
 *
 * Concept
 * =======
 *
 * What a guest may take back at any time, its virtqueues and its memory, is in
 * use for as long as a burst takes.  The control plane waits for that, and for
 * nothing else.  It does not wait for a grace period of the RCU, because that
 * takes as long as the slowest thread, and the main thread may be busy for
 * seconds.  So threads leave a mark:
 *
 *     Data path                     Control plane
 *
 *     vhost_use_begin()             store: from now on, it may not be used
 *     load: may it be used?         vhost_use_order()
 *     ...use it...                  vhost_use_await()
 *     vhost_use_end()               ...it is not in use...
 *
 * Each side stores, then loads what the other one has stored.  Either the data
 * path sees that it must not, or the control plane sees the mark, if no load
 * is done before the store: both sides need a barrier.  To have one in each
 * burst would be dear, so vhost_use_order() makes all threads of the process
 * that run pass one, with membarrier(2), which costs about a microsecond.
 * Where that is not available, each burst has a fence.
 *
 * A thread that only looks, while another may have a burst, calls
 * vhost_use_look() and vhost_use_unlook() in place of vhost_use_begin() and
 * vhost_use_end().
 *
 * What must outlive a burst is none of its business: memory that a thread may
 * find until it quiesces is freed with ovsrcu_postpone().
 *
 *
 * Thread-safety
 * =============
 *
 * Bursts: one thread at a time, for each 'struct vhost_use'.  They are not
 * nested.  Looks: any thread, but one that waits for no burst.  The rest: any
 * thread. */

#include <stdbool.h>
#include <stdint.h>

#include "ovs-atomic.h"
#include "util.h"

/* All zeros if not in use. */
struct vhost_use {
    atomic_uint n_changes;      /* Odd during a burst. */
    atomic_uint n_looks;        /* Under way. */
};

/* Does each burst need a fence?  Constant once vhost_use_init() returned. */
extern atomic_bool vhost_use_fences;

void vhost_use_init(void);

static inline void
vhost_use_begin(struct vhost_use *use)
{
    unsigned int n;
    bool fences;

    atomic_read_relaxed(&use->n_changes, &n);
    atomic_store_relaxed(&use->n_changes, n + 1);
    /* Either of these pairs with vhost_use_order(). */
    atomic_read_relaxed(&vhost_use_fences, &fences);
    if (OVS_UNLIKELY(fences)) {
        atomic_thread_fence(memory_order_seq_cst);
    } else {
        atomic_signal_fence(memory_order_seq_cst);
    }
}

static inline void
vhost_use_end(struct vhost_use *use)
{
    unsigned int n;

    atomic_read_relaxed(&use->n_changes, &n);
    /* Pairs with the acquisition in vhost_use_await(). */
    atomic_store_explicit(&use->n_changes, n + 1, memory_order_release);
}

static inline void
vhost_use_look(struct vhost_use *use)
{
    unsigned int orig;

    atomic_add_relaxed(&use->n_looks, 1, &orig);
    /* Pairs with vhost_use_order(). */
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void
vhost_use_unlook(struct vhost_use *use)
{
    unsigned int orig;

    /* Pairs with the acquisition in vhost_use_await(). */
    atomic_sub_explicit(&use->n_looks, 1, &orig, memory_order_release);
}

void vhost_use_order(void);
bool vhost_use_await(struct vhost_use *, uint64_t deadline);

#endif /* vhost-use.h */
