# SPDX-License-Identifier: Apache-2.0
"""Allocates as Python programs do: recursion, generators, exceptions, classes, closures, sorts, json, regular expressions."""

import json
import re
import sys


class Node:
    def __init__(self, value, children):
        self.value = value
        self.children = children

    def __iter__(self):
        yield self.value
        for child in self.children:
            yield from child

    def __repr__(self):
        return f'Node({self.value!r}, {self.children!r})'


def tree(seed, more):
    return Node(seed * 1000003, [tree(seed * 5 + i & 0xffffff, more - 1) for i in range(seed % 3)] if more else [])


def failing(path, more):
    with_names = {f'{path}-{i}': [i] * 3 for i in range(3)}
    if more == 0:
        raise (KeyError if path % 2 else ValueError)(str(with_names))
    try:
        return failing(path // 2, more - 1)
    except KeyError as error:
        if path % 3 == 0:
            raise
        raise ValueError(path) from error
    finally:
        with_names.clear()


def nested(depth):
    return [nested(depth - 1), {'depth': depth, 'text': 'x' * depth}] if depth else None


def closures(n):
    return [lambda a, b=i: [a] * b for i in range(n)]


total = 0
for turn in range(int(sys.argv[1]) if len(sys.argv) > 1 else 40):
    total += sum(1 for _ in tree(turn + 2, 5))
    total += len(repr(tree(turn, 4)))
    try:
        failing(turn, turn % 9)
    except (KeyError, ValueError) as caught:
        total += len(str(caught))
    text = json.dumps(nested(turn % 20), indent=turn % 3 or None)
    total += len(json.loads(text) or ())
    total += len(re.findall(r'(\w+)": ("x*"|\d+)', text)) + len(re.sub(r'\d', lambda m: m.group() * 2, text))
    re.compile(f'(a|b{{{turn % 7}}})+c?')
    total += sum(len(f(turn)) for f in closures(turn % 11))
    total += len(sorted((str(n * 7919 % 101) for n in range(60)), key=lambda s: s[::-1] + 'z'))
sys.exit(total == 0)
