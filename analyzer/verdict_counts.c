/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted (descriptors, threads, connections, mappings, children) is judged by its floor at three instants: after the
 * warm-up, in the middle and at the end of the load; what rises once and stays is a pool, what rises in both halves is growing.
 * If recording went on after the load, the end is then, and what was given back by then does not count. Descriptors and connections
 * that are still there then are a leak whenever they were opened: a pool would have been filled in the warm-up.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verdict_part.h"

#define PACE_SHARE (1.0 / 3)
#define QUIET_NS 500000000      /* after the load: peers had time to close, and the server to notice */
#define RISING_SHARE 0.25       /* of the change must fall in each half of the load */
#define MAPPINGS_MAX 65530      /* of a process, by default (vm.max_map_count) */
#define KINDS_SHOWN 3
#define ALONE 0.8               /* of what all descriptors rose: the verdict is about that kind alone */
#define SMALL_MAPPING 65536     /* bytes: as many as this are nobody's heap */
#define SMALLEST_STACK 16384    /* PTHREAD_STACK_MIN */
#define STACKS_SHARE 0.5        /* of the stacks that threads should have left must be seen in the address space, which may shrink otherwise */

struct rise {
    bool known;
    double first, middle, last, change;
    bool rising; /* in both halves */
    bool after;  /* the last is one after the load */
    struct growth growth;
};

static double floor_of(struct verdict_count c, int64_t from_ns, int64_t to_ns)
{
    double sum = 0;
    for (size_t i = 0; i < c.n; i++)
        sum += to_ns > from_ns ? series_min(c.series[i], from_ns, to_ns) : series_at(c.series[i], from_ns);
    return sum;
}

/* When to look whether what is left after the load: a second before the end, or in the middle if that is too early. */
static int64_t quiet_instant(const struct verdict_run *run)
{
    int64_t quiet_ns = run->quiet_ns - run->to_ns;
    if (quiet_ns < QUIET_NS)
        return run->to_ns;
    return run->quiet_ns - (quiet_ns > 2000000000 ? 1000000000 : quiet_ns / 2);
}

/* Did it never change? Most counts do not, and fitting a line takes long. */
static bool is_flat(struct verdict_count c, const struct verdict_run *run)
{
    for (size_t i = 0; i < c.n; i++)
        if (series_min(c.series[i], run->from_ns, run->to_ns) < c.series[i]->peak)
            return false;
    return true;
}

/* Growth of c without `less`. */
static struct growth growth_without(struct verdict_count c, struct verdict_count less, const struct verdict_run *run,
                                    int64_t warm_up_ns)
{
    double value[GROWTH_POINTS_MAX], done[GROWTH_POINTS_MAX];
    int64_t width_ns = 1;

    if (!less.n && is_flat(c, run))
        return (struct growth){.known = true, .from_ns = run->from_ns, .warm_ns = run->from_ns, .to_ns = run->to_ns};
    if (!less.n)
        return growth_of(c.series, c.n, run->work, run->from_ns, run->to_ns, 1, warm_up_ns);
    for (size_t i = 0; i < c.n; i++)
        width_ns = c.series[i]->width_ns > width_ns ? c.series[i]->width_ns : width_ns;
    int64_t windows = (run->to_ns - run->from_ns) / width_ns;
    unsigned n = windows > GROWTH_POINTS_MAX ? GROWTH_POINTS_MAX : windows > 0 ? (unsigned)windows : 0;
    for (unsigned i = 0; i < n; i++) {
        int64_t from_ns = run->from_ns + (run->to_ns - run->from_ns) / n * i, to_ns = from_ns + (run->to_ns - run->from_ns) / n;
        value[i] = floor_of(c, from_ns, to_ns) - floor_of(less, from_ns, to_ns);
        done[i] = run->work ? series_at(run->work, from_ns + (to_ns - from_ns) / 2) : 0;
    }
    return growth_fit(value, run->work ? done : NULL, n, run->from_ns, n ? (run->to_ns - run->from_ns) / n : 1, warm_up_ns);
}

/* Did it rise after what looks like its warm-up nearly as fast as in it? Then it was none, but a change of the load's pace. */
static bool goes_on(struct verdict_count c, struct verdict_count less, const struct growth *g, int64_t start_ns)
{
    int64_t window_ns = (g->to_ns - g->warm_ns) / 20 + 1;

    if (!g->known || g->warm_ns <= start_ns + window_ns)
        return false;
    double before = floor_of(c, g->warm_ns, g->warm_ns + window_ns) - floor_of(less, g->warm_ns, g->warm_ns + window_ns) -
                    floor_of(c, start_ns, start_ns + window_ns) + floor_of(less, start_ns, start_ns + window_ns);
    return before > 0 && g->per_s > PACE_SHARE * before / ((double)(g->warm_ns - start_ns) / 1e9);
}

/* The floor of c without `less`, which is a part of it. */
static struct rise rise_without(struct verdict_count c, struct verdict_count less, const struct verdict_run *run)
{
    struct rise r = {.known = false};
    int64_t loaded_ns = run->to_ns - run->from_ns, last_ns = quiet_instant(run);
    if (!c.n || loaded_ns <= 0)
        return r;
    int64_t warm_ns = run->from_ns + loaded_ns / 20;
    struct growth g = growth_without(c, less, run, run->warm_up_ns);
    if (run->warm_up_ns < 0 && goes_on(c, less, &g, warm_ns))
        g = growth_without(c, less, run, 0);
    if (g.known && g.warm_ns > warm_ns)
        warm_ns = g.warm_ns;
    int64_t tenth_ns = (run->to_ns - warm_ns) / 10, middle_ns = warm_ns + (run->to_ns - warm_ns) / 2;
    r.known = true;
    r.after = last_ns > run->to_ns;
    r.growth = g;
    r.first = floor_of(c, warm_ns, warm_ns + tenth_ns) - floor_of(less, warm_ns, warm_ns + tenth_ns);
    r.middle = floor_of(c, middle_ns, middle_ns + tenth_ns) - floor_of(less, middle_ns, middle_ns + tenth_ns);
    double end = floor_of(c, run->to_ns - tenth_ns, run->to_ns) - floor_of(less, run->to_ns - tenth_ns, run->to_ns);
    r.last = r.after ? floor_of(c, last_ns, last_ns) - floor_of(less, last_ns, last_ns) : end;
    r.change = r.last - r.first;
    r.rising = r.middle - r.first >= RISING_SHARE * r.change && fmin(r.last, end) - r.middle >= RISING_SHARE * r.change;
    return r;
}

static struct rise rise_of(struct verdict_count c, const struct verdict_run *run)
{
    return rise_without(c, (struct verdict_count){NULL, 0}, run);
}

static double loaded_s(const struct verdict_run *run) { return (double)(run->to_ns - run->from_ns) / 1e9; }

static void figures(struct verdict *v, const struct verdict_run *run, const struct rise *r)
{
    if (!r->known)
        return;
    v->first = r->first;
    v->last = r->last;
    v->seen_per_s = loaded_s(run) > 0 ? verdict_limits_of(run)->leak_count / loaded_s(run) : NAN;
    if (r->growth.known)
        v->per_s = (struct verdict_rate){r->growth.per_s, r->growth.low, r->growth.high};
}

/* "rose from 3 to 120 over 10 s of load" */
struct change {
    char text[4 * UNITS_MAX];
};

static struct change change_of(const struct verdict_run *run, const struct rise *r)
{
    struct change c;
    char first[UNITS_MAX], last[UNITS_MAX], seconds[UNITS_MAX];
    const char *verb = r->change > 0 ? "rose from" : r->change < 0 ? "fell from" : "stayed at";

    units_count(first, r->first);
    units_count(last, r->last);
    snprintf(c.text, sizeof c.text, "%s %s%s%s over %s of load%s", verb, first, r->change != 0 ? " to " : "",
             r->change != 0 ? last : "", units_clock(seconds, loaded_s(run)), r->after ? " and after it" : "");
    return c;
}

/* What to say and do of a count. */
struct words {
    const char *what;   /* that is counted */
    const char *advice; /* where they leak */
    bool pool;          /* what rises at once and stays may well be meant so, even after the load */
};

/* Below the thresholds, or in doubt. */
static void judge_low(struct verdict *v, const struct verdict_run *run, const struct rise *r, const struct words *w)
{
    struct change change = change_of(run, r);

    if (verdict_lossy(run)) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE, "%s %s, but %s: record again with a larger PERFSHIM_MAX_STALL", w->what,
                         change.text, verdict_losses_of(run).text);
    } else if (!verdict_enough(run, loaded_s(run))) {
        v->minutes = verdict_minutes(loaded_s(run), 0);
        verdict_conclude(v, VERDICT_INCONCLUSIVE, "%s %s, too little to rule a leak out; load it about %.0f min longer", w->what,
                         change.text, v->minutes);
    } else {
        verdict_conclude(v, VERDICT_NORMAL, "%s %s; a leak of %.0f would have been found", w->what, change.text,
                         verdict_limits_of(run)->leak_count + 1);
    }
}

static bool leaks(const struct verdict_run *run, const struct rise *r, const struct words *w)
{
    return r->known && r->change > verdict_limits_of(run)->leak_count && (r->rising || (r->after && !w->pool));
}

static void judge(struct verdict *v, const struct verdict_run *run, const struct rise *r, const struct words *w)
{
    const struct verdict_limits *limits = verdict_limits_of(run);
    struct change change = change_of(run, r);

    if (!r->known)
        verdict_conclude(v, VERDICT_INCONCLUSIVE, "%s could not be counted in this run: no process lived through the load", w->what);
    else if (leaks(run, r, w) && r->rising)
        verdict_conclude(v, VERDICT_LEAK, "%s %s, and were rising throughout: %s", w->what, change.text, w->advice);
    else if (leaks(run, r, w))
        verdict_conclude(v, VERDICT_LEAK, "%s %s, and stay: %s", w->what, change.text, w->advice);
    else if (r->change > limits->leak_count)
        verdict_conclude(v, VERDICT_MONITOR, "%s %s, but not throughout it: a pool, if they stay there; load it longer to see",
                         w->what, change.text);
    else if (r->change > limits->monitor_count && r->rising)
        verdict_conclude(v, VERDICT_MONITOR, "%s %s, and were still rising: load it longer to see whether they stop", w->what,
                         change.text);
    else
        judge_low(v, run, r, w);
}

/* --- descriptors --- */

/* Is it worth a closer look? */
static bool may_rise(struct verdict_count c, const struct verdict_run *run)
{
    int64_t tenth_ns = (run->to_ns - run->from_ns) / 10, last_ns = quiet_instant(run);

    return c.n && fmax(floor_of(c, last_ns, last_ns), floor_of(c, run->to_ns - tenth_ns, run->to_ns)) -
                          floor_of(c, run->from_ns, run->from_ns + tenth_ns) > 0;
}

/* The kind that rose most; KIND_COUNT: none did by as much as says anything. */
static unsigned worst_kind(const struct verdict_run *run, const struct rise rise[KIND_COUNT])
{
    double most = verdict_limits_of(run)->monitor_count;
    unsigned found = KIND_COUNT;

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        if (rise[kind].known && rise[kind].change > most) {
            most = rise[kind].change;
            found = kind;
        }
    return found;
}

/* "; most of pipe +240, file +120": those that rose most. */
static void add_kinds(struct verdict *v, const struct rise rise[KIND_COUNT])
{
    size_t used = strlen(v->reason);
    bool told[KIND_COUNT] = {false};

    for (unsigned shown = 0; shown < KINDS_SHOWN; shown++) {
        unsigned next = KIND_COUNT;
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            if (!told[kind] && rise[kind].known && rise[kind].change > 0 &&
                (next == KIND_COUNT || rise[kind].change > rise[next].change))
                next = kind;
        if (next == KIND_COUNT || used >= sizeof v->reason)
            break;
        told[next] = true;
        used += (size_t)snprintf(v->reason + used, sizeof v->reason - used, "%s %s +%.0f", shown ? "," : "; most of",
                                 desc_kind_name[next], rise[next].change);
    }
}

struct verdict verdict_descriptors(const struct verdict_run *run, const struct verdict_descriptors *d)
{
    struct verdict v = verdict_new("descriptors", false);
    struct rise all = rise_without(d->own, d->gone, run), rise[KIND_COUNT];
    struct words words = {.what = "descriptors without accepted connections", .advice = "close them on every path"};
    char what[UNITS_MAX + 32];

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        rise[kind] = may_rise(d->kind[kind], run) ? rise_of(d->kind[kind], run) : (struct rise){.known = false};
    unsigned worst = worst_kind(run, rise);
    /* one kind may leak while others fall, and of all together nobody would see it */
    if (worst < KIND_COUNT && leaks(run, &rise[worst], &words) && rise[worst].change >= ALONE * all.change) {
        snprintf(what, sizeof what, "descriptors of kind %s", desc_kind_name[worst]);
        words.what = what;
        all = rise[worst];
        v.worst = worst;
    }
    figures(&v, run, &all);
    judge(&v, run, &all, &words);
    if (v.worst == KIND_COUNT && (v.kind == VERDICT_LEAK || v.kind == VERDICT_MONITOR))
        add_kinds(&v, rise);
    return v;
}

/* --- threads --- */

struct verdict verdict_threads(const struct verdict_run *run, struct verdict_count threads)
{
    struct verdict v = verdict_new("threads", false);
    struct rise r = rise_of(threads, run);
    const struct words words = {"threads", "let each end when its work is done, or bound their number", true};

    figures(&v, run, &r);
    judge(&v, run, &r, &words);
    return v;
}

/* From before the load to the end. */
static double gained(struct verdict_count c, const struct verdict_run *run)
{
    int64_t last_ns = quiet_instant(run);

    return c.n ? floor_of(c, last_ns, last_ns) - floor_of(c, run->from_ns, run->from_ns) : NAN;
}

/* A join that passes the hooks is not seen before libc gives the thread's handle to another, but the stack tells of it. */
static bool stacks_are_gone(const struct verdict_unjoined *u, const struct verdict_run *run)
{
    double each = isnan(u->stack_bytes) ? SMALLEST_STACK : u->stack_bytes;

    return gained(u->size, run) < STACKS_SHARE * each * gained(u->count, run);
}

bool verdict_unjoined(struct verdict *threads, const struct verdict_run *run, const struct verdict_unjoined *u)
{
    struct rise r = rise_of(u->count, run);
    const struct words words = {"threads that ended and were neither joined nor detached",
                                "each keeps its stack, which only pthread_join or pthread_detach gives back", true};
    char stacks[UNITS_MAX], size[UNITS_MAX];

    if (!leaks(run, &r, &words))
        return false;
    threads->unjoined = true;
    figures(threads, run, &r);
    judge(threads, run, &r, &words);
    if (threads->kind == VERDICT_LEAK && stacks_are_gone(u, run))
        verdict_conclude(threads, VERDICT_INCONCLUSIVE,
                         "threads that ended, and that no call seen here has joined or detached, %s; but they do not keep their stacks: "
                         "these would be %s, and the address space rose by %s. They are joined by calls that pass no hook",
                         change_of(run, &r).text, units_bytes(stacks, gained(u->count, run) * u->stack_bytes),
                         units_bytes(size, fmax(0, gained(u->size, run))));
    return true;
}

/* --- connections --- */

struct verdict verdict_connections(const struct verdict_run *run, struct verdict_count open, struct verdict_count gone,
                                   uint64_t accepted)
{
    struct verdict v = verdict_new("connections", false);
    struct rise all = rise_of(open, run), left = rise_of(gone, run);
    const struct words words = {"accepted connections", "close those that are not used any more", false},
                       deserted = {"accepted connections whose peers have gone", "close a connection when reading from it gives 0",
                                   false};

    if (leaks(run, &left, &deserted)) {
        figures(&v, run, &left);
        judge(&v, run, &left, &deserted);
        return v;
    }
    figures(&v, run, &all);
    if (!accepted && !verdict_lossy(run))
        verdict_conclude(&v, VERDICT_NORMAL, "none was accepted");
    else if (leaks(run, &all, &words) && !all.after)
        verdict_conclude(&v, VERDICT_MONITOR,
                         "accepted connections %s, which had not ended when recording did: see whether they are closed when it has",
                         change_of(run, &all).text);
    else
        judge(&v, run, &all, &words);
    return v;
}

/* --- mappings --- */

struct verdict verdict_mappings(const struct verdict_run *run, struct verdict_count count, const struct verdict_memory *m)
{
    struct verdict v = verdict_new("mappings", true);
    struct rise r = rise_of(count, run);
    const struct growth *g = &m->mapped;
    const struct words words = {"anonymous mappings of its own", "munmap what is not used any more", true};
    char rate[UNITS_MAX], gained[UNITS_MAX], most[UNITS_MAX];
    double each = m->requests > 0 && m->live.known ? verdict_judged_s(&m->live) / m->requests : NAN;
    bool steady = g->known && g->steady && !g->slowing, used = m->anon_gained >= g->gained / 2;
    bool convicts = verdict_convicts(run, g, VERDICT_GAINED_BYTES), garbage = collector_may_free(m->collector, 0, g->gained);
    bool many = leaks(run, &r, &words) && steady && !garbage &&
                (g->low > verdict_monitor_bytes(run) || g->gained < r.change * SMALL_MAPPING);

    figures(&v, run, &r);
    v.per_s = g->known ? (struct verdict_rate){g->per_s, g->low, g->high} : (struct verdict_rate){NAN, NAN, NAN};
    v.seen_per_s = g->known ? verdict_detectable(run, g, VERDICT_GAINED_BYTES) : NAN;
    v.per_request = (struct verdict_rate){v.per_s.value * each, v.per_s.low * each, v.per_s.high * each};
    units_bytes(rate, g->per_s * 3600);
    units_bytes(gained, g->gained);
    if (!r.known && !verdict_lossy(run))
        verdict_conclude(&v, VERDICT_NORMAL, "the program made none itself");
    else if (convicts && used && !garbage)
        verdict_conclude(&v, VERDICT_LEAK,
                         "what the program maps itself grows by %s/hour, steadily, by %s in this run, and is used: %s", rate, gained,
                         words.advice);
    else if (many)
        verdict_conclude(&v, VERDICT_LEAK, "%s %s, and were still rising, which ends in mmap failing at %u of them: %s", words.what,
                         change_of(run, &r).text, MAPPINGS_MAX, words.advice);
    else if (convicts && used)
        verdict_conclude(&v, VERDICT_MONITOR,
                         "what the program maps itself grows by %s/hour, steadily, by %s in this run, and is used, but may be garbage that %s "
                         "has yet to collect: load it until it has gained more than %s", rate, gained, m->collector->name,
                         units_bytes(most, m->collector->patience_bytes));
    else if (convicts)
        verdict_conclude(&v, VERDICT_MONITOR,
                         "what the program maps itself grows by %s/hour, but little of it is used: address space alone is no leak yet",
                         rate);
    else if (g->known && used && g->gained >= VERDICT_GAINED_BYTES && g->per_s > verdict_monitor_bytes(run))
        verdict_conclude(&v, VERDICT_MONITOR,
                         "what the program maps itself grows by %s/hour, by %s in this run, and is used, but not so steadily that it "
                         "is surely a leak; load it longer", rate, gained);
    else if (r.change > verdict_limits_of(run)->leak_count)
        verdict_conclude(&v, VERDICT_MONITOR, "%s %s, with %s: load it longer to see whether they stop", words.what,
                         change_of(run, &r).text, gained);
    else
        judge(&v, run, &r, &words);
    return v;
}

/* --- children --- */

struct verdict verdict_children(const struct verdict_run *run, const struct verdict_children *c)
{
    struct verdict v = verdict_new("children", false);
    struct rise r = rise_of(c->zombies, run);
    const struct words words = {"children that ended and were not waited for (zombies)",
                                "call waitpid when one ends, or ignore SIGCHLD", false};

    figures(&v, run, &r);
    if (verdict_lossy(run)) /* a wait for a child may be among what was lost */
        judge_low(&v, run, &r, &words);
    else if (!r.known && c->counted)
        verdict_conclude(&v, VERDICT_NORMAL, "no child of a process that lived through the load ended without being waited for");
    else
        judge(&v, run, &r, &words);
    if (v.kind != VERDICT_LEAK && c->untold)
        verdict_conclude(&v, VERDICT_INCONCLUSIVE,
                         "%llu children ended, and the trace, of an earlier version, does not tell whether they were waited for: record "
                         "again", (unsigned long long)c->untold);
    if (v.kind == VERDICT_NORMAL && (double)c->unclear > verdict_limits_of(run)->leak_count)
        verdict_conclude(&v, VERDICT_MONITOR,
                         "%llu children became programs that are not recorded, and were not waited for: they may have ended",
                         (unsigned long long)c->unclear);
    return v;
}
