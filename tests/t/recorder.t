#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What happens to the recorder: killed, stopped, short of memory, of room, of its file. The host runs on, and what is lost is
known to the event: the events in the file and the lost ones add up to what the program says that it did."""

import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (O, PERFANALYZE, Tap, have, http_requests, perfanalyze, report, run, run_shimmed, shim_environment,  # noqa: E402
                     start_shop, wait_until, work_dir)
from servers import catches, recorders  # noqa: E402

tap = Tap()
STEADY = f'{O}/tests/programs/steady'
LOUD = {'PERFSHIM_QUIET': None}
# Where a scenario is to lose nothing by itself: on a busy machine the recorder may be late by more than the default.
PATIENT = {'PERFSHIM_MAX_STALL': '10000'}


def name_of(pid):
    try:
        with open(f'/proc/{pid}/comm') as f:
            return f.read().strip()
    except OSError:
        return ''


def worker(trace):
    return next((pid for pid in recorders(trace) if name_of(pid) == 'perfshim-record'), None)


def guard(trace):
    return next((pid for pid in recorders(trace) if name_of(pid) == 'perfshim-guard'), None)


def kill_worker(trace, number):
    """Kills the worker and waits for the next one; gives that."""
    pid = wait_until(lambda: worker(trace))
    os.kill(pid, number)
    return wait_until(lambda: worker(trace) not in (None, pid) and worker(trace))


class Steady:
    """The program `steady` in the background, recorded to the event: without what depends on how its threads are scheduled, which
    are long waits, and stacks, of which two threads that see one for the first time at once write one each."""

    EXACT = {'PERFSHIM_MIN_WAIT': '60000000', 'PERFSHIM_STACK_DEPTH': '0', 'PERFSHIM_MAX_STALL': None}

    def __init__(self, threads=2, milliseconds=0, burst=200, pairs=0, out=None, env=None, **options):
        """milliseconds=0: it runs until end()."""
        self.trace = out or os.path.join(work_dir(), 'trace.zst')
        self.until_told = milliseconds == 0
        self.process = subprocess.Popen([STEADY, str(threads), str(milliseconds), str(burst), str(pairs)], text=True,
                                        env=shim_environment(self.trace, {**self.EXACT, **(env or {})}),
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, **options)
        self.worker = wait_until(lambda: worker(self.trace))
        wait_until(lambda: catches(self.process.pid, signal.SIGTERM) or self.process.poll() is not None)

    def end(self):
        """Waits for it and for its recorder: pairs made, longest pair in ms, and the report."""
        if self.until_told:
            self.process.terminate()
        out, self.stderr = self.process.communicate(timeout=120)
        pairs, longest_ms = map(int, out.split())
        wait_until(lambda: not recorders(self.trace))
        self.report = report(self.trace)
        self.gaps = self.report['trace']['gaps']
        return pairs, longest_ms


def words_besides(trace):
    """Events that are not always the same in number: `lost`, the recorder's words among the threads' events; `stack`, which two
    threads may write both when they meet a call stack at once."""
    dumped = subprocess.Popen([PERFANALYZE, 'dump', trace], stdout=subprocess.PIPE)
    counted = run(['grep', '-cE', '^[^ ]+ [^ ]+ (lost|stack) '], stdin=dumped.stdout, env={**os.environ, 'LC_ALL': 'C'})
    dumped.wait(120)
    return int(counted.stdout)


def recorded_or_lost(s):
    """Events that the program made, by its report: those in the file, and the lost ones."""
    processes = s.report['trace']['processes']
    return sum(p['events'] + p['lost_events'] for p in processes) - words_besides(s.trace)


def others(threads=2):
    """Events of the program that are not of its pairs."""
    s = Steady(threads=threads, milliseconds=100)
    pairs, _ = s.end()
    return recorded_or_lost(s) - 2 * pairs


OTHERS = others()


def check_sum(s, pairs, name):
    tap.equal(recorded_or_lost(s), 2 * pairs + OTHERS, f'{name}: events and losses add up to what was done')


def check_file(trace, name):
    tap.equal(run(['zstd', '-tq', trace]).returncode, 0, f'{name}: zstd finds the file sound')
    info = perfanalyze('info', trace).stdout
    tap.ok('closed the file' in info and re.search(r'^damage +none$', info, re.M), f'{name}: it is closed and undamaged', info)


# --- killed ---

s = Steady(env=PATIENT)  # all that is lost is lost by the kill
time.sleep(1)
began = time.monotonic()
again = kill_worker(s.trace, signal.SIGKILL)
took_s = time.monotonic() - began
tap.ok(again, 'kill -9: another recorder takes over')
time.sleep(0.3)
pairs, longest_ms = s.end()
check_file(s.trace, 'kill -9')
check_sum(s, pairs, 'kill -9')
tap.ok(len(s.gaps) == 1 and s.gaps[0]['reason'] == 'restarted' and 'SIGKILL' in s.gaps[0]['detail'], 'the gap is told',
       s.report['trace'])
tap.ok(s.gaps and s.gaps[0]['duration_s'] <= 2.5 + 2 * took_s and s.gaps[0]['lost_events'] == s.report['trace']['lost_events'],
       'with its length and its events', s.report['trace'])
tap.equal(len(s.report['trace']['processes']), 1, 'the process is one')
verdict = {v['name']: v['verdict'] for v in s.report['verdicts']}
tap.ok(not s.gaps[0]['lost_events'] or 'NORMAL' not in verdict.values(), 'with lost events no verdict is NORMAL', verdict)
text = perfanalyze(s.trace).stdout
tap.ok(re.search(r'gap of .* events lost:', text), 'the text report has the gap', text[-900:])

s = Steady()
for _ in range(3):
    time.sleep(0.3)
    kill_worker(s.trace, signal.SIGSEGV)
pairs, longest_ms = s.end()
check_file(s.trace, 'three deaths')
check_sum(s, pairs, 'three deaths')
tap.equal([g['reason'] for g in s.gaps], ['restarted'] * 3, 'three deaths: three gaps')

s = Steady(burst=2000)
guarded = guard(s.trace)


def given_up():
    pid = worker(s.trace)
    if pid:
        os.kill(pid, signal.SIGKILL)
    return not os.path.exists(f'/proc/{guarded}')


tap.ok(wait_until(given_up), 'one that dies again and again is given up')
s.process.terminate()
s.process.communicate(timeout=120)
tap.equal(s.process.returncode, 0, 'and the program runs on')

s = Steady()
os.kill(guard(s.trace), signal.SIGKILL)
time.sleep(1)
joined = subprocess.run(['/bin/true'], env=shim_environment(s.trace))
pairs, _ = s.end()
check_file(s.trace, 'without its guard')
check_sum(s, pairs, 'without its guard')
tap.equal(s.gaps, [], 'without its guard: no gap')

# A connection in the midst of a message: nothing of it that is not on the allow-list may be kept, and later messages are seen.
with start_shop() as shop:
    with socket.create_connection(('127.0.0.1', shop.port), 60) as c:
        def ask(*parts):
            c.sendall(parts[0])
            for part in parts[1:]:
                time.sleep(0.3)
                kill_worker(shop.trace, signal.SIGKILL)
                c.sendall(part)
            return c.recv(65536)
        ask(b'GET /items/1 HTTP/1.1\r\nHost: x\r\n\r\n')
        ask(b'GET /items/2?token=hunter2 HTTP/1.1\r\nHost: x\r\nAuthor', b'ization: hunter2\r\n\r\n')
        ask(b'GET /items/2?tok', b'en=hunter2 HTTP/1.1\r\nHost: x\r\n\r\n')
        for _ in range(5):
            ask(b'GET /files/3 HTTP/1.1\r\nHost: x\r\n\r\n')
wait_until(lambda: not recorders(shop.trace))
content = subprocess.run(['zstd', '-dcq', shop.trace], stdout=subprocess.PIPE).stdout
tap.ok(b'hunter2' not in content, 'a message that two recorders saw parts of: no secret is kept')
routes = {r['route']: r['requests'] for r in report(shop.trace)['routes']}
tap.ok(sum(n for route, n in routes.items() if 'files' in route) >= 4, 'and the messages behind it are seen', routes)

# --- stopped, starved, signalled ---

s = Steady(burst=2000)
time.sleep(0.5)
os.kill(s.worker, signal.SIGSTOP)
time.sleep(2)
os.kill(s.worker, signal.SIGCONT)
pairs, longest_ms = s.end()
check_file(s.trace, 'stopped for 2 s')
check_sum(s, pairs, 'stopped for 2 s')
tap.ok(longest_ms < 1800, 'stopped for 2 s: the program did not wait as long', longest_ms)

s = Steady(env=PATIENT)
for pid in recorders(s.trace):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(pid, number)
time.sleep(0.5)
pairs, _ = s.end()
check_sum(s, pairs, 'SIGTERM and the like to the recorder')
tap.equal((s.gaps, s.report['trace']['lost_events']), ([], 0), 'SIGTERM and the like: nothing is lost')

busy = [subprocess.Popen(['/bin/sh', '-c', 'while :; do :; done']) for _ in range(2 * os.cpu_count())]
s = Steady(burst=50)
time.sleep(2)
pairs, longest_ms = s.end()
for b in busy:
    b.kill()
    b.wait()
check_sum(s, pairs, 'starved')
tap.ok(longest_ms < 5000, 'starved: the program is not held up for long', longest_ms)

s = Steady(threads=2, milliseconds=2500, burst=500)
with open(f'/proc/{s.worker}/statm') as f:
    size = int(f.read().split()[0]) * 4096
resource.prlimit(s.worker, resource.RLIMIT_AS, (size, size))
resource.prlimit(s.worker, resource.RLIMIT_DATA, (1 << 20, 1 << 20))
pairs, _ = s.end()
check_file(s.trace, 'short of memory')
check_sum(s, pairs, 'short of memory')
tap.equal(s.process.returncode, 0, 'short of memory: the program runs on')

# --- no room ---


def limit_file_size(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


ran = run_shimmed([STEADY, '2', '500', '2000'], preexec_fn=limit_file_size(200000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
tap.ok(ran.returncode == 0 and report(ran.trace)['trace']['gaps'] == [] and os.path.getsize(ran.trace) > 200000,
         "a soft limit of file size is the host's, not the recorder's")

s = Steady(milliseconds=1, burst=1000, pairs=2000000)  # more than the recorder can keep in memory
limit = os.path.getsize(s.trace) + 400000
for pid in recorders(s.trace):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
pairs, longest_ms = s.end()
check_file(s.trace, 'a hard limit of file size')
check_sum(s, pairs, 'a hard limit of file size')
tap.ok(os.path.getsize(s.trace) <= limit, 'the file stays below it', (os.path.getsize(s.trace), limit))
tap.ok(len(s.gaps) == 1 and s.gaps[0]['reason'] == 'no_room' and s.gaps[0]['lost_events'] > 0, 'and the gap is told',
       s.report['trace'])

directory = work_dir()
if os.getuid() == 0 and run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'perfshim-test', directory]).returncode == 0:
    try:
        ballast = os.path.join(directory, 'ballast')
        s = Steady(burst=100, out=os.path.join(directory, 'trace.zst'), env=PATIENT)
        with open(ballast, 'wb', buffering=0) as f:
            try:
                while f.write(b'b' * 4096) == 4096:
                    pass
            except OSError:
                pass
        full_bytes = os.path.getsize(s.trace)
        time.sleep(2.5)
        os.unlink(ballast)
        wait_until(lambda: os.path.getsize(s.trace) > full_bytes)
        pairs, longest_ms = s.end()
        check_file(s.trace, 'a full disk')
        check_sum(s, pairs, 'a full disk')
        tap.ok(len(s.gaps) == 1 and s.gaps[0]['reason'] == 'no_room', 'a full disk: the gap is told', s.report['trace'])
        tap.equal(s.report['trace']['lost_events'], 0, 'a full disk that has room again: nothing is lost')
        tap.ok(longest_ms < 2000, 'a full disk does not hold the program up', longest_ms)
    finally:
        run(['umount', '-l', directory])
else:
    tap.skip('a full disk', 'no tmpfs can be mounted')

# --- the file goes away ---

s = Steady(env=PATIENT)
time.sleep(0.7)
os.unlink(s.trace)
back = wait_until(lambda: os.path.exists(s.trace))
tap.ok(back and stat.S_IMODE(os.stat(s.trace).st_mode) == 0o600, 'a deleted trace comes back')
pairs, _ = s.end()
check_file(s.trace, 'deleted')
check_sum(s, pairs, 'deleted')
tap.equal(s.report['trace']['lost_events'], 0, 'deleted: nothing is lost')

directory = os.path.join(work_dir(), 'gone')
os.mkdir(directory)
s = Steady(out=os.path.join(directory, 'trace.zst'))
time.sleep(0.3)
shutil.rmtree(directory)
time.sleep(1.5)
os.mkdir(directory)
tap.ok(wait_until(lambda: os.path.exists(s.trace)), 'so does one whose directory was deleted and made again')
pairs, _ = s.end()
check_sum(s, pairs, 'directory deleted')

s = Steady()
time.sleep(0.3)
here = recorders(s.trace)
os.unlink(s.trace)
with open(s.trace, 'w') as f:
    f.write('mine')
time.sleep(2)  # it looks each second
s.process.terminate()
s.process.communicate(timeout=120)
wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in here))
tap.equal(open(s.trace).read(), 'mine', "another one's file in its place is not touched")

# --- the name is taken ---

directory = work_dir()
path = os.path.join(directory, 'trace.zst')
s = Steady(out=path)
second = run_shimmed(['/bin/true'], out=path, env=LOUD)
tap.ok('trace-2.zst' in second.stderr and os.path.exists(os.path.join(directory, 'trace-2.zst')),
       'a second run while the first records takes another name and says it', second.stderr)
third = run_shimmed(['/bin/true'], out=path, env=LOUD)
tap.ok(perfanalyze('info', os.path.join(directory, 'trace-2.zst')).returncode == 0 and not os.path.exists(path + '.old'),
       'and leaves the first alone', os.listdir(directory))
pairs, _ = s.end()
check_sum(s, pairs, 'the first of two runs')

for name, make, what in (('a symbolic link', lambda p: os.symlink('/nonexistent', p), 'symbolic link'),
                         ('a FIFO', os.mkfifo, 'FIFO'), ('a directory', os.mkdir, 'a directory')):
    path = os.path.join(work_dir(), 'trace.zst')
    make(path)
    begun = time.monotonic()
    said = run_shimmed(['/bin/echo', 'out'], out=path, env=LOUD)
    tap.ok(said.stdout == 'out\n' and what in said.stderr and said.stderr.count('\n') == 1 and
           time.monotonic() - begun < 20, f'{name} in its place: said in a line, left alone', said.stderr)
if os.getuid() == 0:
    path = os.path.join(work_dir(), 'trace.zst')
    open(path, 'w').close()
    os.chown(path, 65534, 65534)
    said = run_shimmed(['/bin/echo', 'out'], out=path, env=LOUD)
    tap.ok(said.stdout == 'out\n' and "another user's file" in said.stderr and os.path.getsize(path) == 0,
           "another user's file in its place: said, left alone", said.stderr)
else:
    tap.skip("another user's file in its place", 'not root')

# --- pid namespaces ---

PID_ONE = '''
import os, signal, sys
seen = []
signal.signal(signal.SIGCHLD, lambda *a: seen.append(a))
x = [bytes(1000) for _ in range(1000)]
try:
    print('waited for', os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print('no children')
print('signals', len(seen), 'pid', os.getpid())
sys.stdout.flush()
sys.exit(3)
'''
unshare = have('unshare')
if os.getuid() == 0 and unshare and run([unshare, '--pid', '--fork', '--mount-proc', 'true']).returncode == 0:
    trace = os.path.join(work_dir(), 'trace.zst')
    ran = run([unshare, '--pid', '--fork', '--mount-proc', 'env', f'LD_PRELOAD={shim_environment(trace)["LD_PRELOAD"]}',
               f'PERFSHIM_OUT={trace}', 'PERFSHIM_QUIET=1', '/usr/bin/python3', '-c', PID_ONE])
    tap.equal(ran.returncode, 3, 'as the first process of a pid namespace: its exit status', )
    tap.ok('no children\nsignals 0 pid 1' in ran.stdout, 'it sees no child and no SIGCHLD of ours', ran.stdout)
    result = report(trace)['trace']
    ended = [(p['exe'].split('/')[-1][:6], p['ended']) for p in result['processes']]
    tap.ok(('python', 'exit') in ended, 'its trace has its end', result)
    tap.ok('closed the file' in perfanalyze('info', trace).stdout, 'and is closed', perfanalyze('info', trace).stdout)
    tap.equal((result['lost_events'], result['truncated_bytes']), (0, 0), 'nothing is lost')
else:
    tap.skip('as the first process of a pid namespace', 'no pid namespace can be made')
tap.done()
