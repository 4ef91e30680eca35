/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Does librte_vhost, the real one, show messages as vhost-message.c expects?
 * DPDK does not install the header that says so.
 *
 * Listens as the plugin does, connects to itself, and sends messages with all
 * numbers of file descriptors, none of which the library gets to handle. */

#include <config.h>
#undef NDEBUG

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_vhost.h>

#include "util.h"
#include "vhost-message.h"

#define SOCKET "layout.sock"
#define PAYLOAD UINT64_C(0x0123456789abcdef)

/* Posted when a message was seen. */
static sem_t seen;
static int n_messages;

static enum rte_vhost_msg_result
see(int vid OVS_UNUSED, void *message)
{
    struct vhost_message m;

    ovs_assert(vhost_message_is_readable(message));
    vhost_message_parse(message, &m);
    ovs_assert(m.request == VHOST_REQUEST_SET_VRING_ERR);
    ovs_assert(m.u64 == PAYLOAD);
    ovs_assert(m.n_fds == n_messages);
    for (unsigned int i = 0; i < m.n_fds; i++) {
        struct stat s;

        ovs_assert(!fstat(m.fds[i], &s) && s.st_size == i + 1);
    }
    n_messages++;
    sem_post(&seen);
    return vhost_message_ignore(&m);
}

static int
connected(int vid)
{
    static const struct rte_vhost_user_extern_ops ops = {
        .pre_msg_handle = see,
    };

    return rte_vhost_extern_callback_register(vid, &ops, NULL);
}

/* Without hugepages, devices, or files but in the current directory. */
static void
start_dpdk(void)
{
    char *core = xasprintf("0@%d", sched_getcpu());
    char *argv[] = {
        CONST_CAST(char *, program_name), "--no-huge", "--no-pci",
        "--no-shconf", "--no-telemetry", "-m", "64", "--lcores", core, NULL,
    };

    setenv("RUNTIME_DIRECTORY", ".", 1);
    ovs_assert(rte_eal_init(ARRAY_SIZE(argv) - 1, argv) >= 0);
    free(core);
}

static int
connect_to(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ovs_strlcpy(sun.sun_path, path, sizeof sun.sun_path);
    ovs_assert(!connect(fd, (struct sockaddr *) &sun, sizeof sun));
    return fd;
}

/* Sends a message with the first 'n' of 'fds'. */
static void
send_message(int fd, const int fds[], size_t n)
{
    const uint64_t payload = PAYLOAD;
    uint32_t message[5] = { VHOST_REQUEST_SET_VRING_ERR, 1, sizeof payload };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(VHOST_MESSAGE_MAX_FDS * sizeof *fds)];
    } control = { .bytes = "" };
    struct iovec iov = { message, sizeof message };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    memcpy(&message[3], &payload, sizeof payload);
    if (n) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof *fds);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n * sizeof *fds);
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof *fds);
    }
    ovs_assert(sendmsg(fd, &msg, 0) == sizeof message);
}

int
main(int argc OVS_UNUSED, char *argv[])
{
    static const struct rte_vhost_device_ops ops = {
        .new_connection = connected,
    };
    int fds[VHOST_MESSAGE_MAX_FDS];
    struct timespec deadline;
    int fd;

    set_program_name(argv[0]);
    start_dpdk();
    sem_init(&seen, 0, 0);
    ovs_assert(!rte_vhost_driver_register(SOCKET, 0)
               && !rte_vhost_driver_callback_register(SOCKET, &ops)
               && !rte_vhost_driver_start(SOCKET));
    fd = connect_to(SOCKET);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 60;
    for (int n = 0; n <= VHOST_MESSAGE_MAX_FDS; n++) {
        send_message(fd, fds, n);
        ovs_assert(!sem_timedwait(&seen, &deadline));
        if (n < VHOST_MESSAGE_MAX_FDS) {
            fds[n] = memfd_create("fd", MFD_CLOEXEC);
            ovs_assert(!ftruncate(fds[n], n + 1));
        }
    }
    ovs_assert(n_messages == VHOST_MESSAGE_MAX_FDS + 1);
    rte_vhost_driver_unregister(SOCKET);
    return 0;
}
