/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

/* Virtqueues of drivers that break the rules, as published faults of several
 * back ends have it.  Each case says what is wrong; the virtqueue stands still
 * until it is initialized anew, and then works.  Memory outside of the guest's
 * regions is not accessible here. */

#include <config.h>
#undef NDEBUG

#include <pthread.h>
#include <string.h>

#include "test-vhost.h"
#include "util.h"
#include "virtq-driver.h"

#define WRAP_BIT (1 << VRING_PACKED_EVENT_F_WRAP_CTR)
#define SIZE 8

static struct guest guest;
static uint64_t end;            /* Of the memory. */
static struct driver driver;
static struct virtq vq;
static struct virtq_burst burst;

/* Starts a virtqueue of 'size', whose guest has two regions. */
static void
start(bool packed, bool writable, unsigned int size)
{
    struct driver_options o = {
        .packed = packed, .writable = writable, .size = size,
        .base = packed ? WRAP_BIT : 0,
    };
    struct virtq_config config;

    guest_init(&guest);
    guest_add_region(&guest, 1 << 20);
    guest_add_region(&guest, 1 << 20);
    end = guest.end;
    driver_init(&driver, &guest, &o);
    config = driver_config(&driver);
    CHECK_STR(virtq_init(&vq, &config), NULL);
}

static void
finish(void)
{
    driver_destroy(&driver);
    guest_destroy(&guest);
}

static void
add_to(uint64_t address, uint32_t len)
{
    CHECK(driver_add_simple(&driver, address, len) >= 0);
}

static void
add(void)
{
    add_to(GUEST_START, 100);
}

/* Adds a chain of 'n' descriptors. */
static void
add_chain(unsigned int n)
{
    struct driver_piece pieces[SIZE];

    for (unsigned int i = 0; i < n; i++) {
        pieces[i] = (struct driver_piece) { GUEST_START, 100 };
    }
    CHECK(driver_add(&driver, pieces, n, false) >= 0);
}

static void
check_fault(const char *expected)
{
    const char *fault;

    atomic_read_relaxed(&vq.fault, &fault);
    CHECK_STR(fault, expected);
}

/* Checks that the virtqueue has 'fault' after 'n' good buffers, stands still,
 * and works again when it is reset, with the driver's end moved to a new
 * place, as by a driver that is loaded again. */
static void
check_broken(unsigned int n, const char *fault)
{
    struct driver_options o = driver.options;
    struct virtq_config config;
    uint32_t written;

    CHECK_INT(virtq_fetch(&vq, &burst, 64), n);
    virtq_take(&vq, &burst, n);
    if (n) {
        virtq_return(&vq, burst.buffers, n);
        for (unsigned int i = 0; i < n; i++) {
            CHECK(driver_get(&driver, &written) >= 0);
        }
        check_fault(NULL);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 0);
    }
    check_fault(fault);
    CHECK_INT(burst.n_buffers, 0);
    for (int i = 0; i < 3; i++) {
        driver_add_simple(&driver, GUEST_START, 100);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 0);
        CHECK_INT(virtq_n_available(&vq), 0);
    }
    CHECK_INT(driver_get(&driver, &written), -1);

    driver_destroy(&driver);
    guest.next = GUEST_START;
    driver_init(&driver, &guest, &o);
    config = driver_config(&driver);
    CHECK_STR(virtq_init(&vq, &config), NULL);
    add();
    CHECK_INT(virtq_fetch(&vq, &burst, 64), 1);
    virtq_take(&vq, &burst, 1);
    virtq_return(&vq, burst.buffers, 1);
    CHECK(driver_get(&driver, &written) >= 0);
    check_fault(NULL);
}

/* What is done to descriptor 'i'. */

static uint64_t *
addr_of(unsigned int i)
{
    return (uint64_t *) (driver.options.packed ? &driver.packed_desc[i].addr
                         : &driver.desc[i].addr);
}

static uint32_t *
len_of(unsigned int i)
{
    return (driver.options.packed ? &driver.packed_desc[i].len
            : &driver.desc[i].len);
}

static uint16_t *
flags_of(unsigned int i)
{
    return (driver.options.packed ? &driver.packed_desc[i].flags
            : &driver.desc[i].flags);
}

/* The first descriptor that the driver takes, and the next ones. */
static unsigned int
nth_desc(unsigned int n)
{
    return driver.options.packed ? n : SIZE - 1 - n;
}

/* The cases. */

static const char outside[] =
    "a descriptor points outside of the guest's memory";

/* A buffer that begins in a region, but does not end there. */
static const char *
buffer_over_end(void)
{
    add_to(end - 50, 100);
    return outside;
}

static const char *
buffer_one_byte_over_end(void)
{
    add_to(end - 99, 100);
    return outside;
}

static const char *
buffer_before_start(void)
{
    add_to(GUEST_START - 1, 100);
    return outside;
}

static const char *
buffer_elsewhere(void)
{
    add_to(UINT64_MAX - 50, 100);
    return outside;
}

static const char *
buffer_of_4_gib(void)
{
    add_to(GUEST_START, UINT32_MAX);
    return outside;
}

static const char *
buffer_empty(void)
{
    add_to(GUEST_START, 0);
    return "a descriptor is empty";
}

static const char *
buffer_of_wrong_direction(void)
{
    add();
    *flags_of(nth_desc(0)) ^= VRING_DESC_F_WRITE;
    return "a descriptor has the wrong direction";
}

static const char *
chain_of_wrong_direction(void)
{
    add_chain(3);
    *flags_of(nth_desc(2)) ^= VRING_DESC_F_WRITE;
    return "a descriptor has the wrong direction";
}

static const char *
chain_with_empty(void)
{
    add_chain(3);
    *len_of(nth_desc(1)) = 0;
    return "a descriptor is empty";
}

static const char *
chain_over_end(void)
{
    add_chain(3);
    *addr_of(nth_desc(2)) = end - 99;
    return outside;
}

/* A chain that leads to itself, and for packed rings, that goes round the
 * ring. */
static const char *
chain_without_end(void)
{
    add_chain(SIZE);
    *flags_of(nth_desc(SIZE - 1)) |= VRING_DESC_F_NEXT;
    if (!driver.options.packed) {
        driver.desc[nth_desc(SIZE - 1)].next = nth_desc(0);
    }
    return "a buffer is in too many pieces";
}

static const char *
chain_to_itself(void)
{
    add();
    *flags_of(nth_desc(0)) |= VRING_DESC_F_NEXT;
    driver.desc[nth_desc(0)].next = nth_desc(0);
    return "a buffer is in too many pieces";
}

static const char *
chain_to_nowhere(void)
{
    add_chain(2);
    driver.desc[nth_desc(0)].next = SIZE;
    return "a next index is out of range";
}

/* Over 4 GiB in all. */
static const char *
chain_of_4_gib(void)
{
    add_chain(2);
    *len_of(nth_desc(1)) = UINT32_MAX - 99;
    return "a buffer is longer than 4 GiB";
}

/* Makes a buffer available of which the only descriptor is a table of 'len'
 * bytes at 'address'. */
static void
add_table(uint64_t address, uint32_t len)
{
    add_to(address, len);
    *flags_of(nth_desc(0)) &= ~VRING_DESC_F_WRITE;
    *flags_of(nth_desc(0)) |= VRING_DESC_F_INDIRECT;
}

/* Puts a descriptor at 'address', whose 'next' is meant for split rings. */
static void
put_desc(uint64_t address, uint64_t addr, uint32_t len, uint16_t flags,
         uint16_t next)
{
    struct vring_packed_desc packed = { .addr = addr, .len = len };
    struct vring_desc split = { .addr = addr, .len = len, .next = next };

    flags |= driver.options.writable ? VRING_DESC_F_WRITE : 0;
    packed.flags = split.flags = flags;
    guest_write(&guest, address,
                driver.options.packed ? (void *) &packed : &split, 16);
}

static const char no_table[] =
    "an indirect table is outside of the guest's memory";

static const char *
table_elsewhere(void)
{
    add_table(end, 16);
    return no_table;
}

/* A table of two that begins in a region, but does not end there. */
static const char *
table_over_end(void)
{
    put_desc(end - 16, GUEST_START, 100, VRING_DESC_F_NEXT, 1);
    add_table(end - 16, 32);
    return no_table;
}

/* The same, in the middle of a descriptor. */
static const char *
table_half_over_end(void)
{
    add_table(end - 8, 16);
    return no_table;
}

static const char *
table_address_wraps(void)
{
    add_table(UINT64_MAX - 15, 1 << 20);
    return no_table;
}

static const char *
table_of_odd_length(void)
{
    add_table(end - 32, 17);
    return "an indirect table has an invalid length";
}

static const char *
table_empty(void)
{
    add_table(end - 32, 0);
    return "an indirect table has an invalid length";
}

/* 2^28 descriptors: the table is not looked at as a whole. */
static const char *
table_huge(void)
{
    uint64_t address = GUEST_START + (512 << 10);

    for (unsigned int i = 0; i < 300; i++) {
        put_desc(address + 16 * i, GUEST_START, 1, VRING_DESC_F_NEXT, i + 1);
    }
    add_table(address, 0xfffffff0);
    return "a buffer is in too many pieces";
}

static const char *
table_in_table(void)
{
    put_desc(end - 16, GUEST_START, 16, VRING_DESC_F_INDIRECT, 0);
    add_table(end - 16, 16);
    return "an indirect table has an indirect table";
}

static const char *
table_with_successor(void)
{
    add_table(end - 16, 16);
    *flags_of(nth_desc(0)) |= VRING_DESC_F_NEXT;
    return "a descriptor has both an indirect table and a successor";
}

static const char *
table_over_buffer_end(void)
{
    put_desc(end - 16, end - 99, 100, 0, 0);
    add_table(end - 16, 16);
    return outside;
}

static const char *
table_with_empty(void)
{
    put_desc(end - 16, GUEST_START, 0, 0, 0);
    add_table(end - 16, 16);
    return "a descriptor is empty";
}

static const char *
table_not_aligned(void)
{
    add_table(end - 20, 16);
    return no_table;
}

static const char *
table_to_itself(void)
{
    put_desc(end - 16, GUEST_START, 16, VRING_DESC_F_NEXT, 0);
    add_table(end - 16, 16);
    return "a buffer is in too many pieces";
}

static const char *
table_to_nowhere(void)
{
    put_desc(end - 16, GUEST_START, 16, VRING_DESC_F_NEXT, 1);
    add_table(end - 16, 16);
    return "a next index is out of range";
}

static const char *
index_too_far_ahead(void)
{
    add();
    driver.avail->idx += SIZE;
    return "it has more entries than fit";
}

static const char *
index_backwards(void)
{
    driver.avail->idx--;
    return "it has more entries than fit";
}

static const char *
head_that_does_not_exist(void)
{
    driver.avail->ring[0] = SIZE;
    driver.avail->idx = 1;
    return "an entry names a descriptor that does not exist";
}

static const char *
head_far_away(void)
{
    driver.avail->ring[0] = 65535;
    driver.avail->idx = 1;
    return "an entry names a descriptor that does not exist";
}

static const struct hostile_case {
    const char *name;
    const char *(*arrange)(void);
    enum { BOTH, SPLIT, PACKED } layout;
} cases[] = {
#define CASE(NAME, LAYOUT) { #NAME, NAME, LAYOUT }
    CASE(buffer_over_end, BOTH),
    CASE(buffer_one_byte_over_end, BOTH),
    CASE(buffer_before_start, BOTH),
    CASE(buffer_elsewhere, BOTH),
    CASE(buffer_of_4_gib, BOTH),
    CASE(buffer_empty, BOTH),
    CASE(buffer_of_wrong_direction, BOTH),
    CASE(chain_of_wrong_direction, BOTH),
    CASE(chain_with_empty, BOTH),
    CASE(chain_over_end, BOTH),
    CASE(chain_without_end, BOTH),
    CASE(chain_to_itself, SPLIT),
    CASE(chain_to_nowhere, SPLIT),
    CASE(chain_of_4_gib, BOTH),
    CASE(table_elsewhere, BOTH),
    CASE(table_over_end, BOTH),
    CASE(table_half_over_end, BOTH),
    CASE(table_address_wraps, BOTH),
    CASE(table_of_odd_length, BOTH),
    CASE(table_empty, BOTH),
    CASE(table_huge, BOTH),
    CASE(table_in_table, BOTH),
    CASE(table_with_successor, BOTH),
    CASE(table_over_buffer_end, BOTH),
    CASE(table_with_empty, BOTH),
    CASE(table_not_aligned, BOTH),
    CASE(table_to_itself, SPLIT),
    CASE(table_to_nowhere, SPLIT),
    CASE(index_too_far_ahead, SPLIT),
    CASE(index_backwards, SPLIT),
    CASE(head_that_does_not_exist, SPLIT),
    CASE(head_far_away, SPLIT),
#undef CASE
};

/* "virtq-hostile CASE": received and transmitted, in each layout. */
static void
test_hostile(int argc OVS_UNUSED, char *argv[])
{
    const struct hostile_case *c = cases;

    while (strcmp(c->name, argv[1])) {
        CHECK(++c < &cases[ARRAY_SIZE(cases)]);
    }
    for (int i = 0; i < 4; i++) {
        bool packed = i & 1, writable = i & 2;

        if (c->layout == (packed ? SPLIT : PACKED)) {
            continue;
        }
        start(packed, writable, SIZE);
        check_broken(0, c->arrange());
        finish();
    }
}
VHOST_TEST(test_hostile, "virtq-hostile", NULL, 0);

/* Good buffers before a bad one are not lost. */
static void
test_good_before_bad(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        start(i, false, SIZE);
        add();
        add();
        add_to(end, 1);
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 2);
        check_fault(outside);
        virtq_take(&vq, &burst, 2);
        virtq_return(&vq, burst.buffers, 2);
        for (int j = 0; j < 2; j++) {
            uint32_t written;

            CHECK(driver_get(&driver, &written) >= 0);
        }
        CHECK_INT(virtq_fetch(&vq, &burst, 64), 0);
        finish();
    }
}
VHOST_TEST(test_good_before_bad, "virtq-good-before-bad",
           "hostile: good before bad", 0);

/* All descriptors of a packed ring say that they are available, also when the
 * device has come round: no more are taken than the ring has. */
static void
test_packed_overfull(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    start(true, false, SIZE);
    for (int i = 0; i < SIZE; i++) {
        add();
    }
    CHECK_INT(virtq_fetch(&vq, &burst, 64), SIZE);
    finish();

    /* Chains that overlap: 5 and 5 descriptors in a ring of 8. */
    start(true, false, SIZE);
    add_chain(5);
    add_chain(3);
    driver.packed_desc[7].flags |= VRING_DESC_F_NEXT;
    driver.packed_desc[1].flags &= ~VRING_DESC_F_NEXT;
    CHECK_INT(virtq_fetch(&vq, &burst, 64), 2);
    finish();
    start(true, false, SIZE);
    add_chain(5);
    add_chain(3);
    driver.packed_desc[7].flags |= VRING_DESC_F_NEXT;
    CHECK_INT(virtq_fetch(&vq, &burst, 64), 1);
    check_fault("it has more entries than fit");
    finish();
}
VHOST_TEST(test_packed_overfull, "virtq-packed-overfull",
           "hostile: packed ring overfull", 0);

/* The guest changes what was read already: descriptors flip between good and
 * bad while they are fetched.  What comes out is good. */

static bool stop;

static void *
mutate(void *arg OVS_UNUSED)
{
    const uint16_t flags[] = {
        driver.options.writable ? VRING_DESC_F_WRITE : 0,
        VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
    };
    uint16_t used_and_avail = 1 << VRING_PACKED_DESC_F_AVAIL;

    for (unsigned int i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        unsigned int turn = i / SIZE;   /* Each descriptor has them all. */

        __atomic_store_n(addr_of(i % SIZE), turn & 1 ? GUEST_START : end - 8,
                         __ATOMIC_RELAXED);
        __atomic_store_n(len_of(i % SIZE), turn & 2 ? 8 : UINT32_MAX,
                         __ATOMIC_RELAXED);
        __atomic_store_n(flags_of(i % SIZE),
                         flags[turn / 4 % 4]
                         | (driver.options.packed ? used_and_avail : 0),
                         __ATOMIC_RELAXED);
    }
    return NULL;
}

static void
test_double_fetch(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 4; i++) {
        unsigned int n_good = 0;
        struct virtq_config config;
        pthread_t thread;

        start(i & 1, i & 2, SIZE);
        config = driver_config(&driver);
        for (int j = 0; j < SIZE; j++) {
            add();
        }
        __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
        CHECK_INT(pthread_create(&thread, NULL, mutate, NULL), 0);
        /* The other thread may have to wait for a CPU. */
        for (int j = 0; j < 200000 || !n_good; j += j < 200000) {
            unsigned int n;

            CHECK_STR(virtq_init(&vq, &config), NULL);
            n = virtq_fetch(&vq, &burst, 64);
            n_good += n;
            for (unsigned int k = 0; k < n; k++) {
                struct virtq_segment *s = &burst.buffers[k].first;

                CHECK(guest_memory_contains(&guest.memory, s->data, s->len));
                CHECK(s->len && s->len <= burst.buffers[k].len);
            }
        }
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
        finish();
    }
}
VHOST_TEST(test_double_fetch, "virtq-double-fetch",
           "hostile: double fetch", TEST_PARALLEL);

/* A guest that changes the layout while it is stopped: what was left in the
 * old ring is no danger to the new one. */
static void
test_other_layout(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    for (int i = 0; i < 2; i++) {
        struct virtq_config config;

        start(i, false, SIZE);
        add_chain(3);
        add();
        config = driver_config(&driver);
        config.packed = !config.packed;
        config.avail_base = config.used_base = 0;
        if (virtq_init(&vq, &config) == NULL) {
            virtq_fetch(&vq, &burst, 64);
            virtq_take(&vq, &burst, burst.n_buffers);
            virtq_return(&vq, burst.buffers, burst.n_buffers);
            virtq_wants_call(&vq);
        }
        finish();
    }
}
VHOST_TEST(test_other_layout, "virtq-other-layout",
           "hostile: the other layout", 0);
