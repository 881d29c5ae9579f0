#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Leaks of a known size are found with their route and site; a server without one gets no LEAK."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap, perfanalyze, report, route_of, start_shop, wrk  # noqa: E402
from servers import wrk_mix  # noqa: E402

LEAK_BYTES = 1000
FINE = ('NORMAL', 'INCONCLUSIVE')  # a run of seconds may be too short to rule a leak out
MIX = [('GET', '/items/%d', None), ('POST', '/sessions', ''), ('GET', '/search?q=leak', None), ('POST', '/orders', 'order'),
       ('GET', '/file', None), ('GET', '/fdleak', None)]

tap = Tap()


def verdict(result, name):
    return next((v['verdict'] for v in result['verdicts'] if v['name'] == name), None)


def load(name, *options, mix=MIX):
    """Runs the shop with these options under about 1,500 requests a second; gives its statistics and the report."""
    with start_shop(*options) as shop:
        loaded = wrk(f'http://127.0.0.1:{shop.port}', seconds=9, connections=16, threads=1, script=wrk_mix(mix, delay_ms=10))
        tap.ok(loaded['requests'] > 2000 and not loaded['errors'], f'{name}: load', loaded['text'])
        tap.equal(shop.stop(), 0, f'{name}: the server ends well')
        statistics = {key: int(value) for key, value in re.findall(r'^(\w+) (\d+)$', shop.stdout(), re.M)}
    return shop, statistics, report(shop.trace)


def check_leak(name, *options):
    shop, statistics, result = load(name, *options)
    tap.equal(verdict(result, 'memory'), 'LEAK', f'{name}: verdict')
    tap.ok(verdict(result, 'descriptors') in FINE, f'{name}: descriptors are fine', result['verdicts'])
    for row in result['routes']:
        kept = row['kept_bytes_per_request']
        if row['route'] == 'POST /sessions':
            tap.near(kept['value'], LEAK_BYTES, 0.05, f"{name}: {row['route']} keeps {kept['value']} bytes a request")
            low, high = kept['ci95']
            tap.ok(low <= LEAK_BYTES <= high, f'{name}: the interval covers the truth', kept)
        else:
            tap.equal(kept['value'], 0, f"{name}: {row['route']} keeps nothing")
    kept_by = result['memory']['kept_by']
    tap.ok(len(kept_by) == 1 and kept_by[0]['route'] == 'POST /sessions' and 'session_create' in kept_by[0]['site'],
           f'{name}: one call stack keeps it', kept_by)
    sites = result['memory']['sites']
    top = sites[0] if sites else {'stack': [], 'live_bytes': 0, 'live_objects': 0}
    tap.ok(any('session_create' in frame for frame in top['stack'][:2]), f'{name}: the top site is session_create', top)
    tap.ok(any(re.search(r'session_create.* shop\.c:\d+$', frame) for frame in top['stack'][:2]),
           f'{name}: with its file and line', top)
    tap.equal((top['live_objects'], top['live_bytes']), (statistics['kept_sessions'], statistics['kept_bytes']),
              f'{name}: with every object that it keeps')
    growth = result['memory']['growth_mb_per_hour']['value']
    seconds = result['trace']['duration_s']
    tap.near(growth, statistics['kept_bytes'] / 1e6 / seconds * 3600, 0.25, f'{name}: slope in MB/hour')
    tap.equal(result['exit_code'], 1, f'{name}: exit code in the report')
    text = perfanalyze(shop.trace)
    tap.equal(text.returncode, 1, f'{name}: exit code of perfanalyze')
    tap.ok('LEAK' in text.stdout and 'POST /sessions' in text.stdout and 'session_create' in text.stdout,
           f'{name}: the text names verdict, route and site', text.stdout)
    mild = perfanalyze('--leak-mb', str(round(10 * growth)), shop.trace)
    tap.ok(mild.returncode == 0 and 'LEAK  ' not in mild.stdout, f'{name}: none above a threshold that is higher', mild.stdout)
    part = perfanalyze('--since', '3s', '--until', '8s', '--warm-up', '1s', shop.trace)
    tap.ok(', 5 s of them loaded' in part.stdout and 'steadily over 4' in part.stdout, f'{name}: what is judged can be told',
           part.stdout)


check_leak('leak', '--leak', LEAK_BYTES)
check_leak('leak, freed at exit', '--leak', LEAK_BYTES, '--free-at-exit')

_, _, result = load('healthy')
tap.ok(verdict(result, 'memory') in FINE, 'healthy: no leak', result['verdicts'])
tap.ok(verdict(result, 'descriptors') in FINE, 'healthy: descriptors are fine', result['verdicts'])
kept = {row['route']: row['kept_bytes_per_request']['value'] for row in result['routes']}
tap.equal(set(kept.values()), {0}, 'healthy: no route keeps anything')
tap.equal(result['memory']['kept_by'], [], 'healthy: no call stack does')
tap.equal(result['exit_code'], 0, 'healthy: exit code 0')

_, statistics, result = load('descriptor leak', '--fd-leak', 100,
                             mix=[('GET', '/fdleak', None)] * 9 + [('GET', '/items/%d', None)])
tap.ok(statistics['leaked_fds'] > 60, 'descriptor leak: the server leaked descriptors', statistics)
tap.equal(verdict(result, 'descriptors'), 'LEAK', 'descriptor leak: verdict')
tap.ok(result['descriptors']['by_kind']['device'] >= statistics['leaked_fds'],  # the server closes others of its own as it ends
       'descriptor leak: as many as there are', (statistics['leaked_fds'], result['descriptors']))
tap.equal(result['exit_code'], 1, 'descriptor leak: exit code 1')
opener = max(result['descriptors']['opened_by'], key=lambda row: row['open'])
tap.equal((opener['route'], opener['kind'], opener['open']), ('GET /fdleak', 'device', statistics['leaked_fds']),
          'descriptor leak: opened for GET /fdleak')
reason = next(v['reason'] for v in result['verdicts'] if v['name'] == 'descriptors')
tap.ok('GET /fdleak left' in reason and 'handle_fdleak shop.c:' in reason, 'descriptor leak: the verdict says so', reason)
route = route_of(result, 'GET /fdleak')
tap.ok(route and route['kept_bytes_per_request']['value'] == 0, 'descriptor leak: it keeps no memory', route)
# What was not recorded is null, never 0.
for mode, known in (('ledger', True), ('off', False)):
    with start_shop('--leak', LEAK_BYTES, env={'PERFSHIM_HEAP': mode}) as shop:
        wrk(f'http://127.0.0.1:{shop.port}', seconds=2, connections=4, threads=1, script=wrk_mix(MIX, delay_ms=5))
        shop.stop()
    result = report(shop.trace)
    row = route_of(result, 'POST /sessions')
    tap.equal(row['kept_bytes_per_request'], {'value': None, 'ci95': [None, None]}, f'{mode}: kept bytes are unknown')
    tap.equal((row['allocations_per_request'] is not None, result['memory']['live_heap_mb']['final'] is not None),
              (known, known), f'{mode}: allocations and live heap are {"known" if known else "unknown"}')
    tap.equal(result['memory']['sites'], [], f'{mode}: no sites')
    tap.equal(result['memory']['kept_by'], None, f'{mode}: what keeps memory is unknown')
tap.done()
