/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory is judged by the interval's bounds and by vetoes (growth.h), and by how much it gained at all: in a run of seconds
 * a slope of 50 MB an hour is a few buffers, so less than a megabyte convicts nobody, unless the requests themselves are
 * seen to keep it.
 *
 * Counts (descriptors, threads) are judged by their floor at three instants: after the warm-up, in the middle and at the
 * end of the load; what rises once and stays is a pool, what rises in both halves is growing.
 */
#include "verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "units.h"

#define GAINED_BYTES 1e6        /* the least that a leak must have gained */
#define GAINED_KEPT_BYTES 256e3 /* the same where requests are seen to keep at least half of it */
#define ANON_GAINED_BYTES 4e6
#define ANON_JUDGED_S 60
#define ENOUGH_S 60             /* NORMAL: judged this long, */
#define ENOUGH_LOADED_S 8       /* or this long with so many requests */
#define ENOUGH_REQUESTS 1000
#define QUIET_NS 500000000      /* after the load: peers had time to close, and the server to notice */
#define RISING_SHARE 0.25       /* of the change must fall in each half of the load */

const char *const verdict_kind_name[VERDICT_KINDS] = {"NORMAL", "MONITOR", "LEAK", "INCONCLUSIVE", "CACHE-FILL", "FRAGMENTATION"};

const struct verdict_limits verdict_default_limits = {
    .monitor_mb_per_hour = 10, .leak_mb_per_hour = 50, .monitor_count = 20, .leak_count = 50};

static void __attribute__((format(printf, 3, 4)))
conclude(struct verdict *v, enum verdict_kind kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v->reason, sizeof v->reason, format, arguments);
    va_end(arguments);
    v->kind = kind;
}

static double per_hour(double mb) { return mb * 1e6 / 3600; } /* to bytes a second */

static const struct verdict_limits *limits_of(const struct verdict_run *run)
{
    return run->limits ? run->limits : &verdict_default_limits;
}

static double leak_limit(const struct verdict_run *run) { return per_hour(limits_of(run)->leak_mb_per_hour); }
static double monitor_limit(const struct verdict_run *run) { return per_hour(limits_of(run)->monitor_mb_per_hour); }

static double judged_s(const struct growth *g) { return (double)(g->to_ns - g->warm_ns) / 1e9; }

/* "1.23 MB/hour (95 % interval 1.20 to 1.26 MB/hour)" */
struct rate {
    char text[4 * UNITS_MAX];
};

static struct rate rate_of(const struct growth *g)
{
    struct rate r;
    char value[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX];
    snprintf(r.text, sizeof r.text, "%s/hour (95 %% interval %s to %s)", units_bytes(value, g->per_s * 3600),
             units_bytes(low, g->low * 3600), units_bytes(high, g->high * 3600));
    return r;
}

static bool enough_data(const struct verdict_run *run, double seconds)
{
    return seconds >= ENOUGH_S || (seconds >= ENOUGH_LOADED_S && run->requests >= ENOUGH_REQUESTS);
}

/* --- memory --- */

static double gain_needed(const struct verdict_memory *m, const struct growth *g)
{
    bool kept = g == &m->live && m->kept.route && m->kept.low > 0 && m->kept.bytes >= g->gained / 2;
    return kept ? GAINED_KEPT_BYTES : GAINED_BYTES;
}

static bool convicts(const struct verdict_run *run, const struct verdict_memory *m, const struct growth *g)
{
    return g->known && g->low > leak_limit(run) && g->steady && !g->slowing &&
           g->gained >= gain_needed(m, g);
}

static void leak(struct verdict *v, const struct verdict_memory *m, const struct growth *g)
{
    struct rate rate = rate_of(g);
    char seconds[UNITS_MAX], kept[UNITS_MAX];
    const char *what = g == &m->live ? "live heap" : "anonymous memory that the program maps itself";
    units_clock(seconds, judged_s(g));
    if (g != &m->live || !m->kept.route || !(m->kept.low > 0)) {
        conclude(v, VERDICT_LEAK, "%s grows by %s, steadily over %s", what, rate.text, seconds);
        return;
    }
    units_bytes(kept, m->kept.bytes_per_request);
    conclude(v, VERDICT_LEAK, "%s grows by %s, steadily over %s; %s keeps %s per request%s%s", what, rate.text, seconds,
             m->kept.route, kept, m->kept.site ? ", allocated at " : "", m->kept.site ? m->kept.site : "");
}

/* The interval of a slope narrows with the time to the power 1.5 (ordinary least squares; it holds roughly here), so a
 * distance to the threshold tells how much longer the run would have had to be. */
static void needs_longer(struct verdict *v, const struct verdict_run *run, const struct growth *g, const struct rate *rate)
{
    char seconds[UNITS_MAX];
    double low = monitor_limit(run), high = leak_limit(run);
    double half_width = fmax(g->high - g->per_s, g->per_s - g->low);
    double away = g->per_s < low ? low - g->per_s : g->per_s > high ? g->per_s - high : fmax(g->per_s - low, low / 10);
    double longer = pow(fmax(half_width / fmax(away, low / 10), 1.2), 2.0 / 3) * judged_s(g);
    if (g->per_s > low && g->gained > 0)
        longer = fmax(longer, judged_s(g) * GAINED_BYTES / g->gained);
    double minutes = fmax(1, ceil((longer - judged_s(g)) / 60));
    if (minutes > 7 * 24 * 60)
        conclude(v, VERDICT_INCONCLUSIVE, "live heap changes by %s: too unsteady for any run of less than weeks to tell",
                 rate->text);
    else
        conclude(v, VERDICT_INCONCLUSIVE,
                 "live heap changes by %s, which %s of load cannot tell from a leak; load it about %.0f min longer",
                 rate->text, units_clock(seconds, judged_s(g)), minutes);
}

/* Resident memory grows, and live heap does not. */
static void resident_growth(struct verdict *v, const struct verdict_memory *m)
{
    char grows[UNITS_MAX], mapped[UNITS_MAX];

    units_bytes(grows, m->anon.per_s * 3600);
    if (m->mapped.known && m->mapped.per_s >= m->anon.per_s / 2)
        conclude(v, VERDICT_MONITOR, "resident memory grows by %s/hour, live heap does not: the program maps %s/hour itself", grows,
                 units_bytes(mapped, m->mapped.per_s * 3600));
    else
        conclude(v, VERDICT_FRAGMENTATION,
                 "resident memory grows by %s/hour, although live heap does not: the allocator keeps it, in blocks that are "
                 "partly used; malloc_trim, fewer arenas (MALLOC_ARENA_MAX) or another allocator may give it back", grows);
}

/* What fills up and will be full: how far it is. */
static void filling(struct verdict *v, const struct growth *g)
{
    char ceiling[UNITS_MAX], left[UNITS_MAX];

    units_bytes(ceiling, g->ceiling.value);
    if (g->ceiling.left_s > 0)
        conclude(v, VERDICT_CACHE_FILL,
                 "live heap rises ever more slowly, as a cache does that fills: at this load it comes within 5 %% of its "
                 "ceiling, about %s, in %s", ceiling, units_clock(left, g->ceiling.left_s));
    else
        conclude(v, VERDICT_CACHE_FILL, "live heap rises ever more slowly, as a cache does that fills: it is %.0f %% of the way to "
                 "its ceiling, about %s", 100 * g->ceiling.reached, ceiling);
}

/* Live heap is surely below the threshold: is that enough for NORMAL? */
static void low_growth(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m,
                       const struct rate *rate)
{
    char buffer[UNITS_MAX], seen[UNITS_MAX];
    const struct growth *anon = &m->anon;
    if (anon->known && anon->low > leak_limit(run) && anon->steady && !anon->slowing &&
        anon->gained > ANON_GAINED_BYTES && judged_s(anon) >= ANON_JUDGED_S)
        resident_growth(v, m);
    else if (run->lost_events || run->damaged || run->restarted)
        conclude(v, VERDICT_INCONCLUSIVE,
                 "live heap changes by %s, but %s events were lost%s: record again with a larger PERFSHIM_MAX_STALL",
                 rate->text, units_count(buffer, (double)run->lost_events),
                 run->damaged ? " and the file is damaged" : run->restarted ? " and the recorder was started anew" : "");
    else if (m->kept.route && m->kept.low > 0 && m->kept.bytes > GAINED_BYTES)
        conclude(v, VERDICT_INCONCLUSIVE, "live heap changes by %s, but %s keeps %s per request: load it longer",
                 rate->text, m->kept.route, units_bytes(buffer, m->kept.bytes_per_request));
    else if (!enough_data(run, judged_s(&m->live)))
        conclude(v, VERDICT_INCONCLUSIVE,
                 "live heap does not grow, but %s of load after the warm-up is too little to rule a leak out; load it for "
                 "a minute", units_clock(buffer, judged_s(&m->live)));
    else
        conclude(v, VERDICT_NORMAL, "live heap changes by %s over %s of load; a leak of %s/hour would have been found",
                 rate->text, units_clock(buffer, judged_s(&m->live)), units_bytes(seen, v->seen_per_s * 3600));
}

static void growing(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    const struct growth *g = &m->live;
    struct rate rate = rate_of(g);
    char gained[UNITS_MAX];
    double monitor = monitor_limit(run), too_much = leak_limit(run);
    bool between = g->per_s >= monitor && g->per_s <= too_much && g->low > 0;

    units_bytes(gained, g->gained);
    if (g->high < monitor)
        low_growth(v, run, m, &rate);
    else if (g->low > monitor && g->slowing && g->ceiling.known && g->ceiling.beside_per_s < too_much)
        filling(v, g);
    else if (g->low > monitor && g->slowing)
        conclude(v, VERDICT_INCONCLUSIVE,
                 "live heap rose by %s, but ever more slowly, as a cache does that fills: load it until it is full",
                 gained);
    else if (g->low > monitor && !g->steady)
        conclude(v, VERDICT_INCONCLUSIVE,
                 "live heap rose by %s (%s), but in steps or with falls between: load it for several of its cycles",
                 gained, rate.text);
    else if ((g->low > monitor || between) && g->steady && !g->slowing && g->gained >= GAINED_KEPT_BYTES)
        conclude(v, VERDICT_MONITOR, "live heap grows by %s: %s in this run; watch it in a longer one", rate.text, gained);
    else
        needs_longer(v, run, g, &rate);
}

/* A leak must be above the threshold by the interval's bound, and have gained something. */
static double leak_seen_per_s(const struct verdict_run *run, const struct verdict_memory *m)
{
    if (!m->ledger || !m->live.known)
        return NAN;
    return fmax(leak_limit(run) + m->live.seen_per_s, GAINED_BYTES / judged_s(&m->live));
}

struct verdict verdict_memory(const struct verdict_run *run, const struct verdict_memory *m)
{
    struct verdict v = {.name = "memory", .seen_per_s = leak_seen_per_s(run, m)};
    char seconds[UNITS_MAX];
    if (m->ledger && convicts(run, m, &m->live))
        leak(&v, m, &m->live);
    else if (convicts(run, m, &m->mapped) && m->anon_gained >= m->mapped.gained / 2) /* reserving alone is no growth */
        leak(&v, m, &m->mapped);
    else if (!m->ledger)
        conclude(&v, VERDICT_INCONCLUSIVE,
                 "the heap was not recorded, so growth cannot be told from what the allocator keeps");
    else if (!m->live.known && run->left_out && !m->live.points)
        conclude(&v, VERDICT_INCONCLUSIVE, "no process lived through the load, so no growth could be measured");
    else if (!m->live.known)
        conclude(&v, VERDICT_INCONCLUSIVE, "%s of load is too little to measure growth; load it for a minute",
                 units_clock(seconds, (double)(run->to_ns - run->from_ns) / 1e9));
    else
        growing(&v, run, m);
    return v;
}

/* --- counts --- */

struct rise {
    bool known;
    double first, middle, last, change;
    bool rising; /* in both halves */
};

static double floor_of(struct verdict_count c, int64_t from_ns, int64_t to_ns)
{
    double sum = 0;
    for (size_t i = 0; i < c.n; i++)
        sum += to_ns > from_ns ? series_min(c.series[i], from_ns, to_ns) : series_at(c.series[i], from_ns);
    return sum;
}

/* last_ns: where the last value is looked up; up to to_ns it is the floor of the load's last tenth. */
static struct rise rise_of(struct verdict_count c, const struct verdict_run *run, int64_t last_ns)
{
    struct rise r = {0};
    int64_t loaded_ns = run->to_ns - run->from_ns;
    if (!c.n || loaded_ns <= 0)
        return r;
    struct growth g = growth_of(c.series, c.n, NULL, run->from_ns, run->to_ns, 1, run->warm_up_ns);
    int64_t warm_ns = run->from_ns + loaded_ns / 20;
    if (g.known && g.warm_ns > warm_ns)
        warm_ns = g.warm_ns;
    int64_t tenth_ns = (run->to_ns - warm_ns) / 10, middle_ns = warm_ns + (run->to_ns - warm_ns) / 2;
    r.known = true;
    r.first = floor_of(c, warm_ns, warm_ns + tenth_ns);
    r.middle = floor_of(c, middle_ns, middle_ns + tenth_ns);
    double end = floor_of(c, run->to_ns - tenth_ns, run->to_ns);
    r.last = last_ns > run->to_ns ? floor_of(c, last_ns, last_ns) : end;
    r.change = r.last - r.first;
    r.rising = r.middle - r.first >= RISING_SHARE * r.change && fmin(r.last, end) - r.middle >= RISING_SHARE * r.change;
    return r;
}

/* When to look whether what is left after the load: a second before the end, or in the middle if that is too early. */
static int64_t quiet_instant(const struct verdict_run *run)
{
    int64_t quiet_ns = run->quiet_ns - run->to_ns;
    if (quiet_ns < QUIET_NS)
        return run->to_ns;
    return run->quiet_ns - (quiet_ns > 2000000000 ? 1000000000 : quiet_ns / 2);
}

/* what: the words for what r counts. */
static void judge_count(struct verdict *v, const struct verdict_run *run, const struct rise *r, const char *what)
{
    char first[UNITS_MAX], last[UNITS_MAX], seconds[UNITS_MAX];
    double loaded_s = (double)(run->to_ns - run->from_ns) / 1e9;
    units_count(first, r->first);
    units_count(last, r->last);
    units_clock(seconds, loaded_s);
    if (!r->known)
        conclude(v, VERDICT_INCONCLUSIVE, "%s could not be counted in this run", what);
    else if (r->change > limits_of(run)->leak_count && r->rising)
        conclude(v, VERDICT_LEAK, "%s rose from %s to %s over %s of load, and were still rising", what, first, last,
                 seconds);
    else if (r->change > limits_of(run)->leak_count)
        conclude(v, VERDICT_MONITOR, "%s rose from %s to %s, but not throughout the load: a pool, if they stay there",
                 what, first, last);
    else if (r->change > limits_of(run)->monitor_count && r->rising)
        conclude(v, VERDICT_MONITOR, "%s rose from %s to %s over %s of load: load it longer", what, first, last,
                 seconds);
    else if (run->lost_events || run->damaged || run->restarted)
        conclude(v, VERDICT_INCONCLUSIVE, "%s went from %s to %s, but events were lost", what, first, last);
    else if (!enough_data(run, loaded_s))
        conclude(v, VERDICT_INCONCLUSIVE, "%s went from %s to %s, but %s of load is too little to rule a leak out",
                 what, first, last, seconds);
    else
        conclude(v, VERDICT_NORMAL, "%s went from %s to %s over %s of load", what, first, last, seconds);
}

struct verdict verdict_descriptors(const struct verdict_run *run, struct verdict_count all, struct verdict_count own)
{
    struct verdict v = {.name = "descriptors", .seen_per_s = NAN};
    int64_t instant_ns = quiet_instant(run);
    struct rise every = rise_of(all, run, instant_ns), without = rise_of(own, run, instant_ns);
    bool own_leak = without.known && without.change > limits_of(run)->leak_count && without.rising;
    bool differ = every.known && without.known && (every.first != without.first || every.last != without.last);
    bool connections = every.known && every.change > limits_of(run)->leak_count && every.rising;

    if (connections && !own_leak && instant_ns <= run->to_ns)
        conclude(&v, VERDICT_MONITOR,
                 "accepted connections rose by %.0f over the load, which had not ended when recording did: see whether "
                 "they are closed when it has", every.change - without.change);
    else if (connections && !own_leak)
        conclude(&v, VERDICT_LEAK,
                 "descriptors rose by %.0f over the load; after it, %.0f accepted connections are still open", every.change, every.last - without.last);
    else
        judge_count(&v, run, without.known ? &without : &every, differ ? "descriptors without connections" : v.name);
    return v;
}

struct verdict verdict_threads(const struct verdict_run *run, struct verdict_count threads)
{
    struct verdict v = {.name = "threads", .seen_per_s = NAN};
    struct rise r = rise_of(threads, run, quiet_instant(run));
    judge_count(&v, run, &r, v.name);
    return v;
}

bool verdict_unjoined(struct verdict *threads, const struct verdict_run *run, struct verdict_count unjoined)
{
    struct rise r = rise_of(unjoined, run, quiet_instant(run));
    char first[UNITS_MAX], last[UNITS_MAX], seconds[UNITS_MAX];

    if (!r.known || r.change <= limits_of(run)->leak_count || !r.rising)
        return false;
    conclude(threads, VERDICT_LEAK,
             "threads that ended and were neither joined nor detached rose from %s to %s over %s of load: each keeps its stack, which "
             "only pthread_join or pthread_detach gives back", units_count(first, r.first), units_count(last, r.last),
             units_clock(seconds, (double)(run->to_ns - run->from_ns) / 1e9));
    return true;
}
