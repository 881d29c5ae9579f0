#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the load did: requests in flight against the client's own connections and times (Little's law), and latency by size against
a server whose times are known powers of it."""

import http.client
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, perfanalyze, report, route_of, start_shop  # noqa: E402

PATIENT = {'PERFSHIM_MAX_STALL': '30000'}  # a busy machine loses nothing
CLIENTS = 6
ROUNDS = 60
SLOW_US = 4000

tap = Tap()


# --- concurrency ---

def closed_loop(port):
    """CLIENTS connections, each of which asks for the next thing when it was answered. Gives when each request was sent and
    answered, in s."""
    times = [[] for _ in range(CLIENTS)]

    def client(mine):
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
        for _ in range(ROUNDS):
            begin = time.monotonic()
            connection.request('GET', '/slow')
            connection.getresponse().read()
            mine.append((begin, time.monotonic()))
        connection.close()
    threads = [threading.Thread(target=client, args=(mine,)) for mine in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [t for mine in times for t in mine]


def in_flight(times):
    """Mean over the time from the first request to the last answer."""
    return sum(b - a for a, b in times) / (max(b for _, b in times) - min(a for a, _ in times))


with start_shop('--slow-us', SLOW_US, '--threads', CLIENTS, env=PATIENT) as shop:
    times = closed_loop(shop.port)
    shop.stop()
result = report(shop.trace)
load = result['concurrency'] or {}
row = route_of(result, 'GET /slow') or {}
tap.equal((load.get('answered'), row.get('requests')), (len(times), len(times)), 'each request was seen in flight, and answered')
tap.ok(2 <= load.get('peak', 0) <= CLIENTS, 'there were never more in flight than the client has connections', load.get('peak'))
little = load['answered'] / load['seconds'] * row['latency_ms']['mean'] / 1000
tap.near(load['mean'], little, 0.01, "Little's law: the mean number in flight is rate times mean latency")
tap.ok(load['mean'] <= in_flight(times) * 1.05 and load['mean'] <= CLIENTS,
       'it is no more than the client saw, who counts the way there, too', (load['mean'], in_flight(times)))
tap.ok(load['mean'] >= len(times) * SLOW_US / 1e6 / (load['seconds'] * 1.01),
       'and no less than the time that the server slept', (load['mean'], load['seconds']))
levels = load['levels']
tap.equal([(level['from'], level['to']) for level in levels if level['from'] <= 8],
          [(1, 1), (2, 2), (3, 4), (5, 8)][:len(levels)], 'levels are powers of two')
tap.equal(sum(level['requests'] for level in levels), len(times), 'each request began at one level')
tap.near(sum(level['rps'] * level['seconds'] for level in levels if level['rps']), len(times), 0.001,
         'and was answered at one')
tap.ok(sum(level['seconds'] for level in levels) <= load['seconds'] * 1.001, 'levels share the time', levels)
tap.ok(all(level['p50_ms'] >= SLOW_US / 1000 for level in levels if level['requests']), 'latency by level', levels)
points = load['over_time']
sizes = {key: len(points[key]) for key in ('in_flight', 'in_flight_peak', 'rps', 'connections', 'threads')}
tap.ok(len(set(sizes.values())) == 1 and 2 <= sizes['rps'] <= 50, 'over time', sizes)
tap.equal(max(points['in_flight_peak']), load['peak'], 'the peak is among the peaks over time')
tap.equal(max(points['connections']), CLIENTS, 'connections over time')
whole = load['seconds'] - points['step_s'] * (sizes['rps'] - 1)
area = sum(points['in_flight'][:-1]) * points['step_s'] + points['in_flight'][-1] * whole
tap.near(area / load['seconds'], load['mean'], 0.02, 'the mean over time is the mean')
text = perfanalyze(shop.trace).stdout
section = re.search(r'^CONCURRENCY: IN FLIGHT.*?(?=\n\n)', text, re.M | re.S)
tap.ok(section and max(map(len, section[0].splitlines())) <= 80 and section[0].isascii() and
       re.search(r'^  in flight    \[[ .:=+*#%@-]{2,50}\] [\d.]+$', section[0], re.M), 'the report has a section of them', text[:4000])

# --- size scaling ---

SIZES = [768 * 2 ** k for k in range(7)]  # to 49152
EACH = 24
ROUTES = [('POST /none', 'request', -0.4, 0.4, False), ('POST /linear', 'request', 0.5, 1.4, None),
          ('POST /square', 'request', 1.3, 2.5, True), ('GET /made/none/{id}', 'response', -0.4, 0.4, False),
          ('GET /made/linear/{id}', 'response', 0.5, 1.4, None)]


def ask(connection, method, path, body=None):
    connection.request(method, path, body)
    connection.getresponse().read()


def measure_sizes():
    with Server([f'{O}/tests/servers/sizes', '0'], ready=r'listening on 127\.0\.0\.1:(\d+)', env=PATIENT) as server:
        connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)
        for _ in range(EACH):
            for size in SIZES:
                for what in ('none', 'linear', 'square'):
                    ask(connection, 'POST', f'/{what}', 'b' * size)
                ask(connection, 'GET', f'/made/none/{size}')
                ask(connection, 'GET', f'/made/linear/{size}')
            ask(connection, 'GET', '/about/us')
        connection.close()
        server.stop()
    return server.trace


def check_sizes(result):
    """[(whether, what, detail)]"""
    checks = []
    for route, axis, low, high, worse in ROUTES:
        fit = ((route_of(result, route) or {}).get('scaling') or {}).get(axis) or {}
        exponent = fit.get('exponent') or {'value': -99, 'ci95': [0, 0]}
        checks.append((low <= exponent['value'] <= high and exponent['ci95'][0] <= exponent['value'] <= exponent['ci95'][1],
                       f'{route}: the exponent is near that of the server', fit))
        if worse is not None:
            checks.append((fit.get('worse_than_linear') == worse, f"{route}: {'is' if worse else 'is not'} worse than linear", fit))
        counts = [s['requests'] for s in fit.get('sizes', ())]
        checks.append((counts == [EACH] * len(SIZES), f'{route}: requests by size', counts))
    return checks


# A machine that does something else meanwhile takes the processor away from long requests rather than from short ones: it gets two
# more chances. An error of ours would show each time.
for attempt in range(3):
    trace = measure_sizes()
    result = report(trace)
    checks = check_sizes(result)
    if all(good for good, _, _ in checks):
        break
for good, what, detail in checks:
    tap.ok(good, what, detail)
tap.ok('scaling' not in (route_of(result, 'GET /about/us') or {'scaling': 0}), 'nothing is said of sizes that never differ')
text = perfanalyze(trace).stdout
section = re.search(r'^SIZE SCALING.*?(?=\n\n)', text, re.M | re.S)
tap.ok(section and re.search(r'^POST /square .*\n.*WORSE THAN LINEAR', section[0], re.M) and 'none' not in section[0] and
       max(map(len, section[0].splitlines())) <= 80, 'the report shows those whose size matters, the worst first',
       section and section[0])
tap.done()
