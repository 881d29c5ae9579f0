# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: loads, and ways to measure and to compare.

Load generator, server and recorder share the machine's processors, and other work on them moves every figure. So runs
alternate, their order alternates too, and a ratio is the median of the ratios of runs that were next to each other.
"""

import collections
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('TEST_TIMEOUT_S', '7200')  # of the whole benchmark
sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))
from harness import O, PERFANALYZE, run, shim_environment, wait_until, work_dir, wrk  # noqa: E402
from servers import free_port, recorders, start_nginx, start_redis, start_uvicorn  # noqa: E402

TICKS_PER_S = os.sysconf('SC_CLK_TCK')


# --- the work ---

def load_redis(port, seconds, pipeline):
    """GET and SET in turn, for about so many seconds; gives requests and the time they took."""
    def benchmark(requests):
        text = run(['redis-benchmark', '-p', str(port), '-t', 'get,set', '-c', '50', '-P', str(pipeline), '-n', str(requests),
                    '--csv'], timeout=120).stdout
        rates = [float(line.split('","')[1]) for line in text.splitlines()[1:]]
        return 2 * requests, sum(requests / rate for rate in rates)
    requests, took = benchmark(2000 * pipeline)
    return benchmark(int(requests / took * seconds / 2))


def load_wrk(port, seconds, path, connections, scheme='http'):
    url = f'{scheme}://127.0.0.1:{port}{path}'
    text = wrk(url, seconds=seconds, connections=connections, threads=1)['text']
    requests, took, unit = re.search(r'(\d+) requests in ([0-9.]+)(s|m)', text).groups()
    return int(requests), float(took) * (60 if unit == 'm' else 1)


def start_small_file(**options):
    return start_nginx({'file.txt': b'x' * 1024}, workers=1, log=False, **options)


def start_small_file_tls(**options):
    """Its port is the one for TLS."""
    certificate, key = (os.path.join(work_dir(), name) for name in ('cert.pem', 'key.pem'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2',
                    '-subj', '/CN=localhost'], check=True, capture_output=True)
    port = free_port()
    server = start_small_file(server=f'listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};',
                              **options)
    server.port = port
    return server


WORKLOADS = {
    'redis': ('redis-benchmark -c 50', start_redis, lambda port, s: load_redis(port, s, 1)),
    'redis-pipelined': ('redis-benchmark -c 50 -P 16', start_redis, lambda port, s: load_redis(port, s, 16)),
    'nginx': ('nginx 1 KB file, wrk -t1 -c50', start_small_file, lambda port, s: load_wrk(port, s, '/file.txt', 50)),
    'nginx-tls': ('the same over TLS', start_small_file_tls, lambda port, s: load_wrk(port, s, '/file.txt', 50, 'https')),
    'uvicorn': ('uvicorn + FastAPI, wrk -t1 -c20', start_uvicorn, lambda port, s: load_wrk(port, s, '/users/7', 20)),
}

# --- measuring ---


def cpu_s(group):
    """Processor time that the processes of a group have used so far."""
    ticks = 0
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as f:
                fields = f.read().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


Measured = collections.namedtuple('Measured', 'rate cpu_us trace')


class Tool:
    """A way to run a program: bare, under perfshim, under another profiler."""

    def __init__(self, name, env=None, prefix=(), heap=None, share=1.0):
        """heap: a value of PERFSHIM_HEAP: under perfshim. env: a function of a directory for the tool's files. share: of the
        work of a run that is done, because it is slow."""
        self.name, self.heap, self.prefix, self.share = name, heap, prefix, share
        self._env = env or (lambda directory: {})

    def environment(self, directory):
        if self.heap:
            return shim_environment(self.trace(directory), {'PERFSHIM_HEAP': self.heap})
        return dict(os.environ, **self._env(directory))

    def trace(self, directory):
        return os.path.join(directory, 'trace.zst') if self.heap else None

    def settle(self, directory):
        """Waits for what goes on after the program's end."""
        if self.heap and not wait_until(lambda: not recorders(self.trace(directory)), 120):
            raise RuntimeError('the recorder did not end')


BARE = Tool('bare')


def measure_server(start, load, seconds, tool, directory):
    options = {'env': tool.environment(directory), 'shimmed': False, 'prefix': tool.prefix, 'timeout': 60}
    with start(**options) as server:
        load(server.port, max(1, seconds // 3))
        before = cpu_s(server.pid)
        requests, took = load(server.port, seconds)
        used = cpu_s(server.pid) - before
        server.stop(timeout=60)
    tool.settle(directory)
    return Measured(requests / took, used / requests * 1e6, tool.trace(directory))


def measure_mbench(threads, pairs_per_thread, tool, directory):
    pairs = max(1000, int(pairs_per_thread * tool.share))
    done = run([*tool.prefix, f'{O}/bench/mbench', '--pairs', str(pairs), '--threads', str(threads)],
               env=tool.environment(directory), timeout=600)
    if done.returncode:
        raise RuntimeError(f'mbench: {done.stderr}')
    tool.settle(directory)
    return Measured(float(done.stdout), None, tool.trace(directory))


def in_turn(rounds, tools, measure):
    """Measures each tool once a round, each round beginning with another one: {tool: [Measured, ...]}."""
    results = {tool: [] for tool in tools}
    for i in range(rounds):
        for tool in tools[i % len(tools):] + tools[:i % len(tools)]:
            results[tool].append(measure(tool))
    return results


Analysis = collections.namedtuple('Analysis', 'report trace_bytes seconds cpu_s peak_mb')


def analyse(trace):
    with open(os.path.join(work_dir(), 'report.json'), 'w+') as out:
        started = time.monotonic()
        process = subprocess.Popen([PERFANALYZE, '--json', trace], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            raise RuntimeError(f'perfanalyze {trace}: exit code {process.returncode}')
        out.seek(0)
        return Analysis(json.load(out), os.path.getsize(trace), seconds, usage.ru_utime + usage.ru_stime,
                        usage.ru_maxrss / 1024)


# --- printing ---

def median(values):
    return statistics.median(values)


def ratio_cells(bare, other):
    """Median of the rounds' ratios, and their range."""
    ratios = [o / b for b, o in zip(bare, other)]
    return f'{median(ratios):6.2f}  {min(ratios):.2f}-{max(ratios):.2f}'


def machine():
    with open('/proc/cpuinfo') as f:
        model = re.search(r'model name\s*:\s*(.*)', f.read())
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, Linux {platform.release()}"


def build_bench(name):
    os.makedirs(f'{O}/bench', exist_ok=True)
    subprocess.run(['gcc', '-std=gnu11', '-O2', '-g', '-Wall', '-Wextra', '-Werror', f'{ROOT}/tests/bench/{name}.c',
                    '-o', f'{O}/bench/{name}', '-lpthread'], check=True)


def build_mbench():
    build_bench('mbench')
