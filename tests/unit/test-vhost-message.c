/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>

#include "vhost-message.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test-vhost.h"
#include "util.h"
#include "vhost-compat.h"

/* What librte_vhost shows of a message, and what lies behind that. */
struct context {
    uint32_t request, flags, size;
    uint8_t payload[VHOST_MESSAGE_SIZE - 12];
    int fds[8];
    int n_fds;
    uint8_t other[64];
};

static struct context
make_context(uint32_t request, const void *payload, size_t size)
{
    struct context c;

    /* It is not cleared between messages. */
    memset(&c, 0x5a, sizeof c);
    c.request = request;
    c.size = size;
    memset(c.fds, -1, sizeof c.fds);
    c.n_fds = 0;
    memcpy(c.payload, payload, size);
    return c;
}

static struct vhost_message
parse(uint32_t request, uint64_t payload)
{
    struct context c = make_context(request, &payload, sizeof payload);
    struct vhost_message m;

    vhost_message_parse(&c, &m);
    return m;
}

static void
test_parse(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    static const uint8_t of_one[] = { 8, 9, 10, 12, 18 };
    static const uint8_t of_all[] = { 2, 5, 6, 22, 29, 30 };
    unsigned int first, n;
    struct vhost_message m;

    for (unsigned int i = 0; i < ARRAY_SIZE(of_one); i++) {
        m = parse(of_one[i], 3);
        CHECK_INT(m.scope, VHOST_SCOPE_VRING);
        vhost_message_range(&m, &first, &n);
        CHECK_INT(first, 3);
        CHECK_INT(n, 1);
        CHECK(m.is_locked);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(of_all); i++) {
        m = parse(of_all[i], 3);
        CHECK_INT(m.scope, VHOST_SCOPE_DEVICE);
        vhost_message_range(&m, &first, &n);
        CHECK_INT(first, 0);
        CHECK_INT(n, VHOST_MAX_VRINGS);
    }
    /* The bit beside the number says that there is no file descriptor. */
    CHECK_INT(parse(12, 0x107).vring, 7);
    m = parse(13, 0x107);
    CHECK_INT(m.scope, VHOST_SCOPE_NONE);
    CHECK_INT(m.vring, 7);
    vhost_message_range(&m, &first, &n);
    CHECK_INT(n, 0);
    CHECK_INT(parse(VHOST_REQUEST_SEND_RARP, 0x123456789abc).u64,
              0x123456789abc);

    CHECK_STR(parse(8, 0).name, "SET_VRING_NUM");
    CHECK_STR(parse(22, 0).name, "IOTLB_MSG");
    CHECK_STR(parse(0, 0).name, "an unknown request");
    CHECK_STR(parse(23, 0).name, "an unknown request");
    CHECK_STR(parse(37, 0).name, "ADD_MEM_REG");

    /* What we do not know may change anything. */
    for (uint32_t request = 41; request < 1000; request++) {
        m = parse(request, 0);
        CHECK_INT(m.scope, VHOST_SCOPE_DEVICE);
        CHECK(!m.is_locked);
    }
    CHECK_INT(parse(UINT32_MAX, UINT64_MAX).scope, VHOST_SCOPE_DEVICE);
    CHECK_INT(parse(256 + 8, 0).scope, VHOST_SCOPE_DEVICE);
}
VHOST_TEST(test_parse, "message-parse", "messages: what they concern", 0);

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Another layout shows in what should be file descriptors. */
static void
test_layout(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int n = -2; n <= 9; n++) {
        struct context c = make_context(VHOST_REQUEST_GET_FEATURES, "", 0);

        c.n_fds = n;
        for (int i = 0; i < MIN(n, 8); i++) {
            c.fds[i] = 100 + i;
        }
        CHECK(vhost_message_is_readable(&c) == (n >= 0 && n <= 8));
        if (n > 0 && n <= 8) {
            c.fds[n - 1] = -1;
            CHECK(!vhost_message_is_readable(&c));
            c.fds[n - 1] = 0;
        }
        if (n >= 0 && n <= 8) {
            c.size = sizeof c.payload;
            CHECK(vhost_message_is_readable(&c));
            c.size++;
            CHECK(!vhost_message_is_readable(&c));
            c.size = 0;
        }
        if (n >= 0 && n < 8) {
            c.fds[n] = 0;
            CHECK(!vhost_message_is_readable(&c));
            c.fds[n] = -1;
            c.fds[7] = 0;
            CHECK(!vhost_message_is_readable(&c));
        }
    }
}
VHOST_TEST(test_layout, "message-layout", "messages: another layout", 0);

/* librte_vhost does not close what came with a message that it does not get to
 * see. */
static void
test_refuse(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int how = 0; how < 3; how++) {
        struct context c = make_context(VHOST_REQUEST_SET_VRING_KICK, "", 0);
        struct context sent;
        struct vhost_message m;

        c.flags = 9;
        c.n_fds = 3;
        c.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        c.fds[1] = -1;
        c.fds[2] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        sent = c;
        vhost_message_parse(&c, &m);
        CHECK_INT(m.n_fds, 3);
        switch (how) {
        case 0:
            CHECK_INT(vhost_message_refuse(&m), RTE_VHOST_MSG_RESULT_ERR);
            break;
        case 1:
            CHECK_INT(vhost_message_ignore(&m), RTE_VHOST_MSG_RESULT_OK);
            break;
        case 2:
            /* Without a reply, the connection ends. */
            CHECK_INT(vhost_message_hang_up(&c, &m), RTE_VHOST_MSG_RESULT_ERR);
            sent.flags = 1;
            break;
        }
        CHECK(!memcmp(&c, &sent, sizeof c));
        CHECK(!is_open(m.fds[0]) && !is_open(m.fds[2]));
    }

    /* Numbers that make no sense. */
    for (int n = -1; n < 100; n += 10) {
        struct context c = make_context(1, "", 0);
        struct vhost_message m;

        c.n_fds = n;
        vhost_message_parse(&c, &m);
        CHECK_INT(m.n_fds, 0);
        vhost_message_refuse(&m);
    }
}
VHOST_TEST(test_refuse, "message-refuse",
           "messages: refused, ignored, the last one", 0);

static void
check_memory(unsigned int n_regions, unsigned int n_fds, int fd,
             uint64_t size, uint64_t offset, const char *objection)
{
    struct vhost_conversation conversation = { .vid = 0 };
    struct {
        uint32_t n, padding;
        struct vhost_message_region regions[VHOST_MESSAGE_MAX_FDS];
    } table = { .n = n_regions };
    struct vhost_message m;
    struct context c;

    for (unsigned int i = 0; i < VHOST_MESSAGE_MAX_FDS; i++) {
        table.regions[i].size = size;
        table.regions[i].mmap_offset = offset;
    }
    c = make_context(VHOST_REQUEST_SET_MEM_TABLE, &table, sizeof table);
    c.n_fds = n_fds;
    for (unsigned int i = 0; i < n_fds; i++) {
        c.fds[i] = fd;
    }
    vhost_message_parse(&c, &m);
    CHECK_STR(vhost_conversation_objection(&conversation, &m), objection);
    CHECK(fd < 0 || is_open(fd));
}

/* librte_vhost leaves rings in memory that it has unmapped, and files open, if
 * it finds out half-way. */
static void
test_memory(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    const char *files = "it lacks a file for one of up to 8 regions";
    const char *map = "a region cannot be mapped";
    const char *large = "a region is larger than its file";
    int fd = memfd_create("guest", MFD_CLOEXEC);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int read_only;
    char *path;

    CHECK(fd >= 0 && !ftruncate(fd, 65536));
    path = xasprintf("/proc/self/fd/%d", fd);
    read_only = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    CHECK(read_only >= 0);
    check_memory(1, 1, fd, 65536, 0, NULL);
    check_memory(8, 8, fd, 65536, 0, NULL);
    check_memory(0, 0, fd, 65536, 0, NULL);
    check_memory(9, 8, fd, 65536, 0, files);
    check_memory(UINT32_MAX, 8, fd, 65536, 0, files);
    check_memory(2, 1, fd, 65536, 0, files);
    check_memory(1, 2, fd, 65536, 0, files);
    check_memory(1, 0, fd, 65536, 0, files);

    check_memory(2, 2, fd, 65536, 1, large);
    check_memory(2, 2, fd, 32768, 32769, large);
    check_memory(2, 2, fd, UINT64_C(1) << 62, 0, large);
    check_memory(2, 2, fd, 0, 0, map);
    check_memory(2, 2, fd, UINT64_MAX, 0, map);
    check_memory(2, 2, fd, 4096, UINT64_MAX, map);
    check_memory(2, 2, fd, 4096, UINT64_MAX - 4095, map);
    check_memory(2, 2, -1, 65536, 0, map);
    check_memory(2, 2, null, 0, 0, map);
    check_memory(2, 2, read_only, 65536, 0, map);
    close(fd);
    close(null);
    close(read_only);
}
VHOST_TEST(test_memory, "message-memory",
           "messages: memory that cannot be mapped", 0);

/* librte_vhost closes all files of a table that it cannot map but one.  What
 * has come since then, with the number of a closed one, is not ours. */
static void
test_lost_files(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_message table = { .n_fds = 4 }, next = { .n_fds = 1 };
    struct vhost_message_files files;
    int other;

    for (unsigned int i = 0; i < table.n_fds; i++) {
        table.fds[i] = memfd_create("guest", MFD_CLOEXEC);
        CHECK(table.fds[i] >= 0);
    }
    vhost_message_note_files(&table, &files);
    CHECK_INT(files.n, table.n_fds);
    next.fds[0] = table.fds[3];
    close(table.fds[0]);
    other = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_INT(other, table.fds[0]);
    close(table.fds[1]);
    CHECK_INT(vhost_message_close_lost_files(&files, &next), 1);
    CHECK(is_open(other));
    CHECK(!is_open(table.fds[1]));
    CHECK(!is_open(table.fds[2]));
    CHECK(is_open(next.fds[0]));
    CHECK_INT(vhost_message_close_lost_files(&files, NULL), 0);

    vhost_message_note_files(&next, &files);
    CHECK_INT(vhost_message_close_lost_files(&files, NULL), 1);
    CHECK(!is_open(next.fds[0]));
    close(other);
}
VHOST_TEST(test_lost_files, "message-lost-files",
           "messages: files that librte_vhost leaves open", 0);

static const char *
objection_to(struct vhost_conversation *conversation, uint32_t request)
{
    struct vhost_message m = parse(request, 0);
    const char *objection = vhost_conversation_objection(conversation, &m);

    if (!objection) {
        vhost_conversation_begin(conversation, &m);
        vhost_conversation_end(conversation, &m);
    }
    return objection;
}

/* Objections that depend on what was said before. */
static void
test_conversation(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct vhost_conversation c = { .vid = 0 };
    struct vhost_message table = parse(VHOST_REQUEST_SET_MEM_TABLE, 0);

    for (int i = 0; i < 3; i++) {
        CHECK_STR(objection_to(&c, VHOST_REQUEST_POSTCOPY_ADVISE), NULL);
        CHECK_STR(objection_to(&c, VHOST_REQUEST_POSTCOPY_ADVISE),
                  "post-copy has already begun");
        CHECK_STR(objection_to(&c, VHOST_REQUEST_POSTCOPY_LISTEN), NULL);
        CHECK_STR(objection_to(&c, VHOST_REQUEST_POSTCOPY_END), NULL);
    }

    CHECK(!vhost_conversation_is_broken(&c));
    vhost_conversation_begin(&c, &table);
    CHECK(vhost_conversation_is_broken(&c));
    vhost_conversation_end(&c, &table);
    CHECK(!vhost_conversation_is_broken(&c));
    vhost_conversation_begin(&c, &table);
    CHECK_STR(objection_to(&c, VHOST_REQUEST_GET_FEATURES), NULL);
    CHECK(vhost_conversation_is_broken(&c));

    CHECK_STR(objection_to(&c, VHOST_REQUEST_IOTLB_MSG),
              "the guest has no IOMMU");

    /* What we do not know is refused: of vhost-crypto, of memory that is
     * changed region by region, and of later versions. */
    for (uint32_t request = 0; request < 1000; request++) {
        const char *objection = objection_to(&c, request);

        if (!request || request == 23 || (request >= 26 && request <= 27)
            || (request >= 33 && request <= 38) || request > 40) {
            CHECK_STR(objection, "no feature that it belongs to was offered");
        } else {
            CHECK(!objection || !strstr(objection, "offered"));
        }
    }
}
VHOST_TEST(test_conversation, "message-conversation",
           "messages: in the wrong order", 0);
