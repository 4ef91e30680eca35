/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-dma.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "vhost-compat.h"

#if VHOST_HAS_VFIO
#include <rte_vfio.h>
#endif

VLOG_DEFINE_THIS_MODULE(vhost_dma);
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* How a DPDK port reads packets. */
enum access {
    ACCESS_NONE,                /* Not a port, or software. */
    ACCESS_UNKNOWN,             /* It is new. */
    ACCESS_VFIO,
    ACCESS_PHYSICAL,            /* By physical addresses. */
    ACCESS_OTHER,
    ACCESS_UNTOLD,              /* By VFIO, which cannot be told. */
    N_ACCESSES
};

/* Why ports with such an access cannot read memory that is not DPDK's. */
static const char *const obstacles[N_ACCESSES] = {
    [ACCESS_UNKNOWN] = "a new DPDK port has not been checked yet",
    [ACCESS_PHYSICAL] = "a DPDK port is not behind an IOMMU",
    [ACCESS_OTHER] = "a DPDK port is not bound to VFIO",
    [ACCESS_UNTOLD] = "this version of DPDK does not let VFIO be told",
};

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list memories OVS_GUARDED_BY(mutex)
    = OVS_LIST_INITIALIZER(&memories);
static enum access accesses[RTE_MAX_ETHPORTS] OVS_GUARDED_BY(mutex);
static unsigned int n_ports[N_ACCESSES] OVS_GUARDED_BY(mutex);

/* Signalled when the thread has something to do, or has done something. */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *dma_main(void *);
static enum access find_access(const char *name);
static void set_access(uint16_t port_id, enum access) OVS_REQUIRES(mutex);
static bool has_work(const struct vhost_dma_memory *) OVS_REQUIRES(mutex);
static void review(struct vhost_dma_memory *) OVS_REQUIRES(mutex);

/* A DPDK port is new.  It is not used yet and cannot be asked about. */
static int
add_port(uint16_t port_id, enum rte_eth_event_type event OVS_UNUSED,
         void *aux OVS_UNUSED, void *param OVS_UNUSED)
{
    ovs_mutex_lock(&mutex);
    set_access(port_id, ACCESS_UNKNOWN);
    ovs_mutex_unlock(&mutex);
    return 0;
}

/* A DPDK port is closed, but its device is still there.  If it is the last one
 * of VFIO's, what that knows must be forgotten before it has gone. */
static int
remove_port(uint16_t port_id, enum rte_eth_event_type event OVS_UNUSED,
            void *aux OVS_UNUSED, void *param OVS_UNUSED)
{
    bool last;

    ovs_mutex_lock(&mutex);
    last = n_ports[ACCESS_VFIO] == 1 && accesses[port_id] == ACCESS_VFIO;
    set_access(port_id, ACCESS_NONE);
    ovs_mutex_unlock(&mutex);
    if (last) {
        vhost_dma_wait();
    }
    return 0;
}

/* From now on, it is known what DPDK ports there are.  To be called before
 * there is any memory, when DPDK has been initialized. */
void
vhost_dma_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        uint16_t port_id;

        rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW,
                                      add_port, NULL);
        rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_DESTROY,
                                      remove_port, NULL);
        RTE_ETH_FOREACH_DEV (port_id) {
            add_port(port_id, RTE_ETH_EVENT_NEW, NULL, NULL);
        }
        vhost_dma_run();
        ovsthread_once_done(&once);
    }
}

/* Finds out about new DPDK ports, until when packets are copied.  To be called
 * often. */
void
vhost_dma_run(void)
{
    ovs_mutex_lock(&mutex);
    for (uint16_t i = 0; n_ports[ACCESS_UNKNOWN] && i < RTE_MAX_ETHPORTS;
         i++) {
        char name[RTE_ETH_NAME_MAX_LEN];

        if (accesses[i] == ACCESS_UNKNOWN
            && !rte_eth_dev_get_name_by_port(i, name)) {
            set_access(i, find_access(name));
            if (obstacles[accesses[i]]) {
                VLOG_INFO("from now on, dq-zero-copy has no effect: %s: %s",
                          obstacles[accesses[i]], name);
            }
        }
    }
    ovs_mutex_unlock(&mutex);
}

/* Waits until VFIO knows what it is to know, and nothing else. */
void
vhost_dma_wait(void)
{
    struct vhost_dma_memory *memory;
    bool waiting;

    ovs_mutex_lock(&mutex);
    do {
        waiting = false;
        LIST_FOR_EACH (memory, list_node, &memories) {
            waiting |= memory->busy || has_work(memory);
        }
        if (waiting) {
            ovs_mutex_cond_wait(&changed, &mutex);
        }
    } while (waiting);
    ovs_mutex_unlock(&mutex);
}

/* Lets devices know about the 'n_parts' 'parts', which are of a guest of port
 * 'owner'.  All of it must stay until 'destroy' is called. */
void
vhost_dma_add(struct vhost_dma_memory *memory, const char *owner,
              const struct iovec parts[], size_t n_parts,
              void (*destroy)(struct vhost_dma_memory *))
{
    *memory = (struct vhost_dma_memory) {
        .owner = owner, .parts = parts, .n_parts = n_parts, .destroy = destroy
    };
    ovs_mutex_lock(&mutex);
    ovs_list_push_back(&memories, &memory->list_node);
    review(memory);
    ovs_mutex_unlock(&mutex);
}

/* Makes devices forget 'memory', to which no packet points, and then destroys
 * it, in this thread or another. */
void
vhost_dma_remove(struct vhost_dma_memory *memory)
{
    bool forgotten;

    ovs_mutex_lock(&mutex);
    forgotten = !memory->busy && !memory->told;
    if (forgotten) {
        ovs_list_remove(&memory->list_node);
    } else {
        memory->removed = true;
        xpthread_cond_broadcast(&changed);
    }
    ovs_mutex_unlock(&mutex);
    if (forgotten) {
        memory->destroy(memory);
    }
}

static bool
is_software(const char *name)
{
    /* Names of virtual devices begin with those of their drivers. */
    static const char *const drivers[] = {
        "net_null", "net_pcap", "net_tap", "net_af_packet",
    };

    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
        if (!strncmp(name, drivers[i], strlen(drivers[i]))) {
            return true;
        }
    }
    return false;
}

/* Is the PCI device of the DPDK port with 'name' bound to VFIO? */
static bool
is_vfio(const char *name)
{
    /* Several ports of a device have its name and a suffix. */
    int len = strcspn(name, "_");
    char *path = xasprintf("/sys/bus/pci/devices/%.*s/driver", len, name);
    char *driver = follow_symlinks(path);
    const char *slash = strrchr(driver, '/');
    bool vfio = slash && strstr(slash, "vfio");

    free(driver);
    free(path);
    return vfio;
}

/* How does the DPDK port with 'name' read packets? */
static enum access
find_access(const char *name)
{
    return (is_software(name) ? ACCESS_NONE
            : rte_eal_iova_mode() != RTE_IOVA_VA ? ACCESS_PHYSICAL
            : !is_vfio(name) ? ACCESS_OTHER
            : VHOST_HAS_VFIO ? ACCESS_VFIO
            : ACCESS_UNTOLD);
}

/* Tells VFIO about 'part', or tells it to forget it.  Returns 0 or a positive
 * errno value. */
static int
tell_vfio(const struct iovec *part, bool map)
{
#if VHOST_HAS_VFIO
    uintptr_t start = (uintptr_t) part->iov_base;
    int container = RTE_VFIO_DEFAULT_CONTAINER_FD;
    int retval;

    rte_errno = 0;
    retval = (map ? rte_vfio_container_dma_map(container, start, start,
                                               part->iov_len)
              : rte_vfio_container_dma_unmap(container, start, start,
                                             part->iov_len));
    return !retval ? 0 : rte_errno ? rte_errno : EIO;
#else
    OVS_NOT_REACHED();          /* No port has ACCESS_VFIO. */
#endif
}

static void
unmap_parts(const struct vhost_dma_memory *memory, size_t n_parts)
{
    for (size_t i = 0; i < n_parts; i++) {
        int error = tell_vfio(&memory->parts[i], false);

        if (error) {
            VLOG_ERR_RL(&rl, "%s: cannot unmap guest memory from VFIO "
                        "(%s)", memory->owner, rte_strerror(error));
        }
    }
}

/* Returns 0 or a positive errno value. */
static int
map_parts(const struct vhost_dma_memory *memory)
{
    for (size_t i = 0; i < memory->n_parts; i++) {
        int error = tell_vfio(&memory->parts[i], true);

        if (error) {
            unmap_parts(memory, i);
            VLOG_WARN_RL(&rl, "%s: no zero-copy, because VFIO cannot map the "
                         "guest's memory: %s", memory->owner,
                         ovs_strerror(error));
            return error;
        }
    }
    return 0;
}

/* Is VFIO to know about 'memory'? */
static bool
is_wanted(const struct vhost_dma_memory *memory)
    OVS_REQUIRES(mutex)
{
    return n_ports[ACCESS_VFIO] && !memory->removed;
}

/* Must VFIO be told about 'memory', or told to forget it? */
static bool
has_work(const struct vhost_dma_memory *memory)
{
    return (is_wanted(memory) ? !memory->told && !memory->failed
            : memory->told || memory->removed);
}

/* Tells VFIO about 'memory', or tells it to forget it.  Takes its time,
 * without the mutex. */
static void
work(struct vhost_dma_memory *memory)
    OVS_REQUIRES(mutex)
{
    bool map = is_wanted(memory), unmap = memory->told;
    bool failed = false;

    memory->busy = true;
    ovs_mutex_unlock(&mutex);
    if (map) {
        failed = map_parts(memory) != 0;
    } else if (unmap) {
        unmap_parts(memory, memory->n_parts);
    }
    ovs_mutex_lock(&mutex);
    memory->busy = false;
    memory->told = map && !failed;
    memory->failed = failed;
    if (memory->removed && !memory->told) {
        ovs_list_remove(&memory->list_node);
        ovs_mutex_unlock(&mutex);
        memory->destroy(memory);
        ovs_mutex_lock(&mutex);
    } else {
        review(memory);
    }
    xpthread_cond_broadcast(&changed);
}

static void *
dma_main(void *aux OVS_UNUSED)
{
    ovsrcu_quiesce_start();     /* It uses nothing that the RCU protects. */
    ovs_mutex_lock(&mutex);
    for (;;) {
        struct vhost_dma_memory *memory;

        LIST_FOR_EACH (memory, list_node, &memories) {
            if (has_work(memory)) {
                break;
            }
        }
        if (memory) {
            work(memory);
        } else {
            ovs_mutex_cond_wait(&changed, &mutex);
        }
    }
    OVS_NOT_REACHED();
}

/* Does for 'memory' what DPDK ports need now. */
static void
review(struct vhost_dma_memory *memory)
{
    const char *obstacle = NULL;

    if (is_wanted(memory) && !memory->told) {
        obstacle = (memory->failed ? "VFIO cannot map the guest's memory"
                    : "VFIO is being told of the guest's memory");
    }
    for (enum access access = 0; access < N_ACCESSES; access++) {
        if (n_ports[access] && obstacles[access]) {
            obstacle = obstacles[access];
        }
    }
    atomic_store_relaxed(&memory->obstacle, obstacle);
    if (has_work(memory)) {
        static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

        if (ovsthread_once_start(&once)) {
            ovs_thread_create("vhost_dma", dma_main, NULL);
            ovsthread_once_done(&once);
        }
        xpthread_cond_broadcast(&changed);
    }
}

static void
set_access(uint16_t port_id, enum access access)
{
    struct vhost_dma_memory *memory;

    if (accesses[port_id] != ACCESS_NONE) {
        n_ports[accesses[port_id]]--;
    }
    accesses[port_id] = access;
    if (access != ACCESS_NONE) {
        n_ports[access]++;
    }
    LIST_FOR_EACH (memory, list_node, &memories) {
        memory->failed = false;         /* There may be room now. */
        review(memory);
    }
}
