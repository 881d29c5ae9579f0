# SPDX-License-Identifier: Apache-2.0
"""Forged traces that ask for as much as a small file can (formats/TRACE.md): every header and frame is sound, and contents
are runs of equal bytes, which a zstd frame holds in four bytes for each 128 KiB.

    t = Trace()
    t.chunk(proc=1, thread=1, content=events(5000, ALLOC, [0, 32, 0, 1, 1], steps={0: 64}))
    t.save(path)
"""

import os
import re
import struct

BLOCK = 128 * 1024
MAX_RAW = 4 << 20

_TABLE = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = _c >> 1 ^ (0x82F63B78 if _c & 1 else 0)
    _TABLE.append(_c)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(v):
    out = b''
    v &= (1 << 64) - 1
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def zigzag(v):
    return varint((v << 1) ^ (v >> 63))


class Runs:
    """Bytes as a list of (byte string, repetitions): small however many bytes it stands for."""

    def __init__(self, *parts):
        self.parts = []
        self.length = 0
        for part in parts:
            self.add(part)

    def add(self, part, times=1):
        if isinstance(part, Runs):
            self.parts += part.parts
            self.length += part.length
        elif part and times:
            self.parts.append((part, times))
            self.length += len(part) * times
        return self


def zstd_frame(runs):
    """A zstd frame (RFC 8878) of raw and run-length blocks."""
    blocks = []
    raw = b''

    def flush():
        nonlocal raw
        while raw:
            blocks.append((0, len(raw[:BLOCK]), raw[:BLOCK]))
            raw = raw[BLOCK:]

    for part, times in runs.parts:
        if len(part) == 1 and times > 8:
            flush()
            while times:
                n = min(times, BLOCK)
                blocks.append((1, n, part))
                times -= n
        else:
            raw += part * times
    flush()
    out = struct.pack('<IBI', 0xFD2FB528, 0xA0, runs.length)  # single segment, content size in four bytes
    for i, (kind, size, data) in enumerate(blocks):
        out += struct.pack('<I', size << 3 | kind << 1 | (i == len(blocks) - 1))[:3] + data
    return out


def _column(value, n, code=None):
    """A column of n equal values; of one that differs and n - 1 equal ones (a pair); or of values coded before (bytes)."""
    if isinstance(value, bytes) and code:
        return Runs(varint(len(value)) + value)
    if isinstance(value, tuple):
        first, then = map(code, value)
        return Runs(varint(len(first) + len(then) * (n - 1)) + first).add(then, n - 1)
    value = code(value) if code else value
    return Runs(varint(len(value) * n)).add(value, n)


def _number_of_events():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'formats', 'events.def')
    rows = {}
    for number, name, data, fields in re.findall(r'EVENT\((\d+), (\w+), (NO_DATA|DATA),(.*?)(?=EVENT\(|#undef|\Z)',
                                                 open(path).read(), re.S):
        fields = fields.replace('LEDGER_FIELDS', ' '.join(f'F({f}, PLAIN, DEC)' for f in (
            'alloc_count', 'alloc_bytes', 'free_count', 'free_bytes')))
        rows[name] = (int(number), data == 'DATA', [tuple(f) for f in re.findall(r'F\((\w+), (\w+),', fields)])
    return rows


EVENTS = _number_of_events()


def events(n, name, step=0, data=None, **fields):
    """The content of a chunk of n equal events: fields that are not given are 0; of those coded as differences the value is
    what is added from one event to the next, of a pair (first, then) its second. bytes are a column. data: of each."""
    number, has_data, columns = EVENTS[name]
    out = Runs(varint(n)).add(bytes([number]), n)
    out.add(varint(len(zigzag(step)) * n)).add(varint(0)).add(zigzag(step), n)
    out.add(varint(number) + varint(len(columns)) + varint(has_data))
    for column, coding in columns:
        value = fields.pop(column, 0)
        out.add(_column(value, n, varint if coding == 'PLAIN' else zigzag))
    assert not fields, fields
    if has_data:
        text = varint(len(data or b'')) + (data or b'')
        out.add(_column(text, n))
    return n, out


class Trace:
    def __init__(self, clock=2):
        header = b'PERFSHIM' + struct.pack('<HHB3xQQQQI8x', 1, 0, clock, 77, 0, 0, 1700000000 * 10**9, 999)
        self.out = [struct.pack('<II', 0x184D2A57, 64) + header + struct.pack('<I', crc32c(header))]
        self.bytes = len(self.out[0])
        self.sequence = 0

    def chunk(self, proc, thread, content, pid=None, first=0, last=None, packed=None):
        """Adds a chunk of (events, Runs), or of a frame that was made before."""
        n, runs = content
        packed = packed or zstd_frame(runs)
        header = b'PSCK' + struct.pack('<IIIIQQQIII12x', proc, thread, 1000 + proc if pid is None else pid, thread,
                                       self.sequence, first, (1 << 62) if last is None else last, n, runs.length,
                                       len(packed))
        self.sequence += 1
        self.out.append(struct.pack('<II', 0x184D2A57, 72) + header + struct.pack('<I', crc32c(header)) + packed)
        self.bytes += len(self.out[-1])
        return self

    def save(self, path):
        with open(path, 'wb') as f:
            f.write(b''.join(self.out))
        return path
