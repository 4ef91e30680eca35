/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-session-private.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <rte_cycles.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "openvswitch/list.h"
#include "openvswitch/usdt-probes.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-guard.h"
#include "vhost-iotlb.h"
#include "vhost-mapping.h"
#include "vhost-message.h"
#include "vhost-socket.h"

VLOG_DEFINE_THIS_MODULE(vhost_conn);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Connections on a socket at a time.  More than one is an exception, and all
 * sockets share what librte_vhost has. */
#define MAX_CONNS 8

/* One connection on a session's socket.  There may be more than one for a
 * moment, when a guest comes back before its end was noticed, but only one has
 * a running device. */
struct vhost_conn {
    struct ovs_list list_node;  /* In session's 'conns'. */
    struct vhost_session *session;
    int vid;
    struct vhost_conversation conversation;
    uint32_t request;           /* Of the latest message... */
    int call_vring;             /* ...and the virtqueue of SET_VRING_CALL, or -1. */
    bool enabled[VHOST_MAX_VRINGS];     /* Which virtqueues are enabled. */
    struct vhost_guest_memory memory;   /* The guest's, for questions... */
    struct guest_memory mapped_memory;  /* ...and for access. */
    struct iovec watched[VHOST_MAX_REGIONS];    /* librte_vhost's mappings... */
    unsigned int n_watched;
    struct iovec watched_log;                   /* ...and that of the log. */
    struct vhost_mapping *mapping;      /* For zero-copy, or NULL. */
    uint64_t rarp_address;      /* See VHOST_USER_SEND_RARP, or 0. */
    struct vhost_iotlb *iotlb;  /* Of a guest with an IOMMU, or NULL. */
    struct vhost_device *device;        /* Published by us, or NULL. */
    bool waiting;                       /* Ready, but another one's runs. */
    bool is_guest;                      /* Did a device ever run? */
};

/* All connections by librte_vhost's identifier.
 *
 * librte_vhost calls back for one identifier at a time and gives it to the
 * next connection, of any session, as soon as it has closed the present one.
 * An element of 'conns' is therefore cleared before that: by
 * destroy_connection, or, as that is not called when a session is closed, by
 * vhost_session_cut_conns(). */
static ATOMIC(struct vhost_conn *) conns[RTE_MAX_VHOST_DEVICE];

static const struct rte_vhost_user_extern_ops extern_ops;

static void free_conn(struct vhost_conn *);
static void remove_conn(struct vhost_conn *);
static struct vhost_device *withdraw_device(struct vhost_conn *conn)
    OVS_REQUIRES(conn->session->mutex);
static void end_device(struct vhost_session *, struct vhost_device *);
static void wait_for_data_path(struct vhost_session *);
static struct vhost_device *running_device(const struct vhost_conn *);
static void take_rarp(struct vhost_conn *, struct vhost_device *);
static void run_waiting(struct vhost_session *);
static void update_demand(struct vhost_session *, struct vhost_conn *);
static void unwatch_memory(struct vhost_conn *);

/* Begins to close 'session': callbacks find no connection of it any more, and
 * none may run a device.  Returns the one that was running, or NULL. */
struct vhost_device *
vhost_session_cut_conns(struct vhost_session *session)
{
    struct vhost_device *device = NULL;
    struct vhost_conn *conn;

    ovs_mutex_lock(&session->mutex);
    session->closing = true;
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        if (conn->device) {
            device = withdraw_device(conn);
            vhost_device_suspend(device, 0, VHOST_MAX_VRINGS, true);
            vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
        }
        atomic_store_relaxed(&conns[conn->vid], NULL);
    }
    ovs_mutex_unlock(&session->mutex);
    return device;
}

/* Frees the connections of 'session', of which no callback is under way, and
 * 'device', which was cut from them and may be NULL. */
void
vhost_session_free_conns(struct vhost_session *session,
                         struct vhost_device *device)
{
    struct vhost_conn *conn;

    LIST_FOR_EACH_POP (conn, list_node, &session->conns) {
        free_conn(conn);
    }
    if (device) {
        end_device(session, device);
    }
}

/* Stores the memory of the guest whose device is running in '*memory', none if
 * there is no such guest.
 *
 * The guest's side may change its memory at any time, and librte_vhost then
 * unmaps it: the mappings may be asked about, but not be accessed. */
void
vhost_session_get_memory(struct vhost_session *session,
                         struct vhost_guest_memory *memory)
{
    struct vhost_conn *conn;

    memory->n_regions = 0;
    ovs_mutex_lock(&session->mutex);
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        if (conn->device) {
            *memory = conn->memory;
        }
    }
    ovs_mutex_unlock(&session->mutex);
}

/* Called first by each callback. */
static struct vhost_conn *
lookup_conn(int vid)
{
    struct vhost_conn *conn = NULL;

    /* What this thread did for another connection has ended. */
    vhost_guard_suspect(-1);
    if (vid >= 0 && vid < ARRAY_SIZE(conns)) {
        atomic_read_relaxed(&conns[vid], &conn);
    }
    return conn;
}

/* Wakes up those who show the state of 'session' or poll its queues. */
static void
notify(struct vhost_session *session)
{
    netdev_change_seq_changed(session->netdev);
}

static int
new_connection_cb(int vid)
{
    char path[PATH_MAX];
    struct vhost_session *session;
    struct vhost_conn *conn;
    bool welcome;

    if (vid < 0 || vid >= ARRAY_SIZE(conns)
        || rte_vhost_get_ifname(vid, path, sizeof path)) {
        return -1;
    }
    session = vhost_session_find(path);
    if (!session) {
        VLOG_ERR("vHost Device '%s' can't be added - name not found", path);
        return -1;
    }

    conn = xzalloc(sizeof *conn);
    conn->session = session;
    conn->vid = vid;
    conn->conversation.vid = vid;
    conn->call_vring = -1;
    atomic_store_relaxed(&vhost_guard_lost[vid], false);
    ovs_mutex_lock(&session->mutex);
    welcome = (!session->closing
               && ovs_list_size(&session->conns) < MAX_CONNS);
    if (welcome) {
        ovs_list_push_back(&session->conns, &conn->list_node);
        atomic_store_relaxed(&conns[vid], conn);
    }
    ovs_mutex_unlock(&session->mutex);
    if (!welcome) {
        static struct vlog_rate_limit rl_conns = VLOG_RATE_LIMIT_INIT(1, 1);

        VLOG_WARN_RL(&rl_conns, "vHost Device '%s': too many connections, one "
                     "more is refused", session->path);
        free(conn);
        return -1;
    }
    if (!vhost_socket_limit_waiting(session->postcopy)) {
        VLOG_WARN("vHost Device '%s': refused, because its socket was not "
                  "found, so that nothing would keep its front end from "
                  "having all others wait", session->path);
        remove_conn(conn);
        return -1;
    }
    OVS_USDT_PROBE(netdev_vhost, connected, session->path, vid);
    rte_vhost_extern_callback_register(vid, &extern_ops, NULL);
    return 0;
}

static void
destroy_connection_cb(int vid)
{
    struct vhost_conn *conn = lookup_conn(vid);
    struct vhost_session *session;
    bool has_guest = false;

    if (!conn) {
        return;
    }
    session = conn->session;
    remove_conn(conn);

    vhost_tally_end(&session->tally, vid);

    ovs_mutex_lock(&session->mutex);
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        has_guest |= conn->is_guest;
    }
    if (!has_guest) {
        session->supply.wanted.has_guest = false;
        session->supply.wanted.n_rxqs = session->supply.wanted.n_txqs = 1;
        vhost_supply_review(&session->supply);
    }
    ovs_mutex_unlock(&session->mutex);

    OVS_USDT_PROBE(netdev_vhost, disconnected, session->path, vid);
    VLOG_INFO("vHost Device '%s' connection has been destroyed",
              session->path);
}

static void
free_conn(struct vhost_conn *conn)
{
    unwatch_memory(conn);
    if (conn->watched_log.iov_base) {
        vhost_guard_unwatch(conn->watched_log.iov_base);
    }
    vhost_mapping_unref(conn->mapping);
    vhost_iotlb_destroy(conn->iotlb);
    free(conn);
}

static void
remove_conn(struct vhost_conn *conn)
{
    struct vhost_session *session = conn->session;

    ovs_mutex_lock(&session->mutex);
    ovs_list_remove(&conn->list_node);
    atomic_store_relaxed(&conns[conn->vid], NULL);
    ovs_mutex_unlock(&session->mutex);
    free_conn(conn);
}

/* Why 'vring' of 'conn' cannot be used, or NULL. */
static const char *
objection_to_vring(const struct vhost_conn *conn, unsigned int vring)
{
    return (conn->conversation.unsized[vring]
            ? "it was restarted without a size"
            : vhost_iotlb_objection(conn->iotlb, vring));
}

/* Starts those of 'n' virtqueues of 'device', from 'first' on, that the guest
 * has enabled. */
static void
start_queues(const struct vhost_conn *conn, struct vhost_device *device,
             unsigned int first, unsigned int n)
{
    for (unsigned int i = first; i < first + n; i++) {
        if (conn->enabled[i]) {
            vhost_device_start(device, i, objection_to_vring(conn, i));
        }
    }
}

/* Has the switch leave to the port of 'session' what a guest with 'features'
 * takes.  Threads that saw nothing of it yet send packets without requests to
 * the next device; those that prepared packets for the last one are waited for
 * before there is another. */
static void
set_tx_offloads(struct vhost_session *session, uint64_t features)
{
    session->netdev->ol_flags = vhost_tx_offloads(features,
                                                  session->large_packets);
}

/* Makes 'device' the running device of 'conn' and its session, unless the
 * session has one or is about to be closed. */
static bool
publish_device(struct vhost_conn *conn, struct vhost_device *device)
{
    struct vhost_session *session = conn->session;
    bool publish;

    ovs_mutex_lock(&session->mutex);
    conn->waiting = ovsrcu_get_protected(struct vhost_device *,
                                         &session->device) != NULL;
    publish = !conn->waiting && !session->closing;
    if (publish) {
        for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
            atomic_init(&device->rxqs[i].enabled, conn->enabled[2 * i + 1]);
        }
        start_queues(conn, device, 0, VHOST_MAX_VRINGS);
        take_rarp(conn, device);
        conn->device = device;
        conn->is_guest = true;
        vhost_device_map_txqs(conn->device, conn->enabled);
        session->supply.wanted.has_guest = true;
        session->supply.wanted.node = device->node;
        set_tx_offloads(session, device->features);
        ovsrcu_set(&session->device, device);
    }
    ovs_mutex_unlock(&session->mutex);
    return publish;
}

/* Takes the running device of 'conn' away from the data path, which may go on
 * using it until wait_for_data_path() returns. */
static struct vhost_device *
withdraw_device(struct vhost_conn *conn)
{
    struct vhost_device *device = conn->device;

    conn->device = NULL;
    atomic_store_explicit(&device->withdrawn, true, memory_order_release);
    ovsrcu_set(&conn->session->device, NULL);
    set_tx_offloads(conn->session, 0);
    return device;
}

/* The end of a grace period, as seen by the one who waits for it. */
struct grace {
    struct ovs_refcount refcount;
    atomic_bool over;
};

static void
grace_unref(struct grace *grace)
{
    if (ovs_refcount_unref(&grace->refcount) == 1) {
        free(grace);
    }
}

static void
grace_end(struct grace *grace)
{
    atomic_store_explicit(&grace->over, true, memory_order_release);
    grace_unref(grace);
}

/* Waits until all threads have quiesced, so that none uses a device of
 * 'session' that was withdrawn before, or its guest's memory.
 *
 * This is ovsrcu_synchronize(), except that it gives up when the session is
 * closed.  Whoever does that has seen to it that no thread uses the port,
 * waits for librte_vhost's event thread, which calls this, and may hold a lock
 * that the threads waited for want. */
static void
wait_for_data_path(struct vhost_session *session)
{
    struct grace *grace = xmalloc(sizeof *grace);
    bool done;

    ovs_refcount_init(&grace->refcount);
    ovs_refcount_ref(&grace->refcount);
    atomic_init(&grace->over, false);
    ovsrcu_postpone(grace_end, grace);
    ovsrcu_quiesce_start();     /* librte_vhost's threads know no RCU. */

    for (;;) {
        atomic_read_explicit(&grace->over, &done, memory_order_acquire);
        ovs_mutex_lock(&session->mutex);
        done |= session->closing;
        ovs_mutex_unlock(&session->mutex);
        if (done) {
            break;
        }
        rte_delay_us_sleep(100);    /* xnanosleep() would end quiescence. */
    }
    grace_unref(grace);
}

/* Gives 'conn', which librte_vhost says is ready, a running device if its
 * session has none. */
static void
run_device(struct vhost_conn *conn)
{
    struct vhost_session *session = conn->session;
    struct vhost_device *device = vhost_device_create(
        conn->vid, session->library_only, session->large_packets,
        &conn->mapped_memory, conn->mapping);
    bool copies = session->zero_copy && !device->mapping;
    int node = device->node;

    if (!publish_device(conn, device)) {
        vhost_device_free(device);
        VLOG_ERR_RL(&rl, "vHost Device '%s': a second guest wants to use the "
                    "socket while the first is connected, and has to wait; "
                    "give each guest a port of its own", session->path);
        return;
    }

    vhost_tally_start(&session->tally, device);

    OVS_USDT_PROBE(netdev_vhost, ready, session->path, conn->vid, node);
    VLOG_INFO("vHost Device '%s' has been added on numa node %i",
              session->path, node);
    if (copies) {
        VLOG_INFO("vHost Device '%s': dq-zero-copy has no effect for this "
                  "guest, its packets are copied", session->path);
    }
    update_demand(session, conn);
}

/* Lets a connection of 'session' that is waiting for its turn run its
 * device. */
static void
run_waiting(struct vhost_session *session)
{
    struct vhost_conn *conn, *next = NULL;

    ovs_mutex_lock(&session->mutex);
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        next = conn->waiting ? conn : next;
    }
    ovs_mutex_unlock(&session->mutex);
    if (next) {
        run_device(next);
    }
}

static int
new_device_cb(int vid)
{
    struct vhost_conn *conn = lookup_conn(vid);

    if (!conn) {
        return -1;
    }
    /* After an error, librte_vhost would not tell us when the device stops. */
    conn->conversation.is_running = true;
    run_device(conn);
    return 0;
}

static void
destroy_device_cb(int vid)
{
    struct vhost_conn *conn = lookup_conn(vid);
    struct vhost_device *device = NULL;
    struct vhost_session *session;

    if (!conn) {
        return;
    }
    session = conn->session;
    conn->conversation.is_running = false;

    ovs_mutex_lock(&session->mutex);
    conn->waiting = false;
    if (conn->device) {
        device = withdraw_device(conn);
    }
    ovs_mutex_unlock(&session->mutex);
    if (!device) {
        return;
    }
    notify(session);
    vhost_device_suspend(device, 0, VHOST_MAX_VRINGS, false);
    wait_for_data_path(session);
    vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
    vhost_device_hand_back(device, 0, VHOST_MAX_VRINGS);
    vhost_tally_stop(&session->tally);

    end_device(session, device);
    run_waiting(session);
}

/* Destroys 'device' of 'session', which nobody uses any more. */
static void
end_device(struct vhost_session *session, struct vhost_device *device)
{
    OVS_USDT_PROBE(netdev_vhost, removed, session->path, device->vid);
    vhost_device_destroy(device, session->counters);
    VLOG_INFO("vHost Device '%s' has been removed", session->path);
}

static void
set_enabled(struct vhost_conn *conn, uint16_t vring, bool enable)
{
    struct vhost_session *session = conn->session;

    ovs_mutex_lock(&session->mutex);
    conn->enabled[vring] = enable;
    if (conn->device) {
        struct vhost_queue *q = vhost_device_queue(conn->device, vring);

        if (enable) {
            vhost_device_start(conn->device, vring,
                               objection_to_vring(conn, vring));
        }
        atomic_store_relaxed(&q->enabled, enable);
        vhost_device_map_txqs(conn->device, conn->enabled);
    }
    ovs_mutex_unlock(&session->mutex);
    update_demand(session, conn);
}

static int
vring_state_changed_cb(int vid, uint16_t vring, int enable)
{
    struct vhost_conn *conn = lookup_conn(vid);
    bool is_rx = vring & 1;
    struct vhost_device *device;

    if (!conn || vring >= VHOST_MAX_VRINGS) {
        return 0;
    }

    /* SET_VRING_CALL disables a ring that is in use, then enables it.
     * Meanwhile, we can go on. */
    device = running_device(conn);
    if (device && vring == conn->call_vring && conn->enabled[vring]) {
        return 0;
    }
    /* Without the translation of a ring's own addresses, librte_vhost calls it
     * disabled.  It asks for the translation when the ring is used. */
    if (device && conn->request == VHOST_REQUEST_IOTLB_MSG
        && conn->enabled[vring]) {
        return 0;
    }

    set_enabled(conn, vring, enable);
    OVS_USDT_PROBE(netdev_vhost, queue_state, conn->session->path, vring,
                   enable);
    VLOG_INFO("State of queue %d ( %s_qid %d ) of vhost device '%s' changed "
              "to \'%s\'", vring, is_rx ? "rx" : "tx", vring / 2,
              conn->session->path, enable ? "enabled" : "disabled");
    return 0;
}

const struct rte_vhost_device_ops vhost_conn_device_ops = {
    .new_device = new_device_cb,
    .destroy_device = destroy_device_cb,
    .vring_state_changed = vring_state_changed_cb,
    .new_connection = new_connection_cb,
    .destroy_connection = destroy_connection_cb,
};

/* Has SIGBUS in librte_vhost's mappings of 'table', the memory of the guest on
 * 'conn', be the end of that guest's memory only. */
static void
watch_memory(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    unwatch_memory(conn);
    for (uint32_t i = 0; i < MIN(table->nregions, VHOST_MAX_REGIONS); i++) {
        struct iovec *part = &conn->watched[conn->n_watched];

        part->iov_base = table->regions[i].mmap_addr;
        part->iov_len = table->regions[i].mmap_size;
        if (!vhost_guard_watch(part->iov_base, part->iov_len,
                               &vhost_guard_lost[conn->vid])) {
            VLOG_ERR("vHost Device '%s': the guest's memory is not used, "
                     "because too much is watched already",
                     conn->session->path);
            atomic_store_relaxed(&vhost_guard_lost[conn->vid], true);
            break;
        }
        conn->n_watched++;
    }
}

static void
unwatch_memory(struct vhost_conn *conn)
{
    while (conn->n_watched) {
        vhost_guard_unwatch(conn->watched[--conn->n_watched].iov_base);
    }
}

/* Does the same for the log of dirty pages, if there is one. */
static void
watch_log(struct vhost_conn *conn)
{
    uint64_t address, size;

    if (conn->watched_log.iov_base) {
        vhost_guard_unwatch(conn->watched_log.iov_base);
    }
    conn->watched_log = (struct iovec) { .iov_base = NULL };
    if (!rte_vhost_get_log_base(conn->vid, &address, &size) && address
        && vhost_guard_watch((void *) (uintptr_t) address, size,
                             &vhost_guard_lost[conn->vid])) {
        conn->watched_log.iov_base = (void *) (uintptr_t) address;
    }
}

/* Can packets of the guest on 'conn' stay where they are?  Not if librte_vhost's
 * data path is to be used: with an IOMMU, the guest does not want all of its
 * memory to be mapped for devices, and in post-copy the pages that a mapping of
 * our own brings in would be empty. */
static bool
can_zero_copy(const struct vhost_conn *conn)
{
    const struct vhost_session *session = conn->session;
    uint64_t features = 0;

    rte_vhost_get_negotiated_features(conn->vid, &features);
    return (session->zero_copy && !session->library_only
            && !(features & UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM));
}

/* Replaces our mapping of the memory of the guest on 'conn', if its packets are
 * not to be copied, by that of 'table', or none. */
static void
set_mapping(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    const char *name = netdev_get_name(conn->session->netdev);
    char *message;

    vhost_mapping_unref(conn->mapping);
    conn->mapping = NULL;
    if (table && can_zero_copy(conn)) {
        conn->mapping = vhost_mapping_create(table, name, &message);
        if (!conn->mapping) {
            VLOG_WARN_RL(&rl, "%s: no zero-copy, because we cannot keep the "
                         "guest's memory: %s", name, message);
            free(message);
        }
    }
}

/* Notes the memory of the guest on 'conn', or none.
 *
 * Only librte_vhost's event thread may ask the library for it: in other
 * threads the table could be freed in the middle of the answer. */
static void
set_memory(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    struct vhost_guest_memory memory = { .n_regions = 0 };
    struct guest_memory *mapped = &conn->mapped_memory;
    struct vhost_mapping *old = NULL;

    mapped->n_regions = 0;
    for (uint32_t i = 0; table && i < table->nregions; i++) {
        const struct rte_vhost_mem_region *src = &table->regions[i];
        struct stat s;

        guest_memory_add(mapped, src->guest_phys_addr, src->size,
                         (void *) (uintptr_t) src->host_user_addr);
        if (memory.n_regions < VHOST_MAX_REGIONS
            && vhost_guard_is_memory(src->fd) && !fstat(src->fd, &s)) {
            memory.regions[memory.n_regions++] = (struct vhost_guest_region) {
                .guest_address = src->guest_phys_addr,
                .size = src->size,
                .mapping = (const void *) (uintptr_t) src->host_user_addr,
                .fd = src->fd,
                .device = s.st_dev,
                .inode = s.st_ino,
            };
        }
    }
    set_mapping(conn, table);
    ovs_mutex_lock(&conn->session->mutex);
    conn->memory = memory;
    if (conn->device) {
        conn->device->memory = *mapped;
        if (conn->device->datapath->can_zero_copy) {
            old = conn->device->mapping;
            conn->device->mapping = vhost_mapping_ref(conn->mapping);
        }
    }
    ovs_mutex_unlock(&conn->session->mutex);
    vhost_mapping_unref(old);
}

/* Has 'device' of 'conn' receive the RARP that was asked for, if any. */
static void
take_rarp(struct vhost_conn *conn, struct vhost_device *device)
{
    if (device->datapath->receives_rarp && conn->rarp_address) {
        atomic_store_relaxed(&device->rarp_address, conn->rarp_address);
    }
    conn->rarp_address = 0;
}

/* Returns the running device of 'conn', or NULL.  It stays for as long as the
 * callback of librte_vhost that asks for it runs. */
static struct vhost_device *
running_device(const struct vhost_conn *conn)
{
    struct vhost_device *device;

    ovs_mutex_lock(&conn->session->mutex);
    device = conn->device;
    ovs_mutex_unlock(&conn->session->mutex);
    return device;
}

/* Takes the virtqueues that 'm' concerns, which librte_vhost is about to handle,
 * away from the data path of the device that runs on 'conn', if any. */
static void
suspend_queues(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct vhost_device *device = running_device(conn);
    unsigned int first, n;

    vhost_message_range(m, &first, &n);
    if (!device || !n) {
        return;
    }
    if (vhost_device_suspend(device, first, n, m->is_locked)) {
        wait_for_data_path(conn->session);
    }
    ovs_mutex_lock(&conn->session->mutex);
    if (conn->device) {         /* The session may be closed by now. */
        if (vhost_message_stops_ring(m)) {
            vhost_device_stop(device, first, n);
        }
        vhost_device_hand_back(device, first, n);
    }
    ovs_mutex_unlock(&conn->session->mutex);
}

/* Gives back to the data path what suspend_queues() took from it. */
static void
resume_queues(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct vhost_device *device = running_device(conn);
    unsigned int first, n;

    if (!device) {
        return;
    }
    vhost_message_range(m, &first, &n);
    ovs_mutex_lock(&conn->session->mutex);
    if (conn->device) {
        vhost_device_note_rings(device, first, n);
        start_queues(conn, device, first, n);
    }
    ovs_mutex_unlock(&conn->session->mutex);
    if (conn->call_vring >= 0) {
        device->datapath->renew_call(
            device, vhost_device_queue(device, conn->call_vring));
    }
    if (m->request == VHOST_REQUEST_SEND_RARP) {
        take_rarp(conn, device);
    }
}

/* Notes on 'conn' what 'm' says, which librte_vhost has obeyed. */
static void
note_message(struct vhost_conn *conn, const struct vhost_message *m)
{
    struct rte_vhost_memory *table;

    switch (m->request) {
    case VHOST_REQUEST_SET_MEM_TABLE:
        if (!rte_vhost_get_mem_table(conn->vid, &table)) {
            watch_memory(conn, table);
            set_memory(conn, table);
            free(table);
        }
        break;
    case VHOST_REQUEST_SET_LOG_BASE:
        watch_log(conn);
        break;
    case VHOST_REQUEST_SEND_RARP:
        /* An address has 6 bytes. */
        conn->rarp_address = m->u64 & UINT64_C(0xffffffffffff);
        break;
    case VHOST_REQUEST_SET_BACKEND_REQ_FD:
        /* librte_vhost writes to it. */
        vhost_socket_limit_waiting(conn->session->postcopy);
        break;
    case VHOST_REQUEST_SET_VRING_ENABLE:
        if (m->state.num) {
            break;
        }
        /* fall through */
    case VHOST_REQUEST_GET_VRING_BASE:
        if (conn->enabled[m->vring]) {
            /* librte_vhost does not say so if it has called it disabled
             * before. */
            set_enabled(conn, m->vring, false);
        }
        break;
    }
    vhost_iotlb_consider(&conn->iotlb, m, conn->vid);
}

/* Returns why librte_vhost is not to get 'm', or NULL. */
static const char *
objection_to_message(const struct vhost_conn *conn,
                     const struct vhost_message *m)
{
    const char *objection
        = vhost_conversation_objection(&conn->conversation, m);

    return (objection ? objection
            : vhost_iotlb_contradicts(conn->iotlb, m, conn->vid)
            ? "it contradicts another translation" : NULL);
}

/* librte_vhost calls these two around each message.  Between them, it may
 * change rings and memory under a running device. */

static enum rte_vhost_msg_result
before_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = lookup_conn(vid);
    const char *objection;
    struct vhost_message m;

    if (!conn) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    vhost_message_parse(message, &m);
    conn->request = m.request;
    conn->call_vring = (m.request == VHOST_REQUEST_SET_VRING_CALL
                        ? m.vring : -1);
    if (vhost_conversation_is_broken(&conn->conversation)) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': the connection is closed, because "
                     "the guest's memory could not be mapped", conn->session->path);
        return vhost_message_hang_up(message, &m);
    }
    if (m.request == VHOST_REQUEST_RESET_OWNER) {
        /* librte_vhost would forget what it has for the rings, without freeing
         * it.  The specification advises against the message, and back ends
         * against obeying it. */
        return vhost_message_ignore(&m);
    }
    objection = objection_to_message(conn, &m);
    if (objection) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': refused %s: %s",
                     conn->session->path, m.name, objection);
        return vhost_message_refuse(&m);
    }
    vhost_conversation_begin(&conn->conversation, &m);
    suspend_queues(conn, &m);
    if (m.request == VHOST_REQUEST_SET_MEM_TABLE) {
        set_memory(conn, NULL);
        unwatch_memory(conn);
        vhost_guard_suspect(vid);
    } else if (m.request == VHOST_REQUEST_IOTLB_MSG) {
        vhost_message_limit_range(message);
    }
    return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Not called after a message that failed: what it concerned stays stopped. */
static enum rte_vhost_msg_result
after_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = lookup_conn(vid);
    struct vhost_message m;

    if (!conn) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    vhost_message_parse(message, &m);
    if (m.request == VHOST_REQUEST_RESET_OWNER) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;        /* It was ignored. */
    }
    vhost_conversation_end(&conn->conversation, &m);
    note_message(conn, &m);
    resume_queues(conn, &m);
    return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops extern_ops = {
    .pre_msg_handle = before_message_cb,
    .post_msg_handle = after_message_cb,
};

/* Finds out what the device of 'conn', if it runs, wants of the port of
 * 'session', and tells whoever must know. */
static void
update_demand(struct vhost_session *session, struct vhost_conn *conn)
{
    unsigned int n_vrings = rte_vhost_get_vring_num(conn->vid);
    bool more = false;

    ovs_mutex_lock(&session->mutex);
    if (conn->device) {
        struct vhost_demand *demand = &session->supply.wanted;

        demand->n_rxqs = demand->n_txqs = 1;
        for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
            demand->n_txqs = conn->enabled[2 * i] ? i + 1 : demand->n_txqs;
            demand->n_rxqs = conn->enabled[2 * i + 1] ? i + 1
                                                      : demand->n_rxqs;
        }
        session->supply.n_pairs = MIN(DIV_ROUND_UP(n_vrings, 2),
                                      VHOST_MAX_QUEUE_PAIRS);
        more = vhost_supply_review(&session->supply);
    }
    ovs_mutex_unlock(&session->mutex);

    if (more) {
        netdev_request_reconfigure(session->netdev);
    }
    notify(session);
}
