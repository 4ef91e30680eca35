/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "openvswitch/shash.h"
#include "port-fixture.h"
#include "sset.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "stub-unixctl.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-metrics.h"
#include "vhost-port.h"

/* Families of which there was a sample. */
static struct sset sampled = SSET_INITIALIZER(&sampled);

/* Checks the form of an answer: each family is described, then follow its
 * samples, each with its suffix, and the end is marked.  Returns the number of
 * samples. */
static int
check_form(const char *text)
{
    struct shash seen = SHASH_INITIALIZER(&seen);
    char *copy = xstrdup(text), *save = NULL, *last = NULL, *line;
    char family[64] = "", name[64] = "", type[16] = "";
    int n = 0;

    for (line = strtok_r(copy, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        last = line;
        if (ovs_scan(line, "# TYPE %63s %15s", family, type)) {
            CHECK(shash_add_once(&seen, family, NULL));
        } else if (ovs_scan(line, "# HELP %63s", name)) {
            CHECK_STR(name, family);
        } else if (line[0] != '#') {
            const char *suffix = (!strcmp(type, "counter") ? "_total"
                                  : !strcmp(type, "info") ? "_info" : "");
            char *expected = xasprintf("%s%s{port=\"", family, suffix);

            CHECK(!strncmp(line, expected, strlen(expected)));
            free(expected);
            CHECK_STR(name, family);
            sset_add(&sampled, family);
            n++;
        }
    }
    CHECK_STR(last, "# EOF");
    free(copy);
    shash_destroy(&seen);
    return n;
}

/* Shows PORT, or all of them, and checks that. */
static int
show(const char *port)
{
    unixctl_run_command("netdev-vhost/metrics", port, NULL);
    CHECK(unixctl_reply);
    return check_form(unixctl_reply);
}

static void
test_metrics(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *client, *server;
    int vid, n, n_server;

    client = open_client("vh\"u\\0", path_of("s0"));
    init_config(NULL);
    server = open_port("vhu1", "dpdkvhostuser");
    n_server = show("vhu1");
    CHECK(!strstr(unixctl_reply, "s0"));
    CHECK_HAS(unixctl_reply,
              "\novs_vhost_port_info{port=\"vhu1\",type=\"dpdkvhostuser\","
              "mode=\"server\",socket=\"/proc/self/cwd/vhu1\"} 1\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_connected{port=\"vhu1\"} 0\n");
    n = show(NULL);
    CHECK_INT(n, 2 * n_server);

    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
    guest_set_memory(vid, 4 << 20, false);
    guest_start(vid, 2);
    CHECK(reconfigure(client));
    guest_set_vring(vid, 2, false);
    for (int i = 0; i < 3; i++) {
        guest_send(vid, 1, "0123456789abc", 14);
    }
    vhost_count(&vhost_port_cast(client)->counters, tx_no_mbuf_drops, 7);
    vhost_count(&vhost_port_cast(client)->counters, rx_no_mbuf_events, 8);
    CHECK(show(NULL) > n);
#define PORT "{port=\"vh\\\"u\\\\0\""
    CHECK_HAS(unixctl_reply, "\novs_vhost_connected" PORT "} 1\n"
                             "ovs_vhost_connected{port=\"vhu1\"} 0\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_node" PORT ",memory=\"guest\"} 0\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_memory_region_bytes" PORT
                             "} 4194304\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_queue_enabled" PORT
                             ",queue=\"1\",direction=\"tx\"} 0\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_queue_size" PORT
                             ",queue=\"1\",direction=\"rx\"} 256\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_queue_fill" PORT
                             ",queue=\"0\",direction=\"rx\"} 3\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_packets_total" PORT
                             ",queue=\"0\",direction=\"rx\"} 0\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_sized_packets_total" PORT
                             ",queue=\"0\",direction=\"rx\",size=\"65-127\"} "
                             "0\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_dropped_packets_total" PORT
                             ",direction=\"tx\",reason=\"no_mbuf\"} 7\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_events_total" PORT
                             ",direction=\"rx\",event=\"no_mbuf_events\"} "
                             "8\n");
    CHECK_HAS(unixctl_reply, "\novs_vhost_mempool_mbufs_in_use" PORT
                             ",pool=\"ovs-vhost-");

    unixctl_run_command("netdev-vhost/metrics", "vhu2", NULL);
    CHECK_STR(unixctl_error, "vhu2 is not a vhost-user port");

    guest_disconnect(vid);
    netdev_close(client);
    netdev_close(server);
    netdev_run();
    check_sessions_closed();
    show(NULL);
    CHECK_STR(unixctl_reply, "# EOF\n");
    unixctl_forget();
}
VHOST_TEST(test_metrics, "metrics",
           "metrics: ports with and without guests", TEST_DPDK);

static void
test_families(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    unsigned int n_mbufs = stub_memory.n_free_mbufs[0];
    const char *family;
    char *message;
    int vid;

    CHECK_INT(set_options(netdev, &message, "vhost-server-path",
                          path_of("s0"), "dq-zero-copy", "true", NULL), 0);
    CHECK(reconfigure(netdev));

    /* Without memory for mbufs, something is remote. */
    stub_memory.n_free_mbufs[0] = 0;
    vid = guest_connect(path_of("s0"));
    guest_set_memory(vid, 4 << 20, false);
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));
    show("vhu0");
    CHECK_HAS(unixctl_reply, "\novs_vhost_local{port=\"vhu0\"} 0\n");
    CHECK_HAS(unixctl_reply,
              "\novs_vhost_remote{port=\"vhu0\",what=\"mbufs\"} 1\n");

    stub_memory.n_free_mbufs[0] = n_mbufs;
    retry_pools();
    reconfigure(netdev);
    guest_send(vid, 1, "0123456789abc", 14);
    receive_from(netdev, 1);
    show("vhu0");
    CHECK_HAS(unixctl_reply, "\novs_vhost_local{port=\"vhu0\"} 1\n");
    CHECK(!strstr(unixctl_reply, "ovs_vhost_remote"));

    for (size_t i = 0; (family = vhost_metrics_family(i)); i++) {
        if (!sset_find_and_delete(&sampled, family)) {
            ovs_fatal(0, "%s: no sample", family);
        }
    }
    CHECK(sset_is_empty(&sampled));

    guest_disconnect(vid);
    netdev_close(netdev);
    check_all_closed();
    unixctl_forget();
}
VHOST_TEST(test_families, "metrics-families",
           "metrics: samples of all families", TEST_DPDK);
