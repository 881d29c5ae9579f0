#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's times of receipt (PERFSHIM_RXTIME=1): queue and latency together are what a client measured of an overloaded
server, and no host sees that its sockets are read in another way."""

import os
import re
import selectors
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from guest import GuestTap, PROGRAMS, same  # noqa: E402
from harness import O, Server, dump, have, http_requests, perfanalyze, report, route_of  # noqa: E402
from servers import redis_cli, start_nginx, start_redis, start_uvicorn  # noqa: E402

ON = {'PERFSHIM_RXTIME': '1'}
SO_TIMESTAMPNS = 35
SERVICE_S = 0.005
SPACING_S = 0.0035  # faster than the server can: it falls behind by 1.5 ms a request
REQUESTS = 240
SHARE = 0.05
LEAST_S = 0.005

tap = GuestTap()


def start_queue(**options):
    return Server([f'{O}/tests/servers/queue', '0', str(int(SERVICE_S * 1e6))], ready=r'listening on 127\.0\.0\.1:(\d+)', **options)


def stamp(ancillary):
    """The kernel's time in a message, in s."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, ns = struct.unpack('qq', data)
            return seconds + ns / 1e9
    return None


# --- an overloaded server ---

def load(port):
    """Sends each request at its time, whatever was answered, each on its own connection. Gives how long each took from before
    it was sent until the kernel had its answer, so that it does not matter when this process gets to look."""
    connections = [socket.create_connection(('127.0.0.1', port)) for _ in range(REQUESTS)]
    answered, sent = [None] * REQUESTS, [None] * REQUESTS
    selector = selectors.DefaultSelector()
    for i, connection in enumerate(connections):
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, i)
    time.sleep(0.3)  # all are accepted
    begin, n, deadline = time.time(), 0, time.time() + 60
    while None in answered and time.time() < deadline:
        while n < REQUESTS and time.time() >= begin + n * SPACING_S:
            sent[n] = time.time()
            connections[n].send(b'GET /work HTTP/1.1\r\nHost: h\r\n\r\n')
            n += 1
        wait = begin + n * SPACING_S - time.time() if n < REQUESTS else 1
        for key, _ in selector.select(max(0, wait)):
            data, ancillary, _, _ = key.fileobj.recvmsg(4096, 256)
            answered[key.data] = stamp(ancillary) or time.time()
            if not data:
                raise RuntimeError('closed by the server')
            selector.unregister(key.fileobj)
    for connection in connections:
        connection.close()
    return [b - a for a, b in zip(sent, answered)]


def measured(trace):
    """Of each connection, in the order in which they were accepted: (queue, queue and latency), in s."""
    connections, queue, began, took = [], {}, {}, {}
    for e in dump(trace):
        if e.name == 'desc_open' and e.fields['op'] in ('accept', 'accept4'):
            connections.append(e.int('desc'))
        elif e.name == 'io' and e.int('desc') in connections and e.int('bytes') > 0:
            desc = e.int('desc')
            if e.int('dir') == 0:
                queue[desc], began[desc] = (e.int('rx_ns') or 0) / 1e9, e.time
            else:
                took[desc] = queue[desc] + e.time - began[desc]
    return [(queue.get(d), took.get(d)) for d in connections]


def quantile(values, q):
    """Nearest rank."""
    values = sorted(values)
    return values[max(0, -(-len(values) * q // 100) - 1)]


def agree(got_s, truth_s):
    return got_s is not None and abs(got_s - truth_s) <= max(SHARE * truth_s, LEAST_S)


def mean(values):
    return sum(values) / len(values)


def overloaded():
    """A run, and what of it agrees: [(whether, what)]."""
    with start_queue(env=ON) as server:
        truth = load(server.port)
        server.stop()
    result, rows = report(server.trace), measured(server.trace)
    row = route_of(result, 'GET /work') or {}
    arrival, queue = row.get('from_arrival_ms') or {}, row.get('queue_ms') or {}
    checks = [(row.get('requests') == REQUESTS == row.get('queue_known'), f'{REQUESTS} requests, of all the queue is known'),
              (len(rows) == REQUESTS and all(q is not None and t is not None for q, t in rows), 'each is in the trace')]
    for name, q in (('p50', 50), ('p90', 90)):
        got, true = arrival.get(name), quantile(truth, q)
        checks.append((agree(got and got / 1000, true), f'{name} from arrival {got} ms, by the client {true * 1000:.3f} ms'))
    off = [(t, u) for (_, t), u in zip(rows, truth) if not agree(t, u)]
    checks.append((len(off) <= REQUESTS // 20, f'queue and latency of each request are what the client saw; {len(off)} are not'))
    grown, true = (mean([r[0] or 0 for r in rows[-20:]]) - mean([r[0] or 0 for r in rows[:20]]),
                   mean(truth[-20:]) - mean(truth[:20]))
    checks.append((true > 0.05 and agree(grown, true), f'the queue grew by {grown:.3f} s, by the client {true:.3f} s'))
    latency = row.get('latency_ms') or {}
    checks.append((latency.get('min', 0) >= SERVICE_S * 1000 and latency.get('p50', 1e9) * 3 < arrival.get('p50', 0) and
                   queue.get('p50', 0) + latency.get('p50', 0) <= arrival.get('p99', 0),
                   f'latency alone is without the queue: {latency.get("p50")} ms'))
    return server.trace, result, checks


# A machine that does something else meanwhile may hold up the client between its clock and its send, or the whole load: it gets
# two more chances. An error of ours would show each time.
for attempt in range(3):
    trace, result, checks = overloaded()
    if all(good for good, _ in checks):
        break
for good, what in checks:
    tap.ok(good, what)
text = perfanalyze(trace).stdout
table = re.search(r'^ROUTES: QUEUE, BEFORE THE FIRST READ.*?(?=^\S)', text, re.M | re.S)
tap.ok(table and re.search(r'^GET /work +240 +\d', text[table.start():], re.M), 'the report has a table of queues', text[:2500])
lines = text[table.start():].split('\n\n')[0].splitlines() if table else ['-' * 81]
tap.ok(max(map(len, lines)) <= 80 and len(lines) == 5, 'which fits 80 columns', '\n'.join(lines))

# What comes before the connection is even accepted has its time, too.
with start_queue(env=ON) as server:
    server.process.send_signal(signal.SIGSTOP)
    early = socket.create_connection(('127.0.0.1', server.port))
    early.sendall(b'GET /early HTTP/1.1\r\nHost: h\r\n\r\n')
    sent_at = time.monotonic()
    time.sleep(0.4)
    waited_s = time.monotonic() - sent_at
    server.process.send_signal(signal.SIGCONT)
    early.settimeout(20)
    tap.ok(early.recv(100).startswith(b'HTTP/1.1 200'), 'a server that was stopped answers')
    early.close()
    server.stop()
row = route_of(report(server.trace), 'GET /early') or {}
tap.ok(row.get('queue_known') == 1 and row['queue_ms']['max'] >= (waited_s - 0.01) * 1000,
       f'a request that came {waited_s:.3f} s before accept queued as long', row)

# Without the setting nothing is as if it were there.
with start_queue() as server:
    http_requests(server.port, 'GET', '/plain', 3)
    server.stop()
row = route_of(report(server.trace), 'GET /plain') or {}
tap.ok(row.get('requests') == 3 and 'queue_ms' not in row, 'without the setting the report has no queue', row)
tap.ok('QUEUE' not in perfanalyze(server.trace).stdout, 'nor the text')
tap.ok(all(e.int('rx_ns') is None for e in dump(server.trace) if e.name == 'io'), 'and no read has a time')

# --- hosts see nothing of it ---

# How the call of this name, in this case, must be in the trace: at least so many with a time.
TIMED = {'calls': {'read': 3, 'readv': 1, 'recv': 1, 'recvfrom': 1, '__read_chk': 1, '__recv_chk': 1, '__recvfrom_chk': 1,
                   'recvmsg': 2, 'preadv2': 1},
         'kinds': {'recvmsg': 1, 'read': 1}, 'copies': {'recvmsg': 2, 'read': 4}, 'options': {'recvmsg': 20},
         'cancelled': {'read': 1}, 'ends': {'read': 2}, 'flags': {'recv': 3, 'recvmsg': 2}}

for case in ('calls', 'flags', 'sizes', 'pointers', 'ends', 'options', 'kinds', 'copies', 'cancelled', 'filtered'):
    _, _, trace = same(tap, f'guest_rxtime {case}', [f'{PROGRAMS}/guest_rxtime', case], env=ON)
    counts = {}
    for line in trace.of('io') if trace else ():
        fields = dict(re.findall(r'(\w+)=(\S+)', line))
        if fields['rx_ns'] != '?':
            counts[fields['op']] = counts.get(fields['op'], 0) + 1
    tap.ok(all(counts.get(op, 0) >= n for op, n in TIMED.get(case, {}).items()), f'guest_rxtime {case}: reads have times', counts)
    if case in ('pointers', 'sizes'):
        continue
    odd = [line for line in (trace.of('io') if trace else ()) if 'rx_ns=?' not in line and not re.search(r' dir=0 .* bytes=[1-9]', line)]
    tap.ok(not odd, f'guest_rxtime {case}: only what was read has one', odd)


# --- servers answer as ever ---

def check_server(name, start, ask):
    with start(shimmed=False) as server:
        bare = ask(server)
    with start(env=ON) as server:
        tap.equal(ask(server), bare, f'{name}: the same answers')
        server.stop()
    rows = [r for r in report(server.trace)['routes'] if r['requests'] != r.get('queue_known')]
    tap.ok(not rows and report(server.trace)['routes'], f'{name}: the queue of each request is known', [r['route'] for r in rows])


def ask_http(server):
    return http_requests(server.port, 'GET', '/small', 20) + http_requests(server.port, 'POST', '/x', 3, 'b' * 100000) + \
        http_requests(server.port, 'GET', '/big', 5)


FILES = {'small': b's' * 100, 'big': b'b' * 300000}
if have('nginx'):
    check_server('nginx', lambda **options: start_nginx(FILES, **options), ask_http)
else:
    tap.skip('nginx: the same answers', 'no nginx')
if have('redis-server'):
    def ask_redis(server):
        return [redis_cli(server.port, *w) for w in (('SET', 'a', 'x' * 5000), ('GET', 'a'), ('INCR', 'n'), ('LPUSH', 'l', 'a', 'b'),
                                                     ('LRANGE', 'l', '0', '-1'), ('NOSUCH',))]
    check_server('redis', start_redis, ask_redis)
else:
    tap.skip('redis: the same answers', 'no redis-server')
try:
    import uvicorn  # noqa: F401
    check_server('uvicorn', start_uvicorn, lambda server: http_requests(server.port, 'GET', '/users/7', 20) +
                 http_requests(server.port, 'POST', '/users', 3, '{"name": "x"}'))
except ImportError:
    tap.skip('uvicorn: the same answers', 'no uvicorn')
tap.done()
