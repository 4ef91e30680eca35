#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: pool_pages.py POOL

Asks the kernel where the pages of a DPDK process's mempool POOL are.  Prints
"NODE: PAGES" for each NUMA node that has some.

The process, of DPDK's default file prefix, tells through its telemetry socket
which memory it is.
"""

import collections
import ctypes
import json
import os
import re
import socket
import sys

TELEMETRY = '/run/dpdk/rte/dpdk_telemetry.v2'

libnuma = ctypes.CDLL('libnuma.so.1', use_errno=True)


def node_of_pages(pid, pages):
    """Returns a list of the pages' nodes, or negative errno values."""
    n = len(pages)
    status = (ctypes.c_int * n)()
    if libnuma.move_pages(pid, ctypes.c_ulong(n),
                          (ctypes.c_void_p * n)(*pages), None, status, 0):
        raise OSError(ctypes.get_errno(), 'move_pages')
    return list(status)


class Telemetry:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(TELEMETRY)
        greeting = json.loads(self.socket.recv(1024))
        self.pid = greeting['pid']
        self.max = greeting['max_output_len']

    def ask(self, command, *args):
        self.socket.send(','.join([command, *map(str, args)]).encode())
        return json.loads(self.socket.recv(self.max))[command]


def nodes_of(pool):
    """Returns the numbers of pages, by node or by negative errno value."""
    telemetry = Telemetry()
    pages = set()
    for i in telemetry.ask('/eal/memzone_list'):
        zone = telemetry.ask('/eal/memzone_info', i)
        # The pool's head, its ring of free objects, and its objects.
        if re.fullmatch(rf'(RG_)?MP_{pool}|MP_{pool}_\d+', zone['Name']):
            start = int(zone['Address'], 16)
            size = zone['Hugepage_size']
            pages.update(range(start - start % size, start + zone['Length'],
                               size))
    return collections.Counter(node_of_pages(telemetry.pid, sorted(pages)))


def describe(pool):
    return '\n'.join(
        f'{node}: {n}' if node >= 0 else f'{os.strerror(-node)}: {n}'
        for node, n in sorted(nodes_of(pool).items()))


if __name__ == '__main__':
    print(describe(*sys.argv[1:]))
