#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Talks to a guest, or to its QEMU, over a Unix socket.

    guests_control.py shell SOCKET COMMAND [SECONDS]
        has the shell that the guest runs on a serial port execute COMMAND,
        prints its output and exits with its status
    guests_control.py qmp SOCKET COMMAND [JSON-ARGUMENTS]
        prints what the command returns
"""

import json
import os
import re
import socket
import sys


def connect(path, seconds):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(seconds)
    sock.connect(path)
    return sock


def shell(path, command, seconds='60'):
    sock = connect(path, float(seconds))
    # Not what an earlier command may still have to say.
    mark = f'mark-{os.getpid()}'
    sock.sendall(f'echo {mark}; {{ {command}\n}} < /dev/null 2>&1; '
                 f'echo "{mark}=$?"\n'.encode())
    data = b''
    pattern = re.compile(rf'{mark}\n(.*){mark}=(\d+)\n'.encode(), re.DOTALL)
    while not (match := pattern.search(data)):
        chunk = sock.recv(65536)
        if not chunk:
            sys.exit('the guest has ended')
        data += chunk
    sys.stdout.buffer.write(match[1])
    return int(match[2])


def qmp(path, command, arguments='{}'):
    with connect(path, 60).makefile('rw') as stream:
        def execute(**request):
            print(json.dumps(request), file=stream, flush=True)
            for line in stream:
                reply = json.loads(line)
                if 'error' in reply:
                    sys.exit(reply['error']['desc'])
                if 'return' in reply:
                    return reply['return']
            sys.exit('QEMU has ended')

        execute(execute='qmp_capabilities')
        print(json.dumps(execute(execute=command,
                                 arguments=json.loads(arguments))))


if __name__ == '__main__':
    sys.exit({'shell': shell, 'qmp': qmp}[sys.argv[1]](*sys.argv[2:]))
