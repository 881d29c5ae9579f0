# SPDX-License-Identifier: Apache-2.0
"""What the tests in tests/t share: TAP output, programs and servers under the shim, the analyzer's answers.

Everything is bounded by a timeout, and nothing outlives the test: servers are killed with their process group and
temporary directories removed when the interpreter ends, however it ends (the alarm, SIGTERM and SIGINT end it too).

    from harness import O, Tap, run_shimmed, start_shop, report

    tap = Tap()
    run = run_shimmed([f'{O}/tests/programs/alloc_mix'])
    tap.ok(run.returncode == 0, 'alloc_mix runs', run.stderr)
    tap.done()
"""

import atexit
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
O = os.path.abspath(os.environ.get('O', os.path.join(ROOT, 'build')))
SHIM = os.path.join(O, 'libperfshim.so')
PERFANALYZE = os.path.join(O, 'perfanalyze')
TEST_TIMEOUT_S = int(os.environ.get('TEST_TIMEOUT_S', '600'))

_servers = []
_directories = []
_ports = []


def _clean_up():
    for server in _servers:
        server.kill()
    for path in _directories:
        shutil.rmtree(path, ignore_errors=True)


def _out_of_time(_signal, _frame):
    print(f'not ok - ran longer than {TEST_TIMEOUT_S} s', flush=True)
    sys.stderr.write(f'# {os.path.basename(sys.argv[0])}: ran longer than {TEST_TIMEOUT_S} s\n')
    sys.exit(1)


atexit.register(_clean_up)
signal.signal(signal.SIGALRM, _out_of_time)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
signal.alarm(TEST_TIMEOUT_S)


class Tap:
    """Test Anything Protocol: one line a check, the plan at the end."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, condition, name, detail=''):
        """Reports a check; if it failed, its name and detail (any object) go to standard error, which prove shows. Gives the
        condition."""
        self.count += 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {name}", flush=True)
        if not condition:
            self.failed += 1
            lines = [f'{os.path.basename(sys.argv[0])}: failed: {name}', *str(detail).splitlines()[:40]]
            sys.stderr.write(''.join(f'# {line}\n' for line in lines))
        return bool(condition)

    def equal(self, got, expected, name):
        return self.ok(got == expected, name, f'got {got!r}\nexpected {expected!r}')

    def near(self, got, expected, share, name):
        """Within the given share of what was expected."""
        good = got is not None and abs(got - expected) <= share * abs(expected)
        return self.ok(good, name, f'got {got!r}, expected {expected!r} within {share:.2%}')

    def skip(self, name, why):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {why}', flush=True)

    def todo(self, condition, name, why):
        """A check that is known to fail: it is shown, and fails nothing."""
        self.count += 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {name} # TODO {why}", flush=True)

    def done(self):
        """Prints the plan and ends the test."""
        print(f'1..{self.count}', flush=True)
        sys.exit(1 if self.failed else 0)


def work_dir():
    """A new directory that is removed when the test ends."""
    path = tempfile.mkdtemp(prefix='perfshim-test-')
    _directories.append(path)
    return path


def have(program):
    """Whether a program is installed, its path if so."""
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def free_port():
    """A TCP port of 127.0.0.1 that nobody has, and that is ours while this process lives: below those that the kernel gives to
    clients, and claimed by a name that only one test can have."""
    for port in random.sample(range(10000, 32000), 1000):
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            try:
                claim.bind(f'\0perfshim-test-port-{port}')
                s.bind(('127.0.0.1', port))
            except OSError:
                claim.close()
                continue
        _ports.append(claim)
        return port
    raise RuntimeError('no free port')


def wait_until(condition, timeout=60, step=0.02):
    """Calls condition until it gives something true, and gives that; None when time runs out. The time is for a machine that
    has much else to do."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(step)
    return None


def descendants(pid):
    """The processes below pid, itself too, by process id."""
    found, todo = set(), [pid]
    while todo:
        current = todo.pop()
        if current in found:
            continue
        found.add(current)
        try:
            for tid in os.listdir(f'/proc/{current}/task'):
                with open(f'/proc/{current}/task/{tid}/children') as f:
                    todo += map(int, f.read().split())
        except OSError:
            continue
    return found


def _threads_at_work(pid):
    """The threads of pid and of those below it that run, or want to."""
    found = set()
    for process in descendants(pid):
        try:
            for tid in os.listdir(f'/proc/{process}/task'):
                with open(f'/proc/{process}/task/{tid}/stat') as f:
                    if f.read().rpartition(')')[2].split()[0] in 'RD':
                        found.add(tid)
        except OSError:
            continue
    return found


def settle(pid, timeout=10):
    """Waits until each thread of pid and below has been seen asleep. A write is recorded after it was done, so a client may have
    an answer of which the server has no record yet: a thread that sleeps has made it."""
    awake = _threads_at_work(pid)

    def all_slept():
        awake.intersection_update(_threads_at_work(pid))
        return not awake
    wait_until(all_slept, timeout, step=0.002)


def shim_environment(out, env=None):
    """The environment for a host under the shim; env adds to it or overrides it, a value of None removes. The heap is recorded
    exactly and threads wait for a late recorder, so that what a test counts does not depend on how busy the machine is."""
    merged = dict(os.environ, LD_PRELOAD=SHIM, PERFSHIM_OUT=out, PERFSHIM_QUIET='1', PERFSHIM_HEAP='exact',
                  PERFSHIM_MAX_STALL='30000')
    for name, value in (env or {}).items():
        merged[name] = value
    return {name: value for name, value in merged.items() if value is not None}


class Run:
    """A finished program: returncode, stdout, stderr, and trace, the path of what was recorded."""

    def __init__(self, completed, trace):
        self.returncode = completed.returncode
        self.stdout = completed.stdout
        self.stderr = completed.stderr
        self.trace = trace


def run(cmd, timeout=120, **options):
    """subprocess.run with texts captured and a time limit."""
    return subprocess.run(cmd, capture_output=True, text=True, errors='replace', timeout=timeout,
                          stdin=options.pop('stdin', subprocess.DEVNULL), **options)


def run_shimmed(cmd, env=None, out=None, timeout=120, **options):
    """Runs a program to its end under the shim."""
    out = out or os.path.join(work_dir(), 'trace.zst')
    return Run(run(cmd, timeout=timeout, env=shim_environment(out, env), **options), out)


class Server:
    """A server in a process group of its own, under the shim unless shimmed is False.

    ready: a pattern that its standard output must show (group 1, if there is one, is its port), or None; without a
    pattern the given port must accept a connection. trace: where it is recorded. prefix: a command that runs it. A context
    manager that stops it.
    """

    def __init__(self, cmd, port=None, ready=None, env=None, out=None, shimmed=True, timeout=60, cwd=None, prefix=()):
        self.trace = out or os.path.join(work_dir(), 'trace.zst')
        self.port = port
        self.directory = work_dir()
        self.returncode = None
        environment = shim_environment(self.trace, env) if shimmed else dict(os.environ, **(env or {}))
        self._stdout = open(os.path.join(self.directory, 'stdout'), 'w+', errors='replace')
        self._stderr = open(os.path.join(self.directory, 'stderr'), 'w+', errors='replace')
        self.process = subprocess.Popen([*prefix, *cmd], stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr,
                                        env=environment, cwd=cwd, start_new_session=True)
        self.pid = self.process.pid
        _servers.append(self)
        if not wait_until(lambda: self._is_ready(ready), timeout):
            self.kill()
            raise RuntimeError(f'{cmd[0]} did not start: {self.stdout()} {self.stderr()}')

    def _is_ready(self, ready):
        if self.process.poll() is not None:
            raise RuntimeError(f'ended with {self.process.returncode} at start: {self.stdout()} {self.stderr()}')
        if ready:
            match = re.search(ready, self.stdout())
            if match and match.groups():
                self.port = int(match.group(1))
            return match
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def stdout(self):
        with open(self._stdout.name, errors='replace') as f:
            return f.read()

    def stderr(self):
        with open(self._stderr.name, errors='replace') as f:
            return f.read()

    def stop(self, how=signal.SIGTERM, timeout=60):
        """Ends it by a signal, once what it answered is recorded, and gives its exit status; kills it when it does not end in
        time."""
        if self.process.poll() is None:
            settle(self.pid)
            self.process.send_signal(how)
        try:
            self.returncode = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.returncode = None
        self.kill()
        return self.returncode

    def kill(self):
        """Kills what is left of its process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start_shop(*options, **server_options):
    """The example server on a free port; its truth about each request goes to .log (see shop_log)."""
    log = os.path.join(work_dir(), 'shop.log')
    cmd = [f'{O}/tests/servers/shop', '--port', '0', '--log', log, '--requests-stats', *map(str, options)]
    server = Server(cmd, ready=r'listening on 127\.0\.0\.1:(\d+)', **server_options)
    server.log = log
    return server


def shop_log(path):
    """What shop --log wrote: a list of dicts with in_ns, ready_ns, out_ns, done_ns, status, bytes, route."""
    names = ('in_ns', 'ready_ns', 'out_ns', 'done_ns', 'status', 'bytes')
    entries = []
    with open(path) as f:
        for line in f:
            *numbers, route = line.rstrip('\n').split(' ', 6)
            entries.append(dict(zip(names, map(int, numbers)), route=route))
    return entries


def http_requests(port, method, path, count=1, body=None, headers=None, timeout=20):
    """Sends count requests over one connection; gives the list of (status, body bytes)."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    answers = []
    try:
        for _ in range(count):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            answers.append((response.status, len(response.read())))
    finally:
        connection.close()
    return answers


def wrk(url, seconds=2, connections=16, threads=2, script=None, timeout=60):
    """Loads a server with wrk; gives {'requests': N, 'errors': N} as wrk counts completed requests, and its text."""
    cmd = ['wrk', f'-t{threads}', f'-c{connections}', f'-d{seconds}s']
    if script:
        path = os.path.join(work_dir(), 'load.lua')
        with open(path, 'w') as f:
            f.write(script)
        cmd += ['-s', path]
    text = run([*cmd, url], timeout=timeout).stdout
    requests = re.search(r'(\d+) requests in', text)
    socket_errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', text)
    status_errors = re.search(r'Non-2xx or 3xx responses: (\d+)', text)
    errors = sum(map(int, socket_errors.groups())) if socket_errors else 0
    errors += int(status_errors.group(1)) if status_errors else 0
    return {'requests': int(requests.group(1)) if requests else 0, 'errors': errors, 'text': text}


def perfanalyze(*args, timeout=300):
    """Runs perfanalyze; gives returncode, stdout and stderr."""
    return run([PERFANALYZE, *args], timeout=timeout)


class Event:
    """A line of perfanalyze dump: time in seconds, pid, tid, name, fields (texts by name; numbers through int())."""

    __slots__ = ('line', 'time', 'pid', 'tid', 'name', '_fields')

    def __init__(self, line):
        self.line = line
        moment, who, self.name = line.split(' ', 3)[:3]
        pid, _, tid = who.partition('/')
        self.time, self.pid, self.tid = float(moment), int(pid), int(tid)
        self._fields = None

    @property
    def fields(self):
        if self._fields is None:  # most are never asked for
            self._fields = dict(word.split('=', 1) for word in self.line.split(' ')[3:] if '=' in word)
        return self._fields

    def int(self, field):
        """The field's number; None if the trace does not know it."""
        text = self.fields[field]
        return None if text == '?' else int(text, 0)


def dump_lines(trace, timeout=300):
    """The lines of perfanalyze dump, for traces of which there are too many to look at each one as an Event."""
    result = perfanalyze('dump', trace, timeout=timeout)
    if result.returncode:
        raise RuntimeError(f'perfanalyze dump: {result.returncode}: {result.stderr}')
    return result.stdout.splitlines()


def dump(trace, timeout=300):
    """All events of a trace, in their order."""
    return [Event(line) for line in dump_lines(trace, timeout)]


def report(trace, *options, timeout=300):
    """The report of a trace as perfanalyze --json prints it. Exit status 1 (a verdict failed) is fine."""
    result = perfanalyze('--json', *options, trace, timeout=timeout)
    if result.returncode not in (0, 1):
        raise RuntimeError(f'perfanalyze --json: {result.returncode}: {result.stderr}')
    return json.loads(result.stdout)


def route_of(json_report, name):
    """The report's row of a route by its name, or None."""
    return next((r for r in json_report['routes'] if r['route'] == name), None)
