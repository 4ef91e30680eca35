/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The guest's side of the stub: its messages, as librte_vhost's event thread
 * handles them. */

#include <config.h>
#undef NDEBUG

#include "stub-rte-vhost.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "stub-rte-vhost-private.h"
#include "util.h"
#include "vhost-message.h"

/* What the library shows of a message: see vhost-message.c. */
struct message {
    uint32_t request, flags, size;
    uint8_t payload[VHOST_MESSAGE_SIZE - 12];
    int fds[VHOST_MESSAGE_MAX_FDS];
    int n_fds;
};
#define FLAG_NEED_REPLY 8

/* Begins the event thread's work on device 'vid'.  Returns NULL if it was
 * closed. */
static struct stub_device *
begin_message(int vid)
{
    struct stub_device *dev = NULL;

    ovs_assert(vid < MAX_DEVICES);
    pthread_mutex_lock(&stub_fds_mutex);
    if (vid >= 0 && stub_devices[vid].socket && !stub_devices[vid].busy) {
        dev = &stub_devices[vid];
        dev->busy = true;
    }
    pthread_mutex_unlock(&stub_fds_mutex);
    return dev;
}

static void
end_message(struct stub_device *dev)
{
    ovs_assert(single_threaded() || ovsrcu_is_quiescent());
    pthread_mutex_lock(&stub_fds_mutex);
    dev->busy = false;
    pthread_mutex_unlock(&stub_fds_mutex);
}

/* Begins the event thread's work on a new connection to 's'. */
static struct stub_device *
new_device(struct stub_socket *s)
{
    struct stub_device *dev = NULL;

    pthread_mutex_lock(&stub_fds_mutex);
    for (int i = 0; i < MAX_DEVICES && !dev; i++) {
        dev = stub_devices[i].socket ? NULL : &stub_devices[i];
    }
    ovs_assert(dev);
    dev->socket = s;
    dev->busy = true;
    dev->running = dev->ready = false;
    dev->features = 0;
    dev->mtu = 0;
    ovs_strlcpy(dev->path, s->path, sizeof dev->path);
    ovs_assert(!socketpair(AF_UNIX, (stub_vhost.no_connection ? SOCK_DGRAM
                                     : SOCK_STREAM) | SOCK_CLOEXEC,
                           0, dev->fds));
    pthread_mutex_unlock(&stub_fds_mutex);
    return dev;
}

/* Begins the event thread's work on the socket at 'path'.  Returns NULL if it
 * was not started. */
static struct stub_socket *
begin_connection(const char *path)
{
    struct stub_socket *s;

    pthread_mutex_lock(&stub_sockets_mutex);
    s = stub_find_socket(path);
    if (s) {
        pthread_mutex_lock(&stub_fds_mutex);
        s->busy = s->started;
        s = s->started ? s : NULL;
        pthread_mutex_unlock(&stub_fds_mutex);
    }
    pthread_mutex_unlock(&stub_sockets_mutex);
    return s;
}

static void
end_connection(struct stub_socket *s)
{
    pthread_mutex_lock(&stub_fds_mutex);
    s->busy = false;
    pthread_mutex_unlock(&stub_fds_mutex);
}

int
guest_connect(const char *path)
{
    struct stub_socket *s = begin_connection(path);
    struct stub_device *dev;
    int vid;

    if (!s) {
        return -1;
    }

    dev = new_device(s);
    vid = dev - stub_devices;
    if (s->ops->new_connection(vid) < 0) {
        stub_free_device(dev);
        vid = -1;
    } else {
        end_message(dev);
    }
    end_connection(s);
    return vid;
}

static void
destroy_connection(struct stub_device *dev)
{
    stub_stop_device(dev);
    dev->socket->ops->destroy_connection(dev - stub_devices);
    stub_free_device(dev);
}

void
guest_disconnect(int vid)
{
    struct stub_device *dev = begin_message(vid);

    if (dev) {
        destroy_connection(dev);
    }
}

void
guest_set_features(int vid, uint64_t features)
{
    stub_devices[vid].features = features;
}

void
guest_set_mtu(int vid, uint16_t mtu)
{
    stub_devices[vid].mtu = mtu;
}

static void
alloc_vrings(struct stub_device *dev, unsigned int n)
{
    for (; dev->n_vrings < n; dev->n_vrings++) {
        struct stub_vring **vringp = &dev->vrings[dev->n_vrings];
        struct stub_vring *vring = *vringp;

        if (!vring) {
            vring = *vringp = xzalloc(sizeof *vring);
            rte_spinlock_init(&vring->access_lock);
            ovs_list_init(&vring->pending);
            ovs_list_init(&vring->received);
        }
        vring->late = !dev->running;
        vring->size = 0;
        memset(&vring->real, 0, sizeof vring->real);
        vring->ring.node = 0;
        vring->room = vring->burst = UINT_MAX;
    }
}

/* To be called before the virtqueue is enabled. */
void
guest_set_node(int vid, unsigned int vring, int node)
{
    alloc_vrings(&stub_devices[vid], vring + 1);
    stub_devices[vid].vrings[vring]->ring.node = node;
}

/* Gives a virtqueue a ring in memory, which starts at 'base'. */
void
guest_set_ring(int vid, unsigned int vring, const struct rte_vhost_vring *ring,
               uint16_t base)
{
    struct stub_vring *v;

    alloc_vrings(&stub_devices[vid], vring + 1);
    v = stub_devices[vid].vrings[vring];
    v->real = *ring;
    v->avail_base = v->used_base = base;
}

/* What ends each message: says which virtqueues became ready or ceased to be,
 * then whether the device is ready. */
static void
finish_message(struct stub_device *dev, bool locked)
{
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        struct stub_vring *vring = dev->vrings[i];
        bool ready = vring->access_ok && vring->enabled;

        if (ready != vring->ready) {
            vring->ready = ready;
            dev->socket->ops->vring_state_changed(dev - stub_devices, i,
                                                  ready);
        }
    }
    for (unsigned int i = 0; locked && i < dev->n_vrings; i++) {
        rte_spinlock_unlock(&dev->vrings[i]->access_lock);
    }

    dev->ready = dev->ready || (dev->n_vrings >= 2 && dev->vrings[0]->ready
                                && dev->vrings[1]->ready);
    if (dev->ready && !dev->running) {
        for (unsigned int i = 0; i < dev->n_vrings; i++) {
            dev->vrings[i]->late = false;
        }
        dev->running = !dev->socket->ops->new_device(dev - stub_devices);
    }
}

static struct message
make_message(uint32_t request, const void *payload, size_t size)
{
    struct message m = {
        .request = request, .flags = 1 | FLAG_NEED_REPLY, .size = size,
    };

    ovs_assert(size <= sizeof m.payload);
    if (size) {
        memcpy(m.payload, payload, size);
    }
    memset(m.fds, -1, sizeof m.fds);
    return m;
}

/* Shows 'm' to the provider.  Returns true if the library is to handle it. */
static bool
show_message(struct stub_device *dev, struct message *m,
             enum rte_vhost_msg_result *result)
{
    *result = dev->extern_ops->pre_msg_handle(dev - stub_devices, m);
    return *result == RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Likewise, of a message that the provider ignores at most. */
static bool
show_valid_message(struct stub_device *dev, struct message *m)
{
    enum rte_vhost_msg_result result;
    bool to_handle = show_message(dev, m, &result);

    ovs_assert(to_handle || result == RTE_VHOST_MSG_RESULT_OK);
    return to_handle;
}

/* Ends 'm', which was handled by the library or ignored by the provider. */
static void
close_message(struct stub_device *dev, struct message *m)
{
    dev->extern_ops->post_msg_handle(dev - stub_devices, m);
}

/* SET_MEM_TABLE, with one region of 'size' bytes, half of which is in use.
 * 'fails' has the library lose it. */
void
guest_set_memory(int vid, size_t size, bool fails)
{
    guest_set_memory_with(vid, size, fails, NULL);
}

/* Likewise.  Calls 'meanwhile', unless it is null, while the library handles
 * the message. */
void
guest_set_memory_with(int vid, size_t size, bool fails,
                      void (*meanwhile)(void))
{
    struct {
        uint32_t n_regions, padding;
        struct vhost_message_region region;
    } table = {
        .n_regions = 1,
        .region = {
            .guest_address = 0x100000, .size = size, .user_address = 0x4000,
        },
    };
    struct message m = make_message(VHOST_REQUEST_SET_MEM_TABLE, &table,
                                    sizeof table);
    struct stub_device *dev = begin_message(vid);
    int fd = memfd_create("guest", MFD_CLOEXEC);
    bool handled;
    void *p;

    ovs_assert(fd >= 0 && !ftruncate(fd, size));
    m.fds[0] = fd;
    m.n_fds = 1;
    handled = show_valid_message(dev, &m);
    if (meanwhile) {
        meanwhile();
    }
    if (!handled) {
        end_message(dev);
        return;
    }
    stub_unmap_memory(dev);
    if (fails) {
        close(fd);
    } else {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ovs_assert(p != MAP_FAILED);
        memset(p, 1, size / 2);
        dev->memory = (struct rte_vhost_mem_region) {
            .guest_phys_addr = table.region.guest_address,
            .guest_user_addr = table.region.user_address,
            .host_user_addr = (uintptr_t) p,
            .mmap_addr = p,
            .mmap_size = size,
            .size = size,
            .fd = fd,
        };
        close_message(dev, &m);
    }
    finish_message(dev, false);
    end_message(dev);
}

/* A message that changes nothing here but, perhaps, the log.  Returns what the
 * provider had to say: NOT_HANDLED means that the library handled it. */
enum rte_vhost_msg_result
guest_message(int vid, uint32_t request, const void *payload, size_t size)
{
    struct message m = make_message(request, payload, size);
    struct stub_device *dev = begin_message(vid);
    enum rte_vhost_msg_result result;

    if (show_message(dev, &m, &result)
        && request == VHOST_REQUEST_SET_LOG_BASE) {
        dev->log_base = 4096;
    }
    if (result != RTE_VHOST_MSG_RESULT_ERR) {
        close_message(dev, &m);
    } else if (!(m.flags & FLAG_NEED_REPLY)) {
        destroy_connection(dev);
        return result;
    }
    finish_message(dev, false);
    end_message(dev);
    return result;
}

/* IOTLB_MSG, which no burst must meet.  Returns false if it was refused. */
static bool
change_translations(int vid, struct vhost_iotlb_msg *iotlb, bool of_rings)
{
    struct stub_device *dev = begin_message(vid);
    struct message m = make_message(VHOST_REQUEST_IOTLB_MSG, iotlb,
                                    sizeof *iotlb);
    enum rte_vhost_msg_result result;

    if (show_message(dev, &m, &result)) {
        memcpy(iotlb, m.payload, sizeof *iotlb);
        for (unsigned int i = 0; i < dev->n_vrings; i++) {
            struct stub_vring *vring = dev->vrings[i];

            if (!rte_spinlock_trylock(&vring->access_lock)) {
                stub_vhost.n_late_calls++;
                continue;
            }
            vring->late = true;
            vring->access_ok &= !of_rings;
            rte_spinlock_unlock(&vring->access_lock);
        }
        rte_delay_us_block(10);
        for (unsigned int i = 0; i < dev->n_vrings; i++) {
            dev->vrings[i]->late = !dev->running;
        }
        close_message(dev, &m);
    }
    finish_message(dev, false);
    end_message(dev);
    return result == RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* IOTLB_MSG, to forget translations, also those of the rings.  Returns the
 * size that the library gets to see. */
uint64_t
guest_invalidate(int vid, uint64_t address, uint64_t size)
{
    struct vhost_iotlb_msg iotlb = {
        .iova = address, .size = size, .type = VHOST_IOTLB_INVALIDATE,
    };

    ovs_assert(change_translations(vid, &iotlb, true));
    ovs_assert(iotlb.iova == address && iotlb.type == VHOST_IOTLB_INVALIDATE);
    return iotlb.size;
}

/* IOTLB_MSG, that page 'address' is at 'user_address'.  Returns false if it
 * was refused. */
bool
guest_translate(int vid, uint64_t address, uint64_t user_address)
{
    struct vhost_iotlb_msg iotlb = {
        .iova = address, .size = 4096, .uaddr = user_address,
        .perm = VHOST_ACCESS_RW, .type = VHOST_IOTLB_UPDATE,
    };
    struct vhost_iotlb_msg sent = iotlb;
    bool accepted = change_translations(vid, &iotlb, false);

    ovs_assert(!memcmp(&iotlb, &sent, sizeof sent));
    return accepted;
}

/* SET_VRING_ADDR, SET_VRING_KICK and so on, SET_VRING_ENABLE. */
void
guest_set_vring(int vid, unsigned int vring, bool enable)
{
    struct stub_device *dev = begin_message(vid);
    uint32_t state[] = { vring, enable };
    struct message m = make_message(VHOST_REQUEST_SET_VRING_ENABLE, state,
                                    sizeof state);

    if (!dev) {
        return;
    }
    if (!show_valid_message(dev, &m)) {
        end_message(dev);
        return;
    }
    alloc_vrings(dev, vring + 1);
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        rte_spinlock_lock(&dev->vrings[i]->access_lock);
    }
    dev->vrings[vring]->size = 256;
    dev->vrings[vring]->enabled = enable;
    dev->vrings[vring]->access_ok |= enable;
    close_message(dev, &m);
    finish_message(dev, true);
    end_message(dev);
}

/* SET_VRING_ADDR of a virtqueue that was set up before.  It does not work
 * until guest_set_vring() enables it. */
void
guest_move_vring(int vid, unsigned int vring)
{
    struct stub_device *dev = begin_message(vid);

    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        rte_spinlock_lock(&dev->vrings[i]->access_lock);
    }
    dev->vrings[vring]->access_ok = false;
    finish_message(dev, true);
    end_message(dev);
}

/* Enables the first 'n_pairs' pairs of virtqueues. */
void
guest_start(int vid, unsigned int n_pairs)
{
    for (unsigned int i = 0; i < 2 * n_pairs; i++) {
        guest_set_vring(vid, i, true);
    }
}

/* GET_VRING_BASE for each virtqueue. */
void
guest_stop(int vid)
{
    for (unsigned int i = 0; i < MAX_VRINGS; i++) {
        struct stub_device *dev = begin_message(vid);

        if (dev && i < dev->n_vrings) {
            stub_stop_device(dev);
            dev->ready = false;
            rte_spinlock_lock(&dev->vrings[i]->access_lock);
            dev->vrings[i]->access_ok = false;
            rte_spinlock_unlock(&dev->vrings[i]->access_lock);
            finish_message(dev, false);
        }
        if (dev) {
            end_message(dev);
        }
    }
}

/* The driver of the VDUSE device at 'path', with 'n_pairs' pairs of virtqueues
 * and a control queue, is ready: unlike for a socket, nothing is said before,
 * and the virtqueues' state comes after the device. */
int
guest_start_vduse(const char *path, unsigned int n_pairs)
{
    struct stub_socket *s = begin_connection(path);
    struct stub_device *dev;
    int vid;

    if (!s) {
        return -1;
    }
    dev = new_device(s);
    vid = dev - stub_devices;
    dev->features = UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
    alloc_vrings(dev, 2 * n_pairs + 1);
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        dev->vrings[i]->late = false;
        dev->vrings[i]->size = 256;
        dev->vrings[i]->enabled = dev->vrings[i]->access_ok = true;
    }
    dev->running = !s->ops->new_device(vid);
    for (unsigned int i = 0; i < 2 * n_pairs; i++) {
        s->ops->vring_state_changed(vid, i, true);
    }
    end_message(dev);
    end_connection(s);
    return vid;
}

/* The driver of a VDUSE device stops.  No end of a connection follows. */
void
guest_stop_vduse(int vid)
{
    struct stub_device *dev = begin_message(vid);

    if (dev) {
        stub_stop_device(dev);
        stub_free_device(dev);
    }
}

/* The driver says over the control queue that it uses 'n_pairs' pairs. */
void
guest_set_vduse_pairs(int vid, unsigned int n_pairs)
{
    struct stub_device *dev = begin_message(vid);

    for (unsigned int i = 0; i + 1 < dev->n_vrings; i++) {
        dev->vrings[i]->enabled = i < 2 * n_pairs;
        dev->socket->ops->vring_state_changed(vid, i, i < 2 * n_pairs);
    }
    end_message(dev);
}

bool
guest_is_running(int vid)
{
    return stub_devices[vid].socket && stub_devices[vid].running;
}
