/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The data path over librte_vhost's burst calls.  The library has the
 * virtqueues all the time. */

#include <config.h>

#include "vhost-datapath.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-offload.h"

/* More counters than librte_vhost has for a virtqueue. */
#define MAX_LIBRARY_STATS 64

/* For how long a burst is waited for at most, in ms. */
#define MAX_BURST_MS 100

static inline bool
is_usable(struct vhost_queue *q)
{
    bool usable;

    /* Pairs with the release in library_start(). */
    atomic_read_explicit(&q->library.usable, &usable, memory_order_acquire);
    return usable;
}

/* The library maps the memory of a VDUSE device when it is used, and does not
 * say where: while a thread uses it, the thread says whose it is. */
static inline void
take_blame(const struct vhost_device *device)
{
    if (device->is_vduse) {
        vhost_guard_suspect(device->vid);
    }
}

static inline void
drop_blame(const struct vhost_device *device)
{
    if (device->is_vduse) {
        vhost_guard_suspect(-1);
    }
}

/* Tells the guest, once, that it need not notify us.  This is done before a
 * burst because the library takes a lock for it that it holds when it calls
 * back. */
static inline void
suppress_notifications(struct vhost_device *device, struct vhost_queue *q)
{
    bool quiet;

    atomic_read_relaxed(&q->library.quiet, &quiet);
    /* This fails while the library has not translated the ring's addresses. */
    if (OVS_UNLIKELY(!quiet)
        && !rte_vhost_enable_guest_notification(device->vid, q->vring, 0)) {
        atomic_store_relaxed(&q->library.quiet, true);
    }
}

/* Begins a burst on 'q'.  Returns false if the queue must not be used:
 * librte_vhost would use rings whose memory has gone, or that were never given
 * a size.
 *
 * Translations must not change during a burst.  If one is missing in the
 * middle of a buffer, DPDK since 23.07 (__vhost_iova_to_vva()) asks for it,
 * then looks again, but at the address in the middle: if the answer has come
 * in between, it takes what it finds for the buffer's beginning, and reads or
 * writes the wrong bytes of the guest's memory.  A VDUSE device has its
 * translations from the kernel, during bursts; that of the kernel's own driver
 * is one for all buffers. */
static inline bool
begin_burst(struct vhost_device *device, struct vhost_queue *q)
{
    vhost_use_begin(&q->use);
    /* Pairs with the fence in library_await(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (OVS_LIKELY(is_usable(q))) {
        if (OVS_LIKELY(!vhost_guard_is_lost(device->vid))) {
            take_blame(device);
            suppress_notifications(device, q);
            return true;
        }
        atomic_store_relaxed(&q->fault, vhost_guard_fault);
    }
    vhost_use_end(&q->use);
    return false;
}

/* Ends a burst that begin_burst() allowed. */
static inline void
end_burst(const struct vhost_device *device, struct vhost_queue *q)
{
    drop_blame(device);
    vhost_use_end(&q->use);
}

/* Passes the offload requests that librte_vhost found in the 'n' mbufs, from
 * the guest of 'device', on to the switch.  Drops packets with invalid ones,
 * moves the others to the front of 'mbufs', and returns their number. */
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

/* Forgets the sizes of segments that librte_vhost has put into the 'n' mbufs:
 * it obeys a guest that has negotiated VIRTIO_NET_F_HOST_* without
 * VIRTIO_NET_F_CSUM, too.  Since 3.6, Open vSwitch would cut the packets,
 * whatever is in them, or end the process if it finds no L4 header. */
static void
ignore_requests(struct rte_mbuf **mbufs, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        mbufs[i]->tso_segsz = 0;
    }
}

static uint16_t
library_dequeue(struct vhost_device *device, struct vhost_queue *q,
                struct rte_mempool *mp, struct rte_mbuf **mbufs, uint16_t n,
                struct vhost_counters *counters)
{
    if (!begin_burst(device, q)) {
        return 0;
    }
    n = rte_vhost_dequeue_burst(device->vid, q->vring, mp, mbufs, n);
    end_burst(device, q);
    if (vhost_device_has(device, VIRTIO_NET_F_CSUM)) {
        return obey_requests(device, mbufs, n, counters);
    }
    ignore_requests(mbufs, n);
    return n;
}

static uint16_t
library_enqueue(struct vhost_device *device, struct vhost_queue *q,
                struct rte_mbuf **mbufs, uint16_t n,
                struct vhost_counters *counters OVS_UNUSED)
{
    if (!begin_burst(device, q)) {
        return 0;
    }
    n = rte_vhost_enqueue_burst(device->vid, q->vring, mbufs, n);
    end_burst(device, q);
    return n;
}

static int
library_n_pending(struct vhost_device *device, struct vhost_queue *q)
{
    int n = 0;

    /* The library does not count them in packed rings, and leaves garbage in
     * the upper half of the result for split ones. */
    if (vhost_device_has(device, VIRTIO_F_RING_PACKED)) {
        return -ENOTSUP;
    }
    vhost_use_look(&q->use);
    if (is_usable(q) && !vhost_guard_is_lost(device->vid)) {
        take_blame(device);
        n = (q->vring & 1
             ? rte_vhost_rx_queue_count(device->vid, q->vring) & UINT16_MAX
             : rte_vhost_avail_entries(device->vid, q->vring));
        drop_blame(device);
    }
    vhost_use_unlook(&q->use);
    return n;
}

/* Packets that the library drops take their buffers, too. */
static uint16_t
library_position(struct vhost_device *device, struct vhost_queue *q)
{
    uint16_t avail = q->pending_position, used;

    if (begin_burst(device, q)) {
        rte_vhost_get_vring_base(device->vid, q->vring, &avail, &used);
        end_burst(device, q);
    }
    return avail;
}

/* The queue is stalled while a message about its ring or the guest's memory is
 * handled.  With an IOMMU, an address may have to be translated first; the
 * library does not tell that from a lack of buffers.  For a VDUSE device, it
 * does that at once. */
static bool
library_is_stalled(struct vhost_device *device, struct vhost_queue *q)
{
    const char *fault;

    atomic_read_relaxed(&q->fault, &fault);
    return ((vhost_device_has(device, VIRTIO_F_ACCESS_PLATFORM)
             && !device->is_vduse)
            || (!fault && !is_usable(q)));
}

static unsigned int
library_n_out(const struct vhost_queue *q OVS_UNUSED)
{
    return 0;
}

/* Puts an eventfd in the place of 'fd', to which librte_vhost writes to notify
 * the guest, if it is not an eventfd: the library does not check what the
 * guest's side has sent. */
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

/* Returns what is wrong with the indexes at which librte_vhost would continue
 * in the ring, which it does not check, or NULL.  In a split ring, more
 * buffers than the ring has would be available: the library has no room to
 * note that it used them all. */
static const char *
check_base(const struct vhost_device *device, const struct vhost_queue *q,
           const struct rte_vhost_vring *vring)
{
    uint16_t avail = 0, used = 0;
    bool valid;

    rte_vhost_get_vring_base(device->vid, q->vring, &avail, &used);
    if (vhost_device_has(device, VIRTIO_F_RING_PACKED)) {
        valid = MAX(avail & 0x7fff, used & 0x7fff) < vring->size;
    } else {
        /* There is none until its address has been translated. */
        const volatile struct vring_avail *ring = vring->avail;

        valid = !ring || (uint16_t) (ring->idx - avail) <= vring->size;
    }
    return valid ? NULL : "its start index is out of range";
}

/* Called with the library's lock of the virtqueue held, or before the queue
 * can be used. */
static void
library_start(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;
    const char *problem;

    if (is_usable(q)
        || rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)
        || !vring.size) {
        return;
    }
    take_blame(device);
    problem = (vhost_guard_is_lost(device->vid) ? vhost_guard_fault
               : check_base(device, q, &vring));
    drop_blame(device);
    atomic_store_relaxed(&q->fault, problem);
    if (!problem) {
        secure_callfd(vring.callfd);
        atomic_store_relaxed(&q->library.quiet, false);
        /* Pairs with is_usable(). */
        atomic_store_explicit(&q->library.usable, true, memory_order_release);
    }
}

/* A burst that has begun may wait for a lock that librte_vhost holds while it
 * handles most messages.  It continues when the message has been handled,
 * which must not have made that dangerous: see
 * vhost_conversation_objection().  When there is no such lock, library_await()
 * waits for it. */
static bool
library_suspend(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q)
{
    atomic_store_relaxed(&q->library.usable, false);
    return true;
}

/* A burst takes microseconds, or longer if its thread loses its CPU.  Before a
 * message, the time is limited, because a burst may wait for the guest's side
 * to take a request for a translation, and the guest's side may wait for the
 * message that is being handled.
 *
 * Each translation is such a message.  So these bursts have a fence, rather
 * than that all threads of the switch are interrupted by vhost_use_order(). */
static void
library_await(struct vhost_device *device, unsigned int first, unsigned int n,
              enum vhost_await await)
{
    uint64_t deadline = UINT64_MAX;

    if (await == VHOST_AWAIT_NONE) {
        return;
    } else if (await == VHOST_AWAIT_BRIEFLY) {
        deadline = (rte_get_tsc_cycles()
                    + MAX_BURST_MS * rte_get_tsc_hz() / 1000);
    }
    /* Pairs with the fences in begin_burst() and vhost_use_look(). */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned int i = first; i < first + n; i++) {
        vhost_use_await(&vhost_device_queue(device, i)->use, deadline);
    }
}

/* librte_vhost has the virtqueue all the time: there is nothing to give
 * back. */

static void
library_stop(struct vhost_device *device OVS_UNUSED,
             struct vhost_queue *q OVS_UNUSED, uint64_t deadline OVS_UNUSED)
{
}

static void
library_hand_back(struct vhost_device *device OVS_UNUSED,
                  struct vhost_queue *q OVS_UNUSED)
{
}

static void
library_release(struct vhost_queue *q OVS_UNUSED)
{
}

/* The library uses the new eventfd by itself. */
static void
library_renew_call(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;

    if (!rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)) {
        secure_callfd(vring.callfd);
    }
}

/* Takes the library's counters by their names. */
static bool
library_get_stats(struct vhost_device *device, struct vhost_queue *q,
                  struct vhost_vring_stats *stats)
{
    struct rte_vhost_stat_name names[MAX_LIBRARY_STATS];
    struct rte_vhost_stat values[MAX_LIBRARY_STATS];
    bool withdrawn;
    int n;

    /* The library may be moving its structure of a virtqueue that is not in
     * use, unless it waits for the end of the device. */
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
library_reset_stats(struct vhost_device *device, struct vhost_queue *q)
{
    return !rte_vhost_vring_stats_reset(device->vid, q->vring);
}

const struct vhost_datapath vhost_datapath_library = {
    .name = "librte_vhost",
    .dequeue = library_dequeue,
    .enqueue = library_enqueue,
    .n_pending = library_n_pending,
    .position = library_position,
    .is_stalled = library_is_stalled,
    .n_out = library_n_out,
    .start = library_start,
    .suspend = library_suspend,
    .await = library_await,
    .stop = library_stop,
    .hand_back = library_hand_back,
    .renew_call = library_renew_call,
    .release = library_release,
    .get_stats = library_get_stats,
    .reset_stats = library_reset_stats,
};
