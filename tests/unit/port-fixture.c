/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include "port-fixture.h"

#include <errno.h>
#include <sys/stat.h>

#include "dp-packet.h"
#include "netdev-provider.h"
#include "stub-rte-vhost.h"
#include "test-vhost.h"
#include "util.h"

void
check_all_closed(void)
{
    netdev_run();
    check_mempools(0);
    check_sessions_closed();
}

int
mode_of(const char *name)
{
    struct stat s;

    return lstat(name, &s) ? -1 : s.st_mode & 07777;
}

int
attach_guest(const char *path, unsigned int n_pairs)
{
    int vid = guest_connect(path);

    CHECK(vid >= 0);
    guest_start(vid, n_pairs);
    return vid;
}

void
receive_from(struct netdev *netdev, int n)
{
    struct dp_packet_batch batch;
    struct netdev_rxq *rxq;

    CHECK_INT(netdev_rxq_open(netdev, &rxq, 0), 0);
    dp_packet_batch_init(&batch);
    CHECK_INT(netdev_rxq_recv(rxq, &batch, NULL), n ? 0 : EAGAIN);
    CHECK_INT(batch.count, n);
    dp_packet_delete_batch(&batch, true);
    netdev_rxq_close(rxq);
}

void
send_to(struct netdev *netdev, int qid, size_t size)
{
    struct dp_packet_batch batch;

    dp_packet_batch_init_packet(&batch, make_packet(size));
    CHECK_INT(netdev_send(netdev, qid, &batch, true), 0);
}

void
retry_pools(void)
{
    for (int i = 0; i < 6; i++) {
        pass_time(1000);
    }
}
