#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as clients and networks really send it, good and bad: every framing, 1 KB to 10 MB, pipelined, a byte at a time,
half-closed, reset, broken off and malformed, and bodies that look like messages; against the server's own log, counts and bytes exactly."""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, report, route_of, wait_until, work_dir  # noqa: E402

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
KINDS = ('bytes', 'file', 'chunked')
PIPELINED = 60
# Of times, or so much: each connection has a thread of its own, whose first call with 64 KB of an answer's body makes its ring
# grow, behind the last byte by our clock and before it by the server's.
SHARE = 0.05
LEAST_US = 150.0

tap = Tap()


def connect(port):
    s = socket.create_connection(('127.0.0.1', port), 20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def head(method, path, *headers):
    return '\r\n'.join([f'{method} {path} HTTP/1.1', 'Host: x', *headers, '', '']).encode()


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


def read_to_end(s):
    n = 0
    try:
        while True:
            got = s.recv(1 << 16)
            if not got:
                return n
            n += len(got)
    except ConnectionResetError:
        return n


def ask(port, *requests, pieces=None, pause_s=0):
    """Sends requests over one connection, whose last must make the server end it or be the last: then reads all."""
    with connect(port) as s:
        for request in requests:
            step = pieces or len(request)
            for at in range(0, len(request), step):
                s.sendall(request[at:at + step])
                if pause_s:
                    time.sleep(pause_s)
        s.shutdown(socket.SHUT_WR)
        return read_to_end(s)


def upload_a_message(port, size):
    """The body is asked for, and looks like a request of which there is more to come; then requests as usual."""
    body = head('POST', '/false', 'Content-Length: 900000').ljust(size, b'.')
    with connect(port) as s:
        for _ in range(3):
            s.sendall(head('POST', '/take', f'Content-Length: {size}', 'Expect: 100-continue'))
            assert s.recv(1000).endswith(b'100 Continue\r\n\r\n')
            s.sendall(body)
            while not s.recv(1000).endswith(f'\n{size}\n'.encode()):
                pass
        s.sendall(head('GET', '/bytes/10000') + head('HEAD', '/bytes/900000') + head('GET', '/like/9000'))
        s.shutdown(socket.SHUT_WR)
        return read_to_end(s)


def good(port):
    """Requests that are all answered."""
    for size in SIZES:
        for kind in KINDS:
            ask(port, head('GET', f'/{kind}/{size}'), head('HEAD', f'/{kind}/{size}'))
        ask(port, head('GET', f'/until/{size}'))
        ask(port, head('POST', '/take', f'Content-Length: {size}'), b'x' * size)
        ask(port, head('POST', '/take', 'Transfer-Encoding: chunked'),
            *(f'{n:x};name=value\r\n'.encode() + b'y' * n + b'\r\n' for n in (size // 2, size - size // 2)),
            b'0\r\nX-Trailer: z\r\n\r\n')
    ask(port, head('POST', '/take', 'Content-Length: 5', 'Expect: 100-continue'), b'12345')
    ask(port, *[head('GET', path) for path in ('/empty', '/same', '/empty', '/bytes/7', '/same')])
    for size in (5_000, 100_000):  # what looks like messages, and is none
        ask(port, head('GET', f'/like/{size}'), head('HEAD', f'/like/{size}'), head('GET', f'/like/{size}'))
        upload_a_message(port, size)
    ask(port, (head('HEAD', '/bytes/900000') + head('GET', '/chunked/9000') + head('HEAD', '/bytes/70000') + head('GET', '/like/9000')) * 5)
    many = b''.join(head('GET', f'/bytes/{n}') + head('GET', '/empty') for n in range(PIPELINED))
    ask(port, many)
    ask(port, many, pieces=7)
    ask(port, head('GET', '/bytes/100') + head('POST', '/take', 'Content-Length: 20') + b'z' * 20, pieces=1, pause_s=0.001)


def bad(port):
    """Connections that break: gives how many requests there were that the server began to answer and could not end."""
    for _ in range(5):  # its answer is cut off
        s = connect(port)
        s.sendall(head('GET', '/bytes/10000000'))
        s.recv(1000)
        reset(s)
    for _ in range(5):  # a request that does not come whole
        ask(port, head('POST', '/take', 'Content-Length: 100'), b'only this')
        ask(port, b'GET /bytes/1 HT')
        s = connect(port)
        s.sendall(head('GET', '/bytes/3')[:-1])
        reset(s)
    for _ in range(5):  # nothing, or no HTTP, or HTTP and then none
        reset(connect(port))
        ask(port, b'\0\1\2\3 what is this\r\n\r\n')
        ask(port, head('GET', '/bytes/50'), b'NOISE: 1\r\n\r\n')
    return 5


def read_log(path):
    names = ('in_ns', 'ready_ns', 'out_ns', 'done_ns', 'status', 'request_bytes', 'response_bytes')
    routes = {}
    cut = 0
    with open(path) as f:
        for line in f:
            *numbers, method, target = line.split()
            entry = dict(zip(names, map(int, numbers)))
            cut += not entry['done_ns']
            if entry['done_ns']:
                parts = target.split('/')
                route = f'{method} /' + '/'.join([parts[1], *('{id}' for _ in parts[2:])])
                routes.setdefault(route, []).append(entry)
    return routes, cut


def run():
    log = os.path.join(work_dir(), 'log')
    with Server([f'{O}/tests/servers/traffic', log], ready=r'listening on (\d+)',
                env={'PERFSHIM_MAX_STALL': '30000'}) as server:
        good(server.port)
        cut = bad(server.port)
        wait_until(lambda: len(os.listdir(f'/proc/{server.pid}/fd')) <= 6, 20)  # all connections are gone
        server.stop()
    truth, logged_cut = read_log(log)
    return report(server.trace), truth, (cut, logged_cut)


def compare_times(result, truth):
    for route, entries in sorted(truth.items()):
        row = route_of(result, route)
        values = sorted(e['done_ns'] - e['in_ns'] for e in entries)
        true_us, got_us = values[(len(values) - 1) // 2] / 1000, row['latency_ms']['p50'] * 1000 if row else 0
        yield (abs(got_us - true_us) <= max(SHARE * true_us, LEAST_US), f'{route}: p50 {got_us:.1f} us, truth {true_us:.1f} us')


# A preemption between our clock and the server's moves a median of few values: a route has four more chances. An error of
# ours would show each time.
agreed = set()
for attempt in range(5):
    result, truth, (cut, logged_cut) = run()
    times = list(compare_times(result, truth))
    agreed |= {text.split(':')[0] for agree, text in times if agree}
    if len(agreed) == len(truth):
        break
served = {r['route']: r['requests'] for r in result['routes'] if not r['guess']}
tap.equal(served, {route: len(rows) for route, rows in truth.items()}, 'requests by route, exactly')
tap.equal(logged_cut, cut, 'and as many broken off as were')
tap.equal(sum(r['requests'] for r in result['routes'] if r['guess']), 5, 'what is no HTTP is a guess')
for route, entries in sorted(truth.items()):
    row = route_of(result, route)
    got = [round(row[key]['mean'] * len(entries)) for key in ('request_bytes', 'response_bytes')] if row else None
    tap.equal(got, [sum(e[key] for e in entries) for key in ('request_bytes', 'response_bytes')], f'{route}: bytes, both ways')
for _, text in times:
    tap.ok(text.split(':')[0] in agreed, text)
tap.equal(result['trace']['lost_events'], 0, 'nothing was lost')
tap.done()
