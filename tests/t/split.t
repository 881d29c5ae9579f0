#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of each request went, against a server that spends it in known ways and logs how long each took."""

import os
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, perfanalyze, route_of, work_dir  # noqa: E402
import json  # noqa: E402

REQUESTS = 6
SHARE = 0.05
LEAST_MS = 1.0
CLOCKS_MS = 0.02
FIELDS = ('in', 'ready', 'out', 'done', 'spent', 'also')

# By route: the kinds that make up its time, and what the server says of each.
TRUTH = {
    '/sleep': {'sleep': lambda e: e['spent']},
    '/lock': {'lock': lambda e: e['spent']},
    '/compute': {'compute': lambda e: e['spent']},
    '/poll': {'descriptors': lambda e: e['spent']},
    '/condition': {'condition': lambda e: e['spent']},
    '/disk': {'disk': lambda e: e['spent']},
    '/upstream': {'upstream': lambda e: e['spent']},
    '/child': {'child': lambda e: e['spent']},
    '/pause': {'sleep': lambda e: e['spent']},
    '/big': {'send': lambda e: e['done'] - e['out']},
    '/dribble': {'receive': lambda e: e['ready'] - e['in']},
    '/handover': {'unseen': lambda e: e['spent'], 'compute': lambda e: e['also']},
}

tap = Tap()


def start(*mode):
    log = os.path.join(work_dir(), 'log')
    server = Server([f'{O}/tests/servers/split', log, *mode], ready=r'listening on 127\.0\.0\.1:(\d+)',
                    env={'PERFSHIM_MAX_STALL': '30000', 'PERFSHIM_RXTIME': '1'})
    server.log = log
    return server


def receive(connection, pause_s=0):
    """One response, read at that pace; gives its size."""
    data = connection.recv(1)
    while b'\r\n\r\n' not in data:
        data += connection.recv(4096)
    head, body = data.split(b'\r\n\r\n', 1)
    left = int(re.search(rb'Content-Length: (\d+)', head).group(1)) - len(body)
    while left > 0:
        time.sleep(pause_s)
        left -= len(connection.recv(min(left, 200000)))
    return len(data)


def load(port):
    for path in TRUTH:
        connection = socket.create_connection(('127.0.0.1', port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(REQUESTS):
            request = f'GET {path} HTTP/1.1\r\nHost: h\r\n\r\n'.encode()
            if path == '/dribble':
                for byte in request[:12]:
                    connection.send(bytes([byte]))
                    time.sleep(0.002)
                request = request[12:]
            connection.sendall(request)
            receive(connection, 0.001 if path == '/big' else 0)
        connection.close()


def load_loop(port):
    """Pairs of requests, the second when the first has waited for a while."""
    connections = [socket.create_connection(('127.0.0.1', port), timeout=60) for _ in range(2)]
    time.sleep(0.2)  # they are accepted
    for _ in range(REQUESTS):
        for connection in connections:
            connection.sendall(b'GET /pair HTTP/1.1\r\nHost: h\r\n\r\n')
            time.sleep(0.03)
        for connection in connections:
            receive(connection)
    for connection in connections:
        connection.close()


def run(loading, *mode):
    """The trace, its report with all requests one by one, these with what the log says: {path: [(request, entry)]}, and how
    many the log has."""
    with start(*mode) as server:
        loading(server.port)
        server.stop()
    result = json.loads(perfanalyze('--json', '--slowest', '1000', server.trace).stdout)
    logged, seen = {}, {}
    with open(server.log) as f:
        for line in f:
            *numbers, path = line.split()
            logged.setdefault(path, []).append(dict(zip(FIELDS, map(int, numbers))))
    for request in result['slowest']:
        seen.setdefault(request['route'].split(' ')[1], []).append(request)
    pairs = {path: list(zip(sorted(seen.get(path, ()), key=lambda r: r['from_s']),
                            sorted(entries, key=lambda e: e['in']))) for path, entries in logged.items()}
    return server.trace, result, pairs, {path: len(entries) for path, entries in logged.items()}


def compare(name, rows, least_ms=LEAST_MS):
    """rows: (milliseconds, nanoseconds by the log) of each request. The middle one counts: any may be preempted between the
    two clocks."""
    off = statistics.median(abs(got - true / 1e6) for got, true in rows) if rows else 1e9
    true = statistics.median(true / 1e6 for _, true in rows) if rows else 0
    return off <= max(SHARE * true, least_ms), f'{name}: {true:.3f} ms by the log, {off:.3f} ms off'


def check_threads():
    trace, result, pairs, counts = run(load)
    checks = [({path: len(p) for path, p in pairs.items()} == counts, f'all requests are there: {counts}')]
    for path, kinds in TRUTH.items():
        rows = pairs.get(path, [])
        checks.append(compare(f'{path} in all', [
            (r['total_ms'] - r['split_ms']['queue'], e['done'] - e['in']) for r, e in rows]))
        for kind, truth in kinds.items():
            checks.append(compare(f'{path}: {kind}', [(r['split_ms'][kind], truth(e)) for r, e in rows]))
        checks.append(compare(f'{path}: the rest', [
            (r['total_ms'] - r['split_ms']['queue'] - sum(r['split_ms'][k] for k in kinds),
             e['done'] - e['in'] - sum(truth(e) for truth in kinds.values())) for r, e in rows]))
    return trace, result, checks


def check_loop():
    trace, result, pairs, _ = run(load_loop, 'loop')
    rows = pairs.get('/pair', [])
    both = list(zip(rows[::2], rows[1::2]))
    woke = [max(a['in'], b['in'] - b['also']) for (_, a), (_, b) in both]
    checks = [
        (len(both) == REQUESTS, f'{REQUESTS} pairs in the event loop'),
        compare('the first waits for descriptors', [
            (r['split_ms']['descriptors'], at - a['in']) for ((r, a), _), at in zip(both, woke)]),
        compare('and is not worked for while the second is read', [
            (r['split_ms']['busy'], b['in'] - at) for ((r, _), (_, b)), at in zip(both, woke)]),
        compare('then it is computed', [(r['split_ms']['compute'], a['spent']) for (r, a), _ in both]),
        compare('and the second waits for the thread', [
            (r['split_ms']['busy'], a['done'] - b['in']) for (_, a), (r, b) in both]),
        compare('until it is computed', [(r['split_ms']['compute'], b['spent']) for _, (r, b) in both]),
    ]
    row = route_of(result, 'GET /pair') or {}
    dispatch, true = row.get('dispatch_ms') or {'min': 0, 'p50': 0}, sorted(e['also'] for _, e in rows) or [0]
    checks.append((row.get('dispatch_known') == 2 * REQUESTS, 'the dispatch delay of each is known'))
    checks.append(compare('the dispatch delay', [(dispatch['min'], true[0])]))
    lines = (dict(re.findall(r'(\w+)=(\S+)', line)) for line in perfanalyze('dump', '--exchanges', trace).stdout.splitlines())
    delays = sorted((float(x['in']), float(x['dispatch_ns']) / 1e6) for x in lines if 'dispatch_ns' in x)
    logged = sorted((e['in'], e['also']) for _, e in rows)
    checks.append(compare('of each request', [(got, true) for (_, got), (_, true) in zip(delays, logged)], CLOCKS_MS))
    checks.append(compare('its median', [(dispatch['p50'], true[(len(true) - 1) // 2])]))
    return trace, result, checks


# A machine that does something else meanwhile gets two more chances. An error of ours would show each time.
for check in (check_threads, check_loop):
    for attempt in range(3):
        trace, result, checks = check()
        if all(good for good, _ in checks):
            break
    for good, what in checks:
        tap.ok(good, what)
    sums = [(abs(sum(r['split_ms'].values()) - r['total_ms']),
             r['total_ms'] - (r['to_s'] - r['from_s']) * 1e3 - r['split_ms']['queue']) for r in result['slowest']]
    tap.ok(sums and all(a < 1e-5 and abs(b) < 1e-3 for a, b in sums), 'each split is all of the time', sums)
    for r in result['routes']:
        mean = r['from_arrival_ms']['mean']
        tap.ok(abs(sum(r['split']['mean_ms'].values()) - mean) < 1e-3 * mean, f'{r["route"]}: the means add up to the mean', r)

# --- where they are in the trace ---

text = perfanalyze('--slowest', '3', trace).stdout
tap.ok(re.search(r'^ROUTES: WHERE THE TIME WENT +mean\nGET /pair +\S+  \S+ \d+%  \S+ \d+%', text, re.M),
       'a table of routes', text)
tap.ok(re.search(r'^ROUTES: FROM READY TO READ .*\nGET /pair +12 ', text, re.M), 'a table of dispatch delays', text)
wide = [line for line in text.splitlines() if len(line) > 80]
tap.equal(wide, [], 'all within 80 columns')
found = re.findall(r'^  #(\d) (\S+) GET /pair 200\n((?:     \S.*\n)+?)     dump (.*)$', text, re.M)
tap.ok([number for number, *_ in found] == ['1', '2', '3'], 'three of the slowest, one by one', text[text.find('THE SLOWEST'):])
lines = perfanalyze('dump', *found[0][3].split(), trace).stdout.splitlines() if found else []
slowest = result['slowest'][0]
tap.ok(lines and re.search(r' io .* dir=0 ', lines[0]) and re.search(r' io .* dir=1 ', lines[-1]),
       'dump shows the slowest from its read to its write', '\n'.join(lines))
tap.ok(lines and all(f' {slowest["pid"]}/{slowest["tid"]} ' in line for line in lines), 'and only its thread')
tap.ok('slowest' not in json.loads(perfanalyze('--json', trace).stdout), 'unless asked for there are none in JSON')
tap.ok('THE SLOWEST' not in perfanalyze(trace).stdout, 'nor in the text')
tap.done()
