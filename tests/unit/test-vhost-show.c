/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "stub-unixctl.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"

static void
show(const char *arg1, const char *arg2)
{
    unixctl_run_command("netdev-vhost/show", arg1, arg2);
}

/* Ends a test that has shown 'netdev', its last port. */
static void
end_show(struct netdev *netdev)
{
    unixctl_forget();
    netdev_close(netdev);
    netdev_run();
    check_sessions_closed();
}

/* Returns member 'name' of object 'json'. */
static const struct json *
member(const struct json *json, const char *name)
{
    const struct json *value = shash_find_data(json_object(json), name);

    if (!value) {
        ovs_fatal(0, "no member \"%s\"", name);
    }
    return value;
}

static long long int
number(const struct json *json, const char *name)
{
    return json_integer(member(json, name));
}

static const struct json *
element(const struct json *json, const char *name, size_t i)
{
    const struct json *array = member(json, name);

    CHECK(i < json_array_size(array));
    return json_array_at(array, i);
}

static size_t
n_elements(const struct json *json, const char *name)
{
    return json_array_size(member(json, name));
}

static void
check_guest_json(const struct json *port)
{
    const struct json *json;

    CHECK_STR(json_string(member(port, "name")), "vhu0");
    CHECK_STR(json_string(member(port, "mode")), "client");
    CHECK_INT(member(port, "connected")->type, JSON_TRUE);
    CHECK_INT(number(port, "guest_node"), 0);
    CHECK_STR(json_string(member(port, "data_path")), "librte_vhost");

    json = member(port, "features");
    CHECK_STR(json_string(member(json, "bits")), "0x0000200000008000");
    CHECK_INT(n_elements(json, "names"), 2);
    CHECK_STR(json_string(element(json, "names", 0)), "mrg_rxbuf");
    CHECK_STR(json_string(element(json, "names", 1)), "bit_45");

    CHECK_INT(n_elements(port, "memory"), 1);
    json = element(port, "memory", 0);
    CHECK_INT(number(json, "address"), 0x100000);
    CHECK_INT(number(json, "size"), 4 << 20);
    CHECK(number(json, "sampled") > 0);

    CHECK_INT(n_elements(port, "queues"), 4);
    json = element(port, "queues", 1);
    CHECK_STR(json_string(member(json, "direction")), "rx");
    CHECK_INT(number(json, "size"), 256);
    CHECK_INT(number(json, "fill"), 3);
    CHECK_INT(member(json, "enabled")->type, JSON_TRUE);
    CHECK_INT(member(json, "cpu")->type, JSON_NULL);
    json = element(port, "queues", 2);
    CHECK_STR(json_string(member(json, "direction")), "tx");
    CHECK_INT(number(json, "queue"), 1);
    CHECK_INT(member(json, "enabled")->type, JSON_FALSE);
    CHECK_INT(n_elements(json, "serves"), 0);
    json = element(port, "queues", 0);
    CHECK_INT(n_elements(json, "serves"), 2);

    json = member(port, "pool");
    CHECK_INT(number(json, "node"), 0);
    CHECK_INT(number(json, "users"), 1);
    CHECK_INT(number(json, "in_use"), 0);

    json = member(port, "placement");
    CHECK_INT(member(json, "local")->type,
              n_elements(json, "remote") ? JSON_FALSE : JSON_TRUE);
}

static void
test_show(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *client = open_client("vhu0", path_of("s0"));
    struct netdev *server;
    struct json *json;
    int vid;

    init_config(NULL);
    server = open_port("vhu1", "dpdkvhostuser");
    show(NULL, NULL);
    CHECK_STR(unixctl_reply,
              "vhu0: dpdkvhostuserclient, not connected\n"
              "  socket: /proc/self/cwd/s0 (client)\n"
              "  mempool: none\n"
              "\n"
              "vhu1: dpdkvhostuser, not connected\n"
              "  socket: /proc/self/cwd/vhu1 (server)\n"
              "  mempool: none\n");

    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF
                            | UINT64_C(1) << 45);
    guest_set_memory(vid, 4 << 20, false);
    guest_start(vid, 2);
    CHECK(reconfigure(client));
    guest_set_vring(vid, 2, false);
    for (int i = 0; i < 3; i++) {
        guest_send(vid, 1, "0123456789abc", 14);
    }

    show("vhu0", NULL);
    CHECK_HAS(unixctl_reply, "vhu0: dpdkvhostuserclient, connected\n");
    CHECK_HAS(unixctl_reply, "mrg_rxbuf");
    CHECK_HAS(unixctl_reply, "bit_45");
    CHECK_HAS(unixctl_reply, "  data path: librte_vhost\n");
    CHECK_HAS(unixctl_reply, "  mempool: ovs-vhost-");
    CHECK(!strstr(unixctl_reply, "vhu1"));

    show("--json", NULL);
    json = json_from_string(unixctl_reply);
    CHECK_INT(json->type, JSON_OBJECT);
    CHECK_INT(n_elements(json, "ports"), 2);
    check_guest_json(element(json, "ports", 0));
    CHECK_INT(member(element(json, "ports", 1), "connected")->type,
              JSON_FALSE);
    CHECK_INT(member(element(json, "ports", 1), "pool")->type, JSON_NULL);
    json_destroy(json);
    show("--json", "vhu1");
    json = json_from_string(unixctl_reply);
    CHECK_INT(n_elements(json, "ports"), 1);
    json_destroy(json);

    /* The memory is not to be asked about after a message that failed. */
    guest_set_memory(vid, 4 << 20, true);
    show("--json", "vhu0");
    json = json_from_string(unixctl_reply);
    CHECK_INT(n_elements(element(json, "ports", 0), "memory"), 0);
    json_destroy(json);

    show("vhu2", NULL);
    CHECK_STR(unixctl_error, "vhu2 is not a vhost-user port");
    show("vhu0", "vhu1");
    CHECK_STR(unixctl_error, "expected: [--json] [port]");

    netdev_close(server);
    end_show(client);
}
VHOST_TEST(test_show, "show", "show", TEST_DPDK);

/* Receives 'n' packets of 14 bytes. */
static void
pass_packets(struct netdev_rxq *rxq, int vid, int n)
{
    struct dp_packet_batch batch;

    for (int i = 0; i < n; i++) {
        guest_send(vid, 1, "0123456789abc", 14);
        dp_packet_batch_init(&batch);
        CHECK_INT(netdev_rxq_recv(rxq, &batch, NULL), 0);
        CHECK_INT(dp_packet_batch_size(&batch), 1);
        dp_packet_delete_batch(&batch, true);
    }
}

/* Checks that what is shown of vhu0's receive queue is 'n' packets of 14 bytes
 * in the last interval, which the machine may have made longer; or, if 'n' is
 * negative, that it is not known. */
static void
check_rates(int n)
{
    char packets[8], bits[8], expected[8];
    const struct json *queue;
    long long int rate;
    struct json *json;
    const char *row;

    show("vhu0", NULL);
    row = strstr(unixctl_reply, "    1  rx 0 ");
    CHECK(row && ovs_scan(row, "    1  rx 0    enabled     0 of 256 %7s %7s",
                          packets, bits));
    show("--json", "vhu0");
    json = json_from_string(unixctl_reply);
    queue = element(element(json, "ports", 0), "queues", 1);
    if (n < 0) {
        CHECK_INT(member(queue, "packets_per_second")->type, JSON_NULL);
        CHECK_INT(member(queue, "bits_per_second")->type, JSON_NULL);
        CHECK_STR(packets, "?");
        CHECK_STR(bits, "?");
    } else {
        rate = number(queue, "packets_per_second");
        CHECK(rate > n / 5 / 2 && rate <= n / 5);
        snprintf(expected, sizeof expected, "%lld", rate);
        CHECK_STR(packets, expected);

        rate = number(queue, "bits_per_second");
        CHECK(rate > n * 14 * 8 / 5 / 2 && rate <= n * 14 * 8 / 5);
        snprintf(expected, sizeof expected, rate < 9995 ? "%.2fk" : "%.1fk",
                 rate / 1000.0);
        CHECK_STR(bits, expected);
    }
    json_destroy(json);
}

static void
test_rates(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    struct netdev_rxq *rxq;
    int vid;

    init_config(NULL);
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));
    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);

    /* It takes two samples; there is one every five seconds. */
    pass_packets(rxq, vid, 100);
    check_rates(-1);
    for (int i = 0; i < 5; i++) {
        pass_time(1000);
    }
    check_rates(-1);
    pass_packets(rxq, vid, 600);
    for (int i = 0; i < 5; i++) {
        pass_time(1000);
    }
    check_rates(600);
    pass_packets(rxq, vid, 200);
    check_rates(600);
    for (int i = 0; i < 5; i++) {
        pass_time(1000);
    }
    check_rates(200);

    /* What is counted then begins anew. */
    guest_stop(vid);
    guest_start(vid, 1);
    check_rates(-1);
    for (int i = 0; i < 10; i++) {
        pass_time(1000);
        pass_packets(rxq, vid, 50);
    }
    check_rates(250);

    netdev_rxq_close(rxq);
    end_show(netdev);
}
VHOST_TEST(test_rates, "show-rates", "show: rates", TEST_DPDK);

/* librte_vhost does not know the fill of packed rings. */
static void
test_unknown_fill(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    const struct json *queue;
    struct json *json;
    int vid;

    init_config(NULL);
    vid = guest_connect(path_of("s0"));
    guest_set_features(vid, UINT64_C(1) << VIRTIO_F_RING_PACKED);
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));

    show("vhu0", NULL);
    CHECK_HAS(unixctl_reply, "    1  rx 0    enabled      ? of 256");
    show("--json", "vhu0");
    json = json_from_string(unixctl_reply);
    queue = element(element(json, "ports", 0), "queues", 1);
    CHECK_INT(member(queue, "fill")->type, JSON_NULL);
    json_destroy(json);

    end_show(netdev);
}
VHOST_TEST(test_unknown_fill, "show-unknown-fill",
           "show: what is not known", TEST_DPDK);

/* What is remote, how to fix it, and zero-copy that is not. */
static void
test_show_remote(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct netdev *netdev = open_client("vhu0", path_of("s0"));
    const struct json *placement, *port;
    struct json *json;
    char *message;
    int vid;

    CHECK_INT(set_options(netdev, &message, "vhost-server-path",
                          path_of("s0"), "dq-zero-copy", "true", NULL), 0);
    CHECK(reconfigure(netdev));
    stub_memory.n_free_mbufs[0] = 0;
    vid = guest_connect(path_of("s0"));
    guest_start(vid, 1);
    CHECK(reconfigure(netdev));

    show("vhu0", NULL);
    CHECK_HAS(unixctl_reply, "\n  mempool: none");
    CHECK_HAS(unixctl_reply, "\n  zero-copy: off: librte_vhost's data path "
              "is in use\n");
    CHECK_HAS(unixctl_reply, "\n  placement: remote from the guest's node 0:\n"
              "    mbufs (there is no memory for any)\n"
              "  to fix:\n    ");

    show("--json", "vhu0");
    json = json_from_string(unixctl_reply);
    port = element(json, "ports", 0);
    CHECK_STR(json_string(member(member(port, "zero_copy"), "obstacle")),
              "librte_vhost's data path is in use");
    placement = member(port, "placement");
    CHECK_INT(member(placement, "local")->type, JSON_FALSE);
    CHECK_HAS(json_string(member(placement, "text")), "there is no memory");
    CHECK_INT(n_elements(placement, "remote"), 1);
    placement = element(placement, "remote", 0);
    CHECK_STR(json_string(member(placement, "what")), "mbufs");
    json_destroy(json);

    end_show(netdev);
}
VHOST_TEST(test_show_remote, "show-remote", "show: what is remote", TEST_DPDK);
