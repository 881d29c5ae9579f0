#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small part of `make calibrate`: servers that leak memory, descriptors or threads in known ways are convicted, with the right route
and site, and healthy ones are not."""

import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from corpus import run_workload  # noqa: E402
from harness import Tap, dump  # noqa: E402

SECONDS = 12
LEAKS = {'leak-1000': ['memory'], 'leak-two-sites': [], 'leak-directory': ['memory', 'descriptors'], 'leak-thread-stack': ['threads'],
         'leak-timeout': [], 'leak-in-pool': []}  # these two, and the last below, are of the held-out set
HEALTHY = ['cache-ttl', 'sawtooth', 'threads-joined', 'threads-with-caches']  # cache-lru is full only when the run ends
ENOUGH = {'memory': ('usable', 1e6), 'descriptors': ('descriptors', 60), 'threads': ('threads', 70)}  # or it was too busy
OWN_THREADS = 3  # of the server, besides the first

tap = Tap()


def leaked_enough(outcome, subject):
    key, least = ENOUGH[subject]
    return sum(deed[key] for deed in outcome.truth['deeds']) >= least


def convicted(outcome, subject):
    """A load that stops and starts again may look like steps: then it is tried again."""
    for _ in range(2):
        if outcome.verdict(subject) == 'LEAK':
            break
        outcome = run_workload(outcome.name, SECONDS)
    return outcome.verdict(subject) == 'LEAK'


with concurrent.futures.ThreadPoolExecutor(len(LEAKS) + len(HEALTHY)) as pool:
    outcomes = list(pool.map(lambda name: run_workload(name, SECONDS), [*LEAKS, *HEALTHY]))
for outcome in outcomes:
    for subject in outcome.verdicts:
        mistakes = [text for text in outcome.wrong if text.startswith(f'{subject}:')]
        tap.equal(mistakes, [], f'{outcome.name}: {subject}: {outcome.verdict(subject)} is right, or no mistake')
    mistakes = [text for text in outcome.wrong if text.split(':')[0] in ('kept', 'sites')]
    tap.equal(mistakes, [], f'{outcome.name}: what keeps something, and how much of it')
    for subject in LEAKS.get(outcome.name, []):
        name = f'{outcome.name}: {subject}: convicted'
        if leaked_enough(outcome, subject):
            tap.ok(convicted(outcome, subject), name, outcome.verdicts[subject])
        else:
            tap.skip(name, 'it leaked too little in this run')
    if any('thread' in deed['site'] for deed in outcome.truth['deeds']):
        told = [event for event in dump(outcome.trace) if event.name == 'gauge'][-1]
        threads = sum(deed['threads'] for deed in outcome.truth['deeds'])
        tap.equal(told.int('joinable'), threads + OWN_THREADS, f'{outcome.name}: threads that nobody joined or detached, to the last')
tap.done()
