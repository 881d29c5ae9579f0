#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Latencies beside those that the server logs: middleware in uvicorn and in node, and a Rust program around its own reads and writes.
Counts exactly, p50 and p99 within 5 % or what lies outside the server's clocks."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Server, Tap, free_port, have, report, route_of, work_dir, wrk  # noqa: E402
from servers import wrk_mix  # noqa: E402
from sessions import rust_server  # noqa: E402

PROGRAMS = os.path.join(ROOT, 'tests', 'servers')
SHARE = 0.05
# What middleware cannot see: the way from the read through the parser to it, and from it to the write, and behind that.
MIDDLEWARE_US = 300.0
# What lies between the shim's clock and that of a program which looks at its own right beside the call.
BESIDE_US = 20.0

tap = Tap()


def quantile(values, q):
    """Nearest rank."""
    return sorted(values)[max(0, -(-len(values) * q // 100) - 1)]


def start_uvicorn(times):
    port = free_port()
    command = ['/usr/bin/python3', '-m', 'uvicorn', '--app-dir', PROGRAMS, 'timed:app', '--port', str(port), '--log-level',
               'warning', '--no-access-log']
    return Server(command, port=port, env={'TIMES': times, 'PYTHONDONTWRITEBYTECODE': '1', 'PERFSHIM_MAX_STALL': '30000'})


def start_node(times):
    return Server([have('node'), os.path.join(PROGRAMS, 'timed.js')], ready=r'listening on (\d+)',
                  env={'TIMES': times, 'PERFSHIM_MAX_STALL': '30000'})


def start_rust(times):
    return Server([rust_server()], ready=r'listening on (\d+)', env={'TIMES': times, 'PERFSHIM_MAX_STALL': '30000'})


# name, start, why not, paths, seconds for each, what lies outside of the server's clocks, and how many requests may be in one count
# alone: wrk goes away in the midst of one, and middleware logs an answer that is never written, or does not log one that is.
SERVERS = [
    ('uvicorn', start_uvicorn, None, ['/wait/20', '/spin/10'], 4, MIDDLEWARE_US, 1),
    ('node', start_node, None if have('node') else 'node is not installed', ['/wait/20', '/spin/10'], 4, MIDDLEWARE_US, 1),
    ('Rust', start_rust, None if rust_server() else 'rustc is not installed', ['/wait/2', '/spin/1', '/items/1'], 2, BESIDE_US, 0),
]


def run(start, path, seconds):
    """One route under load, a connection of which the loop's turns cannot disturb another's times: the report's row, and the
    server's own times of its requests."""
    times = os.path.join(work_dir(), 'times')
    with start(times) as server:
        loaded = wrk(f'http://127.0.0.1:{server.port}', seconds=seconds, connections=1, threads=1,
                     script=wrk_mix([('GET', path, None)], delay_ms=1))
        server.stop()
    with open(times) as f:
        own = [int(line.split()[2]) / 1e3 for line in f]
    result = report(server.trace)
    return loaded, result['routes'], own


def compare(routes, own, unseen_us):
    """(whether they agree, description) for each figure."""
    row = routes[0]['latency_ms'] if len(routes) == 1 else None
    for name, q in (('p50', 50), ('p99', 99)):
        got_us, true_us = row[name] * 1000 if row else 0, quantile(own, q)
        yield abs(got_us - true_us) <= SHARE * true_us + unseen_us, f'{name} {got_us:.0f} us, by its own log {true_us:.0f} us'


for name, start, why_not, paths, seconds, unseen_us, apart in SERVERS:
    if why_not:
        tap.skip(name, why_not)
        continue
    for path in paths:
        # A machine that does something else meanwhile preempts the server between two clocks: it gets two more chances.
        for attempt in range(3):
            loaded, routes, own = run(start, path, seconds)
            rows = list(compare(routes, own, unseen_us))
            if all(agree for agree, _ in rows):
                break
        tap.ok(not loaded['errors'] and len(own) >= 20, f'{name} {path}: load', loaded['text'])
        count = sum(r['requests'] for r in routes)
        tap.ok(abs(count - len(own)) <= apart, f'{name} {path}: {len(own)} requests by its own log', count)
        for agree, text in rows:
            tap.ok(agree, f'{name} {path}: {text}')
tap.done()
