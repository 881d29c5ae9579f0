#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/soak: starts, loads, waits, stops, and exits with the verdict; however it ends, nothing is left running."""

import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, ROOT, Tap, dump, free_port, report, route_of, run, wait_until, work_dir  # noqa: E402
from servers import nginx_command  # noqa: E402

SHOP = f'{O}/tests/servers/shop'
tap = Tap()


def using(directory):
    """Processes that have a file open in a directory, or write a log there, or work in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
        except OSError:
            continue
        if int(pid) != os.getpid() and any(link.startswith(directory) for link in links):
            found.append(pid)
    return found


class Soak:
    def __init__(self, *arguments, server, **options):
        self.directory = work_dir()
        self.trace = os.path.join(self.directory, 'soak.zst')
        env = {**os.environ, 'O': O, 'PERFSHIM_HEAP': 'exact', 'PERFSHIM_MAX_STALL': '30000'}
        self.process = subprocess.Popen([os.path.join(ROOT, 'scripts', 'soak'), '--out', self.trace, *arguments, '--', *server],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=env, **options)

    def end(self, name, status, timeout=120):
        self.out, self.err = self.process.communicate(timeout=timeout)
        tap.equal(self.process.returncode, status, f'{name}: exit status')
        wait_until(lambda: not using(self.directory), 5)
        tap.equal(using(self.directory), [], f'{name}: nothing is left running')
        return self


def shop(port, *options):
    return [SHOP, '--port', str(port), *options]


def load(port, path, seconds, method='GET'):
    script = os.path.join(work_dir(), 'load.lua')
    with open(script, 'w') as f:
        f.write(f"wrk.method = '{method}'\nfunction delay() return 5 end\n")
    return f'wrk -t1 -c8 -d{seconds}s -s {script} http://127.0.0.1:{port}{path}'


port = free_port()
ran = Soak('--duration', '5s', '--idle', '1s', '--every', '1s', '--load', load(port, '/items/1', 2), server=shop(port)).end('healthy', 0)
result = report(ran.trace)
row = route_of(result, 'GET /items/{id}')
with open(ran.trace + '.load.log') as f:
    runs = [int(n) for n in re.findall(r'(\d+) requests in', f.read())]
tap.ok(len(runs) >= 2 and row and sum(runs) <= row['requests'] <= sum(runs) + 8 * (len(runs) + 1),
       'a load that ends early is run again; all of its requests are in the report', (runs, row and row['requests']))
tap.ok('VERDICTS' in ran.out and 'so far: memory' in ran.err and 'RSS' in ran.err, 'the report, and what there was meanwhile', ran.err)
tap.ok(result['trace']['duration_s'] >= 6, 'load and rest are recorded', result['trace']['duration_s'])



def watch(ran):
    """What ps says of the server's resident memory while it is soaked: [(wall clock in s, bytes)]."""
    pid = re.search(r'pid (\d+)', ran.process.stderr.readline()).group(1)
    seen = []
    while ran.process.poll() is None:
        begin_s = time.time()
        said = run(['ps', '-o', 'rss=', '-p', pid]).stdout.strip()
        if not said.isdigit() or int(said) == 0:
            break  # it has ended
        if time.time() - begin_s < 0.5:  # else nobody knows of which moment that is
            seen.append(((begin_s + time.time()) / 2, int(said) * 1024))
        time.sleep(0.2)
    return seen


def gauges(trace):
    """The same by the trace."""
    events = [event for event in dump(trace) if event.name in ('clock', 'gauge')]
    clock = next(event for event in events if event.name == 'clock')
    began_s = clock.int('wall_ns') / 1e9 - clock.time
    return [(began_s + event.time, sum(event.int(f'rss_{kind}') for kind in ('anon', 'file', 'shared')))
            for event in events if event.name == 'gauge']


def at(series, moment_s):
    """The value of a line through a series, between its points."""
    for (t0, v0), (t1, v1) in zip(series, series[1:]):
        if t0 <= moment_s <= t1:
            return v0 + (v1 - v0) * (moment_s - t0) / max(t1 - t0, 1e-9)
    return None


def slope(points):
    """Bytes a second, by least squares."""
    mean_t, mean_v = (sum(column) / len(points) for column in zip(*points))
    return sum((t - mean_t) * (v - mean_v) for t, v in points) / sum((t - mean_t) ** 2 for t, _ in points)


port = free_port()
ran = Soak('--duration', '8s', '--idle', '1s', '--load', load(port, '/sessions', 8, 'POST'), server=shop(port, '--leak', '2000'))
seen = watch(ran)
ran.end('leak', 1)
told = gauges(ran.trace)
both = [(t, v, at(told, t)) for t, v in seen if at(told, t) is not None]
if tap.ok(len(both) >= 5, 'leak: ps looked at it meanwhile', (seen, told)):
    by_ps, by_trace = slope([(t, v) for t, v, _ in both]), slope([(t, v) for t, _, v in both])
    # The kernel itself is exact to some dozens of pages for each processor.
    room = 0.05 * by_ps + 64 * 4096 * (os.cpu_count() or 1) / (both[-1][0] - both[0][0])
    tap.ok(by_ps > 0 and abs(by_trace - by_ps) <= room,
           f'leak: resident memory grows by {by_trace / 1e6:.3g} MB/s, by ps {by_ps / 1e6:.3g}', both)

port = free_port()
ran = Soak('--duration', '1h', '--load', load(port, '/items/1', 3600), server=shop(port))
wait_until(lambda: os.path.exists(ran.trace + '.load.log'), 30)
time.sleep(2)
ran.process.send_signal(signal.SIGINT)
ran.end('Ctrl-C', 0)
tap.ok('VERDICTS' in ran.out and route_of(report(ran.trace), 'GET /items/{id}'), 'Ctrl-C: a report of what there is', ran.out[:400])

# A daemon: the process that is started ends at once, and what serves was left to us.
command, port, _ = nginx_command({'small.txt': b's' * 100}, workers=1, daemon=True)
ran = Soak('--duration', '3s', '--idle', '1s', '--load', load(port, '/small.txt', 3), server=command).end('daemon', 0)
tap.ok(route_of(report(ran.trace), 'GET /small.txt'), 'daemon: its requests are in the report', ran.err)

port = free_port()
ran = Soak('--duration', '1h', '--load', load(port, '/items/1', 3600), server=shop(port))
wait_until(lambda: os.path.exists(ran.trace + '.load.log'), 30)
time.sleep(1)
os.kill(int(re.search(r'pid (\d+)', ran.process.stderr.readline()).group(1)), signal.SIGKILL)
ran.end('killed', 1)
tap.ok('ended under load' in ran.err and 'VERDICTS' in ran.out, 'killed: it is said, with a report', ran.err)

ran = Soak('--duration', '5s', server=['/bin/false']).end('false', 2)
tap.ok('before it took a connection' in ran.err, 'a server that does not start', ran.err)
ran = Soak('--duration', '5s', '--patience', '1s', server=['/bin/sleep', '60']).end('sleep', 2)
tap.ok('took no connection within 1 s' in ran.err, 'a server that does not listen', ran.err)
port = free_port()
ran = Soak('--duration', '1h', '--load', 'exit 3', server=shop(port)).end('load', 2)
tap.ok('the load fails at once, with status 3' in ran.err, 'a load that fails', ran.err)
tap.equal(subprocess.run([os.path.join(ROOT, 'scripts', 'soak'), '--duration', '5x', '--', 'x'], stderr=subprocess.DEVNULL).returncode, 2,
          'a duration that is none')
tap.done()
