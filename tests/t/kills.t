#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A few of the kills that `make check-kills` does many of."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import ROOT, Tap, run  # noqa: E402

tap = Tap()
KILLS = 24
killed = run([os.path.join(ROOT, 'scripts', 'kills'), str(KILLS)], timeout=500)
tap.ok(f'{KILLS} of {KILLS} kills survived' in killed.stdout, f'{KILLS} kills at random moments: the traces tell all',
       killed.stdout + killed.stderr)
tap.done()
