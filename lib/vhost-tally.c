/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-tally.h"

#include <string.h>

#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"
#include "vhost-device.h"

static void refresh(struct vhost_tally *tally) OVS_REQUIRES(tally->mutex);
static void make_room(struct vhost_tally *tally) OVS_REQUIRES(tally->mutex);
static bool refresh_vring(struct vhost_tally *tally, unsigned int vring)
    OVS_REQUIRES(tally->mutex);
static void sample_vring(struct vhost_vring_tally *, long long int now);
static void retire(struct vhost_tally *tally, unsigned int vring)
    OVS_REQUIRES(tally->mutex);
static void retire_all(struct vhost_tally *tally) OVS_REQUIRES(tally->mutex);

void
vhost_tally_init(struct vhost_tally *tally)
{
    memset(tally, 0, sizeof *tally);
    ovs_mutex_init(&tally->mutex);
    ovs_mutex_lock(&tally->mutex);
    tally->last_vid = -1;
    ovs_mutex_unlock(&tally->mutex);
}

void
vhost_tally_destroy(struct vhost_tally *tally)
{
    ovs_mutex_lock(&tally->mutex);
    free(tally->vrings);
    ovs_mutex_unlock(&tally->mutex);
    ovs_mutex_destroy(&tally->mutex);
}

/* From now on, 'device' is asked for its counters. */
void
vhost_tally_start(struct vhost_tally *tally, struct vhost_device *device)
{
    ovs_mutex_lock(&tally->mutex);
    if (tally->last_vid != device->vid) {
        retire_all(tally);
    }
    tally->device = device;
    tally->last_vid = device->vid;
    ovs_mutex_unlock(&tally->mutex);
}

/* From now on, the running device is no longer asked for its counters. */
void
vhost_tally_stop(struct vhost_tally *tally)
{
    struct vhost_device *device;

    ovs_mutex_lock(&tally->mutex);
    refresh(tally);
    device = tally->device;
    for (unsigned int i = 0; i < tally->n_vrings; i++) {
        if (device->datapath->reset_stats(device,
                                          vhost_device_queue(device, i))) {
            retire(tally, i);
        }
        tally->vrings[i].sampled = 0;
        tally->vrings[i].has_rate = false;
    }
    tally->device = NULL;
    ovs_mutex_unlock(&tally->mutex);
}

/* Connection 'vid' has ended: the next one with this number is another. */
void
vhost_tally_end(struct vhost_tally *tally, int vid)
{
    ovs_mutex_lock(&tally->mutex);
    if (tally->last_vid == vid) {
        retire_all(tally);
    }
    ovs_mutex_unlock(&tally->mutex);
}

/* Adds what was ever counted on all virtqueues to '*rx' and '*tx'. */
void
vhost_tally_add_sums(struct vhost_tally *tally, struct vhost_vring_stats *rx,
                     struct vhost_vring_stats *tx)
{
    ovs_mutex_lock(&tally->mutex);
    refresh(tally);
    vhost_vring_stats_add(rx, &tally->past_rx);
    vhost_vring_stats_add(tx, &tally->past_tx);
    for (unsigned int i = 0; i < tally->n_vrings; i++) {
        vhost_vring_stats_add(i & 1 ? rx : tx, &tally->vrings[i].stats);
    }
    ovs_mutex_unlock(&tally->mutex);
}

/* Appends the statistics of each virtqueue of the running device, if any, to
 * 'custom'. */
void
vhost_tally_add_vrings(struct vhost_tally *tally,
                       struct netdev_custom_stats *custom)
{
    ovs_mutex_lock(&tally->mutex);
    refresh(tally);
    for (unsigned int i = 0; tally->device && i < tally->n_vrings; i++) {
        vhost_stats_add_vring(i, &tally->vrings[i].stats, custom);
    }
    ovs_mutex_unlock(&tally->mutex);
}

/* From now on, the rates are those since the last call. */
void
vhost_tally_sample(struct vhost_tally *tally)
{
    long long int now = time_msec();

    ovs_mutex_lock(&tally->mutex);
    if (tally->device) {
        make_room(tally);
        for (unsigned int i = 0; i < tally->n_vrings; i++) {
            if (refresh_vring(tally, i)) {
                sample_vring(&tally->vrings[i], now);
            }
        }
    }
    ovs_mutex_unlock(&tally->mutex);
}

/* Reads the rate of virtqueue 'vring' of the running device.  Returns false if
 * it is not known (yet). */
bool
vhost_tally_get_rate(struct vhost_tally *tally, unsigned int vring,
                     struct vhost_rate *rate)
{
    bool has_rate;

    ovs_mutex_lock(&tally->mutex);
    has_rate = (tally->device && vring < tally->n_vrings
                && tally->vrings[vring].has_rate);
    if (has_rate) {
        *rate = tally->vrings[vring].rate;
    }
    ovs_mutex_unlock(&tally->mutex);
    return has_rate;
}

/* Brings 'vrings' up to date, if a device is running.  A virtqueue that the
 * library does not answer for keeps its last values. */
static void
refresh(struct vhost_tally *tally)
{
    if (tally->device) {
        make_room(tally);
        for (unsigned int i = 0; i < tally->n_vrings; i++) {
            refresh_vring(tally, i);
        }
    }
}

/* Makes 'vrings' as long as the running device has virtqueues. */
static void
make_room(struct vhost_tally *tally)
{
    unsigned int n = vhost_device_n_vrings(tally->device);

    if (n > tally->n_vrings) {
        size_t size = sizeof *tally->vrings;

        tally->vrings = xrealloc(tally->vrings, n * size);
        memset(&tally->vrings[tally->n_vrings], 0,
               (n - tally->n_vrings) * size);
        tally->n_vrings = n;
    }
}

static bool
refresh_vring(struct vhost_tally *tally, unsigned int vring)
{
    struct vhost_device *device = tally->device;

    return device->datapath->get_stats(device,
                                       vhost_device_queue(device, vring),
                                       &tally->vrings[vring].stats);
}

static void
sample_vring(struct vhost_vring_tally *v, long long int now)
{
    uint64_t packets = v->stats.good_packets;
    uint64_t bytes = v->stats.good_bytes;
    long long int elapsed = now - v->sampled;

    if (v->sampled && elapsed > 0) {
        v->rate.packets = (packets - v->sampled_packets) * 1000 / elapsed;
        v->rate.bits = (bytes - v->sampled_bytes) * 8 * 1000 / elapsed;
        v->has_rate = true;
    }
    v->sampled = now;
    v->sampled_packets = packets;
    v->sampled_bytes = bytes;
}

/* Adds the counters of virtqueue 'vring' to those of the past. */
static void
retire(struct vhost_tally *tally, unsigned int vring)
{
    struct vhost_vring_tally *v = &tally->vrings[vring];

    vhost_vring_stats_add(vring & 1 ? &tally->past_rx : &tally->past_tx,
                          &v->stats);
    memset(v, 0, sizeof *v);
}

/* Adds the counters of all virtqueues of a device that will not run again to
 * those of the past. */
static void
retire_all(struct vhost_tally *tally)
{
    for (unsigned int i = 0; i < tally->n_vrings; i++) {
        retire(tally, i);
    }
    tally->n_vrings = 0;
    tally->last_vid = -1;
}
