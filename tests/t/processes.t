#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs started, children waited for, code loaded: what process_mix says that it did, and the trace."""

import collections
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, dump, report, run, run_shimmed  # noqa: E402

CALLS = {'spawn_small': ('posix_spawn', 'wait4'), 'spawn_large': ('posix_spawn', 'wait4'),
         'spawnp': ('posix_spawnp', 'wait4'), 'vfork_large': ('vfork', 'wait4'), 'vfork_in_vain': ('vfork', 'wait4'),
         'wait': ('fork', 'wait'), 'wait3': ('fork', 'wait3'), 'waitpid': ('fork', 'waitpid'), 'waitid': ('fork', 'waitid')}

tap = Tap()

bare = run([f'{O}/tests/programs/process_mix'])
mix = run_shimmed([f'{O}/tests/programs/process_mix'])
tap.equal((mix.returncode, mix.stderr), (0, ''), 'process_mix ends well under the shim')
tap.equal(re.sub(r'\d{3,}', 'N', mix.stdout), re.sub(r'\d{3,}', 'N', bare.stdout), 'and does what it does without')
events = dump(mix.trace)
forks = {event.int('child_pid'): event.fields['op'] for event in events if event.name == 'fork'}
reaps = collections.defaultdict(list)
for event in events:
    if event.name == 'reap':
        reaps[event.int('pid')].append((event.fields['op'], event.fields['how'], event.int('status')))
pids = {}
for way, pid in re.findall(r'^child (\w+) (\d+)$', mix.stdout, re.M):
    pids[way] = int(pid)
    tap.equal(forks.get(int(pid)), CALLS[way][0], f'{way}: started by {CALLS[way][0]}')
for way, pid, how, status in re.findall(r'^reaped (\w+) (\d+) (\w+) (\d+)$', mix.stdout, re.M):
    tap.equal(reaps[int(pid)], [(CALLS[way][1], how, int(status))], f'{way}: reaped once, by {CALLS[way][1]}: {how} {status}')

# Programs that were given an environment of somebody's making are in the same run.
recorded = {process['pid']: process for process in report(mix.trace)['trace']['processes']}
for way in ('spawn_small', 'spawn_large', 'spawnp', 'vfork_large'):
    tap.ok(pids[way] in recorded, f'{way}: its program is in the trace', recorded.keys())
tap.equal(os.listdir(os.path.dirname(mix.trace)), [os.path.basename(mix.trace)], 'in one trace')

waits = [event for event in events if event.name == 'wait' and event.fields['op'].startswith('wait')]
tap.ok(any(event.int('ready') == -10 for event in waits), 'a wait for nobody ends with ECHILD')
tap.ok(all(event.int('duration') >= 0 for event in waits), 'waits have a duration')
threads = [event.fields['op'] for event in events if event.name == 'thread_create']
tap.equal(threads, ['thrd_create'], 'thrd_create is seen, once')
own = next(iter(recorded))
code = [(event.fields['op'], event.fields.get('data', '')) for event in events if event.name == 'code' and event.pid == own]
tap.equal(code, [('dlopen', '"libm.so.6"'), ('dlmopen', '"libm.so.6"'), ('dlopen', '"/nonexistent.so"'), ('dlclose', ''),
                 ('dlclose', '')], 'code: each call, with what it asked for')
stacks = {event.fields['stack'] for event in events if event.name == 'stack'}
tap.ok(all(event.fields['stack'] in stacks for event in events if event.name == 'code'), 'and its call stack')

# A task that shares the thread's storage.
shared = run_shimmed([f'{O}/tests/programs/process_mix', 'share'])
tap.equal((shared.returncode, shared.stdout), (0, 'shared\n'), 'a task that shares storage: the program runs on')
tap.ok(shared.stderr.count('\n') == 1 and shared.stderr.startswith('perfshim: a task made by clone'), 'one line says it',
       shared.stderr)
opened = [event.line for event in dump(shared.trace) if event.name == 'desc_open' and event.fields['op'] == 'open']
tap.equal(opened, [], 'what it did after is not in the trace')
tap.ok(report(shared.trace)['trace']['lost_events'] > 0, 'and counts as lost')
tap.done()
