/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* The text for what vhost-show.c collects: test-vhost-show.c has ports. */

#include <config.h>
#undef NDEBUG

#include "vhost-show.h"

#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "test-vhost.h"
#include "util.h"

/* Returns the text for the port 'json', in which ' stands for ".  The caller
 * must free it. */
static char *
text_of(const char *json)
{
    char *copy = xstrdup(json);
    struct ds s = DS_EMPTY_INITIALIZER;
    struct json *port;

    for (char *p = copy; (p = strchr(p, '\'')); p++) {
        *p = '"';
    }
    port = json_from_string(copy);
    if (port->type != JSON_OBJECT) {
        ovs_fatal(0, "%s", json_string(port));
    }
    vhost_show_text(port, &s);
    json_destroy(port);
    free(copy);
    return ds_steal_cstr(&s);
}

static void
check_text(const char *json, const char *expected)
{
    char *text = text_of(json);

    CHECK_STR(text, expected);
    free(text);
}

static void
check_part(const char *json, const char *expected)
{
    char *text = text_of(json);

    CHECK_HAS(text, expected);
    free(text);
}

static void
check_end(const char *json, const char *expected)
{
    char *text = text_of(json);

    CHECK(strlen(text) > strlen(expected));
    CHECK_STR(text + strlen(text) - strlen(expected), expected);
    free(text);
}

static void
test_no_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_text("{'name': 'vhu0', 'type': 'dpdkvhostuserclient',"
               " 'connected': false, 'socket': null, 'mode': 'client',"
               " 'zero_copy': null, 'pool': null}",
               "vhu0: dpdkvhostuserclient, not connected\n"
               "  socket: none (client)\n"
               "  mempool: none\n");
    check_text("{'name': 'vhu0', 'type': 'dpdkvhostuserclient',"
               " 'connected': false, 'socket': '/s0', 'mode': 'client',"
               " 'zero_copy': {'obstacle': null, 'packets': 3,"
               " 'pinned_packets': 2, 'pinned_bytes': 3145727},"
               " 'pool': {'name': 'p', 'node': 1, 'in_use': 2, 'size': 3,"
               " 'users': 1}}",
               "vhu0: dpdkvhostuserclient, not connected\n"
               "  socket: /s0 (client)\n"
               "  zero-copy: 3 packets in flight\n"
               "  zero-copy: 2 packets of guests that have left, whose memory "
               "is kept: 2 MiB\n"
               "  mempool: p on node 1, 2 of 3 mbufs in use, 1 user\n");
}
VHOST_TEST(test_no_guest, "show-text-no-guest",
           "show: text without a guest", 0);

#define QUEUE(VRING, DIRECTION, QUEUE, REST)                            \
    "{'vring': " VRING ", 'direction': " DIRECTION ", 'queue': " QUEUE  \
    ", 'enabled': " REST "}"

/* A guest of which all is known, and nothing. */
static void
test_guest(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_text(
        "{'name': 'vhu0', 'type': 'dpdkvhostuser', 'connected': true,"
        " 'socket': '/s0', 'mode': 'server', 'guest': 'shared',"
        " 'guest_node': 1, 'library_node': null,"
        " 'features': {'bits': '0x00000000000000ff', 'names': ["
        "'a23456789012345678', 'b23456789012345678', 'c23456789012345678',"
        " 'd', 'e']},"
        " 'protocol_features': {'bits': '0x0', 'names': []},"
        " 'memory': ["
        "{'address': 1048576, 'size': 1536, 'pages': [], 'sampled': 4,"
        " 'page_size': null},"
        "{'address': 4294967296, 'size': 3221225472, 'pages': ["
        "{'node': 0, 'n': 5}, {'node': 1, 'n': 6}], 'sampled': 64,"
        " 'page_size': 2097152}],"
        " 'data_path': 'native', 'queues': ["
        QUEUE("0", "'tx'", "0", "true, 'fill': 256, 'size': 256,"
              " 'packets_per_second': 999, 'bits_per_second': 1000,"
              " 'node': 1, 'serves': [0, 2]") ","
        QUEUE("1", "'rx'", "0", "true, 'fill': null, 'size': 1024,"
              " 'packets_per_second': null, 'bits_per_second': null,"
              " 'node': null, 'cpu': 3, 'cpu_node': 1") ","
        QUEUE("2", "'tx'", "1", "false, 'fill': 0, 'size': 256,"
              " 'packets_per_second': 0, 'bits_per_second': 0,"
              " 'node': 1, 'serves': []") ","
        QUEUE("3", "'rx'", "1", "false, 'fill': 0, 'size': 256,"
              " 'packets_per_second': 0, 'bits_per_second': 0,"
              " 'node': 1, 'cpu': null, 'cpu_node': null") "],"
        " 'zero_copy': {'obstacle': 'because', 'packets': 0,"
        " 'pinned_packets': 0, 'pinned_bytes': 0},"
        " 'pool': {'name': 'p', 'node': 1, 'in_use': 0, 'size': 3,"
        " 'users': 2}, 'placement': {'remote': []}}",

        "vhu0: dpdkvhostuser, connected\n"
        "  socket: /s0 (server)\n"
        "  guest: memory shared, rings on node 1, "
        "librte_vhost's structures on node ?\n"
        "  features: 0xff a23456789012345678 b23456789012345678 "
        "c23456789012345678 d e\n"
        "  protocol features: 0x0\n"
        "  memory:\n"
        "    0x000000100000  1536 B    node ?: none of 4 pages\n"
        "    0x000100000000     3 GiB  node 0: 5, node 1: 6 of 64 pages of "
        "2048 KiB\n"
        "  data path: native\n"
        "    vring  queue   state         fill of size  pkt/s  bit/s  node  "
        "served by\n"
        "        0  tx 0    enabled    256 of 256      999  1.00k     1  "
        "txq 0, 2\n"
        "        1  rx 0    enabled      ? of 1024       ?      ?     ?  "
        "CPU 3 (node 1)\n"
        "        2  tx 1    disabled     0 of 256        0      0     1\n"
        "        3  rx 1    disabled     0 of 256        0      0     1\n"
        "  zero-copy: off: because\n"
        "  mempool: p on node 1, 0 of 3 mbufs in use, 2 users\n"
        "  placement: local\n");
}
VHOST_TEST(test_guest, "show-text-guest", "show: text of a guest", 0);

/* A guest of which this matters only. */
#define GUEST(FEATURES, QUEUES, REMOTES)                                \
    "{'name': 'vhu0', 'type': 'dpdkvhostuser', 'connected': true,"      \
    " 'socket': '/s0', 'mode': 'server', 'guest': 'shared',"            \
    " 'guest_node': 1, 'library_node': 1, 'features': {'bits': '0x1',"  \
    " 'names': [" FEATURES "]}, 'protocol_features': {'bits': '0x0',"   \
    " 'names': []}, 'memory': [], 'data_path': 'native',"               \
    " 'queues': [" QUEUES "], 'zero_copy': null, 'pool': null,"         \
    " 'placement': {'remote': [" REMOTES "]}}"

/* Lines end before column 80, and words are not split. */
static void
test_features(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    /* 15 + 1 + 31 + 1 + 31 = 79. */
    check_part(GUEST("'a234567890123456789012345678901',"
                     "'b234567890123456789012345678901', 'c'", "", ""),
               "\n  features: 0x1 a234567890123456789012345678901 "
               "b234567890123456789012345678901\n    c\n");
    check_part(GUEST("'a234567890123456789012345678901',"
                     "'b2345678901234567890123456789012', 'c'", "", ""),
               "\n  features: 0x1 a234567890123456789012345678901\n"
               "    b2345678901234567890123456789012 c\n");
}
VHOST_TEST(test_features, "show-text-features",
           "show: text of features", 0);

/* That of a VDUSE device is known to librte_vhost only. */
static void
test_no_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_part(GUEST("", "", ""), "\n  memory: unknown\n");
}
VHOST_TEST(test_no_memory, "show-text-no-memory",
           "show: text of a guest whose memory is not known", 0);

static void
check_rate(const char *rate, const char *expected)
{
    char *json = xasprintf(
        GUEST("", QUEUE("1", "'rx'", "0", "true, 'fill': 0, 'size': 256,"
                        " 'packets_per_second': %s,"
                        " 'bits_per_second': null, 'node': 1, 'cpu': null,"
                        " 'cpu_node': null"), ""), rate);
    char *part = xasprintf("  0 of 256    %5s      ?     1\n", expected);

    check_part(json, part);
    free(json);
    free(part);
}

/* Three digits, rounded, with the prefix that is right after that. */
static void
test_rates(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_rate("null", "?");
    check_rate("0", "0");
    check_rate("9", "9");
    check_rate("999", "999");
    check_rate("1000", "1.00k");
    check_rate("9994", "9.99k");
    check_rate("9995", "10.0k");
    check_rate("99949", "99.9k");
    check_rate("99950", "100k");
    check_rate("999499", "999k");
    check_rate("999500", "1.00M");
    check_rate("9995000000", "10.0G");
    check_rate("9223372036854775807", "9.22E");
}
VHOST_TEST(test_rates, "show-text-rates", "show: text of rates", 0);

/* Advice that is the same for two things is given once. */
static void
test_placement(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    check_end(GUEST("", "",
                    "{'text': 'A', 'command': 'do', 'hint': 'then'},"
                    "{'text': 'B', 'command': null, 'hint': 'then'},"
                    "{'text': 'C', 'command': 'do', 'hint': 'then'},"
                    "{'text': 'D', 'command': 'do', 'hint': null}"),
              "  placement: remote from the guest's node 1:\n"
              "    A\n    B\n    C\n    D\n"
              "  to fix:\n"
              "    do\n    (then)\n"
              "    then\n"
              "    do\n");
}
VHOST_TEST(test_placement, "show-text-placement",
           "show: text of the placement", 0);
