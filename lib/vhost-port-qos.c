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

/* In kbit and in thousands of packets, from ovs-vswitchd.conf.db(5). */
#define DEFAULT_POLICER_BURST 8000
#define DEFAULT_POLICER_KPKTS_BURST 16

#define BYTES_PER_KBIT UINT64_C(125)

/* Returns the limit of 'rate' and 'burst', both times 'unit', with a burst of
 * 'default_burst' if 'burst' is 0.  A 'rate' of 0 is no limit. */
static struct vhost_limit
make_limit(uint32_t rate, uint32_t burst, uint32_t default_burst,
           uint64_t unit)
{
    return (struct vhost_limit) {
        .rate = rate * unit,
        .burst = !rate ? 0 : (burst ? burst : default_burst) * unit,
    };
}

static bool
is_same_limit(const struct vhost_limit *a, const struct vhost_limit *b)
{
    return a->rate == b->rate && a->burst == b->burst;
}

/* Polices what is received to 'rate', in kbit/s, with bursts of 'burst', in
 * kbit, and to 'kpkts_rate', in thousands of packets a second, with bursts of
 * 'kpkts_burst', in thousands.  A burst of 0 is of the default size, a rate of
 * 0 is no limit. */
void
vhost_port_set_policing(struct vhost_port *port, uint32_t rate, uint32_t burst,
                        uint32_t kpkts_rate, uint32_t kpkts_burst)
{
    const struct vhost_limit bytes = make_limit(
        rate, burst, DEFAULT_POLICER_BURST, BYTES_PER_KBIT);
    const struct vhost_limit packets = make_limit(
        kpkts_rate, kpkts_burst, DEFAULT_POLICER_KPKTS_BURST, 1000);

    ovs_mutex_lock(&port->mutex);
    if (!is_same_limit(&bytes, &port->policed_bytes)
        || !is_same_limit(&packets, &port->policed_packets)) {
        struct vhost_policer *old = ovsrcu_get_protected(
            struct vhost_policer *, &port->policer);

        ovsrcu_set(&port->policer,
                   (!rate && !kpkts_rate ? NULL
                    : vhost_policer_create_for(
                        rate ? &bytes : NULL, kpkts_rate ? &packets : NULL)));
        vhost_policer_destroy_postponed(old);
        port->policed_bytes = bytes;
        port->policed_packets = packets;
    }
    ovs_mutex_unlock(&port->mutex);
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
