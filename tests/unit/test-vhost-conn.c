/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>

#include <linux/virtio_net.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>

#include "netdev-provider.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "session-fixture.h"
#include "stub-rte-vhost.h"
#include "stub-rte-vhost-private.h"
#include "test-vhost.h"
#include "timeval.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-message.h"
#include "vhost-numa.h"
#include "vhost-session.h"
#include "vhost-supply.h"

static void
test_start(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    uint64_t change_seq = netdev_get_change_seq(fixture_netdev);
    int vid = guest_connect(vhost_session_path(session));
    struct vhost_device *device;

    CHECK_INT(vid, 0);
    guest_set_features(vid, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
    guest_set_vring(vid, 0, true);
    guest_set_vring(vid, 3, true);
    CHECK(!vhost_session_device(session));
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);

    /* Now the first pair is ready.  What was enabled before counts. */
    guest_set_vring(vid, 1, true);
    CHECK(guest_is_running(vid));
    device = vhost_session_device(session);
    CHECK(device && device->datapath == &vhost_datapath_library);
    CHECK_INT(device->vid, vid);
    CHECK_INT(device->node, 0);
    CHECK_INT(device->features, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
    for (unsigned int i = 0; i < VHOST_MAX_QUEUE_PAIRS; i++) {
        CHECK_INT(device->txqs[i].vring, 2 * i);
        CHECK_INT(device->rxqs[i].vring, 2 * i + 1);
        CHECK_INT(rxq_enabled(device, i), i < 2);
    }
    CHECK(netdev_is_reconf_required(fixture_netdev));
    CHECK(netdev_get_change_seq(fixture_netdev) != change_seq);
    check_demand(session, true, 2, 1, 0);
    CHECK_LOGGED("State of queue 3 ( rx_qid 1 ) of vhost device "
                 "'/proc/self/cwd/s0' changed to 'enabled'");
    CHECK_LOGGED("State of queue 0 ( tx_qid 0 ) of vhost device");
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been added on numa "
                 "node 0");
    CHECK(reconfigure(fixture_netdev));

    /* Later ones do, too. */
    guest_set_vring(vid, 2, true);
    CHECK(netdev_is_reconf_required(fixture_netdev));
    check_demand(session, true, 2, 2, 0);
    CHECK_INT(txq_target(session, 1), 1);

    close_last_session(session);
}
VHOST_TEST(test_start, "session-start", "session: a guest starts", TEST_DPDK);

static void
test_demand(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 4);

    check_demand(session, true, 4, 4, 0);
    CHECK(reconfigure(fixture_netdev));

    /* What is between does not matter, but the last queue does, after a
     * while. */
    guest_set_vring(vid, 5, false);
    guest_set_vring(vid, 2, false);
    pass_time(2 * VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    CHECK(!rxq_enabled(vhost_session_device(session), 2));
    guest_set_vring(vid, 7, false);
    pass_time(VHOST_SETTLE_TIME - 1000);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 4, 4, 0);
    pass_time(1000);
    CHECK(vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 2, 4, 0);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    guest_set_vring(vid, 6, false);
    guest_set_vring(vid, 4, false);
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, true, 2, 1, 0);

    /* What is taken back in time costs nothing. */
    guest_set_vring(vid, 3, false);
    pass_time(VHOST_SETTLE_TIME - 1000);
    guest_set_vring(vid, 3, true);
    pass_time(2 * VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));

    /* More is given at once, and all that there is... */
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    guest_set_vring(vid, 5, true);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 4, 1, 0);

    /* ...so that a guest cannot keep the datapath busy. */
    for (int i = 0; i < 50; i++) {
        guest_set_vring(vid, 7, true);
        pass_time(VHOST_SETTLE_TIME / 5);
        guest_set_vring(vid, 7, false);
        pass_time(VHOST_SETTLE_TIME / 5);
        CHECK(!netdev_is_reconf_required(fixture_netdev));
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    }

    /* No queue at all still needs one for the datapath. */
    for (int i = 0; i < 8; i++) {
        guest_set_vring(vid, i, false);
    }
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, true, 1, 1, 0);

    close_last_session(session);
}
VHOST_TEST(test_demand, "session-demand",
           "session: queues come and go", TEST_DPDK);

/* Checks that the device of 'vid', -1 for none, is the one that runs. */
static void
check_running(const struct vhost_session *session, int vid)
{
    const struct vhost_device *device = vhost_session_device(session);

    CHECK_INT(device ? device->vid : -1, vid);
}

static void
test_second_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int first = connect_guest(session, 1);
    int second, third;

    check_demand(session, true, 1, 1, 0);
    CHECK(reconfigure(fixture_netdev));
    forget_log();
    second = connect_guest(session, 2);
    CHECK(second != first);
    check_running(session, first);
    CHECK_LOGGED("a second guest wants to use the socket while the first is "
                 "connected, and has to wait");

    /* It has no influence on the first. */
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, true, 1, 1, 0);
    CHECK_INT(txq_target(session, 1), 0);

    /* When the first has gone, it is the second's turn. */
    guest_disconnect(first);
    check_running(session, second);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 2, 2, 0);
    CHECK_INT(txq_target(session, 1), 1);

    /* Also when the first has only stopped, and the other way round. */
    first = connect_guest(session, 1);
    check_running(session, second);
    guest_stop(second);
    check_running(session, first);
    guest_start(second, 2);
    check_running(session, first);
    guest_disconnect(first);
    check_running(session, second);
    check_demand(session, true, 2, 2, 0);

    /* Not so if it has stopped or gone meanwhile. */
    first = connect_guest(session, 1);
    third = connect_guest(session, 1);
    guest_stop(first);
    guest_disconnect(third);
    check_running(session, second);
    guest_disconnect(second);
    check_running(session, -1);

    /* Somebody who is connected, but does nothing, is not a guest. */
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, false, 1, 1, 0);
    guest_start(first, 1);
    check_running(session, first);
    guest_connect(vhost_session_path(session));
    guest_disconnect(first);
    pass_time(VHOST_SETTLE_TIME);
    check_demand(session, false, 1, 1, 0);

    close_last_session(session);
}
VHOST_TEST(test_second_guest, "session-second-guest",
           "session: a second guest", TEST_DPDK);

static void
test_refusals(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    const struct rte_vhost_device_ops *ops = stub_vhost.ops;
    int vid;

    /* A socket that nobody has a session for. */
    CHECK(!rte_vhost_driver_register(path_of("s9"), 0));
    CHECK(!rte_vhost_driver_callback_register(path_of("s9"), ops));
    CHECK(!rte_vhost_driver_start(path_of("s9")));
    CHECK_INT(guest_connect(path_of("s9")), -1);
    CHECK_LOGGED("s9' can't be added - name not found");
    CHECK(!rte_vhost_driver_unregister(path_of("s9")));

    /* A front end that all others might have to wait for. */
    stub_vhost.no_connection = true;
    CHECK_INT(guest_connect(path_of("s0")), -1);
    CHECK_LOGGED("s0': refused, because its socket was not found");
    stub_vhost.no_connection = false;

    /* Devices that nobody knows. */
    CHECK_INT(ops->new_connection(-1), -1);
    CHECK_INT(ops->new_connection(RTE_MAX_VHOST_DEVICE), -1);
    CHECK_INT(ops->new_connection(20), -1);
    CHECK_INT(ops->new_device(-1), -1);
    CHECK_INT(ops->new_device(RTE_MAX_VHOST_DEVICE), -1);
    CHECK_INT(ops->new_device(20), -1);
    CHECK_INT(ops->vring_state_changed(20, 0, 1), 0);
    ops->destroy_device(20);
    ops->destroy_connection(20);
    stub_vhost.n_late_calls = 0;

    /* A virtqueue that there cannot be. */
    vid = connect_guest(session, 1);
    forget_log();
    CHECK_INT(ops->vring_state_changed(vid, VHOST_MAX_VRINGS, 1), 0);
    CHECK_STR(read_log(), "");
    guest_disconnect(vid);

    close_last_session(session);
}
VHOST_TEST(test_refusals, "session-refusals",
           "session: what is refused", TEST_DPDK);

/* A front end that connects while its socket is closed, and says something. */
static void
connect_late(const char *path)
{
    uint64_t features = 0;
    int vid = guest_connect(path);

    CHECK(vid >= 0);
    CHECK_INT(guest_message(vid, VHOST_REQUEST_SET_FEATURES, &features,
                            sizeof features), RTE_VHOST_MSG_RESULT_OK);
}

/* Connections that end one after the other, as those of a front end that tries
 * again and again, are not too many.  Nor is one while the session is closed
 * something to complain about: the next session gets the next one. */
static void
test_flapping(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");

    for (int i = 0; i < 100; i++) {
        int vid = guest_connect(path_of("s0"));

        CHECK(vid >= 0);
        guest_disconnect(vid);
    }
    forget_log();
    stub_vhost.before_unregister = connect_late;
    vhost_session_close(session);
    stub_vhost.before_unregister = NULL;
    CHECK_STR(read_log(), "");

    netdev_close(fixture_netdev);
    check_sessions_closed();
}
VHOST_TEST(test_flapping, "session-flapping",
           "session: a front end connects while it is closed", TEST_DPDK);

static void
test_restart(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 3);

    check_demand(session, true, 3, 3, 0);
    CHECK(reconfigure(fixture_netdev));
    forget_log();

    /* A driver that is loaded again, and a guest that reboots, want what they
     * had; to forget that would cost reconfigurations for nothing. */
    for (int i = 0; i < 20; i++) {
        guest_stop(vid);
        CHECK(!vhost_session_device(session));
        CHECK(!guest_is_running(vid));
        pass_time(2 * VHOST_SETTLE_TIME);
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
        guest_start(vid, 1);
        guest_disconnect(vid);
        CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
        vid = connect_guest(session, 3);
        CHECK(!netdev_is_reconf_required(fixture_netdev));
        check_demand(session, true, 3, 3, 0);
    }
    CHECK_LOGGED("vHost Device '/proc/self/cwd/s0' has been removed");
    CHECK_LOGGED("changed to 'disabled'");

    close_last_session(session);
}
VHOST_TEST(test_restart, "session-restart",
           "session: a guest restarts", TEST_DPDK);

static void
test_disconnect(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid;

    /* Before any virtqueue is set up. */
    guest_disconnect(guest_connect(vhost_session_path(session)));
    CHECK(!netdev_is_reconf_required(fixture_netdev));

    /* With half of them. */
    vid = guest_connect(vhost_session_path(session));
    guest_set_vring(vid, 1, true);
    guest_disconnect(vid);
    CHECK(!netdev_is_reconf_required(fixture_netdev));
    check_demand(session, false, 1, 1, VHOST_NODE_UNKNOWN);

    vid = connect_guest(session, 3);
    check_demand(session, true, 3, 3, 0);
    CHECK(reconfigure(fixture_netdev));
    guest_disconnect(vid);
    CHECK(!vhost_session_device(session));
    CHECK_LOGGED("connection has been destroyed");
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, true, 3, 3, 0);
    pass_time(VHOST_SETTLE_TIME);
    CHECK(vhost_supply_is_due(vhost_session_supply(session)));
    check_demand(session, false, 1, 1, 0);
    pass_time(VHOST_SETTLE_TIME);
    CHECK(!vhost_supply_is_due(vhost_session_supply(session)));

    /* What one guest had enabled is no business of the next. */
    vid = guest_connect(vhost_session_path(session));
    guest_start(vid, 1);
    CHECK(reconfigure(fixture_netdev));
    check_demand(session, true, 1, 1, 0);
    CHECK_INT(txq_target(session, 1), 0);
    CHECK(!rxq_enabled(vhost_session_device(session), 1));

    close_last_session(session);
}
VHOST_TEST(test_disconnect, "session-disconnect",
           "session: a guest leaves", TEST_DPDK);

/* Other threads while a guest stops. */
static atomic_bool is_running, may_end, has_stopped;
static struct rte_mempool *mp;

static bool
is_set(atomic_bool *flag)
{
    bool value;

    atomic_read(flag, &value);
    return value;
}

static void
wait_until(atomic_bool *flag)
{
    while (!is_set(flag)) {
        rte_delay_us_sleep(100);
    }
}

/* Starts an OVS thread that does not quiesce before its end, and waits until
 * it is at it. */
static pthread_t
start_thread(void *(*run)(void *), void *aux)
{
    pthread_t thread;

    atomic_store(&is_running, false);
    atomic_store(&may_end, false);
    thread = ovs_thread_create("other", run, aux);
    wait_until(&is_running);
    return thread;
}

static void *
be_busy(void *session)
{
    CHECK(vhost_session_device(session));
    atomic_store(&is_running, true);
    wait_until(&may_end);
    return NULL;
}

static void *
receive_burst(void *session)
{
    struct vhost_device *device = vhost_session_device(session);
    struct rte_mbuf *mbufs[32];

    atomic_store(&is_running, true);
    device->datapath->dequeue(device, &device->rxqs[0], mp, mbufs, 32, NULL);
    return NULL;
}

static void *
look(void *session)
{
    struct vhost_device *device = vhost_session_device(session);

    atomic_store(&is_running, true);
    device->datapath->n_pending(device, &device->rxqs[0]);
    return NULL;
}

static void *
stop_guest(void *vidp)
{
    guest_stop(*(int *) vidp);
    atomic_store(&has_stopped, true);
    return NULL;
}

/* A thread that is busy with something else, such as the main thread, does not
 * keep a guest that stops waiting, nor the others, whose messages the same
 * thread handles. */
static void
test_busy_thread(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    pthread_t other = start_thread(be_busy, session), events;

    atomic_store(&has_stopped, false);
    CHECK(!pthread_create(&events, NULL, stop_guest, &vid));
    for (int i = 0; i < 500 && !is_set(&has_stopped); i++) {
        rte_delay_us_sleep(10 * 1000);
    }
    CHECK(is_set(&has_stopped));
    atomic_store(&may_end, true);
    xpthread_join(events, NULL);
    xpthread_join(other, NULL);
    close_last_session(session);
}
VHOST_TEST(test_busy_thread, "session-busy-thread",
           "session: a guest stops while a thread is busy", TEST_DPDK);

static void *
restart_guest(void *vidp)
{
    for (int i = 0; i < 70; i++) {
        guest_start(*(int *) vidp, 1);
        guest_stop(*(int *) vidp);
    }
    atomic_store(&has_stopped, true);
    return NULL;
}

/* Meanwhile, what the guest's devices have cannot be freed.  It gets no more
 * of them than is good for the switch. */
static void
test_busy_thread_restarts(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session *session = open_session("s0");
    int vid = connect_guest(session, 1);
    pthread_t other = start_thread(be_busy, session), events;
    long long int start = time_msec();

    atomic_store(&has_stopped, false);
    CHECK(!pthread_create(&events, NULL, restart_guest, &vid));
    wait_until(&has_stopped);
    CHECK(time_msec() - start >= (70 - 64 - 1) * 10);
    atomic_store(&may_end, true);
    xpthread_join(events, NULL);
    xpthread_join(other, NULL);
    close_last_session(session);
}
VHOST_TEST(test_busy_thread_restarts, "session-busy-restarts",
           "session: a guest restarts while a thread is busy", TEST_DPDK);

/* A thread that uses the device is waited for. */
static void
test_busy_device(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    void *(*const users[])(void *) = { receive_burst, look };
    struct vhost_session *session = open_session("s0");

    mp = make_mempool();
    for (int i = 0; i < ARRAY_SIZE(users); i++) {
        int vid = connect_guest(session, 1);
        pthread_t other, events;

        /* It waits inside of librte_vhost. */
        rte_spinlock_lock(&stub_get_vring(vid, 1)->access_lock);
        other = start_thread(users[i], session);
        rte_delay_us_sleep(10 * 1000);
        atomic_store(&has_stopped, false);
        CHECK(!pthread_create(&events, NULL, stop_guest, &vid));
        rte_delay_us_sleep(200 * 1000);
        CHECK(!is_set(&has_stopped));
        CHECK(!stub_get_vring(vid, 1)->late);
        rte_spinlock_unlock(&stub_get_vring(vid, 1)->access_lock);
        xpthread_join(events, NULL);
        CHECK(is_set(&has_stopped));
        xpthread_join(other, NULL);
        ovsrcu_quiesce_start(); /* As librte_vhost's event thread. */
        guest_disconnect(vid);
    }
    ovsrcu_quiesce_end();
    close_last_session(session);
}
VHOST_TEST(test_busy_device, "session-busy-device",
           "session: a guest stops while its device is in use", TEST_DPDK);
