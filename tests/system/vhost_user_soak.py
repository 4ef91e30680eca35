#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that come and go while the switch does anything with their packets.

    vhost_user_soak.py SECONDS RUNDIR [SEED]

The switch has bridge br0 with client ports p0 to p3 and the bond of b0 and b1,
a tunnel port "vxlan" that leads to port t0 of another bridge, and port
"mirror", all with a guest, all with zero-copy.  Guests send packets of all
kinds, also fragments that are never completed.  They check every byte of those
that they receive.  The one on p3 rewrites its packets all the time.

Every now and then something happens: other flows, a policer, a mirror, a guest
that does not receive, resets, disconnects, gets more memory or loses it, a
port that goes and comes.  At the end, every guest must get all of its buffers
back.

Prints what has happened, and the seed, for a run with the same decisions.
"""

import collections
import ctypes
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time

import vhost_user_guest as vu
from vhost_user_guest import Error, Peer

libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

EVENT_INTERVAL = 0.1
DRAIN_TIME = 60         # Fragments are waited for, for up to 20 s.

ACTIONS = (
    'output:p0', 'output:p1', 'output:p2', 'output:p3', 'NORMAL',
    'output:p0,output:p1,output:p2', 'output:p2,push_vlan:0x8100,output:p0',
    'push_vlan:0x8100,set_field:4197->vlan_vid,output:p1,output:p2',
    'push_vlan:0x88a8,set_field:4197->vlan_vid,push_vlan:0x8100,output:p2',
    'output:vxlan', 'push_vlan:0x8100,output:vxlan,output:p1',
    'output:p1,output:vxlan,output:p2',
    'sample(probability=32768,collector_set_id=1),output:p1',
    'controller(max_len=128),output:p2', 'meter:1,output:p0',
    'push_mpls:0x8847,output:p1',
    'set_field:02:00:00:00:00:99->eth_dst,NORMAL',
    'encap(nsh(md_type=1)),encap(ethernet),output:p0', 'drop',
)
IP_ACTIONS = (
    'ct(table=1)', 'ct(commit,table=1)', 'output:p0,ct(table=1)',
    'push_vlan:0x8100,ct(table=1)', 'ct(commit,nat(src=10.9.9.9),table=1)',
    'dec_ttl,output:p1', 'mod_nw_src:10.1.2.3,output:p0',
)


def internet_checksum(header):
    total = sum(struct.unpack(f'!{len(header) // 2}H', header))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip_packet(number, identifier, offset, more, payload):
    header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload),
                         identifier, offset // 8 | more << 13, 64, 17, 0,
                         bytes([10, 0, 0, number]), bytes([10, 0, 0, 99]))
    header = (header[:10] + struct.pack('!H', internet_checksum(header))
              + header[12:])
    return (b'\2\0\0\0\0\x63\2\0\0\0\0' + bytes([number]) + b'\x08\0'
            + header + payload)


class SoakGuest(Peer):
    def __init__(self, number, path, choice, idle):
        super().__init__(number, path, True, 1)
        self.guest.idle = idle
        self.random = choice
        self.sends = True
        self.deaf_until = 0
        self.plugged = False

    def start(self):
        while not self.guest.rx:
            try:
                if not self.guest.connection:
                    self.guest.connect()
                self.guest.start(0, [0])
            except OSError:             # The switch hung up on us.
                self.guest.disconnect()
        self.plugged = False

    def stop(self):
        self.guest.stop()

    def disconnect(self):
        self.guest.disconnect()

    def plug(self):
        if self.plugged:
            self.guest.unplug_memory()
        else:
            self.guest.plug_memory(1 << 20, 0)
        self.plugged = not self.plugged

    def send_some(self):
        for _ in range(self.random.randrange(8)):
            kind = self.random.randrange(8)
            if kind < 5:
                self.size = self.random.choice((64, 512, 1024, 1400, 1500))
                self.send()
            elif kind < 7:
                self.send_ip(self._udp(1472))
            else:
                self._send_fragments()

    def _udp(self, size):
        return (struct.pack('!HHHH', self.random.randrange(1024, 1040), 4789,
                            8 + size, 0) + self.PATTERN[:size])

    def send_ip(self, payload, offset=0, more=0, identifier=0):
        self.guest.tx[0].send(ip_packet(self.number, identifier, offset, more,
                                        payload))

    def _send_fragments(self):
        identifier = self.random.randrange(65536)
        datagram = self._udp(2400)
        for start, end in ((0, 1208), (1208, len(datagram))):
            self.send_ip(datagram[start:end], start, end < len(datagram),
                          identifier)
            if self.random.random() < 0.5:
                return

    def take(self):
        """Receives, unless it is deaf."""
        if time.monotonic() >= self.deaf_until:
            for queue in self.guest.rx:
                for frame in queue.receive():
                    self._check(frame)

    def _check(self, frame):
        self.received += 1
        # What the rewriter writes never has the address of another guest.
        header = bytes(frame[:12])
        sender = header[11]
        frame = frame[12:]
        while frame[:2] in (b'\x81\0', b'\x88\xa8'):
            frame = frame[4:]
        if (frame[:2] != b'\x88\xb5' or header[6] != 2
                or sender == REWRITER):
            return
        frame = header + bytes(frame)
        *_, number, _, sequence = self.FRAME.unpack_from(frame)
        if (number != sender or frame[self.FRAME.size:]
                != self._payload(sequence, len(frame))):
            raise Error(f'{self.guest.path}: frame {sequence} of guest '
                        f'{sender} is damaged: {frame.hex()}')

    def has_all_back(self):
        return all(queue.used[1] == queue.avail[1] for queue in self.guest.tx)


REWRITER = 3


class Rewriter(SoakGuest):
    """Has a process of its own that rewrites what it has sent."""

    child = None

    def start(self):
        super().start()
        parent = os.getpid()
        self.child = os.fork()
        if not self.child:
            # It must not outlive us, however we end.
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                self._rewrite()
            os._exit(0)

    def stop(self):
        self._end_child()
        super().stop()

    def disconnect(self):
        self._end_child()
        super().disconnect()

    def _end_child(self):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
            self.child = None

    def _rewrite(self):
        # Or connections of other guests would never end.
        os.closerange(3, os.sysconf('SC_OPEN_MAX'))
        choice = random.Random(self.random.random())
        ethernet = b'\2\0\0\0\0\x63\2\0\0\0\0\x03'
        udp = ip_packet(REWRITER, 7, 0, 0, self.PATTERN[:64])[12:]
        headers = [ethernet + rest for rest in (
            udp, udp[:2] + b'\x4f' + udp[3:], udp[:2] + b'\x60' + udp[3:],
            udp[:4] + b'\xff\xff' + udp[6:], udp[:11] + b'\x06' + udp[12:],
            b'\x86\xdd\x60' + bytes(5) + b'\0' + bytes(60),
            b'\x86\xdd\x60' + bytes(5) + b'\x2c' + bytes(60),
            b'\x81\0\0\x07\x81\0\0\x08' + udp, b'\x88\xa8\0\x07' + udp,
            b'\x88\x47' + b'\0\0\x10\x40' * 9, b'\x89\x4f' + b'\x0f' * 40,
            b'\x88\xb5' + bytes(60), b'\x08\x06\0\x01\x08\0\x06\x04\0\x01',
            bytes(64))]
        views = [view for view, _ in self.guest.tx[0].buffers]
        while True:
            view = choice.choice(views)
            header = choice.choice(headers)
            start = vu.NET_HEADER + choice.choice((0, 0, 0, 12, 14, 24, 40))
            view[start:start + len(header)] = header


class Switch:
    """What happens to it, one thing at a time."""

    def __init__(self, run, choice):
        self.run = run
        self.random = choice
        self.mirrored = False

    @staticmethod
    def _do(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def vsctl(self, *command):
        self._do('ovs-vsctl', *command)

    def flows(self):
        for port in self.random.sample(('p0', 'p1', 'p2', 'p3'), 2):
            match = f'in_port={port},'
            actions = self.random.choice(ACTIONS)
            if self.random.random() < 0.5:
                match += 'ip,priority=40000,'
                actions = self.random.choice(IP_ACTIONS)
            self._do('ovs-ofctl', '-O', 'OpenFlow15', 'add-flow', 'br0',
                     f'{match}actions={actions}')

    def police(self):
        rate = self.random.choice((0, 0, 1000, 100000))
        self.vsctl('set', 'Interface', self.random.choice(('p0', 'p1', 'p3')),
                   f'ingress_policing_rate={rate}')

    def mirror(self):
        if self.mirrored:
            self.vsctl('clear', 'bridge', 'br0', 'mirrors')
        else:
            self.vsctl('--', '--id=@to', 'get', 'port', 'mirror',
                       '--', '--id=@m', 'create', 'mirror', 'name=m',
                       'select-all=true', 'output-port=@to',
                       '--', 'set', 'bridge', 'br0', 'mirrors=@m')
        self.mirrored = not self.mirrored

    def add_port(self, name):
        self.vsctl('add-port', 'br0', name,
                   '--', 'set', 'Interface', name, 'type=dpdkvhostuserclient',
                   f'options:vhost-server-path={self.run}/{name}',
                   'options:dq-zero-copy=true',
                   f'ofport_request={int(name[1:]) + 1}')

    @staticmethod
    def n_uncopied():
        """Packets that were not copied, since each guest last connected."""
        ports = subprocess.run(
            ('ovs-ofctl', '-O', 'OpenFlow14', 'dump-ports', 'br0'),
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return sum(map(int, re.findall(
            'rx_q0_inflight_submitted=([0-9]+)', ports)))

    def has_pinned(self):
        """Does it hold packets of guests that have left?"""
        show = subprocess.run(
            ('ovs-appctl', '-t', f'{self.run}/vs.ctl', 'netdev-vhost/show'),
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return 'guests that have gone' in show

    def come_to_rest(self):
        if self.mirrored:
            self.mirror()
        for port in 'p0', 'p1', 'p2', 'p3':
            self.vsctl('set', 'Interface', port, 'ingress_policing_rate=0')
        self._do('ovs-ofctl', 'del-flows', 'br0')
        self._do('ovs-ofctl', 'add-flow', 'br0', 'ip,actions=ct(table=1)')


class Soak:
    def __init__(self, run, seed):
        self.random = random.Random(seed)
        self.guests = [
            (Rewriter if number == REWRITER else SoakGuest)(
                number, f'{run}/{name}', random.Random(f'{seed}{name}'),
                self.pump)
            for number, name in enumerate(('p0', 'p1', 'p2', 'p3', 'b0', 'b1',
                                           't0', 'mirror'))]
        self.active = self.guests[:4]
        self.switch = Switch(run, self.random)
        self.events = collections.Counter()
        self.uncopied = 0
        self.pumping = False

    def pump(self):
        """Also while a guest waits for the switch."""
        if self.pumping:
            return
        self.pumping = True
        for guest in self.guests:
            if guest.guest.tx and guest in self.active and guest.sends:
                guest.send_some()
            guest.take()
        self.pumping = False

    # Events.

    def deafen(self, guest):
        guest.deaf_until = time.monotonic() + self.random.random() * 2

    def reset(self, guest):
        guest.stop()
        guest.start()

    def leave(self, guest):
        guest.disconnect()
        guest.start()

    def plug(self, guest):
        guest.plug()

    def move_port(self, guest):
        """Without the guest's knowledge."""
        name = os.path.basename(guest.guest.path)
        self.switch.vsctl('del-port', name)
        guest.disconnect()
        self.switch.add_port(name)
        guest.start()

    def happen(self):
        event = self.random.choice(
            ('flows',) * 4 + ('police', 'mirror', 'deafen', 'deafen', 'reset',
                              'leave', 'leave', 'plug', 'plug', 'move_port'))
        self.events[event] += 1
        if hasattr(self.switch, event):
            getattr(self.switch, event)()
        else:
            getattr(self, event)(self.random.choice(self.active))

    def go(self, seconds):
        for guest in self.guests:
            guest.start()
        end = time.monotonic() + seconds
        next_event = 0
        while time.monotonic() < end:
            self.pump()
            if time.monotonic() >= next_event:
                self.happen()
                next_event = time.monotonic() + EVENT_INTERVAL
            time.sleep(0.0005)

    def drain(self):
        self.uncopied = self.switch.n_uncopied()
        if not self.uncopied:
            raise Error('all packets were copied')
        self.switch.come_to_rest()
        for guest in self.guests:
            guest.deaf_until = 0
            guest.sends = False
        deadline = time.monotonic() + DRAIN_TIME
        while (self.switch.has_pinned()
               or not all(guest.has_all_back() for guest in self.guests)):
            if time.monotonic() > deadline:
                raise Error('buffers were not returned: ' + ', '.join(
                    f'{guest.guest.path} {queue.avail[1] - queue.used[1]}'
                    for guest in self.guests for queue in guest.guest.tx
                    if not guest.has_all_back()))
            # Connection tracking looks for old fragments when packets come,
            # and gives up one datagram each time.
            for _ in range(10):
                self.guests[0].send_ip(b'')
                for guest in self.guests:
                    guest.take()
                time.sleep(0.01)
        for guest in self.guests:
            guest.disconnect()


def main(seconds, run, seed=None):
    seed = seed or str(random.randrange(1 << 32))
    print(f'seed {seed}', flush=True)
    soak = Soak(run, seed)
    soak.go(float(seconds))
    soak.drain()
    sent = sum(sum(guest.sent) for guest in soak.guests)
    received = sum(guest.received for guest in soak.guests)
    print(f'{sent} numbered frames sent, {received} of all kinds received; '
          f'{soak.uncopied} not copied since guests last connected')
    print(', '.join(f'{n} {event}' for event, n in sorted(
        soak.events.items())))


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except (Error, OSError, subprocess.CalledProcessError) as error:
        print(error)
        sys.exit(1)
