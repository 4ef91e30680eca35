/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-conn.h"

#include <limits.h>

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
#include "vhost-socket.h"

VLOG_DEFINE_THIS_MODULE(vhost_conn);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Connections on a socket at a time.  More than one is an exception, and all
 * sockets share what librte_vhost has. */
#define MAX_CONNS 8

/* All connections by librte_vhost's identifier.
 *
 * librte_vhost calls back for one identifier at a time and gives it to the
 * next connection, of any session, as soon as it has closed the present one.
 * An element of 'conns' is therefore cleared before that: by
 * destroy_connection, or, as that is not called when a session is closed, by
 * vhost_conn_cut_all(). */
static ATOMIC(struct vhost_conn *) conns[RTE_MAX_VHOST_DEVICE];

static void free_conn(struct vhost_conn *);
static void remove_conn(struct vhost_conn *);
static struct vhost_device *withdraw_device(struct vhost_session *session,
                                            struct vhost_conn *)
    OVS_REQUIRES(session->mutex);
static void end_device(struct vhost_session *, struct vhost_device *);
static void run_waiting(struct vhost_session *session)
    OVS_EXCLUDED(session->mutex);
static void update_demand(struct vhost_session *session, struct vhost_conn *)
    OVS_EXCLUDED(session->mutex);

/* Begins to close 'session': from now on, callbacks find none of its
 * connections, and none can run a device.  Returns the device that was
 * running, or NULL. */
struct vhost_device *
vhost_conn_cut_all(struct vhost_session *session)
{
    struct vhost_device *device = NULL;
    struct vhost_conn *conn;

    ovs_mutex_lock(&session->mutex);
    session->closing = true;
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        if (conn->device) {
            device = withdraw_device(session, conn);
            vhost_device_suspend(device, 0, VHOST_MAX_VRINGS,
                                 VHOST_AWAIT_NONE);
            vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
        }
        atomic_store_relaxed(&conns[conn->vid], NULL);
    }
    ovs_mutex_unlock(&session->mutex);
    return device;
}

/* Frees the connections of 'session', for which no callback runs, and
 * 'device', which vhost_conn_cut_all() returned. */
void
vhost_conn_free_all(struct vhost_session *session,
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

/* Returns the connection that librte_vhost calls 'vid', or NULL.  Each
 * callback calls this first. */
struct vhost_conn *
vhost_conn_lookup(int vid)
{
    struct vhost_conn *conn = NULL;

    /* This thread no longer works for another connection. */
    vhost_guard_suspect(-1);
    if (vid >= 0 && vid < ARRAY_SIZE(conns)) {
        atomic_read_relaxed(&conns[vid], &conn);
    }
    return conn;
}

/* Wakes up the threads that show the state of 'session' or poll its queues. */
static void
notify(struct vhost_session *session)
{
    netdev_change_seq_changed(session->netdev);
}

/* Returns the session that librte_vhost calls 'vid', which has no connection
 * yet, or NULL. */
static struct vhost_session *
find_session(int vid)
{
    char path[PATH_MAX];
    struct vhost_session *session;

    if (vid < 0 || vid >= ARRAY_SIZE(conns)
        || rte_vhost_get_ifname(vid, path, sizeof path)) {
        return NULL;
    }
    session = vhost_session_find(path);
    if (!session) {
        VLOG_ERR("vHost Device '%s' can't be added - name not found", path);
    }
    return session;
}

static struct vhost_conn *
create_conn(struct vhost_session *session, int vid)
{
    struct vhost_conn *conn = xzalloc(sizeof *conn);

    conn->session = session;
    conn->vid = vid;
    conn->conversation.vid = vid;
    conn->call_vring = -1;
    atomic_store_relaxed(&vhost_guard_lost[vid], false);
    return conn;
}

static int
new_connection_cb(int vid)
{
    struct vhost_session *session = find_session(vid);
    struct vhost_conn *conn;
    bool closing, welcome;

    if (!session) {
        return -1;
    }
    conn = create_conn(session, vid);
    ovs_mutex_lock(&session->mutex);
    closing = session->closing;
    welcome = !closing && ovs_list_size(&session->conns) < MAX_CONNS;
    if (welcome) {
        ovs_list_push_back(&session->conns, &conn->list_node);
        atomic_store_relaxed(&conns[vid], conn);
    }
    ovs_mutex_unlock(&session->mutex);
    if (closing) {
        /* librte_vhost is about to close it.  Its messages are ignored. */
        free(conn);
        rte_vhost_extern_callback_register(vid, &vhost_conn_message_ops, NULL);
        return vhost_socket_limit_waiting() ? 0 : -1;
    }
    if (!welcome) {
        static struct vlog_rate_limit rl_conns = VLOG_RATE_LIMIT_INIT(1, 1);

        VLOG_WARN_RL(&rl_conns, "vHost Device '%s': too many connections, one "
                     "more is refused", session->path);
        free(conn);
        return -1;
    }
    if (!vhost_socket_limit_waiting()) {
        VLOG_WARN("vHost Device '%s': refused, because its socket was not "
                  "found, so that nothing would keep its front end from "
                  "having all others wait", session->path);
        remove_conn(conn);
        return -1;
    }
    if (session->client && !vhost_session_claim_socket(session)) {
        remove_conn(conn);
        return -1;
    }
    OVS_USDT_PROBE(netdev_vhost, connected, session->path, vid);
    rte_vhost_extern_callback_register(vid, &vhost_conn_message_ops, NULL);
    return 0;
}

/* A VDUSE device has no connections: a driver is ready to use it, or is
 * not. */
static struct vhost_conn *
add_vduse_conn(int vid)
{
    struct vhost_session *session = find_session(vid);
    struct vhost_conn *conn;

    if (!session || !session->is_vduse) {
        return NULL;
    }
    conn = create_conn(session, vid);
    ovs_mutex_lock(&session->mutex);
    if (session->closing) {
        free(conn);
        conn = NULL;
    } else {
        ovs_list_push_back(&session->conns, &conn->list_node);
        atomic_store_relaxed(&conns[vid], conn);
    }
    ovs_mutex_unlock(&session->mutex);
    return conn;
}

/* Forgets 'conn', whose front end has gone. */
static void
end_conn(struct vhost_conn *conn)
{
    struct vhost_session *session = conn->session;
    int vid = conn->vid;
    bool has_guest = false;

    remove_conn(conn);

    vhost_tally_end(&session->tally, vid);

    ovs_mutex_lock(&session->mutex);
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        has_guest |= conn->is_guest;
    }
    if (!has_guest) {
        vhost_supply_leave(&session->supply);
    }
    ovs_mutex_unlock(&session->mutex);

    OVS_USDT_PROBE(netdev_vhost, disconnected, session->path, vid);
    VLOG_INFO("vHost Device '%s' connection has been destroyed",
              session->path);
}

static void
destroy_connection_cb(int vid)
{
    struct vhost_conn *conn = vhost_conn_lookup(vid);

    if (conn) {
        vhost_conn_close_lost_files(NULL);
        vhost_conn_end_patience();
        end_conn(conn);
    }
}

static void
free_conn(struct vhost_conn *conn)
{
    vhost_conn_release_memory(conn);
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

/* Returns the running device of 'conn', or NULL.  It stays for as long as the
 * callback of librte_vhost that asks for it runs. */
struct vhost_device *
vhost_conn_device(const struct vhost_conn *conn)
{
    struct vhost_device *device;

    ovs_mutex_lock(&conn->session->mutex);
    device = conn->device;
    ovs_mutex_unlock(&conn->session->mutex);
    return device;
}

/* Makes 'device' of 'conn' deliver the RARP that the front end asked for, if
 * it did, to the switch. */
void
vhost_conn_deliver_rarp(struct vhost_conn *conn, struct vhost_device *device)
{
    if (device->datapath->receives_rarp && conn->rarp_address) {
        atomic_store_relaxed(&device->rarp_address, conn->rarp_address);
    }
    conn->rarp_address = 0;
}

/* Returns why virtqueue 'vring' of 'conn' cannot be used, or NULL. */
static const char *
objection_to_vring(const struct vhost_conn *conn, unsigned int vring)
{
    return (conn->conversation.unsized[vring]
            ? "it was restarted without a size"
            : vhost_iotlb_objection(conn->iotlb, vring));
}

/* Starts those of 'n' virtqueues of 'device', from 'first' on, that the guest
 * has enabled.  Called with the session's mutex held. */
void
vhost_conn_start_queues(const struct vhost_conn *conn,
                        struct vhost_device *device, unsigned int first,
                        unsigned int n)
{
    for (unsigned int i = first; i < first + n; i++) {
        if (conn->enabled[i]) {
            vhost_device_start(device, i, objection_to_vring(conn, i));
        }
    }
}

/* Tells the switch, and 'device', the one of 'session' or NULL, which offloads
 * are left to the guest.  Threads may still send packets with other requests,
 * which are then completed for the device. */
void
vhost_conn_set_tx_offloads(struct vhost_session *session,
                           struct vhost_device *device)
{
    uint64_t features = 0;

    if (device) {
        features = device->features & ~session->tx_excluded;
        atomic_store_relaxed(&device->tx_features, features);
    }
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
        vhost_conn_start_queues(conn, device, 0, VHOST_MAX_VRINGS);
        vhost_conn_deliver_rarp(conn, device);
        conn->device = device;
        conn->is_guest = true;
        session->guest_features = device->features;
        vhost_device_map_txqs(conn->device, conn->enabled);
        vhost_supply_arrive(&session->supply, device->node);
        vhost_conn_set_tx_offloads(session, device);
        ovsrcu_set(&session->device, device);
    }
    ovs_mutex_unlock(&session->mutex);
    return publish;
}

/* Takes the running device of 'conn' away from the data path, which may still
 * use it until vhost_device_suspend() returns. */
static struct vhost_device *
withdraw_device(struct vhost_session *session, struct vhost_conn *conn)
{
    struct vhost_device *device = conn->device;

    conn->device = NULL;
    atomic_store_explicit(&device->withdrawn, true, memory_order_release);
    ovsrcu_set(&session->device, NULL);
    vhost_conn_set_tx_offloads(session, NULL);
    return device;
}

/* Gives 'conn', which librte_vhost has called ready, a running device if its
 * session has none. */
static void
run_device(struct vhost_conn *conn)
{
    struct vhost_session *session = conn->session;
    struct vhost_device *device = vhost_device_create(
        conn->vid, session->is_vduse, session->library_only,
        session->large_packets, &conn->mapped_memory, conn->mapping);
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
    struct vhost_conn *conn = vhost_conn_lookup(vid);

    if (!conn) {
        conn = add_vduse_conn(vid);
    }
    if (!conn) {
        return -1;
    }
    /* After an error, librte_vhost would not tell us when the device stops. */
    conn->conversation.is_running = true;
    run_device(conn);
    return 0;
}

static void
stop_device(struct vhost_conn *conn)
{
    struct vhost_session *session = conn->session;
    struct vhost_device *device = NULL;

    conn->conversation.is_running = false;

    ovs_mutex_lock(&session->mutex);
    conn->waiting = false;
    if (conn->device) {
        device = withdraw_device(session, conn);
    }
    ovs_mutex_unlock(&session->mutex);
    if (!device) {
        return;
    }
    notify(session);
    vhost_device_suspend(device, 0, VHOST_MAX_VRINGS, VHOST_AWAIT_ALL);
    vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
    vhost_device_hand_back(device, 0, VHOST_MAX_VRINGS);
    vhost_tally_stop(&session->tally);

    end_device(session, device);
    vhost_device_slow_down();
    run_waiting(session);
}

static void
destroy_device_cb(int vid)
{
    struct vhost_conn *conn = vhost_conn_lookup(vid);

    if (conn) {
        stop_device(conn);
        if (conn->session->is_vduse) {
            end_conn(conn);
        }
    }
}

/* Destroys 'device' of 'session', which no longer moves packets. */
static void
end_device(struct vhost_session *session, struct vhost_device *device)
{
    OVS_USDT_PROBE(netdev_vhost, removed, session->path, device->vid);
    vhost_device_destroy(device, session->counters);
    VLOG_INFO("vHost Device '%s' has been removed", session->path);
}

/* Notes whether the guest has enabled virtqueue 'vring', and starts it if it
 * has. */
void
vhost_conn_set_enabled(struct vhost_conn *conn, uint16_t vring, bool enable)
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
    struct vhost_conn *conn = vhost_conn_lookup(vid);
    bool is_rx = vring & 1;
    struct vhost_device *device;

    if (!conn || vring >= VHOST_MAX_VRINGS) {
        return 0;
    }

    /* SET_VRING_CALL disables a ring that is in use, then enables it.
     * Meanwhile, the data path can continue. */
    device = vhost_conn_device(conn);
    if (device && vring == conn->call_vring && conn->enabled[vring]) {
        return 0;
    }
    /* Without the translation of a ring's own addresses, librte_vhost calls it
     * disabled.  It asks for the translation when the ring is used. */
    if (device && conn->request == VHOST_REQUEST_IOTLB_MSG
        && conn->enabled[vring]) {
        return 0;
    }

    vhost_conn_set_enabled(conn, vring, enable);
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

/* Finds out what the device of 'conn', if it runs, wants of the port of
 * 'session', and tells the switch. */
static void
update_demand(struct vhost_session *session, struct vhost_conn *conn)
{
    unsigned int n_vrings = rte_vhost_get_vring_num(conn->vid);
    bool more = false;

    ovs_mutex_lock(&session->mutex);
    if (conn->device) {
        unsigned int n_rxqs = 1, n_txqs = 1;

        for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
            n_txqs = conn->enabled[2 * i] ? i + 1 : n_txqs;
            n_rxqs = conn->enabled[2 * i + 1] ? i + 1 : n_rxqs;
        }
        /* The control queue, which librte_vhost serves, is not of a pair. */
        more = vhost_supply_want(&session->supply, n_rxqs, n_txqs,
                                 (session->is_vduse ? n_vrings / 2
                                  : MIN(DIV_ROUND_UP(n_vrings, 2),
                                        VHOST_MAX_QUEUE_PAIRS)));
    }
    ovs_mutex_unlock(&session->mutex);

    if (more) {
        netdev_request_reconfigure(session->netdev);
    }
    notify(session);
}
