/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The library's side of the stub: sockets, connections and devices. */

#include <config.h>
#undef NDEBUG

#include "stub-rte-vhost.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "ovs-rcu.h"
#include "stub-rte-vhost-private.h"
#include "util.h"
#include "vhost-compat.h"

struct stub_vhost stub_vhost;

pthread_mutex_t stub_sockets_mutex = PTHREAD_MUTEX_INITIALIZER;
struct stub_socket stub_sockets[MAX_SOCKETS];

pthread_mutex_t stub_fds_mutex = PTHREAD_MUTEX_INITIALIZER;
struct stub_device stub_devices[MAX_DEVICES];

struct stub_socket *
stub_find_socket(const char *path)
{
    for (int i = 0; i < MAX_SOCKETS; i++) {
        if (stub_sockets[i].path && !strcmp(stub_sockets[i].path, path)) {
            return &stub_sockets[i];
        }
    }
    return NULL;
}

/* Returns device 'vid', or NULL. */
static struct stub_device *
get_device(int vid)
{
    struct stub_device *dev = (vid >= 0 && vid < MAX_DEVICES
                               ? &stub_devices[vid] : NULL);

    if (dev && dev->socket) {
        return dev;
    }
    stub_vhost.n_late_calls++;
    return NULL;
}

struct stub_vring *
stub_get_vring(int vid, unsigned int vring)
{
    struct stub_device *dev = get_device(vid);

    return dev && vring < dev->n_vrings ? dev->vrings[vring] : NULL;
}

/* Sockets. */

/* The provider has one that is never started: see keep_event_thread(). */
static bool
is_of_port(const struct stub_socket *s)
{
    return s->path[0] == '/';
}

static bool
has_sockets(void)
{
    for (int i = 0; i < MAX_SOCKETS; i++) {
        if (stub_sockets[i].path) {
            return true;
        }
    }
    return false;
}

int
rte_vhost_driver_register(const char *path, uint64_t flags)
{
    struct stub_socket *s = NULL;

    stub_vhost.flags = flags;
    if (stub_vhost.fail_register) {
        return -1;
    }
    pthread_mutex_lock(&stub_sockets_mutex);
    for (int i = 0; i < MAX_SOCKETS && !s; i++) {
        s = stub_sockets[i].path ? NULL : &stub_sockets[i];
    }
    ovs_assert(s);
    memset(s, 0, sizeof *s);
    s->path = xstrdup(path);
    s->is_server = !(flags & RTE_VHOST_USER_CLIENT);
    s->fd = -1;
    s->features = s->protocol_features = UINT64_MAX;
    if (!(flags & RTE_VHOST_USER_IOMMU_SUPPORT)) {
        s->features &= ~(UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
    }
    if (!(flags & RTE_VHOST_USER_POSTCOPY_SUPPORT)) {
        s->protocol_features
            &= ~(UINT64_C(1) << VHOST_USER_PROTOCOL_F_PAGEFAULT);
    }
    stub_vhost.n_sockets += is_of_port(s);
    pthread_mutex_unlock(&stub_sockets_mutex);
    return 0;
}

int
rte_vhost_driver_callback_register(const char *path,
                                   const struct rte_vhost_device_ops *ops)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_vhost.fail_callback_register ? NULL : stub_find_socket(path);
    if (s) {
        s->ops = ops;
        stub_vhost.ops = ops;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_disable_features(const char *path, uint64_t features)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_vhost.fail_disable_features ? NULL : stub_find_socket(path);
    if (s) {
        s->features &= ~features;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_get_features(const char *path, uint64_t *features)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_find_socket(path);
    if (s) {
        *features = s->features;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_set_protocol_features(const char *path, uint64_t features)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = (stub_vhost.fail_set_protocol_features ? NULL
         : stub_find_socket(path));
    if (s) {
        s->protocol_features = features;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_get_protocol_features(const char *path, uint64_t *features)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_find_socket(path);
    if (s) {
        *features = s->protocol_features;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

#if VHOST_HAS_VDUSE
int
rte_vhost_driver_set_max_queue_num(const char *path, uint32_t n)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_find_socket(path);
    stub_vhost.n_queue_pairs = n;
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}
#endif

int
rte_vhost_driver_start(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_vhost.fail_start ? NULL : stub_find_socket(path);
    if (s) {
        stub_vhost.features = s->features;
        stub_vhost.protocol_features = s->protocol_features;
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    if (!s) {
        return -1;
    }

    if (s->is_server) {
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ovs_assert(s->fd >= 0);
        ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
        if (bind(s->fd, (struct sockaddr *) &sun, sizeof sun)
            || listen(s->fd, 1)) {
            close(s->fd);
            s->fd = -1;
            return -1;
        }
    }
    pthread_mutex_lock(&stub_fds_mutex);
    s->started = true;
    pthread_mutex_unlock(&stub_fds_mutex);
    return 0;
}

/* destroy_device.  No packet may be exchanged with 'dev' any more after it. */
void
stub_stop_device(struct stub_device *dev)
{
    if (dev->running) {
        bool was_quiescent = ovsrcu_is_quiescent();

        dev->running = false;
        dev->socket->ops->destroy_device(dev - stub_devices);
        if (was_quiescent) {
            /* Nobody else will see to it that librte_vhost's thread is. */
            ovs_assert(ovsrcu_is_quiescent());
        } else {
            ovsrcu_quiesce_end();
        }
        for (unsigned int i = 0; i < dev->n_vrings; i++) {
            rte_spinlock_lock(&dev->vrings[i]->access_lock);
            dev->vrings[i]->late = true;
            rte_spinlock_unlock(&dev->vrings[i]->access_lock);
        }
    }
}

void
stub_unmap_memory(struct stub_device *dev)
{
    if (dev->memory.size) {
        munmap((void *) (uintptr_t) dev->memory.host_user_addr,
               dev->memory.size);
        close(dev->memory.fd);
    }
    memset(&dev->memory, 0, sizeof dev->memory);
}

void
stub_free_device(struct stub_device *dev)
{
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        struct stub_vring *vring = dev->vrings[i];

        rte_spinlock_lock(&vring->access_lock);
        vring->late = true;
        vring->access_ok = vring->enabled = vring->ready = false;
        vring->broken = false;
        memset(vring->stats, 0, sizeof vring->stats);
        stub_free_packets(&vring->pending);
        vring->n_pending = 0;
        stub_free_packets(&vring->received);
        rte_spinlock_unlock(&vring->access_lock);
    }
    stub_unmap_memory(dev);
    close(dev->fds[0]);
    close(dev->fds[1]);
    pthread_mutex_lock(&stub_fds_mutex);
    dev->n_vrings = 0;
    dev->socket = NULL;
    dev->busy = false;
    pthread_mutex_unlock(&stub_fds_mutex);
}

/* Marks socket 's' and its devices as not to be used by the event thread.
 * Returns false if it does so now. */
static bool
try_claim(struct stub_socket *s)
{
    bool claimed;

    pthread_mutex_lock(&stub_fds_mutex);
    claimed = !s->busy;
    for (int i = 0; i < MAX_DEVICES; i++) {
        claimed = claimed && !(stub_devices[i].socket == s
                               && stub_devices[i].busy);
    }
    for (int i = 0; claimed && i < MAX_DEVICES; i++) {
        if (stub_devices[i].socket == s) {
            stub_devices[i].busy = true;
        }
    }
    s->started = !claimed && s->started;
    pthread_mutex_unlock(&stub_fds_mutex);
    return claimed;
}

int
rte_vhost_driver_unregister(const char *path)
{
    struct stub_socket *s;

    if (stub_vhost.before_unregister) {
        stub_vhost.before_unregister(path);
    }
    pthread_mutex_lock(&stub_sockets_mutex);
    while ((s = stub_find_socket(path)) && !try_claim(s)) {
        pthread_mutex_unlock(&stub_sockets_mutex);
        sched_yield();
        pthread_mutex_lock(&stub_sockets_mutex);
    }
    if (s) {
        for (int i = 0; i < MAX_DEVICES; i++) {
            if (stub_devices[i].socket == s) {
                stub_stop_device(&stub_devices[i]);
                stub_free_device(&stub_devices[i]);
            }
        }
        if (s->fd >= 0) {
            close(s->fd);
        }
        if (s->is_server) {
            unlink(path);
        }
        stub_vhost.n_sockets -= is_of_port(s);
        free(s->path);
        s->path = NULL;
        stub_vhost.n_thread_ends += !has_sockets();
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s ? 0 : -1;
}

/* Devices. */

int
rte_vhost_get_ifname(int vid, char *buf, size_t len)
{
    struct stub_device *dev = get_device(vid);

    if (dev) {
        ovs_strlcpy(buf, dev->path, len);
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_negotiated_features(int vid, uint64_t *features)
{
    struct stub_device *dev = get_device(vid);

    if (dev) {
        *features = dev->features;
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_log_base(int vid, uint64_t *log_base, uint64_t *log_size)
{
    struct stub_device *dev = get_device(vid);

    if (dev) {
        *log_base = *log_size = dev->log_base;
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_mtu(int vid, uint16_t *mtu)
{
    struct stub_device *dev = get_device(vid);

    if (!dev || !dev->mtu) {
        return dev ? -ENOTSUP : -ENODEV;
    }
    *mtu = dev->mtu;
    return 0;
}

uint16_t
rte_vhost_get_vring_num(int vid)
{
    struct stub_device *dev = get_device(vid);

    return dev ? dev->n_vrings : 0;
}

int
rte_vhost_get_numa_node(int vid)
{
    struct stub_device *dev = get_device(vid);

    return dev && dev->n_vrings ? dev->vrings[0]->ring.node : -1;
}

int
rte_vhost_get_mem_table(int vid, struct rte_vhost_memory **table)
{
    struct stub_device *dev = get_device(vid);

    if (!dev || !dev->memory.size) {
        return -1;
    }
    *table = xzalloc(sizeof **table + sizeof dev->memory);
    (*table)->nregions = 1;
    (*table)->regions[0] = dev->memory;
    return 0;
}

int
rte_vhost_extern_callback_register(
    int vid, const struct rte_vhost_user_extern_ops *const ops,
    void *ctx OVS_UNUSED)
{
    struct stub_device *dev = get_device(vid);

    if (dev) {
        dev->extern_ops = ops;
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_negotiated_protocol_features(int vid, uint64_t *features)
{
    *features = 0;
    return get_device(vid) ? 0 : -1;
}

int
rte_vhost_get_vhost_vring(int vid, uint16_t idx, struct rte_vhost_vring *vring)
{
    struct stub_vring *v = stub_get_vring(vid, idx);

    memset(vring, 0, sizeof *vring);
    if (v && v->real.desc) {
        *vring = v->real;
    } else if (v) {
        vring->size = v->size;
        vring->desc = v->access_ok ? (void *) &v->ring : NULL;
    }
    return v ? 0 : -1;
}

int
rte_vhost_get_vring_base(int vid, uint16_t idx, uint16_t *avail,
                         uint16_t *used)
{
    struct stub_vring *v = stub_get_vring(vid, idx);

    if (v) {
        *avail = v->avail_base;
        *used = v->used_base;
    }
    return v ? 0 : -1;
}

int
rte_vhost_set_vring_base(int vid, uint16_t idx, uint16_t avail, uint16_t used)
{
    struct stub_vring *v = stub_get_vring(vid, idx);

    if (v) {
        v->avail_base = avail;
        v->used_base = used;
    }
    return v ? 0 : -1;
}

void
rte_vhost_log_write(int vid, uint64_t address OVS_UNUSED, uint64_t len)
{
    if (get_device(vid)) {
        stub_vhost.n_logged += len;
    }
}

bool
stub_vhost_ring_node(const void *p, int *node)
{
    for (int i = 0; i < MAX_DEVICES; i++) {
        for (int j = 0; j < MAX_VRINGS; j++) {
            const struct stub_vring *vring = stub_devices[i].vrings[j];

            if (vring && p == &vring->ring) {
                *node = vring->ring.node;
                return *node >= 0;
            }
        }
    }
    return false;
}
