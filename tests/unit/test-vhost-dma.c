/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Devices that read packets, of which there are none here. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_vfio.h>

#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-dma.h"

#define WRAP(TYPE, NAME, ...) TYPE __wrap_##NAME(__VA_ARGS__); \
    TYPE __wrap_##NAME(__VA_ARGS__)

static rte_eth_dev_cb_fn callbacks[RTE_ETH_EVENT_MAX];
static const char *port_names[8];
static enum rte_iova_mode iova_mode = RTE_IOVA_VA;

/* What VFIO does, in the thread that tells it. */
static struct ovs_mutex vfio_mutex = OVS_MUTEX_INITIALIZER;
static struct iovec mapped[16];
static size_t n_mapped, max_mapped = ARRAY_SIZE(mapped);
static atomic_bool is_mapping;

WRAP(int, rte_eth_dev_callback_register, uint16_t port,
     enum rte_eth_event_type event, rte_eth_dev_cb_fn callback, void *aux)
{
    CHECK_INT(port, RTE_ETH_ALL);
    CHECK(!aux);
    callbacks[event] = callback;
    return 0;
}

WRAP(int, rte_eth_dev_get_name_by_port, uint16_t port, char *name)
{
    if (port_names[port]) {
        ovs_strlcpy(name, port_names[port], RTE_ETH_NAME_MAX_LEN);
    }
    return port_names[port] ? 0 : -ENODEV;
}

WRAP(enum rte_iova_mode, rte_eal_iova_mode, void)
{
    return iova_mode;
}

/* Of a PCI device. */
WRAP(char *, follow_symlinks, const char *path)
{
    return xstrdup(!strcmp(path, "/sys/bus/pci/devices/0000:00:10.0/driver")
                   ? "/sys/bus/pci/devices/0000:00:10.0/../x/vfio-pci"
                   : !strcmp(path, "/sys/bus/pci/devices/0000:00:20.0/driver")
                   ? "/sys/bus/pci/devices/0000:00:20.0/../x/mlx5_core"
                   : path);
}

WRAP(int, rte_vfio_container_dma_map, int fd, uint64_t start, uint64_t iova,
     uint64_t size)
{
    int retval = 0;

    CHECK_INT(fd, RTE_VFIO_DEFAULT_CONTAINER_FD);
    CHECK_INT(start, iova);
    atomic_store(&is_mapping, true);
    ovs_mutex_lock(&vfio_mutex);
    if (n_mapped < max_mapped) {
        mapped[n_mapped].iov_base = (void *) (uintptr_t) start;
        mapped[n_mapped++].iov_len = size;
    } else {
        rte_errno = ENOMEM;
        retval = -1;
    }
    ovs_mutex_unlock(&vfio_mutex);
    return retval;
}

WRAP(int, rte_vfio_container_dma_unmap, int fd, uint64_t start, uint64_t iova,
     uint64_t size)
{
    size_t i = 0;

    CHECK_INT(fd, RTE_VFIO_DEFAULT_CONTAINER_FD);
    CHECK_INT(start, iova);
    ovs_mutex_lock(&vfio_mutex);
    while (i < n_mapped && (uintptr_t) mapped[i].iov_base != start) {
        i++;
    }
    CHECK(i < n_mapped && mapped[i].iov_len == size);
    mapped[i] = mapped[--n_mapped];
    ovs_mutex_unlock(&vfio_mutex);
    return 0;
}

/* A port has its name only when all have been told of it. */
static void
add_nameless_port(uint16_t port)
{
    CHECK(!port_names[port]);
    callbacks[RTE_ETH_EVENT_NEW](port, RTE_ETH_EVENT_NEW, NULL, NULL);
}

static void
add_port(uint16_t port, const char *name)
{
    add_nameless_port(port);
    port_names[port] = name;
    vhost_dma_run();
    vhost_dma_wait();
}

static void
remove_port(uint16_t port)
{
    callbacks[RTE_ETH_EVENT_DESTROY](port, RTE_ETH_EVENT_DESTROY, NULL, NULL);
    port_names[port] = NULL;
}

static const struct iovec parts[] = {
    { (void *) 0x10000, 0x1000 },
    { (void *) 0x20000, 0x3000 },
    { (void *) 0x30000, 0x1000 },
};
static struct vhost_dma_memory a, b;
static atomic_count n_destroyed;

static void
destroy(struct vhost_dma_memory *memory)
{
    CHECK(memory == &a || memory == &b);
    atomic_count_inc(&n_destroyed);
}

static void
add_memory(void)
{
    vhost_dma_add(&a, "vhu0", parts, 2, destroy);
    vhost_dma_add(&b, "vhu1", parts + 2, 1, destroy);
    vhost_dma_wait();
}

static void
remove_memory(void)
{
    atomic_count_set(&n_destroyed, 0);
    vhost_dma_remove(&a);
    vhost_dma_remove(&b);
    vhost_dma_wait();
    CHECK_INT(n_mapped, 0);
    while (atomic_count_get(&n_destroyed) != 2) {
        xnanosleep(1000 * 1000);        /* The last step, without the mutex. */
    }
}

/* VFIO knows what it has to, once, and no longer than that. */
static void
test_vfio(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    vhost_dma_init();
    add_memory();
    add_port(0, "net_null0");
    CHECK_INT(n_mapped, 0);
    CHECK(!vhost_dma_obstacle(&a));

    add_nameless_port(1);
    vhost_dma_run();
    CHECK_STR(vhost_dma_obstacle(&a),
              "a new DPDK port has not been checked yet");
    port_names[1] = "0000:00:10.0";
    vhost_dma_run();
    vhost_dma_wait();
    CHECK_INT(n_mapped, 3);
    CHECK(!vhost_dma_obstacle(&a) && !vhost_dma_obstacle(&b));
    add_port(2, "0000:00:10.0_port1");
    CHECK_INT(n_mapped, 3);

    vhost_dma_remove(&a);
    vhost_dma_wait();
    CHECK_INT(n_mapped, 1);
    CHECK(mapped[0].iov_base == parts[2].iov_base);
    while (!atomic_count_get(&n_destroyed)) {
        xnanosleep(1000 * 1000);
    }
    vhost_dma_add(&a, "vhu0", parts, 2, destroy);
    vhost_dma_wait();
    CHECK_INT(n_mapped, 3);
    CHECK(!vhost_dma_obstacle(&a));

    remove_port(1);
    CHECK_INT(n_mapped, 3);
    remove_port(2);
    CHECK_INT(n_mapped, 0);
    CHECK(!vhost_dma_obstacle(&a) && !vhost_dma_obstacle(&b));
    add_port(1, "0000:00:10.0");
    CHECK_INT(n_mapped, 3);
    remove_memory();
    CHECK_NOT_LOGGED("zero-copy");
}
VHOST_TEST(test_vfio, "dma-vfio", "zero-copy: VFIO", 0);

/* VFIO cannot map all of one guest's memory. */
static void
test_refused(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    vhost_dma_init();
    add_port(0, "0000:00:10.0");
    max_mapped = 1;
    add_memory();
    CHECK_STR(vhost_dma_obstacle(&a),
              "VFIO cannot map the guest's memory");
    CHECK_LOGGED("vhu0: no zero-copy, because VFIO cannot map the guest's "
                 "memory: Cannot allocate memory");
    CHECK_INT(n_mapped, 1);
    CHECK(mapped[0].iov_base == parts[2].iov_base);
    CHECK(!vhost_dma_obstacle(&b));
    CHECK_NOT_LOGGED("vhu1");

    /* Then there is room, and another occasion to try. */
    max_mapped = ARRAY_SIZE(mapped);
    add_port(1, "0000:00:10.0");
    CHECK(!vhost_dma_obstacle(&a));
    CHECK_INT(n_mapped, 3);
    remove_memory();
}
VHOST_TEST(test_refused, "dma-refused",
           "zero-copy: VFIO cannot map memory", 0);

/* What takes VFIO long is waited for by nobody: packets are copied until then,
 * and memory that is given up goes when VFIO has done with it. */
static void
test_slow(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    bool value = false;

    vhost_dma_init();
    add_port(0, "0000:00:10.0");
    ovs_mutex_lock(&vfio_mutex);
    vhost_dma_add(&a, "vhu0", parts, 2, destroy);
    while (!value) {
        atomic_read(&is_mapping, &value);
    }
    vhost_dma_add(&b, "vhu1", parts + 2, 1, destroy);
    for (int i = 0; i < 3; i++) {
        vhost_dma_run();
        CHECK_STR(vhost_dma_obstacle(&a),
                  "VFIO is being told of the guest's memory");
        CHECK_STR(vhost_dma_obstacle(&b),
                  "VFIO is being told of the guest's memory");
    }
    vhost_dma_remove(&a);
    CHECK_INT(atomic_count_get(&n_destroyed), 0);

    /* One that VFIO has not begun with goes at once. */
    vhost_dma_remove(&b);
    CHECK_INT(atomic_count_get(&n_destroyed), 1);
    ovs_mutex_unlock(&vfio_mutex);
    vhost_dma_wait();
    CHECK_INT(n_mapped, 0);
    while (atomic_count_get(&n_destroyed) != 2) {
        xnanosleep(1000 * 1000);
    }

    /* The last port goes while VFIO is busy. */
    atomic_store(&is_mapping, false);
    value = false;
    ovs_mutex_lock(&vfio_mutex);
    vhost_dma_add(&a, "vhu0", parts, 2, destroy);
    while (!value) {
        atomic_read(&is_mapping, &value);
    }
    ovs_mutex_unlock(&vfio_mutex);
    remove_port(0);
    CHECK_INT(n_mapped, 0);
    CHECK(!vhost_dma_obstacle(&a));
    vhost_dma_remove(&a);
    CHECK_INT(atomic_count_get(&n_destroyed), 3);
}
VHOST_TEST(test_slow, "dma-slow", "zero-copy: VFIO takes its time", 0);

/* Ports that nothing can be done for. */
static void
test_others(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const char *const names[] = {
        "0000:00:20.0", "net_ring0", "virtio_user0"
    };

    vhost_dma_init();
    add_memory();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        forget_log();
        add_port(0, "0000:00:10.0");
        add_port(1, names[i]);
        CHECK_STR(vhost_dma_obstacle(&a), "a DPDK port is not bound to VFIO");
        CHECK_STR(vhost_dma_obstacle(&b), "a DPDK port is not bound to VFIO");
        CHECK_LOGGED("from now on, dq-zero-copy has no effect: a DPDK port is "
                     "not bound to VFIO: ");
        CHECK_LOGGED(names[i]);
        CHECK_INT(n_mapped, 3);
        remove_port(1);
        CHECK(!vhost_dma_obstacle(&a) && !vhost_dma_obstacle(&b));
        remove_port(0);
        CHECK_INT(n_mapped, 0);
    }

    iova_mode = RTE_IOVA_PA;
    add_port(2, "net_tap0");
    CHECK(!vhost_dma_obstacle(&a));
    add_port(0, "0000:00:10.0");
    CHECK_STR(vhost_dma_obstacle(&a), "a DPDK port is not behind an IOMMU");
    CHECK_INT(n_mapped, 0);
    remove_memory();
}
VHOST_TEST(test_others, "dma-others", "zero-copy: ports without VFIO", 0);
