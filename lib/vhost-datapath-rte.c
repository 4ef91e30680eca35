/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */


#include <config.h>

#include "vhost-datapath.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-guard.h"
#include "vhost-offload.h"

/* More counters than librte_vhost has for a virtqueue. */
#define MAX_LIBRARY_STATS 64

/* The most that a change of translations waits for bursts. */
#define MAX_BURST_MS 100

/* Tells the guest, once, that it need not notify us.  Only here, because the
 * library wants a lock that it holds when it calls back. */
static inline void
suppress_notifications(struct vhost_device *device, struct vhost_queue *q)
{
    bool quiet;

    atomic_read_relaxed(&q->quiet, &quiet);
    /* It may have to translate the ring's addresses first. */
    if (OVS_UNLIKELY(!quiet)
        && !rte_vhost_enable_guest_notification(device->vid, q->vring, 0)) {
        atomic_store_relaxed(&q->quiet, true);
    }
}

/* Begins a burst on 'q', if it may be used: librte_vhost would go on with
 * rings whose memory has gone, or that were never given a size. */
static inline bool
enter(struct vhost_device *device, struct vhost_queue *q)
{
    bool usable;

    atomic_read_relaxed(&q->usable, &usable);
    if (OVS_UNLIKELY(!usable || vhost_guard_is_lost(device->vid))) {
        if (usable) {
            atomic_store_relaxed(&q->fault, vhost_guard_fault);
        }
        return false;
    }
    vhost_guard_enter(device->vid);
    suppress_notifications(device, q);
    return true;
}

/* Begins and ends a burst on 'q' that moves packets.
 *
 * Translations must not change under it.  DPDK asks for one that is missing in
 * the middle of a buffer, then looks again for what it wanted, but at the
 * address in the middle: had the answer come in between, it would take what it
 * finds for the beginning, and read or write the wrong bytes of the guest's.
 * (Since 23.07, __vhost_iova_to_vva().) */
static inline bool
begin_burst(struct vhost_device *device, struct vhost_queue *q)
{
    bool changing = false;

    if (vhost_device_has(device, VIRTIO_F_ACCESS_PLATFORM)) {
        /* The fence pairs with that in rte_set_translations_changing(): either
         * this sees the change, or that sees this burst. */
        atomic_store_relaxed(&q->translating, true);
        atomic_thread_fence(memory_order_seq_cst);
        atomic_read_explicit(&device->translations_changing, &changing,
                             memory_order_acquire);
    }
    if (OVS_UNLIKELY(changing) || !enter(device, q)) {
        atomic_store_relaxed(&q->translating, false);
        return false;
    }
    return true;
}

static inline void
end_burst(struct vhost_queue *q)
{
    vhost_guard_leave();
    /* Pairs with the acquisition in rte_set_translations_changing(). */
    atomic_store_explicit(&q->translating, false, memory_order_release);
}

/* Has the 'n' mbufs ask of the switch what librte_vhost says that the guest of
 * 'device' asks for.  Moves those that are not dropped to the front and returns their
 * number. */
static uint16_t
obey_requests(const struct vhost_device *device, struct rte_mbuf **mbufs,
              uint16_t n, struct vhost_counters *counters)
{
    uint16_t n_kept = 0;

    for (uint16_t i = 0; i < n; i++) {
        if (vhost_count_offload(counters,
                                vhost_offload_from_library(device->features,
                                                           mbufs[i]))) {
            mbufs[n_kept++] = mbufs[i];
        } else {
            rte_pktmbuf_free(mbufs[i]);
        }
    }
    return n_kept;
}

static uint16_t
rte_dequeue(struct vhost_device *device, struct vhost_queue *q,
            struct rte_mempool *mp, struct rte_mbuf **mbufs, uint16_t n,
            struct vhost_counters *counters)
{
    if (!begin_burst(device, q)) {
        return 0;
    }
    n = rte_vhost_dequeue_burst(device->vid, q->vring, mp, mbufs, n);
    end_burst(q);
    return (vhost_device_has(device, VIRTIO_NET_F_CSUM)
            ? obey_requests(device, mbufs, n, counters) : n);
}

static uint16_t
rte_enqueue(struct vhost_device *device, struct vhost_queue *q,
            struct rte_mbuf **mbufs, uint16_t n,
            struct vhost_counters *counters OVS_UNUSED)
{
    if (!begin_burst(device, q)) {
        return 0;
    }
    n = rte_vhost_enqueue_burst(device->vid, q->vring, mbufs, n);
    end_burst(q);
    return n;
}

static int
rte_n_pending(struct vhost_device *device, struct vhost_queue *q)
{
    unsigned int n;

    /* The library does not know it for packed rings, and leaves garbage in
     * the upper half for split ones. */
    if (vhost_device_has(device, VIRTIO_F_RING_PACKED)) {
        return -ENOTSUP;
    }
    if (!enter(device, q)) {
        return 0;
    }
    n = (q->vring & 1
         ? rte_vhost_rx_queue_count(device->vid, q->vring) & UINT16_MAX
         : rte_vhost_avail_entries(device->vid, q->vring));
    vhost_guard_leave();
    return n;
}

/* With an IOMMU, an address may have to be translated first.  The library does
 * not tell whether it is that or a lack of buffers. */
static bool
rte_is_stalled(struct vhost_device *device,
               struct vhost_queue *q OVS_UNUSED)
{
    return vhost_device_has(device, VIRTIO_F_ACCESS_PLATFORM);
}

/* librte_vhost writes to whatever the guest's side sent for notifications:
 * puts an eventfd in the place of anything else. */
static void
secure_callfd(int fd)
{
    if (fd >= 0 && !vhost_guard_callfd(fd)) {
        int eventfd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

        if (eventfd_ >= 0) {
            dup2(eventfd_, fd);
            close(eventfd_);
        }
    }
}

/* Called with the library's lock of the virtqueue held, or before it may be
 * used. */
static void
rte_start(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;

    if (rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)
        || !vring.size) {
        return;
    }
    secure_callfd(vring.callfd);
    atomic_store_relaxed(&q->fault, NULL);
    atomic_store_relaxed(&q->quiet, false);
    atomic_store_relaxed(&q->usable, true);
}

/* A burst takes microseconds, or longer if its thread loses its CPU.  But it may
 * wait for the guest's side to take a request for a translation, which may wait
 * for what is to be changed now: hence not for ever. */
static void
rte_set_translations_changing(struct vhost_device *device, bool changing)
{
    uint64_t deadline;
    int n;

    /* Pairs with the acquisition in begin_burst(). */
    atomic_store_explicit(&device->translations_changing, changing,
                          memory_order_release);
    if (!changing) {
        return;
    }
    atomic_thread_fence(memory_order_seq_cst);  /* As begin_burst() says. */
    deadline = rte_get_tsc_cycles() + MAX_BURST_MS * rte_get_tsc_hz() / 1000;
    atomic_read_relaxed(&device->n_started, &n);
    for (int i = 0; i < n; i++) {
        struct vhost_queue *q = vhost_device_queue(device, i);
        bool translating;

        for (;;) {
            atomic_read_explicit(&q->translating, &translating,
                                 memory_order_acquire);
            if (!translating || rte_get_tsc_cycles() > deadline) {
                break;
            }
            rte_delay_us_sleep(10);
        }
    }
}

static bool
rte_get_stats(struct vhost_device *device, struct vhost_queue *q,
              struct vhost_vring_stats *stats)
{
    struct rte_vhost_stat_name names[MAX_LIBRARY_STATS];
    struct rte_vhost_stat values[MAX_LIBRARY_STATS];
    int n = rte_vhost_vring_stats_get_names(device->vid, q->vring, names,
                                            ARRAY_SIZE(names));

    if (n < 0 || n > ARRAY_SIZE(names)
        || rte_vhost_vring_stats_get(device->vid, q->vring, values,
                                     ARRAY_SIZE(values)) != n) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        vhost_vring_stats_set(stats, names[i].name, values[i].value);
    }
    return true;
}

static bool
rte_reset_stats(struct vhost_device *device, struct vhost_queue *q)
{
    return !rte_vhost_vring_stats_reset(device->vid, q->vring);
}

const struct vhost_datapath vhost_datapath_rte = {
    .name = "librte_vhost",
    .dequeue = rte_dequeue,
    .enqueue = rte_enqueue,
    .n_pending = rte_n_pending,
    .is_stalled = rte_is_stalled,
    .start = rte_start,
    .set_translations_changing = rte_set_translations_changing,
    .get_stats = rte_get_stats,
    .reset_stats = rte_reset_stats,
};
