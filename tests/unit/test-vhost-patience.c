/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "session-fixture.h"
#include "stub-memory.h"
#include "stub-rte-vhost.h"
#include "netdev-provider.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-message.h"
#include "vhost-patience.h"
#include "vhost-session.h"

/* How long all ports may have to wait for a front end. */

static void
test_credit(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_patience p;

    vhost_patience_init(&p);
    CHECK_INT(vhost_patience_take(&p), 6000);
    stub_memory.time_offset += 500;
    vhost_patience_give_back(&p);
    CHECK(vhost_patience_take(&p) >= 5400);

    /* It is used up: what is left is little, and it comes back slowly. */
    CHECK_INT(vhost_patience_take(&p), 200);
    stub_memory.time_offset += 6000;
    CHECK_INT(vhost_patience_take(&p), 200);
    stub_memory.time_offset += 60000;
    CHECK_INT(vhost_patience_take(&p) / 10, 100);

    /* Not beyond what there was at first, and a long wait costs no more than
     * was granted. */
    stub_memory.time_offset += 10 * 3600 * 1000;
    CHECK_INT(vhost_patience_take(&p), 6000);
    stub_memory.time_offset += 7000;
    vhost_patience_give_back(&p);
    CHECK_INT(vhost_patience_take(&p), 200);
}
VHOST_TEST(test_credit, "patience", "patience: credit", 0);

/* A connection of librte_vhost's, which the stub does not have. */
static int fds[2];

/* Returns how long librte_vhost waits on it, in ms. */
static int
limit(void)
{
    struct timeval receive;
    socklen_t len = sizeof receive;

    CHECK(!getsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &receive, &len));
    return receive.tv_sec * 1000 + receive.tv_usec / 1000;
}

/* Sets the limits that hold while SET_MEM_TABLE is handled apart from those
 * that hold later. */
static int during;

static void
note_limit(void)
{
    during = limit();
}

static void
set_memory(int vid, bool fails)
{
    during = 0;
    guest_set_memory_with(vid, 2 << 20, fails, note_limit);
}

static int
listen_for_postcopy(const struct vhost_session *session)
{
    int vid = guest_connect(vhost_session_path(session));

    CHECK(vid >= 0);
    CHECK_INT(limit(), 20);
    set_memory(vid, false);
    CHECK_INT(during, 20);
    guest_message(vid, VHOST_REQUEST_POSTCOPY_ADVISE, NULL, 0);
    set_memory(vid, false);
    CHECK_INT(during, 20);
    guest_message(vid, VHOST_REQUEST_POSTCOPY_LISTEN, NULL, 0);
    CHECK_INT(limit(), 20);
    return vid;
}

/* A front end has time to acknowledge the addresses of its guest's memory,
 * once, and only then. */
static void
test_registration(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_session_config config = {
        .path = path_of("s0"), .client = true, .postcopy = true,
    };
    struct vhost_session *session;
    char *error = NULL;
    int vid;

    CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    fixture_netdev = open_port("port0", "dpdkvhostuserclient");
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session);

    vid = listen_for_postcopy(session);
    set_memory(vid, false);
    CHECK_INT(during, 3000);
    CHECK_INT(limit(), 20);
    set_memory(vid, false);
    CHECK_INT(during, 100);
    CHECK_INT(limit(), 20);
    guest_message(vid, VHOST_REQUEST_POSTCOPY_END, NULL, 0);
    set_memory(vid, false);
    CHECK_INT(during, 20);
    guest_disconnect(vid);

    /* A failure costs all that there is, and ends with the next message or
     * with the connection. */
    vid = listen_for_postcopy(session);
    set_memory(vid, true);
    CHECK(during > 2900);
    guest_disconnect(vid);
    CHECK_INT(limit(), 20);
    vid = listen_for_postcopy(session);
    set_memory(vid, true);
    CHECK_INT(during, 100);
    guest_message(vid, VHOST_REQUEST_GET_FEATURES, NULL, 0);
    CHECK_INT(limit(), 20);

    /* What needs no credit gives none back. */
    vid = listen_for_postcopy(session);
    guest_start(vid, 1);
    set_memory(vid, false);
    CHECK_INT(during, 100);
    guest_disconnect(vid);
    vid = listen_for_postcopy(session);
    set_memory(vid, false);
    CHECK_INT(during, 100);
    guest_disconnect(vid);

    /* Not while the data path may wait, too. */
    stub_memory.time_offset += 3600 * 1000;
    vid = listen_for_postcopy(session);
    guest_start(vid, 1);
    set_memory(vid, false);
    CHECK_INT(during, 100);
    guest_disconnect(vid);

    /* Not for a port that does not offer it. */
    vhost_session_close(session);
    config.postcopy = false;
    session = vhost_session_open(&config, fixture_netdev, &error);
    CHECK(session);
    vid = listen_for_postcopy(session);
    set_memory(vid, false);
    CHECK_INT(during, 20);
    close_last_session(session);
}
VHOST_TEST(test_registration, "patience-registration",
           "patience: post-copy", TEST_DPDK);
