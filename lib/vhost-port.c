/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-port.h"

#include <errno.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_lcore.h>

#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "userspace-tso.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-mempool.h"
#include "vhost-numa.h"
#include "vhost-policer.h"
#include "vhost-ports.h"
#include "vhost-qos.h"
#include "vhost-session.h"
#include "vhost-socket.h"
#include "vhost-supply.h"
#include "vhost-tally.h"
#include "vhost-vduse.h"

VLOG_DEFINE_THIS_MODULE(vhost_port);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The longest frame, including two VLAN tags. */
#define MAX_FRAME_LEN 9728
#define MAX_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN \
                      + 2 * VLAN_HEADER_LEN)

static void construct_common(struct vhost_port *);
static int open_server(struct vhost_port *);
static void set_path(struct vhost_port *port, const char *path)
    OVS_REQUIRES(port->mutex);
static bool is_settled(const struct vhost_port *);
static const char *other_user(const struct vhost_port *, const char *path);
static void move_session(struct vhost_port *port) OVS_EXCLUDED(port->mutex);
static void configure_pool(struct vhost_port *port, bool has_guest)
    OVS_REQUIRES(port->mutex);
static void release_pool(struct vhost_port *port) OVS_REQUIRES(port->mutex);
static struct vhost_mempool_request pool_request(const struct vhost_port *);

struct vhost_port *
vhost_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct vhost_port, up);
}

/* Constructs a "dpdkvhostuser" port, whose name is also that of its socket. */
int
vhost_port_construct_server(struct vhost_port *port)
{
    struct netdev *netdev = &port->up;
    int error;

    if (strpbrk(netdev->name, "/\\")) {
        VLOG_ERR("\"%s\" is not a valid name for a vhost-user port. "
                 "A valid name must not include '/' or '\\'", netdev->name);
        return EINVAL;
    }

    construct_common(port);
    error = open_server(port);
    if (error) {
        vhost_port_destruct(port);
    }
    VLOG_WARN_ONCE("dpdkvhostuser ports are considered deprecated;  "
                   "please migrate to dpdkvhostuserclient ports.");
    return error;
}

/* Constructs a "dpdkvhostuserclient" port.  Its socket is an option. */
int
vhost_port_construct_client(struct vhost_port *port)
{
    construct_common(port);
    return 0;
}

void
vhost_port_destruct(struct vhost_port *port)
{
    struct netdev *netdev = &port->up;
    struct vhost_qos *qos;

    vhost_ports_remove(port);

    if (vhost_session_device(port->session)
        && !vhost_session_is_client(port->session)) {
        VLOG_WARN("Removing port '%s' while vhost device still attached.  To "
                  "restore connectivity after re-adding the port, the VM on "
                  "socket '%s' must reconnect or be restarted.",
                  netdev->name, vhost_session_path(port->session));
    }
    vhost_session_close(port->session);
    port->session = NULL;

    ovs_mutex_lock(&port->mutex);
    release_pool(port);
    free(port->requested_path);
    free(port->config_error);
    free(port->access_error);
    free(port->placement);
    free(port->ring_faults);
    ovs_mutex_unlock(&port->mutex);

    vhost_policer_destroy(ovsrcu_get_protected(struct vhost_policer *,
                                               &port->policer));
    qos = ovsrcu_get_protected(struct vhost_qos *, &port->qos);
    if (qos) {
        vhost_qos_destroy(qos);
    }
    ovs_mutex_destroy(&port->mutex);
}

/* Applies the 'options' of a "dpdkvhostuser" Interface, which has none.  An
 * option of the other type is an error that the user sees, but the port
 * continues to work. */
int
vhost_port_set_server_config(struct vhost_port *port,
                             const struct smap *options)
{
    struct netdev *netdev = &port->up;
    bool zero_copy = smap_get_bool(options, "dq-zero-copy", false);

    ovs_mutex_lock(&port->mutex);
    vhost_port_set_tx_offloads(port, options);
    if (zero_copy != (port->config_error != NULL)) {
        free(port->config_error);
        port->config_error = NULL;
        if (zero_copy) {
            port->config_error = xstrdup(
                "dq-zero-copy is for ports of type dpdkvhostuserclient only; "
                "packets of this one are copied");
            VLOG_ERR("%s: %s", netdev->name, port->config_error);
        }
        netdev_change_seq_changed(netdev);
    }
    ovs_mutex_unlock(&port->mutex);
    return 0;
}

/* Applies the 'options' of a "dpdkvhostuserclient" Interface.
 *
 * When this returns an error, the switch removes the port.  That is right for
 * a new port, but not for one that works: such a port keeps its socket and has
 * the error in its status. */
int
vhost_port_set_client_config(struct vhost_port *port,
                             const struct smap *options, char **errp)
{
    struct netdev *netdev = &port->up;
    const char *path = smap_get(options, "vhost-server-path");
    char *message = NULL;
    int error = 0;

    ovs_mutex_lock(&port->mutex);
    vhost_port_set_tx_offloads(port, options);
    vhost_port_set_client_options(port, options);

    if (nullable_string_is_equal(path, port->requested_path)) {
        if (is_settled(port)) {
            if (port->config_error) {
                netdev_change_seq_changed(netdev);
            }
            free(port->config_error);
            port->config_error = NULL;
        } else if (port->config_error) {
            netdev_request_reconfigure(netdev);         /* Try again. */
        }
        goto out;
    }
    if (path) {
        const char *user = other_user(port, path);

        error = (vhost_vduse_is_path(path)
                 ? vhost_vduse_check_path(path, &message)
                 : vhost_socket_check_path(path, &message));
        if (!error && user && !port->session) {
            /* A port with a session waits for the path to become free. */
            error = EADDRINUSE;
            message = vhost_session_conflict(path, user);
        }
    }
    if (!error) {
        set_path(port, path);
    } else if (!port->requested_path) {
        *errp = message;
        message = NULL;
    } else {
        if (!nullable_string_is_equal(message, port->config_error)) {
            VLOG_ERR("%s: %s; the port stays on \"%s\"", netdev->name,
                     message, port->requested_path);
        }
        free(port->config_error);
        port->config_error = message;
        message = NULL;
        error = 0;
        netdev_change_seq_changed(netdev);
    }

out:
    ovs_mutex_unlock(&port->mutex);
    free(message);
    return error;
}

int
vhost_port_get_config(struct vhost_port *port, struct smap *config)
{
    struct netdev *netdev = &port->up;

    ovs_mutex_lock(&port->mutex);
    if (VHOST_CONFIG_IS_OPTIONS) {
        vhost_port_add_options(port, config);
        ovs_mutex_unlock(&port->mutex);
        return 0;
    }
    smap_add_format(config, "requested_rx_queues", "%d", netdev->n_rxq);
    smap_add_format(config, "configured_rx_queues", "%d", netdev->n_rxq);
    smap_add_format(config, "requested_tx_queues", "%d", netdev->n_txq);
    smap_add_format(config, "configured_tx_queues", "%d", netdev->n_txq);
    smap_add_format(config, "mtu", "%d", port->mtu);
    ovs_mutex_unlock(&port->mutex);

    return 0;
}

int
vhost_port_get_node(struct vhost_port *port)
{
    int node;

    ovs_mutex_lock(&port->mutex);
    node = port->node;
    ovs_mutex_unlock(&port->mutex);
    return node;
}

int
vhost_port_get_mtu(struct vhost_port *port)
{
    int mtu;

    ovs_mutex_lock(&port->mutex);
    mtu = port->mtu;
    ovs_mutex_unlock(&port->mutex);
    return mtu;
}

int
vhost_port_set_mtu(struct vhost_port *port, int mtu)
{
    struct netdev *netdev = &port->up;

    if (mtu < RTE_ETHER_MIN_MTU || mtu + MAX_OVERHEAD > MAX_FRAME_LEN) {
        VLOG_WARN("%s: unsupported MTU %d (expected %d to %d)", netdev->name,
                  mtu, RTE_ETHER_MIN_MTU, MAX_FRAME_LEN - MAX_OVERHEAD);
        return EINVAL;
    }

    ovs_mutex_lock(&port->mutex);
    if (port->requested_mtu != mtu) {
        port->requested_mtu = mtu;
        netdev_request_reconfigure(netdev);
    }
    ovs_mutex_unlock(&port->mutex);
    return 0;
}

void
vhost_port_set_etheraddr(struct vhost_port *port, const struct eth_addr mac)
{
    bool changed;

    ovs_mutex_lock(&port->mutex);
    changed = !eth_addr_equals(port->hwaddr, mac);
    port->hwaddr = mac;
    ovs_mutex_unlock(&port->mutex);

    if (changed) {
        netdev_change_seq_changed(&port->up);
    }
}

struct eth_addr
vhost_port_get_etheraddr(struct vhost_port *port)
{
    struct eth_addr mac;

    ovs_mutex_lock(&port->mutex);
    mac = port->hwaddr;
    ovs_mutex_unlock(&port->mutex);
    return mac;
}

int
vhost_port_update_flags(struct vhost_port *port, enum netdev_flags off,
                        enum netdev_flags on, enum netdev_flags *old_flagsp)
{
    struct netdev *netdev = &port->up;
    enum netdev_flags flags;

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EINVAL;
    }

    ovs_mutex_lock(&port->mutex);
    *old_flagsp = port->flags;
    port->flags = flags = (port->flags | on) & ~off;
    atomic_store_relaxed(&port->enabled, (flags & NETDEV_UP) != 0);
    ovs_mutex_unlock(&port->mutex);

    if (flags != *old_flagsp) {
        netdev_change_seq_changed(netdev);
    }
    return 0;
}

/* Applies the settings of the user and the demands of the guest.
 *
 * Lack of memory or of a usable socket is not an error here: an error would
 * remove the port from the datapath. */
int
vhost_port_reconfigure(struct vhost_port *port)
{
    struct netdev *netdev = &port->up;
    struct vhost_demand demand = {
        .n_rxqs = 1, .n_txqs = 1, .node = VHOST_NODE_UNKNOWN
    };

    move_session(port);
    if (port->session) {
        vhost_supply_take(vhost_session_supply(port->session), &demand);
    }

    ovs_mutex_lock(&port->mutex);
    netdev->n_rxq = demand.n_rxqs;
    netdev->n_txq = demand.n_txqs;
    port->mtu = port->requested_mtu;
    if (demand.node != VHOST_NODE_UNKNOWN) {
        port->node = demand.node;
    }
    configure_pool(port, demand.has_guest);
    ovs_mutex_unlock(&port->mutex);

    netdev_change_seq_changed(netdev);
    return 0;
}

/* Is there a guest that packets can be exchanged with? */
bool
vhost_port_is_running(struct vhost_port *port)
{
    bool running;

    ovs_mutex_lock(&port->mutex);
    running = vhost_session_device(port->session) && port->mp;
    ovs_mutex_unlock(&port->mutex);
    return running;
}

bool
vhost_port_is_server(const struct vhost_port *port)
{
    return !strcmp(netdev_get_type(&port->up), "dpdkvhostuser");
}

/* Would a reconfiguration of 'port' give it something that it could not have
 * before, or free something that it does not need?  A reconfiguration stops
 * the datapath for a moment, so it must be worth it.  Looks for memory if
 * 'retry_pool'. */
bool
vhost_port_is_due(struct vhost_port *port, bool retry_pool)
{
    bool due = false;

    if (port->session
        && vhost_supply_is_due(vhost_session_supply(port->session))) {
        due = true;
    }
    if (port->path_busy && port->requested_path
        && !other_user(port, port->requested_path)) {
        due = true;
    }
    if (retry_pool && port->pool_missing) {
        struct vhost_mempool_request request = pool_request(port);
        struct vhost_mempool *pool = vhost_mempool_get(&request);

        vhost_mempool_put(pool, request.n_queues);
        due |= pool != NULL;
    }
    if (retry_pool && port->pool && vhost_mempool_is_outgrown(port->pool)) {
        due = true;
    }
    return due;
}

/* Applies "vhost-sock-owner" and "vhost-sock-mode" to the socket of a server
 * port. */
void
vhost_port_apply_socket_access(struct vhost_port *port)
{
    char *message = NULL;

    if (vhost_socket_set_access(vhost_session_path(port->session),
                                &vhost_config()->socket_access, &message)) {
        VLOG_ERR("%s: %s", netdev_get_name(&port->up), message);
    }
    ovs_mutex_lock(&port->mutex);
    if (!nullable_string_is_equal(message, port->access_error)) {
        netdev_change_seq_changed(&port->up);
    }
    free(port->access_error);
    port->access_error = message;
    ovs_mutex_unlock(&port->mutex);
}

static void
construct_common(struct vhost_port *port)
{
    int node = rte_lcore_to_socket_id(rte_get_main_lcore());

    ovs_mutex_init(&port->mutex);
    vhost_counters_init(&port->counters, netdev_get_name(&port->up));
    ovsrcu_init(&port->policer, NULL);
    ovsrcu_init(&port->qos, NULL);
    atomic_init(&port->tx_retries_max, VHOST_TX_RETRIES_DEFAULT);
    atomic_init(&port->enabled, true);
    port->mtu = RTE_ETHER_MTU;
    port->node = MAX(node, 0);
    ovs_mutex_lock(&port->mutex);
    port->flags = NETDEV_UP | NETDEV_PROMISC;
    port->requested_mtu = RTE_ETHER_MTU;
    port->requested_queue_pairs = VHOST_QUEUE_PAIRS_DEFAULT;
    ovs_mutex_unlock(&port->mutex);

    port->up.n_rxq = 0;
    port->up.n_txq = 0;
    port->up.ol_flags = vhost_tx_offloads(0, userspace_tso_enabled());

    vhost_ports_add(port);
    netdev_request_reconfigure(&port->up);
}

/* Opens the socket of a server port.  Returns 0 or a positive errno value. */
static int
open_server(struct vhost_port *port)
{
    const char *name = netdev_get_name(&port->up);
    char *path = xasprintf("%s/%s", vhost_config()->sock_dir, name);
    struct vhost_session_config config = {
        .path = path,
        .tso = userspace_tso_enabled(),
        .tx_excluded = port->tx_excluded,
        .library_data_path = vhost_config()->library_data_path,
        .counters = &port->counters,
    };
    char *message = NULL;
    int error;

    error = vhost_socket_check_path(path, &message);
    if (!error) {
        error = vhost_socket_remove_stale(path, &message);
    }
    if (!error) {
        port->session = vhost_session_open(&config, &port->up, &message);
        error = port->session ? 0 : EIO;
    }
    if (error) {
        VLOG_ERR("%s: %s", name, message);
        free(message);
    } else {
        vhost_port_apply_socket_access(port);
        VLOG_INFO("Socket %s created for vhost-user port %s", path, name);
    }
    free(path);
    return error;
}

static void
set_path(struct vhost_port *port, const char *path)
{
    free(port->requested_path);
    port->requested_path = nullable_xstrdup(path);
    port->past_guest_features = 0;
    free(port->config_error);
    port->config_error = NULL;
    netdev_request_reconfigure(&port->up);
}

/* Has client port 'port' a session with 'requested_path' as its socket? */
static bool
has_requested_path(const struct vhost_port *port)
{
    return nullable_string_is_equal(
        port->session ? vhost_session_path(port->session) : NULL,
        port->requested_path);
}

/* Is the session of client port 'port' the one that was asked for, and of
 * use? */
static bool
is_settled(const struct vhost_port *port)
{
    return has_requested_path(port)
           && (!port->session
               || (!vhost_session_is_duplicate(port->session)
                   && vhost_session_offers(port->session,
                                           port->requested_iommu,
                                           port->requested_postcopy,
                                           port->requested_zero_copy,
                                           port->requested_queue_pairs)));
}

/* Returns the name of a port other than 'port' that uses the socket that
 * 'path' leads to, or NULL. */
static const char *
other_user(const struct vhost_port *port, const char *path)
{
    const char *user = vhost_session_path_user(path);

    return user && strcmp(user, netdev_get_name(&port->up)) ? user : NULL;
}

/* Closes 'session' of 'port', which keeps the statistics. */
static void
close_session(struct vhost_port *port, struct vhost_session *session)
{
    struct vhost_vring_stats rx = { 0 }, tx = { 0 };
    uint64_t features = vhost_session_guest_features(session);
    bool same_path = !strcmp(vhost_session_path(session),
                             port->requested_path ? port->requested_path : "");

    vhost_tally_add_sums(vhost_session_tally(session), &rx, &tx);
    vhost_session_close(session);

    ovs_mutex_lock(&port->mutex);
    if (same_path) {
        port->past_guest_features = features;
    }
    vhost_vring_stats_add(&port->past_rx, &rx);
    vhost_vring_stats_add(&port->past_tx, &tx);
    ovs_mutex_unlock(&port->mutex);
}

/* Returns the session that is asked for 'port', of a client. */
static struct vhost_session_config
requested_session(struct vhost_port *port)
{
    return (struct vhost_session_config) {
        .path = port->requested_path,   /* Written by this thread alone. */
        .client = true,
        .iommu = port->requested_iommu,
        .postcopy = port->requested_postcopy,
        .zero_copy = port->requested_zero_copy,
        .n_queue_pairs = port->requested_queue_pairs,
        .tso = userspace_tso_enabled(),
        .tx_excluded = port->tx_excluded,
        .library_data_path = vhost_config()->library_data_path,
        .counters = &port->counters,
    };
}

/* Makes the session of a client port the one that was asked for.  If that
 * fails, the port stays on the socket that it has, unless that is the one that
 * was asked for: then it has none until its options are set again. */
static void
move_session(struct vhost_port *port)
{
    struct vhost_session *old = port->session;
    struct vhost_session_config config = requested_session(port);
    struct vhost_session *new = NULL;
    bool path_busy = false;
    char *message = NULL;

    if ((old && !vhost_session_is_client(old)) || is_settled(port)) {
        return;
    }
    if (old && has_requested_path(port)) {
        if (!vhost_session_is_duplicate(old)) {
            VLOG_INFO("%s: the guest is disconnected, to change what is "
                      "offered to it", netdev_get_name(&port->up));
        }
        ovs_mutex_lock(&port->mutex);
        port->session = NULL;
        ovs_mutex_unlock(&port->mutex);
        close_session(port, old);
        old = NULL;
    }

    if (config.path) {
        config.guest_features = port->past_guest_features;
        path_busy = other_user(port, config.path) != NULL;
        new = vhost_session_open(&config, &port->up, &message);
        if (new) {
            VLOG_INFO("vHost User device '%s' created in 'client' mode, "
                      "using client socket '%s'",
                      netdev_get_name(&port->up), config.path);
        } else {
            VLOG_ERR_RL(&rl, "%s: %s", netdev_get_name(&port->up), message);
        }
    }

    ovs_mutex_lock(&port->mutex);
    free(port->config_error);
    port->config_error = message;
    port->path_busy = path_busy;
    if (!message) {
        port->session = new;
    }
    ovs_mutex_unlock(&port->mutex);

    if (!message && old) {
        close_session(port, old);
    }
}

/* Returns what 'port', as it is configured now, needs of a mempool. */
static struct vhost_mempool_request
pool_request(const struct vhost_port *port)
{
    return (struct vhost_mempool_request) {
        .port = netdev_get_name(&port->up),
        .node = port->node,
        .mtu = port->mtu,
        .n_queues = port->up.n_rxq + port->up.n_txq,
    };
}

/* Gives 'port' a mempool that suits it, or none if it has no guest. */
static void
configure_pool(struct vhost_port *port, bool has_guest)
{
    struct vhost_mempool_request request = pool_request(port);

    if (port->pool && has_guest && vhost_mempool_suits(port->pool, &request)
        && port->pool_queues == request.n_queues) {
        return;
    }
    release_pool(port);
    if (!has_guest) {
        return;
    }

    port->pool = vhost_mempool_get(&request);
    if (port->pool) {
        port->pool_queues = request.n_queues;
        port->mp = port->pool->mp;
    } else {
        port->pool_missing = true;
    }
}

static void
release_pool(struct vhost_port *port)
{
    vhost_mempool_put(port->pool, port->pool_queues);
    port->pool = NULL;
    port->pool_queues = 0;
    port->pool_missing = false;
    port->mp = NULL;
}
