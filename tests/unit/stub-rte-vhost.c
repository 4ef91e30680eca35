/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "stub-rte-vhost.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-message.h"

#define MAX_SOCKETS 16
#define MAX_DEVICES 32
#define MAX_VRINGS 256
#define MAX_BURST 32

#define STATS                                           \
    STAT(good_packets)                                  \
    STAT(good_bytes)                                    \
    STAT(multicast_packets)                             \
    STAT(broadcast_packets)                             \
    STAT(undersize_packets)                             \
    STAT(size_64_packets)                               \
    STAT(size_65_127_packets)                           \
    STAT(size_128_255_packets)                          \
    STAT(size_256_511_packets)                          \
    STAT(size_512_1023_packets)                         \
    STAT(size_1024_1518_packets)                        \
    STAT(size_1519_max_packets)                         \
    STAT(guest_notifications)                           \
    STAT(iotlb_hits)                                    \
    STAT(iotlb_misses)                                  \
    STAT(inflight_submitted)                            \
    STAT(inflight_completed)                            \
    STAT(of_a_later_release)

static const char *const stat_names[] = {
#define STAT(NAME) #NAME,
    STATS
#undef STAT
};

enum {
#define STAT(NAME) STAT_##NAME,
    STATS
#undef STAT
    N_STATS
};

/* What the library shows of a message: see vhost-message.c. */
struct message {
    uint32_t request, flags, size;
    uint8_t payload[VHOST_MESSAGE_SIZE - 12];
    int fds[VHOST_MESSAGE_MAX_FDS];
    int n_fds;
};
#define FLAG_NEED_REPLY 8

struct stub_vring {
    rte_spinlock_t access_lock;
    bool enabled;               /* By the guest. */
    bool ready;                 /* As the provider was told. */
    bool access_ok;             /* Do its addresses make sense? */
    uint16_t size;              /* 0 if it is not set up. */
    bool late;                  /* Must the data path leave it alone? */
    struct {
        int node;
    } ring;                     /* Stands for the descriptors... */
    struct rte_vhost_vring real;        /* ...unless there are some. */
    uint16_t avail_base, used_base;
    uint64_t stats[N_STATS];

    /* From the guest. */
    struct ovs_list pending;    /* Contains "struct queued". */
    unsigned int n_pending;
    bool broken;                /* Packets wait, but do not come. */

    /* To the guest. */
    struct ovs_list received;   /* Contains "struct queued". */
    unsigned int room;          /* Descriptors. */
    unsigned int burst;         /* At most so many in a call. */
};

struct queued {
    struct ovs_list list_node;
    struct guest_packet packet;
};

struct device {
    struct socket *socket;      /* Null for no device. */
    int fds[2];                 /* The connection: a socket and its peer. */
    bool busy;                  /* Is the event thread at it? */
    bool running;
    bool ready;                 /* Were the first two virtqueues ready? */
    char path[PATH_MAX];
    uint64_t features;
    uint64_t log_base;          /* Never forgotten. */
    uint16_t mtu;
    struct rte_vhost_mem_region memory;
    const struct rte_vhost_user_extern_ops *extern_ops;
    unsigned int n_vrings;
    struct stub_vring *vrings[MAX_VRINGS];
};

struct socket {
    char *path;                 /* Null for an unused element. */
    bool is_server;
    bool started;
    bool busy;                  /* Is the event thread at it? */
    int fd;
    const struct rte_vhost_device_ops *ops;
};

struct stub_vhost stub_vhost;

/* Protects the table of sockets; held by functions that configure one. */
static pthread_mutex_t sockets_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct socket sockets[MAX_SOCKETS];

/* Protects 'busy' and which devices there are. */
static pthread_mutex_t fds_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct device devices[MAX_DEVICES];

static struct socket *
find_socket(const char *path)
{
    for (int i = 0; i < MAX_SOCKETS; i++) {
        if (sockets[i].path && !strcmp(sockets[i].path, path)) {
            return &sockets[i];
        }
    }
    return NULL;
}

/* Returns device 'vid', or NULL. */
static struct device *
get_device(int vid)
{
    struct device *dev = vid >= 0 && vid < MAX_DEVICES ? &devices[vid] : NULL;

    if (dev && dev->socket) {
        return dev;
    }
    stub_vhost.n_late_calls++;
    return NULL;
}

/* Returns virtqueue 'vring' of device 'vid', or NULL. */
static struct stub_vring *
get_vring(int vid, unsigned int vring)
{
    struct device *dev = get_device(vid);

    return dev && vring < dev->n_vrings ? dev->vrings[vring] : NULL;
}

/* Sockets. */

/* The provider has one that is never started: see keep_event_thread(). */
static bool
is_of_port(const struct socket *s)
{
    return s->path[0] == '/';
}

int
rte_vhost_driver_register(const char *path, uint64_t flags)
{
    struct socket *s = NULL;

    stub_vhost.flags = flags;
    if (stub_vhost.fail_register) {
        return -1;
    }
    pthread_mutex_lock(&sockets_mutex);
    for (int i = 0; i < MAX_SOCKETS && !s; i++) {
        s = sockets[i].path ? NULL : &sockets[i];
    }
    ovs_assert(s);
    memset(s, 0, sizeof *s);
    s->path = xstrdup(path);
    s->is_server = !(flags & RTE_VHOST_USER_CLIENT);
    s->fd = -1;
    stub_vhost.n_sockets += is_of_port(s);
    pthread_mutex_unlock(&sockets_mutex);
    return 0;
}

int
rte_vhost_driver_callback_register(const char *path,
                                   const struct rte_vhost_device_ops *ops)
{
    struct socket *s;

    pthread_mutex_lock(&sockets_mutex);
    s = stub_vhost.fail_callback_register ? NULL : find_socket(path);
    if (s) {
        s->ops = ops;
        stub_vhost.ops = ops;
    }
    pthread_mutex_unlock(&sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_disable_features(const char *path, uint64_t features)
{
    struct socket *s;

    pthread_mutex_lock(&sockets_mutex);
    s = stub_vhost.fail_disable_features ? NULL : find_socket(path);
    stub_vhost.disabled_features = features;
    pthread_mutex_unlock(&sockets_mutex);
    return s ? 0 : -1;
}

int
rte_vhost_driver_get_features(const char *path, uint64_t *features)
{
    uint64_t unsupported = stub_vhost.disabled_features;
    struct socket *s;

    pthread_mutex_lock(&sockets_mutex);
    s = find_socket(path);
    pthread_mutex_unlock(&sockets_mutex);
    if (!(stub_vhost.flags & RTE_VHOST_USER_IOMMU_SUPPORT)) {
        unsupported |= UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
    }
    *features = ~unsupported;
    return s ? 0 : -1;
}

int
rte_vhost_driver_start(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    struct socket *s;

    pthread_mutex_lock(&sockets_mutex);
    s = stub_vhost.fail_start ? NULL : find_socket(path);
    pthread_mutex_unlock(&sockets_mutex);
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
    pthread_mutex_lock(&fds_mutex);
    s->started = true;
    pthread_mutex_unlock(&fds_mutex);
    return 0;
}

/* destroy_device.  No packet may be exchanged with 'dev' any more after it. */
static void
stop_device(struct device *dev)
{
    if (dev->running) {
        bool was_quiescent = ovsrcu_is_quiescent();

        dev->running = false;
        dev->socket->ops->destroy_device(dev - devices);
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

static void
free_packets(struct ovs_list *list)
{
    struct queued *queued;

    LIST_FOR_EACH_POP (queued, list_node, list) {
        free(queued);
    }
}

static void
unmap_memory(struct device *dev)
{
    if (dev->memory.size) {
        munmap((void *) (uintptr_t) dev->memory.host_user_addr,
               dev->memory.size);
        close(dev->memory.fd);
    }
    memset(&dev->memory, 0, sizeof dev->memory);
}

static void
free_device(struct device *dev)
{
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        struct stub_vring *vring = dev->vrings[i];

        rte_spinlock_lock(&vring->access_lock);
        vring->late = true;
        vring->access_ok = vring->enabled = vring->ready = false;
        vring->broken = false;
        memset(vring->stats, 0, sizeof vring->stats);
        free_packets(&vring->pending);
        vring->n_pending = 0;
        free_packets(&vring->received);
        rte_spinlock_unlock(&vring->access_lock);
    }
    unmap_memory(dev);
    close(dev->fds[0]);
    close(dev->fds[1]);
    pthread_mutex_lock(&fds_mutex);
    dev->n_vrings = 0;
    dev->socket = NULL;
    dev->busy = false;
    pthread_mutex_unlock(&fds_mutex);
}

/* Marks socket 's' and its devices as not to be used by the event thread.
 * Returns false if it does so now. */
static bool
try_claim(struct socket *s)
{
    bool claimed;

    pthread_mutex_lock(&fds_mutex);
    claimed = !s->busy;
    for (int i = 0; i < MAX_DEVICES; i++) {
        claimed = claimed && !(devices[i].socket == s && devices[i].busy);
    }
    for (int i = 0; claimed && i < MAX_DEVICES; i++) {
        if (devices[i].socket == s) {
            devices[i].busy = true;
        }
    }
    s->started = !claimed && s->started;
    pthread_mutex_unlock(&fds_mutex);
    return claimed;
}

int
rte_vhost_driver_unregister(const char *path)
{
    struct socket *s;

    pthread_mutex_lock(&sockets_mutex);
    while ((s = find_socket(path)) && !try_claim(s)) {
        pthread_mutex_unlock(&sockets_mutex);
        sched_yield();
        pthread_mutex_lock(&sockets_mutex);
    }
    if (s) {
        for (int i = 0; i < MAX_DEVICES; i++) {
            if (devices[i].socket == s) {
                stop_device(&devices[i]);
                free_device(&devices[i]);
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
    }
    pthread_mutex_unlock(&sockets_mutex);
    return s ? 0 : -1;
}

/* Devices. */

int
rte_vhost_get_ifname(int vid, char *buf, size_t len)
{
    struct device *dev = get_device(vid);

    if (dev) {
        ovs_strlcpy(buf, dev->path, len);
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_negotiated_features(int vid, uint64_t *features)
{
    struct device *dev = get_device(vid);

    if (dev) {
        *features = dev->features;
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_log_base(int vid, uint64_t *log_base, uint64_t *log_size)
{
    struct device *dev = get_device(vid);

    if (dev) {
        *log_base = *log_size = dev->log_base;
    }
    return dev ? 0 : -1;
}

int
rte_vhost_get_mtu(int vid, uint16_t *mtu)
{
    struct device *dev = get_device(vid);

    if (!dev || !dev->mtu) {
        return dev ? -ENOTSUP : -ENODEV;
    }
    *mtu = dev->mtu;
    return 0;
}

uint16_t
rte_vhost_get_vring_num(int vid)
{
    struct device *dev = get_device(vid);

    return dev ? dev->n_vrings : 0;
}

int
rte_vhost_get_numa_node(int vid)
{
    struct device *dev = get_device(vid);

    return dev && dev->n_vrings ? dev->vrings[0]->ring.node : -1;
}

int
rte_vhost_get_mem_table(int vid, struct rte_vhost_memory **table)
{
    struct device *dev = get_device(vid);

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
    struct device *dev = get_device(vid);

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
    struct stub_vring *v = get_vring(vid, idx);

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
    struct stub_vring *v = get_vring(vid, idx);

    if (v) {
        *avail = v->avail_base;
        *used = v->used_base;
    }
    return v ? 0 : -1;
}

int
rte_vhost_set_vring_base(int vid, uint16_t idx, uint16_t avail, uint16_t used)
{
    struct stub_vring *v = get_vring(vid, idx);

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

int
rte_vhost_enable_guest_notification(int vid, uint16_t idx, int enable)
{
    struct stub_vring *vring = get_vring(vid, idx);

    if (!vring) {
        return -1;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_suppressions += !enable;
    rte_spinlock_unlock(&vring->access_lock);
    return 0;
}

uint32_t
rte_vhost_rx_queue_count(int vid, uint16_t idx)
{
    struct stub_vring *vring = get_vring(vid, idx);
    uint32_t n = 0;

    if (vring && idx & 1) {
        rte_spinlock_lock(&vring->access_lock);
        if (vring->access_ok && vring->enabled) {
            n = stub_vhost.endless ? MAX_BURST : vring->n_pending;
            n |= 0xffff0000;    /* The library does not take care. */
        }
        rte_spinlock_unlock(&vring->access_lock);
    }
    return n;
}

uint16_t
rte_vhost_avail_entries(int vid, uint16_t idx)
{
    struct stub_vring *vring = get_vring(vid, idx);
    uint16_t n = 0;

    if (vring) {
        rte_spinlock_lock(&vring->access_lock);
        if (vring->access_ok && vring->enabled) {
            n = idx & 1 ? vring->n_pending : MIN(vring->room, 256);
        }
        rte_spinlock_unlock(&vring->access_lock);
    }
    return n;
}

int
rte_vhost_vring_stats_get_names(int vid, uint16_t idx,
                                struct rte_vhost_stat_name *names,
                                unsigned int n)
{
    struct stub_vring *vring = get_vring(vid, idx);

    if (!vring || !(stub_vhost.flags & RTE_VHOST_USER_NET_STATS_ENABLE)) {
        return -1;
    }
    for (int i = 0; names && n >= N_STATS && i < N_STATS; i++) {
        snprintf(names[i].name, sizeof names[i].name, "%s_q%d_%s",
                 idx & 1 ? "rx" : "tx", idx / 2, stat_names[i]);
    }
    return N_STATS;
}

int
rte_vhost_vring_stats_get(int vid, uint16_t idx, struct rte_vhost_stat *stats,
                          unsigned int n)
{
    struct stub_vring *vring = get_vring(vid, idx);
    int retval = N_STATS;

    if (!vring || stub_vhost.fail_stats) {
        return -1;
    }
    if (!stats || n < N_STATS) {
        return N_STATS;
    }
    rte_spinlock_lock(&vring->access_lock);
    if (vring->access_ok) {
        for (int i = 0; i < N_STATS; i++) {
            stats[i].id = i;
            stats[i].value = vring->stats[i];
        }
    } else {
        retval = -1;
    }
    rte_spinlock_unlock(&vring->access_lock);
    return retval;
}

int
rte_vhost_vring_stats_reset(int vid, uint16_t idx)
{
    struct stub_vring *vring = get_vring(vid, idx);
    int retval = 0;

    if (!vring) {
        return -1;
    }
    rte_spinlock_lock(&vring->access_lock);
    if (vring->access_ok) {
        memset(vring->stats, 0, sizeof vring->stats);
    } else {
        retval = -1;
    }
    rte_spinlock_unlock(&vring->access_lock);
    return retval;
}

/* Packets. */

static void
count_packet(struct stub_vring *vring, const uint8_t *data, size_t size)
{
    static const size_t bins[] = { 0, 64, 65, 128, 256, 512, 1024, 1519 };
    int bin = 0;

    vring->stats[STAT_good_packets]++;
    vring->stats[STAT_good_bytes] += size;
    if (rte_is_broadcast_ether_addr((const struct rte_ether_addr *) data)) {
        vring->stats[STAT_broadcast_packets]++;
    } else if (data[0] & 1) {
        vring->stats[STAT_multicast_packets]++;
    }
    while (bin + 1 < ARRAY_SIZE(bins) && size >= bins[bin + 1]) {
        bin++;
    }
    vring->stats[STAT_undersize_packets + bin]++;
}

static struct queued *
new_packet(size_t size)
{
    struct queued *queued = xzalloc(sizeof *queued + size);

    queued->packet.size = size;
    return queued;
}

static void
fill_mbuf(struct stub_vring *vring, struct rte_mbuf *mbuf)
{
    static const uint8_t endless[64] = { 2 };

    if (stub_vhost.endless) {
        memcpy(rte_pktmbuf_append(mbuf, sizeof endless), endless,
               sizeof endless);
        count_packet(vring, endless, sizeof endless);
    } else {
        struct queued *queued;
        char *data;

        queued = CONTAINER_OF(ovs_list_pop_front(&vring->pending),
                              struct queued, list_node);
        vring->n_pending--;
        data = rte_pktmbuf_append(mbuf, queued->packet.size);
        ovs_assert(data);       /* A test's packets are not that long. */
        memcpy(data, queued->packet.data, queued->packet.size);
        count_packet(vring, queued->packet.data, queued->packet.size);
        free(queued);
    }
}

uint16_t
rte_vhost_dequeue_burst(int vid, uint16_t idx, struct rte_mempool *mp,
                        struct rte_mbuf **mbufs, uint16_t n)
{
    struct stub_vring *vring = get_vring(vid, idx);

    if (!vring || !(idx & 1)) {
        return 0;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_late_calls += vring->late;
    n = MIN(n, MAX_BURST);
    n = stub_vhost.endless ? n : MIN(n, vring->n_pending);
    if (!vring->access_ok || !vring->enabled || vring->broken
        || rte_pktmbuf_alloc_bulk(mp, mbufs, n)) {
        n = 0;
    }
    for (uint16_t i = 0; i < n; i++) {
        fill_mbuf(vring, mbufs[i]);
    }
    rte_spinlock_unlock(&vring->access_lock);
    return n;
}

static void
receive_mbuf(struct stub_vring *vring, const struct rte_mbuf *mbuf)
{
    struct queued *queued = new_packet(rte_pktmbuf_pkt_len(mbuf));
    struct guest_packet *packet = &queued->packet;
    size_t size = 0;

    packet->ol_flags = mbuf->ol_flags;
    packet->n_segs = mbuf->nb_segs;
    packet->l2_len = mbuf->l2_len;
    packet->l3_len = mbuf->l3_len;
    packet->l4_len = mbuf->l4_len;
    packet->tso_segsz = mbuf->tso_segsz;
    for (unsigned int i = packet->n_segs; i--; mbuf = mbuf->next) {
        ovs_assert(size + mbuf->data_len <= packet->size);
        memcpy(packet->data + size, rte_pktmbuf_mtod(mbuf, void *),
               mbuf->data_len);
        size += mbuf->data_len;
    }
    ovs_assert(size == packet->size);
    count_packet(vring, packet->data, size);
    if (stub_vhost.endless) {
        free(queued);
    } else {
        ovs_list_push_back(&vring->received, &queued->list_node);
    }
}

uint16_t
rte_vhost_enqueue_burst(int vid, uint16_t idx, struct rte_mbuf **mbufs,
                        uint16_t n)
{
    struct stub_vring *vring = get_vring(vid, idx);

    if (!vring || idx & 1) {
        return 0;
    }
    rte_spinlock_lock(&vring->access_lock);
    stub_vhost.n_late_calls += vring->late;
    n = MIN(n, MIN(MAX_BURST, vring->burst));
    n = stub_vhost.endless ? n : MIN(n, vring->room);
    if (!vring->access_ok || !vring->enabled) {
        n = 0;
    }
    vring->room -= stub_vhost.endless ? 0 : n;
    for (uint16_t i = 0; i < n; i++) {
        receive_mbuf(vring, mbufs[i]);
    }
    rte_spinlock_unlock(&vring->access_lock);
    return n;
}

/* The guest. */

/* Begins the event thread's work on device 'vid'.  Returns NULL if it was
 * closed. */
static struct device *
begin_message(int vid)
{
    struct device *dev = NULL;

    ovs_assert(vid < MAX_DEVICES);
    pthread_mutex_lock(&fds_mutex);
    if (vid >= 0 && devices[vid].socket && !devices[vid].busy) {
        dev = &devices[vid];
        dev->busy = true;
    }
    pthread_mutex_unlock(&fds_mutex);
    return dev;
}

static void
end_message(struct device *dev)
{
    ovs_assert(single_threaded() || ovsrcu_is_quiescent());
    pthread_mutex_lock(&fds_mutex);
    dev->busy = false;
    pthread_mutex_unlock(&fds_mutex);
}

/* Begins the event thread's work on a new connection to 's'. */
static struct device *
new_device(struct socket *s)
{
    struct device *dev = NULL;

    pthread_mutex_lock(&fds_mutex);
    for (int i = 0; i < MAX_DEVICES && !dev; i++) {
        dev = devices[i].socket ? NULL : &devices[i];
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
    pthread_mutex_unlock(&fds_mutex);
    return dev;
}

int
guest_connect(const char *path)
{
    struct socket *s;
    struct device *dev;
    int vid;

    pthread_mutex_lock(&sockets_mutex);
    s = find_socket(path);
    if (s) {
        pthread_mutex_lock(&fds_mutex);
        s->busy = s->started;
        s = s->started ? s : NULL;
        pthread_mutex_unlock(&fds_mutex);
    }
    pthread_mutex_unlock(&sockets_mutex);
    if (!s) {
        return -1;
    }

    dev = new_device(s);
    vid = dev - devices;
    if (s->ops->new_connection(vid) < 0) {
        free_device(dev);
        vid = -1;
    } else {
        end_message(dev);
    }
    pthread_mutex_lock(&fds_mutex);
    s->busy = false;
    pthread_mutex_unlock(&fds_mutex);
    return vid;
}

static void
destroy_connection(struct device *dev)
{
    stop_device(dev);
    dev->socket->ops->destroy_connection(dev - devices);
    free_device(dev);
}

void
guest_disconnect(int vid)
{
    struct device *dev = begin_message(vid);

    if (dev) {
        destroy_connection(dev);
    }
}

void
guest_set_features(int vid, uint64_t features)
{
    devices[vid].features = features;
}

void
guest_set_mtu(int vid, uint16_t mtu)
{
    devices[vid].mtu = mtu;
}

static void
alloc_vrings(struct device *dev, unsigned int n)
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
    alloc_vrings(&devices[vid], vring + 1);
    devices[vid].vrings[vring]->ring.node = node;
}

/* Gives a virtqueue a ring in memory, which starts at 'base'. */
void
guest_set_ring(int vid, unsigned int vring, const struct rte_vhost_vring *ring,
               uint16_t base)
{
    struct stub_vring *v;

    alloc_vrings(&devices[vid], vring + 1);
    v = devices[vid].vrings[vring];
    v->real = *ring;
    v->avail_base = v->used_base = base;
}

/* What ends each message: says which virtqueues became ready or ceased to be,
 * then whether the device is ready. */
static void
finish_message(struct device *dev, bool locked)
{
    for (unsigned int i = 0; i < dev->n_vrings; i++) {
        struct stub_vring *vring = dev->vrings[i];
        bool ready = vring->access_ok && vring->enabled;

        if (ready != vring->ready) {
            vring->ready = ready;
            dev->socket->ops->vring_state_changed(dev - devices, i, ready);
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
        dev->running = !dev->socket->ops->new_device(dev - devices);
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
    return m;
}

/* Shows 'm' to the provider.  Returns true if the library is to handle it. */
static bool
show_message(struct device *dev, struct message *m,
             enum rte_vhost_msg_result *result)
{
    *result = dev->extern_ops->pre_msg_handle(dev - devices, m);
    return *result == RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Ends 'm', which was handled by the library or ignored by the provider. */
static void
close_message(struct device *dev, struct message *m)
{
    dev->extern_ops->post_msg_handle(dev - devices, m);
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
    struct device *dev = begin_message(vid);
    int fd = memfd_create("guest", MFD_CLOEXEC);
    enum rte_vhost_msg_result result;
    void *p;

    ovs_assert(fd >= 0 && !ftruncate(fd, size));
    m.fds[0] = fd;
    m.n_fds = 1;
    ovs_assert(show_message(dev, &m, &result));
    if (meanwhile) {
        meanwhile();
    }
    unmap_memory(dev);
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
    struct device *dev = begin_message(vid);
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
    struct device *dev = begin_message(vid);
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
    struct device *dev = begin_message(vid);
    uint32_t state[] = { vring, enable };
    struct message m = make_message(VHOST_REQUEST_SET_VRING_ENABLE, state,
                                    sizeof state);
    enum rte_vhost_msg_result result;

    if (!dev) {
        return;
    }
    ovs_assert(show_message(dev, &m, &result));
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
    struct device *dev = begin_message(vid);

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
        struct device *dev = begin_message(vid);

        if (dev && i < dev->n_vrings) {
            stop_device(dev);
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

bool
guest_is_running(int vid)
{
    return devices[vid].socket && devices[vid].running;
}

static struct stub_vring *
lock_vring(int vid, unsigned int vring)
{
    struct stub_vring *v = get_vring(vid, vring);

    ovs_assert(v);
    rte_spinlock_lock(&v->access_lock);
    return v;
}

void
guest_set_room(int vid, unsigned int vring, unsigned int n_descs)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->room = n_descs;
    rte_spinlock_unlock(&v->access_lock);
}

/* Makes the library send at most 'n_max' packets in a call. */
void
guest_set_burst(int vid, unsigned int vring, unsigned int n_max)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->burst = n_max;
    rte_spinlock_unlock(&v->access_lock);
}

/* Makes the library find packets that it can do nothing with. */
void
guest_set_broken(int vid, unsigned int vring, bool broken)
{
    struct stub_vring *v = lock_vring(vid, vring);

    v->broken = broken;
    rte_spinlock_unlock(&v->access_lock);
}

void
guest_send(int vid, unsigned int vring, const void *data, size_t size)
{
    struct queued *queued = new_packet(size);
    struct stub_vring *v;

    memcpy(queued->packet.data, data, size);
    v = lock_vring(vid, vring);
    ovs_list_push_back(&v->pending, &queued->list_node);
    v->n_pending++;
    rte_spinlock_unlock(&v->access_lock);
}

/* Returns the next packet that came, which the caller must release with
 * guest_packet_free(), or NULL. */
struct guest_packet *
guest_receive(int vid, unsigned int vring)
{
    struct stub_vring *v = lock_vring(vid, vring);
    struct guest_packet *packet = NULL;

    if (!ovs_list_is_empty(&v->received)) {
        packet = &CONTAINER_OF(ovs_list_pop_front(&v->received),
                               struct queued, list_node)->packet;
    }
    rte_spinlock_unlock(&v->access_lock);
    return packet;
}

void
guest_packet_free(struct guest_packet *packet)
{
    if (packet) {
        free(CONTAINER_OF(packet, struct queued, packet));
    }
}

bool
stub_vhost_ring_node(const void *p, int *node)
{
    for (int i = 0; i < MAX_DEVICES; i++) {
        for (int j = 0; j < MAX_VRINGS; j++) {
            const struct stub_vring *vring = devices[i].vrings[j];

            if (vring && p == &vring->ring) {
                *node = vring->ring.node;
                return *node >= 0;
            }
        }
    }
    return false;
}
