#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Latencies beside those that middleware in the server logs: uvicorn and node, counts exactly and p50 and p99 within 5 %."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Server, Tap, free_port, have, report, route_of, work_dir, wrk  # noqa: E402
from servers import wrk_mix  # noqa: E402

SERVERS = os.path.join(ROOT, 'tests', 'servers')
PATHS = ['/wait/20', '/spin/10']
# What middleware cannot see: the way from the read through the parser to it, and from it to the write, and behind that.
SHARE = 0.05
UNSEEN_US = 300.0

tap = Tap()


def quantile(values, q):
    """Nearest rank."""
    return sorted(values)[max(0, -(-len(values) * q // 100) - 1)]


def start_uvicorn(times):
    port = free_port()
    command = ['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', SERVERS, 'timed:app', '--port', str(port), '--log-level',
               'warning', '--no-access-log']
    return Server(command, port=port, env={'TIMES': times, 'PYTHONDONTWRITEBYTECODE': '1', 'PERFSHIM_MAX_STALL': '30000'})


def start_node(times):
    return Server([have('node'), os.path.join(SERVERS, 'timed.js')], ready=r'listening on (\d+)',
                  env={'TIMES': times, 'PERFSHIM_MAX_STALL': '30000'})


def run(start, path):
    """One route under load, a connection of which the loop's turns cannot disturb another's times: the report's row, and the
    server's own times of its requests."""
    times = os.path.join(work_dir(), 'times')
    with start(times) as server:
        loaded = wrk(f'http://127.0.0.1:{server.port}', seconds=3, connections=1, threads=1,
                     script=wrk_mix([('GET', path, None)], delay_ms=1))
        server.stop()
    with open(times) as f:
        own = [int(line.split()[2]) / 1e3 for line in f]
    result = report(server.trace)
    return loaded, result['routes'], own


def compare(routes, own):
    """(whether they agree, description) for each figure."""
    row = routes[0]['latency_ms'] if len(routes) == 1 else None
    for name, q in (('p50', 50), ('p99', 99)):
        got_us, true_us = row[name] * 1000 if row else 0, quantile(own, q)
        yield abs(got_us - true_us) <= SHARE * true_us + UNSEEN_US, f'{name} {got_us:.0f} us, by its own log {true_us:.0f} us'


for name, start in (('uvicorn', start_uvicorn), ('node', start_node)):
    if name == 'node' and not have('node'):
        tap.skip(name, 'node is not installed')
        continue
    for path in PATHS:
        # A machine that does something else meanwhile preempts the server between two clocks: it gets two more chances.
        for attempt in range(3):
            loaded, routes, own = run(start, path)
            rows = list(compare(routes, own))
            if all(agree for agree, _ in rows):
                break
        tap.ok(not loaded['errors'] and len(own) >= 20, f'{name} {path}: load', loaded['text'])
        # wrk goes away in the midst of a request: its answer may still be logged, or be written without being logged.
        count = sum(r['requests'] for r in routes)
        tap.ok(abs(count - len(own)) <= 1, f'{name} {path}: {len(own)} requests by its own log', count)
        for agree, text in rows:
            tap.ok(agree, f'{name} {path}: {text}')
tap.done()
