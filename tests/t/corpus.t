#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small part of `make calibrate`: servers that leak memory or descriptors in known ways are convicted, with the right route and site,
and healthy ones are not."""

import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from corpus import run_workload  # noqa: E402
from harness import Tap  # noqa: E402

SECONDS = 12
LEAKS = {'leak-1000': 'memory', 'leak-two-sites': 'memory', 'leak-file': 'descriptors'}
HEALTHY = ['cache-lru', 'sawtooth', 'plain-churn']

tap = Tap()
with concurrent.futures.ThreadPoolExecutor(len(LEAKS) + len(HEALTHY)) as pool:
    outcomes = list(pool.map(lambda name: run_workload(name, SECONDS), [*LEAKS, *HEALTHY]))
for outcome in outcomes:
    for subject in outcome.verdicts:
        mistakes = [text for text in outcome.wrong if text.startswith(f'{subject}:')]
        tap.equal(mistakes, [], f'{outcome.name}: {subject}: {outcome.verdict(subject)} is right, or no mistake')
    mistakes = [text for text in outcome.wrong if text.split(':')[0] in ('kept', 'sites')]
    tap.equal(mistakes, [], f'{outcome.name}: what keeps something, and how much of it')
    for kept in outcome.kept:
        tap.ok(kept.found and kept.covers(), f'{kept.site}: the interval covers the truth', vars(kept))
    # A machine that is busy may have left a leak too small to convict.
    enough = outcome.label('memory') == 'leaks' or any(d['descriptors'] > 60 for d in outcome.truth['deeds'])
    if outcome.name in LEAKS and enough:
        tap.equal(outcome.verdict(LEAKS[outcome.name]), 'LEAK', f'{outcome.name}: convicted')
    elif outcome.name in LEAKS:
        tap.skip(f'{outcome.name}: convicted', 'it leaked too little in this run')
tap.done()
