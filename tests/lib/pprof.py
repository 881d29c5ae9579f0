# SPDX-License-Identifier: Apache-2.0
"""Reads a pprof profile (analyzer/profile.proto) without any library: the wire format of protocol buffers is varints, lengths and bytes."""

import gzip


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field; values are ints or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 2:
            length, at = _varint(data, at)
            value = data[at:at + length]
            if len(value) != length:
                raise ValueError('a field is cut off')
            at += length
        else:
            raise ValueError(f'wire type {key & 7}')
        yield key >> 3, value


def _all(data, number):
    return [value for n, value in fields(data) if n == number]


def _one(data, number):
    return next(iter(_all(data, number)), 0)


def _packed(data, number):
    values = []
    for value in _all(data, number):
        at = 0
        while isinstance(value, bytes) and at < len(value):
            one, at = _varint(value, at)
            values.append(one)
        if isinstance(value, int):
            values.append(value)
    return values


class Profile:
    """types, default, samples [(stack of [(function, file, line)], innermost first, inlined ones in one list), values], mappings."""

    def __init__(self, path):
        with gzip.open(path) as f:
            data = f.read()
        text = [t.decode() for t in _all(data, 6)]
        self.types = [(text[_one(t, 1)], text[_one(t, 2)]) for t in _all(data, 1)]
        self.default = text[_one(data, 14)]
        self.duration_s = _one(data, 10) / 1e9
        self.mappings = {_one(m, 1): (text[_one(m, 5)], text[_one(m, 6)], _one(m, 2), _one(m, 3)) for m in _all(data, 3)}
        functions = {_one(f, 1): (text[_one(f, 2)], text[_one(f, 4)]) for f in _all(data, 5)}
        locations = {}
        self.addresses = []
        for location in _all(data, 4):
            lines = [(*functions[_one(line, 1)], _one(line, 2)) for line in _all(location, 4)]
            locations[_one(location, 1)] = lines
            self.addresses.append((_one(location, 2), _one(location, 3)))
        self.samples = [([locations[i] for i in _packed(s, 1)], _packed(s, 2)) for s in _all(data, 2)]
