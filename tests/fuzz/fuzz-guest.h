/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright (c) 2026 The netdev-vhost Authors. */

#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H 1

/* A guest that does what a fuzzer's input says.
 *
 * The input is a string of bytes: first the virtqueue and its memory, then one
 * operation after the other.  The guest's own are here; the rest, the
 * device's, are left to the fuzzer.  All operations can do harm, but mostly
 * make sense, so that the device gets past its first check.
 *
 * Built with FUZZ_RACE, another thread changes the guest's memory all the
 * time, so that what is read twice is not the same. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtq-driver.h"

#ifdef FUZZ_RACE
#define FUZZ_IS_RACE true
#else
#define FUZZ_IS_RACE false
#endif

#define FUZZ_N_REGIONS 3
#define FUZZ_REGION_SIZE 8192
#define FUZZ_MEMORY_SIZE (FUZZ_N_REGIONS * FUZZ_REGION_SIZE)

/* Ends the process if it is not so, as the sanitizers do. */
#define FUZZ_CHECK(CONDITION)                                           \
    ((CONDITION) ? (void) 0 : fuzz_failed(__FILE__, __LINE__, #CONDITION))
void fuzz_failed(const char *file, int line, const char *condition);

struct fuzz_guest {
    const uint8_t *input, *end;
    struct guest_memory memory;
    struct virtq_config config;
    uint16_t next_avail;        /* Of the driver. */
    bool avail_wrap;
};

/* Starts with an input. */
void fuzz_guest_start(struct fuzz_guest *, const uint8_t *, size_t);
bool fuzz_has_input(const struct fuzz_guest *);
unsigned int fuzz_byte(struct fuzz_guest *);

/* Sets up the virtqueue as the input says, also in the middle. */
void fuzz_guest_set_up(struct fuzz_guest *);

/* Number of the guest's operations, and one of them. */
#define FUZZ_N_GUEST_OPS 6
void fuzz_guest_do(struct fuzz_guest *, unsigned int op);

/* Copies the guest's memory. */
void fuzz_guest_save(const struct fuzz_guest *, uint8_t *copy);

/* Offset in such a copy of 'p', which is in the guest's memory. */
size_t fuzz_guest_offset(const struct fuzz_guest *, const void *p);

#endif /* fuzz-guest.h */
