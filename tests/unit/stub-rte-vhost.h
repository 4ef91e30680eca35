/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef STUB_RTE_VHOST_H
#define STUB_RTE_VHOST_H 1

/* A librte_vhost without guests: the functions that the provider calls, and
 * guest_*() functions with which a test plays the guest.
 *
 * What matters is that the stub calls back as the library does: in the same
 * order, from the same thread, with the same locks held.
 *
 *     - A guest_*() function is a message, or several, that the library's
 *       event thread handles.  Call it from a thread that is not Open
 *       vSwitch's, or from the only thread there is.
 *
 *     - Each virtqueue has an access lock.  vring_state_changed runs with the
 *       locks of all virtqueues held, the other callbacks with none.  Bursts,
 *       statistics and notifications take the lock of their virtqueue, so
 *       that the wrong lock order hangs here, too.
 *
 *     - rte_vhost_driver_unregister() waits for the event thread to finish
 *       what it does on the socket, then calls destroy_device, but not
 *       destroy_connection.
 *
 *     - A device's number is free for the next connection once the device is
 *       gone.
 *
 * The library offers all features that there are, and some more.
 *
 * A server socket really is bound, so that its file has an owner and
 * permissions, but nothing ever connects to it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_vhost.h>

struct stub_vhost {
    /* Failures on demand. */
    bool fail_register;
    bool fail_callback_register;
    bool fail_disable_features;
    bool fail_set_protocol_features;
    bool fail_start;
    bool fail_stats;                    /* Cannot tell any statistics. */

    /* Connections are not to be found among the process's sockets. */
    bool no_connection;

    /* Called in each burst from a guest. */
    void (*during_burst)(void);

    /* Called when a socket is about to be unregistered. */
    void (*before_unregister)(const char *path);

    /* Guests send full bursts all the time, and take all without looking. */
    bool endless;

    /* What guests say of the size of segments. */
    uint16_t segment_size;

    /* What the provider did. */
    unsigned int n_sockets;             /* Of ports, registered. */
    unsigned int n_thread_ends;         /* Times that no socket was left, so
                                         * that the event thread ends. */
    unsigned int n_suppressions;        /* Notifications switched off. */
    uint64_t n_logged;                  /* Bytes that were written to. */
    uint64_t flags;                     /* Of the last registration. */
    uint64_t features;                  /* Offered on the last socket. */
    uint64_t protocol_features;         /* Likewise. */
    unsigned int n_queue_pairs;         /* Of the last VDUSE device. */

    const struct rte_vhost_device_ops *ops;

    /* Bursts on a device after destroy_device had returned, or while
     * translations of addresses change, and questions about a device that does
     * not exist. */
    unsigned int n_late_calls;
};
extern struct stub_vhost stub_vhost;

/* Control messages.  A device is what guest_connect() returns, -1 if the
 * provider or the library refused.  The functions do nothing for a device that
 * the provider's side has closed. */
int guest_connect(const char *path);
void guest_disconnect(int vid);
void guest_set_features(int vid, uint64_t features);
void guest_set_mtu(int vid, uint16_t mtu);
void guest_set_memory(int vid, size_t size, bool fails);
void guest_set_memory_with(int vid, size_t size, bool fails,
                           void (*meanwhile)(void));
uint64_t guest_invalidate(int vid, uint64_t address, uint64_t size);
bool guest_translate(int vid, uint64_t address, uint64_t user_address);
enum rte_vhost_msg_result guest_message(int vid, uint32_t request,
                                        const void *payload, size_t size);
void guest_set_node(int vid, unsigned int vring, int node);
void guest_set_vring(int vid, unsigned int vring, bool enable);
void guest_set_ring(int vid, unsigned int vring,
                    const struct rte_vhost_vring *, uint16_t base);
void guest_move_vring(int vid, unsigned int vring);
void guest_start(int vid, unsigned int n_pairs);
void guest_stop(int vid);
bool guest_is_running(int vid);

/* The driver of a VDUSE device. */
int guest_start_vduse(const char *path, unsigned int n_pairs);
void guest_stop_vduse(int vid);
void guest_set_vduse_pairs(int vid, unsigned int n_pairs);

/* The guest's end of a virtqueue. */
void guest_set_room(int vid, unsigned int vring, unsigned int n_descs);
void guest_set_burst(int vid, unsigned int vring, unsigned int n_max);
void guest_set_broken(int vid, unsigned int vring, bool broken);
void guest_send(int vid, unsigned int vring, const void *, size_t);

/* What the switch sent. */
struct guest_packet {
    size_t size;
    uint64_t ol_flags;
    unsigned int n_segs;
    unsigned int l2_len, l3_len, l4_len, tso_segsz;
    uint8_t data[];
};
struct guest_packet *guest_receive(int vid, unsigned int vring);
void guest_packet_free(struct guest_packet *);

/* For the stub of get_mempolicy(): is 'p' a ring, and on which node?  There is
 * no answer for node -1. */
bool stub_vhost_ring_node(const void *p, int *node);

#endif /* stub-rte-vhost.h */
