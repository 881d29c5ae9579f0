#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PERFSHIM_MAX_SIZE: a trace of many times its bound stays below it, is whole at any moment, and knows what lasts."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (O, PERFANALYZE, Tap, dump, perfanalyze, report, route_of, run, shim_environment,  # noqa: E402
                     start_shop, wait_until, work_dir, wrk)
from servers import recorders, wrk_mix  # noqa: E402

BOUND = 4 << 20
BOUNDED = {'PERFSHIM_MAX_SIZE': '4M', 'PERFSHIM_MAX_STALL': '10000'}  # a busy machine is no reason to lose events
LEAK_BYTES = 1000
LOAD_S = 14  # where there is no detail the heap is known once a second
MIX = [('GET', '/search?q=leak', None)] * 9 + [('POST', '/sessions', '')]

tap = Tap()


def copy(trace, name):
    """A copy of the trace as it is now."""
    path = os.path.join(os.path.dirname(trace), name)
    shutil.copyfile(trace, path)
    return path


class Watch(threading.Thread):
    """Looks at a growing trace: its largest size, the recorder's largest memory, and copies of it that must be whole."""

    def __init__(self, trace):
        super().__init__()
        self.trace, self.over, self.largest, self.memory, self.copies, self.bad = trace, False, 0, 0, 0, []
        self.compactions, self.file = -1, None  # each makes another file
        self.start()

    def look(self):
        try:
            status = os.stat(self.trace)
            self.largest = max(self.largest, status.st_size)
            if status.st_ino != self.file:
                self.compactions, self.file = self.compactions + 1, status.st_ino
            for pid in recorders(self.trace):
                status = open(f'/proc/{pid}/status').read()
                self.memory = max(self.memory, int(re.search(r'VmHWM:\s+(\d+)', status).group(1)) * 1024)
        except (OSError, AttributeError):
            pass

    def copy(self):
        for attempt in range(5):  # one may be taken in the middle of a write
            here = copy(self.trace, 'copy.zst')
            checked = run(['zstd', '-q', '-t', here])
            if checked.returncode == 0:
                self.copies += 1
                return
        self.bad.append(checked.stderr)

    def run(self):
        last = 0
        while not self.over:
            if os.path.exists(self.trace):
                self.look()
                if time.monotonic() - last > 0.5:
                    self.copy()
                    last = time.monotonic()
            time.sleep(0.02)

    def stop(self, name, at_least):
        self.over = True
        self.join()
        tap.ok(0 < self.largest <= BOUND, f'{name}: the file is at most {self.largest} bytes', BOUND)
        tap.ok(self.copies >= at_least and not self.bad, f'{name}: {self.copies} copies of it while it grew are whole', self.bad)
        print(f'# {name}: recorder {self.memory / 1e6:.1f} MB at most')


MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"""


def analyze(trace, name):
    """The JSON report; prints how much memory that took (measured from a small process: the number includes its starter's)."""
    got = run([sys.executable, '-c', MEASURE, PERFANALYZE, '--json', trace], timeout=120)
    print(f'# {name}: perfanalyze {int(got.stderr.split()[-1]) * 1024 / 1e6:.1f} MB at most')
    return json.loads(got.stdout)


def sums(result, function):
    """Live objects, their bytes, and allocations of the sites in a function."""
    sites = [s for s in result['memory']['sites'] if any(f.startswith(function) for f in s['stack'])]
    return tuple(sum(s[key] for s in sites) for key in ('live_objects', 'live_bytes', 'allocations'))


# A program that says itself what is live when it ends.
directory = work_dir()
trace = os.path.join(directory, 'soak.zst')
watch = Watch(trace)
soak = run([f'{O}/tests/programs/soak', '1000000'], env=shim_environment(trace, BOUNDED), timeout=120)
perfanalyze('info', trace)  # waits for the recorder
watch.stop('soak', 2)
tap.equal(soak.returncode, 0, 'soak: the program ends well')
result = analyze(trace, 'soak')
detail = result['trace']['detail']
tap.ok(detail and detail['dropped_bytes'] >= 20 * BOUND, f"soak: {detail['dropped_bytes'] / BOUND:.1f} times the bound were dropped")
tap.ok(detail['bound_held'] and 0 < detail['seconds'] < result['trace']['duration_s'] / 2, 'soak: the report says of which time there is detail',
       detail)
truth = {name: tuple(map(int, numbers)) for name, *numbers in map(str.split, soak.stdout.splitlines())}
for function, expected in truth.items():
    if result['trace']['lost_events']:
        tap.skip(f'soak: {function}', 'events were lost: the machine is too busy')
    else:  # sites of which nothing is live are not shown
        known = 2 if function == 'churn_object' else 3
        tap.equal(sums(result, function)[:known], expected[:known], f'soak: live objects, bytes and allocations of {function}')
tap.equal([p['ended'] for p in result['trace']['processes']], ['exit', 'exit'], 'soak: both processes are known')
tap.equal([p['threads'] for p in result['trace']['processes']], [3, 1], 'soak: with their threads')
ledger = [e for e in dump(trace) if e.name == 'thread_end']
allocations = sum(s[2] for s in truth.values())
tap.ok(allocations <= sum(e.int('alloc_count') for e in ledger) <= allocations + 200, 'soak: the ledgers have it all',
       [e.line for e in ledger])
text = perfanalyze(trace).stdout
tap.ok('DETAIL' in text and 'kept below 4.19 MB' in text, 'soak: the text says so too', text)
tap.ok('were dropped to stay below 4194304' in perfanalyze('info', trace).stdout, 'soak: and info')

# The same rules without a bound give the same numbers.
whole = run([f'{O}/tests/programs/soak', '20000'], env=shim_environment(os.path.join(directory, 'whole.zst')), timeout=60)
result = report(os.path.join(directory, 'whole.zst'))
tap.equal(result['trace']['detail'], None, 'without a bound nothing is dropped')
for function, *numbers in map(str.split, whole.stdout.splitlines()):
    tap.equal(sums(result, function)[:2], tuple(map(int, numbers))[:2], f'without a bound: {function}')

# A server with a leak: the verdict is of the whole run, the routes of its end.
with start_shop('--leak', LEAK_BYTES, env=BOUNDED) as shop:
    watch = Watch(shop.trace)
    began = time.monotonic()
    while time.monotonic() - began < LOAD_S or (watch.compactions < 2 and time.monotonic() - began < 200):
        wrk(f'http://127.0.0.1:{shop.port}', seconds=LOAD_S, connections=16, threads=1, script=wrk_mix(MIX))
    loaded_s = time.monotonic() - began
    tap.equal(shop.stop(), 0, 'shop: the server ends well')
    perfanalyze('info', shop.trace)
    watch.stop('shop', 3)
    statistics = {key: int(value) for key, value in re.findall(r'^(\w+) (\d+)$', shop.stdout(), re.M)}
result = analyze(shop.trace, 'shop')
detail = result['trace']['detail']
tap.ok(detail and detail['dropped_bytes'] > BOUND // 4, f"shop: {detail and detail['dropped_bytes'] / BOUND:.1f} times the bound were dropped",
       shop.stdout())
tap.equal({v['name']: v['verdict'] for v in result['verdicts']}['memory'], 'LEAK', 'shop: the verdict')
tap.ok(abs(detail['requests'] - statistics['requests']) <= 16, f"shop: {detail['requests']} requests in the whole run", (statistics, result["trace"]["lost_events"], detail))
window = sum(r['requests'] for r in result['routes'])
tap.ok(0 < window < detail['requests'], f'shop: {window} of them in the routes', detail)
tap.equal(result['upstream_routes'], [], 'shop: none of them seen from the wrong side')
if result['trace']['lost_events']:
    tap.skip('shop: what is live', 'events were lost: the machine is too busy')
else:
    tap.equal(result['exchanges'], {**result['exchanges'], 'unpaired': 0, 'lost_framing': 0}, 'shop: connections that were open are followed')
    tap.equal(sums(result, 'session_create')[:2], (statistics['kept_sessions'], statistics['kept_bytes']), 'shop: what is live')
    row = route_of(result, 'POST /sessions')
    tap.near(row['kept_bytes_per_request']['value'], LEAK_BYTES, 0.05, 'shop: kept per request')
growth = result['memory']['growth_mb_per_hour']
tap.near(growth['value'], statistics['kept_bytes'] / 1e6 / loaded_s * 3600, 0.5, 'shop: the slope is that of the whole run')
tap.ok(result['memory']['live_heap_mb']['initial'] < 0.1, 'shop: from its beginning', result['memory']['live_heap_mb'])

# Killed at any moment, also while it compacts, the recorder leaves a whole trace.
random.seed(1)
seen_new = 0
for turn in range(30):  # a compaction takes some milliseconds: how often one is met is chance
    if turn >= 6 and seen_new >= 2:
        break
    trace = os.path.join(directory, f'killed-{turn}.zst')
    program = subprocess.Popen([f'{O}/tests/programs/soak', '1000000'], env=shim_environment(trace, BOUNDED),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    here = wait_until(lambda: recorders(trace))
    if turn % 2:
        wait_until(lambda: os.path.exists(trace + '.new'), step=0.0005)
    else:
        time.sleep(random.uniform(0.2, 1))
    for pid in here or []:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in here))
    seen_new += os.path.exists(trace + '.new')
    program.kill()
    program.wait(60)
    size = os.stat(trace).st_size
    got = run([PERFANALYZE, 'report', '--json', trace], timeout=60)
    good = got.returncode in (0, 1) and json.loads(got.stdout)['trace']['events'] > 0
    if turn < 6 or not good or size > BOUND:
        tap.ok(good and size <= BOUND, f'kill -9 {turn + 1}: a trace of {size} bytes', got.stderr)
tap.ok(seen_new >= 2, f'{seen_new} of them came in the middle of a compaction')

# A worker killed at any moment is followed by another one, in the same file and below the same bound; without its guard it goes on.
def of_name(trace, name):
    for pid in recorders(trace):
        try:
            with open(f'/proc/{pid}/comm') as f:
                if f.read().strip() == name:
                    return pid
        except OSError:
            continue
    return None


def kill_one(trace, name, in_compaction):
    if in_compaction:
        wait_until(lambda: os.path.exists(trace + '.new'), timeout=10, step=0.0005)
        time.sleep(random.uniform(0, 0.02))
    pid = of_name(trace, name)
    if pid:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f'/proc/{pid}'))
    return pid is not None


blind = 0
for turn in range(4):
    name = f'worker killed {turn + 1}'
    trace = os.path.join(directory, f'again-{turn}.zst')
    program = subprocess.Popen([f'{O}/tests/programs/soak', '1000000'], env=shim_environment(trace, BOUNDED),
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    wait_until(lambda: recorders(trace))
    watch = Watch(trace)
    time.sleep(random.uniform(0.5, 1))
    kills = 0
    for _ in range(3):
        kills += kill_one(trace, 'perfshim-record', turn % 2)
        time.sleep(random.uniform(0.3, 0.8))
    if turn >= 2:
        kill_one(trace, 'perfshim-guard', turn % 2)
    said = program.communicate(timeout=120)[0]
    tap.equal(program.returncode, 0, f'{name}: the program ends well')
    perfanalyze('info', trace)
    watch.stop(name, 1)
    result = report(trace)
    restarts = [gap for gap in result['trace']['gaps'] if gap['reason'] == 'restarted']
    tap.ok(1 <= len(restarts) <= kills, f'{name}: {len(restarts)} restarts are told', [kills, result['trace']['gaps']])
    tap.equal([p['ended'] for p in result['trace']['processes']], ['exit', 'exit'], f'{name}: recording went on to the end')
    detail = result['trace']['detail']
    tap.ok(detail and detail['bound_held'], f'{name}: detail was dropped', detail)
    blind += detail['known_from_s'] > 0
    tap.ok(result['verdicts'][0]['verdict'] in ('INCONCLUSIVE', 'MONITOR'), f'{name}: no verdict that claims to know all', result['verdicts'])
    truth = {what: tuple(map(int, numbers)) for what, *numbers in map(str.split, said.splitlines())}
    tap.ok(sums(result, 'keep_object')[2] <= truth['keep_object'][2], f'{name}: no allocation is counted twice', truth)
    tap.ok(not os.path.exists(trace + '.new'), f'{name}: nothing is left behind')
tap.ok(blind >= 2, f'in {blind} of them the report says from when on objects are known')

def cpu_of(program):
    """What a process has used of processors, in s; 0 if it has ended."""
    try:
        with open(f'/proc/{program.pid}/stat') as f:
            return sum(map(int, f.read().rpartition(')')[2].split()[11:13])) / os.sysconf('SC_CLK_TCK')
    except OSError:
        return 0


# A disk without room for a second file, and then with some: the bound holds, and what is live stays known.
disk = work_dir()
if os.getuid() == 0 and run(['mount', '-t', 'tmpfs', '-o', 'size=5m', 'perfshim-test', disk]).returncode == 0:
    try:
        trace = os.path.join(disk, 'trace.zst')
        program = subprocess.Popen([f'{O}/tests/programs/soak', '1500000'], env=shim_environment(trace, BOUNDED),
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        wait_until(lambda: os.path.exists(trace) and os.path.getsize(trace) > 0.8 * BOUND)
        cpu_s = cpu_of(program)
        wait_until(lambda: cpu_of(program) > cpu_s + 2 or program.poll() is not None)  # more than the recorder can keep in memory
        run(['mount', '-o', 'remount,size=32m', disk])
        said = program.communicate(timeout=120)[0]
        perfanalyze('info', trace)
        tap.ok(os.stat(trace).st_size <= BOUND, 'a full disk: the file is below its bound', os.stat(trace))
        result = report(trace)
        tap.equal([gap['reason'] for gap in result['trace']['gaps']], ['no_room'], 'a full disk: a gap is told')
        tap.ok(result['trace']['detail'] and result['trace']['lost_events'] > 0, 'a full disk: recording went on, losses are counted',
               result['trace'])
        for what, *numbers in map(str.split, said.splitlines()):
            tap.equal(sums(result, what)[:2], tuple(map(int, numbers))[:2], f'a full disk: what is live of {what}')
    finally:
        run(['umount', disk])
else:
    tap.skip('a full disk', 'no tmpfs can be mounted')

# A remainder of such a kill is no obstacle.
trace = os.path.join(directory, 'again.zst')
open(trace + '.new', 'w').close()
run([f'{O}/tests/programs/soak', '100000'], env=shim_environment(trace, BOUNDED), timeout=60)
perfanalyze('info', trace)
tap.ok(os.stat(trace).st_size <= BOUND and report(trace)['trace']['detail'], 'a remainder of a killed recorder is replaced')
tap.ok(not os.path.exists(trace + '.new'), 'and none is left')
said = run(['/bin/echo', 'out'], env=shim_environment(os.path.join(directory, 'small.zst'), {'PERFSHIM_MAX_SIZE': '1M'}))
tap.ok(said.stdout == 'out\n' and 'PERFSHIM_MAX_SIZE=1M' in said.stderr, 'a bound below 4M is refused by name', said.stderr)
tap.done()
