#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Threads and children that are waited for by calls that pass no hook (RTLD_DEEPBIND, a namespace of their own) are no leak; those
for which nobody waits are, and the report says who made them. A trace from before that was told says that it does not tell."""

import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, ROOT, Tap, report, run, run_shimmed, work_dir  # noqa: E402

TURNS = 200
SOON = 150  # waits that the recorder must have found out by the end: it looks once a second
RUNS = [('threads', way) for way in ('never', 'deepbind', 'dlmopen')] + [('children', way) for way in ('never', 'seen', 'deepbind')]

tap = Tap()
library = os.path.join(work_dir(), 'unseen_waits.so')
run(['gcc', '-D_GNU_SOURCE', '-O1', '-fPIC', '-shared', os.path.join(ROOT, 'tests', 'programs', 'unseen_waits.c'), '-o', library])


def waits(what, way, turns):
    return run_shimmed([f'{O}/tests/programs/unseen_waits', what, way, library, str(turns)], env={'PERFSHIM_MAX_STALL': '30000'})


def made_by(result, what, function):
    key = 'made_by' if what == 'threads' else 'started_by'
    rows = [row for row in result[what][key] if any(function in (frame['function'] or '') for frame in row['frames'])]
    return rows[0] if len(rows) == 1 else {}


with concurrent.futures.ThreadPoolExecutor(len(RUNS)) as pool:
    done = dict(zip(RUNS, pool.map(lambda r: waits(*r, TURNS if r != ('children', 'deepbind') else 2 * TURNS), RUNS)))
results = {}
for (what, way), outcome in done.items():
    tap.equal((outcome.returncode, outcome.stdout), (0, 'done\n'), f'{what}, {way}: the program ends well')
    results[what, way] = report(outcome.trace)
verdict = {run: {v['name']: v for v in result['verdicts']}[run[0]] for run, result in results.items()}

leak = verdict['threads', 'never']
tap.equal(leak['verdict'], 'LEAK', 'threads that nobody joins leak')
tap.ok(any('make_thread' in (source['site'] or '') and source['share'] > 0.9 for source in leak['from']), 'who made them is told', leak)
tap.ok('make_thread' in leak['reason'], 'in the sentence too', leak['reason'])
row = made_by(results['threads', 'never'], 'threads', 'make_thread')
tap.equal((row.get('made'), row.get('unjoined', 0) + row.get('quiet', 0)), (TURNS, TURNS), 'and how many')
for way in ('deepbind', 'dlmopen'):
    tap.ok(verdict['threads', way]['verdict'] != 'LEAK', f'threads joined unseen ({way}) do not', verdict['threads', way]['reason'])
    tap.ok(verdict['threads', way]['final'] <= 2, f'nor are they counted ({way})', verdict['threads', way]['reason'])
    tap.equal(results['threads', way]['threads']['given_up_unseen'], TURNS - 1, f'all but the last are found out ({way})')

zombies = {way: made_by(results['children', way], 'children', 'start_child').get('zombies') for way in ('never', 'seen', 'deepbind')}
tap.equal((zombies['never'], zombies['seen']), (TURNS, 0), 'children: those that nobody waits for, by who started them')
tap.ok(results['children', 'deepbind']['children']['reaped_unseen'] + zombies['deepbind'] <= 2 * TURNS, 'none is counted twice')
tap.ok(zombies['deepbind'] <= 2 * TURNS - SOON, 'those that are waited for unseen are found out', zombies)

old = {v['name']: v for v in report(os.path.join(ROOT, 'tests', 'golden', 'children-of-an-earlier-version.zst'))['verdicts']}['children']
tap.equal(old['verdict'], 'INCONCLUSIVE', 'a trace that does not tell of zombies')
tap.ok('does not tell' in old['reason'], 'says so', old['reason'])
tap.done()
