#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From start to end: where the trace goes, what is said, what the host is spared, and what survives a kill."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import (Tap, http_requests, perfanalyze, report, run_shimmed, shim_environment, start_shop,  # noqa: E402
                     wait_until, work_dir, wrk)
from servers import links, recorders  # noqa: E402

tap = Tap()
LOUD = {'PERFSHIM_QUIET': None}


def descriptors(pid):
    """The numbers of a process's descriptors, each with what it stands for, up to the part of it that is never the same."""
    directory = f'/proc/{pid}/fd'
    return sorted((int(fd), re.split('[-0-9]', os.readlink(f'{directory}/{fd}'))[0]) for fd in os.listdir(directory))


def answers(server):
    """Whether the server answers a hundred requests."""
    return http_requests(server.port, 'GET', '/items/1', 100) == http_requests(server.port, 'GET', '/items/1', 1) * 100


# Where the trace goes.
directory = work_dir()
path = os.path.join(directory, 'trace.zst')
first = run_shimmed(['/bin/true'], env={'PERFSHIM_OUT': None}, cwd=directory)
tap.ok(first.returncode == 0 and os.path.exists(path), 'the default is trace.zst in the working directory',
       os.listdir(directory))
tap.equal(perfanalyze('info', path).returncode, 0, 'which is whole right after the program ended')
content = open(path, 'rb').read()
run_shimmed(['/bin/true'], env={'PERFSHIM_OUT': None}, cwd=directory)
perfanalyze('info', path)  # waits for the recorder
tap.ok(open(path + '.old', 'rb').read() == content != open(path, 'rb').read(), 'an existing file is kept as trace.zst.old')

os.rename(path, os.path.join(directory, 'target'))
os.symlink('target', path)
content = open(os.path.join(directory, 'target'), 'rb').read()
run_shimmed(['/bin/true'], env={'PERFSHIM_OUT': None}, cwd=directory)
tap.ok(open(os.path.join(directory, 'target'), 'rb').read() == content, 'a symbolic link in its place is not followed')

process = subprocess.Popen(['/bin/true'], env=shim_environment(os.path.join(directory, '%e-%p.zst')))
process.wait(30)
tap.ok(os.path.exists(os.path.join(directory, f'true-{process.pid}.zst')), '%e is the program, %p its process',
       os.listdir(directory))

# What is said.
said = run_shimmed(['/bin/sh', '-c', 'echo $$'], env=LOUD)
tap.equal(said.stderr, f'perfshim: recording pid {said.stdout.strip()} to {said.trace}\n', 'one line at the start')
tap.equal(run_shimmed(['/bin/true']).stderr, '', 'none with PERFSHIM_QUIET=1')
said = run_shimmed(['/bin/sh', '-c', '/bin/true; /bin/true; exec /bin/echo out'], env=LOUD)
tap.equal((said.stdout, said.stderr.count('\n')), ('out\n', 1), 'one line for a whole tree of processes')

for name, value in (('CAPTURE', 'banana'), ('HEAP', 'sometimes'), ('RING', '-1'), ('MAX_STALL', '1e9'),
                    ('STACK_DEPTH', '999'), ('MEMO', 'often')):
    said = run_shimmed(['/bin/echo', 'out'], env={f'PERFSHIM_{name}': value})
    lines = said.stderr.splitlines()
    tap.ok(said.stdout == 'out\n' and len(lines) == 1 and f'PERFSHIM_{name}' in lines[0] and value in lines[0],
           f'PERFSHIM_{name}={value} is named in one line', said.stderr)
    tap.equal(perfanalyze('info', said.trace).returncode, 0, 'and the program is recorded by the default')

# What can go wrong at the start.
blocked = os.path.join(directory, 'file', 'trace.zst')
open(os.path.join(directory, 'file'), 'w').close()
for name, env in (('no recorder there', {'PERFSHIM_RECORDER': '/nonexistent/recorder'}),
                  ('a recorder that ends at once', {'PERFSHIM_RECORDER': '/bin/false'}),
                  ('no directory for the trace', {'PERFSHIM_OUT': '/nonexistent/trace.zst'}),
                  ('a file in the place of the directory', {'PERFSHIM_OUT': blocked}),
                  ('a directory where nobody can write', {'PERFSHIM_OUT': '/proc/trace.zst'})):
    with start_shop(env=env) as shop:
        tap.ok(answers(shop), f'{name}: the server runs on')
        lines = shop.stderr().splitlines()
        tap.ok(len(lines) == 1 and lines[0].startswith('perfshim: ') and
               any(word in lines[0] for word in ('the recorder', *env.values())), f'{name}: one line says so', shop.stderr())
        tap.equal(shop.stop(), 0, f'{name}: and ends well')

# What the host is spared.
with start_shop(shimmed=False) as shop:
    bare = descriptors(shop.pid), len(os.listdir(f'/proc/{shop.pid}/task'))
with start_shop() as shop:
    answers(shop)
    wait_until(lambda: descriptors(shop.pid) == bare[0])  # until it has closed our connections
    tap.equal(descriptors(shop.pid), bare[0], 'the host has no descriptor of ours')
    tap.equal(len(os.listdir(f'/proc/{shop.pid}/task')), bare[1], 'nor a thread')
    children = ''.join(open(f'/proc/{shop.pid}/task/{tid}/children').read() for tid in os.listdir(f'/proc/{shop.pid}/task'))
    tap.equal(children, '', 'nor a child')
    here = recorders(shop.trace)
    tap.equal(len(here), 2, 'one recorder writes the trace, and has a guard')
    shop.stop()
tap.ok(wait_until(lambda: not recorders(shop.trace) and not any(os.path.exists(f'/proc/{pid}') for pid in here)),
       'which is gone after the server')

process = subprocess.Popen(['/bin/sleep', '1'], env=shim_environment(os.path.join(work_dir(), 'trace.zst')),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
ours = {os.readlink(f'/proc/self/fd/{f.fileno()}') for f in (process.stdin, process.stdout, process.stderr)}
time.sleep(0.5)
holders = [pid for pid in filter(str.isdigit, os.listdir('/proc'))
           if int(pid) not in (os.getpid(), process.pid) and os.access(f'/proc/{pid}/fd', os.R_OK) and ours & set(links(pid))]
tap.equal(holders, [], 'the recorder holds none of the pipes that the server was started with')
process.stdin.close()
started = time.monotonic()
tap.equal((process.stdout.read(), process.stderr.read()), (b'', b''), 'so they end')
tap.ok(time.monotonic() - started < 30 and process.wait(30) == 0, 'with the server')

# What survives.
with start_shop() as shop:
    loaded = {}
    url = f'http://127.0.0.1:{shop.port}/items/5'
    load = threading.Thread(target=lambda: loaded.update(wrk(url, seconds=3, connections=8, threads=1)))
    load.start()
    time.sleep(1.5)
    shop.stop(signal.SIGKILL)
    result = report(shop.trace)
    load.join()
counted = sum(r['requests'] for r in result['routes'])
tap.equal([p['ended'] for p in result['trace']['processes']], ['killed'], 'kill -9 under load: the report says killed')
tap.equal((result['trace']['lost_events'], result['trace']['truncated_bytes']), (0, 0), 'nothing was lost by it')
# Every response that wrk has seen was written by a call; the last calls may have been cut off before they were recorded.
tap.ok(loaded['requests'] - 8 <= counted <= loaded['requests'] + 16,
       f"{counted} requests in the trace, {loaded['requests']} answered", loaded['text'])

# A run that ends between two of the recorder's looks at it.
BUSY = "import time\nwhile time.process_time() < 0.7: pass\nprint(time.process_time())"
busy = run_shimmed(['/usr/bin/python3', '-c', BUSY])
overhead = report(busy.trace)['overhead']
tap.ok(overhead['process_cpu_s'] is None or abs(overhead['process_cpu_s'] - float(busy.stdout)) < 0.2,
       "a short run's processor time is known, or said to be unknown", f"got {overhead}\ntruth {busy.stdout}")

with start_shop(env={'PERFSHIM_MAX_STALL': None}) as shop:
    for pid in recorders(shop.trace):  # its guard first
        os.kill(pid, signal.SIGKILL)
    loaded = wrk(f'http://127.0.0.1:{shop.port}/items/5', seconds=2)
    tap.ok(loaded['requests'] > 100 and not loaded['errors'], 'without its recorder the server runs on', loaded['text'])
    tap.ok(answers(shop), 'and answers')
    tap.equal(shop.stop(), 0, 'and ends well')
tap.done()
