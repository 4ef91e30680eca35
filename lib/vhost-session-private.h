/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SESSION_PRIVATE_H
#define VHOST_SESSION_PRIVATE_H 1

/* What the two halves of a session share: vhost-session.c, which has the socket
 * and answers the port, and vhost-conn.c, which follows what librte_vhost says
 * of the connections on the socket. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_vhost.h>

#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "vhost-session.h"
#include "vhost-tally.h"

struct vhost_session {
    struct hmap_node hmap_node; /* In 'sessions', by 'path'. */
    char *path;
    bool client;
    bool iommu, postcopy;       /* Offered to guests. */
    bool zero_copy;             /* Receive without a copy if possible? */
    bool library_only;          /* Use librte_vhost's data path? */
    bool large_packets;
    struct vhost_counters *counters;        /* May be null. */
    struct netdev *netdev;

    /* The running device, or NULL.  Written with 'mutex' held. */
    OVSRCU_TYPE(struct vhost_device *) device;

    struct ovs_mutex mutex;
    bool closing OVS_GUARDED;               /* No device may run any more. */
    struct ovs_list conns OVS_GUARDED;      /* Contains struct vhost_conn. */
    struct vhost_supply supply OVS_GUARDED; /* What the port has for it. */

    struct vhost_tally tally;               /* Of all connections. */
};

/* vhost-session.c */
struct vhost_session *vhost_session_find(const char *path);

/* vhost-conn.c */
extern const struct rte_vhost_device_ops vhost_conn_device_ops;
struct vhost_device *vhost_session_cut_conns(struct vhost_session *);
void vhost_session_free_conns(struct vhost_session *, struct vhost_device *);

#endif /* vhost-session-private.h */
