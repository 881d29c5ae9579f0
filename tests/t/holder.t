#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What open connections of each kind hold, how long they took to begin, how many came and went, and when what they had is given back:
against a server that knows all of it itself."""

import os
import random
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, SHIM, Server, Tap, report, wait_until  # noqa: E402

PATHS = {'http': ('/idle', b'ok\n'), 'events': ('/events', b'\n\n'), 'websocket': ('/ws', b'\x81\x01x')}
NAMES = {'idle': 'http', 'events': 'events', 'websocket': 'websocket'}
PEAK = 200
ROUNDS = 12

tap = Tap()


INHERIT = ['sh', '-c', f'LD_PRELOAD={SHIM} exec "$0" "$@" 7</dev/null 8</dev/null 9<&8']


def start(*options, prefix=()):
    return Server([f'{O}/tests/servers/holder', *map(str, options)], ready=r'listening on (\d+)',
                  env={'PERFSHIM_MAX_STALL': '30000', **({'LD_PRELOAD': None} if prefix else {})}, prefix=prefix)


def connect(server, kind, pause_s=0):
    path, end = PATHS[kind]
    s = socket.create_connection(('127.0.0.1', server.port), 60)
    if pause_s:
        time.sleep(pause_s)
    upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\n' if kind == 'websocket' else ''
    s.sendall(f'GET {path} HTTP/1.1\r\nHost: test\r\n{upgrade}\r\n'.encode())
    got = b''
    while not got.endswith(end):
        got += s.recv(1000) or sys.exit('# the server has closed a connection')
    return s


def descriptors(server):
    return len(os.listdir(f'/proc/{server.pid}/fd'))


def stop(server, name):
    """What it says itself: by its first word."""
    tap.equal(server.stop(), 0, f'{name}: the server ends well')
    said = {}
    for line in server.stdout().splitlines():
        word, *rest = line.split()
        said.setdefault(word, []).append(rest)
    return said


# The number of each kind goes up and down by itself; all at their most once.
draw = random.Random(3)
opened = dict.fromkeys(PATHS, 0)
with start(0) as server:
    before = descriptors(server)
    connections = {kind: [] for kind in PATHS}
    began_s = time.monotonic()
    for i in range(ROUNDS):
        for kind, own in connections.items():
            size = PEAK if i == ROUNDS // 2 else draw.randrange(PEAK)
            while len(own) > size:
                own.pop().close()
            while len(own) < size:
                own.append(connect(server, kind, 0.002 if len(own) % 50 == 0 else 0))
                opened[kind] += 1
        wait_until(lambda: descriptors(server) == before + sum(map(len, connections.values())), 20)
        time.sleep(0.02)
    seconds = time.monotonic() - began_s
    for own in connections.values():
        for s in own:
            s.close()
    wait_until(lambda: descriptors(server) == before, 20)
    time.sleep(0.2)
    truth = stop(server, 'kinds')
result = report(server.trace)
rows = {row['kind']: row for row in result['connections']['by_kind']}
held = dict(zip(PATHS, map(int, truth['held'][0])))
began = {kind: sorted(int(ns) for name, ns in truth['began'] if NAMES[name] == kind) for kind in PATHS}
for kind in PATHS:
    row = rows.get(kind)
    counts = row and [row[key] for key in ('opened', 'closed', 'open_end', 'open_peak')]
    tap.ok(counts in ([opened[kind], opened[kind], 0, PEAK], [opened[kind], opened[kind], 0, PEAK + (kind == 'http')]),
           f'{kind}: how many came and went', counts)  # what becomes a stream begins as HTTP
    tap.near(row and row['bytes_per_open']['value'], held[kind], 0.05, f'{kind}: what an open one holds')
    got_ms, true_ms = row['establish_ms'], {'mean': statistics.fmean(began[kind]) / 1e6, 'max': began[kind][-1] / 1e6}
    for key, true in true_ms.items():
        tap.ok(abs(got_ms[key] - true) <= 0.05 * true + 0.05, f'{kind}: {key} time to the first read: {got_ms[key]:.4f} ms, '
               f'truth {true:.4f} ms')
rate, true_rate = result['connections']['opened_per_s'], sum(opened.values()) / seconds
tap.near(rate, true_rate, 0.1, f'opened {rate:.1f} a second, by the client {true_rate:.1f}')

# What they had is given back later: by the loop itself, or by a thread beside it.
for linger_ms, how in ((500, []), (1500, ['timer'])):
    name = f"{linger_ms} ms, {'by a thread' if how else 'by the loop'}"
    with start(linger_ms, *how, prefix=INHERIT) as server:
        before = descriptors(server)
        many = [connect(server, kind) for kind in PATHS for _ in range(10)]
        for s in many:
            s.close()
        wait_until(lambda: descriptors(server) == before, 20)
        time.sleep(1.3 if how else 2.5)  # the verdict is about a second before the end, and gauges are a second apart
        truth = stop(server, name)
    result = report(server.trace)
    verdict = next(v for v in result['verdicts'] if v['name'] == 'descriptors')
    said = [result['descriptors'][key] for key in ('final', 'seen')]
    tap.equal((said, verdict['final']), ([before] * 2, before), f'{name}: open descriptors, with inherited ones, are those of /proc')
    cleanup = result['connections']['cleanup']
    for what, true_ns in zip(('live_heap_bytes', 'descriptors'), map(int, truth['back'][0])):
        got = cleanup and cleanup[what]['back_after_ms']
        tap.ok(got and abs(got - true_ns / 1e6) <= 20 + 0.02 * linger_ms,
               f'{name}: {what} back after {got} ms, truth {true_ns / 1e6:.3f} ms', cleanup)
tap.done()
