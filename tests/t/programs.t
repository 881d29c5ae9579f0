#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workload programs say what they did (tests/programs/tally.h); the trace must say the same, call by call."""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, dump, run, run_shimmed  # noqa: E402

MARK_FD = '-7'
BLOCK_BYTES = 200  # of struct Block in cxx_mix

tap = Tap()


class Blocks:
    """Live blocks: (usable size, whether it is the program's). A forked child may free what its parent allocated. What
    has no stack was allocated while the thread was being attached."""

    def __init__(self):
        self.live = {}

    def take(self, event):
        """The block that an alloc or free event is about."""
        key = event.pid, event.int('ptr')
        if event.name == 'alloc':
            self.live[key] = event.int('size') + event.int('slack'), event.int('stack') != 0
            return self.live[key]
        if key in self.live:
            return self.live.pop(key)
        return next((block for (_, address), block in self.live.items() if address == key[1]), (0, True))


def count(events):
    """What the trace tells between the marks, under the names of tally.h. Also the sums over all of it."""
    blocks, counts, total, marks = Blocks(), collections.Counter(), collections.Counter(), 0
    for event in events:
        name = f"{event.name}:{event.fields.get('op', '')}"
        seen = collections.Counter({name: 1})
        if event.name == 'io' and event.fields['fd'] == MARK_FD:
            marks += 1
            continue
        own = True
        if event.name in ('alloc', 'free'):
            usable, own = blocks.take(event)
            seen[f'{event.name}_count'] += 1
            seen[f'{event.name}_bytes'] += usable
            seen[f'{event.name}_of_{usable & ~15}'] += 1
        elif event.name == 'io' and event.int('bytes') > 0 and not event.int('flags') & 1:
            seen['out_bytes' if event.int('dir') else 'in_bytes'] += event.int('bytes')
        elif event.name == 'map' and event.int('flags') & 16:
            seen['failed'] += 1
        elif event.name == 'wait' and event.int('ready') > 0 and event.fields['what'] == 'descriptors':
            seen['ready'] += event.int('ready')
        total.update(seen)
        if marks == 1 and own:
            counts.update(seen)
    tap.equal(marks, 2, 'both marks are in the trace')
    counts['live_objects'] = counts['alloc_count'] - counts['free_count']
    counts['live_usable_bytes'] = counts['alloc_bytes'] - counts['free_bytes']
    return counts, total


def parse(text):
    """The "name count" lines of a program."""
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def ledger_agrees(name, events, total):
    """The threads' own counters, against the sum over the objects."""
    ends = [event for event in events if event.name == 'thread_end']
    tap.ok(ends, f'{name}: the threads had a last word')
    for field in ('alloc_count', 'alloc_bytes', 'free_count', 'free_bytes'):
        tap.equal(sum(event.int(field) for event in ends), total[field], f'{name}: the ledger agrees on {field}')


def check(name, *arguments, env=None):
    """Runs a program under the shim: same exit status as without, and a trace that agrees with it."""
    program = run_shimmed([f'{O}/tests/programs/{name}', *arguments], env)
    if not tap.equal(program.returncode, 0, f'{name} ends well under the shim'):
        return None, None
    tap.equal(program.stderr, '', f'{name}: nothing on standard error')
    events = dump(program.trace)
    counts, total = count(events)
    expected = parse(program.stdout)
    tap.equal(sum(event.int('events') for event in events if event.name == 'lost'), 0, f'{name}: nothing was lost')
    ledger_agrees(name, events, total)
    return counts, expected


for name, arguments in (('alloc_mix', ()), ('fd_mix', ()), ('socket_mix', ()), ('thread_mix', ()), ('fork_mix', ()),
                        ('wait_mix', ()), ('io_mix', ()), ('map_mix', ()), ('alloc_check', ('1', '30000', '7')), ('alloc_check', ('8', '10000', '8'))):
    got, wanted = check(name, *arguments)
    for what in wanted or ():
        tap.equal(got[what], wanted[what], f'{" ".join((name, *arguments))}: {what}')

def stream_gaps(events):
    """Where a stream's bytes do not follow on each other; and how many bytes of streams there were."""
    ends, gaps = collections.Counter(), []
    for event in events:
        if event.name != 'io' or event.int('bytes') <= 0 or not event.int('flags') & 2 or event.int('flags') & 1:
            continue
        key = event.fields['desc'], event.fields['dir']
        if event.int('offset') != ends[key]:
            gaps.append(event.line)
        ends[key] += event.int('bytes')
    return gaps, sum(ends.values())


gaps, moved = stream_gaps(dump(run_shimmed([f'{O}/tests/programs/io_mix']).trace))
tap.ok(moved > 1000 and not gaps, 'io_mix: in every stream, bytes follow on bytes', gaps or moved)


def waits(trace):
    """The waits of the program's own threads for anything but descriptors: [(call, event)]."""
    return [(event.fields['op'], event) for event in dump(trace)
            if event.name == 'wait' and event.fields['what'] != 'descriptors']


got, wanted = check('lock_mix', env={'PERFSHIM_MIN_WAIT': '0'})
for what in sorted(set(wanted or ()) | {name for name in got or () if name.startswith('wait:')}):
    tap.equal(got[what], (wanted or {}).get(what, 0), f'lock_mix: {what}')
if wanted:
    program = run_shimmed([f'{O}/tests/programs/lock_mix'])
    seen = waits(program.trace)
    tap.equal([event.line for _, event in seen if event.int('duration') < 45000], [],
              'lock_mix: by default no wait below 50 microseconds is recorded')
    deadlines = {op: event.int('timeout') for op, event in seen}
    for op in ('pthread_mutex_timedlock', 'pthread_cond_timedwait', 'pthread_cond_clockwait', 'sem_timedwait',
               'pthread_rwlock_clockwrlock', 'pthread_clockjoin_np', 'nanosleep'):
        tap.ok(0 < deadlines.get(op, 0) <= 10_000_000, f'lock_mix: the timeout of {op} is the 10 ms that it was', deadlines)

got, wanted = check('cxx_mix')
if wanted:
    of_block = (BLOCK_BYTES + 8 + 15 & ~15) - 8 & ~15  # glibc's usable size for it, as count() rounds it
    tap.equal(got[f'alloc_of_{of_block}'], wanted['blocks_allocated'], 'cxx_mix: every new of a block is a malloc')
    tap.equal(got[f'free_of_{of_block}'], wanted['blocks_freed'], 'cxx_mix: every delete of a block is a free')
    tap.ok(wanted['thrown'] == wanted['caught'] == 300, 'cxx_mix: every exception is caught')

bare = run([f'{O}/tests/programs/alloc_check', '2', '5000', '3'])
shimmed = run_shimmed([f'{O}/tests/programs/alloc_check', '2', '5000', '3'])
for what in ('live_objects', 'alloc_count', 'free_count'):
    tap.equal(parse(shimmed.stdout)[what], parse(bare.stdout)[what], f'the same {what} with and without the shim')

tap.done()
