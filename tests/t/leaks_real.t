#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Leaks in servers that are not ours, all at once, for some seconds: each is found with its route and place, and the same servers without
it are not accused. scripts/check-leaks does so for twenty minutes with the default budget."""

import os
import sys
import time

os.environ['SESSION_BYTES'] = '4000'  # so that seconds are enough, also where the machine is slow
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import Tap  # noqa: E402
from sessions import CASES, SESSION_BYTES, Soak  # noqa: E402

SECONDS = 8
RATE = 120
# These are judged by the program's own mappings, for which a minute is asked for, or fill up to the first collection, which takes longer.
MAPPED = ('FastAPI, objects', 'node, objects')
COLLECTED = ('node',)

tap = Tap()


def soak(cases):
    """Runs these (case, keep) together."""
    soaks = [Soak(case, keep, RATE, SECONDS, env={'PERFSHIM_MAX_STALL': '30000'}) for case, keep in cases]
    for s in soaks:
        s.begin()
    time.sleep(SECONDS / 4)
    for s in soaks:
        s.mark()
    return [s.finish() for s in soaks]


def check_leak(s):
    name, kept, injected = s.case.name, s.kept(), s.case.injected
    tap.equal(s.verdict()['verdict'], 'LEAK', f'{name}: verdict')
    tap.ok(s.site_named(), f'{name}: {s.case.route} keeps it, and its place is named', s.places())
    # What goes with the bytes of a session differs: a key and two table entries in Redis, an object around a buffer.
    tap.ok(kept[0] and (0.95 * injected <= kept[0] <= 1.1 * injected or kept[1] <= injected <= kept[2]),
           f'{name}: keeps {kept[0]:.0f} bytes of {injected}', kept)
    if s.counted and name.startswith('redis'):
        tap.near(kept[0], s.counted, 0.05, f'{name}: near its own count')


wanted = []
for case in CASES:
    why = case.needs()
    if why:
        tap.skip(case.name, why)
    elif case.name not in MAPPED:
        wanted += [(case, True)] if case.name in COLLECTED else [(case, True), (case, False)]
for s in soak(wanted):
    print('#', s.case.name, s.keep, s.verdict()['reason'], s.kept(), s.counted, s.resident, s.answered_per_s())
    if s.keep:
        check_leak(s)
    else:
        tap.equal(s.accused(), [], f'{s.case.name}, healthy: not accused')
        # The keys of the first hundred sessions do stay in Redis.
        tap.ok(s.kept()[1] <= 0.01 * SESSION_BYTES, f'{s.case.name}, healthy: {s.case.route} keeps nothing for certain', s.kept())
tap.done()
