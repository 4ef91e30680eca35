/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>

#include "netdev-provider.h"
#include "ovs-rcu.h"
#include "port-fixture.h"
#include "smap.h"
#include "sset.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-port.h"

static void
test_qos(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct smap details = SMAP_INITIALIZER(&details);
    struct netdev_queue_dump dump;
    struct netdev_queue_stats stats;
    struct sset types = SSET_INITIALIZER(&types);
    unsigned int queue_id, n = 0;
    struct smap found;
    const char *type;

    CHECK_INT(netdev_get_qos_types(netdev, &types), 0);
    CHECK_INT(sset_count(&types), 2);
    CHECK(sset_contains(&types, "egress-policer"));
    CHECK(sset_contains(&types, "trtcm-policer"));
    sset_destroy(&types);

    /* None at first. */
    smap_init(&found);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "");
    CHECK_INT(netdev_set_queue(netdev, 0, &details), EOPNOTSUPP);
    CHECK_INT(netdev_get_queue(netdev, 0, &found), EOPNOTSUPP);
    CHECK_INT(netdev_delete_queue(netdev, 0), EOPNOTSUPP);
    CHECK_INT(netdev_get_queue_stats(netdev, 0, &stats), EOPNOTSUPP);
    NETDEV_QUEUE_FOR_EACH (&queue_id, &found, &dump, netdev) {
        n++;
    }
    CHECK_INT(n, 0);
    CHECK_INT(netdev_set_qos(netdev, "linux-htb", &details), EOPNOTSUPP);
    CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), EINVAL);
    CHECK_LOGGED("Failed to set QoS type egress-policer on port vhu0");

    smap_add(&details, "cir", "1000");
    smap_add(&details, "cbs", "2000");
    CHECK_INT(netdev_set_qos(netdev, "egress-policer", &details), 0);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "egress-policer");
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_set_queue(netdev, 1, &details), EOPNOTSUPP);

    /* Another type, with queues. */
    smap_add(&details, "eir", "3000");
    smap_add(&details, "ebs", "4000");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    smap_clear(&found);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "trtcm-policer");
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    smap_clear(&found);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), 0);
    CHECK(smap_equal(&details, &found));
    CHECK_INT(netdev_get_queue(netdev, 2, &found), EINVAL);
    smap_clear(&details);
    smap_add(&details, "cir", "1");
    CHECK_INT(netdev_set_queue(netdev, 2, &details), EINVAL);
    CHECK_LOGGED("Failed to set QoS queue 2 on port vhu0");
    CHECK_INT(netdev_get_queue_stats(netdev, 1, &stats), 0);
    CHECK_INT(stats.tx_packets, 0);
    NETDEV_QUEUE_FOR_EACH (&queue_id, &found, &dump, netdev) {
        CHECK_INT(queue_id, 1);
        CHECK_STR(smap_get(&found, "eir"), "3000");
        n++;
    }
    CHECK_INT(n, 1);

    /* Setting the same again keeps the queues, something else does not. */
    smap_replace(&details, "cir", "1000");
    smap_add(&details, "cbs", "2000");
    smap_add(&details, "eir", "3000");
    smap_add(&details, "ebs", "4000");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), 0);
    CHECK_INT(netdev_delete_queue(netdev, 1), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), EINVAL);
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    smap_replace(&details, "cir", "1001");
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_get_queue(netdev, 1, &found), EINVAL);
    CHECK_INT(netdev_set_qos(netdev, "", &details), 0);
    CHECK_INT(netdev_get_qos(netdev, &type, &found), 0);
    CHECK_STR(type, "");

    /* The last one goes with the port. */
    CHECK_INT(netdev_set_qos(netdev, "trtcm-policer", &details), 0);
    CHECK_INT(netdev_set_queue(netdev, 1, &details), 0);
    CHECK_INT(netdev_set_policing(netdev, 1000, 100, 0, 0), 0);
    smap_destroy(&details);
    smap_destroy(&found);
    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_qos, "port-qos", "port: QoS", TEST_DPDK);

static void
test_policing(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct vhost_port *port = vhost_port_cast(netdev);
    struct vhost_policer *policer;

    CHECK(!ovsrcu_get(struct vhost_policer *, &port->policer));
    CHECK_INT(netdev_set_policing(netdev, 1000, 0, 0, 0), 0);
    policer = ovsrcu_get(struct vhost_policer *, &port->policer);
    CHECK(policer);

    /* The same, with the default burst spelled out, changes nothing: what it
     * has counted so far would be lost. */
    CHECK_INT(netdev_set_policing(netdev, 1000, 8000, 0, 0), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer) == policer);
    CHECK_INT(netdev_set_policing(netdev, 1000, 100, 0, 0), 0);
    CHECK(ovsrcu_get(struct vhost_policer *, &port->policer) != policer);
    CHECK_INT(netdev_set_policing(netdev, 0, 100, 0, 0), 0);
    CHECK(!ovsrcu_get(struct vhost_policer *, &port->policer));

    netdev_close(netdev);
    check_all_closed();
}
VHOST_TEST(test_policing, "port-policing", "port: policing", TEST_DPDK);
