#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small guests for vhost-user ports.

A guest speaks the front end's side of the vhost-user protocol, as QEMU does,
and drives split virtqueues, as a guest's driver does.  Its memory is on the
NUMA nodes that the test wants.  It has no kernel and no CPU: the test moves
its packets.

    guest = Guest('/tmp/vh0', listen=True)      for a "dpdkvhostuserclient"
    guest.connect()
    guest.start(ring_node=1, buffer_nodes=[0, 1])
    guest.rx[0].receive(), guest.tx[0].send(frame)
    guest.stop()                                as a guest that resets
    guest.disconnect()

As a program, it reads commands from a FIFO; see Console.
"""

import array
import ctypes
import mmap
import os
import select
import socket
import struct
import sys
import time

import pool_pages

# Requests of the vhost-user protocol.
GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
SET_VRING_ENABLE = 18

# Flags of a message.
VERSION = 1
REPLY = 4
NEED_REPLY = 8

F_PROTOCOL_FEATURES = 1 << 30
F_VERSION_1 = 1 << 32
NET_F_MRG_RXBUF = 1 << 15
NET_F_MQ = 1 << 22
PROTOCOL_F_MQ = 1 << 0
PROTOCOL_F_REPLY_ACK = 1 << 3

DESC_F_WRITE = 2
AVAIL_F_NO_INTERRUPT = 1
NET_HEADER = 12                 # Size of struct virtio_net_hdr_v1.

RING_SIZE = 256                 # At most, for PAGE.
BUFFER_SIZE = 2048
PAGE = 4096

libnuma = ctypes.CDLL('libnuma.so.1', use_errno=True)
MPOL_BIND = 2


class Error(Exception):
    pass


class Connection:
    """Messages of the vhost-user protocol."""

    def __init__(self, sock, idle):
        self.sock = sock
        self.idle = idle
        self.acknowledges = False

    def send(self, request, payload=b'', fds=(), flags=VERSION):
        message = struct.pack('=III', request, flags, len(payload)) + payload
        self.sock.sendmsg([message],
                          [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                            array.array('i', fds))] if fds else [])

    def receive(self, request):
        header = self._read(12)
        got, flags, size = struct.unpack('=III', header)
        payload = self._read(size)
        if got != request or not flags & REPLY:
            raise Error(f'reply to request {request} is {got}, {flags:#x}')
        return payload

    def set(self, request, payload, fds=()):
        """Sends 'request' and waits until the back end has obeyed."""
        if not self.acknowledges:
            self.send(request, payload, fds)
            return
        self.send(request, payload, fds, VERSION | NEED_REPLY)
        status, = struct.unpack('=Q', self.receive(request))
        if status:
            raise Error(f'the back end refuses request {request}')

    def get(self, request, payload=b''):
        self.send(request, payload)
        return self.receive(request)

    def _read(self, size):
        data = b''
        while len(data) < size:
            wait_readable(self.sock, self.idle)
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise Error('the back end closed the connection')
            data += chunk
        return data


class Region:
    """Memory on one NUMA node, at the same address for driver and device."""

    # A region at the address of another one would be taken for the same.
    next_address = 0x100000000

    def __init__(self, size, node):
        self.address = Region.next_address
        Region.next_address += size
        self.size = size
        self.used = 0
        self.fd = os.memfd_create('guest')
        os.ftruncate(self.fd, size)
        self.bytes = memoryview(mmap.mmap(self.fd, size))

        start = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        nodes = ctypes.c_ulong(1 << node)
        if libnuma.mbind(ctypes.c_void_p(start), ctypes.c_ulong(size),
                         MPOL_BIND, ctypes.byref(nodes),
                         ctypes.c_ulong(64), 0):
            raise Error(f'no memory on node {node}: '
                        + os.strerror(ctypes.get_errno()))
        self.bytes[:] = bytes(size)

    def allocate(self, size):
        """Returns a view of 'size' bytes and their address."""
        offset = self.used
        self.used += size
        if self.used > self.size:
            raise Error('the region is full')
        return self.bytes[offset:offset + size], self.address + offset

    def close(self):
        os.close(self.fd)


class Queue:
    """A split virtqueue, of which each ring has a page."""

    def __init__(self, rings, buffers, size=RING_SIZE):
        self.size = size
        self.desc, self.desc_address = rings.allocate(PAGE)
        avail, self.avail_address = rings.allocate(PAGE)
        used, self.used_address = rings.allocate(PAGE)
        self.avail = avail.cast('H')    # Flags, index, heads.
        self.used = used.cast('H')      # Flags, index.
        self.used_ring = used.cast('I')[1:]     # Head, length.
        self.avail[0] = AVAIL_F_NO_INTERRUPT
        self.buffers = []
        for i in range(size):
            view, address = buffers[i % len(buffers)].allocate(BUFFER_SIZE)
            self.buffers.append((view, address))
        self.n_avail = 0
        self.n_used = 0
        self.kick = os.eventfd(0, os.EFD_NONBLOCK)
        self.call = os.eventfd(0, os.EFD_NONBLOCK)

    def offer(self, head, length, flags):
        """Gives the device one buffer."""
        struct.pack_into('<QIHH', self.desc, 16 * head,
                         self.buffers[head][1], length, flags, 0)
        self.avail[2 + self.n_avail % self.size] = head
        self.n_avail = (self.n_avail + 1) & 0xffff
        self.avail[1] = self.n_avail

    def take(self):
        """Yields head and length of the buffers that the device is done
        with."""
        while self.n_used != self.used[1]:
            i = 2 * (self.n_used % self.size)
            self.n_used = (self.n_used + 1) & 0xffff
            yield self.used_ring[i], self.used_ring[i + 1]

    def close(self):
        os.close(self.kick)
        os.close(self.call)


class ReceiveQueue(Queue):
    def __init__(self, *args):
        super().__init__(*args)
        for head in range(self.size):
            self.offer(head, BUFFER_SIZE, DESC_F_WRITE)

    def receive(self):
        """Yields frames, each of which is valid until the next one."""
        for head, length in self.take():
            yield self.buffers[head][0][NET_HEADER:length]
            self.offer(head, BUFFER_SIZE, DESC_F_WRITE)


class TransmitQueue(Queue):
    def __init__(self, *args):
        super().__init__(*args)
        self.free = list(range(self.size))

    def send(self, frame):
        """Returns false if the queue is full."""
        if not self.free:
            self.free = [head for head, _ in self.take()]
            if not self.free:
                return False
        head = self.free.pop()
        length = NET_HEADER + len(frame)
        self.buffers[head][0][NET_HEADER:length] = frame
        self.offer(head, length, 0)
        return True


class Guest:
    """A guest with 'queues' queue pairs on the socket 'path'.

    With 'listen' the guest is the socket's server, which suits a port of type
    "dpdkvhostuserclient".  While the guest waits for the switch, it calls
    'idle' again and again."""

    def __init__(self, path, listen, queues=1, idle=lambda: None):
        self.path = path
        self.queues = queues
        self.idle = idle
        self.listener = None
        self.connection = None
        self.rx, self.tx, self.regions = [], [], []
        if listen:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen()

    def open(self):
        if self.listener:
            wait_readable(self.listener, self.idle)
            sock, _ = self.listener.accept()
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.path)
        return Connection(sock, self.idle)

    def connect(self):
        self.connection = connection = self.open()
        connection.send(SET_OWNER)
        offered, = struct.unpack('=Q', connection.get(GET_FEATURES))
        self.features = offered & (F_PROTOCOL_FEATURES | F_VERSION_1
                                   | NET_F_MRG_RXBUF | NET_F_MQ)
        offered, = struct.unpack('=Q', connection.get(GET_PROTOCOL_FEATURES))
        connection.set(SET_PROTOCOL_FEATURES, struct.pack(
            '=Q', offered & (PROTOCOL_F_MQ | PROTOCOL_F_REPLY_ACK)))
        connection.acknowledges = bool(offered & PROTOCOL_F_REPLY_ACK)

    def start(self, ring_node, buffer_nodes):
        """Starts the device with its rings and its buffers on these nodes."""
        size = 2 * self.queues * (RING_SIZE * BUFFER_SIZE + 3 * PAGE)
        self.regions = [Region(size, node)
                        for node in [ring_node] + buffer_nodes]
        rings, buffers = self.regions[0], self.regions[1:]
        self.rx = [ReceiveQueue(rings, buffers) for _ in range(self.queues)]
        self.tx = [TransmitQueue(rings, buffers) for _ in range(self.queues)]

        connection = self.connection
        connection.set(SET_FEATURES, struct.pack('=Q', self.features))
        self._tell_memory()
        for i, queue in enumerate(self.vrings()):
            connection.set(SET_VRING_NUM, struct.pack('=II', i, queue.size))
            connection.set(SET_VRING_BASE, struct.pack('=II', i, 0))
            connection.set(SET_VRING_ADDR, struct.pack(
                '=IIQQQQ', i, 0, queue.desc_address, queue.used_address,
                queue.avail_address, 0))
            connection.set(SET_VRING_KICK, struct.pack('=Q', i), [queue.kick])
            connection.set(SET_VRING_CALL, struct.pack('=Q', i), [queue.call])
        for i in range(2 * self.queues):
            connection.set(SET_VRING_ENABLE, struct.pack('=II', i, 1))

    def plug_memory(self, size, node):
        """Adds memory to a guest that goes on."""
        self.regions.append(Region(size, node))
        self._tell_memory()

    def unplug_memory(self):
        """Takes it away again."""
        self.regions.pop().close()
        self._tell_memory()

    def stop(self):
        """Stops the device and forgets its memory."""
        for i in range(len(self.vrings())):
            self.connection.get(GET_VRING_BASE, struct.pack('=II', i, 0))
        self._forget()

    def disconnect(self):
        if self.connection:
            self.connection.sock.close()
            self.connection = None
        self._forget()

    def close(self):
        self.disconnect()
        if self.listener:
            self.listener.close()
            os.unlink(self.path)

    def vrings(self):
        return [queue for pair in zip(self.rx, self.tx) for queue in pair]

    def _tell_memory(self):
        table = struct.pack('=II', len(self.regions), 0)
        for region in self.regions:
            table += struct.pack('=QQQQ', region.address, region.size,
                                 region.address, 0)
        self.connection.set(SET_MEM_TABLE, table,
                            [r.fd for r in self.regions])

    def _forget(self):
        for closable in self.vrings() + self.regions:
            closable.close()
        self.rx, self.tx, self.regions = [], [], []


def wait_readable(sock, idle, seconds=15):
    poll = select.poll()        # select() takes no high file descriptors.
    poll.register(sock, select.POLLIN)
    deadline = time.monotonic() + seconds
    while not poll.poll(1):
        if time.monotonic() > deadline:
            raise Error('the switch does not answer')
        idle()


class Peer:
    """A guest that sends numbered frames and checks those that it receives."""

    FRAME = struct.Struct('!6s6sHBBQ32x')
    PATTERN = bytes(range(251)) * 8

    def __init__(self, number, path, listen, queues):
        self.number = number
        self.guest = Guest(path, listen, queues)
        self.sent = [0] * queues
        self.next = {}          # The next number, by sender and its queue.
        self.received = self.lost = self.reordered = 0
        self.size = self.FRAME.size     # Of what is sent.

    def _payload(self, sequence, size):
        start = sequence % 251
        return self.PATTERN[start:start + size - self.FRAME.size]

    def send(self):
        """Sends a frame on each queue that has room."""
        for i in range(len(self.guest.tx)):
            self.send_on(i)

    def send_on(self, i):
        frame = self.FRAME.pack(b'\2\0\0\0\0\0',
                                b'\2\0\0\0\0' + bytes([self.number]),
                                0x88b5, self.number, i, self.sent[i])
        frame += self._payload(self.sent[i], self.size)
        self.sent[i] += self.guest.tx[i].send(frame)

    def receive(self):
        """Takes and counts what has arrived, and returns how much it was."""
        n = self.received
        for queue in self.guest.rx:
            for frame in queue.receive():
                *_, ethertype, number, i, sequence = self.FRAME.unpack_from(
                    frame)
                if ethertype != 0x88b5:
                    continue
                if (frame[self.FRAME.size:]
                        != self._payload(sequence, len(frame))):
                    raise Error(f'frame {sequence} is damaged')
                expected = self.next.get((number, i), 0)
                if sequence < expected:
                    self.reordered += 1
                else:
                    self.lost += sequence - expected
                    self.next[number, i] = sequence + 1
                self.received += 1
        return self.received - n


class Console:
    """Reads commands from a FIFO, and writes a line or more about each to
    another one:

    add NAME PATH client|server [QUEUES]    a guest for a port of this type
    start NAME NODE[,NODE...]   connects and starts its device, with rings on
                                the first and buffers on the other nodes, or
                                on the same if there is no other
    stop NAME                   as a guest that resets
    leave NAME                  disconnects
    exchange A B COUNT [SIZE]   frames each way from each queue
    moves A B COUNT NODE...     B, which has been started, comes back on one
                                node after the other, every second time with
                                a new connection, while both send
    pages POOL                  no guest, but see pool_pages.py
    reset                       closes all guests
    quit
    """

    def __init__(self):
        self.peers = {}

    def run(self, fifo, reply_fifo):
        # With a writer of our own there is no end of file.
        with os.fdopen(os.open(fifo, os.O_RDWR)) as commands:
            for command in commands:
                name, *args = command.split()
                if name == 'quit':
                    return
                try:
                    answer = getattr(self, 'do_' + name)(*args)
                except (Error, OSError) as error:
                    answer = f'error: {error}'
                with open(reply_fifo, 'w') as reply:
                    print(answer or 'ok', file=reply)

    def do_add(self, name, path, port_type, queues='1'):
        self.peers[name] = Peer(len(self.peers), path, port_type == 'client',
                                int(queues))

    def do_start(self, name, nodes):
        ring_node, *buffer_nodes = map(int, nodes.split(','))
        guest = self.peers[name].guest
        if not guest.connection:
            guest.connect()
        guest.start(ring_node, buffer_nodes or [ring_node])

    def do_stop(self, name):
        self.peers[name].guest.stop()

    def do_leave(self, name):
        self.peers[name].guest.disconnect()

    def do_pages(self, pool):
        return pool_pages.describe(pool)

    def do_reset(self):
        for peer in self.peers.values():
            peer.guest.close()
        self.peers = {}

    def do_exchange(self, *args):
        a, b, count = self.peers[args[0]], self.peers[args[1]], int(args[2])
        a.size = b.size = int(args[3]) if args[3:] else Peer.FRAME.size
        self._set_up_flows(a, b)
        self._set_up_flows(b, a)
        self._start_count(a, b)
        before = sum(a.sent), sum(b.sent)
        quiet_since = time.monotonic()
        rounds = 0
        # Few enough at a time that no ring is ever full.
        while time.monotonic() < quiet_since + 10:
            due = min(a.received // len(b.guest.tx),
                      b.received // len(a.guest.tx)) + 32
            if rounds < min(due, count):
                a.send()
                b.send()
                rounds += 1
            if a.receive() + b.receive():
                quiet_since = time.monotonic()
            elif (a.received == count * len(b.guest.tx)
                  and b.received == count * len(a.guest.tx)):
                break
        return '\n'.join(
            f'{name}: {sum(peer.sent) - n} sent, {peer.received} received, '
            f'{peer.lost} lost, {peer.reordered} reordered'
            for name, peer, n in zip(args, (a, b), before))

    def do_moves(self, *args):
        a, b, count = self.peers[args[0]], self.peers[args[1]], int(args[2])
        nodes = [int(node) for node in args[3:]]
        self._start_count(a, b)
        worst = 0
        # It sends and receives for as long as the other waits.
        b.guest.idle = lambda: (a.send(), a.receive())
        for i in range(count):
            if i % 2:
                b.guest.disconnect()
                b.guest.connect()
            else:
                b.guest.stop()
            b.guest.start(nodes[i % len(nodes)], [nodes[i % len(nodes)]])
            worst = max(worst, self._longest_silence(a, b, 0.4))
        return (f'{count} moves, longest silence {worst:.3f} s, '
                f'{a.received} and {b.received} received, '
                f'{a.reordered + b.reordered} reordered')

    @staticmethod
    def _set_up_flows(sender, receiver):
        """Sends from each queue until something arrives.  The switch may drop
        a frame when two of its threads make their first flows at a time."""
        for i in range(len(sender.guest.tx)):
            tries = 0
            while not receiver.receive():
                if not tries % 50:
                    sender.send_on(i)
                if tries == 1000:
                    raise Error('no frame arrives')
                tries += 1
                time.sleep(0.01)

    @staticmethod
    def _start_count(*peers):
        """Waits for what is under way, and sets the counters to 0."""
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + 0.1:
            if sum(peer.receive() for peer in peers):
                quiet_since = time.monotonic()
        for peer in peers:
            peer.received = peer.lost = peer.reordered = 0

    @staticmethod
    def _longest_silence(a, b, seconds):
        """Has both send, and returns the longest time from now on that one
        did not hear from the other, when traffic has flowed both ways for
        'seconds'."""
        now = time.monotonic()
        # What has been sent before does not count.
        old = {a: b.sent[0], b: a.sent[0]}
        last = {a: now, b: now}
        heard = set()
        worst = end = 0
        while len(heard) < 2 or now < end:
            for peer, other in (a, b), (b, a):
                peer.send()
                n = peer.receive()
                now = time.monotonic()
                if n and peer.next.get((other.number, 0), 0) > old[peer]:
                    worst = max(worst, now - last[peer])
                    last[peer] = now
                    heard.add(peer)
                elif now > last[peer] + 10:
                    raise Error('no traffic after a move')
            if len(heard) < 2:
                end = now + seconds
            time.sleep(0.001)
        return worst


if __name__ == '__main__':
    Console().run(*sys.argv[1:])
