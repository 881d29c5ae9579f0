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
rate = r": (\d+) of (\d+), (\S+) % \(Wilson's 95 % interval (\S+) to (\S+) %\)"
total = re.search('healthy cases convicted' + rate + '\nleaks cleared' + rate, said)
if not tap.ok(total, 'it ends', said):
    tap.done()
convicted, healthy, cleared, leaks = (int(total[i]) for i in (1, 2, 6, 7))
tap.ok(convicted == 0 and healthy >= 160, f'{convicted} of {healthy} healthy ones convicted', said)
tap.ok(cleared == 0 and leaks >= 150, f'{cleared} of {leaks} leaks cleared', said)
low, high, n = float(total[4]), float(total[5]), healthy
tap.ok(convicted or (low == 0 and abs(high - 100 * 3.8415 / (n + 3.8415)) < 0.01), 'the rate has its interval', total[0])
number = r' +(\S+)'
linear = re.findall(r'^linear' + number * 11 + '$', said, re.M)  # the second one: leaking
leak, found, covered, error = (float(linear[0][i]) for i in (3, 7, 8, 9)) if len(linear) == 1 else (0, 0, 0, 99)
tap.ok(leak >= 90 and found == 100 and covered >= 80 and error <= 1,
       'leaks on a flat heap: found, covered by the interval, and right in size', linear)
shapes = said[said.index('leaking, %'):said.index('found, % of leaks')].splitlines()[1:]
columns = [line[17:].split() for line in shapes]
detectable = [float(row[7]) for row in columns if len(row) > 10 and row[7] != '-']
tap.ok(len(detectable) >= 12 and sum(detectable) / len(detectable) >= 95 and min(detectable) >= 70,
       'leaks above the slope that is called detectable are found', shapes)
large = [float(row[10]) for row in columns if len(row) > 10 and row[10] != '-']
tap.ok(len(large) >= 12 and max(large) <= 5, 'slopes of large leaks are within 5 %, whatever the shape, at the median', large)
covered = [list(map(float, row)) for row in re.findall(r'^\S.{16} +(?:200|50) +(\S+) +(\S+) +\S+$', said, re.M)]
mean = [sum(column) / len(covered) for column in zip(*covered)]
tap.ok(len(covered) == 20 and 92 <= mean[0] <= 98 and mean[1] >= 97, 'intervals cover the truth', (mean, covered))
tap.done()
