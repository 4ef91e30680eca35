/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

/* rte_vhost_get_negotiated_protocol_features() is stable since DPDK 24.11. */
#define ALLOW_EXPERIMENTAL_API

#include "vhost-unixctl.h"

#include <inttypes.h>
#include <string.h>

#include <rte_mempool.h>
#include <rte_vhost.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "unixctl.h"
#include "util.h"
#include "vhost-mempool.h"
#include "vhost-placement.h"
#include "vhost-port.h"

/* What is shown, for programs or, if 'json' is null, for people. */
struct show {
    struct json *json;          /* An array. */
    struct ds text;
    size_t n_ports;
};

static unixctl_cb_func show_cb;
static void show_port(struct vhost_port *, void *show);
static struct json *port_to_json(const struct vhost_port *,
                                 const struct vhost_placement *);
static void port_to_text(const struct vhost_port *,
                         const struct vhost_placement *, struct ds *);

/* Names of features, by bit: those of virtio 1.2 that concern a network
 * device, and those of the vhost-user protocol. */
static const char *const virtio_features[64] = {
    [0] = "csum",
    [1] = "guest_csum",
    [2] = "ctrl_guest_offloads",
    [3] = "mtu",
    [5] = "mac",
    [6] = "gso",
    [7] = "guest_tso4",
    [8] = "guest_tso6",
    [9] = "guest_ecn",
    [10] = "guest_ufo",
    [11] = "host_tso4",
    [12] = "host_tso6",
    [13] = "host_ecn",
    [14] = "host_ufo",
    [15] = "mrg_rxbuf",
    [16] = "status",
    [17] = "ctrl_vq",
    [18] = "ctrl_rx",
    [19] = "ctrl_vlan",
    [20] = "ctrl_rx_extra",
    [21] = "guest_announce",
    [22] = "mq",
    [23] = "ctrl_mac_addr",
    [24] = "notify_on_empty",
    [26] = "log_all",
    [27] = "any_layout",
    [28] = "indirect_desc",
    [29] = "event_idx",
    [30] = "protocol_features",
    [32] = "version_1",
    [33] = "access_platform",
    [34] = "ring_packed",
    [35] = "in_order",
    [36] = "order_platform",
    [37] = "sr_iov",
    [38] = "notification_data",
    [39] = "notif_config_data",
    [40] = "ring_reset",
    [53] = "notf_coal",
    [54] = "guest_uso4",
    [55] = "guest_uso6",
    [56] = "host_uso",
    [57] = "hash_report",
    [59] = "guest_hdrlen",
    [60] = "rss",
    [61] = "rsc_ext",
    [62] = "standby",
    [63] = "speed_duplex",
};

static const char *const protocol_features[64] = {
    [0] = "mq",
    [1] = "log_shmfd",
    [2] = "rarp",
    [3] = "reply_ack",
    [4] = "mtu",
    [5] = "backend_req",
    [6] = "cross_endian",
    [7] = "crypto_session",
    [8] = "pagefault",
    [9] = "config",
    [10] = "backend_send_fd",
    [11] = "host_notifier",
    [12] = "inflight_shmfd",
    [13] = "reset_device",
    [14] = "inband_notifications",
    [15] = "configure_mem_slots",
    [16] = "status",
    [17] = "xen_mmap",
};

void
vhost_unixctl_register(void)
{
    unixctl_command_register("netdev-vhost/show", "[--json] [port]", 0, 2,
                             show_cb, NULL);
}

static void
show_cb(struct unixctl_conn *conn, int argc, const char *argv[],
        void *aux OVS_UNUSED)
{
    bool as_json = argc > 1 && !strcmp(argv[1], "--json");
    const char *name = argc > 1 + as_json ? argv[1 + as_json] : NULL;
    struct show show = {
        .json = as_json ? json_array_create_empty() : NULL,
        .text = DS_EMPTY_INITIALIZER,
    };

    if (argc > 2 + as_json) {
        unixctl_command_reply_error(conn, "expected: [--json] [port]");
        goto out;
    }
    vhost_ports_for_each(name, show_port, &show);
    if (name && !show.n_ports) {
        ds_put_format(&show.text, "%s is not a vhost-user port", name);
        unixctl_command_reply_error(conn, ds_cstr(&show.text));
        goto out;
    }
    if (as_json) {
        struct json *reply = json_object_create();

        json_object_put(reply, "ports", show.json);
        show.json = NULL;
        json_to_ds(reply, JSSF_SORT, &show.text);
        json_destroy(reply);
    }
    unixctl_command_reply(conn, ds_cstr(&show.text));

out:
    json_destroy(show.json);
    ds_destroy(&show.text);
}

static void
show_port(struct vhost_port *port, void *show_)
    OVS_REQUIRES(port->mutex)
{
    struct show *show = show_;
    struct vhost_placement placement, *p = NULL;

    if (vhost_placement_init(&placement, port)) {
        p = &placement;
    }
    if (show->json) {
        json_array_add(show->json, port_to_json(port, p));
    } else {
        ds_put_cstr(&show->text, show->n_ports ? "\n" : "");
        port_to_text(port, p, &show->text);
    }
    show->n_ports++;
    if (p) {
        vhost_placement_destroy(p);
    }
}

/* Facts for both forms. */

/* Does transmit virtqueue 'vring' of 'device' serve the switch's transmit
 * queue 'txq'? */
static bool
serves(const struct vhost_device *device, uint16_t vring, int txq)
{
    int target;

    atomic_read_relaxed(&CONST_CAST(struct vhost_device *,
                                    device)->txq_map[txq], &target);
    return target == vring / 2;
}

static uint64_t
get_protocol_features(const struct vhost_device *device)
{
    uint64_t features = 0;

    rte_vhost_get_negotiated_protocol_features(device->vid, &features);
    return features;
}

/* The guest's memory is one or more files of its own. */
static char *
format_guest(const struct vhost_placement *p)
{
    const struct vhost_guest_region *region = &p->memory.regions[0];

    return (p->memory.n_regions
            ? xasprintf("%ju:%ju", (uintmax_t) region->device,
                        (uintmax_t) region->inode)
            : xstrdup(p->port));
}

/* JSON. */

static struct json *
number_or_null(int64_t value)
{
    return value >= 0 ? json_integer_create(value) : json_null_create();
}

static struct json *
string_or_null(const char *s)
{
    return s ? json_string_create(s) : json_null_create();
}

static struct json *
features_to_json(uint64_t bits, const char *const names[64])
{
    struct json *json = json_object_create();
    struct json *array = json_array_create_empty();

    for (int i = 0; i < 64; i++) {
        if (bits & UINT64_C(1) << i) {
            json_array_add(array, json_string_create_nocopy(
                names[i] ? xstrdup(names[i]) : xasprintf("bit_%d", i)));
        }
    }
    json_object_put_format(json, "bits", "0x%016"PRIx64, bits);
    json_object_put(json, "names", array);
    return json;
}

static struct json *
region_to_json(const struct vhost_guest_region *region,
               const struct vhost_numa_census *census)
{
    struct json *json = json_object_create();
    struct json *pages = json_array_create_empty();

    for (int node = 0; node < VHOST_MAX_NODES; node++) {
        if (census->n_pages[node]) {
            struct json *element = json_object_create();

            json_object_put(element, "node", json_integer_create(node));
            json_object_put(element, "n",
                            json_integer_create(census->n_pages[node]));
            json_array_add(pages, element);
        }
    }
    json_object_put(json, "address",
                    json_integer_create(region->guest_address));
    json_object_put(json, "size", json_integer_create(region->size));
    json_object_put(json, "page_size", (census->page_size
                                        ? json_integer_create(
                                            census->page_size)
                                        : json_null_create()));
    json_object_put(json, "sampled", json_integer_create(census->n_asked));
    json_object_put(json, "pages", pages);
    return json;
}

static struct json *
queue_to_json(const struct vhost_port *port, const struct vhost_device *device,
              const struct vhost_queue_placement *qp)
{
    struct json *json = json_object_create();
    bool is_rx = qp->vring & 1;
    struct vhost_rate rate;
    bool has_rate;

    json_object_put(json, "vring", json_integer_create(qp->vring));
    json_object_put_string(json, "direction", is_rx ? "rx" : "tx");
    json_object_put(json, "queue", json_integer_create(qp->vring / 2));
    json_object_put(json, "enabled", json_boolean_create(qp->enabled));
    json_object_put(json, "size", json_integer_create(qp->size));
    json_object_put(json, "fill", number_or_null(qp->fill));
    has_rate = vhost_session_get_rate(port->session, qp->vring, &rate);
    json_object_put(json, "packets_per_second",
                    number_or_null(has_rate ? rate.packets : -1));
    json_object_put(json, "bits_per_second",
                    number_or_null(has_rate ? rate.bits : -1));
    json_object_put(json, "node", number_or_null(qp->node));
    if (is_rx) {
        json_object_put(json, "cpu", number_or_null(qp->cpu));
        json_object_put(json, "cpu_node", number_or_null(qp->cpu_node));
    } else {
        struct json *array = json_array_create_empty();

        for (int i = 0; i < port->up.n_txq; i++) {
            if (serves(device, qp->vring, i)) {
                json_array_add(array, json_integer_create(i));
            }
        }
        json_object_put(json, "serves", array);
    }
    return json;
}

static struct json *
zero_copy_to_json(const struct vhost_port *port)
{
    struct vhost_port_zero_copy zc;
    struct json *json;

    if (!vhost_port_get_zero_copy(port, &zc)) {
        return json_null_create();
    }
    json = json_object_create();
    json_object_put(json, "obstacle", string_or_null(zc.obstacle));
    json_object_put(json, "packets", json_integer_create(zc.n_out));
    json_object_put(json, "pinned_packets", json_integer_create(zc.n_pinned));
    json_object_put(json, "pinned_bytes",
                    json_integer_create(zc.pinned_size));
    return json;
}

static struct json *
pool_to_json(const struct vhost_mempool *pool)
{
    struct json *json;

    if (!pool) {
        return json_null_create();
    }
    json = json_object_create();
    json_object_put_string(json, "name", pool->mp->name);
    json_object_put(json, "node", json_integer_create(pool->node));
    json_object_put(json, "size", json_integer_create(pool->n_mbufs));
    json_object_put(json, "in_use", json_integer_create(
                        rte_mempool_in_use_count(pool->mp)));
    json_object_put(json, "users", json_integer_create(pool->n_users));
    return json;
}

static struct json *
placement_to_json(const struct vhost_placement *p)
{
    struct vhost_remote remotes[VHOST_MAX_REMOTES];
    size_t n = vhost_placement_find_remotes(p, remotes);
    struct json *json = json_object_create();
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        struct json *element = json_object_create();

        json_object_put_string(element, "what", remotes[i].what);
        json_object_put_string(element, "text", remotes[i].text);
        json_object_put(element, "command",
                        string_or_null(remotes[i].command));
        json_object_put(element, "hint", string_or_null(remotes[i].hint));
        json_array_add(array, element);
    }
    json_object_put(json, "local", json_boolean_create(!n));
    json_object_put(json, "text",
                    json_string_create_nocopy(vhost_placement_verdict(p)));
    json_object_put(json, "remote", array);
    vhost_remotes_destroy(remotes, n);
    return json;
}

static void
put_guest(struct json *json, const struct vhost_port *port,
          const struct vhost_device *device, const struct vhost_placement *p)
{
    struct json *memory = json_array_create_empty();
    struct json *queues = json_array_create_empty();

    for (unsigned int i = 0; i < p->memory.n_regions; i++) {
        json_array_add(memory, region_to_json(&p->memory.regions[i],
                                              &p->censuses[i]));
    }
    for (size_t i = 0; i < p->n_queues; i++) {
        json_array_add(queues, queue_to_json(port, device, &p->queues[i]));
    }
    json_object_put_string(json, "data_path", device->datapath->name);
    json_object_put(json, "guest", json_string_create_nocopy(format_guest(p)));
    json_object_put(json, "guest_node", number_or_null(p->node));
    json_object_put(json, "library_node", number_or_null(p->library_node));
    json_object_put(json, "features",
                    features_to_json(device->features, virtio_features));
    json_object_put(json, "protocol_features",
                    features_to_json(get_protocol_features(device),
                                     protocol_features));
    json_object_put(json, "memory", memory);
    json_object_put(json, "queues", queues);
    json_object_put(json, "placement", placement_to_json(p));
}

static struct json *
port_to_json(const struct vhost_port *port, const struct vhost_placement *p)
    OVS_REQUIRES(port->mutex)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "name", netdev_get_name(&port->up));
    json_object_put_string(json, "type", netdev_get_type(&port->up));
    json_object_put_string(json, "mode",
                           vhost_port_is_server(port) ? "server" : "client");
    json_object_put(json, "socket", string_or_null(
                        port->session ? vhost_session_path(port->session)
                                      : NULL));
    json_object_put(json, "node", json_integer_create(port->node));
    json_object_put(json, "zero_copy", zero_copy_to_json(port));
    json_object_put(json, "pool", pool_to_json(port->pool));
    json_object_put(json, "connected", json_boolean_create(p != NULL));
    if (p) {
        put_guest(json, port, p->device, p);
    }
    return json;
}

/* Text. */

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
put_features(struct ds *s, const char *title, uint64_t bits,
             const char *const names[64])
{
    size_t line = s->length;

    ds_put_format(s, "  %s: 0x%"PRIx64, title, bits);
    for (int i = 0; i < 64; i++) {
        if (bits & UINT64_C(1) << i) {
            char number[8];

            snprintf(number, sizeof number, "bit_%d", i);
            put_word(s, names[i] ? names[i] : number, &line, 4);
        }
    }
    ds_put_char(s, '\n');
}

static const char *
format_node(int node, char buf[INT_STRLEN(int) + 1])
{
    if (node < 0) {
        return "?";
    }
    snprintf(buf, INT_STRLEN(int) + 1, "%d", node);
    return buf;
}

static void
put_region(struct ds *s, const struct vhost_guest_region *region,
           const struct vhost_numa_census *census)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    uint64_t size = region->size;
    const char *separator = "";
    int unit = 0;

    while (size >= 1024 && !(size % 1024) && unit + 1 < ARRAY_SIZE(units)) {
        size /= 1024;
        unit++;
    }
    ds_put_format(s, "    0x%012"PRIx64" %5"PRIu64" %-3s  ",
                  region->guest_address, size, units[unit]);
    for (int node = 0; node < VHOST_MAX_NODES; node++) {
        unsigned int n = census->n_pages[node];

        if (n) {
            ds_put_format(s, "%snode %d: %u", separator, node, n);
            separator = ", ";
        }
    }
    ds_put_format(s, "%s of %u pages", census->n_known ? "" : "node ?: none",
                  census->n_asked);
    if (census->page_size) {
        ds_put_format(s, " of %"PRIuSIZE" KiB", census->page_size / 1024);
    }
    ds_put_char(s, '\n');
}

/* With three digits and a prefix: 0, 999, 1.23k, 12.3k, 123k, 1.23M... */
static const char *
format_rate(uint64_t rate, char buf[8])
{
    static const char prefixes[] = "\0kMGTPE";
    unsigned int prefix = 0;
    double value = rate;

    while (value >= 999.5) {
        value /= 1000;
        prefix++;
    }
    snprintf(buf, 8, "%.*f%c",
             !prefix || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2,
             value, prefixes[prefix]);
    return buf;
}

static void
put_queue(struct ds *s, const struct vhost_port *port,
          const struct vhost_device *device,
          const struct vhost_queue_placement *qp)
{
    char node[INT_STRLEN(int) + 1], fill[INT_STRLEN(int) + 1];
    char packets[8] = "?", bits[8] = "?";
    bool is_rx = qp->vring & 1;
    const char *separator = "txq ";
    struct vhost_rate rate;

    if (vhost_session_get_rate(port->session, qp->vring, &rate)) {
        format_rate(rate.packets, packets);
        format_rate(rate.bits, bits);
    }
    ds_put_format(s, "    %5d  %s %-3d  %-8s  %4s of %-5d  %5s  %5s  %4s  ",
                  qp->vring, is_rx ? "rx" : "tx", qp->vring / 2,
                  qp->enabled ? "enabled" : "disabled",
                  format_node(qp->fill, fill), qp->size, packets, bits,
                  format_node(qp->node, node));
    if (!is_rx) {
        for (int i = 0; i < port->up.n_txq; i++) {
            if (serves(device, qp->vring, i)) {
                ds_put_format(s, "%s%d", separator, i);
                separator = ", ";
            }
        }
    } else if (qp->cpu >= 0) {
        ds_put_format(s, "CPU %d (node %s)", qp->cpu,
                      format_node(qp->cpu_node, node));
    }
    ds_chomp(s, ' ');
    ds_put_char(s, '\n');
}

static void
put_placement(struct ds *s, const struct vhost_placement *p)
{
    struct vhost_remote remotes[VHOST_MAX_REMOTES];
    size_t n = vhost_placement_find_remotes(p, remotes);

    if (!n) {
        ds_put_cstr(s, "  placement: local\n");
        return;
    }
    ds_put_format(s, "  placement: remote from the guest's node %d:\n",
                  p->node);
    for (size_t i = 0; i < n; i++) {
        ds_put_format(s, "    %s\n", remotes[i].text);
    }
    ds_put_cstr(s, "  to fix:\n");
    for (size_t i = 0; i < n; i++) {
        const struct vhost_remote *r = &remotes[i];

        if (!vhost_remote_is_repeated(remotes, i)) {
            if (r->command) {
                ds_put_format(s, "    %s\n", r->command);
            }
            if (r->hint) {
                ds_put_format(s, r->command ? "    (%s)\n" : "    %s\n",
                              r->hint);
            }
        }
    }
    vhost_remotes_destroy(remotes, n);
}

static void
put_zero_copy(struct ds *s, const struct vhost_port *port)
{
    struct vhost_port_zero_copy zc;

    if (!vhost_port_get_zero_copy(port, &zc)) {
        return;
    }
    ds_put_cstr(s, "  zero-copy: ");
    if (zc.obstacle) {
        ds_put_format(s, "off: %s\n", zc.obstacle);
    } else {
        ds_put_format(s, "%u packets in flight\n",
                      zc.n_out);
    }
    if (zc.n_pinned) {
        ds_put_format(s, "  zero-copy: %u packets of guests that have left, "
                      "whose memory is kept: %"PRIu64" MiB\n", zc.n_pinned,
                      zc.pinned_size >> 20);
    }
}

static void
port_to_text(const struct vhost_port *port, const struct vhost_placement *p,
             struct ds *s)
    OVS_REQUIRES(port->mutex)
{
    const struct vhost_mempool *pool = port->pool;
    char buf[2][INT_STRLEN(int) + 1];

    ds_put_format(s, "%s: %s, %s\n", netdev_get_name(&port->up),
                  netdev_get_type(&port->up),
                  p ? "connected" : "not connected");
    ds_put_format(s, "  socket: %s (%s)\n",
                  port->session ? vhost_session_path(port->session) : "none",
                  vhost_port_is_server(port) ? "server" : "client");
    if (p) {
        const struct vhost_device *device = p->device;
        char *guest = format_guest(p);

        ds_put_format(s, "  guest: memory %s, rings on node %s, "
                      "librte_vhost's structures on node %s\n", guest,
                      format_node(p->node, buf[0]),
                      format_node(p->library_node, buf[1]));
        free(guest);
        put_features(s, "features", device->features, virtio_features);
        put_features(s, "protocol features", get_protocol_features(device),
                     protocol_features);
        ds_put_cstr(s, "  memory:\n");
        for (unsigned int i = 0; i < p->memory.n_regions; i++) {
            put_region(s, &p->memory.regions[i], &p->censuses[i]);
        }
        ds_put_format(s, "  data path: %s\n", device->datapath->name);
        ds_put_cstr(s, "    vring  queue   state         fill of size  pkt/s"
                    "  bit/s  node  served by\n");
        for (size_t i = 0; i < p->n_queues; i++) {
            put_queue(s, port, device, &p->queues[i]);
        }
    }
    put_zero_copy(s, port);
    if (pool) {
        ds_put_format(s, "  mempool: %s on node %d, %u of %u mbufs in use, "
                      "%u %s\n", pool->mp->name, pool->node,
                      rte_mempool_in_use_count(pool->mp), pool->n_mbufs,
                      pool->n_users, pool->n_users == 1 ? "user" : "users");
    } else {
        ds_put_cstr(s, "  mempool: none\n");
    }
    if (p) {
        put_placement(s, p);
    }
}
