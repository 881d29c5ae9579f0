#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rings grow with need, out of a pool that is bounded: nothing is lost while there is room, and what is lost is counted."""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Event, Tap, dump_lines, report, run_shimmed  # noqa: E402

BURST = f'{O}/tests/programs/burst'
BLOCK = 40

tap = Tap()


def burst(name, threads, pairs, env):
    """Runs it; gives the number of its allocations in the trace, the number lost, and how many the ledgers counted."""
    run = run_shimmed([BURST, str(threads), str(pairs)], env=dict({'PERFSHIM_STACK_DEPTH': '0'}, **env))
    tap.equal((run.returncode, run.stdout), (0, f'{threads} threads\n'), f'{name}: the program is none the worse')
    lines = dump_lines(run.trace)
    seen = collections.Counter(line.split(' ', 3)[2] for line in lines)
    events = [Event(line) for line in lines if ' alloc ' not in line and ' free ' not in line]
    lost = sum(e.int('lost_events') for e in events if e.name == 'thread_end')
    counted = sum(e.int('alloc_count') + e.int('free_count') for e in events if e.name == 'thread_end')
    tap.equal(seen['alloc'] + seen['free'] + lost, counted + lost_besides(events, lost),
              f'{name}: seen and lost are all that happened')
    return seen, lost, run


def lost_besides(events, lost):
    """Lost events that were neither allocations nor frees cannot be told apart: only known when nothing was lost."""
    return 0 if not lost else max(0, sum(e.int('events') for e in events if e.name == 'lost') - lost)


for ring in ('64K', '512K', '16M'):
    seen, lost, _ = burst(f'rings up to {ring}', 4, 50000, {'PERFSHIM_RING': ring, 'PERFSHIM_MAX_STALL': '20000'})
    tap.equal(lost, 0, f'rings up to {ring}: nothing is lost')
    tap.ok(seen['alloc'] >= 4 * 50000, f'rings up to {ring}: every allocation is in the trace', seen)

# 256 blocks of 16 KiB, of which 64 are there for first rings
seen, lost, run = burst('a pool of 4M', 60, 2000, {'PERFSHIM_RINGS': '4M', 'PERFSHIM_MAX_STALL': '20000'})
tap.equal(lost, 0, 'a pool of 4M: 60 threads share it without a loss')
tap.equal(report(run.trace)['trace']['lost_events'], 0, 'and the report says so')
tap.done()
