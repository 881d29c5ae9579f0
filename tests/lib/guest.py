# SPDX-License-Identifier: Apache-2.0
"""A program does the same bare and under the shim: same(tap, name, cmd) runs it both ways and compares what it printed and how
it ended; then it looks whether the trace opens, ended and lost nothing.

Every run is bounded: one that does not end in time is a failed check that says where each of its threads stood. Lines of
output that begin with '~' are measurements: not compared, but shown.
"""

import os
import re
import signal
import subprocess
import time

from harness import O, ROOT, SHIM, Tap, have, perfanalyze, run, wait_until, work_dir
from servers import recorders

PROGRAMS = f'{O}/tests/programs'
LONG = bool(os.environ.get('GUEST_LONG'))  # longer loops
ROOT_USER = os.getuid() == 0


class GuestTap(Tap):
    """Tap that knows checks which are known to fail: they are printed with TAP's TODO and do not fail the test."""

    def expect(self, condition, name, detail='', todo=None):
        if not todo:
            return self.ok(condition, name, detail)
        self.count += 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {name} # TODO {todo}", flush=True)
        if not condition:
            for line in str(detail).splitlines()[:40]:
                print(f'# {line}', flush=True)
        return bool(condition)


class Outcome:
    """How one run ended: status (as subprocess's returncode, or 'hangs'), out, err, and where it stood if it hung."""

    def __init__(self, status, out, err, stood=''):
        self.status, self.stood = status, stood
        self.out = ''.join(line for line in out.splitlines(True) if not line.startswith('~'))
        self.measured = [line[1:].strip() for line in out.splitlines() if line.startswith('~')]
        self.err = err

    def said(self):
        return self.status, self.out, self.err


def _in_session(leader):
    """Processes of a session, by /proc."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as f:
                if int(f.read().rpartition(')')[2].split()[3]) == leader:
                    found.append(int(pid))
        except (OSError, ValueError, IndexError):
            continue
    return found


def _where(pid):
    """What is known of a process that hangs: its threads' kernel functions, and their call stacks if gdb is there."""
    said = []
    for tid in sorted(os.listdir(f'/proc/{pid}/task'))[:8]:
        words = [f'pid {pid} thread {tid}:']
        for what in ('comm', 'wchan', 'syscall'):
            try:
                with open(f'/proc/{pid}/task/{tid}/{what}') as f:
                    words.append(f.read().strip())
            except OSError:
                continue
        said.append(' '.join(words))
    if have('gdb'):
        try:
            text = run([have('gdb'), '-batch', '-p', str(pid), '-ex', 'thread apply all bt 10'], timeout=10).stdout
            said += [line for line in text.splitlines() if line.startswith(('#', 'Thread'))][:12]
        except subprocess.TimeoutExpired:
            pass
    return said


def outcome(cmd, env, timeout, cwd=None, before=None, stdin=subprocess.DEVNULL, close_fds=True):
    """Runs cmd to its end, at most so long, in a session of its own; nothing of it survives."""
    directory = work_dir()
    with open(f'{directory}/out', 'w+b') as out, open(f'{directory}/err', 'w+b') as err:
        p = subprocess.Popen(cmd, stdin=stdin, stdout=out, stderr=err, env=env, cwd=cwd, preexec_fn=before,
                             start_new_session=True, close_fds=close_fds)
        stood = []
        try:
            status = p.wait(timeout)
        except subprocess.TimeoutExpired:
            status = 'hangs'
            for pid in _in_session(p.pid)[:3]:
                try:
                    stood += _where(pid)
                except OSError:
                    continue
        for pid in _in_session(p.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        p.wait()
        texts = [open(f'{directory}/{name}', errors='replace').read() for name in ('out', 'err')]
    return Outcome(status, *texts, '\n'.join(stood))


class Trace:
    """What a trace tells, as text lines of perfanalyze dump: lines, lost (events), closed (the recorder ended it)."""

    def __init__(self, path):
        self.path = path
        ended = wait_until(lambda: not recorders(path))
        for pid in () if ended else recorders(path):
            os.kill(pid, signal.SIGKILL)
        self.stays = not ended
        dumped = perfanalyze('dump', path)
        self.error = dumped.stderr if dumped.returncode else ''
        self.lines = dumped.stdout.splitlines()
        self.lost = sum(int(n) for n in re.findall(r' lost_events=(\d+)', '\n'.join(self.of('thread_end'))))
        self.unslotted = max((int(n) for n in re.findall(r'unslotted_events=(\d+)', '\n'.join(self.of('recorder')))),
                             default=0)
        self.closed = bool(self.of('end'))

    def of(self, *names):
        """The lines of these events."""
        return [line for line in self.lines if line.split(' ', 3)[2] in names]

    def trouble(self):
        """What is wrong with it as a whole; '' if nothing is."""
        return '; '.join(filter(None, (
            self.error, 'the recorder does not end' if self.stays else '', '' if self.closed else 'it was not closed',
            f'{self.lost} events lost' if self.lost else '', f'{self.unslotted} unslotted' if self.unslotted else '')))


def environment(env, preload, extra, preload_by='LD_PRELOAD'):
    merged = {**os.environ, **(env or {}), **extra}
    for name in ('PERFSHIM_ARENA', 'LD_PRELOAD'):
        if name not in (env or {}):
            merged.pop(name, None)
    if preload:
        merged[preload_by] = preload
    return {k: v for k, v in merged.items() if v is not None}


def same(tap, name, cmd, env=None, timeout=60, before=None, cwd=None, stdin=None, preload='{shim}', bare_preload='',
         recorded=True, lossless=True, todo=None, todo_trace=None, out=None, tidy=None, close_fds=True, quiet='1', says=None, may_say=None, preload_by='LD_PRELOAD'):
    """Two checks: the host does the same with the shim as without; its trace is whole. Gives (bare, shimmed, trace).

    preload: the LD_PRELOAD of the second run ({shim} is the shim); bare_preload that of the first. recorded: False if
    there cannot be a trace, None if there may be none. lossless: False if losses are possible and only must be said.
    todo, todo_trace: why a check is known to fail. before: runs in the child before exec. tidy: output -> what is to be
    compared of it. cwd: a path, or a function that gives one for each run. says: a pattern that the shim's own line on
    standard error must show; otherwise it must not say anything. may_say: one that it
    may show. What it said is in shimmed.words. preload_by: the variable that carries the preload.
    """
    trace_path = out or os.path.join(open_directory(), 'trace.zst')
    shim = {'PERFSHIM_OUT': trace_path, 'PERFSHIM_QUIET': quiet, 'PERFSHIM_HEAP': 'exact'}
    options = {'timeout': timeout, 'before': before, 'stdin': stdin or subprocess.DEVNULL, 'close_fds': close_fds}
    where = cwd if callable(cwd) else lambda: cwd
    bare = outcome(cmd, environment(env, bare_preload, {}, preload_by), cwd=where(), **options)
    env = {'PERFSHIM_MAX_STALL': '10000', **(env or {})}  # a busy machine is no reason to lose events
    shimmed = outcome(cmd, environment(env, preload.format(shim=SHIM), shim, preload_by), cwd=where(), **options)
    if tidy:
        bare.out, shimmed.out = tidy(bare.out), tidy(shimmed.out)
    shimmed.words = ''.join(re.findall(r'^perfshim: .*\n', shimmed.err, re.M))
    if says:
        tap.ok(re.search(says, shimmed.words), f'{name}: the shim says so', shimmed.err)
    if says or (may_say and re.search(may_say, shimmed.words)):
        shimmed.err = re.sub(r'^perfshim: .*\n', '', shimmed.err, flags=re.M)
    tap.expect(bare.status != 'hangs' and bare.said() == shimmed.said(), f'{name}: the same with the shim',
               f'bare      {bare.status} {bare.out[:1500]!r} {bare.err[:500]!r}\n'
               f'preloaded {shimmed.status} {shimmed.out[:1500]!r} {shimmed.err[:500]!r}\n{bare.stood}{shimmed.stood}', todo)
    for one, how in ((bare, 'bare'), (shimmed, 'preloaded')):
        for line in one.measured:
            print(f'# {name}: {how}: {line}')
    if recorded is False or (recorded is None and not os.path.exists(trace_path)):
        return bare, shimmed, None
    if not os.path.exists(trace_path):
        tap.expect(False, f'{name}: its trace is whole', 'there is none', todo_trace)
        return bare, shimmed, None
    trace = Trace(trace_path)
    wrong = trace.trouble() if lossless else trace.error or ('the recorder does not end' if trace.stays else '')
    tap.expect(not wrong, f'{name}: its trace is whole', wrong, todo_trace)
    return bare, shimmed, trace


def open_directory():
    """A new directory that every user may write to."""
    path = work_dir()
    os.chmod(path, 0o777)
    return path


def build(source, out, *flags):
    """Compiles tests/programs/SOURCE, for what the makefile's one rule cannot: libraries and odd programs. Gives out."""
    compiler = 'g++' if source.endswith('.cc') else 'gcc'
    done = run([compiler, '-O1', '-g', '-D_GNU_SOURCE', '-Wall', '-Wextra', os.path.join(ROOT, 'tests', 'programs', source), '-o', out, *flags])
    if done.returncode:
        raise RuntimeError(done.stderr)
    return out


def as_nobody():
    """To be run in the child of a root test: gives up root for good."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def note(text):
    """A line that the reader of the test's output should see."""
    print(f'# {text}', flush=True)


def soon():
    """Lets the clock go on a little."""
    time.sleep(0.05)
