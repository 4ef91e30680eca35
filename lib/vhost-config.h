/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef VHOST_CONFIG_H
#define VHOST_CONFIG_H 1

/* The switch-wide configuration of vhost-user ports: the keys of column
 * "other_config" in table "Open_vSwitch" that concern them.
 *
 * Keys that take effect only when DPDK starts are read once, by
 * vhost_config_init(); the others are followed at run time, by
 * vhost_config_update().  Both run in the main thread.
 *
 * What is read once does not change after that, before which there is no port:
 * any thread may read it.  What is followed at run time is for the main thread
 * alone.  So no lock is needed.
 *
 * The functions that parse may be called from any thread. */

#include <stdbool.h>
#include <sys/types.h>

struct smap;

/* One entry of "shared-mempool-config". */
struct vhost_shared_mempool {
    int mtu;                    /* As configured, up to VHOST_MAX_MTU. */
    int node;                   /* NUMA node, or VHOST_ANY_NODE. */
};

#define VHOST_ANY_NODE (-1)

/* More than any port's MTU.  DPDK counts a buffer's size in 16 bits. */
#define VHOST_MAX_MTU 60000

/* Owner and permissions of the sockets of "dpdkvhostuser" ports. */
struct vhost_socket_access {
    bool has_owner;             /* Are 'uid' and 'gid' meaningful? */
    uid_t uid;
    gid_t gid;                  /* (gid_t) -1 keeps the group. */
    bool has_mode;              /* Is 'mode' meaningful? */
    mode_t mode;
};

struct vhost_config {
    /* Read once: for any thread. */
    char *sock_dir;             /* Directory of the server sockets. */
    bool iommu;                 /* vhost-iommu-support. */
    bool postcopy;              /* vhost-postcopy-support. */
    bool library_data_path;     /* vhost-data-path is librte_vhost. */
    bool per_port_memory;       /* per-port-memory. */
    struct vhost_shared_mempool *shared_mempools;
    size_t n_shared_mempools;

    /* Followed at run time: for the main thread. */
    struct vhost_socket_access socket_access;

    /* Open vSwitch's own keys, for advice to users; or null. */
    char *pmd_cpu_mask;
    char *dpdk_socket_mem;
    char *dpdk_socket_limit;
};

const struct vhost_config *vhost_config(void);
void vhost_config_init(const struct smap *other_config);
bool vhost_config_update(const struct smap *other_config);

bool vhost_config_parse_socket_access(const char *owner, const char *mode,
                                      struct vhost_socket_access *,
                                      char **errp);
bool vhost_config_parse_shared_mempools(const char *,
                                        struct vhost_shared_mempool **,
                                        size_t *n, char **errp);

/* Values of option "tx-retries-max". */
#define VHOST_TX_RETRIES_MAX 32
#define VHOST_TX_RETRIES_DEFAULT 8

int vhost_config_parse_tx_retries(const struct smap *options);

/* Values of option "vhost-max-queue-pairs". */
#define VHOST_QUEUE_PAIRS_MAX 128
#define VHOST_QUEUE_PAIRS_DEFAULT 1

int vhost_config_parse_queue_pairs(const struct smap *options);

#endif /* vhost-config.h */
