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
said = run([f'{O}/tests/calibrate/synthetic', '12', '1'], timeout=240).stdout
total = re.search(r'(\d+) healthy cases of (\d+) convicted, (\d+) leaks of (\d+) cleared', said)
if not tap.ok(total, 'it ends', said):
    tap.done()
convicted, healthy, cleared, leaks = map(int, total.groups())
tap.ok(convicted == 0 and healthy >= 160, f'{convicted} of {healthy} healthy ones convicted', said)
tap.ok(cleared == 0 and leaks >= 150, f'{cleared} of {leaks} leaks cleared', said)
number = r' +(\S+)'
linear = re.findall(r'^linear' + number * 9 + '$', said, re.M)  # the second one: leaking
leak, found, covered, error = (float(linear[0][i]) for i in (3, 6, 7, 8)) if len(linear) == 1 else (0, 0, 0, 99)
tap.ok(leak >= 90 and found == 100 and covered >= 80 and error <= 1,
       'leaks on a flat heap: found, covered by the interval, and right in size', linear)
shapes = said[said.index('leaking, %'):said.index('found, % of leaks')].splitlines()[1:]
detectable = [float(line[17:].split()[6]) for line in shapes if len(line[17:].split()) > 6]
tap.ok(len(detectable) >= 12 and sum(detectable) / len(detectable) >= 95 and min(detectable) >= 70,
       'leaks above the slope that is called detectable are found', shapes)
covered = [list(map(float, row)) for row in re.findall(r'^\S.{16} +(?:200|50) +(\S+) +(\S+) +\S+$', said, re.M)]
mean = [sum(column) / len(covered) for column in zip(*covered)]
tap.ok(len(covered) == 14 and 92 <= mean[0] <= 98 and mean[1] >= 97, 'intervals cover the truth', (mean, covered))
tap.done()
