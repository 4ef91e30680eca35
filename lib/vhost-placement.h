/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_PLACEMENT_H
#define VHOST_PLACEMENT_H 1

/* Where everything is that moves a port's packets, and what of it is remote.
 *
 * A guest is where its rings are.  For the shortest way between it and the
 * switch, all of the following should be on the same NUMA node:
 *
 *     - the guest's memory, which holds its packet buffers and its rings;
 *     - the mbufs that packets are copied to;
 *     - the structures in which librte_vhost keeps track of the device;
 *     - the CPUs of the threads that poll the port's receive queues.
 *
 * 'struct vhost_placement' is a snapshot of all that.  Memory is where the
 * kernel says that it is.  Making one takes a few dozen system calls, none of
 * which blocks, and does not disturb the threads that move packets, but for
 * short moments when the fill of a virtqueue is read.
 *
 * All functions must be called from the main thread, vhost_placement_init()
 * with the port's mutex held. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost-numa.h"
#include "vhost-session.h"

struct vhost_port;

/* A virtqueue. */
struct vhost_queue_placement {
    uint16_t vring;             /* Odd: a receive queue of the switch. */
    bool enabled;
    uint16_t size;              /* Descriptors. */
    int fill;                   /* Those that the guest offers, or -1. */
    int node;                   /* That of the descriptors. */
    int cpu;                    /* Receive queues: which polls it, or -1... */
    int cpu_node;               /* ...and its node. */
};

/* A node may be VHOST_NODE_UNKNOWN, which is not remote. */
struct vhost_placement {
    const char *port;           /* Name, as long as the port exists. */
    struct vhost_device *device;        /* Until this thread quiesces. */
    int node;                   /* The guest's rings. */
    int port_node;              /* Where the switch takes the port to be. */
    int library_node;

    struct vhost_memory_map memory;
    struct vhost_numa_census censuses[VHOST_MAX_REGIONS];

    struct vhost_queue_placement *queues;
    size_t n_queues;

    bool pool_missing;          /* Was there no memory for mbufs? */
    int pool_node;              /* The mbufs, if there are any. */
    size_t pool_bytes;          /* What all mbufs that were wanted take. */
};

bool vhost_placement_init(struct vhost_placement *, struct vhost_port *);
void vhost_placement_destroy(struct vhost_placement *);

/* Something remote. */
struct vhost_remote {
    const char *what;   /* "pmd", "mbufs", "memory", "rings" or "library". */
    char *text;         /* For people. */
    char *command;      /* The shell command that would mend it, or null. */
    char *hint;         /* What else to know or to do, or null. */
};

#define VHOST_MAX_REMOTES 5

size_t vhost_placement_find_remotes(const struct vhost_placement *,
                                    struct vhost_remote[VHOST_MAX_REMOTES]);
void vhost_remotes_destroy(struct vhost_remote[], size_t n);
bool vhost_remote_is_repeated(const struct vhost_remote[], size_t i);
char *vhost_placement_verdict(const struct vhost_placement *);

#endif /* vhost-placement.h */
