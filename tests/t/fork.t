#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A fork while other threads are inside the stack walker leaves no child with a lock that nobody will release; and a program
that is exec'd with an environment of its own stays in its run."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from harness import O, Tap, perfanalyze, run_shimmed  # noqa: E402

FORKS = 1500
tap = Tap()
said = run_shimmed([f'{O}/tests/programs/fork_torture', str(FORKS)], timeout=120)
tap.equal((said.returncode, said.stdout), (0, f'forks {FORKS}\nfailed 0\n'), 'every child ran and ended')
info = perfanalyze('info', said.trace)
tap.equal(info.returncode, 0, 'the trace can be read')
tap.ok(info.stdout.count('fork_torture') >= FORKS, 'and holds every child', info.stdout[:600])

said = run_shimmed(['/usr/bin/env', '-i', f'LD_PRELOAD={O}/libperfshim.so', '/bin/ls', '/'])
tap.ok(said.returncode == 0 and 'usr' in said.stdout, 'a program with a new environment runs', said.stderr)
info = perfanalyze('info', said.trace).stdout
tap.ok('/bin/env' in info and '/bin/ls' in info, 'and is recorded into the same file', info)
tap.done()
