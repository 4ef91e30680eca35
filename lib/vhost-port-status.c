/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-port.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <rte_mempool.h>

#include "openvswitch/usdt-probes.h"
#include "openvswitch/vlog.h"
#include "smap.h"
#include "util.h"
#include "vhost-advice.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-features.h"
#include "vhost-mempool.h"
#include "vhost-numa.h"
#include "vhost-placement.h"
#include "vhost-session.h"
#include "vhost-stats.h"
#include "vhost-tally.h"
#include "vhost-zerocopy.h"

VLOG_DEFINE_THIS_MODULE(vhost_port_status);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* What users are told of a port: its status and statistics, and warnings when
 * something is wrong with the guest or with where it is. */

static void add_device_status(const struct vhost_port *port,
                              struct vhost_device *, struct smap *status)
    OVS_REQUIRES(port->mutex);
static void add_pool_status(const struct vhost_port *port,
                            struct smap *status)
    OVS_REQUIRES(port->mutex);

/* Any thread: IPFIX asks from PMD threads. */
int
vhost_port_get_status(struct vhost_port *port, struct smap *status)
{
    struct netdev *netdev = &port->up;
    struct vhost_device *device;
    char *withdrawal;

    ovs_mutex_lock(&port->mutex);
    device = vhost_session_device(port->session);
    withdrawal = vhost_features_withdrawal(
        vhost_session_withdrawn_features(port->session));
    smap_add(status, "mode", vhost_port_is_server(port) ? "server" : "client");
    smap_add(status, "status", device ? "connected" : "disconnected");
    if (port->session) {
        smap_add(status, "socket", vhost_session_path(port->session));
    }
    if (device) {
        add_device_status(port, device, status);
        smap_add_format(status, "n_rxq", "%d", netdev->n_rxq);
        smap_add_format(status, "n_txq", "%d", netdev->n_txq);
    }
    add_pool_status(port, status);
    if (port->config_error) {
        smap_add(status, "config_error", port->config_error);
    }
    if (withdrawal) {
        smap_add_nocopy(status, xstrdup("withdrawn_features"), withdrawal);
    }
    if (port->access_error) {
        smap_add(status, "socket_access", port->access_error);
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

/* Stores what all sessions of 'port' counted, and what the port did. */
void
vhost_port_get_stats(struct vhost_port *port, struct netdev_stats *stats)
{
    struct vhost_vring_stats rx, tx;

    ovs_mutex_lock(&port->mutex);
    rx = port->past_rx;
    tx = port->past_tx;
    if (port->session) {
        vhost_tally_add_sums(vhost_session_tally(port->session), &rx, &tx);
    }
    ovs_mutex_unlock(&port->mutex);
    vhost_stats_to_netdev(&rx, &tx, &port->counters, stats);
}

/* Stores the counters of 'port' and of its virtqueues in 'custom', whose
 * 'counters' the caller must free. */
void
vhost_port_get_custom_stats(struct vhost_port *port,
                            struct netdev_custom_stats *custom)
{
    custom->size = 0;
    custom->counters = NULL;
    vhost_stats_add_counters(&port->counters, custom);
    ovs_mutex_lock(&port->mutex);
    if (port->session) {
        vhost_tally_add_vrings(vhost_session_tally(port->session), custom);
    }
    ovs_mutex_unlock(&port->mutex);
}

/* Writes the state of the mempool of 'port' to 'stream'.  Returns 0, or
 * ENODATA if there is none and Open vSwitch takes that for an error. */
int
vhost_port_dump_mempool(struct vhost_port *port, FILE *stream)
{
    int error = 0;

    ovs_mutex_lock(&port->mutex);
    if (port->pool) {
        vhost_mempool_dump(port->pool, stream);
    } else if (VHOST_NO_MEMPOOL_IS_ERROR) {
        error = ENODATA;
    } else {
        fprintf(stream, "%s has no mempool: %s.\n",
                netdev_get_name(&port->up),
                port->pool_missing ? "there is no memory for one"
                                   : "no guest is connected");
    }
    ovs_mutex_unlock(&port->mutex);
    return error;
}

/* Stores the state of zero-copy on 'port'.  Returns false if it was not asked
 * for.  Main thread only. */
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

/* Checks for trouble with the guest.  When that has changed, the switch reads
 * the port's status again. */
void
vhost_port_update_warnings(struct vhost_port *port)
{
    struct vhost_device *device = vhost_session_device(port->session);
    const char *jumbo = vhost_device_jumbo_obstacle(device, port->mtu);
    char *faults = vhost_device_ring_faults(device);
    const char *obstacle = (port->requested_zero_copy
                            ? vhost_session_zero_copy_obstacle(port->session)
                            : NULL);
    uint64_t withdrawn = vhost_session_withdrawn_features(port->session);

    if (jumbo != port->jumbo_obstacle
        || withdrawn != port->withdrawn_features
        || !nullable_string_is_equal(faults, port->ring_faults)
        || obstacle != port->zero_copy_obstacle) {
        netdev_change_seq_changed(&port->up);
    }
    if (jumbo && !port->jumbo_obstacle) {
        VLOG_WARN_RL(&rl, "%s: the MTU is %d, but %s",
                     netdev_get_name(&port->up), port->mtu, jumbo);
    }
    port->jumbo_obstacle = jumbo;
    port->zero_copy_obstacle = obstacle;
    port->withdrawn_features = withdrawn;
    free(port->ring_faults);
    port->ring_faults = faults;
}

/* Makes '*placement' a snapshot of the placement of 'port', with advice, for
 * which the caller must call vhost_placement_destroy().  Returns false if no
 * guest is connected.  Main thread only. */
bool
vhost_port_init_placement(struct vhost_port *port,
                          struct vhost_placement *placement)
{
    const struct vhost_placement_input input = {
        .port = netdev_get_name(&port->up),
        .session = port->session,
        .node = port->node,
        .mtu = port->mtu,
        .pool = port->pool,
        .pool_missing = port->pool_missing,
    };

    if (!vhost_placement_init(placement, &input)) {
        return false;
    }
    vhost_advice_add(placement);
    return true;
}

/* Brings 'placement' up to date.  A change is logged and makes the switch read
 * the port's status again.  While a port follows its guest to another node,
 * some of it is remote for a moment: only what is remote twice in a row
 * counts.
 *
 * This polls, because there is no notification when the kernel migrates the
 * guest's memory or the switch moves a receive queue to another thread. */
void
vhost_port_update_placement(struct vhost_port *port)
{
    const char *name = netdev_get_name(&port->up);
    struct vhost_placement placement;
    bool is_local, is_new;
    char *verdict = NULL;

    if (vhost_port_init_placement(port, &placement)) {
        verdict = vhost_advice_verdict(&placement);
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
add_device_status(const struct vhost_port *port, struct vhost_device *device,
                  struct smap *status)
{
    unsigned int n_vrings = vhost_device_n_vrings(device);
    char *faults = vhost_device_ring_faults(device);
    const char *jumbo = vhost_device_jumbo_obstacle(device, port->mtu);
    uint16_t mtu;

    smap_add_format(status, "features", "0x%016"PRIx64, device->features);
    smap_add(status, "data_path", device->datapath->name);
    atomic_read_relaxed(&device->mtu, &mtu);
    if (mtu) {
        smap_add_format(status, "mtu", "%"PRIu16, mtu);
    }
    if (device->node != VHOST_NODE_UNKNOWN) {
        smap_add_format(status, "numa", "%d", device->node);
    }
    if (n_vrings) {
        smap_add_format(status, "num_of_vrings", "%u", n_vrings);
    }
    for (unsigned int i = 0; i < n_vrings; i++) {
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
    if (jumbo) {
        smap_add(status, "jumbo_frames", jumbo);
    }
}

static void
add_pool_status(const struct vhost_port *port, struct smap *status)
{
    if (port->pool) {
        char *memory = vhost_mempool_degradation(port->pool, port->node);

        smap_add(status, "mempool", port->mp->name);
        smap_add_format(status, "mempool_numa", "%d", port->pool->node);
        smap_add_format(status, "mempool_mbufs", "%u", port->pool->n_mbufs);
        if (memory) {
            smap_add_nocopy(status, xstrdup("memory"), memory);
        }
    } else if (port->pool_missing) {
        smap_add(status, "memory", vhost_mempool_shortage());
    }
}
