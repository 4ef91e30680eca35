/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

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

/* The most that is waited for a burst. */
#define MAX_BURST_MS 100

static inline bool
is_usable(struct vhost_queue *q)
{
    bool usable;

    /* Pairs with the release in rte_start(). */
    atomic_read_explicit(&q->rte.usable, &usable, memory_order_acquire);
    return usable;
}

/* Tells the guest, once, that it need not notify us.  Only here, because the
 * library wants a lock that it holds when it calls back. */
static inline void
suppress_notifications(struct vhost_device *device, struct vhost_queue *q)
{
    bool quiet;

    atomic_read_relaxed(&q->rte.quiet, &quiet);
    /* It may have to translate the ring's addresses first. */
    if (OVS_UNLIKELY(!quiet)
        && !rte_vhost_enable_guest_notification(device->vid, q->vring, 0)) {
        atomic_store_relaxed(&q->rte.quiet, true);
    }
}

/* Begins and ends a burst on 'q', if that may be used: librte_vhost would go on
 * with rings whose memory has gone, or that were never given a size.
 *
 * Translations must not change under a burst.  DPDK asks for one that is missing
 * in the middle of a buffer, then looks again for what it wanted, but at the
 * address in the middle: had the answer come in between, it would take what it
 * finds for the beginning, and read or write the wrong bytes of the guest's.
 * (Since 23.07, __vhost_iova_to_vva().) */
static inline bool
begin_burst(struct vhost_device *device, struct vhost_queue *q)
{
    /* The fence pairs with that in rte_await(): either this sees that the queue
     * is suspended, or that sees this burst. */
    atomic_store_relaxed(&q->rte.busy, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (OVS_LIKELY(is_usable(q))) {
        if (OVS_LIKELY(!vhost_guard_is_lost(device->vid))) {
            suppress_notifications(device, q);
            return true;
        }
        atomic_store_relaxed(&q->fault, vhost_guard_fault);
    }
    atomic_store_relaxed(&q->rte.busy, false);
    return false;
}

static inline void
end_burst(struct vhost_queue *q)
{
    /* Pairs with the acquisition in rte_await(). */
    atomic_store_explicit(&q->rte.busy, false, memory_order_release);
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
    /* The library does not know it for packed rings, and leaves garbage in
     * the upper half for split ones. */
    if (vhost_device_has(device, VIRTIO_F_RING_PACKED)) {
        return -ENOTSUP;
    }
    if (!is_usable(q) || vhost_guard_is_lost(device->vid)) {
        return 0;
    }
    return (q->vring & 1
            ? rte_vhost_rx_queue_count(device->vid, q->vring) & UINT16_MAX
            : rte_vhost_avail_entries(device->vid, q->vring));
}

/* A message about the ring or the guest's memory may be handled.  With an IOMMU,
 * an address may have to be translated first; the library does not tell whether
 * it is that or a lack of buffers. */
static bool
rte_is_stalled(struct vhost_device *device, struct vhost_queue *q)
{
    const char *fault;

    atomic_read_relaxed(&q->fault, &fault);
    return (vhost_device_has(device, VIRTIO_F_ACCESS_PLATFORM)
            || (!fault && !is_usable(q)));
}

static unsigned int
rte_n_out(const struct vhost_queue *q OVS_UNUSED)
{
    return 0;
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

/* Would librte_vhost go on inside of the ring?  It does not look. */
static const char *
check_base(const struct vhost_device *device, const struct vhost_queue *q,
           unsigned int size)
{
    uint16_t avail = 0, used = 0;

    rte_vhost_get_vring_base(device->vid, q->vring, &avail, &used);
    return (vhost_device_has(device, VIRTIO_F_RING_PACKED)
            && MAX(avail & 0x7fff, used & 0x7fff) >= size
            ? "its start index is out of range" : NULL);
}

/* Called with the library's lock of the virtqueue held, or before it may be
 * used. */
static void
rte_start(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;
    const char *problem;

    if (is_usable(q)
        || rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)
        || !vring.size) {
        return;
    }
    problem = (vhost_guard_is_lost(device->vid) ? vhost_guard_fault
               : check_base(device, q, vring.size));
    atomic_store_relaxed(&q->fault, problem);
    if (!problem) {
        secure_callfd(vring.callfd);
        atomic_store_relaxed(&q->rte.quiet, false);
        /* Pairs with is_usable(). */
        atomic_store_explicit(&q->rte.usable, true, memory_order_release);
    }
}

/* A burst that has begun may wait for a lock that librte_vhost holds while it
 * handles most messages.  It goes on when the message has been handled, which
 * must not have made that dangerous: see vhost_conversation_objection().  When
 * there is no such lock, rte_await() follows. */
static bool
rte_suspend(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q)
{
    atomic_store_relaxed(&q->rte.usable, false);
    return false;
}

/* A burst takes microseconds, or longer if its thread loses its CPU.  But it may
 * wait for the guest's side to take a request for a translation, which may wait
 * for what is to be changed now: hence not for ever. */
static void
rte_await(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q)
{
    uint64_t deadline = 0;

    atomic_thread_fence(memory_order_seq_cst);  /* As begin_burst() says. */
    for (;;) {
        uint64_t now;
        bool busy;

        atomic_read_explicit(&q->rte.busy, &busy, memory_order_acquire);
        if (!busy) {
            break;
        }
        now = rte_get_tsc_cycles();
        if (!deadline) {
            deadline = now + MAX_BURST_MS * rte_get_tsc_hz() / 1000;
        } else if (now > deadline) {
            break;
        }
        rte_delay_us_sleep(10);
    }
}

/* librte_vhost has the virtqueue all the time. */

static void
rte_stop(struct vhost_device *device OVS_UNUSED,
         struct vhost_queue *q OVS_UNUSED, uint64_t deadline OVS_UNUSED)
{
}

static void
rte_hand_back(struct vhost_device *device OVS_UNUSED,
              struct vhost_queue *q OVS_UNUSED)
{
}

static void
rte_release(struct vhost_queue *q OVS_UNUSED)
{
}

static void
rte_renew_call(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;

    if (!rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)) {
        secure_callfd(vring.callfd);
    }
}

static bool
rte_get_stats(struct vhost_device *device, struct vhost_queue *q,
              struct vhost_vring_stats *stats)
{
    struct rte_vhost_stat_name names[MAX_LIBRARY_STATS];
    struct rte_vhost_stat values[MAX_LIBRARY_STATS];
    bool withdrawn;
    int n;

    /* The library may be moving what it has of a virtqueue that is not in use,
     * unless it waits for the end of the device. */
    atomic_read_explicit(&device->withdrawn, &withdrawn, memory_order_acquire);
    if (!is_usable(q) && !withdrawn) {
        return false;
    }
    n = rte_vhost_vring_stats_get_names(device->vid, q->vring, names,
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
    .n_out = rte_n_out,
    .start = rte_start,
    .suspend = rte_suspend,
    .await = rte_await,
    .stop = rte_stop,
    .hand_back = rte_hand_back,
    .renew_call = rte_renew_call,
    .release = rte_release,
    .get_stats = rte_get_stats,
    .reset_stats = rte_reset_stats,
};
