#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Leaks in servers that are not ours, all at once, for some seconds: each is found with its route and place, and the same servers
without it are not accused. scripts/check-leaks does so for twenty minutes with the default budget."""

import os
import sys
import time

os.environ['SESSION_BYTES'] = '20000'  # so that seconds are enough, also where the machine is slow
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap  # noqa: E402
from sessions import CASES, SESSION_BYTES, Soak  # noqa: E402

SECONDS = 8
RATE = 100
ATTEMPTS = 2  # a machine that does something else meanwhile may stop a server for seconds

tap = Tap()


def soak(cases):
    """Runs these (case, keep) together."""
    soaks = [Soak(case, keep, RATE, SECONDS, env={'PERFSHIM_MAX_STALL': '30000'}) for case, keep in cases]
    for step, pause_s in ((Soak.begin, SECONDS / 4), (Soak.mark, 0)):
        for s in soaks:
            step(s)
        time.sleep(pause_s)
    return [s.finish() for s in soaks]


def check_leak(s):
    """[(condition, name, detail)]"""
    name, (value, low, high), injected = s.case.name, s.kept(), s.case.injected
    # Of node's, seconds can only say that it is one, or garbage.
    found = {'MONITOR', 'LEAK'} if name == 'node' else {'LEAK'}
    yield s.verdict()['verdict'] in found and s.case.route in s.verdict()['reason'], f'{name}: found', s.verdict()
    yield s.site_named(), f'{name}: {s.case.route} keeps it, and its place is named', s.places()
    # What else a session takes differs: a key and entries of tables in Redis, an object around a buffer.
    near = value and (0.95 * injected <= value <= 1.1 * injected or low <= injected <= high)
    yield near, f'{name}: it keeps {injected} bytes', (value, low, high)
    if s.counted and name.startswith('redis'):
        yield abs(value - s.counted) <= 0.05 * s.counted, f'{name}: within 5 % of its own count', (value, s.counted)


def check_healthy(s):
    name, kept = s.case.name, s.kept()
    yield not s.accused(), f'{name}, healthy: not accused', s.result['verdicts']
    # The keys of the first hundred sessions do stay in Redis.
    if name == 'node':
        return  # it looks as if it did, until all is collected for the first time
    yield kept[1] is not None and kept[1] <= 0.01 * SESSION_BYTES, f'{name}, healthy: {s.case.route} keeps nothing', kept


def checks(s):
    return list(check_leak(s) if s.keep else check_healthy(s))


wanted = []
for case in CASES:
    why = case.needs()
    if why:
        tap.skip(case.name, why)
    elif case.injected:  # not those of small objects: they take minutes
        wanted += [(case, True), (case, False)]
results = {}
for attempt in range(ATTEMPTS):
    results.update({(s.case, s.keep): checks(s) for s in soak(wanted)})
    wanted = [key for key in wanted if not all(row[0] for row in results[key])]
    if not wanted:
        break
for rows in results.values():
    for row in rows:
        tap.ok(*row)
tap.done()
