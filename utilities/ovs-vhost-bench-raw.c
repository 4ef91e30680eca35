/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Moves packets from one guest's memory to the other's, and nothing else: what
 * any switch does at least.
 *
 *     ovs-vhost-bench-raw CPU SOCKET SOCKET
 *
 * is the client of two sockets, as dpdkvhostuserclient ports are, and knows
 * packets in one piece and one queue only.  For each line that it reads, it
 * prints how many cycles it has spent on packets, and how many there were. */

#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_vhost.h>

#include "guest-memory.h"
#include "util.h"
#include "virtq.h"

#define BURST 32

struct port {
    const char *path;
    struct guest_memory memory;
    struct virtq to_guest, from_guest;
    bool enabled[2];            /* Atomic, as all that follows. */
    bool running;
};

static struct port ports[2];
static unsigned long long int n_cycles, n_packets;
static bool in_use;             /* Are packets being moved? */

static struct port *
find_port(int vid)
{
    char path[256];

    if (!rte_vhost_get_ifname(vid, path, sizeof path)) {
        for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
            if (!strcmp(ports[i].path, path)) {
                return &ports[i];
            }
        }
    }
    abort();
}

static void
start_ring(int vid, const struct port *port, struct virtq *vq,
           unsigned int vring)
{
    struct virtq_config config = { .memory = &port->memory };
    struct rte_vhost_vring ring;
    const char *problem = "librte_vhost does not say where it is";
    uint64_t features = 0;

    rte_vhost_get_negotiated_features(vid, &features);
    if (!rte_vhost_get_vhost_vring(vid, vring, &ring)
        && !rte_vhost_get_vring_base(vid, vring, &config.avail_base,
                                     &config.used_base)) {
        config.packed = features & UINT64_C(1) << VIRTIO_F_RING_PACKED;
        config.event_idx = features & UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
        config.writable = vring == 0;
        config.size = ring.size;
        config.desc = ring.desc;
        config.driver = ring.avail;
        config.device = ring.used;
        problem = virtq_init(vq, &config);
    }
    if (problem) {
        ovs_fatal(0, "%s: virtqueue %u: %s", port->path, vring, problem);
    }
}

static int
new_device(int vid)
{
    struct port *port = find_port(vid);
    struct rte_vhost_memory *table;

    if (rte_vhost_get_mem_table(vid, &table)) {
        return -1;
    }
    port->memory.n_regions = 0;
    for (uint32_t i = 0; i < table->nregions; i++) {
        const struct rte_vhost_mem_region *region = &table->regions[i];

        guest_memory_add(&port->memory, region->guest_phys_addr, region->size,
                         (void *) (uintptr_t) region->host_user_addr);
    }
    free(table);
    start_ring(vid, port, &port->to_guest, 0);
    start_ring(vid, port, &port->from_guest, 1);
    __atomic_store_n(&port->running, true, __ATOMIC_SEQ_CST);
    return 0;
}

static void
destroy_device(int vid)
{
    __atomic_store_n(&find_port(vid)->running, false, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&in_use, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
}

static int
vring_state_changed(int vid, uint16_t vring, int enable)
{
    if (vring < 2) {
        __atomic_store_n(&find_port(vid)->enabled[vring], enable,
                         __ATOMIC_SEQ_CST);
    }
    return 0;
}

static const struct rte_vhost_device_ops ops = {
    .new_device = new_device,
    .destroy_device = destroy_device,
    .vring_state_changed = vring_state_changed,
};

static bool
is_ready(const struct port *port)
{
    return (__atomic_load_n(&port->running, __ATOMIC_ACQUIRE)
            && __atomic_load_n(&port->enabled[0], __ATOMIC_RELAXED)
            && __atomic_load_n(&port->enabled[1], __ATOMIC_RELAXED));
}

/* Moves a burst.  Returns the number of packets. */
static unsigned int
move(struct virtq *src, struct virtq *dst)
{
    struct virtq_burst from, to;
    unsigned int n = virtq_fetch(src, &from, BURST);

    n = n ? virtq_fetch(dst, &to, n) : 0;
    for (unsigned int i = 0; i < n; i++) {
        const struct virtq_buffer *packet = &from.buffers[i];
        struct virtq_buffer *room = &to.buffers[i];

        if (packet->n_more || packet->len > room->first.len) {
            ovs_fatal(0, "a packet is not in one piece, or too long");
        }
        memcpy(room->first.data, packet->first.data, packet->len);
        memcpy(room->first.data, &(struct virtio_net_hdr_mrg_rxbuf) {
            .num_buffers = 1
        }, sizeof(struct virtio_net_hdr_mrg_rxbuf));
        room->written = packet->len;
    }
    if (n) {
        virtq_take(dst, &to, n);
        virtq_return(dst, to.buffers, n);
        virtq_take(src, &from, n);
        virtq_return(src, from.buffers, n);
    }
    if (virtq_is_faulty(src) || virtq_is_faulty(dst)) {
        ovs_fatal(0, "a virtqueue is broken");
    }
    return n;
}

static void *
run(void *cpu_)
{
    int *cpu = cpu_;
    uint64_t last;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(*cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set)) {
        ovs_fatal(0, "cannot run on CPU %d", *cpu);
    }
    for (last = rte_rdtsc();;) {
        unsigned int n = 0;
        uint64_t now;

        /* With destroy_device(), one of us sees what the other one says. */
        __atomic_store_n(&in_use, true, __ATOMIC_SEQ_CST);
        if (is_ready(&ports[0]) && is_ready(&ports[1])) {
            n = (move(&ports[0].from_guest, &ports[1].to_guest)
                 + move(&ports[1].from_guest, &ports[0].to_guest));
        }
        __atomic_store_n(&in_use, false, __ATOMIC_RELEASE);
        now = rte_rdtsc();
        if (n) {
            __atomic_store_n(&n_cycles, n_cycles + now - last,
                             __ATOMIC_RELAXED);
            __atomic_store_n(&n_packets, n_packets + n, __ATOMIC_RELAXED);
        }
        last = now;
    }
    return NULL;
}

int
main(int argc, char *argv[])
{
    char *eal[] = {
        argv[0], "--no-pci", "--no-huge", "-m", "64", "--no-shconf",
        "--no-telemetry", "-l", "0",
    };
    pthread_t thread;
    char line[16];
    int cpu;

    if (argc != 4 || !str_to_int(argv[1], 10, &cpu)) {
        ovs_fatal(0, "usage: ovs-vhost-bench-raw CPU SOCKET SOCKET");
    }
    eal[ARRAY_SIZE(eal) - 1] = argv[1];
    if (rte_eal_init(ARRAY_SIZE(eal), eal) < 0) {
        ovs_fatal(0, "cannot initialize DPDK");
    }
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        ports[i].path = argv[2 + i];
        if (rte_vhost_driver_register(ports[i].path, RTE_VHOST_USER_CLIENT)
            || rte_vhost_driver_callback_register(ports[i].path, &ops)
            || rte_vhost_driver_start(ports[i].path)) {
            ovs_fatal(0, "%s: cannot be used", ports[i].path);
        }
    }
    if (pthread_create(&thread, NULL, run, &cpu)) {
        ovs_fatal(0, "cannot create a thread");
    }
    while (fgets(line, sizeof line, stdin)) {
        printf("counters: %llu %llu\n",
               __atomic_load_n(&n_cycles, __ATOMIC_RELAXED),
               __atomic_load_n(&n_packets, __ATOMIC_RELAXED));
        fflush(stdout);
    }
    _exit(0);
}
