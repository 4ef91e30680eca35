/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_CONN_H
#define VHOST_CONN_H 1

/* Connections on a session's socket.
 *
 *
 * Concept
 * =======
 *
 * librte_vhost calls back when a connection comes, when its device is ready,
 * when a virtqueue is enabled or disabled, when the device stops, and when the
 * connection ends (vhost-conn.c), and around each message
 * (vhost-conn-message.c).  A 'struct vhost_conn' holds what must be remembered
 * from one callback to the next.
 *
 * There may be more than one connection for a moment, when a guest comes back
 * before its end was noticed, but only one has a running device.
 *
 * A VDUSE device has no connections and no messages: librte_vhost tells only
 * when its driver is ready, which of its virtqueues that has enabled, and when
 * it stops.  It has a 'struct vhost_conn' from the first of these to the
 * last.
 *
 *
 * Thread-safety
 * =============
 *
 * The callbacks run in librte_vhost's event thread, those for VDUSE devices in
 * another thread of the library, their own.  Members that are marked
 * OVS_GUARDED are protected by the session's mutex; the others are that
 * thread's own, unless said otherwise.
 *
 * The thread that closes a session calls vhost_conn_cut_all(), then makes sure
 * that no callback runs, then calls vhost_conn_free_all(). */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <rte_vhost.h>

#include "guest-memory.h"
#include "openvswitch/list.h"
#include "vhost-message.h"
#include "vhost-session-private.h"

struct vhost_device;
struct vhost_iotlb;
struct vhost_mapping;

struct vhost_conn {
    struct ovs_list list_node;  /* In session's 'conns', under its mutex. */
    struct vhost_session *session;
    int vid;                    /* librte_vhost's identifier. */

    /* Negotiation: what the front end has said so far. */
    struct vhost_conversation conversation;
    bool enabled[VHOST_MAX_VRINGS];     /* Written with the mutex held. */
    struct vhost_iotlb *iotlb;  /* Of a guest with an IOMMU, or NULL. */
    uint64_t rarp_address;      /* See VHOST_USER_SEND_RARP, or 0. */

    /* The guest's memory. */
    struct vhost_memory_map memory OVS_GUARDED;       /* For questions. */
    struct guest_memory mapped_memory;  /* For access. */
    struct vhost_mapping *mapping;      /* For zero-copy, or NULL. */
    struct iovec watched[VHOST_MAX_REGIONS];    /* librte_vhost's mappings. */
    unsigned int n_watched;
    struct iovec watched_log;   /* librte_vhost's mapping of the log. */

    /* Did librte_vhost have more time to register memory for post-copy? */
    bool was_patient;

    /* The message under way, or the latest one. */
    uint32_t request;           /* enum vhost_request. */
    int call_vring;             /* Virtqueue of SET_VRING_CALL, or -1. */

    /* The device. */
    struct vhost_device *device OVS_GUARDED;    /* Published, or NULL. */
    bool waiting OVS_GUARDED;   /* Ready, but another one's runs? */
    bool is_guest OVS_GUARDED;  /* Did a device ever run? */
};

/* vhost-conn.c, for vhost-session.c. */
extern const struct rte_vhost_device_ops vhost_conn_device_ops;
struct vhost_device *vhost_conn_cut_all(struct vhost_session *session)
    OVS_EXCLUDED(session->mutex);
void vhost_conn_free_all(struct vhost_session *session,
                         struct vhost_device *)
    OVS_EXCLUDED(session->mutex);
void vhost_conn_set_tx_offloads(struct vhost_session *session,
                                struct vhost_device *)
    OVS_REQUIRES(session->mutex);

/* vhost-conn.c, for vhost-conn-message.c. */
struct vhost_conn *vhost_conn_lookup(int vid);
struct vhost_device *vhost_conn_device(const struct vhost_conn *conn)
    OVS_EXCLUDED(conn->session->mutex);
void vhost_conn_start_queues(const struct vhost_conn *,
                             struct vhost_device *, unsigned int first,
                             unsigned int n);
void vhost_conn_set_enabled(struct vhost_conn *conn, uint16_t vring,
                            bool enable)
    OVS_EXCLUDED(conn->session->mutex);
void vhost_conn_deliver_rarp(struct vhost_conn *, struct vhost_device *);

/* vhost-conn-message.c. */
extern const struct rte_vhost_user_extern_ops vhost_conn_message_ops;
void vhost_conn_release_memory(struct vhost_conn *);
void vhost_conn_close_lost_files(const struct vhost_message *);
void vhost_conn_end_patience(void);

#endif /* vhost-conn.h */
