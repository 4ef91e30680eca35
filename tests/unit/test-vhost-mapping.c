/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#include <config.h>
#undef NDEBUG

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_vhost.h>

#include "guest-memory.h"
#include "test-vhost.h"
#include "util.h"
#include "vhost-guard.h"
#include "vhost-mapping.h"

/* Files, at offsets, and one that the guest makes shorter. */
static void
test_mapping(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    struct rte_vhost_memory *table = xzalloc(
        sizeof *table + 2 * sizeof table->regions[0]);
    int fd = memfd_create("guest", 0);
    struct vhost_mapping *m, *other;
    struct guest_memory library = { .n_regions = 0 };
    char *message = NULL;
    uint8_t *theirs, *p;

    CHECK(fd >= 0 && !ftruncate(fd, 4 << 20));
    theirs = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(theirs != MAP_FAILED);
    table->nregions = 2;
    table->regions[0] = (struct rte_vhost_mem_region) {
        .guest_phys_addr = 0x100000, .size = 1 << 20, .fd = fd,
        .host_user_addr = (uintptr_t) theirs, .mmap_addr = theirs,
        .mmap_size = 1 << 20,
    };
    table->regions[1] = (struct rte_vhost_mem_region) {
        .guest_phys_addr = 0x800000, .size = 1 << 20, .fd = fd,
        .host_user_addr = (uintptr_t) theirs + (2 << 20), .mmap_addr = theirs,
        .mmap_size = 3 << 20,
    };
    for (int i = 0; i < 2; i++) {
        guest_memory_add(&library, table->regions[i].guest_phys_addr, 1 << 20,
                         (void *) (uintptr_t)
                         table->regions[i].host_user_addr);
    }
    vhost_guard_init();
    CHECK((m = vhost_mapping_create(table, "vhu0", &message)));
    CHECK((other = vhost_mapping_create(table, "vhu1", &message)));
    CHECK_INT(m->size, 2 << 20);
    theirs[5] = 50;
    theirs[(2 << 20) + 6] = 60;
    CHECK((p = vhost_mapping_translate(m, &library, theirs + 5)));
    CHECK_INT(*p, 50);
    CHECK(p != theirs + 5);
    CHECK((p = vhost_mapping_translate(m, &library, theirs + (2 << 20) + 6)));
    CHECK_INT(*p, 60);
    CHECK(!vhost_mapping_translate(m, &library, theirs + (1 << 20)));
    munmap(theirs, 4 << 20);
    CHECK_INT(*p, 60);

    /* The file shrinks. */
    CHECK(!ftruncate(fd, 1 << 20));
    CHECK(!vhost_mapping_is_lost(m));
    CHECK_INT(*p, 0);
    CHECK(vhost_mapping_is_lost(m));
    CHECK(!vhost_mapping_is_lost(other));

    CHECK(vhost_mapping_ref(m) == m);
    vhost_mapping_unref(m);
    CHECK_INT(*p, 0);
    vhost_mapping_unref(m);
    vhost_mapping_unref(other);
    vhost_mapping_unref(NULL);
    close(fd);
    free(table);
}
VHOST_TEST(test_mapping, "zerocopy-mapping", "zero-copy: mappings", 0);

static void
check_no_mapping(const struct rte_vhost_memory *table, const char *expected)
{
    unsigned int n = count_mappings();
    char *message = NULL;

    CHECK(!vhost_mapping_create(table, "vhu0", &message));
    CHECK_STR(message, expected);
    CHECK_INT(count_mappings(), n);
    free(message);
}

/* Memory that cannot be mapped, wholly or from the second region on. */
static void
test_no_mapping(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    enum { N = GUEST_MEMORY_MAX_REGIONS, N_WATCHED = 16384 };
    static struct vhost_mapping *all[N_WATCHED / N];
    int fd = memfd_create("guest", 0);
    char *path = xasprintf("/proc/self/fd/%d", fd);
    struct rte_vhost_mem_region *last;
    struct rte_vhost_memory *table;
    char *message = NULL;
    size_t n = 0;

    CHECK(fd >= 0 && !ftruncate(fd, 4096));
    vhost_guard_init();
    table = xzalloc(sizeof *table + (N + 1) * sizeof table->regions[0]);
    for (int i = 0; i <= N; i++) {
        table->regions[i] = (struct rte_vhost_mem_region) {
            .guest_phys_addr = 0x100000 * i, .size = 4096, .mmap_size = 4096,
            .fd = fd,
        };
    }
    table->nregions = N + 1;
    check_no_mapping(table, "it has too many regions");

    table->nregions = N;
    last = &table->regions[N - 1];
    CHECK((last->fd = open("/dev/zero", O_RDWR)) >= 0);
    check_no_mapping(table, "it is not tmpfs or hugetlbfs");
    close(last->fd);
    check_no_mapping(table, "it is not tmpfs or hugetlbfs");

    CHECK((last->fd = open(path, O_RDONLY)) >= 0);
    check_no_mapping(table, "it cannot be mapped (Permission denied)");
    close(last->fd);

    last->fd = fd;
    last->guest_phys_addr = UINT64_MAX;
    check_no_mapping(table, "a region of it is invalid");
    last->guest_phys_addr = 0x100000 * (N - 1);

    /* As much as can be guarded, of which nothing above has kept anything. */
    CHECK_INT(count_mappings(), 0);
    while (n < ARRAY_SIZE(all)) {
        CHECK((all[n++] = vhost_mapping_create(table, "vhu0", &message)));
    }
    check_no_mapping(table, "too much is already mapped");
    vhost_mapping_unref(all[--n]);
    CHECK((all[n++] = vhost_mapping_create(table, "vhu0", &message)));
    while (n) {
        vhost_mapping_unref(all[--n]);
    }
    CHECK_INT(count_mappings(), 0);
    free(table);
    free(path);
    close(fd);
}
VHOST_TEST(test_no_mapping, "zerocopy-no-mapping",
           "zero-copy: memory that cannot be mapped", 0);
