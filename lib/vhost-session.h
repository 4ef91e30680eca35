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
 * A port with a socket has a session.  librte_vhost owns the socket and calls
 * back for each connection, and around each message on it:
 *
 *      vhost_session_open()
 *             |
 *             v
 *      new_connection ----> refused: too many
 *             |
 *             v
 *         connected <----------------+      each message, in any state:
 *             |                      |
 *        new_device                  |      before_message: refuse it, or take
 *             |                      |        the virtqueues that it concerns
 *             v                      |        from the data path, and wait
 *    running: device published ------+               |
 *             |        destroy_device       librte_vhost handles it
 *             |                                      |
 *             v                             after_message: note what it says,
 *     destroy_connection                      give the virtqueues back
 *
 * (A guest that vanishes causes destroy_device, then destroy_connection.)
 *
 * Between new_device and destroy_device, the session publishes a 'struct
 * vhost_device' to the data path (see vhost-device.h).  It notes how many
 * queues, on which NUMA node, the guest wants, and asks for a reconfiguration
 * of the netdev when the port is to have them (see vhost-supply.h).  What was
 * counted is kept over connections (vhost-tally.h).
 *
 *
 * Thread-safety
 * =============
 *
 * vhost_session_open() and vhost_session_close() are for the main thread.  The
 * other functions may be called from any thread, as long as the session is not
 * closed.
 *
 * The callbacks run in librte_vhost's event thread, except that new_connection
 * also runs in the thread that has connected: the main thread, in
 * vhost_session_open(), or librte_vhost's thread for reconnections.  VDUSE
 * devices (vhost-vduse.h) have another event thread.
 *
 * Callbacks wait for the data path: destroy_device, because the library may
 * unmap the guest's memory afterwards, and before_message, because the library
 * may change rings or memory afterwards.  They wait for bursts on the
 * virtqueues concerned (see vhost-use.h), never for a thread's quiescence:
 * that takes as long as whatever else the thread does, which may need a lock
 * that is held by the one that closes the session.
 *
 *
 * Locks
 * =====
 *
 * All locks of lib/, outermost first: a thread that holds one may take only
 * locks with a higher number.  "Leaf" means that nothing else is locked while
 * it is held, except inside Open vSwitch's own leaves, such as seq and vlog.
 *
 *    Lock               In                 Protects
 *    -----------------  -----------------  -----------------------------------
 *  1 vhost_ports_mutex  vhost-port*.c      The list of ports.
 *      Taken by the main thread.  Held while it takes the mutex of each port.
 *
 *  2 port->mutex        vhost-port.h       What is configured.
 *      Any thread, but not in bursts.  Held while 3, 4 and 7 to 10 are taken,
 *      but not while a session is opened or closed.
 *
 *  3 pools_mutex        vhost-mempool.c    Mempools: the list and their users.
 *      Any thread, but not in bursts.  Held while DPDK makes or frees a
 *      mempool.
 *
 *  4 tally->mutex       vhost-tally.h      Counters of virtqueues.
 *      Any thread, but not in bursts; of the callbacks, new_device,
 *      destroy_device and destroy_connection.  Held while librte_vhost is
 *      asked for counters (6).
 *
 *  5 queue->lock        vhost-device.h     A transmit queue (a spinlock).
 *      The thread that sends a burst, and one that polls, which only tries;
 *      and destroy_device.  Held while a burst is sent (6, if that is
 *      librte_vhost's).
 *
 *  6 librte_vhost's own: sockets, connections, a virtqueue's access.
 *      For most messages (see 'is_locked' of struct vhost_message), it holds
 *      the access locks of all virtqueues around before_message, after_message
 *      and vring_state_changed, which may therefore take 7 to 13 only.  It
 *      calls the other callbacks without access locks; they may take 4 and 5,
 *      too.
 *
 *  7 session->mutex     vhost-session-private.h   Connections and the device.
 *      Any thread, but not in bursts.  Held while 8, 11 and 12 are taken, and
 *      while functions of librte_vhost are called that take no lock.
 *
 *  8 supply->mutex      vhost-supply.h     What the guest wants.  Leaf.
 *      Main thread and callbacks.
 *
 *  9 sessions_mutex     vhost-session.c    All sessions, by path.  Leaf.
 *      Main thread and new_connection.  Held while the kernel is asked where
 *      the path of a session leads that seems to be another's.
 *
 * 10 meter->lock        vhost-meter.h      A policer or QoS (spinlock).  Leaf.
 *      The thread that receives or sends a burst, and any thread that changes
 *      or shows queues of the QoS, which allocates no memory meanwhile.  No
 *      other lock of ours is shared by bursts and the control plane.
 *
 * 11 mutex              vhost-dma.c        Memory that VFIO knows of.
 *      Any thread, but not in bursts.  Held while DPDK is asked for a port's
 *      name.  Not held while VFIO maps or unmaps.
 *
 * 12 watched_mutex      vhost-guard.c      Mappings that are watched.  Leaf.
 *      Any thread, but not in bursts.  The handler of SIGBUS reads without
 *      it: a version, odd during a change, tells it when to look again.
 *
 * 13 timeout_mutex     vhost-socket.c     How long connections wait.  Leaf.
 *      Callbacks. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-memory.h"

struct netdev;
struct vhost_counters;
struct vhost_device;
struct vhost_session;
struct vhost_supply;
struct vhost_tally;

/* How to open a session. */
struct vhost_session_config {
    const char *path;           /* Socket, or VDUSE device. */
    bool client;                /* Is the guest's side the server? */
    bool iommu;                 /* Offer VIRTIO_F_IOMMU_PLATFORM. */
    bool postcopy;              /* Offer post-copy live migration. */
    bool zero_copy;             /* Receive without a copy if possible. */
    bool tso;                   /* Offer checksum offload and TSO. */
    bool library_data_path;     /* Use librte_vhost's, not our own. */
    unsigned int n_queue_pairs; /* Of a VDUSE device. */
    uint64_t tx_excluded;       /* See vhost_session_exclude_tx(). */
    uint64_t guest_features;    /* That the last guest of this socket
                                 * negotiated, if it is known. */
    struct vhost_counters *counters;    /* Of the port, to outlive the session;
                                         * or null. */
};

/* One region of the guest's memory, as it was told to us. */
struct vhost_guest_region {
    uint64_t guest_address;     /* In the guest's physical memory. */
    uint64_t size;              /* In bytes. */
    const void *mapping;        /* Ours, managed by librte_vhost. */
    int fd;                     /* librte_vhost's descriptor of the file. */
    dev_t device;               /* The file's identity, to tell whether 'fd' */
    ino_t inode;                /* is still the same file. */
};

#define VHOST_MAX_REGIONS GUEST_MEMORY_MAX_REGIONS

struct vhost_memory_map {
    unsigned int n_regions;
    struct vhost_guest_region regions[VHOST_MAX_REGIONS];
};

struct vhost_session *vhost_session_open(const struct vhost_session_config *,
                                         struct netdev *, char **errp);
void vhost_session_close(struct vhost_session *);

struct vhost_device *vhost_session_device(const struct vhost_session *);
const char *vhost_session_path(const struct vhost_session *);
bool vhost_session_is_client(const struct vhost_session *);
bool vhost_session_is_duplicate(struct vhost_session *);
bool vhost_session_offers(const struct vhost_session *, bool iommu,
                          bool postcopy, bool zero_copy,
                          unsigned int n_queue_pairs);
uint64_t vhost_session_guest_features(struct vhost_session *);
uint64_t vhost_session_withdrawn_features(struct vhost_session *);
struct vhost_supply *vhost_session_supply(struct vhost_session *);
struct vhost_tally *vhost_session_tally(struct vhost_session *);
const char *vhost_session_zero_copy_obstacle(struct vhost_session *);
void vhost_session_exclude_tx(struct vhost_session *, uint64_t features);
void vhost_session_get_memory(struct vhost_session *,
                              struct vhost_memory_map *);

const char *vhost_session_path_user(const char *path);
char *vhost_session_conflict(const char *path, const char *user);

#endif /* vhost-session.h */
