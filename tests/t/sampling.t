#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which allocations are recorded one by one when not all are: what is recorded stands for what was done, every recorded object's
free is recorded too, and the interval keeps the cost where it belongs. Whatever the mode, the counts of the ledger are exact."""

import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, dump, perfanalyze, run_shimmed, work_dir  # noqa: E402

tap = Tap()
ROUNDS = 40000
SIGMAS = 6  # once in half a billion


def probability(size, shift):
    return -math.expm1(-max(size, 1) / 2 ** shift) if shift else 1


class Objects:
    """What a trace says of the objects of the first process: recorded allocations by size, and those that nobody freed."""

    def __init__(self, events):
        self.allocated, self.live, self.shifts = {}, {}, []
        self.unknown_frees = 0
        live = {}
        first = next(e.pid for e in events if e.name == 'alloc')
        for e in events:
            if e.pid != first:
                continue
            if e.name == 'alloc':
                drawn = (e.int('size'), e.int('shift'))
                self.allocated.setdefault(drawn[0], []).append(drawn[1])
                self.shifts.append(drawn[1])
                live[e.fields['ptr']] = drawn
            elif e.name == 'free':
                self.unknown_frees += live.pop(e.fields['ptr'], None) is None
        for size, shift in live.values():
            self.live.setdefault(size, []).append(shift)


def estimate(size, shifts):
    """How many there were, and the standard deviation of that."""
    p = [probability(size, shift) for shift in shifts]
    return sum(1 / x for x in p), math.sqrt(sum((1 - x) / x / x for x in p))


def check(name, env, rounds=ROUNDS):
    ran = run_shimmed([f'{O}/tests/programs/sizes', '2', str(rounds)], env=env, timeout=120)
    tap.equal(ran.returncode, 0, f'{name}: the program ends well')
    events = dump(ran.trace)
    objects = Objects(events)
    for line in ran.stdout.splitlines():
        size, allocated, live = map(int, line.split())
        for what, truth, shifts in (('allocated', allocated, objects.allocated.get(size, [])),
                                    ('live', live, objects.live.get(size, []))):
            value, deviation = estimate(size, shifts)
            # where nothing was drawn the deviation is not known: that of the truth stands in
            slack = max(deviation, math.sqrt(truth / probability(size, max(objects.shifts)))) * SIGMAS if max(objects.shifts) else 0
            tap.ok(abs(value - truth) <= slack, f'{name}: {what} of {size} bytes', f'{value:.0f} of {truth}, +-{slack:.0f}')
    return ran, events, objects


ran, events, objects = check('exact', {'PERFSHIM_HEAP': 'exact'})
tap.equal(set(objects.shifts), {0}, 'exact: every allocation')
exact = len(objects.shifts)
ledger = [e for e in events if e.name == 'thread_end']
counts = [sum(e.int(field) for e in ledger) for field in ('alloc_count', 'alloc_bytes', 'free_count')]

for interval, shift in (('1', 0), ('4K', 12), ('5000', 13), ('64K', 16)):
    name = f'sampled:{interval}'
    ran, events, objects = check(name, {'PERFSHIM_HEAP': name})
    tap.equal(set(objects.shifts), {shift}, f'{name}: all with that interval')
    tap.equal(objects.unknown_frees, 0, f'{name}: no free of what is not recorded')
    tap.ok(shift == 0 or len(objects.shifts) < exact / 2, f'{name}: fewer are recorded', [len(objects.shifts), exact])
    ledger = [e for e in events if e.name == 'thread_end']
    told = [sum(e.int(field) for e in ledger) for field in ('alloc_count', 'alloc_bytes', 'free_count')]
    tap.ok(all(abs(a - b) <= 0.01 * a for a, b in zip(counts, told)), f'{name}: the ledger counts all', [counts, told])

# A program that does little else than allocate: over any budget.
ran, events, objects = check('auto', {'PERFSHIM_HEAP': 'auto', 'PERFSHIM_BUDGET': '1'}, rounds=100 * ROUNDS)
told = [e.int('shift') for e in events if e.name == 'sampling']
tap.ok(max(told) > 8, 'auto: the interval grows with the cost', told)
tap.ok(objects.shifts[0] == 0 and max(objects.shifts) == max(told), 'auto: it begins exactly', [objects.shifts[0], told])
tap.equal(objects.unknown_frees, 0, 'auto: no free of what is not recorded')

# One that does little: exact all the time.
ran = run_shimmed(['/bin/sh', '-c', 'sleep 0.5'], env={'PERFSHIM_HEAP': 'auto', 'PERFSHIM_BUDGET': '100'})
shifts = {e.int('shift') for e in dump(ran.trace) if e.name in ('alloc', 'sampling')}
tap.equal(shifts, {0}, 'auto: within the budget everything is recorded')

for wrong in ('sampled:', 'sampled:0', 'sampled:x', 'sometimes'):
    ran = run_shimmed(['/bin/true'], env={'PERFSHIM_HEAP': wrong})
    tap.ok(f'PERFSHIM_HEAP={wrong} makes no sense: using auto' in ran.stderr, f'PERFSHIM_HEAP={wrong} is named', ran.stderr)
tap.done()
