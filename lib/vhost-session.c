/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-session.h"

#include <errno.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_vhost.h>

#include "fatal-signal.h"
#include "hash.h"
#include "netdev-provider.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-conn.h"
#include "vhost-device.h"
#include "vhost-dma.h"
#include "vhost-features.h"
#include "vhost-guard.h"
#include "vhost-session-private.h"
#include "vhost-use.h"
#include "vhost-vduse.h"

VLOG_DEFINE_THIS_MODULE(vhost_session);

/* All sessions. */
static struct ovs_mutex sessions_mutex = OVS_MUTEX_INITIALIZER;
static struct hmap sessions OVS_GUARDED_BY(sessions_mutex)
    = HMAP_INITIALIZER(&sessions);

static struct vhost_session *find_session(const char *path)
    OVS_REQUIRES(sessions_mutex);
static struct vhost_session *find_user(const struct vhost_socket_identity *,
                                       const struct netdev *)
    OVS_REQUIRES(sessions_mutex);
static void update_identity(struct vhost_session *);
static void keep_event_thread(void);
static int start_driver(const struct vhost_session_config *,
                        uint64_t *features, char **errp);

static struct vhost_session *
create(const struct vhost_session_config *config, struct netdev *netdev)
{
    struct vhost_session *session = xzalloc(sizeof *session);

    session->path = xstrdup(config->path);
    vhost_socket_identify(config->path, &session->identity);
    atomic_init(&session->is_duplicate, false);
    session->client = config->client;
    session->is_vduse = vhost_vduse_is_path(config->path);
    session->n_queue_pairs = config->n_queue_pairs;
    session->iommu = config->iommu;
    session->postcopy = config->postcopy;
    session->zero_copy = config->zero_copy;
    session->library_only = (config->library_data_path || config->postcopy
                             || session->is_vduse);
    session->large_packets = config->tso;
    session->counters = config->counters;
    session->netdev = netdev;
    vhost_patience_init(&session->patience);
    vhost_supply_init(&session->supply);
    ovsrcu_init(&session->device, NULL);
    ovs_mutex_init(&session->mutex);
    vhost_tally_init(&session->tally);
    ovs_list_init(&session->conns);
    ovs_mutex_lock(&session->mutex);
    session->tx_excluded = config->tx_excluded;
    session->guest_features = config->guest_features;
    ovs_mutex_unlock(&session->mutex);
    return session;
}

/* Frees 'session', which is not in 'sessions' and has no connections. */
static void
destroy(struct vhost_session *session)
{
    vhost_supply_destroy(&session->supply);
    vhost_tally_destroy(&session->tally);
    ovs_mutex_destroy(&session->mutex);
    vhost_socket_identity_destroy(&session->identity);
    free(session->path);
    free(session);
}

/* Opens a session for 'netdev' as 'config' says.  Returns the session, or NULL
 * and a message in '*errp' that the caller must free. */
struct vhost_session *
vhost_session_open(const struct vhost_session_config *config,
                   struct netdev *netdev, char **errp)
{
    struct vhost_session *session, *other;

    vhost_guard_init();
    vhost_use_init();
    keep_event_thread();
    if (config->zero_copy) {
        vhost_dma_init();
    }
    session = create(config, netdev);

    ovs_mutex_lock(&sessions_mutex);
    other = find_session(config->path);
    if (!other) {
        other = find_user(&session->identity, netdev);
    }
    if (other) {
        *errp = vhost_session_conflict(config->path,
                                       netdev_get_name(other->netdev));
    } else {
        hmap_insert(&sessions, &session->hmap_node,
                    hash_string(session->path, 0));
    }
    ovs_mutex_unlock(&sessions_mutex);

    if (!other && !start_driver(config, &session->features, errp)) {
        if (!config->client) {
            update_identity(session);           /* Its socket exists now. */
        }
        return session;
    }

    if (!other) {
        ovs_mutex_lock(&sessions_mutex);
        hmap_remove(&sessions, &session->hmap_node);
        ovs_mutex_unlock(&sessions_mutex);
    }
    destroy(session);
    return NULL;
}

/* Closes 'session', which may be NULL: the socket goes away, the guest, if
 * any, is disconnected.  No thread may be using the port's queues.  Returns
 * when no callback will come for 'session'. */
void
vhost_session_close(struct vhost_session *session)
{
    struct vhost_device *device;

    if (!session) {
        return;
    }

    /* The data path no longer uses the port, so that there is nothing to wait
     * for.  Nothing may be waited for either: other threads may want a lock of
     * the netdev layer that our caller holds, before they quiesce. */
    device = vhost_conn_cut_all(session);

    /* librte_vhost waits here for a callback that is under way.  That may wait
     * for a burst, but for no thread's quiescence. */
    if (rte_vhost_driver_unregister(session->path)) {
        VLOG_ERR("%s: cannot unregister vhost socket '%s'",
                 netdev_get_name(session->netdev), session->path);
    }
    if (!session->client) {
        fatal_signal_remove_file_to_unlink(session->path);
    }

    /* Now no callback uses these. */
    vhost_conn_free_all(session, device);

    ovs_mutex_lock(&sessions_mutex);
    hmap_remove(&sessions, &session->hmap_node);
    ovs_mutex_unlock(&sessions_mutex);

    destroy(session);
}

/* Returns the running device of 'session', which may be NULL, or NULL if there
 * is none.  The caller may use it, as vhost-device.h says, until it
 * quiesces. */
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
                     bool postcopy, bool zero_copy, unsigned int n_queue_pairs)
{
    if (session->is_vduse) {
        return session->n_queue_pairs == n_queue_pairs;
    }
    return (session->iommu == iommu && session->postcopy == postcopy
            && session->zero_copy == zero_copy);
}

/* From now on, does not rely on 'features' (VIRTIO_NET_F_GUEST_*) of the guest
 * of 'session', which may be NULL, even if it has negotiated them: what it
 * could be left to do is done here.  It is not disconnected. */
void
vhost_session_exclude_tx(struct vhost_session *session, uint64_t features)
{
    if (session) {
        ovs_mutex_lock(&session->mutex);
        session->tx_excluded = features;
        vhost_conn_set_tx_offloads(
            session, ovsrcu_get_protected(struct vhost_device *,
                                          &session->device));
        ovs_mutex_unlock(&session->mutex);
    }
}

/* Returns the features that the last guest of 'session', or of its socket
 * before, negotiated, or 0. */
uint64_t
vhost_session_guest_features(struct vhost_session *session)
{
    uint64_t features;

    ovs_mutex_lock(&session->mutex);
    features = session->guest_features;
    ovs_mutex_unlock(&session->mutex);
    return features;
}

/* Returns those of them that 'session', which may be NULL, does not offer, if
 * no guest is connected.  QEMU keeps what its guest has negotiated until the
 * guest is reset, and refuses a back end that offers less. */
uint64_t
vhost_session_withdrawn_features(struct vhost_session *session)
{
    return (session && !vhost_session_device(session)
            ? vhost_session_guest_features(session) & ~session->features : 0);
}

/* Returns why packets of the guest of 'session', which may be NULL, are copied
 * although they need not be, or NULL. */
const char *
vhost_session_zero_copy_obstacle(struct vhost_session *session)
{
    const struct vhost_device *device;
    const char *obstacle = NULL;

    if (!session) {
        return NULL;
    }
    ovs_mutex_lock(&session->mutex);
    device = ovsrcu_get_protected(struct vhost_device *, &session->device);
    if (device) {
        obstacle = vhost_device_zero_copy_obstacle(device);
    }
    ovs_mutex_unlock(&session->mutex);
    return obstacle;
}

/* Returns what the port has for the guest of 'session', and is to have. */
struct vhost_supply *
vhost_session_supply(struct vhost_session *session)
{
    return &session->supply;
}

/* Returns what was counted on all queues of 'session' since it was opened,
 * over all of its connections. */
struct vhost_tally *
vhost_session_tally(struct vhost_session *session)
{
    return &session->tally;
}

/* Stores the memory of the guest whose device is running in '*memory', none if
 * no device is running.
 *
 * The front end may change the memory at any time, and librte_vhost then
 * unmaps it: the kernel may be asked about the mappings, but they must not be
 * accessed. */
void
vhost_session_get_memory(struct vhost_session *session,
                         struct vhost_memory_map *memory)
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

/* Is the socket of 'session' that of another port, by another name, as was
 * found when it connected?  It then gets no guest. */
bool
vhost_session_is_duplicate(struct vhost_session *session)
{
    bool is_duplicate;

    atomic_read_relaxed(&session->is_duplicate, &is_duplicate);
    return is_duplicate;
}

/* Returns the name of the port whose session uses the socket that 'path' leads
 * to, or NULL.  The name is that of a netdev that the caller must keep from
 * going away. */
const char *
vhost_session_path_user(const char *path)
{
    const struct vhost_session *session;
    struct vhost_socket_identity identity;
    const char *name;

    vhost_socket_identify(path, &identity);
    ovs_mutex_lock(&sessions_mutex);
    session = find_session(path);
    if (!session) {
        session = find_user(&identity, NULL);
    }
    name = session ? netdev_get_name(session->netdev) : NULL;
    ovs_mutex_unlock(&sessions_mutex);
    vhost_socket_identity_destroy(&identity);

    return name;
}

/* Returns a message that port 'user' has socket 'path'.  The caller must free
 * it. */
char *
vhost_session_conflict(const char *path, const char *user)
{
    return xasprintf(vhost_vduse_is_path(path)
                     ? "VDUSE device \"%s\" is already used by port %s; each "
                       "port needs a device of its own"
                     : "vhost socket path \"%s\" is already used by port %s; "
                       "each port needs a socket of its own", path, user);
}

/* Returns the session that uses socket 'path', or NULL.  For a callback of
 * librte_vhost for that socket: closing the session waits for it. */
struct vhost_session *
vhost_session_find(const char *path)
{
    struct vhost_session *session;

    ovs_mutex_lock(&sessions_mutex);
    session = find_session(path);
    ovs_mutex_unlock(&sessions_mutex);
    return session;
}

/* Notes what the path of 'session', of a client port, leads to, now that it
 * has connected: it may have been something else before.  Returns false if
 * another port uses that socket. */
bool
vhost_session_claim_socket(struct vhost_session *session)
{
    bool is_duplicate;

    update_identity(session);
    ovs_mutex_lock(&sessions_mutex);
    is_duplicate = find_user(&session->identity, session->netdev) != NULL;
    atomic_store_relaxed(&session->is_duplicate, is_duplicate);
    ovs_mutex_unlock(&sessions_mutex);
    if (is_duplicate) {
        netdev_request_reconfigure(session->netdev);
    }
    return !is_duplicate;
}

static void
update_identity(struct vhost_session *session)
{
    struct vhost_socket_identity identity, old;

    vhost_socket_identify(session->path, &identity);
    ovs_mutex_lock(&sessions_mutex);
    old = session->identity;
    session->identity = identity;
    ovs_mutex_unlock(&sessions_mutex);
    vhost_socket_identity_destroy(&old);
}

/* Returns the session that uses the socket 'identity', unless it is one of
 * 'netdev', which may move to another name of its socket; or NULL. */
static struct vhost_session *
find_user(const struct vhost_socket_identity *identity,
          const struct netdev *netdev)
{
    struct vhost_session *session;

    HMAP_FOR_EACH (session, hmap_node, &sessions) {
        struct vhost_socket_identity now;
        bool same;

        if (session->netdev == netdev || vhost_session_is_duplicate(session)
            || !vhost_socket_identity_equals(&session->identity, identity)) {
            continue;
        }
        /* What was noted when it was opened or connected may be out of
         * date. */
        vhost_socket_identify(session->path, &now);
        same = vhost_socket_identity_equals(&now, identity);
        vhost_socket_identity_destroy(&now);
        if (same) {
            return session;
        }
    }
    return NULL;
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
 * build on it (virtio 1.2, 5.1.3.1).  VIRTIO_NET_F_GSO is for legacy drivers:
 * it says that the device takes segments of any kind (5.1.3.2).  It is offered
 * only with HOST_TSO*, unlike by Open vSwitch's own provider: else such a
 * driver would send TCP segments that are larger than an mbuf.
 *
 * With zero-copy, buffers may have to overtake each other. */
static uint64_t
unwanted_features(const struct vhost_session_config *config)
{
    bool out_of_order = (config->zero_copy && !config->library_data_path
                         && !config->postcopy
                         && !vhost_vduse_is_path(config->path));

    return ((config->tso
             ? (UINT64_C(1) << VIRTIO_NET_F_HOST_ECN
                | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO)
             : VHOST_CHECKSUMS_ALWAYS && config->client
             ? (UINT64_C(1) << VIRTIO_NET_F_GSO
                | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4
                | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6
                | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO)
             : UINT64_C(1) << VIRTIO_NET_F_CSUM)
            | (out_of_order ? UINT64_C(1) << VIRTIO_F_IN_ORDER : 0));
}

/* Since 24.11.5 and 25.11.1, DPDK ends its event thread when the last socket
 * is unregistered, and waits for that for up to a second, in the thread that
 * does so, which is the main thread.  So there is always one more, which is
 * never started. */
static void
keep_event_thread(void)
{
    static bool is_kept;

    if (!is_kept) {
        is_kept = !rte_vhost_driver_register("netdev-vhost's thread", 0);
        if (!is_kept) {
            VLOG_WARN("cannot keep librte_vhost's event thread");
        }
    }
}

/* Makes librte_vhost offer on the socket only what 'config' says, of what we
 * know.  Stores the features of virtio among that in '*features'. */
static int
limit_features(const struct vhost_session_config *config, uint64_t *features)
{
    const char *path = config->path;
    uint64_t protocol;

    return (rte_vhost_driver_get_protocol_features(path, &protocol)
            || rte_vhost_driver_set_protocol_features(
                   path, protocol & vhost_supported_protocol_features)
            || rte_vhost_driver_disable_features(
                   path, unwanted_features(config) | ~vhost_supported_features)
            || rte_vhost_driver_get_features(path, features) ? EIO : 0);
}

/* Makes librte_vhost listen on the socket, or connect to it, as 'config' says.
 * Stores the features that it offers in '*features'. */
static int
start_driver(const struct vhost_session_config *config, uint64_t *features,
             char **errp)
{
    /* A dp_packet is one contiguous buffer.  Offload requests: see
     * vhost_offload_from_library(). */
    uint64_t flags = (RTE_VHOST_USER_LINEARBUF_SUPPORT
                      | RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS
                      | RTE_VHOST_USER_NET_STATS_ENABLE);
    bool is_vduse = vhost_vduse_is_path(config->path);
    const char *step;

    flags |= config->client ? RTE_VHOST_USER_CLIENT : 0;
    flags |= (config->iommu || is_vduse) ? RTE_VHOST_USER_IOMMU_SUPPORT : 0;
    flags |= (config->postcopy && !is_vduse) ? RTE_VHOST_USER_POSTCOPY_SUPPORT
                                             : 0;
    flags |= config->tso ? RTE_VHOST_USER_EXTBUF_SUPPORT : 0;

    if (is_vduse) {
        vhost_vduse_remove_stale(config->path);
    }
    if (rte_vhost_driver_register(config->path, flags)) {
        *errp = xasprintf("librte_vhost cannot register vhost socket \"%s\"; "
                          "see the VHOST_CONFIG messages in the log",
                          config->path);
        return EIO;
    }
    if (rte_vhost_driver_callback_register(config->path,
                                           &vhost_conn_device_ops)) {
        step = "register callbacks for";
    } else if (limit_features(config, features)) {
        step = "set the features of";
    } else if (is_vduse && vhost_set_queue_pairs(config->path,
                                                 config->n_queue_pairs)) {
        step = "set the number of queues of";
    } else if (rte_vhost_driver_start(config->path)) {
        step = "start";
    } else {
        if (!config->client) {
            fatal_signal_add_file_to_unlink(config->path);
        }
        return 0;
    }
    if (is_vduse) {
        char *obstacle = vhost_vduse_obstacle(config->path,
                                              config->n_queue_pairs);

        *errp = xasprintf("librte_vhost cannot %s VDUSE device \"%s\": %s",
                          step, config->path, obstacle);
        free(obstacle);
    } else {
        *errp = xasprintf("librte_vhost cannot %s vhost socket \"%s\"; see "
                          "the VHOST_CONFIG messages in the log", step,
                          config->path);
    }
    rte_vhost_driver_unregister(config->path);
    return EIO;
}
