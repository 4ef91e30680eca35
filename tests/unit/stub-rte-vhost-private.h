/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef STUB_RTE_VHOST_PRIVATE_H
#define STUB_RTE_VHOST_PRIVATE_H 1

/* What the files of the stub of librte_vhost share. */

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "openvswitch/list.h"

#define MAX_SOCKETS 16
#define MAX_DEVICES 32
#define MAX_VRINGS 256

#define STATS                                           \
    STAT(good_packets)                                  \
    STAT(good_bytes)                                    \
    STAT(multicast_packets)                             \
    STAT(broadcast_packets)                             \
    STAT(undersize_packets)                             \
    STAT(size_64_packets)                               \
    STAT(size_65_127_packets)                           \
    STAT(size_128_255_packets)                          \
    STAT(size_256_511_packets)                          \
    STAT(size_512_1023_packets)                         \
    STAT(size_1024_1518_packets)                        \
    STAT(size_1519_max_packets)                         \
    STAT(guest_notifications)                           \
    STAT(iotlb_hits)                                    \
    STAT(iotlb_misses)                                  \
    STAT(inflight_submitted)                            \
    STAT(inflight_completed)                            \
    STAT(of_a_later_release)

enum {
#define STAT(NAME) STAT_##NAME,
    STATS
#undef STAT
    N_STATS
};

struct stub_vring {
    rte_spinlock_t access_lock;
    bool enabled;               /* By the guest. */
    bool ready;                 /* As the provider was told. */
    bool access_ok;             /* Do its addresses make sense? */
    uint16_t size;              /* 0 if it is not set up. */
    bool late;                  /* Must the data path leave it alone? */
    struct {
        int node;
    } ring;                     /* Stands for the descriptors... */
    struct rte_vhost_vring real;        /* ...unless there are some. */
    uint16_t avail_base, used_base;
    uint64_t stats[N_STATS];

    /* From the guest. */
    struct ovs_list pending;    /* Contains "struct queued". */
    unsigned int n_pending;
    bool broken;                /* Packets wait, but do not come. */

    /* To the guest. */
    struct ovs_list received;   /* Contains "struct queued". */
    unsigned int room;          /* Descriptors. */
    unsigned int burst;         /* At most so many in a call. */
};

struct stub_socket {
    char *path;                 /* Null for an unused element. */
    bool is_server;
    bool started;
    bool busy;                  /* Is the event thread at it? */
    int fd;
    uint64_t features, protocol_features;       /* That are offered. */
    const struct rte_vhost_device_ops *ops;
};

struct stub_device {
    struct stub_socket *socket;      /* Null for no device. */
    int fds[2];                 /* The connection: a socket and its peer. */
    bool busy;                  /* Is the event thread at it? */
    bool running;
    bool ready;                 /* Were the first two virtqueues ready? */
    char path[PATH_MAX];
    uint64_t features;
    uint64_t log_base;          /* Never forgotten. */
    uint16_t mtu;
    struct rte_vhost_mem_region memory;
    const struct rte_vhost_user_extern_ops *extern_ops;
    unsigned int n_vrings;
    struct stub_vring *vrings[MAX_VRINGS];
};

/* Protects the table of sockets; held by functions that configure one. */
extern pthread_mutex_t stub_sockets_mutex;
extern struct stub_socket stub_sockets[MAX_SOCKETS];

/* Protects 'busy' and which devices there are. */
extern pthread_mutex_t stub_fds_mutex;
extern struct stub_device stub_devices[MAX_DEVICES];

struct stub_socket *stub_find_socket(const char *path);
void stub_stop_device(struct stub_device *);
void stub_unmap_memory(struct stub_device *);
void stub_free_device(struct stub_device *);

/* Returns virtqueue 'vring' of device 'vid', or NULL. */
struct stub_vring *stub_get_vring(int vid, unsigned int vring);
void stub_free_packets(struct ovs_list *);

#endif /* stub-rte-vhost-private.h */
