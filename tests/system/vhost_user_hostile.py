#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A front end that breaks the rules of the vhost-user protocol.

    vhost_user_hostile.py PID RUNDIR client|server [CASE...]

PID is the switch.  It attacks the port whose socket is RUNDIR/victim, of this
type, case by case.  The switch returns what the guest of this port sends to
it.  After each case an honest guest must be able to use the port.  All the
time, two honest guests on the ports "left" and "right", of type client, which
are wired to each other, must not lose a frame nor wait long for one, and a
third one on the client port "other", which returns frames too, must be able to
come and go.

After each case, the switch must hold no more file descriptors, threads and
memory of DPDK's than before.

Prints a line about each case, and exits with status 1 if one went wrong.
"""

import array
import contextlib
import operator
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import vhost_user_guest as vu
from vhost_user_guest import (Error, Guest, NEED_REPLY, PAGE, Peer, VERSION)

RESET_OWNER = 4
SET_LOG_BASE = 6
SET_LOG_FD = 7
SET_VRING_ERR = 14
GET_QUEUE_NUM = 17
SEND_RARP = 19
NET_SET_MTU = 20
SET_BACKEND_REQ_FD = 21
IOTLB_MSG = 22
GET_CONFIG = 24
SET_CONFIG = 25
POSTCOPY_ADVISE = 28
POSTCOPY_LISTEN = 29
POSTCOPY_END = 30
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32
SET_STATUS = 39
GET_STATUS = 40

F_LOG_ALL = 1 << 26
RING_F_EVENT_IDX = 1 << 29
F_RING_PACKED = 1 << 34

MAX_VRINGS = 256
MAX_REGIONS = 8
MAX_SIZE = 32768

# How long the honest may wait, in seconds.  What other programs on a busy
# machine take from them and from the switch is not included.
PATIENCE = 1.0

# Of a message, the rest of which is missing.
HEADER = struct.pack('=III', vu.SET_MEM_TABLE, VERSION, 200)


def u64(value):
    return struct.pack('=Q', value & (1 << 64) - 1)


def vring_state(index, value):
    return struct.pack('=II', index & 0xffffffff, value & 0xffffffff)


def memory_table(*regions, count=None):
    """Regions are (address, size, user address, offset)."""
    table = struct.pack('=II', len(regions) if count is None else count, 0)
    return table + b''.join(struct.pack('=QQQQ', *[x & (1 << 64) - 1
                                                   for x in region])
                            for region in regions)


@contextlib.contextmanager
def opened(*fds):
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def memory_file(size):
    fd = os.memfd_create('hostile')
    os.ftruncate(fd, size)
    return fd


class Attacker(Guest):
    """A guest that knows how to misbehave."""

    crowd = ()                  # Further connections.
    other = None                # An honest guest of another port.

    def attempt(self, request, payload=b'', fds=(), acknowledge=True):
        """Sends a message.  Returns true if the back end obeys, false if it
        refuses, None if it does not say."""
        flags = VERSION | (NEED_REPLY if acknowledge else 0)
        try:
            self.connection.send(request, payload, fds, flags)
            if not acknowledge:
                return None
            answer = self.connection.receive(request)
            return len(answer) != 8 or struct.unpack('=Q', answer)[0] == 0
        except (Error, OSError):
            # It has hung up.
            self.reconnect()
            return False

    def refused(self, *args):
        if self.attempt(*args) is not False:
            raise Error(f'the back end accepts request {args[0]}')

    def reconnect(self):
        running = bool(self.rx)
        self.disconnect()
        self.connect()
        if running:
            self.start(0, [0])

    def pump(self, seconds=0.02):
        """Sends and receives, whatever comes of it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for tx, rx in zip(self.tx, self.rx):
                with contextlib.suppress(IndexError, ValueError):
                    tx.send(bytes(60))
                    for _ in rx.receive():
                        pass
            time.sleep(0.001)

    def wait_for_traffic(self):
        """Sends until something comes back."""
        used = self.rx[0].used[1]
        deadline = time.monotonic() + 10
        while self.rx[0].used[1] == used:
            self.pump()
            if time.monotonic() > deadline:
                raise Error('no frame comes back')

    def table(self):
        return memory_table(*[(r.address, r.size, r.address, 0)
                              for r in self.regions])

    def set_memory(self, *args, **kwargs):
        return self.attempt(vu.SET_MEM_TABLE, *args, **kwargs)

    def set_addresses(self, i, desc, avail, used, flags=0, log=0):
        return self.attempt(vu.SET_VRING_ADDR, struct.pack(
            '=IIQQQQ', i, flags, desc & (1 << 64) - 1, used & (1 << 64) - 1,
            avail & (1 << 64) - 1, log))


# The cases.  Each is called with an attacker that has negotiated, and again
# with one whose device runs.

CASES = []

# What librte_vhost does not close, nobody else can.
LEAKS = {'fds_are_lost'}

def case(function):
    CASES.append(function)
    return function


@case
def region_lies(a):
    """Sizes, offsets and addresses of regions that are nonsense."""
    with opened(memory_file(PAGE)) as fds:
        for region in ((0, 0, 0, 0), (0, 1 << 63, 0, 0), (0, -1, 0, 0),
                       (0, PAGE, 0, -1), (0, PAGE, 0, -PAGE),
                       (0, -PAGE, 0, 2 * PAGE), (0, 1 << 62, 0, 1 << 62),
                       (0, -PAGE, 0, 0)):
            a.refused(vu.SET_MEM_TABLE, memory_table(region), fds)
        for region in ((-PAGE, 2 * PAGE, 0, 0), (0, 2 * PAGE, -PAGE, 0),
                       (-1, PAGE, -1, 0), (0, PAGE, 0, PAGE - 1)):
            a.set_memory(memory_table(region), fds)
            a.pump()


@case
def regions_overlap(a):
    with opened(memory_file(PAGE), memory_file(4 * PAGE)) as fds:
        a.set_memory(memory_table((0, PAGE, 0, 0), (0, 4 * PAGE, 0, 0)), fds)
        a.pump()
        a.set_addresses(0, 0, PAGE, 2 * PAGE)
        a.pump()


@case
def too_many_regions(a):
    with opened(*[memory_file(PAGE) for _ in range(MAX_REGIONS)]) as fds:
        regions = [(i * PAGE, PAGE, i * PAGE, 0)
                   for i in range(MAX_REGIONS + 1)]
        a.refused(vu.SET_MEM_TABLE, memory_table(*regions), fds)
        for count in (MAX_REGIONS + 1, 1 << 31, (1 << 32) - 1, 7, 1):
            a.refused(vu.SET_MEM_TABLE,
                      memory_table(*regions[:-1], count=count), fds)
        a.set_memory(memory_table(*regions[:-1]), fds)
        a.set_memory(memory_table())
        a.pump()


@case
def region_is_no_memory(a):
    reader, writer = os.pipe()
    with opened(reader, writer, os.eventfd(0), os.open('/', os.O_RDONLY),
                os.open('/dev/full', os.O_RDWR),
                os.open('/proc/self/exe', os.O_RDONLY)) as fds:
        for fd in fds:
            a.refused(vu.SET_MEM_TABLE, memory_table((0, PAGE, 0, 0)), [fd])
            a.pump()


@case
def region_beyond_its_file(a):
    """The rings are where the file ends when they are set up."""
    with opened(memory_file(64 * PAGE)) as fds:
        start = 1 << 40
        table = memory_table((start, 64 * PAGE, start, 0))
        a.set_memory(table, fds)
        os.ftruncate(fds[0], PAGE)
        use_rings(a, start + 8 * PAGE)
        a.pump()
        a.refused(vu.SET_MEM_TABLE, table, fds)


def use_rings(a, address, size=256):
    """Starts both rings, each part in a page of its own from 'address' on."""
    for i in (0, 1):
        a.attempt(vu.SET_VRING_NUM, vring_state(i, size))
        a.attempt(vu.SET_VRING_BASE, vring_state(i, 0))
        page = address + 3 * i * PAGE
        a.set_addresses(i, page, page + PAGE, page + 2 * PAGE)
        set_fd(a, vu.SET_VRING_KICK, i, os.eventfd(0))
        set_fd(a, vu.SET_VRING_CALL, i, os.eventfd(0))
        a.attempt(vu.SET_VRING_ENABLE, vring_state(i, 1))


def set_fd(a, request, index, fd):
    with opened(fd):
        return a.attempt(request, u64(index), [fd])


@case
def file_shrinks(a):
    """The rings' memory goes away while they are polled."""
    restart(a)
    os.ftruncate(a.regions[0].fd, 0)
    time.sleep(0.05)
    os.ftruncate(a.regions[0].fd, a.regions[0].size)
    a.pump()


@case
def buffers_shrink(a):
    """The buffers' memory goes away; the rings say that it has frames."""
    restart(a)
    os.ftruncate(a.regions[1].fd, 0)
    for head in range(8):
        a.tx[0].offer(head, 64, 0)
    time.sleep(0.05)


@case
def file_shrinks_before_a_message(a):
    """It is librte_vhost that looks at the ring first."""
    restart(a)
    vring = a.rx[0]
    a.attempt(vu.SET_VRING_ENABLE, vring_state(1, 0))
    os.ftruncate(a.regions[0].fd, 0)
    a.set_addresses(0, vring.desc_address, vring.avail_address,
                    vring.used_address)
    a.set_memory(memory_table(*[(r.address + (1 << 50), r.size, r.address, 0)
                                for r in a.regions]),
                 [r.fd for r in a.regions])


@case
def file_shrinks_during_a_message(a):
    """It is long enough when it is looked at, but perhaps not any more when
    librte_vhost looks at it.  With and without waiting for the answer."""
    done = threading.Event()
    with opened(memory_file(PAGE)) as fds:
        def shrink():
            while not done.is_set():
                os.ftruncate(fds[0], PAGE)
                os.ftruncate(fds[0], 0)

        thread = threading.Thread(target=shrink)
        thread.start()
        try:
            for i in range(200):
                with contextlib.suppress(Error, OSError):
                    a.attempt(vu.SET_MEM_TABLE,
                              memory_table((i << 40, PAGE, i << 40, 0)), fds,
                              i % 2)
        finally:
            done.set()
            thread.join()
    a.reconnect()


@case
def memory_replaced(a):
    """A new table, of as many regions as before or none, under the rings."""
    restart(a)
    a.pump()
    with opened(memory_file(PAGE), memory_file(PAGE)) as fds:
        for i in range(8):
            a.set_memory(memory_table((i << 40, PAGE, i << 40, 0),
                                      (i << 41, PAGE, i << 41, 0)), fds)
            a.pump(0.005)
            a.set_memory(a.table(), [r.fd for r in a.regions])
            a.pump(0.005)
        a.set_memory(memory_table())
        a.pump()


@case
def log_lies(a):
    """Logs of dirty pages with senseless sizes and offsets."""
    with opened(memory_file(1 << 31)) as fds:
        for size, offset in ((PAGE, 1 << 30), (PAGE, -PAGE), (-PAGE, PAGE),
                             (-1, 0), (0, 0), (-1, -1), (PAGE, 1),
                             (1 << 63, 1 << 63), (1 << 62, 0)):
            a.attempt(SET_LOG_BASE, u64(size) + u64(offset), fds)
            set_log(a, True)
            a.pump()
            set_log(a, False)


@case
def log_beyond_its_file(a):
    restart(a)
    with opened(memory_file(PAGE)) as fds:
        a.attempt(SET_LOG_BASE, u64(1 << 31) + u64(0), fds)
        set_log(a, True)
        a.pump()
        os.ftruncate(fds[0], 0)
        a.pump()


@case
def log_over_a_reset(a):
    """RESET_OWNER would unmap the log, but librte_vhost keep its address."""
    restart(a)
    with opened(memory_file(1 << 20)) as fds:
        a.attempt(SET_LOG_BASE, u64(1 << 20) + u64(0), fds)
        set_log(a, True)
        a.wait_for_traffic()
        a.attempt(RESET_OWNER)
        a.attempt(vu.SET_FEATURES, u64(a.features | F_LOG_ALL))
        a.pump()
        a.set_memory(a.table(), [r.fd for r in a.regions])
        for index in (0, 1):
            a.attempt(vu.SET_VRING_NUM, vring_state(index, 256))
            revive(a, index)
        a.pump()
        if not any(os.pread(fds[0], 1 << 20, 0)):
            raise Error('nothing is logged')


def set_log(a, on):
    a.attempt(vu.SET_FEATURES,
              u64(a.features | (F_LOG_ALL if on else 0)))
    for i, queue in enumerate(a.vrings()):
        a.set_addresses(i, queue.desc_address, queue.avail_address,
                        queue.used_address, int(on), queue.used_address)


@case
def fds_too_many_or_few(a):
    """Each request with 0, 1 and as many file descriptors as fit."""
    with opened(*[os.eventfd(0) for _ in range(16)]) as fds:
        for request in range(42):
            for n in (0, 1, 2, 8, 9, 16):
                for payload in (b'', u64(0), u64(1 << 32), bytes(8) + u64(1),
                                bytes(16) + u64(1)):
                    if request == SET_INFLIGHT_FD and len(payload) < 24:
                        continue        # See fds_are_lost().
                    with contextlib.suppress(Error, OSError):
                        a.attempt(request, payload, fds[:n])
        a.pump()


@case
def fds_are_lost(a):
    """librte_vhost loses those that come with a virtqueue that there cannot
    be, or with half a message, before anybody else gets to see that."""
    with opened(os.eventfd(0)) as fds:
        for request in (vu.SET_VRING_NUM, vu.SET_VRING_ADDR,
                        vu.SET_VRING_BASE, vu.GET_VRING_BASE,
                        vu.SET_VRING_ENABLE, SET_INFLIGHT_FD):
            for payload in u64(MAX_VRINGS), bytes(24):
                a.attempt(request, payload, fds)
        a.connection.sock.sendmsg([HEADER], [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
        time.sleep(0.1)
        a.reconnect()


@case
def ring_sizes(a):
    restart(a)
    for size in (0, 1, 3, 255, MAX_SIZE, MAX_SIZE + 1, 65535, 65536,
                 0xffffffff):
        a.attempt(vu.SET_VRING_NUM, vring_state(1, size))
        a.attempt(vu.SET_VRING_NUM, vring_state(0, size))
        a.pump(0.005)
    for _ in range(200):
        a.attempt(vu.SET_VRING_NUM, vring_state(1, MAX_SIZE))
        a.attempt(vu.SET_VRING_NUM, vring_state(1, 256))
    a.pump()


@case
def ring_grows_at_the_end_of_memory(a):
    """The ring fits, at its first size."""
    restart(a)
    end = a.regions[0].address + a.regions[0].size
    for i in (0, 1):
        a.attempt(vu.SET_VRING_NUM, vring_state(i, 2))
        a.set_addresses(i, end - 64, end - 128, end - 256)
        a.attempt(vu.SET_VRING_NUM, vring_state(i, MAX_SIZE))
    a.pump()


@case
def ring_partly_outside(a):
    restart(a)
    queue = a.tx[0]
    end = a.regions[0].address + a.regions[0].size
    good = queue.desc_address, queue.avail_address, queue.used_address
    for bad in (0, 1, end, end - 2, end - 16 * queue.size + 16, -1, -16,
                good[0] + 1):
        for part in range(3):
            addresses = list(good)
            addresses[part] = bad
            a.set_addresses(1, *addresses)
            a.pump(0.005)
            set_fd(a, vu.SET_VRING_KICK, 1, os.eventfd(0))
            a.pump(0.005)
            a.set_addresses(1, *addresses, 1, -1 & (1 << 64) - 1)
    a.set_addresses(1, *good)
    a.pump()


@case
def vring_numbers(a):
    """Virtqueues that do not exist, also if cut to 8 or 16 bits."""
    for index in (0x100, 0x101, 0x10000, 0x10001, 0x80000000, 0xffffffff):
        for request in (vu.SET_VRING_NUM, vu.SET_VRING_BASE,
                        vu.GET_VRING_BASE, vu.SET_VRING_ENABLE):
            a.attempt(request, vring_state(index, 1))
        a.set_addresses(index, 0, 0, 0)
        for request in (vu.SET_VRING_KICK, vu.SET_VRING_CALL, SET_VRING_ERR):
            a.attempt(request, u64(index))
            set_fd(a, request, index, os.eventfd(0))
            set_fd(a, request, index << 32, os.eventfd(0))
    a.pump()


@case
def rings_of_all_sizes(a):
    """Memory of DPDK's, of which all ports have a part."""
    run = os.path.dirname(a.path)
    before = heap(run)
    for _ in range(3):
        n = 0
        for index in range(MAX_VRINGS):
            n += a.attempt(vu.SET_VRING_NUM, vring_state(index, MAX_SIZE))
        if n == MAX_VRINGS:
            raise Error('the back end accepts any number of entries')
        a.attempt(RESET_OWNER)
    used = heap(run) - before
    if used > 64 << 20:
        raise Error(f'one connection has {used >> 20} MiB of DPDK\'s memory')


@case
def all_vrings(a):
    for index in reversed(range(MAX_VRINGS)):
        a.attempt(vu.SET_VRING_ENABLE, vring_state(index, 1))
        set_fd(a, vu.SET_VRING_KICK, index, os.eventfd(0))
        set_fd(a, vu.SET_VRING_CALL, index, os.eventfd(0))
    a.attempt(vu.SET_FEATURES, u64(a.features & ~vu.NET_F_MQ))
    a.pump()


@case
def inflight(a):
    """Of no use for a network device."""
    with opened(memory_file(16 * PAGE), *os.pipe()) as fds:
        for packed in (0, F_RING_PACKED):
            a.attempt(vu.SET_FEATURES, u64(a.features | packed))
            for queues, size in ((0, 0), (1, 0), (0, 1), (1, 256),
                                 (256, 65535), (257, 65535)):
                tail = struct.pack('=HHI', queues, size, 0)
                a.refused(GET_INFLIGHT_FD, u64(0) + u64(0) + tail)
                if not 0 < queues <= MAX_VRINGS:
                    continue            # See fds_are_lost().
                for length in (0, 1, PAGE, 1 << 40, -1):
                    a.attempt(SET_INFLIGHT_FD, u64(length) + u64(0) + tail,
                              fds[:1])
                a.attempt(SET_INFLIGHT_FD, u64(PAGE) + u64(0) + tail, fds[1:2])
                restart(a)
                a.pump(0.005)


@case
def features_change(a):
    """...while the device runs, and between its stop and its next start."""
    restart(a)
    for features in (a.features ^ F_RING_PACKED, -1, 0, 1 << 63, 1 << 24,
                     a.features ^ vu.NET_F_MRG_RXBUF):
        a.attempt(vu.SET_FEATURES, u64(features))
        a.pump(0.005)
    for features in (F_RING_PACKED, 0, F_RING_PACKED, 0):
        a.attempt(vu.GET_VRING_BASE, vring_state(0, 0))
        a.attempt(vu.SET_FEATURES,
                  u64(a.features & ~F_RING_PACKED | features))
        revive(a, 0)
        a.pump(0.005)
        a.attempt(vu.SET_FEATURES,
                  u64(a.features & ~F_RING_PACKED | features))
        revive(a, 1)
        a.pump(0.005)
    a.attempt(vu.SET_PROTOCOL_FEATURES, u64(-1))
    a.attempt(vu.SET_PROTOCOL_FEATURES, u64(0))


def revive(a, index):
    """Starts a virtqueue again without a word about its size."""
    queue = a.vrings()[index]
    a.set_addresses(index, queue.desc_address, queue.avail_address,
                    queue.used_address)
    set_fd(a, vu.SET_VRING_KICK, index, os.eventfd(0))
    set_fd(a, vu.SET_VRING_CALL, index, os.eventfd(0))
    a.attempt(vu.SET_VRING_ENABLE, vring_state(index, 1))


@case
def wrong_order(a):
    """Parts of a start in the wrong order, or missing."""
    restart(a)
    for index in (0, 1):
        a.attempt(vu.GET_VRING_BASE, vring_state(index, 0))
        a.attempt(vu.GET_VRING_BASE, vring_state(index, 0))
        revive(a, index)
        a.pump()
    a.attempt(RESET_OWNER)
    a.pump(0.005)
    for index in (0, 1):
        revive(a, index)
    a.pump()
    a.reconnect()
    a.attempt(RESET_OWNER)
    a.attempt(RESET_OWNER)
    a.set_memory(a.table(), [r.fd for r in a.regions])
    for index in (3, 2, 1, 0):
        revive(a, index % 2)
        a.attempt(vu.SET_VRING_ENABLE, vring_state(index, 1))
    a.pump()


@case
def ring_bases(a):
    restart(a)
    for base in (1, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000, 0xffffffff):
        for index in (0, 1):
            a.attempt(vu.SET_VRING_BASE, vring_state(index, base))
            a.pump(0.005)


@case
def packed_ring_bases(a):
    """A packed ring's index must be inside of it."""
    a.reconnect()
    a.disconnect()
    a.connect()
    a.attempt(vu.SET_FEATURES, u64(a.features | F_RING_PACKED))
    for index in (0, 1):
        a.attempt(vu.SET_VRING_NUM, vring_state(index, 256))
        for base in (256, 0x7fff, 0x8100, 0xffff):
            a.refused(vu.SET_VRING_BASE, vring_state(index, base))
        for base in (255, 0x8000, 0x80ff):
            a.attempt(vu.SET_VRING_BASE, vring_state(index, base))
        a.refused(vu.SET_VRING_NUM, vring_state(index, 255))


@case
def event_index_comes_late(a):
    """...and makes the rings, which have been checked, longer."""
    restart(a)
    a.refused(vu.SET_FEATURES, u64(a.features | RING_F_EVENT_IDX))
    a.attempt(vu.SET_FEATURES, u64(a.features))
    a.pump()


def offer_each(a, request, fds):
    """One after the other for both rings, and in the end none."""
    for fd in fds:
        for index in (0, 1):
            a.attempt(request, u64(index), [fd])
            a.pump(0.005)
    for index in (0, 1):
        a.attempt(request, u64(0x100 | index))
    a.pump()


@case
def kicks_are_no_eventfds(a):
    restart(a)
    reader, writer = os.pipe()
    with opened(reader, writer, os.open('/dev/full', os.O_RDWR),
                os.open('/', os.O_RDONLY), memory_file(PAGE),
                socket.socket(socket.AF_UNIX).detach()) as fds:
        offer_each(a, vu.SET_VRING_KICK, fds)


@case
def calls_that_block(a):
    """Writing to these waits for ever, or fails."""
    restart(a)
    for queue in a.rx + a.tx:
        queue.avail[0] = 0
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(PAGE))
    os.set_blocking(writer, True)
    full = os.eventfd((1 << 32) - 1)
    os.eventfd_write(full, (1 << 64) - 2 - ((1 << 32) - 1))
    os.set_blocking(full, True)
    with opened(reader, writer, full, os.open('/dev/full', os.O_RDWR),
                memory_file(PAGE), os.open('/', os.O_RDONLY)) as fds:
        offer_each(a, vu.SET_VRING_CALL, fds)


@case
def odd_messages(a):
    """Requests that a network device does not have, or that make no sense."""
    for request in (0, 23, 33, 34, 41, 255, 256, 1 << 31, (1 << 32) - 1,
                    (1 << 32) - 5):
        a.attempt(request, bytes(64))
    for request in (SET_LOG_FD, SET_VRING_ERR, GET_QUEUE_NUM, GET_CONFIG,
                    SET_CONFIG, POSTCOPY_LISTEN, POSTCOPY_END, SET_STATUS,
                    GET_STATUS, RESET_OWNER):
        for byte in (b'\0', b'\xff', b'\x80'):
            a.attempt(request, byte * 64)
    for mtu in (0, 67, 68, 65535, 65536, -1):
        a.attempt(NET_SET_MTU, u64(mtu))
    for mac in (0, -1):
        a.attempt(SEND_RARP, u64(mac))
        a.pump()
    for kind in range(6):
        for address in (0, a.regions[0].address if a.regions else 0, -1):
            a.attempt(IOTLB_MSG, u64(address) + u64(-1) + u64(address)
                      + bytes([3, kind]) + bytes(6))
            a.pump(0.005)


@case
def oversize_payload(a):
    with contextlib.suppress(OSError, Error):
        for size in (1 << 10, 1 << 20, (1 << 32) - 1):
            a.connection.sock.sendall(struct.pack('=III', vu.SET_FEATURES,
                                                  VERSION, size) + bytes(PAGE))
            a.reconnect()


@case
def connections_that_end_anywhere(a):
    """Each prefix of a handshake, then the end."""
    messages = [(vu.SET_OWNER, b''), (vu.GET_FEATURES, b''),
                (vu.SET_FEATURES, u64(a.features)),
                (vu.GET_PROTOCOL_FEATURES, b''),
                (vu.SET_VRING_NUM, vring_state(0, 256)),
                (vu.SET_VRING_ENABLE, vring_state(1, 1))]
    for n in 10 * list(range(len(messages) + 1)):
        a.disconnect()
        a.connection = a.open()
        for request, payload in messages[:n]:
            a.connection.send(request, payload)
        with contextlib.suppress(OSError):
            a.connection.sock.sendall(bytes(n))
    a.disconnect()
    a.connect()


@case
def log_ends_with_the_connection(a):
    """The log of dirty pages goes while packets are out.  The next one to
    access it is not the one that is to blame."""
    restart(a)
    with opened(memory_file(1 << 20)) as fds:
        keep_packets(a, fds)
        os.ftruncate(fds[0], 0)


def keep_packets(a, fds):
    """Has a log begin, and packets wait for a virtqueue: a message that fails
    leaves it in the middle of a change."""
    a.attempt(SET_LOG_BASE, u64(1 << 20) + u64(0), fds)
    set_log(a, True)
    a.wait_for_traffic()
    a.refused(vu.SET_VRING_KICK, u64(0))
    for _ in range(20):
        a.tx[0].send(bytes(1400))
    time.sleep(0.02)


def restart(a):
    """Makes the device run, again if it does already."""
    a.disconnect()
    a.connect()
    a.start(0, [0])


# These leave a connection open that has sent half a message, or that does not
# read.  Nobody else may wait for it.

def listen(name):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(name)
    sock.listen()
    return sock


@case
def socket_has_another_name(a):
    """A client port's front end chooses what its socket is called, which need
    not be where the switch finds it."""
    if not a.listener:
        return
    path, other = a.path, a.path + '.other'
    folder, name = os.path.split(path)
    os.chdir(folder)

    def elsewhere(move):
        sock = listen(other)
        move(other, path)
        return sock

    for start in (lambda: listen(name), lambda: listen(f'{folder}//./{name}'),
                  lambda: elsewhere(os.rename), lambda: elsewhere(os.symlink),
                  lambda: listen(path)):
        a.disconnect()
        a.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            os.unlink(other)
        a.listener = start()
        a.connection = a.open()
        a.connection.sock.sendall(HEADER)
        time.sleep(0.01)
        visit(a.other)


@case
def slow_messages(a):
    """One connection after the other that sends half a message, for as long
    as somebody else's guest takes to start.  A client port has but one."""
    if a.listener:
        return
    done = threading.Event()

    def attack():
        while not done.is_set():
            with contextlib.suppress(OSError):
                sock = a.open().sock
                sock.settimeout(1)
                sock.sendall(HEADER)
                sock.recv(1)
                sock.close()

    threads = [threading.Thread(target=attack) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        visit(a.other)
    finally:
        done.set()
        for thread in threads:
            thread.join()


@case
def half_a_header(a):
    a.connection.sock.sendall(bytes(5))


@case
def header_without_payload(a):
    a.connection.sock.sendall(HEADER)


@case
def half_a_payload(a):
    a.connection.sock.sendall(HEADER + bytes(100))


@case
def answers_are_not_read(a):
    restart(a)
    a.connection.sock.setblocking(False)
    question = struct.pack('=III', vu.GET_FEATURES, VERSION, 0)
    with contextlib.suppress(OSError):
        for _ in range(20000):
            a.connection.sock.sendall(question)
    a.connection.sock.setblocking(True)


@case
def many_connections(a):
    """More than librte_vhost has for all ports.  A client port has but one."""
    if a.listener:
        return
    a.crowd = []
    with contextlib.suppress(OSError):
        for _ in range(1100):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(0.2)
            a.crowd.append(sock)
            sock.connect(a.path)


# The honest.

def cpu_delays(pids):
    """Returns for how long each thread of these processes has waited for a
    CPU, in seconds."""
    delays = {}
    for pid in pids:
        for task in os.listdir(f'/proc/{pid}/task'):
            with contextlib.suppress(OSError):
                path = f'/proc/{pid}/task/{task}/schedstat'
                with open(path, encoding='ascii') as f:
                    delays[task] = int(f.read().split()[1]) / 1e9
    return delays


class Bystanders(threading.Thread):
    """Two guests that talk to each other while others misbehave."""

    def __init__(self, run, pid):
        super().__init__(daemon=True)
        self.pids = (pid, os.getpid())
        self.delays = cpu_delays(self.pids)
        self.peers = [Peer(i, f'{run}/{name}', True, 1)
                      for i, name in enumerate(('left', 'right'))]
        for peer in self.peers:
            peer.guest.connect()
            peer.guest.start(0, [0])
        self.worst = 0
        self.stopped = False
        self.error = None

    def wait_for_traffic(self):
        for peer, other in zip(self.peers, reversed(self.peers)):
            deadline = time.monotonic() + 10
            while not other.received:
                peer.send()
                time.sleep(0.01)
                other.receive()
                if time.monotonic() > deadline:
                    raise Error('no traffic')
        time.sleep(0.1)
        for peer in self.peers:
            peer.receive()
            peer.lost = peer.reordered = 0

    def has_room(self, sender, receiver):
        """Does 'receiver' have buffers for all that 'sender' has sent?  When
        the switch has not had a CPU for long, it finds a full ring, and so
        much fits into the other one: one more frame would be lost."""
        under_way = sender.sent[0] - receiver.next.get((sender.number, 0), 0)
        return under_way < vu.RING_SIZE // 2

    def run(self):
        last = [time.monotonic()] * 2
        while not self.stopped:
            for peer, other in zip(self.peers, reversed(self.peers)):
                if self.has_room(peer, other):
                    peer.send()
            time.sleep(0.001)
            for i, peer in enumerate(self.peers):
                now = time.monotonic()
                if peer.receive():
                    self.worst = max(self.worst, now - last[i])
                    last[i] = now
                elif now > last[i] + 10:
                    self.error = 'the traffic has ended'
                    return

    def check(self):
        """Complains about what has happened since the last check."""
        worst, self.worst = self.worst, 0
        old, self.delays = self.delays, cpu_delays(self.pids)
        # Of threads that have ended, nothing is known any more.
        delay = sum(max(0, now - old.get(task, 0))
                    for task, now in self.delays.items())
        if self.error:
            raise Error(self.error)
        if any(peer.lost or peer.reordered for peer in self.peers):
            raise Error('bystanders: '
                        + ', '.join(f'{peer.lost} frames lost, '
                                    f'{peer.reordered} reordered'
                                    for peer in self.peers))
        if worst - delay > PATIENCE:
            raise Error(f'bystanders heard nothing for {worst:.3f} s')
        return worst


def visit(peer, deadline=10):
    """Has a guest come, exchange frames with itself, and go."""
    start = time.monotonic()
    # The switch may have to get rid of those before.
    while not peer.guest.rx:
        try:
            peer.guest.connect()
            peer.guest.start(0, [0])
        except OSError:
            peer.guest.disconnect()
            if time.monotonic() > start + deadline:
                raise
            time.sleep(0.01)
    peer.next = {}
    peer.received = 0
    while peer.received < 3:
        peer.send()
        time.sleep(0.001)
        peer.receive()
        if time.monotonic() > start + deadline:
            raise Error(f'{peer.guest.path}: no frame comes back')
    peer.guest.disconnect()
    return time.monotonic() - start


def counts(pid):
    """Returns the number of file descriptors and of threads."""
    return tuple(len(os.listdir(f'/proc/{pid}/{what}'))
                 for what in ('fd', 'task'))


def heap(run):
    """Returns how much memory of DPDK's the switch uses, in bytes."""
    answer = subprocess.run(['ovs-appctl', '-t', f'{run}/vs.ctl',
                             'dpdk/get-malloc-stats'],
                            check=True, capture_output=True, text=True).stdout
    return sum(map(int, re.findall(r'Alloc_size:(\d+)', answer)))


def settled(pid, run):
    """Returns what the switch holds when that has not changed for a moment:
    connections of before may still come to their end, and new ones be
    prepared."""
    now = counts(pid)
    since = time.monotonic()
    while time.monotonic() < since + 0.1:
        time.sleep(0.01)
        last, now = now, counts(pid)
        if now != last:
            since = time.monotonic()
    return *now, heap(run)


def try_case(function, running, victim, bystanders, other):
    attacker = Attacker(victim.guest.path, False)
    attacker.listener = victim.guest.listener
    attacker.other = other
    attacker.connect()
    if running:
        attacker.start(0, [0])
        attacker.pump()
    function(attacker)
    victim.guest.listener = attacker.listener
    waited = visit(other)
    attacker.disconnect()
    for sock in attacker.crowd:
        sock.close()
    waited = max(waited, visit(victim))
    return waited, bystanders.check()


def check_resources(pid, run, before):
    """Waits until the switch holds no more than it held before."""
    deadline = time.monotonic() + 5
    while True:
        now = *counts(pid), heap(run)
        if not any(map(operator.gt, now, before)):
            return
        if time.monotonic() > deadline:
            raise Error('file descriptors, threads and DPDK\'s memory were '
                        f'{before}, are {now}')
        time.sleep(0.01)


def main(pid, run, port_type, *names):
    bystanders = Bystanders(run, pid)
    bystanders.wait_for_traffic()
    other = Peer(2, f'{run}/other', True, 1)
    victim = Peer(3, f'{run}/victim', port_type == 'client', 1)
    visit(other)
    visit(victim)
    bystanders.start()
    for function in CASES:
        name = function.__name__
        if names and name not in names:
            continue
        for state in ('negotiated', 'running'):
            print(f'{name}, {state}: ', end='', flush=True)
            before = settled(pid, run)
            waited, silence = try_case(function, state == 'running', victim,
                                       bystanders, other)
            if name in LEAKS:
                before = (sys.maxsize, *before[1:])
            check_resources(pid, run, before)
            print(f'ok, {waited:.3f} s to connect, {silence:.3f} s silence',
                  flush=True)
    bystanders.stopped = True
    bystanders.join()


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (Error, OSError) as error:
        print(error)
        sys.exit(1)
