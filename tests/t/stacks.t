#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded call stacks against glibc's backtrace(3), which the program under test takes itself at each call: one by one, also
where a stack was recognised and not walked."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Tap, dump, have, run, run_shimmed, work_dir  # noqa: E402

PROGRAM = os.path.join(ROOT, 'tests', 'programs', 'stack_mix.c')
DEPTH = 32
CUT, BROKEN = 1, 2

tap = Tap()


def recorded(trace):
    """The stacks of allocations by size, the sums of the memo's checks, and the flags of all stacks."""
    stacks, by_size, checks, wrong = {}, {}, 0, 0
    events = dump(trace)
    for event in events:
        if event.name == 'stack':
            stacks[event.int('stack')] = event
        elif event.name == 'thread_end':
            checks += event.int('stack_checks')
            wrong += event.int('stack_mismatches')
    for event in events:
        if event.name == 'alloc' and event.int('size') >= 100000:
            by_size[event.int('size')] = stacks.get(event.int('stack'))
    return by_size, checks, wrong


def check(name, compiler, *options):
    binary = os.path.join(work_dir(), name)
    built = run([compiler, '-std=gnu11', '-g', '-D_GNU_SOURCE', *options, PROGRAM, '-o', binary, '-lpthread'], timeout=120)
    if not tap.equal(built.returncode, 0, f'{name}: compiles'):
        return
    program = run_shimmed([binary], env={'PERFSHIM_STACK_DEPTH': str(DEPTH)}, timeout=120)
    if not tap.equal(program.returncode, 0, f'{name}: ends well'):
        return
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


for compiler in ('gcc', 'clang'):
    if have(compiler):
        check(f'{compiler}-O2', compiler, '-O2', '-fomit-frame-pointer')
        check(f'{compiler}-O0', compiler, '-O0')
    else:
        tap.skip(f'{compiler}', f'there is no {compiler}')
check('holes', 'gcc', '-O2', '-no-pie', '-Wl,-Ttext=0x900000')  # between its segments, as node has
tap.done()
