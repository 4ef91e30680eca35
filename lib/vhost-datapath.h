/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_DATAPATH_H
#define VHOST_DATAPATH_H 1

/* Ways to move packets through a guest's virtqueues.
 *
 *
 * Concept
 * =======
 *
 * A 'struct vhost_datapath' is one such way, chosen for each connection: our
 * own virtqueues, or librte_vhost's burst calls.  Its functions work on a
 * running device and its queues: see vhost-device.h.
 *
 * For a data path, a queue is in one of these states:
 *
 *     idle        librte_vhost has the virtqueue.
 *     running     'start' succeeded: PMD threads move packets.
 *     suspended   'suspend' was called: no burst begins, one may be ending.
 *
 * The control plane goes from one to the next like this:
 *
 *     start -> suspend -> await -> stop -> hand_back -> start...
 *
 *
 * Thread-safety
 * =============
 *
 * A receive queue is used by one PMD thread at a time.  A transmit queue may
 * be shared; the thread that uses it holds the queue's 'lock'.  The functions
 * of the data path take no lock of the plugin's control plane; librte_vhost's
 * burst calls may wait for a lock of that library, while it handles a message.
 *
 * The functions of the control plane are called by librte_vhost's event thread
 * and the thread that closes a session, as vhost-device.h says. */

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;
struct vhost_counters;
struct vhost_device;
struct vhost_queue;
struct vhost_vring_stats;

/* For how long to wait for bursts that may wait for librte_vhost, too. */
enum vhost_await {
    VHOST_AWAIT_NONE,           /* The library holds the locks that they want,
                                 * or the session is being closed. */
    VHOST_AWAIT_BRIEFLY,        /* A message is about to be handled. */
    VHOST_AWAIT_ALL,            /* The device ends. */
};

struct vhost_datapath {
    const char *name;           /* Shown to users. */

    /* Can packets stay in the guest's memory?  If so, the device has a
     * 'mapping' when the port wants that. */
    bool can_zero_copy;

    /* Does 'dequeue' receive the RARP packet that 'rarp_address' of the device
     * asks for?  If not, the data path learns of it from librte_vhost. */
    bool receives_rarp;

    /* Data path. */

    /* Moves up to 'n' (at most NETDEV_MAX_BURST) packets from receive queue
     * 'q' into newly allocated mbufs of 'mp', which the caller then owns, and
     * returns their number.  Returns 0 if there is no packet or no mbuf.
     * Counts the packets that it drops. */
    uint16_t (*dequeue)(struct vhost_device *, struct vhost_queue *q,
                        struct rte_mempool *mp, struct rte_mbuf **,
                        uint16_t n, struct vhost_counters *);

    /* Copies the first of 'n' (at most NETDEV_MAX_BURST) mbufs into transmit
     * queue 'q' and returns how many.  These include mbufs that can never be
     * sent, which it counts as dropped.  All mbufs stay the caller's. */
    uint16_t (*enqueue)(struct vhost_device *, struct vhost_queue *q,
                        struct rte_mbuf **, uint16_t n,
                        struct vhost_counters *);

    /* Returns the number of buffers that the guest offers in 'q', or -ENOTSUP.
     * Any thread that takes part in the RCU, also while another has a burst,
     * and at any time. */
    int (*n_pending)(struct vhost_device *, struct vhost_queue *q);

    /* Returns where in the ring of receive queue 'q' the next buffer is to be
     * taken, which tells whether any are taken although no packet comes.  Null
     * for a data path that itself notes each fault of a ring. */
    uint16_t (*position)(struct vhost_device *, struct vhost_queue *q);

    /* Does transmit queue 'q' refuse packets at the moment, although the guest
     * may offer buffers in it? */
    bool (*is_stalled)(struct vhost_device *, struct vhost_queue *q);

    /* Returns how many packets of receive queue 'q' the switch has that are
     * still in the guest's memory.  The main thread, which frees the state for
     * that: see vhost-zerocopy.h. */
    unsigned int (*n_out)(const struct vhost_queue *q);

    /* Control plane. */

    /* Checks what librte_vhost says of the virtqueue of 'q', which the guest
     * has set up and enabled.  If that is valid, 'q' is running; otherwise
     * its 'fault' says what is wrong.  Does nothing if 'q' is running. */
    void (*start)(struct vhost_device *, struct vhost_queue *q);

    /* Lets no further burst on 'q' begin.  Returns true if one may be under
     * way.  Does nothing but return if 'q' is not running. */
    bool (*suspend)(struct vhost_device *, struct vhost_queue *q);

    /* Waits for bursts and looks ('n_pending') that may be under way on 'n'
     * virtqueues, from 'first' on, all of which are suspended.  See
     * vhost-use.h. */
    void (*await)(struct vhost_device *, unsigned int first, unsigned int n,
                  enum vhost_await);

    /* Gives all buffers of 'q' back to the guest, which may stop using the
     * virtqueue, and frees what was kept for them.  'q' is suspended and no
     * burst is under way.  Waits for packets that are still in the guest's
     * memory until 'deadline', a value of the TSC, at most.  Also called for
     * a queue that is idle.  Calls no function of librte_vhost. */
    void (*stop)(struct vhost_device *, struct vhost_queue *q,
                 uint64_t deadline);

    /* Gives the virtqueue of 'q', which is suspended, back to librte_vhost,
     * and tells it where to continue: 'q' is idle. */
    void (*hand_back)(struct vhost_device *, struct vhost_queue *q);

    /* Uses the eventfd that librte_vhost has been given to notify the guest of
     * 'q', in the place of the last one.  May wait for a burst. */
    void (*renew_call)(struct vhost_device *, struct vhost_queue *q);

    /* Frees what is left of 'q' when the device is freed.  Calls no function
     * of librte_vhost, whose connection may have gone. */
    void (*release)(struct vhost_queue *q);

    /* Statistics.  Any thread, one at a time: see vhost-tally.h. */

    /* Stores in '*stats' what was counted on 'q' until now.  Returns false if
     * that cannot be read at the moment; '*stats' then keeps its values. */
    bool (*get_stats)(struct vhost_device *, struct vhost_queue *q,
                      struct vhost_vring_stats *stats);

    /* Returns true if the virtqueue's counters are zero when the connection
     * has its next device.  Otherwise, 'get_stats' includes what it has told
     * of this one. */
    bool (*reset_stats)(struct vhost_device *, struct vhost_queue *q);
};

/* Our own virtqueues.  librte_vhost does not touch them while they run. */
extern const struct vhost_datapath vhost_datapath_native;

/* librte_vhost's burst calls.  They can do what our own virtqueues cannot:
 * translate addresses for VIRTIO_F_ACCESS_PLATFORM, and wait for pages in
 * post-copy live migration. */
extern const struct vhost_datapath vhost_datapath_library;

#endif /* vhost-datapath.h */
