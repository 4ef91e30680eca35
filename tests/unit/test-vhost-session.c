/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "random.h"
#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-compat.h"
#include "vhost-device.h"
#include "vhost-numa.h"
#include "vhost-session.h"
#include "vhost-stats.h"
#include "vhost-supply.h"
#include "vhost-tally.h"

/* What DPDK 22.11 to 25.11 offer, but for sessions of vhost-crypto.  The stub
 * offers more, as DPDK 26.07 does: "configure_mem_slots". */
#define FEATURES UINT64_C(0xf7c66ffcb)
#define PROTOCOL_FEATURES UINT64_C(0x10d3f)

static void
test_open(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session_config config = {
        .path = path_of("s0"), .library_data_path = true
    };
    struct vhost_session *session;
    char *error = NULL;

    fixture_netdev = open_port("port0", "dpdkvhostuserclient");
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session && !error);
    CHECK_STR(vhost_session_path(session), config.path);
    CHECK(!vhost_session_is_client(session));
    CHECK(!vhost_session_device(session));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);
    CHECK_INT(stub_vhost.flags, RTE_VHOST_USER_LINEARBUF_SUPPORT
                                | RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS
                                | RTE_VHOST_USER_NET_STATS_ENABLE);
    CHECK_INT(stub_vhost.features,
              FEATURES & ~(UINT64_C(1) << VIRTIO_NET_F_CSUM
                           | UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM));
    CHECK_INT(stub_vhost.protocol_features,
              PROTOCOL_FEATURES
              & ~(UINT64_C(1) << VHOST_USER_PROTOCOL_F_PAGEFAULT));
    vhost_session_close(session);
    vhost_session_close(NULL);
    CHECK(!vhost_session_device(NULL));

    config.client = config.iommu = config.postcopy = config.tso = true;
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session && vhost_session_is_client(session));
    CHECK_INT(stub_vhost.flags, RTE_VHOST_USER_LINEARBUF_SUPPORT
                                | RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS
                                | RTE_VHOST_USER_NET_STATS_ENABLE
                                | RTE_VHOST_USER_CLIENT
                                | RTE_VHOST_USER_IOMMU_SUPPORT
                                | RTE_VHOST_USER_POSTCOPY_SUPPORT
                                | RTE_VHOST_USER_EXTBUF_SUPPORT);
    CHECK_INT(stub_vhost.features,
              FEATURES & ~(UINT64_C(1) << VIRTIO_NET_F_HOST_ECN
                           | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO));
    CHECK_INT(stub_vhost.protocol_features, PROTOCOL_FEATURES);
    vhost_session_close(session);

    config.tso = false;
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session);
    CHECK_INT(stub_vhost.features,
              FEATURES & ~(VHOST_CHECKSUMS_ALWAYS
                           ? UINT64_C(1) << VIRTIO_NET_F_GSO
                             | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4
                             | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6
                             | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO
                           : UINT64_C(1) << VIRTIO_NET_F_CSUM));
    close_last_session(session);
}
VHOST_TEST(test_open, "session-open", "session: open and close", TEST_DPDK);

static void
check_open_fails(const char *part)
{
    const struct vhost_session_config config = {
        .path = path_of("s0"), .library_data_path = true
    };
    unsigned int n_sockets = stub_vhost.n_sockets;
    char *error = NULL;

    CHECK(!vhost_session_open(&config, fixture_netdev, &error));
    CHECK_HAS(error, part);
    CHECK_HAS(error, config.path);
    free(error);

    /* Nothing is left, the path least of all. */
    CHECK_INT(stub_vhost.n_sockets, n_sockets);
}

static void
test_open_errors(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");

    check_open_fails("is already used by port port0");
    CHECK_STR(vhost_session_path_user(path_of("s0")), "port0");
    CHECK_STR(vhost_session_path_user(path_of("s1")), NULL);
    vhost_session_close(session);
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);

    stub_vhost.fail_register = true;
    check_open_fails("cannot register");
    stub_vhost.fail_register = false;
    stub_vhost.fail_callback_register = true;
    check_open_fails("cannot register callbacks for");
    stub_vhost.fail_callback_register = false;
    stub_vhost.fail_disable_features = true;
    check_open_fails("cannot set the features of");
    stub_vhost.fail_disable_features = false;
    stub_vhost.fail_set_protocol_features = true;
    check_open_fails("cannot set the features of");
    stub_vhost.fail_set_protocol_features = false;
    stub_vhost.fail_start = true;
    check_open_fails("cannot start");
    stub_vhost.fail_start = false;
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);
    vhost_session_close(open_session("s0"));

    /* Somebody else has closed the socket. */
    session = open_session("s0");
    CHECK(!rte_vhost_driver_unregister(path_of("s0")));
    forget_log();
    vhost_session_close(session);
    CHECK_LOGGED("port0: cannot unregister vhost socket");
    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_open_errors, "session-open-errors",
           "session: librte_vhost fails", TEST_DPDK);

static void *
do_nothing(void *aux OVS_UNUSED)
{
    return NULL;
}

static void
test_close(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *s0 = open_session("s0");
    struct vhost_session *s1 = open_session("s1");
    int vid = connect_guest(s0, 2), other;

    /* With the guest connected, and somebody else besides. */
    CHECK(guest_connect(vhost_session_path(s0)) >= 0);
    vhost_session_close(s0);
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been removed");
    CHECK_STR(vhost_session_path_user(path_of("s0")), NULL);

    /* The guest's end is of no consequence any more... */
    forget_log();
    guest_set_vring(vid, 1, false);
    guest_disconnect(vid);
    CHECK_INT(stub_vhost.ops->vring_state_changed(vid, 1, false), 0);
    CHECK_STR(read_log(), "");

    /* ...not even if the library gives its number to another socket's. */
    other = connect_guest(s1, 1);
    CHECK_INT(other, vid);
    CHECK_INT(vhost_session_device(s1)->vid, vid);
    check_demand(s1, true, 1, 1, 0);

    /* The path is free. */
    s0 = open_session("s0");
    check_demand(s0, false, 1, 1, VHOST_NODE_UNKNOWN);
    connect_guest(s0, 1);

    /* With more than one thread, too, whatever the state of this one, which
     * must not change. */
    xpthread_join(ovs_thread_create("once", do_nothing, NULL), NULL);
    CHECK(!ovsrcu_is_quiescent());
    vhost_session_close(s0);
    CHECK(!ovsrcu_is_quiescent());
    ovsrcu_quiesce_start();
    vhost_session_close(s1);
    CHECK(ovsrcu_is_quiescent());
    ovsrcu_quiesce_end();

    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_close, "session-close",
           "session: closed with a guest", TEST_DPDK);

static struct ovs_mutex outer_mutex = OVS_MUTEX_INITIALIZER;
static atomic_bool wants_mutex = false;

/* A thread that does not quiesce, because it waits for a lock. */
static void *
wait_for_mutex(void *aux OVS_UNUSED)
{
    atomic_store(&wants_mutex, true);
    ovs_mutex_lock(&outer_mutex);
    ovs_mutex_unlock(&outer_mutex);
    return NULL;
}

static void *
connect_one(void *session)
{
    connect_guest(session, 1);
    return NULL;
}

static void *
stop_guest(void *vidp)
{
    guest_stop(*(int *) vidp);
    return NULL;
}

/* A session is closed with a lock held that a thread wants, which therefore
 * does not quiesce, while librte_vhost's event thread waits for it to
 * quiesce. */
static void
test_close_locked(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    pthread_t waiter, events;
    bool ready = false;

    ovs_mutex_lock(&outer_mutex);
    waiter = ovs_thread_create("waiter", wait_for_mutex, NULL);
    while (!ready) {
        atomic_read(&wants_mutex, &ready);
    }
    CHECK(!pthread_create(&events, NULL, stop_guest, &vid));
    while (vhost_session_device(session)) {
        xnanosleep(1000 * 1000);
    }
    vhost_session_close(session);
    ovs_mutex_unlock(&outer_mutex);

    CHECK(!pthread_join(events, NULL));
    CHECK(!pthread_join(waiter, NULL));

    /* The same with a device that runs. */
    session = open_session("s0");
    CHECK(!pthread_create(&events, NULL, connect_one, session));
    CHECK(!pthread_join(events, NULL));
    CHECK(vhost_session_device(session));
    atomic_store(&wants_mutex, false);
    ready = false;
    ovs_mutex_lock(&outer_mutex);
    waiter = ovs_thread_create("waiter", wait_for_mutex, NULL);
    while (!ready) {
        atomic_read(&wants_mutex, &ready);
    }
    vhost_session_close(session);
    ovs_mutex_unlock(&outer_mutex);
    CHECK(!pthread_join(waiter, NULL));

    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_close_locked, "session-close-locked",
           "session: closed with a lock held", TEST_DPDK);

/* Stress: the event thread's guests come and go, two threads exchange packets
 * as PMD threads do, and the main thread asks questions and closes sessions,
 * all at once. */

#define N_SLOTS 3
#define STRESS_MS 1000

static struct slot {
    char name[16];

    /* Write-locked to change 'session', as the datapath stops all PMD threads
     * to reconfigure a port. */
    struct ovs_rwlock rwlock;
    struct vhost_session *session;
} slots[N_SLOTS];

static atomic_bool stop = false;
static atomic_count n_exchanged = ATOMIC_COUNT_INIT(0);
static atomic_count n_devices = ATOMIC_COUNT_INIT(0);
static struct rte_mempool *stress_mp;

static bool
is_stopped(void)
{
    bool value;

    atomic_read(&stop, &value);
    return value;
}

static void *
stress_events(void *aux OVS_UNUSED)
{
    int vids[N_SLOTS] = { -1, -1, -1 };

    while (!is_stopped()) {
        unsigned int i = random_range(N_SLOTS);

        switch (random_range(6)) {
        case 0:
            guest_disconnect(vids[i]);
            vids[i] = guest_connect(path_of(slots[i].name));
            break;
        case 1:
        case 2:
            guest_start(vids[i], 1 + random_range(4));
            atomic_count_inc(&n_devices);
            break;
        case 3:
            guest_stop(vids[i]);
            break;
        default:
            guest_set_vring(vids[i], random_range(8), random_range(2));
            break;
        }
    }
    return NULL;
}

/* Receive queues are polled by one thread at a time: 'i', 0 or 1. */
static void
stress_exchange(struct vhost_device *device, unsigned int i)
{
    unsigned int pair = 2 * random_range(2) + i;
    struct vhost_queue *rxq = &device->rxqs[pair];
    struct rte_mbuf *mbufs[32];
    unsigned int n;
    int target;

    n = device->datapath->dequeue(device, rxq, stress_mp, mbufs, 32, NULL);
    device->datapath->n_pending(device, rxq);
    atomic_count_set(&n_exchanged, atomic_count_get(&n_exchanged) + n);

    atomic_read_relaxed(&device->txq_map[pair], &target);
    CHECK(target < 4);
    if (target >= 0 && n) {
        rte_spinlock_lock(&device->txqs[target].lock);
        device->datapath->enqueue(device, &device->txqs[target], mbufs, n,
                                  NULL);
        rte_spinlock_unlock(&device->txqs[target].lock);
    }
    rte_pktmbuf_free_bulk(mbufs, n);
}

static void *
stress_pmd(void *index)
{
    while (!is_stopped()) {
        for (int i = 0; i < N_SLOTS; i++) {
            if (!ovs_rwlock_tryrdlock(&slots[i].rwlock)) {
                struct vhost_device *device
                    = vhost_session_device(slots[i].session);

                if (device) {
                    stress_exchange(device, (uintptr_t) index);
                }
                ovs_rwlock_unlock(&slots[i].rwlock);
            }
        }
        ovsrcu_quiesce();
    }
    return NULL;
}

static void
set_session(struct slot *slot, struct vhost_session *session)
{
    ovs_rwlock_wrlock(&slot->rwlock);
    slot->session = session;
    ovs_rwlock_unlock(&slot->rwlock);
}

static void
stress_main(struct slot *slot)
{
    struct vhost_session *session = slot->session;
    struct netdev_custom_stats custom = { .size = 0 };
    struct vhost_vring_stats rx, tx;
    struct vhost_demand demand;

    switch (random_range(8)) {
    case 0:
        set_session(slot, NULL);
        vhost_session_close(session);
        set_session(slot, open_session(slot->name));
        break;
    case 1:
    case 2:
        vhost_tally_add_vrings(vhost_session_tally(session), &custom);
        netdev_free_custom_stats_counters(&custom);
        break;
    case 3:
    case 4:
        vhost_supply_take(vhost_session_supply(session), &demand);
        CHECK(demand.n_rxqs >= 1 && demand.n_rxqs <= 4);
        break;
    default:
        memset(&rx, 0, sizeof rx);
        memset(&tx, 0, sizeof tx);
        vhost_tally_add_sums(vhost_session_tally(session), &rx, &tx);
        break;
    }
    reconfigure(fixture_netdev);
    ovsrcu_quiesce();
}

static void
test_stress(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    long long int end = time_msec() + STRESS_MS;
    pthread_t events, pmds[2];
    unsigned int n = 0;

    stub_vhost.endless = true;
    stress_mp = make_mempool();
    for (int i = 0; i < N_SLOTS; i++) {
        snprintf(slots[i].name, sizeof slots[i].name, "s%d", i);
        ovs_rwlock_init(&slots[i].rwlock);
        slots[i].session = open_session(slots[i].name);
    }
    for (int i = 0; i < ARRAY_SIZE(pmds); i++) {
        pmds[i] = ovs_thread_create("pmd", stress_pmd,
                                    (void *) (uintptr_t) i);
    }
    CHECK(!pthread_create(&events, NULL, stress_events, NULL));

    /* No idle time, on a slow machine either. */
    while (time_msec() < end || !atomic_count_get(&n_exchanged)
           || atomic_count_get(&n_devices) <= 10) {
        stress_main(&slots[random_range(N_SLOTS)]);
        n++;
    }

    atomic_store(&stop, true);
    ovsrcu_quiesce_start();
    CHECK(!pthread_join(events, NULL));
    for (int i = 0; i < ARRAY_SIZE(pmds); i++) {
        CHECK(!pthread_join(pmds[i], NULL));
    }
    ovsrcu_quiesce_end();

    printf("%u packets, %u starts, %u questions\n",
           atomic_count_get(&n_exchanged), atomic_count_get(&n_devices), n);
    for (int i = 0; i < N_SLOTS; i++) {
        vhost_session_close(slots[i].session);
    }
    netdev_close(fixture_netdev);
    check_sessions_closed();
    CHECK_INT(rte_mempool_in_use_count(stress_mp), 0);
}
VHOST_TEST(test_stress, "session-stress", "session: all at once", TEST_DPDK);
