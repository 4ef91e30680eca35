/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-port.h"

#include <linux/virtio_net.h>

#include "openvswitch/vlog.h"
#include "smap.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-config.h"
#include "vhost-session.h"

VLOG_DEFINE_THIS_MODULE(vhost_port_options);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* The options of a port, except for its path. */

/* Adds those of the options of 'port' to 'config' that are not defaults. */
void
vhost_port_add_options(const struct vhost_port *port, struct smap *config)
{
    int retries;

    if (port->tx_excluded & UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM) {
        smap_add(config, "tx-csum-offload", "false");
    } else if (port->tx_excluded) {
        smap_add(config, "tx-seg-offload", "false");
    }
    if (vhost_port_is_server(port)) {
        return;
    }
    if (port->requested_path) {
        smap_add(config, "vhost-server-path", port->requested_path);
    }
    if (port->requested_queue_pairs != VHOST_QUEUE_PAIRS_DEFAULT) {
        smap_add_format(config, "vhost-max-queue-pairs", "%u",
                        port->requested_queue_pairs);
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

static void
set_tx_retries(struct vhost_port *port, const struct smap *options)
    OVS_REQUIRES(port->mutex)
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

/* Applies the options that say what the switch does itself although the guest
 * would.  The guest stays connected. */
void
vhost_port_set_tx_offloads(struct vhost_port *port, const struct smap *options)
{
    bool checksums = smap_get_bool(options, "tx-csum-offload", true);
    bool segments = (checksums
                     && smap_get_bool(options, "tx-seg-offload", true));
    uint64_t excluded = 0;

    if (!checksums) {
        excluded |= UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM;
    }
    if (!segments) {
        excluded |= (UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4
                     | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6);
    }
    if (excluded != port->tx_excluded) {
        port->tx_excluded = excluded;
        vhost_session_exclude_tx(port->session, excluded);
        VLOG_INFO("%s: packets to the guest %s", netdev_get_name(&port->up),
                  !checksums ? "are complete, whatever it offers to complete"
                  : !segments ? "are not larger than the MTU"
                  : "leave to it what it offers to complete");
    }
}

/* Applies the options that override what is offered to all guests.  A change
 * disconnects the guest.  See vhost_session_withdrawn_features(). */
static void
set_features(struct vhost_port *port, const struct smap *options)
    OVS_REQUIRES(port->mutex)
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

/* Applies the number of queues of a VDUSE device. */
static void
set_queue_pairs(struct vhost_port *port, const struct smap *options)
    OVS_REQUIRES(port->mutex)
{
    int pairs = vhost_config_parse_queue_pairs(options);
    bool bad = smap_get_int(options, "vhost-max-queue-pairs", pairs) != pairs;

    if (bad && !port->bad_queue_pairs) {
        VLOG_WARN("%s: vhost-max-queue-pairs \"%s\" is out of range (expected "
                  "1 to %d), using %d", netdev_get_name(&port->up),
                  smap_get(options, "vhost-max-queue-pairs"),
                  VHOST_QUEUE_PAIRS_MAX, pairs);
    }
    port->bad_queue_pairs = bad;

    if (pairs != port->requested_queue_pairs) {
        port->requested_queue_pairs = pairs;
        netdev_request_reconfigure(&port->up);
    }
}

/* Applies the options that only a client port has. */
void
vhost_port_set_client_options(struct vhost_port *port,
                              const struct smap *options)
{
    set_tx_retries(port, options);
    set_features(port, options);
    set_queue_pairs(port, options);
}
