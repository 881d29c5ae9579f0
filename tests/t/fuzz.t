#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each fuzzer of tests/fuzz runs for a moment, and over what once broke something (tests/golden: FUZZER-WHAT is the
input of a fuzzer, *.zst a trace, which goes through perfanalyze itself). `make fuzz` runs them for longer."""

import glob
import os
import re
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, PERFANALYZE, ROOT, Tap, have, run  # noqa: E402

SECONDS = os.environ.get('FUZZ_SECONDS', '1')
SEED = os.environ.get('FUZZ_SEED', '1')  # the same inputs each time: what is new is found by make fuzz
MEMORY_BYTES = 400 << 20
GOLDEN = os.path.join(ROOT, 'tests', 'golden')
SANITIZED = bool(os.environ.get('SAN'))

tap = Tap()


def limit_memory():
    if not SANITIZED:  # a sanitizer reserves terabytes of addresses
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def analyse(path):
    """What is wrong with how perfanalyze takes the trace; "" if nothing is."""
    for command in (['report'], ['--json'], ['dump'], ['info']):
        result = run([PERFANALYZE, *command, path], timeout=300, preexec_fn=limit_memory)
        if result.returncode not in (0, 1, 2):
            return f'{command[0]}: exit {result.returncode}: {result.stderr[-400:]}'
        if 'memory' in result.stderr:
            return f'{command[0]}: more than {MEMORY_BYTES} bytes'
        if result.returncode == 2 and not result.stderr.startswith(f'perfanalyze: {path}: '):
            return f'{command[0]}: names no file: {result.stderr[-400:]}'
        if re.search('[\0-\x09\x0b-\x1f\x7f]', result.stdout) and command != ['--json']:
            return f'{command[0]}: prints control characters'
    return ''


for path in sorted(glob.glob(f'{GOLDEN}/*.zst') + glob.glob(f'{ROOT}/tests/fuzz/seeds/trace/*')):
    wrong = analyse(path)
    tap.ok(not wrong, f'perfanalyze: {os.path.basename(path)}', wrong)

built = have('clang') and run(['make', '-C', ROOT, '-j2', f'O={O}', 'fuzz-built'], timeout=500)
if not built:
    tap.skip('fuzzers', 'clang is not installed')
    tap.done()
if not tap.ok(built.returncode == 0, 'the fuzzers build', built.stdout[-2000:] + built.stderr[-2000:]):
    tap.done()
fuzzers = sorted(os.path.basename(path)[len('fuzz_'):-2] for path in glob.glob(f'{ROOT}/tests/fuzz/fuzz_*.c'))
for path in sorted(set(glob.glob(f'{GOLDEN}/*')) - set(glob.glob(f'{GOLDEN}/*.zst'))):
    name = os.path.basename(path)
    result = run([f'{O}/fuzz/fuzz_{name.split("-")[0]}', path], timeout=300)
    tap.ok(result.returncode == 0, f'golden: {name}', result.stderr[-3000:])
for name in fuzzers:
    result = run([os.path.join(ROOT, 'tests', 'fuzz', 'run'), name], timeout=300,
                 env=dict(os.environ, O=O, FUZZ_SECONDS=SECONDS, FUZZ_SEED=SEED))
    ran = re.search(rf'^{name} +(\d+)', result.stdout, re.M)
    tap.ok(result.returncode == 0 and ran and int(ran.group(1)) > 0, f'fuzzer: {name}', result.stdout + result.stderr)
tap.done()
