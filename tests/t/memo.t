#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Call stacks that are recognised are those that a walk gives. In servers and programs of several languages, and in a storm of stacks of
all kinds, each recognised stack is walked too and compared (PERFSHIM_MEMO=check); and programs that do the same in each run have the same
allocations with the same stacks, frame by frame, whether stacks are recognised (1) or all walked (0)."""

import bisect
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, ROOT, Tap, dump, have, http_requests, report, run, run_shimmed, shim_environment, work_dir  # noqa: E402
from servers import start_nginx, start_redis  # noqa: E402

PROGRAMS = os.path.join(ROOT, 'tests', 'programs')
PYTHON = {'PYTHONMALLOC': 'malloc', 'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1'}
PATIENT = {'PERFSHIM_MAX_STALL': '10000'}  # a busy machine is no reason to lose events
CHECK = {'PERFSHIM_MEMO': 'check', **PATIENT}
SEED = os.environ.get('STORM_SEED', '1')
ROUNDS = os.environ.get('STORM_ROUNDS', '4')

tap = Tap()


def check(name, trace, least=1000):
    said = report(trace)
    stacks, lost = said['stacks'], said['trace']['lost_events']
    print(f"# {name}: {stacks['checked']} recognised stacks walked, {stacks['wrong']} wrong")
    tap.ok(stacks['checked'] > least and stacks['wrong'] == 0, f'{name}: each recognised stack is that of a walk', stacks)
    tap.equal(lost, 0, f'{name}: nothing was lost')


# --- each one walked too ---

with start_nginx({'small.txt': b's' * 1024}, env=CHECK) as nginx:
    answers = [http_requests(nginx.port, 'GET', '/small.txt', 500), http_requests(nginx.port, 'GET', '/missing', 500),
               http_requests(nginx.port, 'POST', '/small.txt', 200, b'p' * 3000)]
    for _ in range(50):
        answers.append(http_requests(nginx.port, 'GET', '/small.txt'))
    nginx.stop()
tap.equal([{status for status, _ in a} for a in answers[:4]], [{200}, {404}, {405}, {200}], 'nginx: answers')
check('nginx', nginx.trace)

with start_redis(env=CHECK) as redis:
    loaded = run(['redis-benchmark', '-p', str(redis.port), '-q', '-n', '2000', '-c', '10', '-r', '500', '-t',
                  'set,get,lpush,lrange_100,sadd,hset,zadd,mset'])
    redis.stop()
tap.equal(loaded.returncode, 0, 'redis: redis-benchmark ends well')
check('redis', redis.trace)


def compiled(name, compiler, *options):
    """A program of tests/programs, compiled in another way; None, and a skipped check, without that compiler."""
    path = os.path.join(work_dir(), name)
    if not have(compiler):
        tap.skip(name, f'there is no {compiler}')
        return None
    built = run([compiler, *options, '-o', path], timeout=120)
    return path if tap.equal((built.returncode, built.stderr), (0, ''), f'{name}: compiles') else None


storm = os.path.join(O, 'tests', 'programs', 'stack_storm')
cxx = os.path.join(O, 'tests', 'programs', 'stack_cxx')
python = ['/usr/bin/python3', '-S', os.path.join(PROGRAMS, 'stack_python.py')]
rust = compiled('stack_rust', '/usr/bin/rustc', '-O', '-g', os.path.join(PROGRAMS, 'stack_rust.rs'))
source = ['-std=gnu11', '-D_GNU_SOURCE', os.path.join(PROGRAMS, 'stack_storm.c'), '-lpthread']
storms = {'a storm': storm, 'a storm, gcc -O0': compiled('storm-O0', 'gcc', '-O0', *source),
          'a storm, clang -O2': compiled('storm-clang', 'clang', '-O2', *source)}
libraries = [os.path.join(work_dir(), 'library.so') for _ in range(2)]
for path, room in zip(libraries, ('256', '1280')):
    run(['gcc', '-O2', '-fPIC', '-shared', f'-DROOM={room}', os.path.join(PROGRAMS, 'stack_library.c'), '-o', path])
mix = compiled('stack_mix', 'gcc', '-O2', '-std=gnu11', '-D_GNU_SOURCE', os.path.join(PROGRAMS, 'stack_mix.c'), '-lpthread')
programs = {'python': python, 'C++': [cxx, '4'], 'Rust': rust and [rust, '4'], 'backtraces': mix and [mix, *libraries],
            **{name: path and [path, '4', ROUNDS, SEED] for name, path in storms.items()}}
for name, command in programs.items():
    for depth in ('32', '7') if command and name == 'a storm' else ('32',) if command else ():
        done = run_shimmed(command, env={**CHECK, **PYTHON, 'PERFSHIM_STACK_DEPTH': depth}, timeout=120)
        title = name + (f', {depth} frames' if depth != '32' else '')
        if tap.equal((done.returncode, done.stderr[:2000]), (0, '') if name != 'backtraces' else (0, done.stderr[:2000]),
                     f'{title}: ends well'):
            check(title, done.trace)


# What is no longer there is not read.
adjacent = run_shimmed([os.path.join(O, 'tests', 'programs', 'stack_adjacent')])
tap.equal((adjacent.returncode, adjacent.stderr), (0, ''), 'a stack that goes away beside that of a thread without a guard page')


# --- recognised or walked: the same ---


class Modules:
    """Addresses as module and offset in its file, which are the same wherever it is loaded."""

    def __init__(self, events):
        rows = sorted((e.int('start'), e.int('end'), e.int('file_offset'), e.fields['data']) for e in events if e.name == 'module')
        self.starts, self.rows = [r[0] for r in rows], rows

    def place(self, text):
        address = int(text, 16)
        i = bisect.bisect_right(self.starts, address) - 1
        start, end, offset, path = self.rows[i] if i >= 0 else (0, 0, 0, '')
        return (path, address - start + offset) if start <= address < end else ('', 0)


def allocations(trace):
    """How often an allocation of that size was made by that call with those frames; and the frames that are in no module."""
    events = dump(trace)
    modules = Modules(events)
    stacks = {'0': ()}
    for e in events:
        if e.name == 'stack':
            stacks[e.fields['stack']] = (e.int('flags'), *map(modules.place, e.fields['frames'].split(',')))
    found = collections.Counter((e.fields['op'], e.int('size'), stacks[e.fields['stack']]) for e in events if e.name == 'alloc')
    return found, sum(1 for frames in stacks.values() if ('', 0) in frames)


def without_sizes(found):
    """What Python allocates in its imports differs by a character now and then, between any two runs."""
    sums = collections.Counter()
    for (op, _, frames), count in found.items():
        sums[op, frames] += count
    return sums


def run_unrandomised(command, trace, memo):
    """Under the shim, at the same addresses each time; setarch itself is not recorded, so that the program's environment is the same."""
    said = shim_environment(trace, {**PYTHON, **PATIENT, 'PERFSHIM_MEMO': memo, 'PERFSHIM_STACK_DEPTH': '64'})
    words = [f'{name}={value}' for name, value in said.items() if name.startswith(('PERFSHIM_', 'PYTHON', 'LD_'))]
    return run(['setarch', '-R', 'env', *words, *command], timeout=120)


directory = work_dir()
for name, command in {'C': [storm, '0', '3'], 'C++': [cxx, '0'], 'Rust': rust and [rust, '0'], 'python': [*python, '60']}.items():
    if not command:
        continue
    results = {}
    for memo in '01':
        trace = os.path.join(directory, f'{name}-{memo}.zst')
        done = run_unrandomised(command, trace, memo)
        tap.equal((done.returncode, done.stderr), (0, ''), f'{name}, PERFSHIM_MEMO={memo}: ends well')
        results[memo] = allocations(trace)
        checked = report(trace)['stacks']['checked']
        how = 'recognised' if memo == '1' else 'all walked'
        tap.ok((checked > 5) == (memo == '1'), f'{name}, PERFSHIM_MEMO={memo}: stacks are {how}', checked)
    (walked, nowhere), (recognised, _) = results['0'], results['1']
    if name == 'python':
        walked, recognised = without_sizes(walked), without_sizes(recognised)
    total = sum(walked.values())
    tap.ok(total > 5000 and len(walked) > 300 and nowhere <= 1, f'{name}: much is compared', (total, len(walked), nowhere))
    tap.ok(walked == recognised, f'{name}: {total} allocations, {len(walked)} kinds by call, frames and size (not of Python): the same either way',
           '\n'.join(map(str, [*(walked - recognised).items(), *(recognised - walked).items()][:6])))
tap.done()
