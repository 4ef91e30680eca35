/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-stats.h"

#include <string.h>

#include "netdev-provider.h"
#include "util.h"

static const char *const vring_stat_names[] = {
#define VHOST_VRING_STAT(NAME) #NAME,
    VHOST_VRING_STATS
#undef VHOST_VRING_STAT
};
BUILD_ASSERT_DECL(ARRAY_SIZE(vring_stat_names) == VHOST_N_VRING_STATS);

/* Adds 'n' counters to the end of 'custom' and returns the first of them. */
static struct netdev_custom_counter *
append(struct netdev_custom_stats *custom, size_t n)
{
    size_t size = custom->size;

    custom->size += n;
    custom->counters = xrealloc(custom->counters,
                                custom->size * sizeof *custom->counters);
    return &custom->counters[size];
}

static uint64_t
counter_read(const atomic_uint64_t *counter)
{
    uint64_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint64_t *, counter), &value);
    return value;
}

/* Initializes 'counters' of 'port', a name that must stay, to zeros. */
void
vhost_counters_init(struct vhost_counters *counters, const char *port)
{
    counters->port = port;
#define VHOST_COUNTER(NAME) atomic_init(&counters->NAME, 0);
    VHOST_COUNTERS
#undef VHOST_COUNTER
}

/* Returns how many packets 'counters' saw dropped on their way to the
 * guest. */
uint64_t
vhost_counters_get_tx_dropped(const struct vhost_counters *counters)
{
    return counter_read(&counters->tx_failure_drops)
           + counter_read(&counters->tx_mtu_exceeded_drops)
           + counter_read(&counters->tx_qos_drops)
           + counter_read(&counters->tx_invalid_hwol_drops)
           + counter_read(&counters->tx_disconnected_drops)
           + counter_read(&counters->tx_no_mbuf_drops)
           + counter_read(&counters->tx_small_buffer_drops)
           + counter_read(&counters->tx_held_drops);
}

/* Returns how many packets 'counters' saw dropped after they were received
 * from the guest. */
uint64_t
vhost_counters_get_rx_dropped(const struct vhost_counters *counters)
{
    return counter_read(&counters->rx_qos_drops)
           + counter_read(&counters->rx_runt_drops)
           + counter_read(&counters->rx_oversize_drops)
           + counter_read(&counters->rx_invalid_hwol_drops);
}

/* Adds 'src' to 'dst'. */
void
vhost_vring_stats_add(struct vhost_vring_stats *dst,
                      const struct vhost_vring_stats *src)
{
#define VHOST_VRING_STAT(NAME) dst->NAME += src->NAME;
    VHOST_VRING_STATS
#undef VHOST_VRING_STAT
}

/* Sets the counter in 'stats' whose name ends 'name', such as
 * "rx_q0_good_packets", to 'value'.  Returns false if there is none. */
bool
vhost_vring_stats_set(struct vhost_vring_stats *stats, const char *name,
                      uint64_t value)
{
    const char *stem = strstr(name, "_q");

    stem = stem ? strchr(stem + 1, '_') : NULL;
    stem = stem ? stem + 1 : name;
#define VHOST_VRING_STAT(NAME)                  \
    if (!strcmp(stem, #NAME)) {                 \
        stats->NAME = value;                    \
        return true;                            \
    }
    VHOST_VRING_STATS
#undef VHOST_VRING_STAT
    return false;
}

/* Fills in '*stats' for a port whose queues counted 'rx' and 'tx' in sum.
 * Members that are not counted become UINT64_MAX. */
void
vhost_stats_to_netdev(const struct vhost_vring_stats *rx,
                      const struct vhost_vring_stats *tx,
                      const struct vhost_counters *counters,
                      struct netdev_stats *stats)
{
    memset(stats, 0xff, sizeof *stats);

    stats->rx_errors = 0;
    stats->tx_errors = 0;
    stats->rx_dropped = vhost_counters_get_rx_dropped(counters);
    stats->tx_dropped = vhost_counters_get_tx_dropped(counters);

    stats->rx_packets = rx->good_packets;
    stats->rx_bytes = rx->good_bytes;
    stats->multicast = rx->multicast_packets;
    stats->rx_broadcast_packets = rx->broadcast_packets;
    stats->rx_1_to_64_packets = rx->undersize_packets + rx->size_64_packets;
    stats->rx_65_to_127_packets = rx->size_65_127_packets;
    stats->rx_128_to_255_packets = rx->size_128_255_packets;
    stats->rx_256_to_511_packets = rx->size_256_511_packets;
    stats->rx_512_to_1023_packets = rx->size_512_1023_packets;
    stats->rx_1024_to_1522_packets = rx->size_1024_1518_packets;
    stats->rx_1523_to_max_packets = rx->size_1519_max_packets;

    stats->tx_packets = tx->good_packets;
    stats->tx_bytes = tx->good_bytes;
    stats->tx_multicast_packets = tx->multicast_packets;
    stats->tx_broadcast_packets = tx->broadcast_packets;
    stats->tx_1_to_64_packets = tx->undersize_packets + tx->size_64_packets;
    stats->tx_65_to_127_packets = tx->size_65_127_packets;
    stats->tx_128_to_255_packets = tx->size_128_255_packets;
    stats->tx_256_to_511_packets = tx->size_256_511_packets;
    stats->tx_512_to_1023_packets = tx->size_512_1023_packets;
    stats->tx_1024_to_1522_packets = tx->size_1024_1518_packets;
    stats->tx_1523_to_max_packets = tx->size_1519_max_packets;
}

/* Appends 'counters' to 'custom', whose 'counters' the caller must free. */
void
vhost_stats_add_counters(const struct vhost_counters *counters,
                         struct netdev_custom_stats *custom)
{
#define VHOST_COUNTER(NAME) + 1
    struct netdev_custom_counter *c = append(custom, 0 VHOST_COUNTERS);
#undef VHOST_COUNTER

#define VHOST_COUNTER(NAME)                                             \
    ovs_strlcpy(c->name, "ovs_" #NAME, sizeof c->name);                 \
    c->value = counter_read(&counters->NAME);                           \
    c++;
    VHOST_COUNTERS
#undef VHOST_COUNTER
}

/* Appends 'stats' of virtqueue number 'vring', counted as virtio does (odd
 * ones carry what the guest sends), to 'custom'. */
void
vhost_stats_add_vring(unsigned int vring,
                      const struct vhost_vring_stats *stats,
                      struct netdev_custom_stats *custom)
{
    struct netdev_custom_counter *c = append(custom, VHOST_N_VRING_STATS);
    const uint64_t *values = (const uint64_t *) stats;

    for (size_t i = 0; i < VHOST_N_VRING_STATS; i++) {
        snprintf(c[i].name, sizeof c[i].name, "%s_q%u_%s",
                 vring & 1 ? "rx" : "tx", vring / 2, vring_stat_names[i]);
        c[i].value = values[i];
    }
}
