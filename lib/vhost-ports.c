/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-ports.h"

#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "timeval.h"
#include "vhost-dma.h"
#include "vhost-mempool.h"
#include "vhost-port.h"
#include "vhost-session.h"
#include "vhost-supply.h"
#include "vhost-tally.h"
#include "vhost-zerocopy.h"

/* How often vhost_ports_run() checks the ports, in ms. */
#define TICK_INTERVAL 1000

/* Checks that take longer are made at every so many ticks only: for memory
 * that was not there before, for where a guest's memory is, and for how much
 * passes through the virtqueues. */
#define TICKS_PER_POOL_RETRY 5
#define TICKS_PER_PLACEMENT 2
#define TICKS_PER_SAMPLE 5

/* The placement of this many ports at most is looked up at one tick. */
#define MAX_PLACEMENTS 8

/* All ports. */
struct ovs_mutex vhost_ports_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list vhost_ports OVS_GUARDED_BY(vhost_ports_mutex)
    = OVS_LIST_INITIALIZER(&vhost_ports);

/* When to check the ports again.  Main thread only. */
static long long int tick_time;

static void check_port(struct vhost_port *port, bool retry_pool)
    OVS_REQUIRES(port->mutex);

void
vhost_ports_add(struct vhost_port *port)
{
    ovs_mutex_lock(&vhost_ports_mutex);
    ovs_list_push_back(&vhost_ports, &port->list_node);
    ovs_mutex_unlock(&vhost_ports_mutex);
}

void
vhost_ports_remove(struct vhost_port *port)
{
    ovs_mutex_lock(&vhost_ports_mutex);
    ovs_list_remove(&port->list_node);
    ovs_mutex_unlock(&vhost_ports_mutex);
}

/* Calls 'cb' for each port in the order of their names, or only for the one
 * named 'name' unless that is null, with the port's mutex held. */
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
        check_port(port, !(tick % TICKS_PER_POOL_RETRY));
        if (!(tick % TICKS_PER_SAMPLE) && port->session) {
            vhost_tally_sample(vhost_session_tally(port->session));
        }
        if (!(tick % TICKS_PER_PLACEMENT) && n_placed < MAX_PLACEMENTS) {
            vhost_port_update_placement(port);
            n_placed++;
        }
        ovs_mutex_unlock(&port->mutex);
    }
    vhost_zerocopy_sweep();
    while (n_placed--) {        /* The others' turn next time. */
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
        vhost_port_update_flags(vhost_port_cast(netdev), off, on, &old);
        return;
    }
    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        vhost_port_update_flags(port, off, on, &old);
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
}

/* Applies "vhost-sock-owner" and "vhost-sock-mode" to the existing sockets. */
void
vhost_ports_update_socket_access(void)
{
    struct vhost_port *port;

    ovs_mutex_lock(&vhost_ports_mutex);
    LIST_FOR_EACH (port, list_node, &vhost_ports) {
        if (port->session && !vhost_session_is_client(port->session)) {
            vhost_port_apply_socket_access(port);
        }
    }
    ovs_mutex_unlock(&vhost_ports_mutex);
}

/* Keeps 'port' up to date with its guest and with what the system has.  Looks
 * for memory if 'retry_pool'. */
static void
check_port(struct vhost_port *port, bool retry_pool)
{
    if (vhost_port_is_due(port, retry_pool)) {
        netdev_request_reconfigure(&port->up);
    }
    vhost_port_update_warnings(port);
}
