#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many processes in one file: a server's workers, a database's backends, a script's thousand commands. Each is named, the file
is sound, and the recorder's memory stays small."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (Server, Tap, free_port, have, perfanalyze, report, run, run_shimmed, shim_environment,  # noqa: E402
                     wait_until, work_dir, wrk)
from servers import public_shim, recorders, start_nginx  # noqa: E402

tap = Tap()
RSS_MAX_MB = 100


class Peak:
    """The largest resident size of a trace's recorders, looked at now and then."""

    def __init__(self, trace):
        self.trace = trace
        self.mb = 0

    def look(self):
        for pid in recorders(self.trace):
            try:
                with open(f'/proc/{pid}/status') as f:
                    self.mb = max(self.mb, int(re.search(r'VmHWM:\s+(\d+)', f.read()).group(1)) / 1024)
            except (OSError, AttributeError):
                pass


def check(trace, name, peak):
    """Waits for the recorder's end, checks the file, and gives the report's processes."""
    wait_until(lambda: not recorders(trace), 30)
    tap.equal(run(['zstd', '-tq', trace]).returncode, 0, f'{name}: zstd finds the file sound')
    info = perfanalyze('info', trace).stdout
    tap.ok('closed the file' in info and re.search(r'^damage +none$', info, re.M), f'{name}: closed, undamaged', info[:900])
    told = report(trace)['trace']
    tap.equal((told['lost_events'], told['gaps']), (0, []), f'{name}: nothing is lost')
    tap.ok(peak.mb < RSS_MAX_MB, f'{name}: the recorder has at most {peak.mb:.1f} MB resident')
    return told['processes']


# nginx with eight workers
with start_nginx({'a.txt': b'a' * 1000}, workers=8) as nginx:
    peak = Peak(nginx.trace)
    loaded = wrk(f'http://127.0.0.1:{nginx.port}/a.txt', seconds=2, connections=32)
    peak.look()
    nginx.stop(signal.SIGQUIT)
processes = check(nginx.trace, 'nginx', peak)
tap.equal([p['exe'].rsplit('/', 1)[-1] for p in processes], ['nginx'] * 9, 'nginx: a master and eight workers')
served = sum(r['requests'] for r in report(nginx.trace)['routes'])
tap.ok(loaded['requests'] <= served + 1 and served <= loaded['requests'] + 64, 'nginx: their requests are all there',
       f"{served} in the trace, {loaded['requests']} answered")

# a script of a thousand short commands
SCRIPT = 'i=0; while [ $i -lt 500 ]; do /bin/true; /usr/bin/test a = a; i=$((i+1)); done'
trace = os.path.join(work_dir(), 'trace.zst')
shell = subprocess.Popen(['/bin/sh', '-c', SCRIPT], env=shim_environment(trace))
peak = Peak(trace)
while shell.poll() is None:
    time.sleep(0.1)
    peak.look()
tap.equal(shell.returncode, 0, 'a thousand commands: the script ends well')
processes = check(trace, 'a thousand commands', peak)
names = [p['exe'].rsplit('/', 1)[-1] for p in processes]
# each command is two processes: the shell's child before exec, and what it became
tap.equal((names.count('true'), names.count('test')), (500, 500), 'a thousand commands: each is named')
tap.equal({p['ended'] for p in processes}, {'exit'}, 'a thousand commands: each has its end')


# PostgreSQL with fifty clients
def postgres_binary(name):
    for version in sorted(os.listdir('/usr/lib/postgresql')) if os.path.isdir('/usr/lib/postgresql') else []:
        path = f'/usr/lib/postgresql/{version}/bin/{name}'
        if os.path.exists(path):
            return path
    return None


def start_postgres():
    """PostgreSQL on a free port, which refuses to run as root; None if it cannot be set up."""
    directory, port = work_dir(), free_port()
    as_user = []
    if os.getuid() == 0:
        os.chmod(directory, 0o777)
        os.chmod(os.path.dirname(directory), 0o1777)
        as_user = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups']
    data = os.path.join(directory, 'data')
    if run([*as_user, postgres_binary('initdb'), '-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync']).returncode:
        return None
    trace = os.path.join(directory, 'trace.zst')
    # the recorder writes as the user that the server runs as
    server = Server([*as_user, 'env', f'LD_PRELOAD={public_shim()}', postgres_binary('postgres'),
                     '-D', data, '-p', str(port), '-k', directory, '-h', '127.0.0.1', '-c', 'max_connections=80'],
                    port=port, env={'LD_PRELOAD': None}, out=trace, timeout=30)
    return server


def postgres_session(port):
    """A client of few words: gives its connection once the backend says that it is ready."""
    s = socket.create_connection(('127.0.0.1', port), 10)
    words = b'\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00'
    s.sendall((len(words) + 4).to_bytes(4, 'big') + words)
    wait_for_ready(s)
    return s


def wait_for_ready(s):
    answer = b''
    while not answer.endswith(b'Z\x00\x00\x00\x05I'):
        more = s.recv(65536)
        if not more:
            raise RuntimeError(f'PostgreSQL hung up: {answer!r}')
        answer += more


server = start_postgres() if postgres_binary('initdb') else None
if server:
    peak = Peak(server.trace)
    def first_session():
        try:
            return postgres_session(server.port)
        except (RuntimeError, OSError):
            return None  # it is starting up

    sessions = [wait_until(first_session, 30)] + [postgres_session(server.port) for _ in range(49)]
    query = b'select sum(i) from generate_series(1, 1000) i\x00'
    for s in sessions:
        s.sendall(b'Q' + (len(query) + 4).to_bytes(4, 'big') + query)
        wait_for_ready(s)
    peak.look()
    for s in sessions:
        s.close()
    server.stop(signal.SIGINT)
    processes = check(server.trace, 'PostgreSQL', peak)
    names = [p['exe'].rsplit('/', 1)[-1] for p in processes]
    tap.ok(names.count('postgres') >= 51, 'PostgreSQL: fifty backends and more, each named', names)
else:
    tap.skip('PostgreSQL', 'it is not installed, or cannot be set up')
tap.done()
