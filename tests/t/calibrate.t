#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small part of `make calibrate`: of some hundred healthy series hardly any is convicted, of as many leaks hardly any cleared,
and clean leaks are found, with a slope that is right."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, run  # noqa: E402

tap = Tap()
said = run([f'{O}/tests/calibrate/synthetic', '40', '1'], timeout=240).stdout
total = re.search(r'(\d+) healthy cases of (\d+) convicted, (\d+) leaks of (\d+) cleared', said)
if not tap.ok(total, 'it ends', said):
    tap.done()
convicted, healthy, cleared, leaks = map(int, total.groups())
tap.ok(convicted <= healthy / 300, f'{convicted} of {healthy} healthy ones convicted', said)
tap.ok(cleared <= leaks / 100, f'{cleared} of {leaks} leaks cleared', said)
flat = re.findall(r'^flat +\d+ +\S+ +\S+ +(\S+) +\S+ +\S+ +(\S+) +(\S+)$', said, re.M)
tap.ok(len(flat) == 1 and float(flat[0][0]) >= 90 and float(flat[0][1]) >= 90 and float(flat[0][2]) <= 2,
       'leaks on a flat heap: found, covered by the interval, and right in size', flat)
tap.done()
