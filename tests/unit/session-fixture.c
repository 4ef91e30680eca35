/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "session-fixture.h"

#include <rte_mbuf.h>

#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-device.h"
#include "vhost-session.h"
#include "vhost-supply.h"

struct netdev *fixture_netdev;

struct vhost_session *
open_session(const char *name)
{
    const struct vhost_session_config config = {
        .path = path_of(name), .client = true, .library_data_path = true
    };

    return open_session_as(&config);
}

struct vhost_session *
open_session_as(const struct vhost_session_config *config)
{
    struct vhost_session *session;
    char *error = NULL;

    if (!fixture_netdev) {
        fixture_netdev = open_port("port0", "dpdkvhostuserclient");
        CHECK(reconfigure(fixture_netdev));
    }
    session = vhost_session_open(config, fixture_netdev, &error);
    CHECK_STR(error, NULL);
    CHECK(session);
    return session;
}

void
close_last_session(struct vhost_session *session)
{
    vhost_session_close(session);
    netdev_close(fixture_netdev);
    check_sessions_closed();
}

int
connect_guest(const struct vhost_session *session, unsigned int n_pairs)
{
    int vid = guest_connect(vhost_session_path(session));

    CHECK(vid >= 0);
    guest_start(vid, n_pairs);
    return vid;
}

bool
rxq_enabled(struct vhost_device *device, unsigned int i)
{
    bool enabled;

    atomic_read_relaxed(&device->rxqs[i].enabled, &enabled);
    return enabled;
}

int
txq_target(const struct vhost_session *session, unsigned int i)
{
    int target;

    atomic_read_relaxed(&vhost_session_device(session)->txq_map[i], &target);
    return target;
}

struct rte_mempool *
make_mempool(void)
{
    return rte_pktmbuf_pool_create("test", 1023, 0, 0, 2048, 0);
}

void
check_demand(struct vhost_session *session, bool has_guest,
             unsigned int n_rxqs, unsigned int n_txqs, int node)
{
    struct vhost_demand demand;

    vhost_supply_take(vhost_session_supply(session), &demand);
    CHECK_INT(demand.has_guest, has_guest);
    CHECK_INT(demand.n_rxqs, n_rxqs);
    CHECK_INT(demand.n_txqs, n_txqs);
    CHECK_INT(demand.node, node);
}
