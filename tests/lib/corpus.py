# SPDX-License-Identifier: Apache-2.0
"""The workloads of tests/leaks: each is run under the shim and its load, and what perfanalyze says is held against its truth.

    outcome = run_workload('leak-100', seconds=40)
    outcome.verdict('memory'), outcome.wrong   # what it says; what of that is wrong, as texts
"""

import json
import os
import re
import time

from harness import O, Server, report, run, work_dir

LEAKS = os.path.join(O, 'tests', 'leaks', 'leaks')
SUBJECTS = ('memory', 'descriptors', 'threads', 'connections', 'mappings', 'children')
QUIET_S = 1.5  # between the load's end and the server's
LEAK_MB, MONITOR_MB = 10, 2  # thresholds: the runs are short, and so their leaks are small
MANY = 100  # of what is counted: half of them may come before what is judged, and more than 50 make a leak
NEAR = 0.05

# What may be said: the right word, and words that are no mistake. All else is wrong.
ALLOWED = {
    'leaks': ({'LEAK'}, set()),
    'leaks, too small': ({'LEAK'}, {'MONITOR', 'INCONCLUSIVE', 'NORMAL'}),
    'leaks, in steps': ({'LEAK'}, {'MONITOR', 'INCONCLUSIVE'}),
    'healthy': ({'NORMAL'}, {'INCONCLUSIVE', 'MONITOR', 'CACHE-FILL', 'FRAGMENTATION'}),
    'fills': ({'CACHE-FILL'}, {'NORMAL', 'INCONCLUSIVE', 'MONITOR'}),
    'slows': ({'LEAK'}, {'INCONCLUSIVE', 'MONITOR'}),
    'fragments': ({'FRAGMENTATION'}, {'INCONCLUSIVE', 'MONITOR'}),
    'per connection': ({'PER-CONNECTION'}, {'NORMAL', 'INCONCLUSIVE', 'MONITOR'}),
}


def labels():
    return list(ALLOWED)


def workloads(of_set=None):
    """(name, allocator or None, seconds that it must run) of all; of_set: None or 'heldout'."""
    rows = [line.split() for line in run([LEAKS, 'list'] + ([of_set] if of_set else [])).stdout.splitlines()]
    return [(name, None if allocator == '-' else allocator, int(seconds)) for name, allocator, seconds in rows]


def has_function(row, name):
    return any(name in (frame['function'] or '') for frame in row['frames'])


class Kept:
    """A route and a site that keep something: bytes per request, injected and found, with the interval. A function may allocate
    at several places, each of which has a row of its own."""

    def __init__(self, deed, injected, rows):
        self.site, self.injected = f"{deed['when']} {deed['site']}", injected
        self.found, self.low, self.high = (None, None, None)
        if rows:
            self.found = sum(row['bytes_per_request']['value'] for row in rows)
            self.low, self.high = (sum(row['bytes_per_request']['ci95'][end] for row in rows) for end in (0, 1))

    def error(self):
        return (self.found - self.injected) / self.injected

    def covers(self):
        return self.low - 1e-6 <= self.injected <= self.high + 1e-6


class Outcome:
    """A run: truth, report, kept (a list of Kept), and wrong, what the report says that is not so, as texts."""

    def __init__(self, truth, result):
        self.truth, self.seconds, self.result = truth, truth['seconds'], result
        self.name = truth['workload']
        self.verdicts = {v['name']: v for v in result['verdicts']}
        self.kept, self.wrong = [], []
        self.injected_mb = self._sum('usable') * 3600 / 1e6 / self.seconds
        self._judge_verdicts()
        self._judge_kept()
        self._judge_growing_sites()
        self._judge_descriptors()

    def subjects(self):
        return [s for s in SUBJECTS if s in self.verdicts]

    def verdict(self, subject):
        """The word. Of mappings, and of connections that are left open, either verdict may say that they leak."""
        beside = {'memory': 'mappings', 'descriptors': 'connections'}.get(subject)
        if self.truth['labels'][subject] == 'leaks' and self.verdicts.get(beside, {}).get('verdict') == 'LEAK':
            return 'LEAK'
        return self.verdicts[subject]['verdict']

    def _sum(self, key):
        return sum(deed[key] for deed in self.truth['deeds'])

    def detectable_mb(self):
        return self.verdicts['memory'].get('detectable_mb_per_hour')

    def label(self, subject):
        """Of the truth; of what leaks it says whether this run could have shown it."""
        label = self.truth['labels'][subject]
        if subject == 'mappings' and self._sum('mapped'):
            return 'leaks, too small'  # it is enough if the verdict on memory says so
        if label != 'leaks':
            return label
        if subject != 'memory':
            counted = self._sum(subject if subject in ('threads', 'children') else 'descriptors')
            return label if counted >= MANY else 'leaks, too small'
        if self.truth['lumpy']:
            return 'leaks, in steps'
        injected = self.injected_mb + self._sum('mapped') * 3600 / 1e6 / self.seconds
        return label if injected > (self.detectable_mb() or 0) else 'leaks, too small'

    def right(self, subject):
        """The words that are right, or no mistake. A workload may say more than its label does."""
        words = set.union(*ALLOWED[self.label(subject)])
        if subject != 'memory' or not self.truth.get('expected'):
            return words
        expected = set(self.truth.get('expected').split())
        return expected | words if self.label(subject) == 'leaks, too small' else expected

    def growth(self):
        """(found, low, high) in MB an hour, where the truth is a single number; else None."""
        growth = self.result['memory']['growth_mb_per_hour']
        if self.truth['labels']['memory'] != 'leaks' or self.truth['lumpy'] or not self.injected_mb or growth['value'] is None:
            return None
        return growth['value'], *growth['ci95']

    def injected_when_judged_mb(self):
        """What leaked an hour in the time that growth was judged by, if the report says which that was; else over the load."""
        judged, samples = self.result.get('judged'), self.truth.get('usable_over_time')
        if not judged or not samples:
            return self.injected_mb
        begin, end = (self._usable_at(t) for t in (judged['from_s'] + judged['warm_up_s'], judged['to_s']))
        return (end - begin) * 3600 / 1e6 / (judged['to_s'] - judged['from_s'] - judged['warm_up_s'])

    def _usable_at(self, seconds):
        """By a line between the samples."""
        before, after = [0.0, 0], None
        for after in self.truth['usable_over_time']:
            if after[0] >= seconds:
                break
            before = after
        share = (seconds - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0
        return before[1] + min(share, 1) * (after[1] - before[1])

    def _judge_verdicts(self):
        for subject in self.subjects():
            if self.verdict(subject) not in self.right(subject):
                self.wrong.append(f"{subject}: {self.verdict(subject)}: {self.verdicts[subject]['reason']}")

    def _routed(self, key):
        return [d for d in self.truth['deeds']
                if d[key] and d['when'] in self.truth['requests'] and not d['unrouted'] and not d.get('unjudged')]

    def _judge_kept(self):
        rows = list(self.result['memory']['kept_by'] or [])
        beside = ('descriptors', 'threads', 'mapped', 'children', 'unjudged')
        known = [d for d in self.truth['deeds'] if any(d.get(key) for key in beside)]
        for deed in self._routed('requested'):
            route = 'GET ' + deed['when']
            own = [r for r in rows if r['route'] == route and has_function(r, deed['site'])]
            rows = [r for r in rows if r not in own]
            kept = Kept(deed, deed['requested'] / self.truth['requests'][deed['when']], own)
            self.kept.append(kept)
            if not own:
                self.wrong.append(f'kept: {kept.site} keeps {kept.injected:.1f} bytes per request and is not named')
            elif abs(kept.error()) > NEAR:
                self.wrong.append(f'kept: {kept.site}: {kept.found:.1f} bytes per request, not {kept.injected:.1f}')
        for row in rows:
            if any(has_function(row, d['site']) and 'GET ' + d['when'] == row['route'] for d in known):
                continue  # what libc keeps for a thread or a descriptor
            self.wrong.append(f"kept: {row['route']} {row['site']} is said to keep {row['bytes_per_request']['value']:.1f} bytes")
        self._judge_named()

    def _judge_named(self):
        """The sentence of a LEAK names the route and the site that keep most."""
        if any(d.get('unjudged') for d in self.truth['deeds']):
            return
        most = max(self._routed('requested'), key=lambda d: d['requested'], default=None)
        reason = self.verdicts['memory']['reason']
        if self.verdict('memory') != 'LEAK':
            return
        if most and not (f"GET {most['when']} keeps" in reason and most['site'] in reason):
            self.wrong.append(f'memory: the sentence does not name {most["when"]} and {most["site"]}: {reason}')
        if not most and re.search(r'\w+ /\w+ keeps', reason):
            self.wrong.append(f'memory: the sentence names a route, and none keeps anything: {reason}')

    def _judge_growing_sites(self):
        """What no request keeps by itself must be among the sites that grow."""
        top = [self.result['memory']['sites'][i] for i in self.result['memory']['top']['growth'][:2]]
        for deed in self.truth['deeds']:
            if deed['requested'] and deed not in self._routed('requested') and self.label('memory') == 'leaks':
                if not any(has_function(site, deed['site']) for site in top):
                    self.wrong.append(f"sites: {deed['site']} is not among the two that grow most")

    def _judge_descriptors(self):
        for deed in self.truth['deeds']:
            if not deed['descriptors']:
                continue
            if deed['when'] == 'disconnect':
                self._judge_accepted(deed)
                continue
            rows = [r for r in self.result['descriptors']['opened_by'] if r['kind'] == deed['kind'] and has_function(r, deed['site'])]
            if [(r['route'], r['open']) for r in rows] != [('GET ' + deed['when'], deed['descriptors'])]:
                self.wrong.append(f"descriptors: {deed['when']} {deed['site']} left {deed['descriptors']} {deed['kind']} open, not "
                                  + str([(r['route'], r['kind'], r['open']) for r in rows]))
        self._judge_descriptors_named()

    def _judge_descriptors_named(self):
        """The sentence of a LEAK names the route and the site that left most open, or one of several that left as many."""
        opening = [d for d in self.truth['deeds'] if d['descriptors'] and d['when'] != 'disconnect']
        most = [d for d in opening if d['descriptors'] == max(o['descriptors'] for o in opening)]
        reason = self.verdicts['descriptors']['reason']
        if not most or self.verdicts['descriptors']['verdict'] != 'LEAK':
            return
        if not any(f"GET {d['when']}" in reason and d['site'] in reason for d in most):
            self.wrong.append(f"descriptors: the sentence does not name {most[0]['when']} and {most[0]['site']}: {reason}")

    def _judge_accepted(self, deed):
        accepted = self.result['descriptors']['accepted']
        if accepted['open'] != deed['descriptors']:
            self.wrong.append(f"descriptors: {deed['descriptors']} accepted connections were left open, not {accepted['open']}")


def record(name, seconds, directory, allocator=None, seed=1, heap='exact', program=LEAKS):
    """Runs a workload; leaves NAME.zst and NAME.truth.json in the directory."""
    env = {'PERFSHIM_HEAP': heap, 'PERFSHIM_MAX_STALL': '30000'}
    if allocator:
        env['LD_PRELOAD'] = f"{os.path.join(O, 'libperfshim.so')}:{allocator}"
    trace = os.path.join(directory, f'{name}.zst')
    with Server([program, 'serve', name, str(seconds)], ready=r'listening on (\d+)', env=env, out=trace) as server:
        loaded = run([LEAKS, 'load', name, str(server.port), str(seconds), str(seed)], timeout=seconds * 3 + 60)
        took = re.search(r'requests in (\S+) s', loaded.stdout)
        if not took:
            raise RuntimeError(f'{name}: the load failed: {loaded.stderr} {server.stderr()}')
        time.sleep(QUIET_S)
        server.stop()
        truth = json.loads(server.stdout().splitlines()[-1])
    with open(os.path.join(directory, f'{name}.truth.json'), 'w') as f:
        json.dump({**truth, 'seconds': float(took[1])}, f, indent=1)


def judge(name, directory):
    """The Outcome of what record() left."""
    with open(os.path.join(directory, f'{name}.truth.json')) as f:
        truth = json.load(f)
    result = report(os.path.join(directory, f'{name}.zst'), '--leak-mb', str(LEAK_MB), '--monitor-mb', str(MONITOR_MB))
    with open(os.path.join(directory, f'{name}.report.json'), 'w') as f:
        json.dump(result, f, indent=1)
    outcome = Outcome(truth, result)
    outcome.trace = os.path.join(directory, f'{name}.zst')
    return outcome


def run_workload(name, seconds, **options):
    directory = work_dir()
    record(name, seconds, directory, **options)
    return judge(name, directory)
