/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The data path over our own virtqueues (virtq.h): how it gets them from
 * librte_vhost and gives them back.  vhost-datapath-native-rx.c and -tx.c move
 * the packets. */

#include <config.h>

#include "vhost-datapath-native.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <rte_vhost.h>

#include "openvswitch/vlog.h"

VLOG_DEFINE_THIS_MODULE(vhost_datapath_native);

static int
native_n_pending(struct vhost_device *device OVS_UNUSED,
                 struct vhost_queue *q)
{
    const struct virtq *vq;
    int n;

    vhost_use_look(&q->use);
    vq = running_virtq(q);
    n = vq ? virtq_n_available(vq) : 0;
    vhost_use_unlook(&q->use);
    return n;
}

static unsigned int
native_n_out(const struct vhost_queue *q)
{
    return vhost_zerocopy_n_out(q->native.zerocopy);
}

/* A queue without a fault is stalled while a message about its ring or the
 * guest's memory is handled. */
static bool
native_is_stalled(struct vhost_device *device OVS_UNUSED,
                  struct vhost_queue *q)
{
    const char *fault;

    atomic_read_relaxed(&q->fault, &fault);
    return !fault && !running_virtq(q);
}

/* Notes in librte_vhost's log of dirty pages that we wrote to the guest's
 * memory. */
static void
log_write(void *q_, uint64_t address, uint64_t len)
{
    const struct vhost_queue *q = q_;

    rte_vhost_log_write(q->native.vid, address, len);
}

/* Returns a duplicate of 'fd', or -1.  Only an eventfd is accepted: a write to
 * it does not block. */
static int
duplicate_callfd(int fd)
{
    fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0 && !vhost_guard_callfd(fd)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Do we have the virtqueue, running or suspended? */
static bool
is_set_up(const struct vhost_queue *q)
{
    return q->native.storage.size != 0;
}

static void
native_stop(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q,
            uint64_t deadline)
{
    if (q->native.zerocopy && is_set_up(q)) {
        unsigned int n = vhost_zerocopy_stop(q->native.zerocopy,
                                             &q->native.storage, deadline);

        call_guest(q, &q->native.storage);
        count(q, VHOST_VRING_inflight_completed, n);
    }
    vhost_zerocopy_retire(q->native.zerocopy);
    q->native.zerocopy = NULL;
}

/* Makes 'q' receive without a copy, if that is possible: '*config' then refers
 * to our own mapping of the guest's memory. */
static void
start_zerocopy(struct vhost_device *device, struct vhost_queue *q,
               struct virtq_config *config)
{
    struct vhost_mapping *mapping = device->mapping;
    struct vhost_zerocopy *zc;

    if (q->native.zerocopy && q->native.zerocopy->ring_size != config->size) {
        /* Another ring, in which the last one's buffers have no meaning. */
        native_stop(device, q, vhost_zerocopy_deadline());
    }
    zc = (mapping && q->vring & 1
          ? vhost_zerocopy_renew(q->native.zerocopy, mapping, config->size)
          : NULL);
    if (zc) {
        q->native.zerocopy = zc;
        config->memory = &mapping->memory;
        config->desc = vhost_mapping_translate(mapping, &device->memory,
                                               config->desc);
        config->driver = vhost_mapping_translate(mapping, &device->memory,
                                                 config->driver);
        config->device = vhost_mapping_translate(mapping, &device->memory,
                                                 config->device);
    }
}

/* Takes the virtqueue from librte_vhost as it is described there. */
/* Says so if the virtqueue of 'q' does not continue at 'base'. */
static void
note_base(const struct vhost_device *device, const struct vhost_queue *q,
          uint16_t base)
{
    char path[PATH_MAX] = "";
    uint16_t avail, used;

    virtq_get_base(&q->native.storage, &avail, &used);
    if (avail != base && vhost_device_has(device, VIRTIO_F_RING_PACKED)) {
        rte_vhost_get_ifname(device->vid, path, sizeof path);
        VLOG_INFO("vHost Device '%s': virtqueue %d continues at %d, where its "
                  "descriptors say that it ended", path, q->vring,
                  avail & 0x7fff);
    }
}

static void
native_start(struct vhost_device *device, struct vhost_queue *q)
{
    uint64_t features = device->features;
    struct rte_vhost_vring vring;
    struct virtq_config config;
    const char *problem;

    if (is_set_up(q)) {
        return;
    }
    memset(&config, 0, sizeof config);
    if (rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)
        || rte_vhost_get_vring_base(device->vid, q->vring,
                                    &config.avail_base, &config.used_base)) {
        return;
    }
    q->native.vid = device->vid;
    q->native.log = (struct virtq_log) { .write = log_write, .aux = q };
    /* Whether there is a log may have changed since the device started. */
    rte_vhost_get_negotiated_features(device->vid, &features);
    config.log = (features & UINT64_C(1) << VHOST_F_LOG_ALL
                  ? &q->native.log : NULL);
    config.memory = &device->memory;
    config.packed = vhost_device_has(device, VIRTIO_F_RING_PACKED);
    config.event_idx = vhost_device_has(device, VIRTIO_RING_F_EVENT_IDX);
    config.writable = !(q->vring & 1);
    config.size = vring.size;
    config.desc = vring.desc;
    config.driver = vring.avail;
    config.device = vring.used;
    start_zerocopy(device, q, &config);
    problem = (vhost_guard_is_lost(device->vid) ? vhost_guard_fault
               : virtq_init(&q->native.storage, &config));
    atomic_store_relaxed(&q->fault, problem);
    if (problem) {
        q->native.storage.size = 0;
        return;
    }
    note_base(device, q, config.avail_base);
    atomic_store_relaxed(&q->native.callfd, duplicate_callfd(vring.callfd));
    if (q->native.zerocopy && config.memory == &device->memory) {
        /* Zero-copy was possible for the last ring, but not for this one. */
        native_stop(device, q, vhost_zerocopy_deadline());
    }
    /* Pairs with running_virtq(). */
    atomic_store_explicit(&q->native.virtq, &q->native.storage,
                          memory_order_release);
}

static bool
native_suspend(struct vhost_device *device OVS_UNUSED, struct vhost_queue *q)
{
    atomic_store_relaxed(&q->native.virtq, NULL);
    return is_set_up(q);
}

/* Bursts wait for nothing: their end is always waited for. */
static void
native_await(struct vhost_device *device, unsigned int first, unsigned int n,
             enum vhost_await await OVS_UNUSED)
{
    vhost_use_order();
    for (unsigned int i = first; i < first + n; i++) {
        vhost_use_await(&vhost_device_queue(device, i)->use, UINT64_MAX);
    }
}

static void
close_virtq(struct vhost_queue *q)
{
    int fd;

    if (is_set_up(q)) {
        atomic_read_relaxed(&q->native.callfd, &fd);
        if (fd >= 0) {
            close(fd);
        }
        q->native.storage.size = 0;
    }
}

static void
native_release(struct vhost_queue *q)
{
    close_virtq(q);
    vhost_zerocopy_retire(q->native.zerocopy);
}

static void
native_hand_back(struct vhost_device *device, struct vhost_queue *q)
{
    if (is_set_up(q)) {
        uint16_t avail, used;

        virtq_get_base(&q->native.storage, &avail, &used);
        rte_vhost_set_vring_base(device->vid, q->vring, avail, used);
        close_virtq(q);
    }
}

static void
native_renew_call(struct vhost_device *device, struct vhost_queue *q)
{
    struct rte_vhost_vring vring;
    int fd;

    if (!is_set_up(q)
        || rte_vhost_get_vhost_vring(device->vid, q->vring, &vring)) {
        return;
    }
    fd = atomic_exchange_explicit(&q->native.callfd,
                                  duplicate_callfd(vring.callfd),
                                  memory_order_relaxed);
    if (fd >= 0) {
        /* A burst may be writing to it. */
        vhost_use_order();
        vhost_use_await(&q->use, UINT64_MAX);
        close(fd);
    }
    /* The guest may have missed a notification in between. */
    atomic_read_relaxed(&q->native.callfd, &fd);
    if (fd >= 0) {
        eventfd_write(fd, 1);
    }
}

static bool
native_get_stats(struct vhost_device *device OVS_UNUSED,
                 struct vhost_queue *q, struct vhost_vring_stats *stats)
{
    uint64_t *values = (uint64_t *) stats;

    for (size_t i = 0; i < VHOST_N_VRING_STATS; i++) {
        atomic_read_relaxed(&q->native.counters[i], &values[i]);
    }
    return true;
}

/* The next device counts from zero. */
static bool
native_reset_stats(struct vhost_device *device OVS_UNUSED,
                   struct vhost_queue *q OVS_UNUSED)
{
    return true;
}

const struct vhost_datapath vhost_datapath_native = {
    .name = "native",
    .can_zero_copy = true,
    .receives_rarp = true,
    .dequeue = vhost_native_dequeue,
    .enqueue = vhost_native_enqueue,
    .n_pending = native_n_pending,
    .is_stalled = native_is_stalled,
    .n_out = native_n_out,
    .start = native_start,
    .suspend = native_suspend,
    .await = native_await,
    .stop = native_stop,
    .hand_back = native_hand_back,
    .renew_call = native_renew_call,
    .release = native_release,
    .get_stats = native_get_stats,
    .reset_stats = native_reset_stats,
};
