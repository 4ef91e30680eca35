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

#include "vhost-session.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_cycles.h>
#include <rte_vhost.h>

#include "fatal-signal.h"
#include "hash.h"
#include "netdev-provider.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/usdt-probes.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-dma.h"
#include "vhost-guard.h"
#include "vhost-iotlb.h"
#include "vhost-mapping.h"
#include "vhost-message.h"
#include "vhost-socket.h"
#include "vhost-tally.h"

VLOG_DEFINE_THIS_MODULE(vhost_session);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Connections on a socket at a time.  More than one is an exception, and all
 * sockets share what librte_vhost has. */
#define MAX_CONNS 8

struct vhost_session {
    struct hmap_node hmap_node; /* In 'sessions', by 'path'. */
    char *path;
    bool client;
    bool iommu, postcopy;       /* Offered to guests. */
    bool zero_copy;             /* Receive without a copy if possible? */
    bool library_only;          /* Use librte_vhost's data path? */
    bool large_packets;
    struct vhost_counters *counters;        /* May be null. */
    struct netdev *netdev;
    atomic_int fd;              /* Of the last connection, perhaps, or -1. */

    /* The running device, or NULL.  Written with 'mutex' held. */
    OVSRCU_TYPE(struct vhost_device *) device;

    struct ovs_mutex mutex;
    bool closing OVS_GUARDED;               /* No device may run any more. */
    struct ovs_list conns OVS_GUARDED;      /* Contains struct vhost_conn. */
    struct vhost_supply supply OVS_GUARDED; /* What the port has for it. */

    struct vhost_tally tally;               /* Of all connections. */
};

/* One connection on a session's socket.  There may be more than one for a
 * moment, when a guest comes back before its end was noticed, but only one has
 * a running device. */
struct vhost_conn {
    struct ovs_list list_node;  /* In session's 'conns'. */
    struct vhost_session *session;
    int vid;
    bool enabled[VHOST_MAX_VRINGS];     /* Which virtqueues are enabled. */
    struct vhost_guest_memory memory;   /* The guest's, for questions... */
    struct guest_memory mapped_memory;  /* ...and for access. */
    struct vhost_mapping *mapping;      /* For zero-copy, or NULL. */
    uint64_t rarp_address;      /* See VHOST_USER_SEND_RARP, or 0. */
    bool unsized[VHOST_MAX_VRINGS];     /* Must be given a size anew? */
    int call_vring;             /* Whose SET_VRING_CALL is handled, or -1. */
    bool translating;           /* Is an IOTLB_MSG handled? */
    struct vhost_iotlb *iotlb;  /* Of a guest with an IOMMU, or NULL. */
    struct vhost_device *device;        /* Published by us, or NULL. */
    bool waiting;                       /* Ready, but another one's runs. */
    bool is_guest;                      /* Did a device ever run? */
};

/* All sessions, and all connections by librte_vhost's identifier.
 *
 * librte_vhost calls back for one identifier at a time and gives it to the
 * next connection, of any session, as soon as it has closed the present one.
 * An element of 'conns' is therefore cleared before that: by
 * destroy_connection, or, as that is not called when a session is closed, by
 * vhost_session_close() before it begins. */
static struct ovs_mutex sessions_mutex = OVS_MUTEX_INITIALIZER;
static struct hmap sessions OVS_GUARDED_BY(sessions_mutex)
    = HMAP_INITIALIZER(&sessions);
static ATOMIC(struct vhost_conn *) conns[RTE_MAX_VHOST_DEVICE];

static const struct rte_vhost_device_ops device_ops;
static const struct rte_vhost_user_extern_ops extern_ops;

static struct vhost_session *find_session(const char *path)
    OVS_REQUIRES(sessions_mutex);
static int start_driver(const struct vhost_session_config *, char **errp);
static void free_conn(struct vhost_conn *);
static void remove_conn(struct vhost_conn *);
static struct vhost_device *withdraw_device(struct vhost_conn *conn)
    OVS_REQUIRES(conn->session->mutex);
static void wait_for_data_path(struct vhost_session *);
static struct vhost_device *running_device(const struct vhost_conn *);
static void take_rarp(struct vhost_conn *, struct vhost_device *);
static void run_waiting(struct vhost_session *);
static void update_demand(struct vhost_session *, struct vhost_conn *);

/* Opens a session for 'netdev' as 'config' says.  Returns the session, or NULL
 * and a message in '*errp' that the caller must free. */
struct vhost_session *
vhost_session_open(const struct vhost_session_config *config,
                   struct netdev *netdev, char **errp)
{
    struct vhost_session *session, *other;

    vhost_guard_init();
    if (config->zero_copy) {
        vhost_dma_init();
    }
    session = xzalloc(sizeof *session);
    session->path = xstrdup(config->path);
    session->client = config->client;
    session->iommu = config->iommu;
    session->postcopy = config->postcopy;
    session->zero_copy = config->zero_copy;
    session->library_only = config->library_data_path || config->postcopy;
    session->large_packets = config->tso;
    session->counters = config->counters;
    session->netdev = netdev;
    /* A client's socket is made now, and again when a connection ends. */
    atomic_init(&session->fd, config->client ? vhost_socket_next_fd() : -1);
    vhost_supply_init(&session->supply);
    ovsrcu_init(&session->device, NULL);
    ovs_mutex_init(&session->mutex);
    vhost_tally_init(&session->tally);
    ovs_list_init(&session->conns);

    ovs_mutex_lock(&sessions_mutex);
    other = find_session(config->path);
    if (other) {
        *errp = xasprintf("vhost socket \"%s\" is used by port %s already; "
                          "each port needs a socket of its own",
                          config->path, netdev_get_name(other->netdev));
    } else {
        hmap_insert(&sessions, &session->hmap_node,
                    hash_string(session->path, 0));
    }
    ovs_mutex_unlock(&sessions_mutex);

    if (!other && !start_driver(config, errp)) {
        return session;
    }

    if (!other) {
        ovs_mutex_lock(&sessions_mutex);
        hmap_remove(&sessions, &session->hmap_node);
        ovs_mutex_unlock(&sessions_mutex);
    }
    vhost_tally_destroy(&session->tally);
    ovs_mutex_destroy(&session->mutex);
    free(session->path);
    free(session);
    return NULL;
}

/* Closes 'session', which may be NULL: the socket goes away, the guest, if
 * any, is disconnected.  No thread may be using the port's queues.  Returns
 * when no callback will come for 'session'. */
void
vhost_session_close(struct vhost_session *session)
{
    struct vhost_device *device = NULL;
    struct vhost_conn *conn;

    if (!session) {
        return;
    }

    /* The data path does not use the port any more, so there is nobody to wait
     * for, and nobody may be waited for: other threads may be waiting for a
     * lock of the netdev layer that our caller holds. */
    ovs_mutex_lock(&session->mutex);
    session->closing = true;
    LIST_FOR_EACH (conn, list_node, &session->conns) {
        if (conn->device) {
            device = withdraw_device(conn);
            vhost_device_suspend(device, 0, VHOST_MAX_VRINGS);
            vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
        }
        atomic_store_relaxed(&conns[conn->vid], NULL);
    }
    ovs_mutex_unlock(&session->mutex);

    /* librte_vhost waits here for a callback that is under way.  The one that
     * waits for threads, destroy_device, goes on when it sees 'closing'. */
    if (rte_vhost_driver_unregister(session->path)) {
        VLOG_ERR("%s: cannot unregister vhost socket '%s'",
                 netdev_get_name(session->netdev), session->path);
    }
    if (!session->client) {
        fatal_signal_remove_file_to_unlink(session->path);
    }

    /* No callback uses these any more. */
    LIST_FOR_EACH_POP (conn, list_node, &session->conns) {
        free_conn(conn);
    }
    if (device) {
        OVS_USDT_PROBE(netdev_vhost, removed, session->path, device->vid);
        vhost_device_destroy(device, session->counters);
        VLOG_INFO("vHost Device '%s' has been removed", session->path);
    }

    ovs_mutex_lock(&sessions_mutex);
    hmap_remove(&sessions, &session->hmap_node);
    ovs_mutex_unlock(&sessions_mutex);

    vhost_tally_destroy(&session->tally);
    ovs_mutex_destroy(&session->mutex);
    free(session->path);
    free(session);
}

/* Returns the running device of 'session', which may be NULL, or NULL if there
 * is none.  The caller may use it until it quiesces. */
struct vhost_device *
vhost_session_device(const struct vhost_session *session)
{
    return session ? ovsrcu_get(struct vhost_device *, &session->device)
                   : NULL;
}

const char *
vhost_session_path(const struct vhost_session *session)
{
    return session->path;
}

bool
vhost_session_is_client(const struct vhost_session *session)
{
    return session->client;
}

/* Does 'session' offer just these features to guests, of those that depend on
 * its configuration? */
bool
vhost_session_offers(const struct vhost_session *session, bool iommu,
                     bool postcopy, bool zero_copy)
{
    return (session->iommu == iommu && session->postcopy == postcopy
            && session->zero_copy == zero_copy);
}

/* Stores what the port is to have for the guest in '*demand'.  From now on,
 * 'session' asks for a reconfiguration when it is to have more. */
void
vhost_session_take_demand(struct vhost_session *session,
                          struct vhost_demand *demand)
{
    ovs_mutex_lock(&session->mutex);
    vhost_supply_take(&session->supply, demand);
    ovs_mutex_unlock(&session->mutex);
}

/* Is it time for a reconfiguration that had to wait? */
bool
vhost_session_is_due(struct vhost_session *session)
{
    bool is_due;

    ovs_mutex_lock(&session->mutex);
    is_due = vhost_supply_is_due(&session->supply);
    ovs_mutex_unlock(&session->mutex);
    return is_due;
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

/* Adds what was counted on all queues of 'session' since it was opened, over
 * all of its connections, to '*rx' and '*tx'. */
void
vhost_session_add_stats(struct vhost_session *session,
                        struct vhost_vring_stats *rx,
                        struct vhost_vring_stats *tx)
{
    vhost_tally_add_sums(&session->tally, rx, tx);
}

/* Appends the statistics of each virtqueue of the running device, if any, to
 * 'custom'. */
void
vhost_session_add_vring_stats(struct vhost_session *session,
                              struct netdev_custom_stats *custom)
{
    vhost_tally_add_vrings(&session->tally, custom);
}

/* From now on, rates of virtqueues are those since the last call. */
void
vhost_session_sample_rates(struct vhost_session *session)
{
    vhost_tally_sample(&session->tally);
}

/* Reads the rate of virtqueue 'vring' of the running device.  Returns false if
 * it is not known (yet). */
bool
vhost_session_get_rate(struct vhost_session *session, uint16_t vring,
                       struct vhost_rate *rate)
{
    return vhost_tally_get_rate(&session->tally, vring, rate);
}

/* Returns the name of the port whose session uses socket 'path', or NULL.  The
 * name is that of a netdev that the caller must keep from going away. */
const char *
vhost_session_path_user(const char *path)
{
    const struct vhost_session *session;
    const char *name;

    ovs_mutex_lock(&sessions_mutex);
    session = find_session(path);
    name = session ? netdev_get_name(session->netdev) : NULL;
    ovs_mutex_unlock(&sessions_mutex);

    return name;
}

static struct vhost_session *
find_session(const char *path)
{
    struct vhost_session *session;

    HMAP_FOR_EACH_WITH_HASH (session, hmap_node, hash_string(path, 0),
                             &sessions) {
        if (!strcmp(session->path, path)) {
            return session;
        }
    }
    return NULL;
}

/* Returns the features of librte_vhost that 'config' does not offer: as Open
 * vSwitch's own provider, because a guest that negotiated one with it would be
 * refused when it reconnects or migrates to us.
 *
 * Without VIRTIO_NET_F_CSUM, a guest does not use the HOST_* features that
 * build on it (virtio 1.2, 5.1.3.1).
 *
 * With zero-copy, buffers may have to overtake each other. */
static uint64_t
unwanted_features(const struct vhost_session_config *config)
{
    return ((config->tso
             ? (UINT64_C(1) << VIRTIO_NET_F_HOST_ECN
                | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO)
             : VHOST_CHECKSUMS_ALWAYS && config->client
             ? (UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4
                | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6
                | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO)
             : UINT64_C(1) << VIRTIO_NET_F_CSUM)
            | (config->zero_copy ? UINT64_C(1) << VIRTIO_F_IN_ORDER : 0));
}

static int
start_driver(const struct vhost_session_config *config, char **errp)
{
    /* A dp_packet is one contiguous buffer. */
    uint64_t flags = RTE_VHOST_USER_LINEARBUF_SUPPORT
                     | RTE_VHOST_USER_NET_STATS_ENABLE;
    const char *step;

    flags |= config->client ? RTE_VHOST_USER_CLIENT : 0;
    flags |= config->iommu ? RTE_VHOST_USER_IOMMU_SUPPORT : 0;
    flags |= config->postcopy ? RTE_VHOST_USER_POSTCOPY_SUPPORT : 0;
    flags |= config->tso ? RTE_VHOST_USER_EXTBUF_SUPPORT : 0;

    if (rte_vhost_driver_register(config->path, flags)) {
        *errp = xasprintf("librte_vhost cannot register vhost socket \"%s\"; "
                          "see the VHOST_CONFIG messages in the log",
                          config->path);
        return EIO;
    }
    if (rte_vhost_driver_callback_register(config->path, &device_ops)) {
        step = "register callbacks for";
    } else if (rte_vhost_driver_disable_features(config->path,
                                                 unwanted_features(config))) {
        step = "set the features of";
    } else if (rte_vhost_driver_start(config->path)) {
        step = "start";
    } else {
        if (!config->client) {
            fatal_signal_add_file_to_unlink(config->path);
        }
        return 0;
    }
    *errp = xasprintf("librte_vhost cannot %s vhost socket \"%s\"; see the "
                      "VHOST_CONFIG messages in the log", step, config->path);
    rte_vhost_driver_unregister(config->path);
    return EIO;
}

static struct vhost_conn *
lookup_conn(int vid)
{
    struct vhost_conn *conn = NULL;

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
    int fd;

    if (vid < 0 || vid >= ARRAY_SIZE(conns)
        || rte_vhost_get_ifname(vid, path, sizeof path)) {
        return -1;
    }
    ovs_mutex_lock(&sessions_mutex);
    session = find_session(path);
    ovs_mutex_unlock(&sessions_mutex);
    if (!session) {
        VLOG_ERR("vHost Device '%s' can't be added - name not found", path);
        return -1;
    }

    conn = xzalloc(sizeof *conn);
    conn->session = session;
    conn->vid = vid;
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
    OVS_USDT_PROBE(netdev_vhost, connected, session->path, vid);
    atomic_read_relaxed(&session->fd, &fd);
    fd = vhost_socket_limit_waiting(session->path, fd);
    atomic_store_relaxed(&session->fd, fd);
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
    vhost_mapping_unref(conn->mapping);
    free(conn->iotlb);
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
    return (conn->unsized[vring] ? "it was restarted without a size"
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
    unsigned int n_vrings = rte_vhost_get_vring_num(conn->vid);
    bool usable[VHOST_MAX_VRINGS] = { false };
    bool publish;

    /* VHOST_USER_RESET_OWNER takes rings away without a word. */
    for (unsigned int i = 0; i < MIN(n_vrings, VHOST_MAX_VRINGS); i++) {
        struct rte_vhost_vring vring;

        usable[i] = (!rte_vhost_get_vhost_vring(conn->vid, i, &vring)
                     && vring.size);
    }

    ovs_mutex_lock(&session->mutex);
    conn->waiting = ovsrcu_get_protected(struct vhost_device *,
                                         &session->device) != NULL;
    publish = !conn->waiting && !session->closing;
    if (publish) {
        for (unsigned int i = 0; i < VHOST_MAX_VRINGS; i++) {
            conn->enabled[i] &= usable[i];
        }
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
    vhost_device_suspend(device, 0, VHOST_MAX_VRINGS);
    wait_for_data_path(session);
    vhost_device_stop(device, 0, VHOST_MAX_VRINGS);
    vhost_device_hand_back(device, 0, VHOST_MAX_VRINGS);
    vhost_tally_stop(&session->tally);

    OVS_USDT_PROBE(netdev_vhost, removed, session->path, vid);
    vhost_device_destroy(device, session->counters);
    VLOG_INFO("vHost Device '%s' has been removed", session->path);
    run_waiting(session);
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
    if (device && vring == conn->call_vring && conn->enabled[vring]
        && device->datapath->renew_call) {
        return 0;
    }
    /* Without the translation of a ring's own addresses, librte_vhost calls it
     * disabled.  It asks for the translation when the ring is used. */
    if (device && conn->translating && conn->enabled[vring]) {
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

static const struct rte_vhost_device_ops device_ops = {
    .new_device = new_device_cb,
    .destroy_device = destroy_device_cb,
    .vring_state_changed = vring_state_changed_cb,
    .new_connection = new_connection_cb,
    .destroy_connection = destroy_connection_cb,
};

/* Replaces our mapping of the memory of the guest on 'conn', if its packets are
 * not to be copied, by that of 'table', or none. */
static void
set_mapping(struct vhost_conn *conn, const struct rte_vhost_memory *table)
{
    struct vhost_session *session = conn->session;
    const char *name = netdev_get_name(session->netdev);
    char *message;

    vhost_mapping_unref(conn->mapping);
    conn->mapping = NULL;
    if (table && session->zero_copy) {
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
        if (conn->device->datapath == &vhost_datapath_native) {
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
    if (conn->rarp_address) {
        atomic_store_relaxed(&device->rarp_address, conn->rarp_address);
        conn->rarp_address = 0;
    }
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

/* Notes the virtqueues for which 'm' may make librte_vhost free what depends
 * on their size, or leave it as it was for another size or layout. */
static void
note_unsized(struct vhost_conn *conn, const struct vhost_message *m)
{
    if (m->request == VHOST_REQUEST_SET_VRING_NUM
        || m->request == VHOST_REQUEST_GET_VRING_BASE) {
        conn->unsized[m->vring] = true;
    } else if (vhost_message_changes_layout(m, conn->vid)) {
        memset(conn->unsized, true, sizeof conn->unsized);
    }
}

/* Has no burst of 'device' run while translations are 'changing', and none that
 * uses a virtqueue of which they show that it cannot be used. */
static void
set_translations_changing(const struct vhost_conn *conn,
                          struct vhost_device *device, bool changing)
{
    if (device->datapath->set_translations_changing) {
        device->datapath->set_translations_changing(device, changing);
    }
    for (unsigned int i = 0; changing && i < VHOST_MAX_VRINGS; i++) {
        const char *objection = vhost_iotlb_objection(conn->iotlb, i);

        if (objection) {
            vhost_device_condemn(device, i, objection);
        }
    }
}

/* librte_vhost calls these two around each message.  Between them, it may
 * change rings and memory under a running device.  They see also the one pass
 * that changes the guest's memory. */

static enum rte_vhost_msg_result
before_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = lookup_conn(vid);
    struct vhost_device *device;
    struct vhost_message m;
    const char *objection;
    unsigned int first, n;

    if (!conn) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    /* This thread only ever serves one guest after the other. */
    vhost_guard_enter(vid);
    device = running_device(conn);
    vhost_message_parse(message, &m);
    conn->translating = m.request == VHOST_REQUEST_IOTLB_MSG;
    objection = vhost_message_objection(&m, vid);
    if (objection) {
        VLOG_WARN_RL(&rl, "vHost Device '%s': refused request %d: %s",
                     conn->session->path, m.request, objection);
        vhost_message_spoil(message);
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    note_unsized(conn, &m);
    vhost_iotlb_consider(&conn->iotlb, &m, vid);
    vhost_message_range(&m, &first, &n);
    if (device) {
        set_translations_changing(conn, device, conn->translating);
        if (vhost_device_suspend(device, first, n)) {
            wait_for_data_path(conn->session);
        }
        ovs_mutex_lock(&conn->session->mutex);
        if (conn->device) {     /* The session may be closed by now. */
            if (vhost_message_stops_ring(&m)) {
                vhost_device_stop(device, first, n);
            }
            vhost_device_hand_back(device, first, n);
        }
        ovs_mutex_unlock(&conn->session->mutex);
    }
    if (m.request == VHOST_REQUEST_SET_MEM_TABLE) {
        set_memory(conn, NULL);
    } else if (m.request == VHOST_REQUEST_RESET_OWNER) {
        /* librte_vhost forgets all rings without a word. */
        memset(conn->enabled, 0, sizeof conn->enabled);
    } else if (m.request == VHOST_REQUEST_IOTLB_MSG) {
        vhost_message_limit_range(message);
    }
    conn->call_vring = (m.request == VHOST_REQUEST_SET_VRING_CALL
                        ? m.vring : -1);
    return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* Not called after a message that failed: what it concerned stays stopped. */
static enum rte_vhost_msg_result
after_message_cb(int vid, void *message)
{
    struct vhost_conn *conn = lookup_conn(vid);
    struct rte_vhost_memory *table;
    struct vhost_device *device;
    struct vhost_message m;
    unsigned int first, n;

    if (!conn) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    vhost_message_parse(message, &m);
    if (m.request == VHOST_REQUEST_SET_MEM_TABLE
        && !rte_vhost_get_mem_table(vid, &table)) {
        set_memory(conn, table);
        free(table);
    }
    if (m.request == VHOST_REQUEST_SET_VRING_NUM) {
        conn->unsized[m.vring] = false;
    }
    if (m.request == VHOST_REQUEST_SEND_RARP) {
        /* An address has 6 bytes. */
        conn->rarp_address = m.payload & UINT64_C(0xffffffffffff);
    }
    if ((m.request == VHOST_REQUEST_GET_VRING_BASE
         || (m.request == VHOST_REQUEST_SET_VRING_ENABLE
             && !(m.payload >> 32)))
        && conn->enabled[m.vring]) {
        /* librte_vhost does not say so if it has called it disabled before. */
        set_enabled(conn, m.vring, false);
    }
    device = running_device(conn);
    if (device) {
        set_translations_changing(conn, device, false);
    }
    if (device && device->datapath->suspend) {
        vhost_message_range(&m, &first, &n);
        ovs_mutex_lock(&conn->session->mutex);
        if (conn->device) {
            start_queues(conn, device, first, n);
        }
        ovs_mutex_unlock(&conn->session->mutex);
        if (conn->call_vring >= 0) {
            device->datapath->renew_call(
                device, vhost_device_queue(device, conn->call_vring));
        }
        if (m.request == VHOST_REQUEST_SEND_RARP) {
            take_rarp(conn, device);
        }
    }
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
