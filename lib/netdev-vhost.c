/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "netdev-vhost.h"

#include <errno.h>
#include <stdio.h>

#include "dp-packet.h"
#include "hash.h"
#include "netdev-provider.h"
#include "ovs-rcu.h"
#include "sset.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-port.h"
#include "vhost-ports.h"
#include "vhost-qos.h"
#include "vhost-rxtx.h"
#include "vhost-session.h"
#include "vhost-show.h"

/* The classes "dpdkvhostuser" and "dpdkvhostuserclient": thunks between the
 * netdev interface, whose contracts are in netdev-provider.h, and the modules
 * that do the work. */

static const struct netdev_class vhost_server_class, vhost_client_class;

const char *const netdev_vhost_types[] = {
    "dpdkvhostuser", "dpdkvhostuserclient", NULL
};

void
netdev_vhost_register(void)
{
    netdev_register_provider(&vhost_server_class);
    netdev_register_provider(&vhost_client_class);
    vhost_show_register();
}

/* Memory. */

static struct netdev *
netdev_vhost_alloc(void)
{
    struct vhost_port *port = xzalloc_cacheline(sizeof *port);

    return &port->up;
}

static void
netdev_vhost_dealloc(struct netdev *netdev)
{
    free_cacheline(vhost_port_cast(netdev));
}

static struct netdev_rxq *
netdev_vhost_rxq_alloc(void)
{
    return xzalloc(sizeof(struct netdev_rxq));
}

static int
netdev_vhost_rxq_construct(struct netdev_rxq *rxq OVS_UNUSED)
{
    return 0;
}

static void
netdev_vhost_rxq_destruct(struct netdev_rxq *rxq OVS_UNUSED)
{
}

static void
netdev_vhost_rxq_dealloc(struct netdev_rxq *rxq)
{
    free(rxq);
}

/* Data path. */

static bool
is_enabled(const struct vhost_port *port)
{
    bool enabled;

    atomic_read_relaxed(&CONST_CAST(struct vhost_port *, port)->enabled,
                        &enabled);
    return enabled;
}

static int
netdev_vhost_rxq_recv(struct netdev_rxq *rxq, struct dp_packet_batch *batch,
                      int *qfill)
{
    struct vhost_port *port = vhost_port_cast(rxq->netdev);
    struct vhost_device *device = vhost_session_device(port->session);

    if (OVS_UNLIKELY(!device || !port->mp || !is_enabled(port))) {
        return EAGAIN;
    }

    const struct vhost_rx_params params = {
        .mp = port->mp,
        .policer = ovsrcu_get(struct vhost_policer *, &port->policer),
        .counters = &port->counters,
        .port = port->up.name,
    };
    return vhost_rx_burst(device, &device->rxqs[rxq->queue_id], &params,
                          batch, qfill);
}

static bool
netdev_vhost_rxq_enabled(struct netdev_rxq *rxq)
{
    const struct vhost_port *port = vhost_port_cast(rxq->netdev);
    struct vhost_device *device = vhost_session_device(port->session);
    bool enabled = false;

    if (device) {
        atomic_read_relaxed(&device->rxqs[rxq->queue_id].enabled, &enabled);
    }
    return enabled;
}

static int
netdev_vhost_send(struct netdev *netdev, int qid,
                  struct dp_packet_batch *batch,
                  bool concurrent_txq OVS_UNUSED)
{
    struct vhost_port *port = vhost_port_cast(netdev);
    struct vhost_device *device = vhost_session_device(port->session);
    int target = -1;

    if (device) {
        atomic_read_relaxed(&device->txq_map[qid % VHOST_MAX_QUEUE_PAIRS],
                            &target);
    }
    if (OVS_UNLIKELY(target < 0 || !is_enabled(port))) {
        vhost_tx_discard(&port->counters, batch);
        return 0;
    }

    struct vhost_tx_params params = {
        .mp = port->mp,
        .qos = ovsrcu_get(struct vhost_qos *, &port->qos),
        .counters = &port->counters,
        .port = port->up.name,
        .mtu = port->mtu,
    };
    atomic_read_relaxed(&port->tx_retries_max, &params.max_retries);
    vhost_tx_burst(device, &device->txqs[target], &params, batch);
    return 0;
}

/* Life and configuration. */

static int
netdev_vhost_construct_server(struct netdev *netdev)
{
    return vhost_port_construct_server(vhost_port_cast(netdev));
}

static int
netdev_vhost_construct_client(struct netdev *netdev)
{
    return vhost_port_construct_client(vhost_port_cast(netdev));
}

static void
netdev_vhost_destruct(struct netdev *netdev)
{
    vhost_port_destruct(vhost_port_cast(netdev));
}

static int
netdev_vhost_set_server_config(struct netdev *netdev,
                               const struct smap *options,
                               char **errp OVS_UNUSED)
{
    return vhost_port_set_server_config(vhost_port_cast(netdev), options);
}

static int
netdev_vhost_set_client_config(struct netdev *netdev,
                               const struct smap *options, char **errp)
{
    return vhost_port_set_client_config(vhost_port_cast(netdev), options,
                                        errp);
}

static int
netdev_vhost_get_config(const struct netdev *netdev, struct smap *config)
{
    return vhost_port_get_config(vhost_port_cast(netdev), config);
}

static int
netdev_vhost_update_flags(struct netdev *netdev, enum netdev_flags off,
                          enum netdev_flags on, enum netdev_flags *old_flagsp)
{
    return vhost_port_update_flags(vhost_port_cast(netdev), off, on,
                                   old_flagsp);
}

static int
netdev_vhost_reconfigure(struct netdev *netdev)
{
    return vhost_port_reconfigure(vhost_port_cast(netdev));
}

/* Properties. */

static int
netdev_vhost_get_numa_id(const struct netdev *netdev)
{
    return vhost_port_get_node(vhost_port_cast(netdev));
}

static int
netdev_vhost_set_etheraddr(struct netdev *netdev, const struct eth_addr mac)
{
    vhost_port_set_etheraddr(vhost_port_cast(netdev), mac);
    return 0;
}

static int
netdev_vhost_get_etheraddr(const struct netdev *netdev, struct eth_addr *mac)
{
    *mac = vhost_port_get_etheraddr(vhost_port_cast(netdev));
    return 0;
}

static int
netdev_vhost_get_mtu(const struct netdev *netdev, int *mtup)
{
    *mtup = vhost_port_get_mtu(vhost_port_cast(netdev));
    return 0;
}

static int
netdev_vhost_set_mtu(struct netdev *netdev, int mtu)
{
    return vhost_port_set_mtu(vhost_port_cast(netdev), mtu);
}

static int
netdev_vhost_get_ifindex(const struct netdev *netdev)
{
    /* Stable over restarts, and a positive number of 24 bits, as sFlow and
     * RFC 2863 want it. */
    return hash_string(netdev->name, 0) % 0xfffffe + 1;
}

static int
netdev_vhost_get_carrier(const struct netdev *netdev, bool *carrier)
{
    *carrier = vhost_port_is_running(vhost_port_cast(netdev));
    return 0;
}

static int
netdev_vhost_get_status(const struct netdev *netdev, struct smap *status)
{
    return vhost_port_get_status(vhost_port_cast(netdev), status);
}

static int
netdev_vhost_get_stats(const struct netdev *netdev,
                       struct netdev_stats *stats)
{
    vhost_port_get_stats(vhost_port_cast(netdev), stats);
    return 0;
}

static int
netdev_vhost_get_custom_stats(const struct netdev *netdev,
                              struct netdev_custom_stats *custom)
{
    vhost_port_get_custom_stats(vhost_port_cast(netdev), custom);
    return 0;
}

/* Policing and QoS. */

static int
netdev_vhost_set_policing(struct netdev *netdev, uint32_t rate,
                          uint32_t burst, uint32_t kpkts_rate,
                          uint32_t kpkts_burst)
{
    vhost_port_set_policing(vhost_port_cast(netdev), rate, burst, kpkts_rate,
                            kpkts_burst);
    return 0;
}

static int
netdev_vhost_get_qos_types(const struct netdev *netdev OVS_UNUSED,
                           struct sset *types)
{
    vhost_qos_get_types(types);
    return 0;
}

static int
netdev_vhost_get_qos(const struct netdev *netdev, const char **typep,
                     struct smap *details)
{
    *typep = vhost_port_get_qos(vhost_port_cast(netdev), details);
    return 0;
}

static int
netdev_vhost_set_qos(struct netdev *netdev, const char *type,
                     const struct smap *details)
{
    return vhost_port_set_qos(vhost_port_cast(netdev), type, details);
}

static int
netdev_vhost_get_queue(const struct netdev *netdev, uint32_t queue_id,
                       struct smap *details)
{
    return vhost_port_get_queue(vhost_port_cast(netdev), queue_id, details);
}

static int
netdev_vhost_set_queue(struct netdev *netdev, uint32_t queue_id,
                       const struct smap *details)
{
    return vhost_port_set_queue(vhost_port_cast(netdev), queue_id, details);
}

static int
netdev_vhost_delete_queue(struct netdev *netdev, uint32_t queue_id)
{
    return vhost_port_delete_queue(vhost_port_cast(netdev), queue_id);
}

static int
netdev_vhost_get_queue_stats(const struct netdev *netdev, uint32_t queue_id,
                             struct netdev_queue_stats *stats)
{
    return vhost_port_get_queue_stats(vhost_port_cast(netdev), queue_id,
                                      stats);
}

/* A walk over the QoS queues, by the numbers that there are at its start. */
struct queue_dump {
    uint32_t *ids;
    size_t n, i;
};

static int
netdev_vhost_queue_dump_start(const struct netdev *netdev, void **statep)
{
    struct queue_dump *dump = xzalloc(sizeof *dump);
    int error;

    error = vhost_port_get_queues(vhost_port_cast(netdev), &dump->ids,
                                  &dump->n);
    if (error) {
        free(dump);
    } else {
        *statep = dump;
    }
    return error;
}

static int
netdev_vhost_queue_dump_next(const struct netdev *netdev, void *dump_,
                             uint32_t *queue_idp, struct smap *details)
{
    struct queue_dump *dump = dump_;

    while (dump->i < dump->n) {
        *queue_idp = dump->ids[dump->i++];
        if (!netdev_vhost_get_queue(netdev, *queue_idp, details)) {
            return 0;
        }
    }
    return EOF;
}

static int
netdev_vhost_queue_dump_done(const struct netdev *netdev OVS_UNUSED,
                             void *dump_)
{
    struct queue_dump *dump = dump_;

    free(dump->ids);
    free(dump);
    return 0;
}

/* All ports. */

static void
netdev_vhost_run(const struct netdev_class *class)
{
    if (class == &vhost_server_class) {
        vhost_ports_run();
    }
}

static void
netdev_vhost_wait(const struct netdev_class *class)
{
    if (class == &vhost_server_class) {
        vhost_ports_wait();
    }
}

#define NETDEV_VHOST_CLASS_COMMON                       \
    .is_pmd = true,                                     \
    .run = netdev_vhost_run,                            \
    .wait = netdev_vhost_wait,                          \
    .alloc = netdev_vhost_alloc,                        \
    .destruct = netdev_vhost_destruct,                  \
    .dealloc = netdev_vhost_dealloc,                    \
    .get_config = netdev_vhost_get_config,              \
    .get_numa_id = netdev_vhost_get_numa_id,            \
    .send = netdev_vhost_send,                          \
    .set_etheraddr = netdev_vhost_set_etheraddr,        \
    .get_etheraddr = netdev_vhost_get_etheraddr,        \
    .get_mtu = netdev_vhost_get_mtu,                    \
    .set_mtu = netdev_vhost_set_mtu,                    \
    .get_ifindex = netdev_vhost_get_ifindex,            \
    .get_carrier = netdev_vhost_get_carrier,            \
    .get_stats = netdev_vhost_get_stats,                \
    .get_custom_stats = netdev_vhost_get_custom_stats,  \
    .set_policing = netdev_vhost_set_policing,          \
    .get_qos_types = netdev_vhost_get_qos_types,        \
    .get_qos = netdev_vhost_get_qos,                    \
    .set_qos = netdev_vhost_set_qos,                    \
    .get_queue = netdev_vhost_get_queue,                \
    .set_queue = netdev_vhost_set_queue,                \
    .delete_queue = netdev_vhost_delete_queue,          \
    .get_queue_stats = netdev_vhost_get_queue_stats,    \
    .queue_dump_start = netdev_vhost_queue_dump_start,  \
    .queue_dump_next = netdev_vhost_queue_dump_next,    \
    .queue_dump_done = netdev_vhost_queue_dump_done,    \
    .get_status = netdev_vhost_get_status,              \
    .update_flags = netdev_vhost_update_flags,          \
    .reconfigure = netdev_vhost_reconfigure,            \
    .rxq_alloc = netdev_vhost_rxq_alloc,                \
    .rxq_construct = netdev_vhost_rxq_construct,        \
    .rxq_destruct = netdev_vhost_rxq_destruct,          \
    .rxq_dealloc = netdev_vhost_rxq_dealloc,            \
    .rxq_recv = netdev_vhost_rxq_recv,                  \
    .rxq_enabled = netdev_vhost_rxq_enabled

static const struct netdev_class vhost_server_class = {
    .type = "dpdkvhostuser",
    NETDEV_VHOST_CLASS_COMMON,
    .construct = netdev_vhost_construct_server,
    .set_config = netdev_vhost_set_server_config,
};

static const struct netdev_class vhost_client_class = {
    .type = "dpdkvhostuserclient",
    NETDEV_VHOST_CLASS_COMMON,
    .construct = netdev_vhost_construct_client,
    .set_config = netdev_vhost_set_client_config,
};
