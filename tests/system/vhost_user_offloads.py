#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Offload requests of a guest, right and wrong, to a running switch.

    vhost_user_offloads.py FROM TO [library]

FROM and TO are sockets of "dpdkvhostuserclient" ports.  The guest on FROM
sends each packet below; the switch must send what comes from there to TO.
What arrives there is checked: the checksum that was asked for is right,
segments are no longer than was asked for, and what is to be dropped does not
come.  With "library", only what librte_vhost's data path knows is checked.

The last line of the output is "dropped N completed N", what the port FROM must
have counted.
"""

import struct
import sys
import time

import vhost_user_guest as vu

NET_F_CSUM = 1 << 0
NET_F_HOST_TSO4 = 1 << 11
NET_F_HOST_TSO6 = 1 << 12
NEEDS_CSUM = 1
TCPV4, TCPV6, UDP_GSO, ECN = 1, 4, 3, 0x80
TCP, UDP, GRE, DSTOPTS = 6, 17, 47, 60

DOT1Q, DOT1AD = b'\x81\x00\x00\x05', b'\x88\xa8\x00\x05'


def add_up(data, total=0):
    """The ones' complement sum."""
    data = bytes(data) + b'\0' * (len(data) % 2)
    total += sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return total


class Packet:
    """A packet and what its guest asks for.  'fate' is what must become of it:
    "passed on", "completed" or "dropped"."""

    n = 0

    def __init__(self, title, fate, l4, protocol=TCP, tags=b'', ipv6=False,
                 offset=16, inside=0, length=0, fragment=0, flags=NEEDS_CSUM,
                 gso=0, gso_size=0, known_to_library=True):
        Packet.n += 1
        self.number = Packet.n      # In its source address.
        self.title, self.fate = title, fate
        self.known_to_library = known_to_library
        self.offset, self.gso_size = offset, gso_size
        size = len(l4)
        if ipv6:
            addresses = bytes(range(1, 33))
            l3 = (struct.pack('!IHBB', 0x60000000, size + length, protocol, 64)
                  + addresses)
        else:
            addresses = b'\x0a\0\0\1\x0a\0\0\2'
            l3 = (struct.pack('!BBHHHBBH', 0x45, 0, 20 + size + length, 1,
                              fragment, 64, protocol, 0) + addresses)
            checksum = 0xffff - add_up(l3)
            l3 = l3[:10] + struct.pack('!H', checksum) + l3[12:]
        l2 = (b'\2\0\0\0\0\1' + b'\2\0\0\0' + struct.pack('!H', self.number)
              + tags + (b'\x86\xdd' if ipv6 else b'\x08\0'))
        self.l4 = len(l2) + len(l3)
        self.start = self.l4 + inside
        self.frame = bytearray(l2 + l3 + l4)
        self.field = self.start + offset
        if self.field + 2 <= len(self.frame):
            inner = TCP if inside else protocol
            pseudo = add_up(addresses
                            + struct.pack('!HH', size - inside, inner))
            struct.pack_into('!H', self.frame, self.field, pseudo)
        self.header = struct.pack('<BBHHHH', flags, gso,
                                  self.l4 + 20 if gso else 0, gso_size,
                                  self.start, offset)

    def completed(self):
        """The frame with its checksum."""
        frame = bytearray(self.frame)
        total = 0xffff - add_up(frame[self.start:])
        struct.pack_into('!H', frame, self.field, total or 0xffff)
        return frame


def tcp(payload=b'0123456789' * 10, header=5):
    return struct.pack('!HHIIBBHHH', 1000, 2000, 1, 2, header << 4, 0x18, 500,
                       0, 0) + payload


def udp(payload=b'0123456789'):
    return struct.pack('!HHHH', 1000, 2000, 8 + len(payload), 0) + payload


def packets(has_tso):
    vxlan = (struct.pack('!HHHHII', 1000, 4789, 8 + 8 + 14 + 20 + 120, 0,
                         0x08000000, 0x500) + b'\2' * 12 + b'\x08\0'
             + struct.pack('!BBHHHBBHII', 0x45, 0, 140, 1, 0, 64, TCP, 0,
                           0x0a000001, 0x0a000002))
    yield Packet('TCP over IPv4', 'passed on', tcp())
    yield Packet('TCP over IPv6', 'passed on', tcp(), ipv6=True)
    yield Packet('UDP over IPv4', 'passed on', udp(), UDP, offset=6)
    yield Packet('UDP over IPv6', 'passed on', udp(), UDP, offset=6, ipv6=True)
    yield Packet('one tag', 'passed on', tcp(), tags=DOT1Q)
    yield Packet('one service tag', 'passed on', tcp(), tags=DOT1AD)
    yield Packet('two tags', 'completed', tcp(), tags=DOT1AD + DOT1Q)
    yield Packet('two tags, IPv6', 'completed', udp(), UDP, offset=6,
                 ipv6=True, tags=DOT1Q + DOT1Q)
    yield Packet('destination options', 'completed',
                 b'\6\0\1\4\0\0\0\0' + tcp(), DSTOPTS, ipv6=True, inside=8)
    yield Packet('inside of VXLAN', 'completed', vxlan + tcp(), UDP,
                 inside=len(vxlan))
    yield Packet('inside of GRE', 'completed',
                 b'\0\0\x65\x58' + vxlan[16:] + tcp(), GRE,
                 inside=len(vxlan) - 12)
    yield Packet('a fragment', 'completed', tcp(), fragment=0x2000,
                 known_to_library=False)
    for ipv6 in False, True:
        name = 'IPv6' if ipv6 else 'IPv4'
        yield Packet(f'{name} longer than the packet', 'completed', tcp(),
                     length=1, ipv6=ipv6, known_to_library=False)
        yield Packet(f'{name} shorter than its header', 'completed', tcp(),
                     length=-115, ipv6=ipv6, known_to_library=False)
        yield Packet(f'{name}, a TCP header that is too long', 'completed',
                     tcp(b'', 6), ipv6=ipv6, known_to_library=False)
    yield Packet('a checksum elsewhere', 'completed', tcp(), offset=30,
                 known_to_library=False)
    yield Packet('a checksum behind the end', 'dropped', tcp(), offset=119,
                 known_to_library=False)
    yield Packet('a checksum far behind the end', 'dropped', tcp(),
                 offset=65000, known_to_library=False)
    for ipv6, gso in (False, TCPV4), (True, TCPV6):
        name = 'IPv6' if ipv6 else 'IPv4'
        large = tcp(bytes(range(256)) * 4)

        def segments(title, fate, l4=large, size=200, flags=NEEDS_CSUM,
                     gso_type=gso, **options):
            return Packet(f'{name}, segments: {title}',
                          fate if has_tso else 'dropped', l4, ipv6=ipv6,
                          gso=gso_type, gso_size=size, flags=flags, **options)
        yield segments('of 200 bytes', 'passed on')
        yield segments('of 1 byte', 'passed on', size=1)
        yield segments('longer than all', 'passed on', size=2000)
        yield segments('with ECN', 'passed on', gso_type=gso | ECN)
        yield segments('behind a tag', 'passed on', tags=DOT1Q)
        for title, options in {
                'of nothing': {'size': 0},
                'without a checksum': {'flags': 0},
                'of UDP': {'gso_type': UDP_GSO},
                'of what is unknown': {'gso_type': 9},
                'of the other IP': {'gso_type': TCPV4 if ipv6 else TCPV6},
                'behind two tags': {'tags': DOT1AD + DOT1Q},
                'without IP payload': {'length': -len(large)},
                'of more than there is': {'length': 1},
                'with a long TCP header': {'l4': tcp(bytes(4), 15)},
                'with a short TCP header': {'l4': tcp(header=4)}}.items():
            yield segments(title, 'dropped', known_to_library=False, **options)


class Sender(vu.Guest):
    def connect(self):
        super().connect()
        offered, = struct.unpack('=Q', self.connection.get(vu.GET_FEATURES))
        self.features |= offered & (NET_F_CSUM | NET_F_HOST_TSO4
                                    | NET_F_HOST_TSO6)

    def send(self, packet):
        queue = self.tx[0]
        if not queue.free:
            queue.free = [head for head, _ in queue.take()]
        head = queue.free[-1]
        queue.buffers[head][0][:len(packet.header)] = packet.header
        assert queue.send(packet.frame)


def receive(guest):
    """Yields the frames that have come, completed if their headers say so."""
    queue = guest.rx[0]
    for head, length in queue.take():
        data = bytes(queue.buffers[head][0][:length])
        flags, gso, _, _, start, offset = struct.unpack_from('<BBHHHH', data)
        frame = bytearray(data[vu.NET_HEADER:])
        if flags & NEEDS_CSUM and not gso:
            total = 0xffff - add_up(frame[start:])
            struct.pack_into('!H', frame, start + offset, total or 0xffff)
        yield frame, gso
        queue.offer(head, vu.BUFFER_SIZE, vu.DESC_F_WRITE)


def collect(guest, number):
    """The frames that come from packet 'number', until none does."""
    frames, gso_types = [], []
    quiet_since = time.monotonic()
    while time.monotonic() < quiet_since + (0.1 if frames else 0.5):
        for frame, gso in receive(guest):
            if frame[10:12] == struct.pack('!H', number):
                frames.append(frame)
                gso_types.append(gso)
                quiet_since = time.monotonic()
        time.sleep(0.001)
    return frames, gso_types


def check_segments(packet, frames, gso_types):
    """What 'packet' was cut into, or is to be cut into by the receiver."""
    payload = b''
    for frame, gso in zip(frames, gso_types):
        part = frame[packet.l4 + 20:]
        payload += part
        if gso:
            continue
        assert len(part) <= max(packet.gso_size, 64), 'a segment is too long'
        ipv6 = frame[packet.l4 - 40] >> 4 == 6 and packet.frame[
            packet.l4 - 42:packet.l4 - 40] == b'\x86\xdd'
        addresses = frame[packet.l4 - (32 if ipv6 else 8):packet.l4]
        l4 = frame[packet.l4:]
        assert add_up(l4, add_up(addresses + struct.pack(
            '!HH', len(l4), TCP))) == 0xffff, 'a segment has a wrong checksum'
    assert payload == packet.frame[packet.l4 + 20:], 'the payload is another'


def check(packet, frames, gso_types, has_csum):
    if not has_csum:
        assert frames == [packet.frame], 'it is not as it was'
    elif packet.fate == 'dropped':
        assert not frames, 'it was not dropped'
    else:
        assert frames, 'it was lost'
        if packet.gso_size:
            check_segments(packet, frames, gso_types)
        else:
            assert frames == [packet.completed()], 'it is not completed'


def main(source, destination, *options):
    sender, receiver = Sender(source, True), vu.Guest(destination, True)
    for guest in sender, receiver:
        guest.connect()
        guest.start(0, [0])
    has_csum = sender.features & NET_F_CSUM
    failed = 0
    n = {'passed on': 0, 'completed': 0, 'dropped': 0}

    # Until both ports are ready.
    warm_up = Packet('warm-up', 'passed on', udp(), UDP, flags=0)
    for _ in range(30):
        sender.send(warm_up)
        if collect(receiver, warm_up.number)[0]:
            break
    else:
        sys.exit('the switch forwards nothing')
    for packet in packets(sender.features & NET_F_HOST_TSO4):
        sender.send(packet)
        frames, gso_types = collect(receiver, packet.number)
        n[packet.fate] += 1
        if 'library' in options and not packet.known_to_library:
            continue
        try:
            check(packet, frames, gso_types, has_csum)
        except AssertionError as error:
            print(f'{packet.title} ({packet.fate}): {error}')
            failed += 1
    sender.send(warm_up)
    if not collect(receiver, warm_up.number)[0]:
        sys.exit('the switch does not forward any more')
    if has_csum:
        print(f'dropped {n["dropped"]} completed {n["completed"]}')
    else:
        print('dropped 0 completed 0')
    for guest in sender, receiver:
        guest.close()
    sys.exit(failed > 0)


if __name__ == '__main__':
    main(*sys.argv[1:])
