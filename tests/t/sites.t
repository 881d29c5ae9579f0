#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sites whose figures the program says itself, in C, C++ and Rust, inlined ones and templates among them; and where names come from:
the file that was recorded and no other, separate debug files, debuginfod, the lists of JITs."""

import collections
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, ROOT, Tap, dump, have, perfanalyze, report, run, run_shimmed, work_dir

import json

tap = Tap()
FIGURES = ('live_objects', 'live_bytes', 'allocations', 'allocated_bytes', 'temporary_allocations', 'temporary_bytes', 'peak_bytes')


def plan(text):
    """What a program of sites.h says: by name, line and what it is inlined into, the sums of its figures."""
    expected = collections.defaultdict(lambda: [0] * len(FIGURES))
    for line in text.splitlines():
        name, number, into, *figures = line.split('|')
        key = (name, int(number), into)
        expected[key] = [a + b for a, b in zip(expected[key], map(int, figures))]
    return expected


def sites(trace, *options):
    result = perfanalyze('--json', '--sites', '1000', *options, trace)
    return json.loads(result.stdout)['memory']['sites']


def holds(site, name, line, into):
    """Whether the site is at that line of that function, inlined as it says."""
    for frame, outer in zip(site['frames'], site['frames'][1:]):
        if frame['function'] and frame['function'].endswith(name) and frame['line'] == line:
            return frame['inlined'] and (outer['function'] or '').startswith(into) if into else not frame['inlined']
    return False


def check(language, done):
    tap.equal(done.returncode, 0, f'{language}: the program ends well')
    found = sites(done.trace)
    expected = plan(done.stdout)
    for (name, line, into), figures in expected.items():
        here = [s for s in found if holds(s, name, line, into)]
        got = [sum(s[f] for s in here) for f in FIGURES]
        tap.ok(got == figures, f'{language}: {name}' + (f', inlined into {into}' if into else ''),
               f'got {got}\nexpected {figures}\n' + '\n'.join(str(s['stack'][:4]) for s in found))
    return len(expected)


# The figures.
count = 0
done = run_shimmed([f'{O}/tests/programs/sites_c'])
count += check('C', done)
cxx = run_shimmed([f'{O}/tests/programs/sites_cxx'])
count += check('C++', cxx)
rustc = '/usr/bin/rustc'
for mangling in ('legacy', 'v0'):
    program = os.path.join(work_dir(), 'sites_rust')
    if not os.path.exists(rustc):
        tap.skip(f'Rust, {mangling}', 'rustc is not installed')
        continue
    options = ['-C', 'symbol-mangling-version=v0'] if mangling == 'v0' else []
    built = run([rustc, '-O', '-g', '--crate-name', 'sites_rust', *options, '-o', program, f'{ROOT}/tests/programs/sites_rust.rs'], timeout=120)
    if tap.equal(built.returncode, 0, f'Rust, {mangling}: it compiles'):
        count += check(f'Rust, {mangling}', run_shimmed([program, *options[1:]]))
print(f'# {count} sites')

# By each order, in text too.
result = report(done.trace)
top = result['memory']['top']
listed = result['memory']['sites']
for order, key in (('live', 'live_bytes'), ('rate', 'allocated_bytes_per_s'), ('count', 'allocations_per_s'),
                   ('temporary', 'temporary_allocations'), ('peak', 'peak_bytes')):
    values = [listed[i][key] for i in top[order]]
    tap.ok(len(values) == 10 and values == sorted(values, reverse=True), f'{order}: ten sites, the best first', values)
    tap.equal(values[0], max(s[key] for s in sites(done.trace)), f'{order}: the first is the best of all')
total = result['memory']['all_sites']
tap.equal([total[f] for f in FIGURES], [sum(s[f] for s in sites(done.trace)) for f in FIGURES], 'all sites together are the sum of all')
text = perfanalyze('--sort', 'temporary', '--sites', '2', done.trace).stdout
tap.ok('WHAT IS FREED' in text and 'WHAT IS LIVE' not in text and ' 36 objects, 43.2 kB, 100%' in text and text.count('inlined_right') == 1,
       '--sort and --sites choose what is shown', text)
text = perfanalyze(done.trace).stdout
tap.ok('inlined_inner sites_c.c:' in text and '[inlined]' in text and 'WHAT WAS LIVE AT THE PEAK' in text, 'the text marks inlined frames', text)

# A file that is not any more what was recorded gives no names.
directory = work_dir()
program = os.path.join(directory, 'server')
shutil.copy(f'{O}/tests/programs/sites_c', program)
upgraded = run_shimmed([program])
ids = {e.fields['id'] for e in dump(upgraded.trace) if e.name == 'build_id'}
note = run(['readelf', '-n', program]).stdout
recorded = note.split('Build ID:')[1].split()[0]
tap.ok(recorded in ids, 'the build id is recorded', f'{recorded} {ids}')
tap.equal(report(upgraded.trace)['stacks']['changed_files'], [], 'it is what it was')
os.unlink(program)
shutil.copy(f'{O}/tests/programs/sites_cxx', program)
result = report(upgraded.trace)
changed = result['stacks']['changed_files']
tap.ok(len(changed) == 1 and changed[0]['path'] == program and changed[0]['build_id'] == recorded and changed[0]['build_id_now'] not in (None, recorded),
       'an upgrade is noticed', changed)
names = {f['function'] for s in result['memory']['sites'] for f in s['frames'] if f['module'] == program}
texts = {f for s in result['memory']['sites'] for f in s['stack'] if f.startswith('server')}
tap.ok(names == {None} and all(f.startswith('server+0x') for f in texts), 'and gives no names', f'{names} {texts}')
text = perfanalyze(upgraded.trace).stdout
tap.ok(text.count('has changed since') == 1 and recorded in text.replace('\n', '').replace(' ', ''), 'the report says so once', text)
os.unlink(program)
changed = report(upgraded.trace)['stacks']['changed_files']
tap.ok(len(changed) == 1 and changed[0]['gone'] and changed[0]['build_id_now'] is None, 'so is its removal', changed)

# Separate debug files.
debug = os.path.join(directory, '.debug')
os.mkdir(debug)
for command in (['objcopy', '--only-keep-debug', f'{O}/tests/programs/sites_c', f'{debug}/server.debug'],
                ['objcopy', '--strip-all', f'--add-gnu-debuglink={debug}/server.debug', f'{O}/tests/programs/sites_c', program]):
    tap.equal(run(command).returncode, 0, ' '.join(command[:2]))


def function_names(trace, **environment):
    result = run([f'{O}/perfanalyze', '--json', trace], env=dict(os.environ, **environment))
    return {f['function'] for s in json.loads(result.stdout)['memory']['sites'] for f in s['frames']}


tap.ok('inlined_inner' in function_names(upgraded.trace), 'a stripped file has its names by its debug link')
os.rename(f'{debug}/server.debug', f'{directory}/hidden')
names = function_names(upgraded.trace)
tap.ok('main' not in names and None in names, 'without it none', names)


class Debuginfod(http.server.BaseHTTPRequestHandler):
    """Gives out the debug file and the program by build id."""
    files = {f'/buildid/{recorded}/debuginfo': f'{directory}/hidden', f'/buildid/{recorded}/executable': f'{O}/tests/programs/sites_c'}

    def do_GET(self):
        path = self.files.get(self.path)
        self.send_response(200 if path else 404)
        content = open(path, 'rb').read() if path else b''
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def debuginfod_names():
    cache = work_dir()
    return function_names(upgraded.trace, DEBUGINFOD_URLS=f'http://127.0.0.1:{server.server_port}', DEBUGINFOD_CACHE_PATH=cache, HOME=cache)


if not os.path.exists('/usr/lib/x86_64-linux-gnu/libdebuginfod.so.1'):
    tap.skip('names from debuginfod', 'libdebuginfod1 is not installed')
else:
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Debuginfod)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tap.ok('inlined_inner' in debuginfod_names(), 'debuginfod has the names of a stripped file')
    shutil.copy(f'{O}/tests/programs/sites_cxx', program)
    tap.ok('inlined_inner' in debuginfod_names(), 'and those of a file that was replaced since')
    server.shutdown()

# The lists of JITs.
maps = work_dir()
script = 'function leaky(n) { const a = []; for (let i = 0; i < n; i++) a.push(Buffer.allocUnsafeSlow(5000 + i)); return a; }' \
         'globalThis.kept = []; for (let i = 0; i < 300; i++) kept.push(leaky(30)); setTimeout(() => {}, 500)'
if not have('node'):
    tap.skip('names from a JIT', 'node is not installed')
else:
    node = run_shimmed(['node', '--perf-basic-prof', '--interpreted-frames-native-stack', '-e', script], cwd=work_dir())
    tap.equal(node.returncode, 0, 'node runs')
    name = f"perf-{report(node.trace)['trace']['processes'][0]['pid']}.map"

    def jit_names(*options):
        return {f['function'] for s in sites(node.trace, *options) for f in s['frames'] if f['jit']}

    try:
        names = jit_names()
        tap.ok(any('leaky' in n for n in names), "frames of node's JIT have names", names or os.listdir('/tmp'))
        tap.equal(jit_names('--maps', maps), set(), '--maps looks elsewhere')
        shutil.copy(f'/tmp/{name}', f'{maps}/{name}')
        tap.equal(jit_names('--maps', maps), names, 'where the list may be a copy')
        was = os.stat(f'/tmp/{name}')
        os.utime(f'/tmp/{name}', (1, 1))
        tap.equal(jit_names(), set(), 'in /tmp it must be of the time of the process')
        os.utime(f'/tmp/{name}', ns=(was.st_atime_ns, was.st_mtime_ns))
        tap.equal(jit_names(), names, 'as it is again')
        os.rename(f'/tmp/{name}', f'{maps}/real')
        os.symlink(f'{maps}/real', f'/tmp/{name}')
        tap.equal(jit_names(), set(), 'and no link')
        if os.getuid() == 0:
            os.unlink(f'/tmp/{name}')
            shutil.copy2(f'{maps}/real', f'/tmp/{name}')
            tap.equal(jit_names(), names, 'and again')
            os.chown(f'/tmp/{name}', 65534, 65534)
            tap.equal(jit_names(), set(), "nor another user's")
    finally:
        if os.path.lexists(f'/tmp/{name}'):
            os.unlink(f'/tmp/{name}')

    # The same as a jitdump, which node puts where it runs.
    dumps = work_dir()
    node = run_shimmed(['node', '--perf-prof', '--interpreted-frames-native-stack', '-e', script], cwd=dumps)
    tap.equal(node.returncode, 0, 'node runs with --perf-prof')
    pid = report(node.trace)['trace']['processes'][0]['pid']
    path = f'{dumps}/jit-{pid}.dump'

    def dump_names():
        result = perfanalyze('--json', '--sites', '1000', '--maps', dumps, node.trace)
        found = json.loads(result.stdout)['memory']['sites']
        return {f['function'] for s in found for f in s['frames'] if f['jit']}, result.stderr

    def write(file, content):
        with open(file, 'wb') as f:
            f.write(content)

    names, told = dump_names()
    tap.ok(any('leaky' in n for n in names) and not told, "a jitdump names frames of node's JIT", (names, told))
    whole = open(path, 'rb').read()
    write(path, whole[:-5])
    torn = perfanalyze('export', '--folded', '-', '--maps', dumps, node.trace)
    tap.ok(torn.returncode == 0 and '_[j]' in torn.stdout and
           re.match(f'perfanalyze: {path}: offset [0-9]+: the jitdump is broken or torn off here', torn.stderr),
           'of a torn one the sound part counts', torn.stderr)
    write(path, whole)
    write(f'{dumps}/perf-{pid}.map', b'1 7fffffffffff by the text\n')
    tap.equal(dump_names(), (names | {'by the text'}, ''), 'where a jitdump has no name, the text may have one')
    write(path, whole[3::-1] + whole[4:])
    swapped, told = dump_names()
    tap.ok(swapped == {'by the text'} and told.count('\n') == 1 and
           told.startswith(f'perfanalyze: {path}: offset 0: a jitdump of a machine with the other byte order'),
           'one of the other byte order is refused', (swapped, told))

# Shares that outlive all that is freed: against the lives that the program knows, by Kaplan and Meier with each age by itself.


def outliving(lives, end_ns):
    """The share, and the oldest age that was freed; lives: (from, to) in ns, to 0 of what is live."""
    ages = sorted(((to or end_ns) - begun, not to) for begun, to in lives)
    share = 1.0
    for i, (_, is_live) in enumerate(ages):
        if not is_live:
            share *= 1 - 1 / (len(ages) - i)
    return share, max((age for age, is_live in ages if not is_live), default=0)


done = run_shimmed([f'{O}/tests/programs/lifetimes'])
*rows, (end_ns,) = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
found = sites(done.trace)
for number, name in enumerate(('site_freed', 'site_some_kept', 'site_kept')):
    true_share, oldest_ns = outliving([row[1:] for row in rows if row[0] == number], end_ns)
    site = next((s for s in found if s['frames'][0]['function'] == name), None)
    share, (low, high) = (site['outlives']['value'], site['outlives']['ci95']) if site else (None, (1, 0))
    tap.ok(site and abs(share - true_share) <= 0.03 and low - 0.01 <= true_share <= high + 0.01,
           f'lifetimes: {name}: {share} outlive all that it frees, truth {true_share:.4f}', site)
    oldest_s = site and site['oldest_freed_s'] or 0
    tap.ok(abs(oldest_s - oldest_ns / 1e9) <= 0.05 + 0.02 * oldest_ns / 1e9,
           f'lifetimes: {name}: the oldest freed after {oldest_s} s, truth {oldest_ns / 1e9:.4f} s')
tap.done()
