#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one more vhost-user port costs, the more there are.

    vhost_user_scale.py run PID DIR N FILE [stock]  measures, writes JSON FILE
    vhost_user_scale.py table FILE                  shows it
    vhost_user_scale.py plot SVG FILE...            draws it
    vhost_user_scale.py idle PID DIR N...           what idle ports cost

Ports are added to bridge br0 one after the other, up to N, each with a guest
that is there for good and whose packets are received.  On the way, guests of
ports that there are already go and come, ports move to other sockets, and are
removed and added.  In the end, all ports are removed.  For each event, the
time is taken until its packet has gone through, or its command has returned,
and the CPU that the switch, process PID, spent meanwhile without polling: in
its main thread, in those of librte_vhost, in others but PMD threads.  DIR is
for sockets.  Open vSwitch's own provider cannot move a port ("stock").

"idle" adds N ports without guests, then guests that do nothing, and tells how
much CPU the PMD threads and the others take with several values of
other_config:pmd-maxsleep.
"""

import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time

from vhost_user_guest import Guest

FDS_PER_PORT = 16       # At most, here and in the switch.
N_STEPS = 16            # How many times the events in between are measured...
N_REPEATS = 5           # ...and how often each time.
MAX_SLEEPS = [0, 100, 500]      # Microseconds...
IDLE_TIME = 2           # ...and seconds for each.
EVENTS = ['add', 'connect', 'disconnect', 'reconnect', 'move', 'remove']
FRAME = b'\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5'.ljust(60, b'\0')
COLOURS = ['#1f6f8b', '#e07a3f', '#8a8d91', '#7a5195', '#c9a227', '#4f9d69']


class Process:
    """A running switch."""

    def __init__(self, pid):
        self.pid = pid

    def read(self, name):
        with open(f'/proc/{self.pid}/{name}', encoding='utf-8') as f:
            return f.read()

    def cpu(self):
        """Nanoseconds of CPU so far, by kind of thread."""
        cpu = {'main': 0, 'vhost': 0, 'pmd': 0, 'other': 0}
        for task in os.listdir(f'/proc/{self.pid}/task'):
            try:
                name = self.read(f'task/{task}/comm')
                spent = int(self.read(f'task/{task}/schedstat').split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue        # It has just ended.
            cpu['main' if int(task) == self.pid else
                next((kind for kind in ['vhost', 'pmd']
                      if name.startswith(kind)), 'other')] += spent
        return cpu

    def memory(self):
        """Bytes, those in hugepages apart."""
        fields = dict(line.split(':', 1)
                      for line in self.read('status').splitlines())
        return {'hugepages': int(fields['HugetlbPages'].split()[0]) << 10,
                'other': int(fields['RssAnon'].split()[0]) << 10}


class Scale:
    def __init__(self, pid, directory, can_move):
        self.process = Process(pid)
        self.can_move = can_move
        self.directory = directory
        self.guests = {}        # By number of the port.
        self.n_paths = 0
        self.events = []

    def run(self, n):
        memory = [self.process.memory()]
        steps = {n * i // N_STEPS for i in range(1, N_STEPS + 1)}
        for i in range(n):
            self.add(i)
            self.connect(i, 'connect')
            memory.append(self.process.memory())
            if i + 1 in steps:
                for _ in range(N_REPEATS):
                    self.come_and_go()
        for i in range(n):
            self.remove(i)
        settle = self.process.memory()
        for _ in range(100):    # What was freed may be in use for a moment.
            time.sleep(0.1)
            last, settle = settle, self.process.memory()
            if settle['hugepages'] == last['hugepages'] <= \
                    memory[0]['hugepages']:
                break
        return {'n': n, 'events': self.events, 'memory': memory,
                'memory_left': settle}

    def idle(self, n):
        for i in range(n):
            self.add(i)
        print(f'{n} ports without guests')
        self.rest()
        for i in range(n):
            self.start(i)
        print(f'{n} ports with guests that do nothing')
        self.rest()
        for i in range(n):
            self.remove(i)

    def rest(self):
        for max_sleep in MAX_SLEEPS:
            vsctl('set', 'Open_vSwitch', '.',
                  f'other_config:pmd-maxsleep={max_sleep}')
            time.sleep(1)       # It gets slower by and by.
            before, start = self.process.cpu(), time.monotonic()
            time.sleep(IDLE_TIME)
            after = self.process.cpu()
            wall = (time.monotonic() - start) * 1e9
            print(f'  pmd-maxsleep={max_sleep:<4}' + ''.join(
                f'  {kind} {100 * (after[kind] - before[kind]) / wall:6.2f} %'
                for kind in after))
        vsctl('remove', 'Open_vSwitch', '.', 'other_config', 'pmd-maxsleep')

    def come_and_go(self):
        i = random.choice(list(self.guests))
        self.disconnect(i)
        self.connect(i, 'reconnect')
        if self.can_move:
            self.move(i)
        self.remove(i)
        self.add(i)
        self.connect(i, 'connect')

    def add(self, i):
        path = self.new_guest(i)
        with self.event('add'):
            vsctl('add-port', 'br0', f's{i}', '--', 'set', 'Interface',
                  f's{i}', 'type=dpdkvhostuserclient',
                  f'options:vhost-server-path={path}')

    def connect(self, i, event):
        with self.event(event):
            self.start(i)

    def disconnect(self, i):
        """Until the switch has let go of the guest's memory."""
        guest = self.guests[i]
        device = os.fstat(guest.regions[0].fd)
        needle = f' {device.st_ino} '
        with self.event('disconnect'):
            guest.disconnect()
            self.wait(lambda: needle not in self.process.read('maps'))

    def move(self, i):
        self.guests[i].close()
        path = self.new_guest(i)
        with self.event('move'):
            vsctl('set', 'Interface', f's{i}',
                  f'options:vhost-server-path={path}')
            self.start(i)

    def remove(self, i):
        with self.event('remove'):
            vsctl('del-port', f's{i}')
        self.guests.pop(i).close()

    def new_guest(self, i):
        path = f'{self.directory}/s{self.n_paths}'
        self.n_paths += 1
        self.guests[i] = Guest(path, listen=True)
        return path

    def start(self, i):
        """Until a packet was received from the guest."""
        guest = self.guests[i]
        guest.connect()
        guest.start(0, [0])
        guest.tx[0].send(FRAME)
        self.wait(lambda: any(guest.tx[0].take()))

    def wait(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit('the switch does not get there')
            time.sleep(0.0005)

    @contextlib.contextmanager
    def event(self, name):
        """Takes the time of what is done within it."""
        before, start = self.process.cpu(), time.monotonic()
        yield
        wall = time.monotonic() - start
        after = self.process.cpu()
        self.events.append({
            'event': name, 'ports': len(self.guests), 'wall': wall,
            **{kind: (after[kind] - before[kind]) / 1e9 for kind in after}})


def vsctl(*args):
    subprocess.run(['ovs-vsctl', '--timeout=60', *args], check=True)


def allow_files(pid, n):
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if soft < n:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, max(n, hard)))


# Results.

def samples(result, event, what):
    return [(one['ports'], one[what]) for one in result['events']
            if one['event'] == event]


def around(points, ports, width):
    """The median of what was measured with about that many ports."""
    near = [y for x, y in points if abs(x - ports) <= width]
    return statistics.median(near) if near else None


def table(result):
    n = result['n']
    width = max(n / N_STEPS / 2, 1)
    at = sorted({max(n // 16, 1), max(n // 4, 1), max(n // 2, 1), n})
    print('ms              ' + ''.join(f'{x:>10}' for x in at) + '  ports')
    for what in ['wall', 'main', 'vhost', 'other']:
        for event in EVENTS:
            medians = [around(samples(result, event, what), x, width)
                       for x in at]
            print(f'{event:11}{what:5}' + ''.join(
                f'{1000 * y:10.2f}' if y is not None else '         -'
                for y in medians))
    memory = result['memory']
    for kind in ['hugepages', 'other']:
        print(f'{kind:16}' + ''.join(
            f'{memory[x][kind] / (1 << 20):10.1f}' for x in at)
            + f'  MiB, {(result["memory_left"][kind] - memory[0][kind]) >> 10}'
            ' KiB left in the end')


def plot(results):
    """An SVG with a panel for CPU, one for time, one for memory, and a line
    for each event; those of the second file are dashed, and so on."""
    n = max(result['n'] for _, result in results)
    panels = [('CPU of the switch without PMD threads, ms',
               [(event, [cpu_line(result, event) for _, result in results])
                for event in EVENTS]),
              ('until it is done, ms',
               [(event, [line(samples(result, event, 'wall'), result['n'],
                              1000) for _, result in results])
                for event in EVENTS]),
              ('memory of the switch, MiB',
               [(kind, [[(i, m[kind] / 2**20)
                         for i, m in enumerate(result['memory'])]
                        for _, result in results])
                for kind in ['hugepages', 'other']])]
    width, height, left, right = 760, 220, 60, 650
    out = []
    for i, (name, _) in enumerate(results):
        out.append(f'<path d="M{left + 160 * i} 18h30" stroke="#222"'
                   f' stroke-width="2"{dashes(i)}/>'
                   f'<text x="{left + 36 + 160 * i}" y="22">{name}</text>')
    for number, (title, lines) in enumerate(panels):
        top = 50 + number * (height + 60)
        base = top + height
        most = max([y for _, drawn in lines for one in drawn for _, y in one],
                   default=1) or 1
        out.append(f'<text x="{left}" y="{top - 6}">{title}</text>'
                   f'<path d="M{left} {top}V{base}H{right}" fill="none"'
                   ' stroke="#444"/>')
        for part in range(5):
            x = left + (right - left) * part / 4
            y = base - height * part / 4
            out.append(f'<text x="{x:.0f}" y="{base + 16}"'
                       f' text-anchor="middle">{n * part // 4}</text>'
                       f'<text x="{left - 6}" y="{y + 4:.0f}"'
                       f' text-anchor="end">{most * part / 4:.3g}</text>')
        out.append(f'<text x="{right + 10}" y="{base + 16}">ports</text>')
        for i, (name, drawn) in enumerate(lines):
            out.append(f'<text x="{right + 10}" y="{top + 14 + 18 * i}"'
                       f' fill="{COLOURS[i]}">{name}</text>')
            for j, points in enumerate(drawn):
                path = ' '.join(f'{left + (right - left) * x / n:.1f},'
                                f'{base - height * y / most:.1f}'
                                for x, y in points)
                out.append(f'<polyline points="{path}" fill="none"'
                           f' stroke="{COLOURS[i]}" stroke-width="2"'
                           f'{dashes(j)}/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}"'
            f' height="{50 + len(panels) * (height + 60)}"'
            ' font-family="sans-serif" font-size="12">'
            '<rect width="100%" height="100%" fill="#fff"/>'
            + '\n'.join(out) + '</svg>\n')


def dashes(i):
    return f' stroke-dasharray="{12 / 2 ** i:g} {6 / 2 ** i:g}"' if i else ''


def cpu_line(result, event):
    return line([(one['ports'], one['main'] + one['vhost'] + one['other'])
                 for one in result['events'] if one['event'] == event],
                result['n'], 1000)


def line(points, n, scale):
    """Medians, N_STEPS of them."""
    width = max(n / N_STEPS / 2, 0.5)
    steps = [n * (i + 1) / N_STEPS for i in range(N_STEPS)]
    medians = [(x, around(points, x, width)) for x in steps]
    return [(x, y * scale) for x, y in medians if y is not None]


def read(path):
    with open(path, encoding='utf-8') as f:
        return json.load(f)


def main(command, *args):
    if command == 'run':
        pid, directory, n, path, *stock = args
        for process in 0, int(pid):
            allow_files(process, 256 + FDS_PER_PORT * int(n))
        result = Scale(int(pid), directory, not stock).run(int(n))
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(result, f)
        table(result)
    elif command == 'idle':
        pid, directory, *numbers = args
        for n in numbers:
            for process in 0, int(pid):
                allow_files(process, 256 + FDS_PER_PORT * int(n))
            Scale(int(pid), directory, True).idle(int(n))
    elif command == 'table':
        table(read(*args))
    elif command == 'plot':
        with open(args[0], 'w', encoding='utf-8') as f:
            f.write(plot([(os.path.basename(path).removesuffix('.json'),
                           read(path)) for path in args[1:]]))
    else:
        raise SystemExit(__doc__)


if __name__ == '__main__':
    main(*sys.argv[1:])
