#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded call stacks against glibc's backtrace(3), which the program under test takes itself at each call: one by one, also
where a stack was recognised and not walked."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (O, ROOT, Event, Tap, dump_lines, have, perfanalyze, report, run, run_shimmed,  # noqa: E402
                     work_dir)

PROGRAMS = os.path.join(ROOT, 'tests', 'programs')
DEPTH = 32
CUT, BROKEN = 1, 2
WANTED = re.compile(r'\S+ \S+ (?:stack|thread_end|alloc .*?\bsize=\d{6,}) ')

tap = Tap()


def recorded(trace):
    """The stacks of allocations by size, the sums of the memo's checks, and the flags of all stacks."""
    stacks, by_size, checks, wrong = {}, {}, 0, 0
    events = [Event(line) for line in dump_lines(trace) if WANTED.match(line)]
    for event in events:
        if event.name == 'stack':
            stacks[event.int('stack')] = event
        elif event.name == 'thread_end':
            checks += event.int('stack_checks')
            wrong += event.int('stack_mismatches')
    for event in events:
        if event.name == 'alloc':
            by_size[event.int('size')] = stacks.get(event.int('stack'))
    return by_size, checks, wrong


def check(name, compiler, *options, source='stack_mix.c', arguments=()):
    """Gives the program's last words."""
    binary = os.path.join(work_dir(), name)
    standard = ['-std=gnu11', '-D_GNU_SOURCE'] if source.endswith('.c') else []
    built = run([compiler, *standard, '-g', *options, os.path.join(PROGRAMS, source), '-o', binary, '-lpthread', '-ldl'],
                timeout=120)
    if not tap.equal(built.returncode, 0, f'{name}: compiles'):
        return ''
    program = run_shimmed([binary, *arguments], env={'PERFSHIM_STACK_DEPTH': str(DEPTH)}, timeout=120)
    if not tap.equal(program.returncode, 0, f'{name}: ends well'):
        return ''
    by_size, checks, wrong = recorded(program.trace)
    differ, broken, compared = [], 0, 0
    for line in program.stdout.splitlines():
        size, *expected = line.split()
        event = by_size.get(int(size))
        got = [frame[2:] for frame in event.fields['frames'].split(',')][1:] if event else []
        expected = expected[:DEPTH - 1]
        compared += 1
        if event and event.int('flags') & BROKEN:
            broken += 1
        if got != expected and not (event and event.int('flags') & BROKEN and got == expected[:len(got)]):
            differ.append(f'size {size}: got {got}\nbacktrace {expected}')
    tap.ok(compared > 15000, f'{name}: many stacks were compared', compared)
    tap.equal(len(differ), 0, f'{name}: all are those of backtrace(3)') or print('#', '\n# '.join(differ[:3]).replace('\n', '\n# '))
    tap.ok(broken <= compared // 1000, f'{name}: almost none is broken off', f'{broken} of {compared}')
    tap.ok(checks > 10 and wrong == 0, f'{name}: the memo was checked and never wrong', (checks, wrong))
    return program.stderr


for compiler in ('gcc', 'clang'):
    if have(compiler):
        check(f'{compiler}-O2', compiler, '-O2', '-fomit-frame-pointer')
        check(f'{compiler}-O0', compiler, '-O0')
    else:
        tap.skip(f'{compiler}', f'there is no {compiler}')

# exceptions
for compiler in ('g++', 'clang++'):
    if have(compiler):
        check(f'{compiler}-O2', compiler, '-O2', '-fomit-frame-pointer', source='stack_throw.cc')
    else:
        tap.skip(f'{compiler}', f'there is no {compiler}')

# code in the place of other code
libraries = [os.path.join(work_dir(), 'library.so') for _ in range(2)]
for path, room in zip(libraries, ('256', '1280')):
    run(['gcc', '-O2', '-fomit-frame-pointer', '-fPIC', '-shared', f'-DROOM={room}', os.path.join(PROGRAMS, 'stack_library.c'), '-o', path],
        timeout=60)
words = check('replaced', 'gcc', '-O2', arguments=libraries)
tap.ok('same place 9' in words, 'replaced: the libraries were loaded at one place', words)

check('holes', 'gcc', '-O2', '-no-pie', '-Wl,-Ttext=0x900000')  # between its segments, as node has

# what is wrong with a stack is said
for depth, faults in (('2', ['cut']), ('32', [])):
    mix = run_shimmed([os.path.join(O, 'tests', 'programs', 'alloc_mix')], env={'PERFSHIM_STACK_DEPTH': depth})
    said = report(mix.trace)
    tap.equal(said['memory']['sites'][0]['stack_faults'], faults, f'depth {depth}: the report says {faults} of the largest site')
    tap.equal('(cut: ' in perfanalyze(mix.trace).stdout, bool(faults), f'depth {depth}: as text, too')
tap.ok(said['stacks']['checked'] > 0 and said['stacks']['wrong'] == 0, 'the report says how often stacks were checked', said['stacks'])

# memory: what threads had is given back
for shimmed in (True, False):
    binary = os.path.join(O, 'tests', 'programs', 'stack_threads')
    threads = run_shimmed([binary, '2000'], timeout=120) if shimmed else run([binary, '2000'], timeout=120)
    early_kb, late_kb = (int(n) for n in (threads.stdout.split() or (0, 1 << 30)))
    tap.ok(threads.returncode == 0 and late_kb - early_kb < 1024,
           f'{"recorded" if shimmed else "bare"}: 2000 threads in sequence, and no more memory than after 200', threads.stdout)
tap.done()
