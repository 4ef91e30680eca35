/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_SESSION_H
#define VHOST_SESSION_H 1

/* Sessions: what happens on a vhost-user socket, from connect to disconnect.
 *
 *
 * Concept
 * =======
 *
 * A port with a socket has a session.  librte_vhost owns the socket and tells
 * the session, from its event thread, how the conversation with the guest
 * goes:
 *
 *     open -> new_connection -> new_device <-> destroy_device
 *                 ^                                  |
 *                 +------ destroy_connection <-------+
 *
 * Between new_device and destroy_device, the session publishes a 'struct
 * vhost_device' to the data path (see vhost-datapath.h).  Along the way it
 * keeps account of how many queues, on which NUMA node, the guest wants, and
 * asks for a reconfiguration of the netdev when the port is to have them (see
 * vhost-supply.h).
 *
 *
 * Thread-safety
 * =============
 *
 * vhost_session_open() and vhost_session_close() are for the main thread.  The
 * other functions may be called from any thread, as long as the session is not
 * closed.
 *
 * destroy_device is where librte_vhost's event thread waits for the data path:
 * when the callback returns, the library may unmap the guest's memory.  No
 * other thread waits for the data path here.  In particular
 * vhost_session_close() does not, because it may be called with a lock of the
 * netdev layer held that other threads want before they quiesce.
 *
 * Lock order, outermost first:
 *
 *     the port's mutex
 *     the mutex of a session's tally (vhost-tally.h)
 *     locks inside librte_vhost (sockets, connections, a virtqueue's access)
 *     'sessions_mutex', a session's 'mutex' (leaves: nothing is called with
 *         them held but OVS's own leaves, such as seq and vlog, and functions
 *         of librte_vhost that take no lock), the one in vhost-dma.c (the
 *         same, but for functions of VFIO)
 *
 * librte_vhost calls back with locks of its own held, hence a callback may
 * take the leaves only.  An exception is destroy_device, which it calls
 * without a virtqueue's access lock: it takes the tally's too. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ovs-rcu.h"
#include "vhost-datapath.h"
#include "vhost-supply.h"

struct netdev;
struct netdev_custom_stats;

/* How to open a session. */
struct vhost_session_config {
    const char *path;           /* Socket. */
    bool client;                /* Is the guest's side the server? */
    bool iommu;                 /* Offer VIRTIO_F_IOMMU_PLATFORM. */
    bool postcopy;              /* Offer post-copy live migration. */
    bool zero_copy;             /* Receive without a copy if possible. */
    bool tso;                   /* Offer checksum offload and TSO. */
    bool library_data_path;     /* Use librte_vhost's, not our own. */
    struct vhost_counters *counters;    /* Of the port, to outlive the session;
                                         * or null. */
};

/* One region of the guest's memory, as it was told to us. */
struct vhost_guest_region {
    uint64_t guest_address;     /* In the guest's physical memory. */
    uint64_t size;              /* In bytes. */
    const void *mapping;        /* Ours, managed by librte_vhost. */
    int fd;                     /* The file: librte_vhost's descriptor... */
    dev_t device;               /* ...and, to tell whether that is still the */
    ino_t inode;                /* same, the file's identity. */
};

#define VHOST_MAX_REGIONS GUEST_MEMORY_MAX_REGIONS

struct vhost_guest_memory {
    unsigned int n_regions;
    struct vhost_guest_region regions[VHOST_MAX_REGIONS];
};

struct vhost_session *vhost_session_open(const struct vhost_session_config *,
                                         struct netdev *, char **errp);
void vhost_session_close(struct vhost_session *);

struct vhost_device *vhost_session_device(const struct vhost_session *);
const char *vhost_session_path(const struct vhost_session *);
bool vhost_session_is_client(const struct vhost_session *);
bool vhost_session_offers(const struct vhost_session *, bool iommu,
                          bool postcopy, bool zero_copy);
void vhost_session_take_demand(struct vhost_session *, struct vhost_demand *);
bool vhost_session_is_due(struct vhost_session *);
const char *vhost_session_zero_copy_obstacle(struct vhost_session *);
void vhost_session_get_memory(struct vhost_session *,
                              struct vhost_guest_memory *);

void vhost_session_add_stats(struct vhost_session *,
                             struct vhost_vring_stats *rx,
                             struct vhost_vring_stats *tx);
void vhost_session_add_vring_stats(struct vhost_session *,
                                   struct netdev_custom_stats *);
void vhost_session_sample_rates(struct vhost_session *);
bool vhost_session_get_rate(struct vhost_session *, uint16_t vring,
                            struct vhost_rate *);

const char *vhost_session_path_user(const char *path);
char *vhost_session_conflict(const char *path, const char *user);

#endif /* vhost-session.h */
