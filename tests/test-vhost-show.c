/*
 * Copyright (c) 2026 The netdev-vhost Authors.
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 * You may obtain a copy of the License at:
 *
 *     http://www.apache.org/licenses/LICENSE-2.0
 *
 * Unless required by applicable law or agreed to in writing, software
 * distributed under the License is distributed on an "AS IS" BASIS,
 * WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 * See the License for the specific language governing permissions and
 * limitations under the License.
 */

#include <config.h>
#undef NDEBUG

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "netdev-provider.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "unixctl.h"
#include "util.h"

/* "ovs-appctl netdev-vhost/show", without a server or a client: the linker
 * replaces the functions below (see tests/automake.mk). */

static unixctl_cb_func *show_cb;
static int fake_conn;           /* Its address is a connection. */
static char *reply, *error;

void __real_unixctl_command_register(const char *, const char *, int, int,
                                     unixctl_cb_func *, void *);
void __wrap_unixctl_command_register(const char *, const char *, int, int,
                                     unixctl_cb_func *, void *);
void __real_unixctl_command_reply(struct unixctl_conn *, const char *);
void __wrap_unixctl_command_reply(struct unixctl_conn *, const char *);
void __real_unixctl_command_reply_error(struct unixctl_conn *, const char *);
void __wrap_unixctl_command_reply_error(struct unixctl_conn *, const char *);

void
__wrap_unixctl_command_register(const char *name, const char *usage,
                                int min_args, int max_args,
                                unixctl_cb_func *cb, void *aux)
{
    if (!strcmp(name, "netdev-vhost/show")) {
        show_cb = cb;
    }
    __real_unixctl_command_register(name, usage, min_args, max_args, cb, aux);
}

void
__wrap_unixctl_command_reply(struct unixctl_conn *conn, const char *s)
{
    ovs_assert((void *) conn == &fake_conn && !reply && !error);
    reply = xstrdup(s);
}

void
__wrap_unixctl_command_reply_error(struct unixctl_conn *conn, const char *s)
{
    ovs_assert((void *) conn == &fake_conn && !reply && !error);
    error = xstrdup(s);
}

/* Runs the command with up to two arguments, unless they are null. */
static void
show(const char *arg1, const char *arg2)
{
    const char *argv[] = { "netdev-vhost/show", arg1, arg2, NULL };

    free(reply);
    free(error);
    reply = error = NULL;
    show_cb((struct unixctl_conn *) &fake_conn, 1 + !!arg1 + !!arg2, argv,
            NULL);
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

    CHECK(i < json_array(array)->n);
    return json_array(array)->elems[i];
}

static size_t
n_elements(const struct json *json, const char *name)
{
    return json_array(member(json, name))->n;
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
    CHECK(show_cb);
    show(NULL, NULL);
    CHECK_STR(reply,
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
    guest_set_memory(vid, 4 << 20);
    guest_start(vid, 2);
    CHECK(reconfigure(client));
    guest_set_vring(vid, 2, false);
    for (int i = 0; i < 3; i++) {
        guest_send(vid, 1, "0123456789abc", 14);
    }

    show("vhu0", NULL);
    CHECK_HAS(reply, "vhu0: dpdkvhostuserclient, connected\n");
    CHECK_HAS(reply, "mrg_rxbuf");
    CHECK_HAS(reply, "bit_45");
    CHECK_HAS(reply, "  data path: librte_vhost\n");
    CHECK_HAS(reply, "  mempool: ovs-vhost-");
    CHECK(!strstr(reply, "vhu1"));

    show("--json", NULL);
    json = json_from_string(reply);
    CHECK_INT(json->type, JSON_OBJECT);
    CHECK_INT(n_elements(json, "ports"), 2);
    check_guest_json(element(json, "ports", 0));
    CHECK_INT(member(element(json, "ports", 1), "connected")->type,
              JSON_FALSE);
    CHECK_INT(member(element(json, "ports", 1), "pool")->type, JSON_NULL);
    json_destroy(json);
    show("--json", "vhu1");
    json = json_from_string(reply);
    CHECK_INT(n_elements(json, "ports"), 1);
    json_destroy(json);

    /* The memory is not to be asked about after a message that failed. */
    guest_set_memory(vid, 0);
    show("--json", "vhu0");
    json = json_from_string(reply);
    CHECK_INT(n_elements(element(json, "ports", 0), "memory"), 0);
    json_destroy(json);

    show("vhu2", NULL);
    CHECK_STR(error, "vhu2 is not a vhost-user port");
    show("vhu0", "vhu1");
    CHECK_STR(error, "expected: [--json] [port]");

    free(reply);
    free(error);
    netdev_close(client);
    netdev_close(server);
    netdev_run();
    check_sessions_closed();
}

const struct vhost_test show_tests[] = {
    { "show", test_show, true },
    { NULL, NULL, false },
};
