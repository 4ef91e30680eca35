/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-port.h"

#include <errno.h>

#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vhost-policer.h"
#include "vhost-qos.h"

VLOG_DEFINE_THIS_MODULE(vhost_port_qos);

/* Policing and QoS of a port.  PMD threads use the policer and the QoS
 * configuration without the port's mutex, so that both are replaced with RCU.
 *
 * Functions return 0 or a positive errno value. */

/* In kbit, from ovs-vswitchd.conf.db(5). */
#define DEFAULT_POLICER_BURST 8000

#define BYTES_PER_KBIT UINT64_C(125)

/* Polices what is received to 'rate', in kbit/s, with bursts of 'burst', in
 * kbit, or of the default size if that is 0.  A 'rate' of 0 is no limit. */
int
vhost_port_set_policing(struct vhost_port *port, uint32_t rate, uint32_t burst)
{
    struct vhost_policer *old, *new = NULL;
    int error = 0;

    burst = !rate ? 0 : !burst ? DEFAULT_POLICER_BURST : burst;

    ovs_mutex_lock(&port->mutex);
    if (rate == port->policer_rate && burst == port->policer_burst) {
        ovs_mutex_unlock(&port->mutex);
        return 0;
    }
    if (rate) {
        new = vhost_policer_create(rate * BYTES_PER_KBIT,
                                   burst * BYTES_PER_KBIT, &error);
        if (!new) {
            VLOG_ERR("%s: Could not create rte meter for ingress policer: %s",
                     netdev_get_name(&port->up), ovs_strerror(error));
        }
    }
    old = ovsrcu_get_protected(struct vhost_policer *, &port->policer);
    ovsrcu_set(&port->policer, new);
    vhost_policer_destroy_postponed(old);
    port->policer_rate = rate;
    port->policer_burst = burst;
    ovs_mutex_unlock(&port->mutex);

    return error;
}

/* Returns the QoS configuration of 'port', or NULL. */
static struct vhost_qos *
get_qos(struct vhost_port *port)
    OVS_REQUIRES(port->mutex)
{
    return ovsrcu_get_protected(struct vhost_qos *, &port->qos);
}

/* Returns the type of the QoS of 'port', or "", and adds its parameters to
 * 'details'. */
const char *
vhost_port_get_qos(struct vhost_port *port, struct smap *details)
{
    const char *type = "";
    struct vhost_qos *qos;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    if (qos) {
        type = vhost_qos_type(qos);
        vhost_qos_get(qos, details);
    }
    ovs_mutex_unlock(&port->mutex);
    return type;
}

/* Replaces the QoS of 'port', unless it is of 'type' with 'details' already.
 * After an error, the port has none. */
int
vhost_port_set_qos(struct vhost_port *port, const char *type,
                   const struct smap *details)
{
    struct vhost_qos *old, *new;
    int error = 0;

    ovs_mutex_lock(&port->mutex);
    old = get_qos(port);
    if (!old || !vhost_qos_is_equal(old, type, details)) {
        error = vhost_qos_create(type, details, &new);
        if (error) {
            VLOG_ERR("Failed to set QoS type %s on port %s: %s",
                     type, netdev_get_name(&port->up), ovs_strerror(error));
        }
        ovsrcu_set(&port->qos, new);
        vhost_qos_destroy_postponed(old);
    }
    ovs_mutex_unlock(&port->mutex);
    return error;
}

/* Adds the parameters of queue 'queue_id' to 'details'. */
int
vhost_port_get_queue(struct vhost_port *port, uint32_t queue_id,
                     struct smap *details)
{
    struct vhost_qos *qos;
    int error;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    error = qos ? vhost_qos_get_queue(qos, queue_id, details) : EOPNOTSUPP;
    ovs_mutex_unlock(&port->mutex);
    return error;
}

int
vhost_port_set_queue(struct vhost_port *port, uint32_t queue_id,
                     const struct smap *details)
{
    struct vhost_qos *qos;
    int error;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    error = qos ? vhost_qos_set_queue(qos, queue_id, details) : EOPNOTSUPP;
    ovs_mutex_unlock(&port->mutex);

    if (error && error != EOPNOTSUPP) {
        VLOG_ERR("Failed to set QoS queue %"PRIu32" on port %s: %s",
                 queue_id, netdev_get_name(&port->up), ovs_strerror(error));
    }
    return error;
}

int
vhost_port_delete_queue(struct vhost_port *port, uint32_t queue_id)
{
    struct vhost_qos *qos;
    int error;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    error = qos ? vhost_qos_delete_queue(qos, queue_id) : EOPNOTSUPP;
    ovs_mutex_unlock(&port->mutex);
    return error;
}

int
vhost_port_get_queue_stats(struct vhost_port *port, uint32_t queue_id,
                           struct netdev_queue_stats *stats)
{
    struct vhost_qos *qos;
    int error;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    error = (qos ? vhost_qos_get_queue_stats(qos, queue_id, stats)
             : EOPNOTSUPP);
    ovs_mutex_unlock(&port->mutex);
    return error;
}

/* Stores the numbers of all QoS queues in a new array in '*queue_ids', which
 * the caller must free, and how many there are in '*n'. */
int
vhost_port_get_queues(struct vhost_port *port, uint32_t **queue_ids, size_t *n)
{
    struct vhost_qos *qos;
    int error;

    ovs_mutex_lock(&port->mutex);
    qos = get_qos(port);
    error = qos ? vhost_qos_get_queues(qos, queue_ids, n) : EOPNOTSUPP;
    ovs_mutex_unlock(&port->mutex);
    return error;
}
