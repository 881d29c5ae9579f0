#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Server-sent events in quantity: a thousand streams that are all open at once, each event of which is counted, in bounded memory; and
streams that the recorded process reads."""

import asyncio
import json
import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import PERFANALYZE, ROOT, Server, Tap, have, perfanalyze, report, route_of, run_shimmed, work_dir  # noqa: E402

STREAMS, EVENTS = 1000, 12
FEW_STREAMS, FEW_EVENTS = 100, 2
NO_LOSS = {'PERFSHIM_MAX_STALL': '30000', 'PERFSHIM_HEAP': 'ledger'}
ANALYZER_MB = 4      # that more events may cost
PER_STREAM_KB = 12   # and a connection that is open
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'

tap = Tap()
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 4 * STREAMS
resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def live(**options):
    path = os.path.join(work_dir(), 'truth')
    server = Server(['/usr/bin/python3', f'{ROOT}/tests/servers/live.py', path], ready=r'listening on 127\.0\.0\.1:(\d+)', **options)
    server.truth = lambda: json.load(open(path, encoding='utf-8'))
    return server


async def listen(port, established):
    """Gives how many events came."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(b'GET /feed HTTP/1.1\r\nHost: x\r\n\r\n')
    await reader.readuntil(b'\r\n\r\n')
    established.release()
    text = await reader.readuntil(b'\r\n0\r\n\r\n')
    writer.close()
    return text.count(b'\ndata: ')


async def load(port, streams, events):
    established = asyncio.Semaphore(0)
    listeners = [asyncio.create_task(listen(port, established)) for _ in range(streams)]
    for _ in range(streams):
        await established.acquire()
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    for path in (f'/publish?count={events}', '/end'):
        writer.write(f'POST {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        await reader.readuntil(b'\r\n\r\n')
    got = await asyncio.gather(*listeners)
    writer.close()
    return got


def peak_mb(trace):
    """How much memory the analyzer takes for it, with one thread."""
    with open(os.devnull, 'w') as nowhere:
        child = subprocess.Popen([PERFANALYZE, '--json', trace], stdout=nowhere, env={**os.environ, 'PERFANALYZE_THREADS': '1'})
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
    return usage.ru_maxrss / 1024


# --- a thousand at once ---

peaks = []
for streams, events in ((FEW_STREAMS, FEW_EVENTS), (STREAMS, EVENTS)):
    name = f'{streams} streams'
    with live(env=NO_LOSS) as server:
        got = asyncio.run(asyncio.wait_for(load(server.port, streams, events), 300))
        server.stop()
    truth, told = server.truth(), report(server.trace)
    tap.equal((got, truth['sse most open']), ([events] * streams, streams), f'{name}: all were open at once, and all events came')
    tap.equal((told['trace']['lost_events'], told['exchanges']['lost_framing'], told['exchanges']['unfinished']), (0, 0, 0),
              f'{name}: nothing is lost')
    sse, = told['streams']
    tap.equal((sse['route'], sse['kind'], sse['upstream'], sse['opened'], sse['open_end']),
              ('GET /feed', 'server-sent events', False, truth['sse opened'], 0), f'{name}: each was established, and ended')
    tap.equal((sse['out']['events'], sse['out']['missing']), (truth['sse events'], 0), f'{name}: each event is counted')
    feed = route_of(told, 'GET /feed')
    tap.equal((feed['requests'], feed['response_bytes']['max']), (streams, len(HEAD)), f'{name}: each is a request that ends with its head')
    tap.equal(told['connections']['open_peak'], streams + 1, f'{name}: and its connection was open when all others were')
    peaks.append(peak_mb(server.trace))
allowed = peaks[0] + ANALYZER_MB + (STREAMS - FEW_STREAMS) * PER_STREAM_KB / 1024
tap.ok(peaks[1] <= allowed, 'the analyzer needs memory for open connections, not for events', f'{peaks}, at most {allowed}')

# --- the recorded process reads them ---

URLLIB = """import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream:
    print(sum(line.startswith(b'id: ') for line in stream))"""
HTTP_CLIENT = """import http.client, sys
host, path = sys.argv[1].removeprefix('http://').split('/', 1)
connection = http.client.HTTPConnection(host)
for _ in range(2):  # over one connection
    connection.request('GET', '/' + path)
    response, n = connection.getresponse(), 0
    while line := response.readline():
        n += line.startswith(b'id: ')
    print(n)"""
CLIENTS = {'curl': ['curl', '-sN'], 'curl with HTTP/1.0': ['curl', '-sN0'], 'urllib': ['/usr/bin/python3', '-c', URLLIB],
           'http.client': ['/usr/bin/python3', '-c', HTTP_CLIENT]}
COUNT, EVERY_MS = 25, 8

with live(shimmed=False) as server:
    for name, command in CLIENTS.items():
        if command[0] == 'curl' and not have('curl'):
            tap.skip(name, 'not installed')
            continue
        client = run_shimmed([*command, f'http://127.0.0.1:{server.port}/events?count={COUNT}&ms={EVERY_MS}'], env=NO_LOSS)
        got = client.stdout.count('id: ') if 'curl' in name else sum(map(int, client.stdout.split()))
        told = report(client.trace)
        times = 2 if name == 'http.client' else 1
        tap.equal((client.returncode, got), (0, times * COUNT), f'{name}: reads them')
        sse, = told['streams']
        tap.equal((sse['route'], sse['kind'], sse['upstream'], sse['opened'], sse['open_end']),
                  ('GET /events', 'server-sent events', True, times, 0), f'{name}: is the client of a stream')
        tap.equal((sse['in']['events'], sse['in']['missing']), (times * COUNT, 0), f'{name}: each event is counted')
        tap.ok(sse['lifetime_ms']['min'] >= 0.5 * (COUNT - 1) * EVERY_MS, f'{name}: it lived as long as the server sent', sse['lifetime_ms'])
        tap.ok(sse['in']['gap_ms']['max'] >= 0.9 * EVERY_MS, f'{name}: gaps are what the server waited', sse['in']['gap_ms'])
        asked, = (r for r in told['upstream_routes'] if r['route'] == 'GET /events')
        tap.equal(asked['requests'], times, f'{name}: which is no long request')
        tap.ok('as client' in perfanalyze(client.trace).stdout, f'{name}: the text says so')
    server.stop()
    tap.equal(server.truth()['sse events'], COUNT * 5, 'the server counts as many')
tap.done()
