#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is not memory leaks too, and memory that open connections hold is no leak: a server that hoards descriptors of each
kind, children, mappings and connections by route is convicted of each with its place, and one whose connections hold memory is not."""

import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, perfanalyze, report  # noqa: E402

HELD = 60000
ANSWER = len(b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n')
FINE = ('NORMAL', 'INCONCLUSIVE')  # a run of seconds may be too short to rule a leak out
NAMES = ['memory', 'descriptors', 'threads', 'connections', 'mappings', 'children']

tap = Tap()


def start(*options):
    return Server([f'{O}/tests/servers/hoarder', *map(str, options)], ready=r'listening on (\d+)',
                  env={'PERFSHIM_MAX_STALL': '30000'})


def connect(server):
    return socket.create_connection(('127.0.0.1', server.port), 60)


def ask(connection, path):
    connection.sendall(f'GET {path} HTTP/1.1\r\nHost: test\r\n\r\n'.encode())
    left = ANSWER
    while left:
        left -= len(connection.recv(left)) or sys.exit('# the server has closed a connection')


def stop(server, name):
    tap.equal(server.stop(), 0, f'{name}: the server ends well')
    result = report(server.trace)
    tap.equal([v['name'] for v in result['verdicts']], NAMES, f'{name}: a verdict on each quantity')
    return result, {v['name']: v for v in result['verdicts']}


# All leaks at once.
LEAKS = {'pipe': 2, 'eventfd': 1, 'timerfd': 1, 'epoll': 1, 'memfd': 1, 'file': 1, 'unix': 1}
with start(0, 'deaf') as server:
    steady = connect(server)
    for i in range(120):
        with connect(server) as passing:
            ask(passing, '/nothing')
        for path in [*LEAKS, 'zombie', 'map']:
            ask(steady, f'/{path}')
        time.sleep(0.025)  # the resident memory is looked at once a second
    time.sleep(0.6)
    result, verdicts = stop(server, 'leaks')
    said = dict(re.findall(r'^/(\w+) (\d+)$', server.stdout(), re.M))
tap.equal(set(said[path] for path in [*LEAKS, 'zombie', 'map']), {'120'}, 'leaks: each was asked for 120 times')
for name in ('descriptors', 'connections', 'mappings', 'children'):
    tap.equal(verdicts[name]['verdict'], 'LEAK', f'leaks: {name}')
tap.ok(verdicts['memory']['verdict'] != 'NORMAL', 'leaks: memory is not fine', verdicts['memory'])
tap.ok(verdicts['threads']['verdict'] in FINE, 'leaks: threads are', verdicts['threads'])
tap.equal(result['exit_code'], 1, 'leaks: exit code 1')
opened = {(row['route'], row['kind']): row for row in result['descriptors']['opened_by']}
for kind, each in LEAKS.items():
    row = opened.get((f'GET /{kind}', kind))
    tap.equal(row and (row['open'], row['frames'][0]['function']), (120 * each, f'leak_{kind}'), f'leaks: {kind}, with its place')
source = verdicts['descriptors']['from'][0]
tap.ok(source['kind'] == 'pipe' and 'leak_pipe' in source['site'] and 0.2 < source['share'] <= 1, 'leaks: most are pipes', source)
tap.ok(110 <= verdicts['children']['final'] <= 120 and 'waitpid' in verdicts['children']['reason'], 'leaks: children',
       verdicts['children'])
tap.ok('peers have gone' in verdicts['connections']['reason'] and verdicts['connections']['final'] >= 110,
       'leaks: connections are deserted', verdicts['connections'])
rate = verdicts['mappings']['bytes_per_request']['value']
tap.ok(rate and 0.5 < rate * 10 / 65536 < 2, 'leaks: what is mapped, by the request', verdicts['mappings'])
for name in ('memory', 'mappings'):
    source = (verdicts[name]['from'] or [{'site': '', 'share': 0}])[0]
    tap.ok('make_map' in source['site'] and source['share'] > 0.99, f'leaks: {name}: from where it maps', source)
text = perfanalyze(server.trace)
tap.equal(text.returncode, 1, 'leaks: exit code of the text')
tap.ok(all(len(line) <= 80 for line in text.stdout.splitlines()), 'leaks: the text keeps to 80 columns', text.stdout)
tap.ok(re.search(r'LEAK +children ', text.stdout) and 'GROWTH OVER TIME' in text.stdout and 'fitted line: ' in text.stdout,
       'leaks: it shows them, and growth over time', text.stdout)

# The same without leaks, but each connection holds memory while it is open, and there are more and more.
with start(HELD) as server:
    steady, others = connect(server), []
    for i in range(120):
        if i % 12 < 4:  # in bursts, while requests go on evenly
            others += [connect(server) for _ in range(3)]
        for path in ('child', 'unmap', 'nothing'):
            ask(steady, f'/{path}')
        if others:
            ask(others[i % len(others)], '/nothing')
        time.sleep(0.02)
    result, verdicts = stop(server, 'connections')
memory = verdicts['memory']
tap.equal(memory['verdict'], 'PER-CONNECTION', 'connections: the heap grows because of them')
each = memory['bytes_per_connection']['value']
tap.ok(each and 0.9 < each / (HELD + 4096) < 1.1, 'connections: what each holds', memory)
tap.ok('more connections' in memory['reason'], 'connections: the reason says so', memory)
for name in ('descriptors', 'threads', 'mappings', 'children'):
    tap.ok(verdicts[name]['verdict'] in FINE, f'connections: {name} are fine', verdicts[name])
tap.ok(verdicts['connections']['verdict'] in ('MONITOR', *FINE), 'connections: they may be meant so', verdicts['connections'])
tap.equal(result['exit_code'], 0, 'connections: exit code 0')
inconclusive = [v for v in result['verdicts'] if v['verdict'] == 'INCONCLUSIVE']
tap.ok(all(v['minutes_needed'] >= 1 and 'min longer' in v['reason'] for v in inconclusive),
       'connections: what is unclear says for how long', inconclusive)
tap.equal(perfanalyze('--strict', server.trace).returncode, 1 if inconclusive else 0, '--strict: what is unclear fails')
for spelling in ('--warm-up', '--warmup'):
    part = perfanalyze(spelling, '0.4s', server.trace)
    told = re.search(r'warm-up of 0\.\d+ s \(as told\)', ' '.join(part.stdout.split()))
    tap.ok(part.returncode == 0 and told, f'{spelling} is taken', part.stdout)
tap.done()
