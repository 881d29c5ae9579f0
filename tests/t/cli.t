#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The command line, the text and JSON reports, the manual pages, what is installed and what is exported."""

import json
import os
import pty
import re
import subprocess
import sys

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (O, PERFANALYZE, ROOT, SHIM, Tap, http_requests, perfanalyze, report, run, run_shimmed,  # noqa: E402
                     start_shop, work_dir)

tap = Tap()


def read(*parts):
    with open(os.path.join(ROOT, *parts)) as f:
        return f.read()


def too_wide(text):
    return [line for line in text.splitlines() if len(line) > 80]


def on_terminal(arguments, env):
    """What a command prints on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **env})
    os.close(slave)
    text = b''
    try:
        while part := os.read(master, 65536):
            text += part
    except OSError:
        pass  # how a terminal ends on Linux
    process.wait(20)
    os.close(master)
    return text.decode(errors='replace')


with start_shop() as shop:
    for method, path, body in (('GET', '/items/7', None), ('GET', '/search?q=a', None), ('POST', '/orders', 'o' * 300),
                               ('GET', '/file', None), ('GET', '/nowhere', None)):
        http_requests(shop.port, method, path, 300, body)
    shop.stop()
trace = shop.trace

# Help and usage.
helped = perfanalyze('--help')
tap.ok(helped.returncode == 0 and helped.stderr == '' and 'dump' in helped.stdout, '--help goes to standard output',
       helped.stderr)
tap.equal(too_wide(helped.stdout), [], '--help fits 80 columns')
for command in ('report', 'dump', 'info'):
    text = perfanalyze(command, '--help')
    tap.ok(text.returncode == 0 and command in text.stdout and not too_wide(text.stdout), f'{command} --help', text.stderr)
version = re.search(r'^VERSION := (\S+)', read('Makefile'), re.M).group(1)
tap.ok(version in perfanalyze('--version').stdout, '--version is the makefile\'s')
for arguments, named in ((['--jsno', trace], '--jsno'), (['reprot', trace, trace], 'reprot'), ([], ''), (['dump'], '')):
    text = perfanalyze(*arguments)
    tap.ok(text.returncode == 2 and text.stdout == '' and text.stderr.startswith('perfanalyze: ') and named in text.stderr,
           f"{' '.join(arguments[:1]) or 'nothing'}: a usage error", text.stdout + text.stderr)

# Input that is none.
directory = work_dir()
for name, content in (('empty', b''), ('text', b'no trace at all\n' * 100),
                      ('zstd', bytes.fromhex('28b52ffd04000900006162630a') * 9)):
    path = os.path.join(directory, name)
    with open(path, 'wb') as f:
        f.write(content)
for name in ('empty', 'text', 'zstd', 'missing', '.'):
    path = os.path.join(directory, name)
    for command in ('report', 'dump', 'info'):
        text = perfanalyze(command, path)
        tap.ok(text.returncode == 2 and text.stdout == '' and text.stderr.startswith(f'perfanalyze: {path}: ') and
               text.stderr.count('\n') == 1, f'{command} {name}: one line of error', text.stdout + text.stderr)

# The report as text.
text = perfanalyze(trace)
tap.equal((text.returncode, text.stderr), (0, ''), 'a report on a pipe: no progress, nothing on standard error')
tap.equal(perfanalyze('report', trace).stdout, text.stdout, '"report" is what is meant without a command')
tap.equal(too_wide(text.stdout), [], 'fits 80 columns')
tap.ok('\x1b' not in text.stdout, 'no colours on a pipe')
position = [text.stdout.find(word) for word in ('NORMAL', 'INCONCLUSIVE') if word in text.stdout]
tap.ok(position and min(position) < text.stdout.find('GET /items/{id}'), 'verdicts come before routes', text.stdout)
for route in ('GET /items/{id}', 'GET /search', 'POST /orders', 'GET /file', 'GET /nowhere'):
    tap.ok(route in text.stdout, f'{route} is in it')
work = text.stdout[text.stdout.find('ROUTES: WORK'):text.stdout.find('ROUTES: ANSWERS')]
tap.ok(re.search(r'^GET /nowhere +0 ', work, re.M) and 'errors: HTTP answers of status 5xx,' in work,
       'a 404 is no error, and a footnote says what is', work)
tap.ok('\x1b[' in on_terminal([PERFANALYZE, trace], {'TERM': 'xterm', 'NO_COLOR': ''}), 'colours on a terminal')
tap.ok('\x1b[3' not in on_terminal([PERFANALYZE, trace], {'TERM': 'xterm', 'NO_COLOR': '1'}), 'none with NO_COLOR')

# The report as JSON.
text = perfanalyze('--json', trace)
schema = json.loads(read('formats', 'report.schema.json'))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
result = json.loads(text.stdout)
problems = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator(schema).iter_errors(result)]
tap.equal(problems, [], '--json keeps to its schema')
tap.equal((result['schema'], result['exit_code']), ('perfshim.report/1', text.returncode), 'it names schema and exit code')
broken = json.loads(text.stdout)
broken['routes'][0]['requests'] = -1
del broken['verdicts']
tap.equal(len(list(validator(schema).iter_errors(broken))), 2, 'the schema refuses what is wrong')
nothing = run_shimmed(['/bin/true'])
problems = [e.message for e in validator(schema).iter_errors(report(nothing.trace))]
tap.equal(problems, [], 'and holds for a program that serves nothing')

# dump and info.
dump = perfanalyze('dump', trace)
tap.equal(dump.stdout.count('\n'), result['trace']['events'], 'dump: one line an event')
info = perfanalyze('info', trace)
tap.ok(info.returncode == 0 and str(shop.pid) in info.stdout and not too_wide(info.stdout), 'info names the process',
       info.stdout)
columns = perfanalyze('info', '--columns', trace)
shares = [float(share) for share in re.findall(r' ([0-9.]+)%$', columns.stdout, re.M)]
tap.ok(columns.returncode == 0 and columns.stdout.startswith(info.stdout) and '\n(times) ' in columns.stdout and
       abs(sum(shares) - 100) < 2 and not too_wide(columns.stdout), 'and with --columns what takes its bytes', columns.stdout)
for mode in ('off', 'ledger', 'exact', 'sampled', 'sampled:4K', 'auto'):
    heap = perfanalyze('info', run_shimmed(['/bin/true'], env={'PERFSHIM_HEAP': mode}).trace).stdout
    tap.equal(re.findall(r'^ *(?:settings +)?heap (.*)$', heap, re.M), [mode.split(':')[0]], f'heap {mode}: so does info')
pipe = run(['/bin/sh', '-c', f'"{PERFANALYZE}" dump "{trace}" | head -n 1'])
tap.ok(pipe.stdout.count('\n') == 1 and pipe.stderr == '', 'dump into a pipe that closes', pipe.stderr)
full = run(['/bin/sh', '-c', f'"{PERFANALYZE}" "{trace}" >/dev/full'])
tap.ok(full.returncode == 2 and 'perfanalyze: ' in full.stderr, 'a full disk behind standard output is an error',
       full.stderr)

# A torn file.
torn = os.path.join(directory, 'torn.zst')
whole = open(trace, 'rb').read()
with open(torn, 'wb') as f:
    f.write(whole[:len(whole) * 3 // 4])
result = report(torn)
tap.ok(result['trace']['truncated_bytes'] > 0 and result['routes'], 'a torn file: the sound part is reported',
       result['trace'])
tap.equal(perfanalyze('--strict', torn).returncode, 3, '--strict: exit code 3')
unclear = any(v['verdict'] == 'INCONCLUSIVE' for v in report(trace)['verdicts'])
tap.equal((perfanalyze(trace).returncode, perfanalyze('--strict', trace).returncode), (0, 1 if unclear else 0),
          '--strict on the whole file: 0, or 1 if a verdict is INCONCLUSIVE')
tap.equal(perfanalyze('info', '--strict', trace).returncode, 0, 'of info, 0')

# The manual.
manual = {}
for page in ('perfanalyze.1', 'perfshim.7'):
    path = os.path.join(ROOT, 'docs', page)
    lint = run(['groff', '-mandoc', '-Tutf8', '-ww', '-z', path])
    tap.equal((lint.returncode, lint.stderr), (0, ''), f'{page}: groff has nothing to warn of')
    shown = run(['man', '-l', path], env={**os.environ, 'MANWIDTH': '80', 'LC_ALL': 'C.UTF-8'})
    tap.ok(shown.returncode == 0 and shown.stderr == '' and not too_wide(shown.stdout), f'{page}: man shows it',
           shown.stderr or too_wide(shown.stdout))
    manual[page] = shown.stdout
for name in re.findall(r'^SETTING\((\w+)', read('shim', 'settings.def'), re.M):
    tap.ok(all(f'PERFSHIM_{name}' in text for text in (manual['perfshim.7'], read('README.md'))),
           f'PERFSHIM_{name} is in perfshim(7) and the README')
options = set(re.findall(r'--[a-z][a-z-]+', helped.stdout))
tap.equal([o for o in options if o not in manual['perfanalyze.1']], [], 'every option is in perfanalyze(1)')

# Installation.
tree = os.path.join(directory, 'tree')
make = ['make', '-C', ROOT, f'O={O}', f'DESTDIR={tree}', 'PREFIX=/opt/perfshim']
environment = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'T')}


def files():
    return sorted(os.path.join(base, name)[len(tree):] for base, _, names in os.walk(tree) for name in names)


installed = run([*make, 'install'], env=environment, timeout=120)
tap.equal(files(), ['/opt/perfshim/bin/perfanalyze', '/opt/perfshim/lib/perfshim/libperfshim.so',
                    '/opt/perfshim/lib/perfshim/perfshim-recorder', '/opt/perfshim/share/man/man1/perfanalyze.1',
                    '/opt/perfshim/share/man/man7/perfshim.7'], 'make install: what is there')
trace_there = os.path.join(directory, 'installed.zst')
used = run(['/bin/true'], env={**os.environ, 'LD_PRELOAD': f'{tree}/opt/perfshim/lib/perfshim/libperfshim.so',
                               'PERFSHIM_OUT': trace_there})
tap.equal((used.returncode, run([f'{tree}/opt/perfshim/bin/perfanalyze', 'info', trace_there]).returncode), (0, 0),
          'the library finds its recorder there, and the analyzer opens the trace')
run([*make, 'uninstall'], env=environment, timeout=120)
tap.equal(files(), [], 'make uninstall: nothing is left')

# What the host can see of the library.
names = re.findall(r'^HOOK\((\w+)', read('shim', 'hooks.def'), re.M)
defined = run(['nm', '-D', '--defined-only', '--format=posix', SHIM]).stdout
exported = {line.split()[0].split('@')[0] for line in defined.splitlines() if line.split()[1] != 'A'}
tap.equal(sorted(exported), sorted(names), 'exported names are the hook table\'s')
needed = re.findall(r'NEEDED\s+(\S+)', run(['objdump', '-p', SHIM]).stdout)
tap.ok(set(needed) <= {'libc.so.6', 'libdl.so.2', 'libpthread.so.0', 'ld-linux-x86-64.so.2'}, 'it needs libc alone', needed)
SEEN = """
import ctypes
everything = ctypes.CDLL(None)
names = 'ZSTD_versionNumber unw_backtrace unw_init_local _ULx86_64_init_local _Unwind_Backtrace'.split()
print([name for name in names if hasattr(everything, name)])
"""
bare = run(['/usr/bin/python3', '-c', SEEN])
tap.equal(run_shimmed(['/usr/bin/python3', '-c', SEEN]).stdout, bare.stdout, 'no name of libunwind or zstd reaches a host')
tap.done()
