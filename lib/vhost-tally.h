/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_TALLY_H
#define VHOST_TALLY_H 1

/* What is counted on a port's virtqueues, over all of its guest's
 * connections.
 *
 * A data path's counters begin again at 0 with each device, or with each
 * connection, and librte_vhost's cannot be asked for while it handles a
 * message.  So the last values are kept, and those of the past are added up.
 *
 * A session owns its tally.  Which threads may call what is said below. */

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/thread.h"
#include "vhost-stats.h"

struct netdev_custom_stats;
struct vhost_device;

/* One virtqueue. */
struct vhost_vring_tally {
    struct vhost_vring_stats stats;

    long long int sampled;      /* When, in ms; 0 for not yet. */
    uint64_t sampled_packets;   /* What 'stats' had then. */
    uint64_t sampled_bytes;
    struct vhost_rate rate;     /* Between the last two samples. */
    bool has_rate;              /* Were there two? */
};

struct vhost_tally {
    struct ovs_mutex mutex;
    struct vhost_device *device OVS_GUARDED;    /* Running, or NULL. */
    int last_vid OVS_GUARDED;   /* Whose 'vrings' are, or -1. */
    struct vhost_vring_tally *vrings OVS_GUARDED;
    unsigned int n_vrings OVS_GUARDED;
    struct vhost_vring_stats past_rx OVS_GUARDED;
    struct vhost_vring_stats past_tx OVS_GUARDED;
};

void vhost_tally_init(struct vhost_tally *);
void vhost_tally_destroy(struct vhost_tally *);     /* No other user. */

/* For librte_vhost's event thread: a device starts, it stops, its connection
 * ends. */
void vhost_tally_start(struct vhost_tally *, struct vhost_device *);
void vhost_tally_stop(struct vhost_tally *);
void vhost_tally_end(struct vhost_tally *, int vid);

/* For the main thread: it is time for another sample of all rates. */
void vhost_tally_sample(struct vhost_tally *);

/* For any thread. */
void vhost_tally_add_sums(struct vhost_tally *, struct vhost_vring_stats *rx,
                          struct vhost_vring_stats *tx);
void vhost_tally_add_vrings(struct vhost_tally *,
                            struct netdev_custom_stats *);
bool vhost_tally_get_rate(struct vhost_tally *, unsigned int vring,
                          struct vhost_rate *);

#endif /* vhost-tally.h */
