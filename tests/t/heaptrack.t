#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""heaptrack and perfshim on the same programs: the same functions allocate most, as often."""

import collections
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, have, perfanalyze, run, run_shimmed, work_dir  # noqa: E402

PRELOAD = '/usr/lib/heaptrack/libheaptrack_preload.so'
INTERPRET = '/usr/lib/heaptrack/libexec/heaptrack_interpret'
PROGRAMS = f'{O}/tests/programs'

tap = Tap()
if not (have('heaptrack_print') and os.path.exists(PRELOAD) and os.path.exists(INTERPRET)):
    tap.skip('heaptrack', 'heaptrack is not installed')
    tap.done()


class Heaptrack:
    """What heaptrack says of a program: calls to allocation functions in all, and the functions that call most often with how often, as
    heaptrack_print lists them, merged by function."""

    def __init__(self, command):
        directory = work_dir()
        raw, data = os.path.join(directory, 'raw'), os.path.join(directory, 'data')
        self.run = run(command, env={**os.environ, 'LD_PRELOAD': PRELOAD, 'DUMP_HEAPTRACK_OUTPUT': raw}, timeout=120)
        with open(raw) as source, open(data, 'w') as out:
            out.write(run([INTERPRET], stdin=source, timeout=120).stdout)
        self.text = run(['heaptrack_print', '-f', data, '-a', '1', '-p', '0', '-T', '0', '-n', '1000', '-t', '0'], timeout=120).stdout
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
tap.done()
