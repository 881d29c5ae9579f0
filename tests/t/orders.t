#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whose an upstream call, a wait and a piece of memory are, against event loops that keep each order that such a loop
may keep (tests/servers/hub.c), with many requests in flight over a pool of connections. What is not certain must be
nobody's, not somebody's."""

import asyncio
import collections
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, perfanalyze  # noqa: E402

CLIENTS, EACH = 8, 40
STEP_BYTES = 1000
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
# Of what is booked to single requests. Not all is proven: that a loop has worked for the one that it answers, unless it
# is at others too, is taken for granted, and that it puts nothing off, until it is seen to (ARCHITECTURE.md, "Whose
# memory").
MEMORY_WRONG, NAPS_WRONG = 0.05, 0.1
# So much of it is known in loops that are done with each descriptor before the next.
MEMORY_KNOWN = 0.3

tap = Tap()


async def upstream(reader, writer):
    """Answers in a time at random."""
    try:
        while True:
            await reader.readuntil(b'\r\n\r\n')
            await asyncio.sleep(random.choice((0, 0, 0.0005, 0.002, 0.004)))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        writer.close()


async def client(port, order, first):
    """Its requests, one after another."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    for number in range(first, first + EACH):
        route = random.choice(('fat', 'thin', 'nap'))
        writer.write(f'GET /{order}/{route}/{number} HTTP/1.1\r\nHost: h\r\n\r\n'.encode())
        await reader.readuntil(ANSWER)
        if random.random() < 0.3:
            await asyncio.sleep(0.003 * random.random())
    writer.close()


async def load():
    """The server, ended, and its orders."""
    back = await asyncio.start_server(upstream, '127.0.0.1', 0)
    loop = asyncio.get_running_loop()
    command = [f'{O}/tests/servers/hub', str(back.sockets[0].getsockname()[1])]
    hub = await loop.run_in_executor(None, lambda: Server(command, ready='listening\n'))
    ports = re.findall(r'^(\w+) (\d+)$', hub.stdout(), re.M)
    await asyncio.gather(*(client(int(port), order, k * EACH) for order, port in ports for k in range(CLIENTS)))
    await loop.run_in_executor(None, hub.stop)
    back.close()
    return hub, [order for order, _ in ports]


def exchanges(trace):
    """By order: upstream exchanges as (number, link, parent's number); inbound ones as (route, calls, fields)."""
    calls, served, path, links = collections.defaultdict(list), collections.defaultdict(list), {}, []
    for line in perfanalyze('dump', '--exchanges', trace).stdout.splitlines():
        fields = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)}
        if line.split()[2] == 'request':
            path[fields['exchange']] = fields['path'].removeprefix('/up').split('/')[1:]
        elif fields['side'] == 'upstream':
            links.append((fields['exchange'], fields['link'], fields['parent']))
        else:
            order, route, number = path[fields['exchange']]
            served[order].append((route, 1 + int(number) % 3, fields))
    for exchange, link, parent in links:
        order, number = path[exchange]
        calls[order].append((number, link, path[parent][-1] if parent in path else None))
    return calls, served


random.seed(1)
hub, orders = asyncio.run(load())
calls, served = exchanges(hub.trace)
for order in orders:
    links = collections.Counter(link for _, link, _ in calls[order])
    tap.equal((len(served[order]), len(calls[order])), (CLIENTS * EACH, sum(1 + n % 3 for n in range(CLIENTS * EACH))),
              f'{order}: each request and each call are there')
    wrong = [call for call in calls[order] if call[1] == 'linked' and call[0] != call[2]]
    tap.ok(not wrong, f'{order}: no link is wrong: {dict(links)}', wrong[:5])
    known = excess = naps_wrong = true = 0
    for route, n, fields in served[order]:
        own, due = float(fields['alloc_bytes']) - float(fields['shared_bytes']), (1 + n) * STEP_BYTES * (route == 'fat')
        slept = sum(map(int, re.findall(r'sleep:(\d+)', fields['split_ns'])))
        known, excess, true = known + own, excess + max(0, own - due), true + due
        naps_wrong += slept > 0 and route != 'nap'
    tap.ok(excess <= MEMORY_WRONG * true,
           f'{order}: memory is not booked to another request: {known:.0f} of {true} bytes known', excess)
    tap.ok(naps_wrong <= NAPS_WRONG * len(served[order]), f'{order}: nor are waits', naps_wrong)
    if order in ('each', 'room'):
        tap.ok(known - excess >= MEMORY_KNOWN * true, f'{order}: and much is known', (known, excess, true))
    if order == 'each':
        tap.ok(links['linked'] > 0, f'{order}: some are linked', links)
tap.done()
