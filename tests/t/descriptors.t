#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The descriptors that the trace tells of are those that the process has: number by number, at every mark of fd_truth."""

import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, dump, run, run_shimmed  # noqa: E402

MARK_FD = '-7'

tap = Tap()


class Tables:
    """The open numbers of each process, from the trace alone."""

    def __init__(self):
        self.open = collections.defaultdict(set)

    def feed(self, event):
        table = self.open[event.pid]
        if event.name == 'process':  # a new image: whatever it has, it says itself
            table.clear()
        elif event.name == 'desc_open':
            table.add(event.int('fd'))
        elif event.name == 'desc_dup':
            table.add(event.int('new_fd'))
        elif event.name == 'desc_close':
            table.discard(event.int('fd'))
        elif event.name == 'desc_table':
            table.difference_update(range(event.int('first'), event.int('last') + 1))
            table.update(int(pair.split(':')[0]) for pair in event.fields.get('table', '').split(',') if pair)


def marks_of(text):
    """What the program said: by process, a list of (name, numbers)."""
    marks = collections.defaultdict(list)
    for pid, name, numbers in re.findall(r'^MARK (\d+) (.*?):(.*)$', text, re.M):
        marks[int(pid)].append((name, set(map(int, numbers.split()))))
    return marks


def tables_at_marks(events):
    tables, marks = Tables(), collections.defaultdict(list)
    for event in events:
        tables.feed(event)
        if event.name == 'io' and event.fields['fd'] == MARK_FD:
            marks[event.pid].append(set(tables.open[event.pid]))
    return marks


bare = run([f'{O}/tests/programs/fd_truth'])
truth = run_shimmed([f'{O}/tests/programs/fd_truth'], timeout=120)
tap.equal(truth.returncode, 0, 'fd_truth ends well under the shim')
tap.equal(truth.stderr, bare.stderr, 'and says nothing more than without')
said, bare_said = marks_of(truth.stdout), marks_of(bare.stdout)
names = [name for marks in said.values() for name, _ in marks]
tap.ok(len(names) > 60, 'at many marks', len(names))
tap.equal(sorted(names), sorted(name for marks in bare_said.values() for name, _ in marks), 'the same as without the shim')

alone = {name: numbers for marks in bare_said.values() for name, numbers in marks if 'thread' not in name}
same = {name: numbers for marks in said.values() for name, numbers in marks if 'thread' not in name}
different = {name: (same.get(name, set()) ^ numbers) for name, numbers in alone.items() if same.get(name) != numbers}
tap.equal({name: numbers for name, numbers in different.items() if name != 'end'}, {},
          'the program has the numbers that it has without the shim')

events = dump(truth.trace)
tap.equal(sum(event.int('events') for event in events if event.name == 'lost'), 0, 'nothing was lost')
traced = tables_at_marks(events)
for pid, marks in said.items():
    tap.equal(len(traced[pid]), len(marks), f'process {marks[0][0]}: every mark is in the trace')
    for (name, numbers), table in zip(marks, traced[pid]):
        tap.ok(table == numbers, f'{name}: {len(numbers)} descriptors',
               f'only in the trace: {sorted(table - numbers)}\nonly in /proc: {sorted(numbers - table)}')

ops = collections.Counter((event.name, event.fields.get('op')) for event in events)
for event, op in (('desc_open', 'inherited'), ('fork', 'fork'), ('fork', 'vfork'), ('fork', 'posix_spawn'),
                  ('fork', 'posix_spawnp'), ('fork', 'popen'), ('fork', 'system'), ('fork', 'forkpty'), ('fork', 'clone'),
                  ('fork', 'syscall'), ('desc_open', 'daemon'), ('desc_open', 'recvmsg'), ('desc_open', 'recvmmsg'),
                  ('desc_open', 'openpty'), ('desc_dup', 'login_tty'), ('reap', 'waitpid'), ('reap', 'pclose'),
                  ('reap', 'system'), ('wait', 'waitpid')):
    tap.ok(ops[event, op], f'{event} by {op} is in the trace')
unseen = {(event.pid, event.int('fd')) for event in events if event.name == 'desc_open' and event.fields['op'] == 'unseen' and
          event.int('fd') < 500}
tap.ok(len(unseen) < 60, 'hardly any had to be looked for: what libc opens inside forkpty, and what threads open during fork',
       unseen)
by_number = {(event.int('dir'), event.int('bytes'), event.int('flags')) for event in events
             if event.name == 'io' and event.fields['op'] == 'syscall'}
tap.ok({(1, 5, 2), (0, 3, 2)} <= by_number, 'reads and writes by syscall(2) on a stream are recorded as such', by_number)
looked_at = {event.fields['kind'] for event in events if event.name == 'desc_open' and event.fields['op'] == 'inherited'}
tap.ok({'file', 'directory', 'device', 'pipe', 'tcp', 'udp', 'unix', 'listener', 'epoll', 'eventfd', 'timerfd', 'signalfd',
        'inotify', 'pty'} <= looked_at, 'what an image begins with is known by its kind', looked_at)
children = {event.int('child_pid') for event in events if event.name == 'fork'} - {-1}
reaped = {event.int('pid') for event in events if event.name == 'reap'} - {-1}
tap.equal(children - reaped, set(), 'every child that was told of was reaped')
tap.done()
