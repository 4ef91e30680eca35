/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-port.h"

#include <errno.h>

#include <rte_ether.h>
#include <rte_lcore.h>
#include <rte_vhost.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/usdt-probes.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "smap.h"
#include "timeval.h"
#include "userspace-tso.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-device.h"
#include "vhost-dma.h"
#include "vhost-mempool.h"
#include "vhost-numa.h"
#include "vhost-placement.h"
#include "vhost-policer.h"
#include "vhost-qos.h"
#include "vhost-socket.h"
#include "vhost-supply.h"
#include "vhost-tally.h"
#include "vhost-zerocopy.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhost);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The longest frame, for which two VLAN tags are reckoned in. */
#define MAX_FRAME_LEN 9728
#define MAX_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN \
                      + 2 * VLAN_HEADER_LEN)

/* How often vhost_ports_run() looks after the ports, in ms... */
#define TICK_INTERVAL 1000

/* ...and every how many times it does what takes longer: tries to get memory
 * that was not there before, looks where a guest's memory is. */
#define TICKS_PER_POOL_RETRY 5
#define TICKS_PER_PLACEMENT 2

/* ...and what is asked for more rarely still: how much goes through. */
#define TICKS_PER_SAMPLE 5

/* The placement of this many ports at most is looked at in one go. */
#define MAX_PLACEMENTS 8

/* All ports. */
struct ovs_mutex vhost_ports_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list vhost_ports OVS_GUARDED_BY(vhost_ports_mutex)
    = OVS_LIST_INITIALIZER(&vhost_ports);

/* When to look after the ports again.  Main thread only. */
static long long int tick_time;

static bool is_server(const struct vhost_port *);
static void construct_common(struct vhost_port *);
static int open_server(struct vhost_port *);
static void set_path(struct vhost_port *port, const char *path)
    OVS_REQUIRES(port->mutex);
static void set_tx_retries(struct vhost_port *port, const struct smap *options)
    OVS_REQUIRES(port->mutex);
static void set_features(struct vhost_port *port, const struct smap *options)
    OVS_REQUIRES(port->mutex);
static bool is_settled(const struct vhost_port *);
static void move_session(struct vhost_port *port) OVS_EXCLUDED(port->mutex);
static void configure_pool(struct vhost_port *port, bool has_guest)
    OVS_REQUIRES(port->mutex);
static void release_pool(struct vhost_port *port) OVS_REQUIRES(port->mutex);
static void look_after(struct vhost_port *port, bool retry_pool)
    OVS_REQUIRES(port->mutex);
static void note_trouble(struct vhost_port *port) OVS_REQUIRES(port->mutex);
static char *ring_faults(struct vhost_device *);
static bool lacks_jumbo_buffers(const struct vhost_port *,
                                const struct vhost_device *);
static void update_placement(struct vhost_port *port)
    OVS_REQUIRES(port->mutex);
static void add_device_status(struct vhost_device *, struct smap *);

struct vhost_port *
vhost_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct vhost_port, up);
}

/* Constructs a "dpdkvhostuser" port, whose name is also that of its socket. */
int
vhost_port_construct_server(struct netdev *netdev)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    int error;

    if (strpbrk(netdev->name, "/\\")) {
        VLOG_ERR("\"%s\" is not a valid name for a vhost-user port. "
                 "A valid name must not include '/' or '\\'", netdev->name);
        return EINVAL;
    }

    construct_common(port);
    error = open_server(port);
    if (error) {
        vhost_port_destruct(netdev);
    }
    VLOG_WARN_ONCE("dpdkvhostuser ports are considered deprecated;  "
                   "please migrate to dpdkvhostuserclient ports.");
    return error;
}

/* Constructs a "dpdkvhostuserclient" port.  Its socket is an option. */
int
vhost_port_construct_client(struct netdev *netdev)
{
    construct_common(vhost_port_cast(netdev));
    return 0;
}

void
vhost_port_destruct(struct netdev *netdev)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    struct vhost_qos *qos;

    ovs_mutex_lock(&vhost_ports_mutex);
    ovs_list_remove(&port->list_node);
    ovs_mutex_unlock(&vhost_ports_mutex);

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

/* Follows the 'options' of a "dpdkvhostuser" Interface, which has none.  One
 * that is only meant for the other type is an error for the user, but costs a
 * port that works nothing. */
int
vhost_port_set_server_config(struct netdev *netdev,
                             const struct smap *options,
                             char **errp OVS_UNUSED)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    bool zero_copy = smap_get_bool(options, "dq-zero-copy", false);

    ovs_mutex_lock(&port->mutex);
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

/* Follows the 'options' of a "dpdkvhostuserclient" Interface.
 *
 * An error makes the switch give the port up.  That is fine for a new port,
 * but not for one that works: such a port keeps its socket and tells about the
 * error in its status. */
int
vhost_port_set_client_config(struct netdev *netdev,
                             const struct smap *options, char **errp)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    const char *path = smap_get(options, "vhost-server-path");
    char *message = NULL;
    int error = 0;

    ovs_mutex_lock(&port->mutex);
    set_tx_retries(port, options);
    set_features(port, options);

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
        const char *user = vhost_session_path_user(path);

        error = vhost_socket_check_path(path, &message);
        if (!error && user && !port->session) {
            /* A port with a session waits for the path to become free. */
            error = EADDRINUSE;
            message = xasprintf("vhost socket path \"%s\" is already used by "
                                "port %s; each port needs a socket of its own",
                                path, user);
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

static void
add_options(const struct vhost_port *port, struct smap *config)
    OVS_REQUIRES(port->mutex)
{
    int retries;

    if (port->requested_path) {
        smap_add(config, "vhost-server-path", port->requested_path);
    }
    atomic_read_relaxed(&CONST_CAST(struct vhost_port *, port)->tx_retries_max,
                        &retries);
    if (retries != VHOST_TX_RETRIES_DEFAULT) {
        smap_add_format(config, "tx-retries-max", "%d", retries);
    }
    if (port->requested_iommu != vhost_config()->iommu) {
        smap_add_format(config, "vhost-iommu-support", "%s",
                        port->requested_iommu ? "true" : "false");
    }
    if (port->requested_postcopy != vhost_config()->postcopy) {
        smap_add_format(config, "vhost-postcopy-support", "%s",
                        port->requested_postcopy ? "true" : "false");
    }
    if (port->requested_zero_copy) {
        smap_add(config, "dq-zero-copy", "true");
    }
}

int
vhost_port_get_config(const struct netdev *netdev, struct smap *config)
{
    struct vhost_port *port = vhost_port_cast(netdev);

    ovs_mutex_lock(&port->mutex);
    if (VHOST_CONFIG_IS_OPTIONS) {
        if (!is_server(port)) {
            add_options(port, config);
        }
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
vhost_port_set_mtu(struct netdev *netdev, int mtu)
{
    struct vhost_port *port = vhost_port_cast(netdev);

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

int
vhost_port_update_flags(struct netdev *netdev, enum netdev_flags off,
                        enum netdev_flags on, enum netdev_flags *old_flagsp)
{
    struct vhost_port *port = vhost_port_cast(netdev);
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

/* Applies what the user and the guest want.
 *
 * Lack of memory or of a usable socket is not an error here: an error would
 * cost the port its place in the datapath. */
int
vhost_port_reconfigure(struct netdev *netdev)
{
    struct vhost_port *port = vhost_port_cast(netdev);
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

/* May be called from any thread: IPFIX asks from PMD threads. */
int
vhost_port_get_status(const struct netdev *netdev, struct smap *status)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    struct vhost_device *device;

    ovs_mutex_lock(&port->mutex);
    device = vhost_session_device(port->session);
    smap_add(status, "mode", is_server(port) ? "server" : "client");
    smap_add(status, "status", device ? "connected" : "disconnected");
    if (port->session) {
        smap_add(status, "socket", vhost_session_path(port->session));
    }
    if (device) {
        add_device_status(device, status);
        if (lacks_jumbo_buffers(port, device)) {
            smap_add(status, "jumbo_frames", "the guest has no mergeable "
                     "receive buffers: larger frames than its buffers are "
                     "dropped");
        }
        smap_add_format(status, "n_rxq", "%d", netdev->n_rxq);
        smap_add_format(status, "n_txq", "%d", netdev->n_txq);
    }
    if (port->pool) {
        char *memory = vhost_mempool_degradation(port->pool, port->node);

        smap_add(status, "mempool", port->mp->name);
        smap_add_format(status, "mempool_numa", "%d", port->pool->node);
        smap_add_format(status, "mempool_mbufs", "%u", port->pool->n_mbufs);
        if (memory) {
            smap_add_nocopy(status, xstrdup("memory"), memory);
        }
    } else if (port->pool_missing) {
        smap_add(status, "memory", "no memory for mbufs on any NUMA node: "
                 "the port receives nothing until DPDK has more hugepage "
                 "memory (dpdk-socket-mem, dpdk-socket-limit, the system's "
                 "hugepages)");
    }
    if (port->config_error) {
        smap_add(status, "config_error", port->config_error);
    }
    if (device && port->placement) {
        smap_add(status, "placement", port->placement);
    }
    if (device && port->requested_zero_copy) {
        const char *obstacle =
            vhost_session_zero_copy_obstacle(port->session);

        smap_add_format(status, "dq_zero_copy", "%s%s",
                        obstacle ? "off: " : "on", obstacle ? obstacle : "");
    }
    ovs_mutex_unlock(&port->mutex);

    return 0;
}

/* Stores how 'port' is doing without copies.  Returns false if it was not asked
 * to.  Main thread only. */
bool
vhost_port_get_zero_copy(const struct vhost_port *port,
                         struct vhost_port_zero_copy *zero_copy)
{
    struct vhost_device *device = vhost_session_device(port->session);

    memset(zero_copy, 0, sizeof *zero_copy);
    if (!port->requested_zero_copy) {
        return false;
    }
    zero_copy->obstacle = vhost_session_zero_copy_obstacle(port->session);
    for (unsigned int i = 0; device && i < VHOST_MAX_QUEUE_PAIRS; i++) {
        zero_copy->n_out += device->datapath->n_out(&device->rxqs[i]);
    }
    vhost_zerocopy_get_pinned(netdev_get_name(&port->up),
                              &zero_copy->n_pinned, &zero_copy->pinned_size);
    return true;
}

/* Calls 'cb' with each port, or only with that named 'name' unless that is
 * null, in the order of their names.  It is called with the port's mutex
 * held. */
void
vhost_ports_for_each(const char *name,
                     void (*cb)(struct vhost_port *, void *aux), void *aux)
{
    struct shash ports = SHASH_INITIALIZER(&ports);
    const struct shash_node **sorted;
    struct vhost_port *port;

    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        if (!name || !strcmp(name, netdev_get_name(&port->up))) {
            shash_add(&ports, netdev_get_name(&port->up), port);
        }
    }
    sorted = shash_sort(&ports);
    for (size_t i = 0; i < shash_count(&ports); i++) {
        port = sorted[i]->data;
        ovs_mutex_lock(&port->mutex);
        cb(port, aux);
        ovs_mutex_unlock(&port->mutex);
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
    free(sorted);
    shash_destroy(&ports);
}

/* Periodic work for all ports. */
void
vhost_ports_run(void)
{
    static unsigned int tick;
    struct vhost_port *port;
    unsigned int n_placed = 0;

    vhost_mempool_run();
    if (time_msec() < tick_time) {
        return;
    }
    tick_time = time_msec() + TICK_INTERVAL;
    tick++;

    vhost_dma_run();
    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        ovs_mutex_lock(&port->mutex);
        look_after(port, !(tick % TICKS_PER_POOL_RETRY));
        if (!(tick % TICKS_PER_SAMPLE) && port->session) {
            vhost_tally_sample(vhost_session_tally(port->session));
        }
        if (!(tick % TICKS_PER_PLACEMENT) && n_placed < MAX_PLACEMENTS) {
            update_placement(port);
            n_placed++;
        }
        ovs_mutex_unlock(&port->mutex);
    }
    vhost_zerocopy_sweep();
    while (n_placed--) {        /* Next time it is the others' turn. */
        ovs_list_push_back(&vhost_ports, ovs_list_pop_front(&vhost_ports));
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
}

void
vhost_ports_wait(void)
{
    bool any;

    ovs_mutex_lock(&vhost_ports_mutex);
    any = !ovs_list_is_empty(&vhost_ports);
    ovs_mutex_unlock(&vhost_ports_mutex);
    if (any || vhost_zerocopy_has_retired()) {
        poll_timer_wait_until(tick_time);
    }
    vhost_mempool_wait();
}

/* Switches 'netdev', or all ports if it is null, administratively 'up' or
 * down. */
void
vhost_ports_set_admin_state(struct netdev *netdev, bool up)
{
    enum netdev_flags on = up ? NETDEV_UP : 0;
    enum netdev_flags off = up ? 0 : NETDEV_UP;
    enum netdev_flags old;
    struct vhost_port *port;

    if (netdev) {
        vhost_port_update_flags(netdev, off, on, &old);
        return;
    }
    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        vhost_port_update_flags(&port->up, off, on, &old);
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
}

static void
apply_socket_access(struct vhost_port *port)
{
    char *message;

    if (vhost_socket_set_access(vhost_session_path(port->session),
                                &vhost_config()->socket_access, &message)) {
        VLOG_ERR("%s: %s", netdev_get_name(&port->up), message);
        free(message);
    }
}

/* Applies "vhost-sock-owner" and "vhost-sock-mode" to the sockets that are
 * there. */
void
vhost_ports_update_socket_access(void)
{
    struct vhost_port *port;

    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        if (port->session && !vhost_session_is_client(port->session)) {
            apply_socket_access(port);
        }
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
}

static bool
is_server(const struct vhost_port *port)
{
    return !strcmp(netdev_get_type(&port->up), "dpdkvhostuser");
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
    ovs_mutex_unlock(&port->mutex);

    port->up.n_rxq = 0;
    port->up.n_txq = 0;
    port->up.ol_flags = vhost_tx_offloads(0, userspace_tso_enabled());

    ovs_mutex_lock(&vhost_ports_mutex);
    ovs_list_push_back(&vhost_ports, &port->list_node);
    ovs_mutex_unlock(&vhost_ports_mutex);

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
        apply_socket_access(port);
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
    free(port->config_error);
    port->config_error = NULL;
    netdev_request_reconfigure(&port->up);
}

static void
set_tx_retries(struct vhost_port *port, const struct smap *options)
{
    int retries = vhost_config_parse_tx_retries(options);
    bool bad = smap_get_int(options, "tx-retries-max", retries) != retries;
    int old;

    if (bad && !port->bad_tx_retries) {
        VLOG_WARN("%s: tx-retries-max \"%s\" is out of range (expected 0 to "
                  "%d), using %d", netdev_get_name(&port->up),
                  smap_get(options, "tx-retries-max"), VHOST_TX_RETRIES_MAX,
                  retries);
    }
    port->bad_tx_retries = bad;

    atomic_read_relaxed(&port->tx_retries_max, &old);
    if (retries != old) {
        atomic_store_relaxed(&port->tx_retries_max, retries);
        VLOG_INFO("Max Tx retries for vhost device '%s' set to %d",
                  netdev_get_name(&port->up), retries);
    }
}

/* Follows the options that override what is offered to all guests.  A change
 * disconnects the guest, which negotiates anew when it comes back. */
static void
set_features(struct vhost_port *port, const struct smap *options)
{
    bool iommu = smap_get_bool(options, "vhost-iommu-support",
                               vhost_config()->iommu);
    bool postcopy = smap_get_bool(options, "vhost-postcopy-support",
                                  vhost_config()->postcopy);
    bool zero_copy = smap_get_bool(options, "dq-zero-copy", false);

    if (postcopy && vhost_memory_is_locked()) {
        VLOG_WARN_RL(&rl, "%s: vhost-postcopy-support and mlockall are not "
                     "compatible.", netdev_get_name(&port->up));
        postcopy = false;
    }
    if (zero_copy && !port->requested_zero_copy
        && (postcopy || vhost_config()->library_data_path)) {
        VLOG_WARN("%s: dq-zero-copy has no effect with %s",
                  netdev_get_name(&port->up),
                  postcopy ? "vhost-postcopy-support"
                  : "vhost-data-path=librte_vhost");
    }
    if (iommu != port->requested_iommu
        || postcopy != port->requested_postcopy
        || zero_copy != port->requested_zero_copy) {
        port->requested_iommu = iommu;
        port->requested_postcopy = postcopy;
        port->requested_zero_copy = zero_copy;
        netdev_request_reconfigure(&port->up);
    }
}

/* Has client port 'port' a session with 'requested_path' as its socket? */
static bool
has_requested_path(const struct vhost_port *port)
{
    return nullable_string_is_equal(
        port->session ? vhost_session_path(port->session) : NULL,
        port->requested_path);
}

/* Is the session of client port 'port' the one that was asked for? */
static bool
is_settled(const struct vhost_port *port)
{
    return has_requested_path(port)
           && (!port->session
               || vhost_session_offers(port->session, port->requested_iommu,
                                       port->requested_postcopy,
                                       port->requested_zero_copy));
}

/* Closes 'session' of 'port', but goes on with what it counted. */
static void
close_session(struct vhost_port *port, struct vhost_session *session)
{
    struct vhost_vring_stats rx = { 0 }, tx = { 0 };

    vhost_tally_add_sums(vhost_session_tally(session), &rx, &tx);
    vhost_session_close(session);

    ovs_mutex_lock(&port->mutex);
    vhost_vring_stats_add(&port->past_rx, &rx);
    vhost_vring_stats_add(&port->past_tx, &tx);
    ovs_mutex_unlock(&port->mutex);
}

/* Makes the session of a client port the one that was asked for.  If that
 * fails, the port stays on the socket that it has, unless that is the one that
 * was asked for: then it has none until its options are set again. */
static void
move_session(struct vhost_port *port)
{
    struct vhost_session *old = port->session;
    struct vhost_session_config config = {
        .path = port->requested_path,   /* Written by this thread alone. */
        .client = true,
        .iommu = port->requested_iommu,
        .postcopy = port->requested_postcopy,
        .zero_copy = port->requested_zero_copy,
        .tso = userspace_tso_enabled(),
        .library_data_path = vhost_config()->library_data_path,
        .counters = &port->counters,
    };
    struct vhost_session *new = NULL;
    bool path_busy = false;
    char *message = NULL;

    if ((old && !vhost_session_is_client(old)) || is_settled(port)) {
        return;
    }
    if (old && has_requested_path(port)) {
        VLOG_INFO("%s: the guest is disconnected, to change what is offered "
                  "to it", netdev_get_name(&port->up));
        ovs_mutex_lock(&port->mutex);
        port->session = NULL;
        ovs_mutex_unlock(&port->mutex);
        close_session(port, old);
        old = NULL;
    }

    if (config.path) {
        path_busy = vhost_session_path_user(config.path) != NULL;
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

/* Sees to it that 'port' has a mempool that suits it, or none if it has no
 * guest. */
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

/* Has 'port' reconfigured if something that it could not have before can be
 * had now, or if something is left over.  A reconfiguration stops the datapath
 * for a moment, so there must be a point in it.  Looks for memory if
 * 'retry_pool'. */
static void
look_after(struct vhost_port *port, bool retry_pool)
{
    bool reconfigure = false;

    if (port->session
        && vhost_supply_is_due(vhost_session_supply(port->session))) {
        reconfigure = true;
    }
    if (port->path_busy && port->requested_path
        && !vhost_session_path_user(port->requested_path)) {
        reconfigure = true;
    }
    if (retry_pool && port->pool_missing) {
        struct vhost_mempool_request request = pool_request(port);
        struct vhost_mempool *pool = vhost_mempool_get(&request);

        vhost_mempool_put(pool, request.n_queues);
        reconfigure |= pool != NULL;
    }
    if (retry_pool && port->pool && vhost_mempool_is_outgrown(port->pool)) {
        reconfigure = true;
    }
    if (reconfigure) {
        netdev_request_reconfigure(&port->up);
    }

    note_trouble(port);
}

/* Looks for trouble with the guest and has the switch read the port's status
 * when there is news. */
static void
note_trouble(struct vhost_port *port)
{
    struct vhost_device *device = vhost_session_device(port->session);
    bool small_buffers = lacks_jumbo_buffers(port, device);
    char *faults = ring_faults(device);
    const char *obstacle = (port->requested_zero_copy
                            ? vhost_session_zero_copy_obstacle(port->session)
                            : NULL);

    if (small_buffers != port->small_buffers
        || !nullable_string_is_equal(faults, port->ring_faults)
        || obstacle != port->zero_copy_obstacle) {
        netdev_change_seq_changed(&port->up);
    }
    if (small_buffers && !port->small_buffers) {
        VLOG_WARN_RL(&rl, "%s: the MTU is %d, but the guest has no mergeable "
                     "receive buffers: larger frames than its buffers are "
                     "dropped", netdev_get_name(&port->up), port->mtu);
    }
    port->small_buffers = small_buffers;
    port->zero_copy_obstacle = obstacle;
    free(port->ring_faults);
    port->ring_faults = faults;
}

/* Does 'port' let frames through for which 'device', which may be NULL, need
 * not have room?  A driver that takes TSO has buffers of 64 KiB. */
static bool
lacks_jumbo_buffers(const struct vhost_port *port,
                    const struct vhost_device *device)
{
    const uint64_t roomy = (1ULL << VIRTIO_NET_F_MRG_RXBUF
                            | 1ULL << VIRTIO_NET_F_GUEST_TSO4
                            | 1ULL << VIRTIO_NET_F_GUEST_TSO6
                            | 1ULL << VIRTIO_NET_F_GUEST_UFO);

    return (device && port->mtu > RTE_ETHER_MTU
            && !(device->features & roomy));
}

/* Returns what is wrong with the rings of 'device', which the caller must
 * free, or NULL. */
static char *
ring_faults(struct vhost_device *device)
{
    struct ds s = DS_EMPTY_INITIALIZER;
    int n = 0;

    if (device) {
        atomic_read_relaxed(&device->n_started, &n);
    }
    for (int i = 0; i < n; i++) {
        const char *fault;

        atomic_read_relaxed(&vhost_device_queue(device, i)->fault, &fault);
        if (fault) {
            ds_put_format(&s, "%svirtqueue %d: %s", s.length ? "; " : "", i,
                          fault);
        }
    }
    return s.length ? ds_steal_cstr(&s) : NULL;
}

/* Brings 'placement' up to date.  A change is logged and makes the switch read
 * the port's status again.  While a port follows its guest to another node,
 * some of it is remote for a moment: it takes two looks in a row to tell.
 *
 * This looks from time to time, because nobody tells when the kernel migrates
 * the guest's memory or the switch moves a receive queue to another thread. */
static void
update_placement(struct vhost_port *port)
{
    const char *name = netdev_get_name(&port->up);
    struct vhost_placement placement;
    bool is_local, is_new;
    char *verdict = NULL;

    if (vhost_placement_init(&placement, port)) {
        verdict = vhost_placement_verdict(&placement);
        vhost_placement_destroy(&placement);
    }
    is_local = !verdict || !strcmp(verdict, "local");
    is_new = !is_local && !port->was_remote;
    port->was_remote = !is_local;
    if (is_new || nullable_string_is_equal(verdict, port->placement)) {
        free(verdict);
        return;
    }
    if (verdict) {
        OVS_USDT_PROBE(netdev_vhost, placement, name, verdict);
        VLOG_RL(&rl, is_local ? VLL_INFO : VLL_WARN, "%s: placement: %s",
                name, verdict);
        netdev_change_seq_changed(&port->up);
    }
    free(port->placement);
    port->placement = verdict;
}

static void
add_device_status(struct vhost_device *device, struct smap *status)
{
    uint16_t n_vrings = rte_vhost_get_vring_num(device->vid);
    char *faults = ring_faults(device);
    uint16_t mtu;

    smap_add_format(status, "features", "0x%016"PRIx64, device->features);
    if (!rte_vhost_get_mtu(device->vid, &mtu)) {
        smap_add_format(status, "mtu", "%"PRIu16, mtu);
    }
    if (device->node != VHOST_NODE_UNKNOWN) {
        smap_add_format(status, "numa", "%d", device->node);
    }
    if (n_vrings) {
        smap_add_format(status, "num_of_vrings", "%"PRIu16, n_vrings);
    }
    for (unsigned int i = 0; i < MIN(n_vrings, VHOST_MAX_VRINGS); i++) {
        uint16_t size;

        atomic_read_relaxed(&vhost_device_queue(device, i)->ring_size, &size);
        smap_add_nocopy(status, xasprintf("vring_%u_size", i),
                        xasprintf("%"PRIu16, size));
    }
    if (faults) {
        smap_add_format(status, "ring_fault",
                        "%s; reset the guest's device", faults);
        free(faults);
    }
}
