#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""usage: draw-pictures.py [--check] DIR

Draws architecture.svg and sequence.svg of internals/operation.rst into DIR.
With --check, writes nothing, but fails if DIR has other pictures than it would
draw.

The output depends on this file only: no font is measured.  Texts must be short
enough for their boxes; look at the result after a change.
"""

import os
import sys
from xml.sax.saxutils import escape

# Colors of threads, and what they are.
THREADS = {
    'main': ('#4878a8', 'main thread'),
    'pmd': ('#d9822b', 'PMD threads'),
    'event': ('#3f9b5f', "librte_vhost's event thread"),
    'dma': ('#a8485c', 'vhost_dma thread'),
    'rcu': ('#8560b0', "Open vSwitch's RCU thread"),
}

# The architecture.  (name, what is below it, rows), and a row is a list of
# boxes (files, concern, threads).
LAYERS = [
    ('Netdev and port', 'reconfiguration, demand; published device (RCU)', [
        [('netdev-vhost.c', 'the two netdev classes', 'main pmd'),
         ('vhost-port.c, -ports.c', 'configuration; periodic work', 'main'),
         ('vhost-port-status.c, -port-qos.c', 'status; limits', 'main pmd'),
         ('vhost-show.c, -show-text.c', 'netdev-vhost/show', 'main')],
        [('vhost-rxtx.c, -offload.c', 'bursts of packets', 'pmd'),
         ('vhost-meter.c, -policer.c, -qos.c', 'limits', 'pmd main'),
         ('vhost-mempool.c', 'mbufs', 'main rcu'),
         ('vhost-numa.c, -placement.c', 'what is on which node', 'main')],
        [('netdev-vhost-plugin.c', 'entry point', 'main'),
         ('vhost-config.c', 'Open_vSwitch other_config', 'main'),
         ('vhost-features.c', 'names of features', 'main'),
         ('vhost-advice.c', 'what to do about it', 'main')],
    ]),
    ('Session, connection, messages', 'start, suspend, stop, hand back', [
        [('vhost-session.c, -socket.c', 'the socket of a port', 'main event'),
         ('vhost-conn.c', 'connections, running device', 'event'),
         ('vhost-conn-message.c', 'around each message', 'event'),
         ('vhost-message.c, -iotlb.c', 'which to refuse; IOMMU', 'event')],
        [('vhost-supply.c', 'what the guest wants, has', 'main event'),
         ('vhost-tally.c', 'counters over connections', 'main event')],
    ]),
    ('Device and data path', 'fetch and return buffers', [
        [('vhost-device.c', 'running device, its queues', 'event rcu'),
         ('vhost-datapath-native*.c', 'our virtqueues', 'pmd event'),
         ('vhost-datapath-library.c', "librte_vhost's bursts", 'pmd event'),
         ('vhost-hold.c', 'packets that wait', 'pmd')],
        [('vhost-zerocopy.c', 'packets left in place', 'pmd main'),
         ('vhost-dma.c', 'devices that read them', 'dma main'),
         ('vhost-use.c', 'who uses a queue now', 'pmd event'),
         ('vhost-stats.c', 'counters', 'pmd main')],
    ]),
    ('Virtqueue and guest memory', 'loads, stores, barriers', [
        [('virtq.c, -split.c, -packed.c', 'rings and descriptors', 'pmd'),
         ('guest-memory.c', 'guest address to pointer', 'pmd'),
         ('vhost-mapping.c', 'mapping for zero-copy', 'event'),
         ('vhost-guard.c', 'SIGBUS, file descriptors', 'pmd event')],
    ]),
]
ABOVE = ('Open vSwitch', 'bridge, netdev layer, dpif-netdev, ovs-appctl')
ABOVE_CALLS = 'struct netdev_class'
BELOW = ('Memory of the guest', 'shared with its front end: rings, packets')
LIBRARY = [
    ('librte_vhost', True),
    ('owns the sockets,', False),
    ('speaks vhost-user,', False),
    ("maps guests' memory,", False),
    ('calls back', False),
]

# The sequence.  Lanes are (name, thread or None).
LANES = [
    ('QEMU', None),
    ('librte_vhost', 'event'),
    ('session, connection', 'event'),
    ('port', 'main'),
    ('data path', 'pmd'),
]
QEMU, LIB, CONN, PORT, PMD = range(len(LANES))

# A title, or (from, to, text), or (lane, lane, text) for what is done there.
STEPS = [
    'Connect',
    (QEMU, LIB, 'connects'),
    (LIB, CONN, 'new_connection'),
    (CONN, CONN, 'finds the session by path; sets timeouts'),
    (QEMU, LIB, 'features, memory, rings'),
    (LIB, CONN, 'before, after each message'),
    (CONN, CONN, 'checks it, notes memory and rings'),
    (LIB, CONN, 'vring_state_changed'),
    'Ready',
    (LIB, CONN, 'new_device'),
    (CONN, CONN, 'node of the rings; chooses data path; starts queues'),
    (CONN, PMD, 'publishes the device (RCU)'),
    (CONN, PORT, 'requests reconfiguration'),
    'Reconfigure, mempool',
    (PORT, PMD, 'no thread uses the port'),
    (PORT, CONN, 'takes the demand'),
    (PORT, PORT, 'number of queues, node'),
    (PORT, PORT, "mempool on the guest's node"),
    (PORT, PMD, 'assigns receive queues'),
    (PMD, QEMU, 'packets, notifications'),
    'Message under a running device',
    (QEMU, LIB, 'SET_VRING_ADDR'),
    (LIB, CONN, 'before the message'),
    (CONN, PMD, 'suspends the queues concerned; packets are held'),
    (PMD, CONN, 'no burst on them is under way'),
    (CONN, LIB, 'hands the queues back'),
    (LIB, LIB, 'handles it'),
    (LIB, CONN, 'after the message'),
    (CONN, PMD, 'checks and starts them again; held packets are sent'),
    'Leave',
    (QEMU, LIB, 'GET_VRING_BASE'),
    (LIB, CONN, 'destroy_device'),
    (CONN, PMD, 'withdraws the device'),
    (PMD, CONN, 'no burst is under way'),
    (CONN, LIB, 'indexes of the rings'),
    (QEMU, LIB, 'closes the socket'),
    (LIB, CONN, 'destroy_connection'),
    (LIB, LIB, 'unmaps the memory'),
    (PORT, CONN, 'after three seconds: takes the demand'),
    (PORT, PORT, 'one queue; mempool given back'),
]


class Svg:
    """A drawing that grows downwards."""

    def __init__(self):
        self.items = []

    def add(self, form, *args):
        self.items.append(form % args)

    def box(self, x, y, w, h, fill='#ffffff', stroke='#909090'):
        self.add('<rect x="%g" y="%g" width="%g" height="%g" rx="4" '
                 'fill="%s" stroke="%s"/>', x, y, w, h, fill, stroke)

    def text(self, x, y, text, size=11, anchor='start', bold=False,
             color='#202020', halo=False):
        self.add('<text x="%g" y="%g" font-size="%g" text-anchor="%s"%s%s '
                 'fill="%s">%s</text>', x, y, size, anchor,
                 ' font-weight="bold"' if bold else '',
                 ' stroke="#ffffff" stroke-width="4" paint-order="stroke"'
                 if halo else '', color, escape(text))

    def line(self, x1, y1, x2, y2, color='#606060', arrow=''):
        self.add('<path d="M%g,%g L%g,%g" stroke="%s" fill="none"%s%s/>',
                 x1, y1, x2, y2, color,
                 ' marker-end="url(#arrow)"' if 'e' in arrow else '',
                 ' marker-start="url(#arrow)"' if 's' in arrow else '')

    def legend(self, x, y, threads):
        for name in threads:
            color, text = THREADS[name]
            self.box(x, y - 9, 12, 10, color, color)
            self.text(x + 17, y, text, 10)
            x += 45 + 6.2 * len(text)

    def render(self, w, h, title):
        head = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<!-- SPDX-License-Identifier: Apache-2.0 -->',
            '<!-- Made by draw-pictures.py. -->',
            '<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" '
            'viewBox="0 0 %g %g"' % (w, h, w, h),
            ' font-family="DejaVu Sans,Verdana,sans-serif">',
            '<title>%s</title>' % escape(title),
            '<defs><marker id="arrow" markerWidth="8" markerHeight="8" '
            'refX="7" refY="4"',
            ' orient="auto-start-reverse"><path d="M0,1 L7,4 L0,7 z" '
            'fill="#606060"/></marker></defs>',
            '<rect width="%g" height="%g" fill="#ffffff"/>' % (w, h),
        ]
        return '\n'.join(head + self.items + ['</svg>']) + '\n'


def draw_file(svg, x, y, w, h, box):
    """A box for files, with a strip of each thread's color on its left."""
    files, concern, threads = box
    svg.box(x, y, w, h)
    threads = threads.split()
    for i, thread in enumerate(threads):
        color = THREADS[thread][0]
        part = (h - 8) / len(threads)
        svg.box(x + 4, y + 4 + i * part, 6, part, color, color)
    svg.text(x + 16, y + 18, files, 10.5, bold=True)
    svg.text(x + 16, y + 34, concern, 10)


def architecture():
    svg = Svg()
    margin, width, height, gap, columns = 10, 238, 44, 8, 4
    inner = columns * (width + gap) + gap
    middle = margin + inner / 2
    y = margin

    def outside(name, text):
        svg.box(margin, y, inner, 30, '#e8e8e8')
        svg.text(margin + gap, y + 19, name, 12, bold=True)
        svg.text(margin + 160, y + 19, text)

    def calls(text):
        svg.line(middle, y, middle, y + 26, arrow='se')
        svg.text(middle + 10, y + 17, text, 10, color='#505050')

    outside(*ABOVE)
    y += 30
    calls(ABOVE_CALLS)
    y += 26
    for name, below, rows in LAYERS:
        h = 24 + len(rows) * (height + gap)
        svg.box(margin, y, inner, h, '#f4f4f4', '#b0b0b0')
        svg.text(margin + gap, y + 17, name, 12, bold=True)
        for i, row in enumerate(rows):
            for j, box in enumerate(row):
                draw_file(svg, margin + gap + j * (width + gap),
                          y + 24 + i * (height + gap), width, height, box)
        if name.startswith('Session'):
            library_y = y + h / 2
        y += h
        calls(below)
        y += 26
    outside(*BELOW)
    x, w, h = margin + inner + 40, 160, 100
    svg.box(x, library_y - h / 2, w, h, '#e8e8e8')
    for i, (text, bold) in enumerate(LIBRARY):
        svg.text(x + w / 2, library_y - h / 2 + 20 + 17 * i, text,
                 12 if bold else 10.5, 'middle', bold)
    svg.line(margin + inner, library_y, x, library_y, arrow='se')
    svg.line(x + w / 2, library_y + h / 2, x + w / 2, y + 15)
    svg.line(x + w / 2, y + 15, margin + inner, y + 15, arrow='e')
    y += 55
    svg.legend(margin, y, THREADS)
    return svg.render(x + w + margin, y + 15, 'Layers of the plugin')


def sequence():
    svg = Svg()
    margin, pitch, step = 90, 235, 21
    center = [margin + i * pitch for i in range(len(LANES))]
    width = center[-1] + margin
    height = 60
    for item in STEPS:
        height += 32 if isinstance(item, str) else step
    for x, (name, thread) in zip(center, LANES):
        color = THREADS[thread][0] if thread else '#909090'
        svg.line(x, 36, x, height, color)
        svg.box(x - 80, 10, 160, 26, '#ffffff', color)
        svg.text(x, 27, name, 11.5, 'middle', True, color)
    y = 50
    for item in STEPS:
        if isinstance(item, str):
            y += 32
            svg.box(10, y - 17, width - 20, 20, '#f0f0f0', '#f0f0f0')
            svg.text(16, y - 3, item, 11, bold=True)
            continue
        y += step
        start, end, text = item
        x1, x2 = center[start], center[end]
        if start == end:
            svg.box(x1 - 4, y - 9, 8, 12, THREADS[LANES[start][1]][0],
                    THREADS[LANES[start][1]][0])
            svg.text(x1 + 9, y, text, 10, halo=True)
        else:
            left = min(start, end)
            svg.text(center[left] + (9 if start < end else 14), y - 4, text,
                     10, halo=True)
            svg.line(x1, y, x2, y, arrow='e')
    y = height + 25
    svg.legend(10, y, ['event', 'main', 'pmd'])
    return svg.render(width, y + 15, 'Life of a connection')


def main(args):
    check = args[:1] == ['--check']
    if len(args) != 1 + check:
        sys.exit(__doc__.splitlines()[0])
    stale = False
    for name, draw in ('architecture', architecture), ('sequence', sequence):
        path = os.path.join(args[-1], name + '.svg')
        if not check:
            with open(path, 'w', encoding='utf-8') as f:
                f.write(draw())
            continue
        with open(path, encoding='utf-8') as f:
            if f.read() != draw():
                print('%s: run "make docs-pictures"' % path, file=sys.stderr)
                stale = True
    return stale


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
