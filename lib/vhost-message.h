/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_MESSAGE_H
#define VHOST_MESSAGE_H 1

/* Messages of the vhost-user protocol, as far as we look at them.
 *
 * librte_vhost handles all of them.  It shows them to us before and after,
 * because some change what a data path uses without any other callback.  A
 * message that would make librte_vhost do something unsafe is refused before
 * librte_vhost gets it.
 *
 * Whether it is unsafe depends on earlier messages on the same connection,
 * which 'struct vhost_conversation' summarizes.
 *
 * All functions are called by the thread that handles the connection's
 * messages. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vhost_types.h>
#include <rte_vhost.h>

#include "vhost-device.h"

enum vhost_request {
    VHOST_REQUEST_GET_FEATURES = 1,
    VHOST_REQUEST_SET_FEATURES = 2,
    VHOST_REQUEST_SET_OWNER = 3,
    VHOST_REQUEST_RESET_OWNER = 4,
    VHOST_REQUEST_SET_MEM_TABLE = 5,
    VHOST_REQUEST_SET_LOG_BASE = 6,
    VHOST_REQUEST_SET_LOG_FD = 7,
    VHOST_REQUEST_SET_VRING_NUM = 8,
    VHOST_REQUEST_SET_VRING_ADDR = 9,
    VHOST_REQUEST_SET_VRING_BASE = 10,
    VHOST_REQUEST_GET_VRING_BASE = 11,
    VHOST_REQUEST_SET_VRING_KICK = 12,
    VHOST_REQUEST_SET_VRING_CALL = 13,
    VHOST_REQUEST_SET_VRING_ERR = 14,
    VHOST_REQUEST_GET_PROTOCOL_FEATURES = 15,
    VHOST_REQUEST_SET_PROTOCOL_FEATURES = 16,
    VHOST_REQUEST_GET_QUEUE_NUM = 17,
    VHOST_REQUEST_SET_VRING_ENABLE = 18,
    VHOST_REQUEST_SEND_RARP = 19,
    VHOST_REQUEST_NET_SET_MTU = 20,
    VHOST_REQUEST_SET_BACKEND_REQ_FD = 21,
    VHOST_REQUEST_IOTLB_MSG = 22,
    VHOST_REQUEST_GET_CONFIG = 24,
    VHOST_REQUEST_SET_CONFIG = 25,
    VHOST_REQUEST_POSTCOPY_ADVISE = 28,
    VHOST_REQUEST_POSTCOPY_LISTEN = 29,
    VHOST_REQUEST_POSTCOPY_END = 30,
    VHOST_REQUEST_GET_INFLIGHT_FD = 31,
    VHOST_REQUEST_SET_INFLIGHT_FD = 32,
    VHOST_REQUEST_GET_MAX_MEM_SLOTS = 36,
    VHOST_REQUEST_ADD_MEM_REG = 37,
    VHOST_REQUEST_REM_MEM_REG = 38,
    VHOST_REQUEST_SET_STATUS = 39,
    VHOST_REQUEST_GET_STATUS = 40,
};

/* Which virtqueues a message may change, or the memory that they use. */
enum vhost_scope {
    VHOST_SCOPE_NONE,
    VHOST_SCOPE_VRING,          /* The one that it names. */
    VHOST_SCOPE_DEVICE,         /* Any. */
};

/* The most file descriptors that come with a message. */
#define VHOST_MESSAGE_MAX_FDS 8

/* A region of the front end's memory table. */
struct vhost_message_region {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address;
    uint64_t mmap_offset;
};

/* What a message says.  Members past the end of a shorter message are garbage;
 * librte_vhost checks the length itself. */
struct vhost_message {
    uint32_t request;           /* enum vhost_request, or one we don't know. */
    const char *name;           /* As in the protocol's specification. */
    enum vhost_scope scope;
    bool is_locked;             /* Are the locks of all virtqueues held? */
    unsigned int vring;         /* That it names, if it names one. */
    int fds[VHOST_MESSAGE_MAX_FDS];
    unsigned int n_fds;
    union {
        uint64_t u64;           /* Features, an Ethernet address, etc. */
        struct vhost_vring_state state;
        struct vhost_vring_addr addr;
        struct {
            uint32_t n_regions;
            uint32_t padding;
            struct vhost_message_region regions[VHOST_MESSAGE_MAX_FDS];
        } memory;
        struct {
            uint64_t size;
            uint64_t offset;
        } log;
        struct vhost_iotlb_msg iotlb;
    };
};

/* What was said on a connection, as far as it matters later. */
struct vhost_conversation {
    int vid;
    bool is_running;            /* Does librte_vhost run the device? */
    uint32_t sizes[VHOST_MAX_VRINGS];   /* Of rings, or 0. */
    uint64_t n_entries;         /* The sum of 'sizes'. */
    bool unsized[VHOST_MAX_VRINGS];     /* Do they need a new size? */
    bool has_postcopy;          /* Was POSTCOPY_ADVISE not ended? */
    bool listens;               /* Was POSTCOPY_LISTEN not ended? */
    bool has_memory;            /* Did SET_MEM_TABLE succeed? */

    /* Does librte_vhost handle SET_MEM_TABLE, or has it failed to? */
    bool memory_changes;
};

/* The files of a memory table that librte_vhost handles, or has failed to
 * handle.  It then closes all of them but one, of the region that it could not
 * map: the front end may have cut the file off since we looked at it. */
struct vhost_message_files {
    struct {
        int fd;
        dev_t device;
        ino_t inode;
    } files[VHOST_MESSAGE_MAX_FDS];
    unsigned int n;
};

/* All rings of a connection have this many entries at most, together: 128
 * queue pairs with the largest rings of QEMU's.  librte_vhost allocates 40
 * bytes for each. */
#define VHOST_MAX_RING_ENTRIES (VHOST_MAX_VRINGS * 1024)

bool vhost_message_is_readable(const void *message);
void vhost_message_parse(const void *message, struct vhost_message *);
void vhost_message_range(const struct vhost_message *, unsigned int *first,
                         unsigned int *n);
bool vhost_message_stops_ring(const struct vhost_message *);
void vhost_message_limit_range(void *message);
void vhost_message_note_files(const struct vhost_message *,
                              struct vhost_message_files *);
unsigned int vhost_message_close_lost_files(struct vhost_message_files *,
                                            const struct vhost_message *);
bool vhost_message_find_address(int vid, uint64_t user_address,
                                uint64_t *address);

enum rte_vhost_msg_result vhost_message_refuse(const struct vhost_message *);
enum rte_vhost_msg_result vhost_message_ignore(const struct vhost_message *);
enum rte_vhost_msg_result vhost_message_hang_up(void *message,
                                                const struct vhost_message *);

const char *vhost_conversation_objection(const struct vhost_conversation *,
                                         const struct vhost_message *);
bool vhost_conversation_is_broken(const struct vhost_conversation *);
void vhost_conversation_begin(struct vhost_conversation *,
                              const struct vhost_message *);
void vhost_conversation_end(struct vhost_conversation *,
                            const struct vhost_message *);

#endif /* vhost-message.h */
