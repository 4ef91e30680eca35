/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "openvswitch/type-props.h"
#include "util.h"
#include "vhost-compat.h"

/* Access to the tree.  The members are there: vhost-show.c puts them. */

static const struct json *
get(const struct json *object, const char *name)
{
    return shash_find_data(json_object(object), name);
}

static bool
is_null(const struct json *object, const char *name)
{
    return get(object, name)->type == JSON_NULL;
}

static bool
is_true(const struct json *object, const char *name)
{
    return get(object, name)->type == JSON_TRUE;
}

static const char *
get_string(const struct json *object, const char *name)
{
    return json_string(get(object, name));
}

static int64_t
get_number(const struct json *object, const char *name)
{
    return json_integer(get(object, name));
}

static size_t
count(const struct json *object, const char *name)
{
    return json_array_size(get(object, name));
}

static const struct json *
element(const struct json *object, const char *name, size_t i)
{
    return json_array_at(get(object, name), i);
}

/* What a number takes in 'buf' below. */
#define NUMBER_LEN (INT_STRLEN(int64_t) + 1)

/* Returns member 'name' of 'object', a number or null, as text. */
static const char *
format_number(const struct json *object, const char *name,
              char buf[NUMBER_LEN])
{
    if (is_null(object, name)) {
        return "?";
    }
    snprintf(buf, NUMBER_LEN, "%"PRId64, get_number(object, name));
    return buf;
}

/* Returns rate 'name' of 'object' with three digits and a prefix: 0, 999,
 * 1.23k, 12.3k, 123k, 1.23M... */
static const char *
format_rate(const struct json *object, const char *name, char buf[8])
{
    static const char prefixes[] = "\0kMGTPE";
    unsigned int prefix = 0;
    double value;

    if (is_null(object, name)) {
        return "?";
    }
    value = get_number(object, name);
    while (value >= 999.5) {
        value /= 1000;
        prefix++;
    }
    snprintf(buf, 8, "%.*f%c",
             !prefix || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2,
             value, prefixes[prefix]);
    return buf;
}

/* Appends 'word' to 's', on a new line indented by 'indent' if there is no
 * room on the last one, which starts at '*line'. */
static void
put_word(struct ds *s, const char *word, size_t *line, int indent)
{
    if (s->length - *line + 1 + strlen(word) > 79) {
        ds_put_char(s, '\n');
        *line = s->length;
        ds_put_char_multiple(s, ' ', indent);
    } else {
        ds_put_char(s, ' ');
    }
    ds_put_cstr(s, word);
}

static void
put_features(struct ds *s, const char *title, const struct json *features)
{
    size_t line = s->length;

    ds_put_format(s, "  %s: 0x%llx", title,
                  strtoull(get_string(features, "bits"), NULL, 16));
    for (size_t i = 0; i < count(features, "names"); i++) {
        put_word(s, json_string(element(features, "names", i)), &line, 4);
    }
    ds_put_char(s, '\n');
}

static void
put_region(struct ds *s, const struct json *region)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    uint64_t size = get_number(region, "size");
    size_t n = count(region, "pages");
    int unit = 0;

    while (size >= 1024 && !(size % 1024) && unit + 1 < ARRAY_SIZE(units)) {
        size /= 1024;
        unit++;
    }
    ds_put_format(s, "    0x%012"PRIx64" %5"PRIu64" %-3s  ",
                  (uint64_t) get_number(region, "address"), size,
                  units[unit]);
    for (size_t i = 0; i < n; i++) {
        const struct json *pages = element(region, "pages", i);

        ds_put_format(s, "%snode %"PRId64": %"PRId64, i ? ", " : "",
                      get_number(pages, "node"), get_number(pages, "n"));
    }
    ds_put_format(s, "%s of %"PRId64" pages", n ? "" : "node ?: none",
                  get_number(region, "sampled"));
    if (!is_null(region, "page_size")) {
        ds_put_format(s, " of %"PRId64" KiB",
                      get_number(region, "page_size") / 1024);
    }
    ds_put_char(s, '\n');
}

static void
put_queue(struct ds *s, const struct json *queue)
{
    char node[NUMBER_LEN], fill[NUMBER_LEN], packets[8], bits[8];
    const char *direction = get_string(queue, "direction");

    ds_put_format(s, "    %5"PRId64"  %s %-3"PRId64"  %-8s  %4s of "
                  "%-5"PRId64"  %5s  %5s  %4s  ",
                  get_number(queue, "vring"), direction,
                  get_number(queue, "queue"),
                  is_true(queue, "enabled") ? "enabled" : "disabled",
                  format_number(queue, "fill", fill),
                  get_number(queue, "size"),
                  format_rate(queue, "packets_per_second", packets),
                  format_rate(queue, "bits_per_second", bits),
                  format_number(queue, "node", node));
    if (!strcmp(direction, "tx")) {
        for (size_t i = 0; i < count(queue, "serves"); i++) {
            ds_put_format(s, "%s%"PRId64, i ? ", " : "txq ",
                          json_integer(element(queue, "serves", i)));
        }
    } else if (!is_null(queue, "cpu")) {
        ds_put_format(s, "CPU %"PRId64" (node %s)", get_number(queue, "cpu"),
                      format_number(queue, "cpu_node", node));
    }
    while (ds_chomp(s, ' ')) {
        continue;
    }
    ds_put_char(s, '\n');
}

static void
put_guest(struct ds *s, const struct json *port)
{
    char node[NUMBER_LEN], library[NUMBER_LEN];

    ds_put_format(s, "  guest: memory %s, rings on node %s, "
                  "librte_vhost's structures on node %s\n",
                  get_string(port, "guest"),
                  format_number(port, "guest_node", node),
                  format_number(port, "library_node", library));
    put_features(s, "features", get(port, "features"));
    put_features(s, "protocol features", get(port, "protocol_features"));
    ds_put_format(s, "  memory:%s\n",
                  count(port, "memory") ? "" : " unknown");
    for (size_t i = 0; i < count(port, "memory"); i++) {
        put_region(s, element(port, "memory", i));
    }
    ds_put_format(s, "  data path: %s\n", get_string(port, "data_path"));
    ds_put_cstr(s, "    vring  queue   state         fill of size  pkt/s"
                "  bit/s  node  served by\n");
    for (size_t i = 0; i < count(port, "queues"); i++) {
        put_queue(s, element(port, "queues", i));
    }
}

static void
put_zero_copy(struct ds *s, const struct json *zero_copy)
{
    ds_put_cstr(s, "  zero-copy: ");
    if (!is_null(zero_copy, "obstacle")) {
        ds_put_format(s, "off: %s\n", get_string(zero_copy, "obstacle"));
    } else {
        ds_put_format(s, "%"PRId64" packets in flight\n",
                      get_number(zero_copy, "packets"));
    }
    if (get_number(zero_copy, "pinned_packets")) {
        ds_put_format(s, "  zero-copy: %"PRId64" packets of guests that have "
                      "left, whose memory is kept: %"PRId64" MiB\n",
                      get_number(zero_copy, "pinned_packets"),
                      get_number(zero_copy, "pinned_bytes") >> 20);
    }
}

static void
put_pool(struct ds *s, const struct json *pool)
{
    int64_t n_users = get_number(pool, "users");

    ds_put_format(s, "  mempool: %s on node %"PRId64", %"PRId64" of "
                  "%"PRId64" mbufs in use, %"PRId64" %s\n",
                  get_string(pool, "name"), get_number(pool, "node"),
                  get_number(pool, "in_use"), get_number(pool, "size"),
                  n_users, n_users == 1 ? "user" : "users");
}

/* Is the advice on the 'i'th thing that is remote the same as on one before
 * it? */
static bool
is_repeated(const struct json *placement, size_t i)
{
    const struct json *remote = element(placement, "remote", i);

    for (size_t j = 0; j < i; j++) {
        const struct json *other = element(placement, "remote", j);

        if (json_equal(get(other, "command"), get(remote, "command"))
            && json_equal(get(other, "hint"), get(remote, "hint"))) {
            return true;
        }
    }
    return false;
}

static void
put_advice(struct ds *s, const struct json *remote)
{
    bool has_command = !is_null(remote, "command");

    if (has_command) {
        ds_put_format(s, "    %s\n", get_string(remote, "command"));
    }
    if (!is_null(remote, "hint")) {
        ds_put_format(s, has_command ? "    (%s)\n" : "    %s\n",
                      get_string(remote, "hint"));
    }
}

static void
put_placement(struct ds *s, const struct json *port)
{
    const struct json *placement = get(port, "placement");
    size_t n = count(placement, "remote");

    if (!n) {
        ds_put_cstr(s, "  placement: local\n");
        return;
    }
    ds_put_format(s, "  placement: remote from the guest's node "
                  "%"PRId64":\n", get_number(port, "guest_node"));
    for (size_t i = 0; i < n; i++) {
        ds_put_format(s, "    %s\n",
                      get_string(element(placement, "remote", i), "text"));
    }
    ds_put_cstr(s, "  to fix:\n");
    for (size_t i = 0; i < n; i++) {
        if (!is_repeated(placement, i)) {
            put_advice(s, element(placement, "remote", i));
        }
    }
}

void
vhost_show_text(const struct json *port, struct ds *s)
{
    bool connected = is_true(port, "connected");

    ds_put_format(s, "%s: %s, %s\n", get_string(port, "name"),
                  get_string(port, "type"),
                  connected ? "connected" : "not connected");
    ds_put_format(s, "  socket: %s (%s)\n",
                  is_null(port, "socket") ? "none"
                                          : get_string(port, "socket"),
                  get_string(port, "mode"));
    if (connected) {
        put_guest(s, port);
    }
    if (!is_null(port, "zero_copy")) {
        put_zero_copy(s, get(port, "zero_copy"));
    }
    if (!is_null(port, "pool")) {
        put_pool(s, get(port, "pool"));
    } else {
        ds_put_cstr(s, "  mempool: none\n");
    }
    if (connected) {
        put_placement(s, port);
    }
}
