# SPDX-License-Identifier: Apache-2.0
"""usage: vhost-exporter.py EXPORTER DIR

Runs the exporter against a switch that has nothing but canned metrics, with
and without systemd's way of starting it, and checks what it serves."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import ovs.unixctl
import ovs.unixctl.server

METRICS = '''\
# TYPE ovs_vhost_port info
# HELP ovs_vhost_port A port.
ovs_vhost_port_info{port="vm0"} 1
# TYPE ovs_vhost_local gauge
# HELP ovs_vhost_local Is it counter or info?
ovs_vhost_local{port="vm0"} 1
# TYPE ovs_vhost_bytes counter
# HELP ovs_vhost_bytes Bytes.
ovs_vhost_bytes_total{port="vm0"} 42
# EOF
'''
PROMETHEUS = '''\
# TYPE ovs_vhost_port_info gauge
# HELP ovs_vhost_port_info A port.
ovs_vhost_port_info{port="vm0"} 1
# TYPE ovs_vhost_local gauge
# HELP ovs_vhost_local Is it counter or info?
ovs_vhost_local{port="vm0"} 1
# TYPE ovs_vhost_bytes_total counter
# HELP ovs_vhost_bytes_total Bytes.
ovs_vhost_bytes_total{port="vm0"} 42
'''


def serve_metrics(path):
    """Answers as ovs-vswitchd does, until the process ends."""
    def answer(conn, _argv, _aux):
        conn.reply(METRICS)

    ovs.unixctl.command_register('netdev-vhost/metrics', '', 0, 0, answer,
                                 None)
    error, server = ovs.unixctl.server.UnixctlServer.create(path)
    assert not error

    def run():
        while True:
            poller = ovs.poller.Poller()
            server.run()
            server.wait(poller)
            poller.timer_wait(50)
            poller.block()

    threading.Thread(target=run, daemon=True).start()


def get(port, path='/metrics', accept=None):
    connection = http.client.HTTPConnection('localhost', port, timeout=30)
    connection.request('GET', path,
                       headers={'Accept': accept} if accept else {})
    answer = connection.getresponse()
    return (answer.status, answer.getheader('Content-Type'),
            answer.read().decode())


def check_served(port):
    status, kind, text = get(port)
    assert (status, text) == (200, PROMETHEUS), (status, text)
    assert kind.startswith('text/plain; version=0.0.4'), kind
    status, kind, text = get(port, accept='application/openmetrics-text; '
                                          'version=1.0.0,text/plain;q=0.5')
    assert (status, text) == (200, METRICS), (status, text)
    assert kind.startswith('application/openmetrics-text; version=1'), kind
    assert get(port, '/')[0] == 404


def check_silent_switch(port, path):
    """A switch that does not answer: two requests at once are told so, and
    the switch gets one at a time."""
    answers = []
    with socket.socket(socket.AF_UNIX) as switch:
        switch.bind(path)
        switch.listen()
        start = time.monotonic()
        threads = [threading.Thread(target=lambda: answers.append(get(port)))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        switch.settimeout(20)
        with switch.accept()[0]:
            switch.settimeout(1)
            try:
                switch.accept()
                sys.exit('two requests at once')
            except socket.timeout:
                pass
            for thread in threads:
                thread.join(30)
    assert len(answers) == 2, answers
    for status, _, text in answers:
        assert status == 503 and 'has not answered' in text, (status, text)
    assert time.monotonic() - start < 20
    os.unlink(path)


def main():
    exporter, directory = sys.argv[1:]
    target = os.path.join(directory, 'switch.ctl')
    command = [sys.executable, '-B', exporter, '--target', target]

    # No switch yet: an answer that says so, then the next one is right.
    listener = socket.create_server(('localhost', 0))
    port = listener.getsockname()[1]

    def hand_over():
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
        os.execvp(command[0], command)

    pid = os.fork()
    if not pid:
        hand_over()
    try:
        status, _, text = get(port)
        assert status == 503 and 'switch.ctl' in text, (status, text)
        check_silent_switch(port, target)
        serve_metrics(target)
        check_served(port)
        check_served(port)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    listener.close()

    assert subprocess.check_output(command + ['--once'],
                                   text=True) == PROMETHEUS
    with subprocess.Popen(command + ['--listen=localhost:0'], text=True,
                          stdout=subprocess.PIPE) as process:
        try:
            check_served(int(process.stdout.readline()))
        finally:
            process.kill()


main()
