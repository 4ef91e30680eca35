/* SPDX-License-Identifier: Apache-2.0
 *
 * Traffic of which every byte is known, between guests and with the host.
 *
 *     guests-traffic send ADDRESS RATE SECONDS SIZE
 *         sends RATE numbered UDP datagrams of SIZE bytes a second
 *     guests-traffic receive
 *         prints, when it is sent SIGTERM, what arrived of them:
 *         "received N lost N holes N reordered N damaged N gap MS", where
 *         a hole is a series of ones that did not come in their turn and the
 *         gap is the longest time without one
 *     guests-traffic write ADDRESS BYTES
 *         sends a stream over TCP
 *     guests-traffic read
 *         receives one stream and prints "read BYTES damaged N mbps N" */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 5201
#define MAX_DATAGRAM 65536

/* What is sent.  A datagram has a piece of it that depends on its number, and
 * a stream repeats it.  The length is prime, so that a piece of the stream
 * which arrives elsewhere than it should does not look right by chance. */
#define PATTERN_LENGTH 65537
static uint8_t pattern[2 * PATTERN_LENGTH];

static void
make_pattern(void)
{
    uint32_t x = 1;

    for (int i = 0; i < PATTERN_LENGTH; i++) {
        x = x * 1664525 + 1013904223;
        pattern[i] = pattern[PATTERN_LENGTH + i] = x >> 24;
    }
}

static const uint8_t *
piece_of_pattern(uint64_t offset)
{
    return &pattern[offset % PATTERN_LENGTH];
}

static int64_t
now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static int
open_socket(int type, const char *address)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET,
        .sin_port = htons(PORT),
    };
    int fd = socket(AF_INET, type, 0);
    int tries = 0;

    if (fd < 0) {
        err(1, "socket");
    }
    if (address) {
        if (inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
            errx(1, "%s: not an address", address);
        }
        /* The reader may have been started at the same time. */
        while (connect(fd, (struct sockaddr *) &sin, sizeof sin)) {
            if (errno != ECONNREFUSED || ++tries == 100) {
                err(1, "connect to %s", address);
            }
            usleep(50000);
        }
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
        if (bind(fd, (struct sockaddr *) &sin, sizeof sin)) {
            err(1, "bind");
        }
    }
    return fd;
}

static void
send_datagrams(const char *address, int rate, int seconds, size_t size)
{
    int fd = open_socket(SOCK_DGRAM, address);
    int64_t start = now_us();
    uint8_t datagram[MAX_DATAGRAM];

    for (uint64_t i = 0; i < (uint64_t) rate * seconds; i++) {
        int64_t wait = start + i * INT64_C(1000000) / rate - now_us();

        if (wait > 0) {
            usleep(wait);
        }
        memcpy(datagram, &i, sizeof i);
        memcpy(datagram + sizeof i, piece_of_pattern(i), size - sizeof i);
        /* Nobody may listen yet, and a full queue is as good as a loss. */
        if (send(fd, datagram, size, 0) < 0
            && errno != ECONNREFUSED && errno != ENOBUFS) {
            err(1, "send");
        }
    }
}

static volatile sig_atomic_t ended;

static void
end(int signal __attribute__((unused)))
{
    ended = true;
}

static void
receive_datagrams(void)
{
    uint64_t received = 0, lost = 0, holes = 0, reordered = 0, damaged = 0;
    struct sigaction action = { .sa_handler = end };
    int fd = open_socket(SOCK_DGRAM, NULL);
    uint8_t datagram[MAX_DATAGRAM];
    int64_t last = 0, gap = 0;
    uint64_t next = 0;

    sigaction(SIGTERM, &action, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int) { 16 << 20 },
               sizeof(int));
    while (!ended) {
        ssize_t n = recv(fd, datagram, sizeof datagram, 0);
        int64_t now = now_us();
        uint64_t number;

        if (n < (ssize_t) sizeof number) {
            continue;
        }
        memcpy(&number, datagram, sizeof number);
        damaged += memcmp(datagram + sizeof number, piece_of_pattern(number),
                          n - sizeof number) != 0;
        if (received++) {
            if (number < next) {
                reordered++;
                lost -= lost > 0;
            } else {
                lost += number - next;
                holes += number > next;
            }
            if (now - last > gap) {
                gap = now - last;
            }
        }
        next = number >= next ? number + 1 : next;
        last = now;
    }
    printf("received %"PRIu64" lost %"PRIu64" holes %"PRIu64" "
           "reordered %"PRIu64" damaged %"PRIu64" gap %"PRId64"\n",
           received, lost, holes, reordered, damaged, gap / 1000);
}

static void
write_stream(const char *address, uint64_t bytes)
{
    int fd = open_socket(SOCK_STREAM, address);
    uint64_t done = 0;

    while (done < bytes) {
        uint64_t left = bytes - done;
        ssize_t n = write(fd, piece_of_pattern(done),
                          left < PATTERN_LENGTH ? left : PATTERN_LENGTH);

        if (n < 0) {
            err(1, "write");
        }
        done += n;
    }
}

static void
read_stream(void)
{
    int listener = open_socket(SOCK_STREAM, NULL);
    uint64_t done = 0, damaged = 0;
    uint8_t buffer[PATTERN_LENGTH];
    int64_t start, us;
    ssize_t n;
    int fd;

    listen(listener, 1);
    fd = accept(listener, NULL, NULL);
    if (fd < 0) {
        err(1, "accept");
    }
    start = now_us();
    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        damaged += memcmp(buffer, piece_of_pattern(done), n) != 0;
        done += n;
    }
    if (n < 0) {
        err(1, "read");
    }
    us = now_us() - start;
    printf("read %"PRIu64" damaged %"PRIu64" mbps %"PRIu64"\n",
           done, damaged, done * 8 / (us ? us : 1));
}

int
main(int argc, char *argv[])
{
    const char *command = argc > 1 ? argv[1] : "";

    make_pattern();
    if (!strcmp(command, "send") && argc == 6
        && atoi(argv[5]) >= (int) sizeof(uint64_t)
        && atoi(argv[5]) <= MAX_DATAGRAM) {
        send_datagrams(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    } else if (!strcmp(command, "receive") && argc == 2) {
        receive_datagrams();
    } else if (!strcmp(command, "write") && argc == 4) {
        write_stream(argv[2], strtoull(argv[3], NULL, 10));
    } else if (!strcmp(command, "read") && argc == 2) {
        read_stream();
    } else {
        errx(2, "usage: %s send|receive|write|read ...", argv[0]);
    }
    return 0;
}
