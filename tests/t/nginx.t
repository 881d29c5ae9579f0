#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nginx with two workers: what perfshim counts and times against what nginx itself logged about the same requests."""

import http.client
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap, http_requests, report, route_of, run, start_shop, wrk  # noqa: E402
from servers import nginx_log, start_nginx  # noqa: E402

# nginx cuts its times to the milliseconds of a clock that it reads once a turn of its event loop: where a turn is short,
# both ends are up to 1 ms early, so a mean is right within 1 ms.
NGINX_TIME_MS = 1.0

FILES = {'small.txt': b's' * 1024, 'big.bin': b'b' * 300_000, 'page.bin': b'HTTP/1.1 200 OK\r\n' * 3000 + b'.'}
HEADS = 40

tap = Tap()


def finished(entries):
    """The entries by route, without those whose client had gone before the whole answer was sent: all answers of a route
    have one size."""
    routes = {}
    for entry in entries:
        routes.setdefault(entry.route, []).append(entry)
    for route, rows in routes.items():
        whole = max(e.sent_bytes for e in rows)
        routes[route] = [e for e in rows if e.sent_bytes == whole]
    return routes


def heads(port):
    """HEAD and GET of a page over kept connections: one after the other, and all at once. Gives how many there were of each."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    for method in ['HEAD', 'GET'] * HEADS:
        connection.request(method, '/page.bin')
        connection.getresponse().read()
    connection.close()
    head, get = (f'{method} /page.bin HTTP/1.1\r\nHost: x\r\n\r\n'.encode() for method in ('HEAD', 'GET'))
    with socket.create_connection(('127.0.0.1', port), 20) as s:
        for _ in range(HEADS // 4):
            s.sendall((head + get + head + head + get) * 4)
            answer = b''
            while answer.count(b'Server: ') < 20 or not answer.endswith(FILES['page.bin']):
                answer += s.recv(1 << 20)
    return {'HEAD /page.bin': 4 * HEADS, 'GET /page.bin': 3 * HEADS}


def compare(name, trace, log_path):
    """Every route's count and bytes exactly, its mean time as closely as nginx's clock allows. Gives the report."""
    truth = finished(nginx_log(log_path))
    result = report(trace)
    got = {r['route']: r['requests'] for r in result['routes'] if not r.get('upstream')}
    tap.equal(got, {route: len(rows) for route, rows in truth.items()}, f"{name}: requests by route are those of nginx's log")
    for route, rows in truth.items():
        row = route_of(result, route)
        if not row:
            continue
        sent = [e.sent_bytes for e in rows]
        tap.equal((round(row['response_bytes']['mean'] * len(rows)), row['response_bytes']['max']), (sum(sent), max(sent)),
                  f'{name}: {route}: response bytes are $bytes_sent, sum and maximum')
        tap.equal(round(row['request_bytes']['mean'] * len(rows)), sum(e.request_bytes for e in rows),
                  f'{name}: {route}: request bytes are $request_length')
        mean_ms = 1000 * sum(e.time_s for e in rows) / len(rows)
        got_ms = row['latency_ms']['mean']
        tap.ok(abs(got_ms - mean_ms) <= NGINX_TIME_MS + 0.02 * mean_ms,
               f'{name}: {route}: mean latency {got_ms:.3f} ms, $request_time {mean_ms:.3f} ms')
    tap.equal(result['trace']['lost_events'], 0, f'{name}: nothing was lost')
    return result


# Keep-alive, bodies by sendfile and by writes, two workers, and a master that forks them.
with start_nginx(FILES, workers=2, server='location /page.bin { sendfile off; }') as nginx:
    asked = heads(nginx.port)
    base = f'http://127.0.0.1:{nginx.port}'
    loaded = wrk(f'{base}/small.txt', seconds=3, connections=32)
    sent = wrk(f'{base}/big.bin', seconds=1, connections=4)
    http_requests(nginx.port, 'GET', '/missing')
    tap.equal((loaded['errors'], sent['errors']), (0, 0), 'wrk: no errors')
    nginx.stop()
result = compare('wrk', nginx.trace, nginx.access_log)
tap.equal({r['route']: r['requests'] for r in result['routes'] if r['route'] in asked}, asked, 'HEAD and GET in turns: each is there')
small = route_of(result, 'GET /small.txt')
# wrk leaves requests unanswered when it stops: at most one a connection, and the connections of its start.
tap.ok(small and loaded['requests'] <= small['requests'] <= loaded['requests'] + 64,
       f"wrk: its own count {loaded['requests']}, in the trace {small and small['requests']}")
tap.equal(route_of(result, 'GET /missing') and route_of(result, 'GET /missing')['errors'], 0,
          'a 404 is the answer that was asked for, not an error of the server')
processes = result['trace']['processes']
workers = [p for p in processes if p['ppid'] == nginx.pid]
tap.equal((len(workers), len([p for p in processes if p['pid'] == nginx.pid])), (2, 1), 'master and workers are in one file')
tap.equal({p['ended'] for p in processes}, {'exit'}, 'all of them ended by exit')
tap.equal({os.path.basename(p['exe']) for p in processes}, {'nginx'}, 'they are known by their program')
connections = result['connections']
tap.ok(connections['accepted'] == connections['closed'] and connections['open_end'] == 0,
       'every accepted connection was closed', connections)

# ab sends exactly so many, with and without keep-alive.
with start_nginx(FILES, workers=2) as nginx:
    kept = run(['ab', '-q', '-k', '-n', '5000', '-c', '20', f'http://127.0.0.1:{nginx.port}/small.txt'])
    closed = run(['ab', '-q', '-n', '2000', '-c', '10', f'http://127.0.0.1:{nginx.port}/big.bin'])
    tap.ok(kept.returncode == 0 and closed.returncode == 0, 'ab ends well', kept.stderr + closed.stderr)
    nginx.stop()
result = compare('ab', nginx.trace, nginx.access_log)
counts = {r['route']: r['requests'] for r in result['routes']}
tap.equal(counts, {'GET /small.txt': 5000, 'GET /big.bin': 2000}, 'ab -n: exactly as many as it was told to send')
# ab opens a spare connection or two that carry nothing; without keep-alive each request has one of its own.
tap.ok(2020 <= result['connections']['accepted'] <= 2020 + 30, 'ab: connections', result['connections'])

# As a proxy, in front of a server that takes 20 ms: times long enough for nginx's clock.
with start_shop('--slow-us', '20000', shimmed=False) as shop:
    with start_nginx(FILES, workers=1, server=f'location /slow {{ proxy_pass http://127.0.0.1:{shop.port}; }}') as nginx:
        slow = wrk(f'http://127.0.0.1:{nginx.port}/slow', seconds=2, connections=2, threads=1)
        tap.ok(slow['requests'] > 50 and not slow['errors'], 'the proxied route answers', slow['text'])
        nginx.stop()
result = compare('proxy', nginx.trace, nginx.access_log)
row = route_of(result, 'GET /slow')
if row:
    maximum_ms = 1000 * max(e.time_s for e in nginx_log(nginx.access_log))
    tap.ok(abs(row['latency_ms']['max'] - maximum_ms) <= 2.0 + 0.02 * maximum_ms,
           f"proxy: longest {row['latency_ms']['max']:.3f} ms, $request_time {maximum_ms:.0f} ms")

tap.done()
