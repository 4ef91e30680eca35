/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_PORT_H
#define VHOST_PORT_H 1

/* A port's life: from the Interface row to a configured netdev.
 *
 * A port combines a session (the socket and the guest), a mempool, and the
 * settings that a user made.  As usual for PMD netdevs, what concerns the data
 * path changes in vhost_port_reconfigure() only, while no thread receives from
 * or sends to the port.
 *
 * Configuration and reconfiguration happen in the main thread.  'mutex' guards
 * what other threads read; it is never held over a call that opens or closes a
 * session (see vhost-session.h for the lock order). */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "netdev-provider.h"
#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "vhost-policer.h"
#include "vhost-ports.h"
#include "vhost-session.h"
#include "vhost-stats.h"

struct rte_mempool;
struct smap;
struct vhost_mempool;
struct vhost_placement;
struct vhost_qos;

struct vhost_port {
    struct netdev up;

    /* For the data path. */
    struct vhost_session *session;      /* Null for no socket. */
    struct rte_mempool *mp;             /* That of 'pool', or null. */
    int mtu;
    atomic_bool enabled;                /* NETDEV_UP. */
    atomic_int tx_retries_max;
    OVSRCU_TYPE(struct vhost_policer *) policer;
    OVSRCU_TYPE(struct vhost_qos *) qos;
    struct vhost_counters counters;

    /* Statistics of the sessions that the port had before. */
    struct vhost_vring_stats past_rx OVS_GUARDED;
    struct vhost_vring_stats past_tx OVS_GUARDED;

    struct ovs_list list_node;          /* In the list of all ports. */

    struct ovs_mutex mutex OVS_ACQ_AFTER(vhost_ports_mutex);

    /* What the user asked for.  The unmarked ones are written by the main
     * thread, with 'mutex' held; that thread reads them without it. */
    char *requested_path;               /* Socket, checked; or null. */
    char *config_error OVS_GUARDED;     /* Why not what was asked, or null. */
    bool requested_iommu;
    bool requested_postcopy;
    bool requested_zero_copy;
    unsigned int requested_queue_pairs; /* Of a VDUSE device. */
    uint64_t tx_excluded;               /* VIRTIO_NET_F_GUEST_*, not used. */
    uint64_t past_guest_features;       /* Of the last guest on that path. */
    bool bad_tx_retries OVS_GUARDED;    /* "tx-retries-max" out of range? */
    bool bad_queue_pairs OVS_GUARDED;   /* "vhost-max-queue-pairs", too? */
    int requested_mtu OVS_GUARDED;
    enum netdev_flags flags OVS_GUARDED;
    struct eth_addr hwaddr OVS_GUARDED;
    struct vhost_limit policed_bytes OVS_GUARDED;       /* 0 for none. */
    struct vhost_limit policed_packets OVS_GUARDED;

    /* What is in force. */
    int node;                           /* NUMA node; as above. */
    struct vhost_mempool *pool OVS_GUARDED;
    unsigned int pool_queues OVS_GUARDED;       /* Promised to 'pool'. */
    bool pool_missing OVS_GUARDED;      /* Was there no memory for a pool? */
    bool path_busy OVS_GUARDED;         /* Does another port have the path? */
    char *access_error OVS_GUARDED;     /* Why the socket's owner or mode is
                                         * not what was asked for, or null. */

    /* What was wrong with the guest at the last check, or null. */
    char *ring_faults OVS_GUARDED;
    const char *zero_copy_obstacle OVS_GUARDED;
    const char *jumbo_obstacle OVS_GUARDED;
    uint64_t withdrawn_features OVS_GUARDED;

    char *placement OVS_GUARDED;        /* Last seen verdict, or null. */
    bool was_remote OVS_GUARDED;        /* Was anything, at last look? */
};

/* The state of a port with "dq-zero-copy". */
struct vhost_port_zero_copy {
    const char *obstacle;       /* Why packets are copied, or null. */
    unsigned int n_out;         /* Packets in the guest's memory. */

    /* Packets in the memory of guests that have gone, and how many bytes of it
     * are kept for them. */
    unsigned int n_pinned;
    uint64_t pinned_size;
};

struct vhost_port *vhost_port_cast(const struct netdev *);

int vhost_port_construct_server(struct vhost_port *);
int vhost_port_construct_client(struct vhost_port *);
void vhost_port_destruct(struct vhost_port *);

int vhost_port_set_server_config(struct vhost_port *,
                                 const struct smap *options);
int vhost_port_set_client_config(struct vhost_port *,
                                 const struct smap *options, char **errp);
int vhost_port_get_config(struct vhost_port *, struct smap *);
int vhost_port_get_node(struct vhost_port *);
int vhost_port_get_mtu(struct vhost_port *);
int vhost_port_set_mtu(struct vhost_port *, int mtu);
void vhost_port_set_etheraddr(struct vhost_port *, const struct eth_addr);
struct eth_addr vhost_port_get_etheraddr(struct vhost_port *);
int vhost_port_update_flags(struct vhost_port *, enum netdev_flags off,
                            enum netdev_flags on,
                            enum netdev_flags *old_flagsp);
int vhost_port_reconfigure(struct vhost_port *);
bool vhost_port_is_running(struct vhost_port *);
bool vhost_port_is_server(const struct vhost_port *);
bool vhost_port_is_due(struct vhost_port *port, bool retry_pool)
    OVS_REQUIRES(port->mutex);
void vhost_port_apply_socket_access(struct vhost_port *);

/* Options: vhost-port-options.c. */
void vhost_port_add_options(const struct vhost_port *port,
                            struct smap *config)
    OVS_REQUIRES(port->mutex);
void vhost_port_set_tx_offloads(struct vhost_port *port,
                                const struct smap *options)
    OVS_REQUIRES(port->mutex);
void vhost_port_set_client_options(struct vhost_port *port,
                                   const struct smap *options)
    OVS_REQUIRES(port->mutex);

/* Status and statistics: vhost-port-status.c. */
int vhost_port_get_status(struct vhost_port *, struct smap *);
void vhost_port_get_stats(struct vhost_port *, struct netdev_stats *);
void vhost_port_get_custom_stats(struct vhost_port *,
                                 struct netdev_custom_stats *);
bool vhost_port_get_zero_copy(const struct vhost_port *,
                              struct vhost_port_zero_copy *);
int vhost_port_dump_mempool(struct vhost_port *, FILE *);
void vhost_port_update_warnings(struct vhost_port *port)
    OVS_REQUIRES(port->mutex);
bool vhost_port_init_placement(struct vhost_port *port,
                               struct vhost_placement *)
    OVS_REQUIRES(port->mutex);
void vhost_port_update_placement(struct vhost_port *port)
    OVS_REQUIRES(port->mutex);

/* Policing and QoS: vhost-port-qos.c. */
void vhost_port_set_policing(struct vhost_port *, uint32_t rate,
                             uint32_t burst, uint32_t kpkts_rate,
                             uint32_t kpkts_burst);
const char *vhost_port_get_qos(struct vhost_port *, struct smap *details);
int vhost_port_set_qos(struct vhost_port *, const char *type,
                       const struct smap *details);
int vhost_port_get_queue(struct vhost_port *, uint32_t queue_id,
                         struct smap *details);
int vhost_port_set_queue(struct vhost_port *, uint32_t queue_id,
                         const struct smap *details);
int vhost_port_delete_queue(struct vhost_port *, uint32_t queue_id);
int vhost_port_get_queue_stats(struct vhost_port *, uint32_t queue_id,
                               struct netdev_queue_stats *);
int vhost_port_get_queues(struct vhost_port *, uint32_t **queue_ids,
                          size_t *n);

#endif /* vhost-port.h */
