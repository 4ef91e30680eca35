/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-hold.h"

#include <rte_cycles.h>

#include "dp-packet.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-stats.h"

/* Time between two attempts, in microseconds. */
#define ATTEMPT_INTERVAL 10

static struct vhost_hold *
get_hold(struct vhost_queue *q)
{
    return ovsrcu_get(struct vhost_hold *, &q->hold);
}

static unsigned int
n_held(struct vhost_hold *hold)
{
    unsigned int n;

    atomic_read_relaxed(&hold->n, &n);
    return n;
}

/* Gives transmit queue 'q' room for packets that wait, if it has none. */
void
vhost_hold_create(struct vhost_queue *q)
{
    if (!get_hold(q)) {
        ovsrcu_set(&q->hold, xzalloc(sizeof(struct vhost_hold)));
    }
}

void
vhost_hold_destroy(struct vhost_queue *q)
{
    free(get_hold(q));
}

static struct rte_mbuf **
slot(struct vhost_hold *hold, unsigned int i)
{
    return &hold->mbufs[(hold->first + i) % VHOST_HOLD_SIZE];
}

/* Frees the first 'n' packets of 'hold'. */
static void
remove_first(struct vhost_device *device, struct vhost_hold *hold,
             unsigned int n)
{
    unsigned int left = n_held(hold) - n;
    int orig;

    for (unsigned int i = 0; i < n; i++) {
        rte_pktmbuf_free(*slot(hold, i));
    }
    hold->first += n;
    atomic_store_relaxed(&hold->n, left);
    if (n && !left) {
        atomic_sub_relaxed(&device->n_holding, 1, &orig);
    }
}

/* Drops all packets that wait for 'q', if it has any. */
void
vhost_hold_drop(struct vhost_device *device, struct vhost_queue *q,
                struct vhost_counters *counters)
{
    struct vhost_hold *hold = get_hold(q);

    if (hold && n_held(hold)) {
        if (counters) {
            vhost_count(counters, tx_held_drops, n_held(hold));
        }
        remove_first(device, hold, n_held(hold));
    }
}

/* Lets up to 'n' mbufs wait for 'q', and returns how many.  These then belong
 * to the queue. */
uint16_t
vhost_hold_add(struct vhost_device *device, struct vhost_queue *q,
               struct rte_mbuf **mbufs, uint16_t n,
               struct vhost_counters *counters)
{
    struct vhost_hold *hold = get_hold(q);
    unsigned int n_before;
    bool withdrawn;
    int orig;

    /* The lock orders this before or after vhost_device_destroy(), which drops
     * them. */
    atomic_read_relaxed(&device->withdrawn, &withdrawn);
    if (!hold || withdrawn) {
        return 0;
    }
    n_before = n_held(hold);
    n = MIN(n, VHOST_HOLD_SIZE - n_before);
    if (!n) {
        return 0;
    }
    for (unsigned int i = 0; i < n; i++) {
        *slot(hold, n_before + i) = mbufs[i];
    }
    if (!n_before) {
        hold->last_success = hold->last_attempt = rte_rdtsc();
        atomic_add_relaxed(&device->n_holding, 1, &orig);
    }
    atomic_store_relaxed(&hold->n, n_before + n);
    vhost_count(counters, tx_held, n);
    return n;
}

/* Tries to send the packets that wait for 'q', and drops them if that has not
 * been possible for too long.  Returns true if none is left. */
bool
vhost_hold_flush(struct vhost_device *device, struct vhost_queue *q,
                 struct vhost_counters *counters)
{
    struct vhost_hold *hold = get_hold(q);
    uint64_t now, hz;

    if (OVS_LIKELY(!hold || !n_held(hold))) {
        return true;
    }
    now = rte_rdtsc();
    hz = rte_get_tsc_hz();
    if (now - hold->last_attempt < hz / 1000000 * ATTEMPT_INTERVAL) {
        return false;
    }
    hold->last_attempt = now;
    while (n_held(hold)) {
        struct rte_mbuf *mbufs[NETDEV_MAX_BURST];
        uint16_t n = MIN(n_held(hold), NETDEV_MAX_BURST);
        uint16_t n_sent;

        for (unsigned int i = 0; i < n; i++) {
            mbufs[i] = *slot(hold, i);
        }
        n_sent = device->datapath->enqueue(device, q, mbufs, n, counters);
        if (!n_sent) {
            break;
        }
        remove_first(device, hold, n_sent);
        hold->last_success = now;
    }
    if (now - hold->last_success > hz / 1000 * VHOST_HOLD_TIME) {
        vhost_hold_drop(device, q, counters);
    }
    return !n_held(hold);
}

void
vhost_hold_flush_all(struct vhost_device *device,
                     struct vhost_counters *counters)
{
    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        struct vhost_queue *q = &device->txqs[i];
        struct vhost_hold *hold = get_hold(q);

        if (hold && n_held(hold) && rte_spinlock_trylock(&q->lock)) {
            vhost_hold_flush(device, q, counters);
            rte_spinlock_unlock(&q->lock);
        }
    }
}
