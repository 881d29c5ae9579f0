# SPDX-License-Identifier: Apache-2.0
"""One server twice: bare, then under the shim. What it answers, says and leaves must be the same, and all of its processes
must be in the trace.

    both(tap, 'nginx', start_nginx_site, lambda server: http_mix(server.port, PATHS))
"""

import collections
import hashlib
import http.client
import os
import re
import threading

from harness import SHIM, descendants, report, settle, wait_until

LOUD = {'PERFSHIM_QUIET': None}
START_LINE = re.compile(r'^perfshim: recording pid \d+ to \S+$', re.M)


def said(text):
    """What is the same in each run of a server: its lines without numbers, addresses and temporary names, sorted, for its
    processes write in no fixed order. Gives a Counter."""
    text = START_LINE.sub('', text)
    text = re.sub(r'perfshim-test-\w+', 'DIR', text)
    text = re.sub(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b', 'DATE', text)
    text = re.sub(r'\b0x[0-9a-f]+\b|\d+', 'N', text)
    return collections.Counter(line.strip() for line in text.splitlines() if line.strip())


def http_mix(port, requests, connections=4, rounds=25, host='127.0.0.1', tls=None):
    """Each connection, on a thread of its own, sends all requests [(method, path, body)] so many times. Gives what came
    back as a Counter of (method, path, status, length, digest), and 'broken' for requests without an answer. tls: an SSLContext,
    to speak HTTPS."""
    seen, lock = collections.Counter(), threading.Lock()

    def exchange(connection, method, path, body):
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
        return method, path, response.status, len(content), hashlib.sha256(content).hexdigest()[:12]

    def load():
        connection = (http.client.HTTPSConnection(host, port, timeout=60, context=tls) if tls else
                      http.client.HTTPConnection(host, port, timeout=60))
        for _ in range(rounds):
            for request in requests:
                reused = connection.sock is not None
                try:
                    try:
                        key = exchange(connection, *request)
                    except (ConnectionError, http.client.RemoteDisconnected):
                        connection.close()
                        if not reused: # else the server may have closed it while it was idle, and the request never came in
                            raise
                        key = exchange(connection, *request)
                except (OSError, http.client.HTTPException) as error:
                    key = *request[:2], 'broken', type(error).__name__
                    connection.close()
                with lock:
                    seen[key] += 1
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def answered(seen):
    """How many of http_mix's requests had an answer."""
    return sum(count for key, count in seen.items() if key[2] != 'broken')


class Outcome:
    """What one run of a server showed: answers (the driver's), returncode, said, logs, pids, and server itself."""

    def __init__(self, server, answers, pids, logs):
        self.server = server
        self.answers = answers
        self.pids = pids
        self.returncode = server.returncode
        self.said = said(server.stdout()) + said(server.stderr())
        self.logs = said(logs)
        self.start_lines = len(START_LINE.findall(server.stderr() + logs))


def observe(start, drive, shimmed, stop=None, logs=None):
    """Starts, drives and stops a server once. stop(server) ends it if it takes more than SIGTERM. logs: the name of an
    attribute of the server with paths of files that it writes besides."""
    options = {'env': LOUD} if shimmed else {'shimmed': False}
    with start(**options) as server:
        pids = descendants(server.pid)
        answers = drive(server)
        settle(server.pid)
        pids |= descendants(server.pid)
        (stop or type(server).stop)(server)
        text = ''
        for path in getattr(server, logs, []) if logs else []:
            with open(path, errors='replace') as f:
                text += f.read()
        return Outcome(server, answers, pids, text)


def both(tap, name, start, drive, stop=None, logs=None, ignore=None, all_processes=True):
    """The comparison; gives (bare, shimmed, report). ignore: a pattern of lines in output and logs that differ from run to
    run. all_processes: whether every process that was seen below the server must be in the trace."""
    bare = observe(start, drive, False, stop, logs)
    shimmed = observe(start, drive, True, stop, logs)
    tap.equal(shimmed.answers, bare.answers, f'{name}: the same answers')
    tap.equal(shimmed.returncode, bare.returncode, f'{name}: the same exit status')
    for what in ('said', 'logs'):
        got, wanted = (collections.Counter({line: n for line, n in getattr(run, what).items()
                                            if not (ignore and re.search(ignore, line))}) for run in (shimmed, bare))
        tap.ok(got == wanted, f"{name}: the same {'output' if what == 'said' else 'logs'}",
               f'only preloaded: {got - wanted}\nonly bare: {wanted - got}')
    tap.equal(shimmed.start_lines, 1, f'{name}: one line of ours at the start')
    result = report(shimmed.server.trace)
    tap.equal((result['trace']['lost_events'], result['trace']['truncated_bytes']), (0, 0), f'{name}: nothing was lost')
    recorded = {p['pid'] for p in result['trace']['processes']}
    if all_processes:
        tap.ok(shimmed.pids <= recorded, f'{name}: its {len(shimmed.pids)} processes are in the trace',
               f'seen {sorted(shimmed.pids)}\nin the trace {sorted(recorded)}')
    return bare, shimmed, result


def served(result):
    """Requests that the trace counts as served."""
    return sum(r['requests'] for r in result['routes'] if not r['guess'])


def mapped(pid):
    """Whether a process has the shim in its memory; None if it is gone, or waits to be reaped."""
    try:
        with open(f'/proc/{pid}/maps') as f:
            maps = f.read()
    except OSError:
        return None
    return os.path.basename(SHIM) in maps if maps else None


def gone(pids, timeout=60):
    """Waits until none of the processes is left."""
    return wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in pids), timeout)
