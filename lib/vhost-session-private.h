/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SESSION_PRIVATE_H
#define VHOST_SESSION_PRIVATE_H 1

/* What the parts of a session share: vhost-session.c, which has the socket and
 * answers the port, and those that follow what librte_vhost says of the
 * connections on the socket (see vhost-conn.h).
 *
 * Threads and locks: see vhost-session.h. */

#include <stdbool.h>

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "vhost-patience.h"
#include "vhost-session.h"
#include "vhost-socket.h"
#include "vhost-supply.h"
#include "vhost-tally.h"

struct vhost_session {
    struct hmap_node hmap_node; /* In 'sessions', by 'path'. */
    char *path;
    struct vhost_socket_identity identity;      /* In vhost-session.c. */
    bool client;
    bool is_vduse;              /* Is it a device instead of a socket? */
    unsigned int n_queue_pairs; /* If so. */
    bool iommu, postcopy;       /* Offered to guests. */
    bool zero_copy;             /* Receive without a copy if possible? */
    bool library_only;          /* Use librte_vhost's data path? */
    bool large_packets;
    uint64_t features;          /* That are offered to guests. */

    /* VIRTIO_NET_F_GUEST_* on which the switch does not rely. */
    uint64_t tx_excluded OVS_GUARDED;

    struct vhost_counters *counters;        /* May be null. */
    struct netdev *netdev;

    /* Is its socket that of another port, by another name? */
    atomic_bool is_duplicate;

    /* The running device, or NULL.  Written with 'mutex' held. */
    OVSRCU_TYPE(struct vhost_device *) device;

    struct ovs_mutex mutex;
    bool closing OVS_GUARDED;               /* No device may start. */
    struct ovs_list conns OVS_GUARDED;      /* Contains struct vhost_conn. */
    uint64_t guest_features OVS_GUARDED;    /* Of the last device. */

    struct vhost_patience patience;         /* The event thread's. */
    struct vhost_supply supply;             /* What the port has for it. */
    struct vhost_tally tally;               /* Of all connections. */
};

/* vhost-session.c, for the connections. */
struct vhost_session *vhost_session_find(const char *path);
bool vhost_session_claim_socket(struct vhost_session *);

#endif /* vhost-session-private.h */
