#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""heaptrack, massif and perfshim on the same programs: the same functions allocate most, as often; the same call stack leaks, as much."""

import collections
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Server, Tap, have, http_requests, perfanalyze, report, run, run_shimmed, work_dir  # noqa: E402

PRELOAD = '/usr/lib/heaptrack/libheaptrack_preload.so'
INTERPRET = '/usr/lib/heaptrack/libexec/heaptrack_interpret'
PROGRAMS = f'{O}/tests/programs'

SESSIONS, LEAK_BYTES = 300, 1000  # malloc rounds 1000 up to nothing
SHOP = [f'{PROGRAMS}/../servers/shop', '--port', '0', '--leak', str(LEAK_BYTES)]

tap = Tap()
if not (have('heaptrack_print') and os.path.exists(PRELOAD) and os.path.exists(INTERPRET)):
    tap.skip('heaptrack', 'heaptrack is not installed')
    tap.done()


def heaptrack_environment(raw):
    return {'LD_PRELOAD': PRELOAD, 'DUMP_HEAPTRACK_OUTPUT': raw}


def heaptrack_print(directory, *options):
    """What heaptrack says of `raw` in this directory."""
    raw, data = os.path.join(directory, 'raw'), os.path.join(directory, 'data')
    with open(raw) as source, open(data, 'w') as out:
        out.write(run([INTERPRET], stdin=source, timeout=120).stdout)
    return run(['heaptrack_print', '-f', data, '-T', '0', '-t', '0', '-p', '0', *options], timeout=120).stdout


class Heaptrack:
    """What heaptrack says of a program: calls to allocation functions in all, and the functions that call most often with how often, as
    heaptrack_print lists them, merged by function."""

    def __init__(self, command):
        directory = work_dir()
        self.run = run(command, env={**os.environ, **heaptrack_environment(os.path.join(directory, 'raw'))}, timeout=120)
        self.text = heaptrack_print(directory, '-a', '1', '-n', '1000')
        self.calls = int(re.search(r'^calls to allocation functions: (\d+)', self.text, re.M).group(1))
        self.top = collections.Counter()
        for count, name in re.findall(r'^(\d+) calls to allocation functions with \S+ peak consumption from\n(.+)$', self.text, re.M):
            self.top[name] += int(count)


def perfshim(command):
    done = run_shimmed(command, timeout=120, env={'PERFSHIM_MAX_STALL': '10000'})  # a busy machine is no reason to lose events
    memory = json.loads(perfanalyze('--json', '--sites', '5000', done.trace).stdout)['memory']
    top = collections.Counter()
    for site in memory['sites']:
        top[next((f['function'] for f in site['frames'] if not f['inlined']), None)] += site['allocations']
    return done, memory['all_sites']['allocations'], top


# A thousand sites of eight threads, which count for themselves too: how often each is called does not depend on how they run.
command = [f'{PROGRAMS}/thousand', '1']
heaptrack = Heaptrack(command)
done, calls, top = perfshim(command)
truths = []
for finished in (heaptrack.run, done):
    tap.equal(finished.returncode, 0, 'thousand: ends well')
    truths.append({name: int(count) for name, count, *_ in map(str.split, finished.stdout.splitlines())})
tap.equal(truths[0], truths[1], 'thousand: allocates the same in both runs')
tap.equal(heaptrack.top.most_common(10), collections.Counter(truths[0]).most_common(10),
          "thousand: heaptrack's ten functions that allocate most often are those of the program's own count")
tap.equal(top.most_common(10), heaptrack.top.most_common(10), "thousand: perfshim's ten are heaptrack's, with the same counts")
sites = {name: count for name, count in heaptrack.top.items() if name.startswith('site_')}
differ = [(name, count, top[name]) for name, count in sites.items() if top[name] != count]
tap.ok(len(sites) > 900 and not differ, f'thousand: and so are all {len(sites)} sites that heaptrack lists', differ[:10])

# All that heaptrack counts. It brings libstdc++ into programs that are not of C++, which allocates its own pool there.
for name, arguments, own in (('thousand', ['2'], 1), ('stack_cxx', ['0'], 0), ('stack_storm', ['0', '3'], 1)):
    command = [f'{PROGRAMS}/{name}', *arguments]
    heaptrack = Heaptrack(command)
    _, calls, _ = perfshim(command)
    tap.equal(calls, heaptrack.calls - own, f'{name}: as many allocations as heaptrack counts')


# A server that leaks: (bytes, [function and line from the innermost on]) of its largest leak, by each of the three.


def leak(**options):
    """The server under a tool, with some requests that leak; it does not free that at its end."""
    server = Server(SHOP, ready=r'listening on \S+:(\d+)', timeout=100, **options)
    http_requests(server.port, 'POST', '/sessions', SESSIONS, timeout=60)
    tap.equal(server.stop(timeout=100), 0, f"a leaking server ends well, {options.get('prefix', ['preloaded'])[0]}")
    return server


def leak_by_heaptrack():
    directory = work_dir()
    leak(shimmed=False, env=heaptrack_environment(os.path.join(directory, 'raw')))
    text = heaptrack_print(directory, '-a', '0', '-l', '1', '-n', '1')
    size, calls = re.search(r'^([0-9.]+)K leaked over (\d+) calls from$', text, re.M).groups()
    tap.equal(int(calls), SESSIONS, 'heaptrack: as many leaked as there were requests')
    return round(float(size) * 1000), re.findall(r'^ *(\w+)\n +at \S*?(\w+\.c:\d+)', text, re.M)


def leak_by_massif():
    """At the peak, which is with the last session: that one is always looked at."""
    out = os.path.join(work_dir(), 'massif.out')
    leak(shimmed=False, prefix=['valgrind', '--tool=massif', '--peak-inaccuracy=0.0', '--detailed-freq=1', f'--massif-out-file={out}'])
    trees = re.split(r'^-+\n.*\n-+$', run(['ms_print', out], timeout=120).stdout, flags=re.M)
    found = [(0, [])]
    for tree in trees:
        rows = re.findall(r'->[0-9.]+% \(([0-9,]+)B\) 0x\w+: (\w+) \((\w+\.c:\d+)\)', tree)
        if rows:
            found.append((int(rows[0][0].replace(',', '')), [row[1:] for row in rows]))
    return max(found)


def leak_by_perfshim():
    result = report(leak(env={'PERFSHIM_MAX_STALL': '30000'}).trace)
    site = result['memory']['sites'][0]
    tap.equal(site['live_objects'], SESSIONS, 'perfshim: as many leaked as there were requests')
    return site['live_bytes'], [(f['function'], f"{os.path.basename(f['file'])}:{f['line']}") for f in site['frames'] if f['file']]


ours = leak_by_perfshim()
tap.equal(ours[0], SESSIONS * LEAK_BYTES, 'perfshim: the leak, to the byte')
for tool, ask in (('heaptrack', leak_by_heaptrack), ('massif', leak_by_massif)):
    if tool == 'massif' and not (have('valgrind') and have('ms_print')):
        tap.skip(tool, 'valgrind is not installed')
        continue
    size, frames = ask()
    tap.equal(size, ours[0], f'{tool}: the same bytes')
    tap.equal(frames[:5], ours[1][:5], f'{tool}: in the same five functions and lines')
tap.done()
