#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A megabyte of forged trace cannot make perfanalyze use a gigabyte, nor run for ever: each file here is sound on the
outside, and asks for one thing beyond measure. It is analysed, or refused with a word, within bounds that are wide.

BOMB_BYTES is the size of the files (100000; memory is bounded by a thousand times that), BOMB_TELL=1 prints what each took;
arguments are words of the names of those to try."""

import os
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from forge import EVENTS, Runs, Trace, events, varint, zigzag  # noqa: E402
from harness import PERFANALYZE, Tap, work_dir  # noqa: E402

FILE_BYTES = int(os.environ.get('BOMB_BYTES', 100000))
MEMORY_BYTES = max(FILE_BYTES << 10, 256 << 20)
REFUSED = ('requests without answers',)  # for want of memory: a gigabyte is what any file of this size may take
SECONDS = int(os.environ.get("BOMB_SECONDS", 100))

tap = Tap()
directory = work_dir()


def ops(trace):
    """Names of calls that change how events are read."""
    names = [b'unseen', b'fork', b'mmap', b'munmap', b'accept', b'connect', b'listen', b'realloc', b'vfork', b'shutdown']
    for i, name in enumerate(names):
        n, content = events(1, 'op', op=i, data=name)
        trace.chunk(0, 0, (n, content))
    return trace


def fill(trace, make, first=1):
    """Chunks of make(i) until the file is large enough; make gives the keywords of Trace.chunk."""
    i = first
    while trace.bytes < FILE_BYTES:
        trace.chunk(**make(i))
        i += 1
    return trace


BOMBS = {}


def bomb(function):
    BOMBS[function.__name__.replace('_', ' ')] = function
    return function


@bomb
def live_objects():
    content = events(20000, 'alloc', ptr=64, size=32, stack=1, op=1)
    return fill(ops(Trace()), lambda i: dict(proc=i, thread=i, content=content))


@bomb
def call_stacks_without_frames():
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=1, content=(6000, _stacks(6000, i * 6000, b''))))


@bomb
def call_stacks():
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=1, content=(6000, _stacks(6000, i * 6000, bytes(8)))))


def _stacks(n, first_id, frames):
    """Definitions of n stacks with ids of their own."""
    first, number = zigzag(first_id), EVENTS['stack'][0]
    out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
    out.add(varint(number) + varint(1) + varint(1))
    out.add(varint(len(first) + n - 1)).add(first).add(b'\x02', n - 1)
    text = varint(len(frames)) + frames
    return out.add(varint(len(text) * n)).add(text, n)


@bomb
def descriptor_numbers():
    content = events(1, 'io', desc=1, fd=(1 << 20) - 1, flags=2, bytes=0)
    return fill(ops(Trace()), lambda i: dict(proc=i, thread=i, content=content))


@bomb
def accepted_descriptors():
    content = events(1, 'desc_open', desc=1, fd=(1 << 20) - 1, kind=5, **{'from': 1})
    return fill(ops(Trace()), lambda i: dict(proc=i, thread=i, content=content))


@bomb
def forks_of_a_wide_table():
    t = ops(Trace())
    t.chunk(1, 1, events(1, 'desc_open', desc=1, fd=(1 << 20) - 1, kind=1), first=1)
    content = events(6000, 'fork', child_pid=7, op=1)
    return fill(t, lambda i: dict(proc=1, thread=1, content=content, first=2))


@bomb
def forks_of_many_descriptors():
    t = ops(Trace())
    n = 20000
    number, _, columns = EVENTS['desc_open']
    out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
    out.add(varint(number) + varint(len(columns)) + varint(1))
    fds = b''.join(varint(2 * i) for i in range(n))
    for name, _coding in columns:
        if name == 'fd':
            out.add(varint(len(fds))).add(fds)
        else:
            out.add(varint(n)).add(b'\2' if name == 'desc' else b'\0', n)
    out.add(varint(n)).add(b'\0', n)
    t.chunk(1, 1, (n, out), first=1)
    content = events(6000, 'fork', child_pid=7, op=1)
    return fill(t, lambda i: dict(proc=1, thread=1, content=content, first=2))


@bomb
def children_that_never_come():
    def content(i):
        n = 4000
        number, _, columns = EVENTS['fork']
        pids = Runs().add(b''.join(varint(2 * (i * n + j)) for j in range(n)))
        out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
        out.add(varint(number) + varint(2) + varint(0))
        out.add(varint(pids.length)).add(pids)
        return n, out.add(varint(n)).add(b'\1', n)
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=1, content=content(i)))


@bomb
def fork_chain():
    t = ops(Trace())
    n = FILE_BYTES // 350
    for i in range(1, n):
        t.chunk(i, 0, events(1, 'process', pid=1000 + i, parent=i - 1, data=b'/x'), first=i)
    content = events(10000, 'free', ptr=64, op=1)
    return fill(t, lambda i: dict(proc=n - 1, thread=1, content=content, first=n + 1))


@bomb
def processes():
    content = events(1, 'wait', op=1)
    return fill(ops(Trace()), lambda i: dict(proc=(1 << 31) - i, thread=i, content=content))


@bomb
def processes_with_long_lives():
    gauge = {name: 8192 for name, _ in EVENTS['gauge'][2]}
    content = events(2, 'gauge', step=1 << 40, **gauge)
    return fill(ops(Trace()), lambda i: dict(proc=i, thread=0, content=content))


@bomb
def gauges_of_many_processes():
    t = ops(Trace())
    n = FILE_BYTES // 400
    for i in range(1, n):
        t.chunk(i, 1, events(1, 'wait', op=1), first=1)
    content = events(8000, 'gauge', step=1)
    return fill(t, lambda i: dict(proc=1, thread=0, content=content, first=2))


@bomb
def ends_of_processes():
    t = ops(Trace())
    n = FILE_BYTES // 400
    for i in range(1, n):
        t.chunk(i, 1, events(1, 'wait', op=1), first=1)
    content = events(6000, 'process_end', step=1, how=1)
    return fill(t, lambda i: dict(proc=1, thread=0, content=content, first=2))


@bomb
def mappings_from_the_top_down():
    def content(i):
        n = 8000
        number, _, columns = EVENTS['map']
        out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
        out.add(varint(number) + varint(len(columns)) + varint(0))
        for name, _coding in columns:
            if name == 'addr':
                first = varint(((1 << 46) - i * n * 8) * 2)
                out.add(varint(len(first) + n - 1)).add(first).add(b'\x0f', n - 1)  # minus eight each
            else:
                out.add(varint(n)).add({'op': b'\2', 'length': b'\1', 'flags': b'\1'}.get(name, b'\0'), n)
        return n, out
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=1, content=content(i)))


@bomb
def requests_without_answers():
    text = b'GET / HTTP/1.1\r\n\r\n' * 50
    payload = varint(len(text) << 2 | 1) + varint(len(text)) + text
    n = (2 << 20) // len(payload)
    t = ops(Trace())
    t.chunk(1, 1, events(1, 'desc_open', desc=1, fd=3, kind=5, **{'from': 1}), first=1)

    def make(i):
        offsets = ((i - 1) * n * len(text), len(text))
        content = events(n, 'io', desc=(1, 0), fd=3, offset=offsets, flags=2, bytes=len(text), data=payload, asked=1)
        return dict(proc=1, thread=1, content=content, packed=_packed(content[1]), first=2)
    return fill(t, make)


@bomb
def lines_without_an_end():
    text = b'GET /' + b'a' * 1000
    payload = varint(len(text) << 2 | 1) + varint(len(text)) + text
    n = 3000
    fds = b''.join(zigzag(i) for i in range(n))

    def make(i):  # connections of their own in each
        content = events(n, 'io', desc=(i * n, 1), fd=fds, flags=2, bytes=len(text), data=payload, asked=1)
        return dict(proc=i, thread=i, content=content, packed=_packed(content[1]))
    return fill(ops(Trace()), make)


def _packed(runs):
    """By the zstd program, for contents that repeat in patterns."""
    raw = b''.join(part * times for part, times in runs.parts)
    return subprocess.run(['zstd', '-qc', '-19', '--content-size', f'--stream-size={len(raw)}'], input=raw,
                          capture_output=True, check=True).stdout


@bomb
def tiny_chunks():
    content = events(1, 'thread_exit')
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=i, content=content))


@bomb
def chunk_headers_with_damage_between():
    t = ops(Trace())
    content = events(1, 'thread_exit')
    while t.bytes < FILE_BYTES:
        t.chunk(1, 1, content)
        t.out.append(b'\0')
        t.bytes += 1
    return t


@bomb
def clocks():
    t = Trace(clock=1)

    def make(i):
        n = 8000
        number, _, columns = EVENTS['clock']
        step = varint(2000000 * 2)
        out = Runs(varint(n)).add(bytes([number]), n).add(varint(len(step) * n)).add(varint(0)).add(step, n)
        out.add(varint(number) + varint(2) + varint(0))
        first = varint((i * n * 2000000) * 2)
        out.add(varint(len(first) + len(step) * (n - 1))).add(first).add(step, n - 1)
        out.add(varint(n)).add(b'\0', n)
        return dict(proc=0, thread=0, content=(n, out), packed=_packed(out), first=i * n * 2000000)
    return fill(t, make)


@bomb
def large_contents():
    n = 4096
    number = EVENTS['thread_exit'][0]
    rest = (4 << 20) - 4 * n - 40  # a field of megabytes that nobody knows
    out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
    out.add(varint(number) + varint(2) + varint(0)).add(varint(n)).add(b'\0', n).add(varint(rest)).add(b'\0', rest)
    return fill(ops(Trace()), lambda i: dict(proc=1, thread=i, content=(n, out)))


@bomb
def settings_and_modules():
    n = 8000
    number, _, columns = EVENTS['module']
    step = varint(2 * 4096)
    out = Runs(varint(n)).add(bytes([number]), n).add(varint(n)).add(varint(0)).add(b'\0', n)
    out.add(varint(number) + varint(3) + varint(1))
    first = varint(2 * 8192)
    out.add(varint(len(step) * n)).add(step, n)
    out.add(varint(len(first) + len(step) * (n - 1))).add(first).add(step, n - 1)
    out.add(varint(n)).add(b'\0', n).add(varint(n)).add(b'\0', n)
    packed = _packed(out)
    return fill(ops(Trace()), lambda i: dict(proc=i, thread=0, content=(n, out), packed=packed))


@bomb
def far_apart_in_time():
    t = ops(Trace())
    for i in range(1, 200):
        t.chunk(i, 1, events(2, 'wait', step=(1 << 63) - 1, op=1, alloc_bytes=1 << 63), last=(1 << 64) - 1)
    return t


def run(command, path):
    begin = time.monotonic()
    process = subprocess.Popen([PERFANALYZE, *command, path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    timed_out = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - begin > SECONDS:
            timed_out = True
            process.kill()
            _, status, usage = os.wait4(process.pid, 0)
            break
        time.sleep(0.02)
    errors = process.stderr.read().decode(errors='replace')
    process.stderr.close()
    code = 'timeout' if timed_out else os.waitstatus_to_exitcode(status)
    process.returncode = 0
    return code, usage.ru_maxrss * 1024, time.monotonic() - begin, errors


for name, make in BOMBS.items():
    if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
        continue
    path = os.path.join(directory, 'bomb.zst')
    make().save(path)
    for command in (['report'], ['info']) if 'BOMB_DUMP' not in os.environ else (['report'], ['info'], ['dump']):
        code, memory, seconds, errors = run(command, path)
        if name in REFUSED and code == 2:
            good = memory < 1 << 30 and 'not enough memory' in errors
        else:
            good = code in (0, 1) and memory < MEMORY_BYTES
        text = f'{os.path.getsize(path)} bytes: exit {code}, {memory >> 20} MiB, {seconds:.1f} s; {errors[:200]}'
        tap.ok(good, f'{command[0]}: {name}', text)
        if 'BOMB_TELL' in os.environ:
            print(f'# {text.strip()}', flush=True)
tap.done()
