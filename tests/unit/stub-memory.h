/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef STUB_MEMORY_H
#define STUB_MEMORY_H 1

/* A machine with as many NUMA nodes and as much memory for mbufs as a test
 * wants, and a clock that can be moved on.
 *
 * The linker replaces the functions that the provider calls (see
 * tests/unit/automake.mk).  Mempools and mbufs are real, but all of their
 * memory is, in truth, wherever the kernel puts it. */

#include <stdbool.h>
#include <stdint.h>

#include "ovs-atomic.h"

#define STUB_MAX_NODES 8

struct stub_memory {
    int n_nodes;                        /* 1 at first. */
    int distance[STUB_MAX_NODES][STUB_MAX_NODES];

    /* Mbufs that can still be had on each node; all that DPDK has at first. */
    unsigned int n_free_mbufs[STUB_MAX_NODES];

    unsigned int n_pools;               /* Mempools that there are. */
    unsigned int n_failed_pools;        /* Attempts to make one. */
    atomic_count n_blocks;              /* From numa_alloc(). */
    int last_block_node;                /* Where the last one should be. */

    /* Transmit queues and descriptors of "physical" ports. */
    unsigned int n_ethdevs;
    unsigned int n_txqs, n_txq_descs;

    long long int time;                 /* time_msec() stands still, or 0. */
    long long int time_offset;          /* Added to it. */
    unsigned int tsc_divisor;           /* Makes rte_rdtsc() seem faster... */
    unsigned int tsc_multiplier;        /* ...or slower. */

    /* vhost_bucket_now(), unless that is 0, and how much later it is with each
     * call. */
    atomic_uint64_t bucket_time;
    uint64_t bucket_step;

    long long int wake_time;            /* Earliest of poll_timer_wait(). */
    bool dpdk_available;
};
extern struct stub_memory stub_memory;

#endif /* stub-memory.h */
