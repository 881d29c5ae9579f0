#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workload programs say what they did (tests/programs/tally.h); the trace must say the same, call by call."""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, SHIM, Tap, dump, run, run_shimmed  # noqa: E402

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

LIBRARIES = '/usr/lib/x86_64-linux-gnu'
ALLOCATORS = {'tcmalloc': 'libtcmalloc_minimal.so.4', 'jemalloc': 'libjemalloc.so.2', 'mimalloc': 'libmimalloc.so.2.0'}


def environment(allocator):
    """For a program on an allocator ('' is libc's), bare and under the shim."""
    library = f'{LIBRARIES}/{ALLOCATORS[allocator]}' if allocator else ''
    common = {'OPERATOR_MIX_NO_THROW': '1'} if allocator == 'mimalloc' else {}
    return dict(os.environ, LD_PRELOAD=library, **common), {'LD_PRELOAD': f'{SHIM}:{library}', **common}


def check_edges(allocator):
    """The corners of malloc: counted exactly, and failing as they do without the shim."""
    name = f'heap_edges on {allocator or "libc"}'
    bare_env, env = environment(allocator)
    bare = parse(run([f'{O}/tests/programs/heap_edges'], env=bare_env).stdout)
    got, wanted = check('heap_edges', env=env)
    for what in wanted or ():
        if what.startswith('edge:'):
            tap.equal(wanted[what], bare.get(what), f'{name}: {what} fails as it does without the shim')
        elif what != 'by_libc':
            tap.equal(got[what], wanted[what], f'{name}: {what}')


def check_operators(allocator, program, by_malloc):
    """new and delete: each one once. by_malloc: as libstdc++'s malloc, or under their own names."""
    name = f'{program[0]} on {allocator or "libc"}'
    bare_env, env = environment(allocator)
    program = [f'{O}/tests/programs/{program[0]}', *program[1:]]
    bare, shimmed = run(program, env=bare_env), run_shimmed(program, env)
    tap.equal(shimmed.returncode, 0, f'{name} ends well under the shim')
    told, seen = parse(shimmed.stdout), collections.Counter()
    for what in ('thrown', 'refused', 'handled', 'news'):
        tap.equal(told.get(what), parse(bare.stdout).get(what), f'{name}: {what} as without the shim')
    blocks, marks = Blocks(), 0
    for event in dump(shimmed.trace):
        marks += event.name == 'io' and event.fields['fd'] == MARK_FD
        if event.name in ('alloc', 'free'):
            usable, own = blocks.take(event)
            operator = event.fields['op'].startswith('_Z')
            if marks == 1 and own:
                seen[event.name, operator, 'count'] += 1
                seen[event.name, operator, 'bytes'] += usable
    if by_malloc: # libstdc++ allocates the exceptions, those too that its nothrow forms catch
        tap.equal(seen['alloc', False, 'count'], told['news'] + told['thrown'] + told['refused'], f'{name}: allocations')
        tap.equal(seen['alloc', True, 'count'] + seen['free', True, 'count'], 0, f'{name}: not counted twice')
    else:
        tap.equal(seen['alloc', True, 'count'], told['news'], f'{name}: allocations')
        tap.equal(seen['alloc', True, 'bytes'], told['new_bytes'], f'{name}: bytes allocated')
        tap.equal(seen['free', True, 'count'], told['deletes'], f'{name}: frees')
        tap.equal(seen['free', True, 'bytes'], told['delete_bytes'], f'{name}: bytes freed')


check_edges('')
check_operators('', ['operator_mix'], True)
check_operators('', ['plugin_host', f'{O}/tests/programs/operator_mix.so'], False)
for allocator in ALLOCATORS:
    check_edges(allocator)
    check_operators(allocator, ['operator_mix'], False)
    check_operators(allocator, ['plugin_host', f'{O}/tests/programs/operator_mix.so'], False)

events = dump(run_shimmed([f'{O}/tests/programs/heap_edges']).trace)
second = [i for i, event in enumerate(events) if event.name == 'io' and event.fields['fd'] == MARK_FD][1]
told = parse(run([f'{O}/tests/programs/heap_edges']).stdout)
tap.ok(sum(event.name == 'free' and event.fields['op'] == 'free' for event in events[second:]) >= told['by_libc'] and
       sum(event.name == 'alloc' for event in events[second:]) >= told['by_libc'],
       'heap_edges: what strdup, getline, asprintf and realpath allocate passes the hooks')


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

program = run_shimmed([f'{O}/tests/programs/io_limits'], {'PERFSHIM_MAX_STALL': '30000'})
events = [event for event in dump(program.trace) if event.name == 'io']
marks = [i for i, event in enumerate(events) if event.fields['fd'] == MARK_FD]
limits = events[marks[0] + 1:marks[1]] if len(marks) == 2 else []
tap.equal([' '.join(map(str, (e.fields['op'], *map(e.int, ('fd', 'bytes', 'asked', 'offset', 'alloc_bytes', 'free_bytes')))))
           for e in limits], program.stdout.splitlines(), 'io_limits: numbers that are too large for the short record, or just fit')
tap.ok(limits and 2.2e9 < limits[-1].int('duration') < 100e9, 'io_limits: a call that takes long', limits and limits[-1].line)


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
