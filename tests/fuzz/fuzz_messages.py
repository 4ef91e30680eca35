#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzer of the messages that a front end sends, on a running switch.

    fuzz_messages.py SECONDS PID RUNDIR client|server [SEED...]

The ports are those of vhost_user_hostile.py.  A seed makes a conversation:
steps of an honest one, in any order, with any numbers, with file descriptors
of any kind, while the rings are used.  Runs those that are given, then new
ones, until SECONDS have passed.

After each ROUND conversations, honest guests must be able to come and go, and
the others must have noticed nothing; the switch must hold no more file
descriptors, threads and memory of DPDK's than before.  What librte_vhost is
known to lose, see vhost_user_hostile.py, is not sent.
"""

import contextlib
import os
import random
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'system'))
# pylint: disable=wrong-import-position
import vhost_user_guest as vu
import vhost_user_hostile as hostile
from vhost_user_guest import Error, PAGE, Peer
from vhost_user_hostile import memory_file, memory_table, u64, vring_state

ROUND = 50
STEPS = 30

# Requests that take a file descriptor and, if they carry a number, which of
# its bits are a virtqueue's; and those that take none.
WITH_FD = (vu.SET_VRING_KICK, vu.SET_VRING_CALL, hostile.SET_VRING_ERR,
           hostile.SET_LOG_FD, hostile.SET_BACKEND_REQ_FD)
OF_A_VRING = (vu.SET_VRING_NUM, vu.SET_VRING_BASE, vu.GET_VRING_BASE,
              vu.SET_VRING_ENABLE)
WITHOUT = [n for n in range(45) if n not in WITH_FD and n not in OF_A_VRING
           and n not in (vu.SET_MEM_TABLE, hostile.SET_LOG_BASE,
                         hostile.SET_INFLIGHT_FD)]

ANSWERED = (vu.GET_FEATURES, hostile.SET_LOG_BASE, vu.GET_VRING_BASE,
            vu.GET_PROTOCOL_FEATURES, hostile.GET_QUEUE_NUM,
            hostile.GET_CONFIG, hostile.POSTCOPY_ADVISE, hostile.POSTCOPY_END,
            hostile.GET_INFLIGHT_FD, hostile.GET_STATUS)

NUMBERS = (0, 1, 2, 3, 7, 8, 64, 255, 256, 4095, 4096, 32767, 32768, 65535,
           65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


class Conversation:
    def __init__(self, seed, attacker):
        self.random = random.Random(seed)
        self.attacker = attacker
        self.steps = (self.start, self.send, self.ring, self.ring, self.fd,
                      self.address, self.memory, self.features, self.log,
                      self.anything, self.scribble, self.shrink, self.hang_up)

    def run(self):
        self.attacker.connect()
        for _ in range(self.random.randrange(STEPS)):
            # An answer may be to another question.
            with contextlib.suppress(OSError, Error, struct.error):
                self.random.choice(self.steps)()
        self.attacker.disconnect()

    def tell(self, request, payload=b'', fds=()):
        """Waits for the answer, mostly if one has to be asked for."""
        wait = self.random.random() < 0.8 or request in ANSWERED
        if self.attacker.connection:
            self.attacker.attempt(request, payload, fds, wait)

    def number(self):
        r = self.random
        return (r.choice(NUMBERS) + r.randrange(-1, 2)
                if r.random() < 0.5 else r.getrandbits(r.randrange(1, 65)))

    def index(self):
        return (self.random.randrange(2) if self.random.random() < 0.8
                else self.number() & 0xffffffff)

    def any_address(self):
        regions = self.attacker.regions
        if regions and self.random.random() < 0.8:
            region = self.random.choice(regions)
            return region.address + self.random.choice(
                (0, PAGE, 2 * PAGE, 16 * self.random.randrange(PAGE),
                 region.size - 16, region.size - PAGE))
        return self.number() & (1 << 64) - 1

    def start(self):
        if not self.attacker.connection:
            self.attacker.connect()
        if not self.attacker.rx:
            self.attacker.start(0, [0])

    def send(self):
        self.attacker.pump(0.002)

    def ring(self):
        value = (self.random.choice((0, 1, 128, 256, 512))
                 if self.random.random() < 0.7 else self.number())
        self.tell(self.random.choice(OF_A_VRING),
                  vring_state(self.index(), value))

    def fd(self):
        request = self.random.choice(WITH_FD)
        fd = self.random.choice((
            lambda: os.eventfd(0), lambda: memory_file(PAGE),
            lambda: os.open('/dev/full', os.O_RDWR)))()
        with hostile.opened(fd):
            self.tell(request, u64(self.index() & 0xff), [fd])

    def address(self):
        queues = self.attacker.vrings()
        i = self.index() & 1
        addresses = ([queues[i].desc_address, queues[i].used_address,
                      queues[i].avail_address] if queues else [0, 0, 0])
        for part in range(3):
            if self.random.random() < 0.3:
                addresses[part] = self.any_address()
        self.tell(vu.SET_VRING_ADDR, struct.pack(
            '=IIQQQQ', i, self.random.randrange(2), *addresses,
            self.any_address()))

    def memory(self):
        """Of any number of regions, most of which can be mapped."""
        regions, fds = [], []
        for _ in range(self.random.randrange(9)):
            size = PAGE << self.random.randrange(8)
            fds.append(memory_file(size + 2 * PAGE))
            if self.random.random() < 0.05:
                size = self.number()
            regions.append((self.any_address(), size, self.any_address(),
                            PAGE * self.random.randrange(3)))
        if self.random.random() < 0.1:
            fds.append(os.eventfd(0))
            self.random.shuffle(fds)
        with hostile.opened(*fds):
            self.tell(vu.SET_MEM_TABLE, memory_table(*regions), fds[:8])
            if fds and self.random.random() < 0.3:
                with contextlib.suppress(OSError):
                    os.ftruncate(self.random.choice(fds), 0)
        if self.attacker.regions and self.random.random() < 0.7:
            self.tell(vu.SET_MEM_TABLE, self.attacker.table(),
                      [r.fd for r in self.attacker.regions])

    def features(self):
        self.tell(vu.SET_FEATURES, u64(
            self.attacker.features ^ self.random.choice(
                (0, hostile.F_RING_PACKED, hostile.F_LOG_ALL, 1 << 29,
                 vu.NET_F_MRG_RXBUF, vu.NET_F_MQ, 1 << 33, self.number()))))

    def log(self):
        with hostile.opened(memory_file(PAGE)) as fds:
            self.tell(hostile.SET_LOG_BASE,
                      u64(self.random.choice((PAGE, 1 << 30, self.number())))
                      + u64(self.random.choice((0, 0, self.number()))), fds)

    def anything(self):
        self.tell(self.random.choice(WITHOUT),
                  self.random.randbytes(self.random.choice(
                      (0, 8, 16, 40, 64, self.random.randrange(300)))))

    def scribble(self):
        """Writes to the rings."""
        for queue in self.attacker.vrings():
            for page in (queue.desc, queue.avail.cast('B'),
                         queue.used.cast('B')):
                for _ in range(self.random.randrange(4)):
                    page[self.random.randrange(64)] = self.random.getrandbits(
                        8)
            queue.avail[1] = self.random.randrange(300)

    def shrink(self):
        if self.random.random() < 0.2 and self.attacker.regions:
            region = self.random.choice(self.attacker.regions)
            os.ftruncate(region.fd, 0)
            time.sleep(0.002)
            os.ftruncate(region.fd, region.size)

    def hang_up(self):
        if self.random.random() < 0.3:
            self.attacker.disconnect()
            self.attacker.connect()


def main(seconds, pid, run, port_type, *seeds):
    bystanders = hostile.Bystanders(run, pid)
    bystanders.wait_for_traffic()
    other = Peer(2, f'{run}/other', True, 1)
    victim = Peer(3, f'{run}/victim', port_type == 'client', 1)
    hostile.visit(other)
    hostile.visit(victim)
    bystanders.start()
    attacker = hostile.Attacker(victim.guest.path, False)
    attacker.listener = victim.guest.listener

    seeds = list(map(int, seeds))
    deadline = time.monotonic() + float(seconds)
    before = hostile.settled(pid, run)
    done = []
    while seeds or time.monotonic() < deadline:
        seed = seeds.pop() if seeds else random.SystemRandom().getrandbits(32)
        done.append(seed)
        try:
            Conversation(seed, attacker).run()
            if len(done) % ROUND == 0 or not seeds and len(done) < ROUND:
                hostile.visit(other)
                hostile.visit(victim)
                bystanders.check()
                hostile.check_resources(pid, run, before)
        except (Error, OSError) as error:
            raise Error(f'{error}; the last seeds: '
                        f'{" ".join(map(str, done[-ROUND:]))}') from error
    print(f'{len(done)} conversations')


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (Error, OSError) as error:
        print(error)
        sys.exit(1)
