#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Latencies, sizes and counts of every route against what the server measured of itself, request by request."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap, report, route_of, shop_log, start_shop, wrk  # noqa: E402
from servers import wrk_mix  # noqa: E402

# The server reads its clock behind its read and write calls, perfshim within them: they differ by the way from one place
# to the other, and now and then by a preemption between them.
SHARE = 0.05
LEAST_US = 20.0
MIX = [('GET', '/items/%d', None), ('GET', '/search?q=x', None), ('POST', '/orders', 'a' * 700), ('GET', '/file', None),
       ('GET', '/slow', None), ('GET', '/', None)]

tap = Tap()


def quantile(values, q):
    """Nearest rank."""
    return values[max(0, -(-len(values) * q // 100) - 1)]


def run():
    """One run under load: what wrk saw, the report, and the server's own log by route."""
    with start_shop('--slow-us', 5000, '--file-kb', 300) as shop:
        loaded = wrk(f'http://127.0.0.1:{shop.port}', seconds=5, connections=8, threads=1,
                     script=wrk_mix(MIX, delay_ms=2))
        shop.stop()
    truth = {}
    for entry in shop_log(shop.log):
        truth.setdefault(entry['route'], []).append(entry)
    return loaded, report(shop.trace), truth


def compare_times(result, truth):
    """(whether they agree, description) for each figure."""
    rows = []
    for route, entries in sorted(truth.items()):
        row = route_of(result, route)
        for key, first, last in (('latency_ms', 'in_ns', 'done_ns'), ('first_byte_ms', 'ready_ns', 'out_ns')):
            if not row or (key == 'first_byte_ms' and route != 'GET /slow'):
                continue  # in the other handlers less than the clocks' distance lies between the two
            values = sorted(e[last] - e[first] for e in entries)
            for name, true_ns in (('mean', sum(values) / len(values)), ('p50', quantile(values, 50)),
                                  ('p99', quantile(values, 99))):
                got_us, true_us = row[key][name] * 1000, true_ns / 1000
                rows.append((abs(got_us - true_us) <= max(SHARE * true_us, LEAST_US),
                             f'{route}: {key} {name} {got_us:.1f} us, truth {true_us:.1f} us'))
    return rows


# A machine that does something else meanwhile preempts threads between the two clocks: it gets two more chances. An error of
# ours would show each time.
for attempt in range(3):
    loaded, result, truth = run()
    times = compare_times(result, truth)
    if all(agree for agree, _ in times):
        break

tap.ok(loaded['requests'] > 2000 and not loaded['errors'], 'load', loaded['text'])
tap.equal({r['route']: r['requests'] for r in result['routes']}, {route: len(rows) for route, rows in truth.items()},
          'requests by route, exactly')
for agree, text in times:
    tap.ok(agree, text)
for route, entries in sorted(truth.items()):
    row = route_of(result, route)
    if not row:
        continue
    sizes = [e['bytes'] for e in entries]
    tap.equal((round(row['response_bytes']['mean'] * len(sizes)), row['response_bytes']['max']), (sum(sizes), max(sizes)),
              f'{route}: response bytes, sum and maximum')
    tap.equal(row['errors'], 0, f'{route}: no errors')
slow = route_of(result, 'GET /slow')
tap.ok(slow and slow['latency_ms']['min'] >= 5.0, 'GET /slow sleeps 5 ms, so no latency of it is below', slow)
tap.done()
