#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What perfanalyze export writes: folded stacks and profiles for pprof, against the report of the same trace."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, have, perfanalyze, report, run, run_shimmed, work_dir
from pprof import Profile

tap = Tap()
directory = work_dir()
trace = run_shimmed([f'{O}/tests/programs/sites_cxx']).trace
total = report(trace)['memory']['all_sites']


def folded(*options):
    result = perfanalyze('export', '--folded', '-', *options, trace)
    rows = [re.fullmatch(r'(\S.*) (\d+)', line) for line in result.stdout.splitlines()]
    return tap.ok(result.returncode == 0 and rows and all(rows), f"folded {' '.join(options)}: each line is a stack and a number",
                  result.stderr + result.stdout) and [(row[1].split(';'), int(row[2])) for row in rows]


# Folded stacks.
for value, of_bytes, of_count in (('live', 'live_bytes', 'live_objects'), ('allocated', 'allocated_bytes', 'allocations'),
                                  ('temporary', 'temporary_bytes', 'temporary_allocations'), ('peak', 'peak_bytes', None)):
    tap.equal(sum(n for _, n in folded('--value', value)), total[of_bytes], f'{value}: the bytes are those of the report')
    if of_count:
        tap.equal(sum(n for _, n in folded('--value', value, '--unit', 'count')), total[of_count], f'{value}: so are the counts')
rows = folded()
tap.equal(sum(n for _, n in rows), total['live_bytes'], 'live bytes are what is written unless asked otherwise')
inlined = [stack for stack, n in rows if any(f == 'void* inlined<unsigned long>(int*, unsigned long)_[i]' for f in stack)]
tap.ok(len(inlined) == 1 and inlined[0].index('calls_inlined(int*)') + 1 == inlined[0].index('void* inlined<unsigned long>(int*, unsigned long)_[i]')
       and inlined[0][-1] == 'operator new(unsigned long)', 'outermost first, inlined ones marked', inlined)
tap.ok(any(stack[0] == '[broken off]' for stack, _ in rows) or all(stack[0] == '_start' or 'clone' in stack[0] for stack, _ in rows),
       'the outermost frame is the beginning, or says that it is not', [stack[0] for stack, _ in rows])
path = os.path.join(directory, 'live.folded')
tap.equal(perfanalyze('export', f'--folded={path}', trace).returncode, 0, 'to a file')
with open(path) as f:
    tap.equal(f.read(), perfanalyze('export', '--folded', '-', trace).stdout, 'is the same')

# A profile for pprof.
path = os.path.join(directory, 'heap.pb.gz')
tap.equal(perfanalyze('export', '--pprof', path, trace).returncode, 0, 'a profile is written')
profile = Profile(path)
tap.equal(profile.types, [('alloc_objects', 'count'), ('alloc_space', 'bytes'), ('inuse_objects', 'count'), ('inuse_space', 'bytes')],
          'its types')
tap.equal(profile.default, 'inuse_space', 'the one that is shown first')
sums = [sum(values[i] for _, values in profile.samples) for i in range(4)]
expected = [total[k] for k in ('allocations', 'allocated_bytes', 'live_objects', 'live_bytes')]
tap.equal(sums, expected, 'its totals are those of the report')
lines = [line for stack, _ in profile.samples for line in stack if any(f.startswith('void* inlined<') for f, _, _ in line)]
tap.ok(lines and all(len(line) == 2 and line[1][0] == 'calls_inlined(int*)' and line[1][1].endswith('sites_cxx.cc') and line[0][2] > 0 for line in lines),
       'inlined lines are in one location, innermost first', lines)
note = run(['readelf', '-n', f'{O}/tests/programs/sites_cxx']).stdout
recorded = note.split('Build ID:')[1].split()[0]
tap.equal(profile.mappings[1][:2], (f'{O}/tests/programs/sites_cxx', recorded), 'the first mapping is the program, with its build id')
tap.ok(all(m == 0 or profile.mappings[m][2] <= a < profile.mappings[m][3] for m, a in profile.addresses), 'addresses lie in their mappings')

if not have('go'):
    tap.skip('go tool pprof opens it', 'golang-go is not installed')
else:
    environment = dict(os.environ, HOME=directory, PPROF_TMPDIR=directory, GOFLAGS='-mod=mod', GOTOOLCHAIN='local')
    for name, unit, amount in zip(('alloc_objects', 'alloc_space', 'inuse_objects', 'inuse_space'), ('count', 'B', 'count', 'B'), expected):
        top = run(['go', 'tool', 'pprof', '-top', '-nodecount=0', '-nodefraction=0', f'-sample_index={name}', '-unit=' + unit, path],
                  env=environment, timeout=60)
        shown = re.search(r'([\d.]+)(?:B)? total', top.stdout)
        tap.ok(shown and float(shown[1]) == amount, f'go tool pprof -top: {name}', f'{amount}\n{top.stderr}{top.stdout}')
    raw = run(['go', 'tool', 'pprof', '-raw', path], env=environment, timeout=60)
    tap.ok(raw.returncode == 0 and recorded in raw.stdout and '[FN][FL][LN][IN]' in raw.stdout, 'go tool pprof -raw', raw.stderr + raw.stdout)

# What cannot be.
for options, words in ((['export', trace], 'nothing to write'), (['export', '--folded', '-', '--value', 'lively', trace], 'is one of live'),
                       (['export', '--pprof', path, '--unit', 'count', trace], 'are of --folded'),
                       (['export', '--folded', '-', '--pprof', '-', trace], 'only one'),
                       (['export', '--folded', '-', '--value', 'growth', '--unit', 'count', trace], 'only bytes are known'),
                       (['export', '--folded', f'{directory}/none/x', trace], 'cannot be written'),
                       (['export', '--folded', trace, trace], 'would be lost'),
                       (['export', '--folded'], 'needs a OUT'), (['export', '--folded', '/dev/full', trace], 'No space left'),
                       (['--folded', '-', trace], 'no option of report'), (['--sites', '0', trace], 'from 1 to'),
                       (['export', '--folded', '-', '/dev/null'], '/dev/null')):
    result = perfanalyze(*options)
    tap.ok(result.returncode == 2 and words in result.stderr and not result.stdout, ' '.join(o.replace(trace, 'TRACE') for o in options if directory not in o),
           result.stderr)
tap.done()
