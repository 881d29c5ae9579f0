/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory is judged by the interval's bounds and by vetoes (growth.h), and by how much it gained at all: in a run of seconds
 * a slope of 50 MB an hour is a few buffers, so less than a megabyte convicts nobody, unless the requests themselves are
 * seen to keep it.
 *
 * Growth that the number of open connections explains is no leak as long as these are rightly open; whether they are, the verdict on
 * connections says. Where both rose together too evenly to be told apart, what became of the heap when they were closed decides,
 * and else nothing does.
 */
#include <math.h>
#include <stdio.h>

#include "verdict_part.h"

#define GAINED_KEPT_BYTES 256e3 /* enough where requests are seen to keep at least half of it */
#define ANON_GAINED_BYTES 4e6
#define ANON_JUDGED_S 60
#define BEYOND_MALLOC 2         /* times all that it ever gave: it cannot have kept so much */
#define LOAD_FELL 0.8           /* the last quarter's load to that of all */
#define UNSTEADY 4              /* times the threshold: where only more would have been found, that there is less is not known */
#define EXPLAINED 0.8           /* of the growth, by connections: it is theirs */
#define IN_STEP 0.5             /* it may be */
#define GIVEN_BACK 0.2          /* of the heap's rise: at most so much was left when they were closed */
#define NOT_GIVEN_BACK 0.5

#define BEST_ADVICE_MINUTES (7 * 24 * 60)

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

/* Requests are seen to keep most of what the live heap gained. */
static bool is_kept(const struct verdict_memory *m)
{
    return m->kept.route && m->kept.low > 0 && m->kept.bytes >= m->live.gained / 2;
}

/* The least that convicts the live heap. */
static double least_gained(const struct verdict_memory *m) { return is_kept(m) ? GAINED_KEPT_BYTES : VERDICT_GAINED_BYTES; }

/* --- connections --- */

enum theirs {
    NOT_THEIRS, /* or none rose */
    THEIRS,
    PERHAPS,    /* both rose together */
};

static enum theirs whose(const struct verdict_run *run, const struct verdict_memory *m)
{
    const struct connshare *c = &m->connections;
    bool left = m->after.known && m->after.left > NOT_GIVEN_BACK * m->after.peak;
    bool back = m->after.known && m->after.left <= GIVEN_BACK * m->after.peak;

    if (!c->rose || left)
        return NOT_THEIRS;
    if (c->told)
        return c->low > 0 && c->share >= EXPLAINED && c->rest_low <= verdict_leak_bytes(run) ? THEIRS : NOT_THEIRS;
    if (c->share < IN_STEP)
        return NOT_THEIRS;
    return back && c->low > 0 && c->share >= EXPLAINED ? THEIRS : PERHAPS;
}

static void per_connection(struct verdict *v, const struct verdict_memory *m)
{
    const struct connshare *c = &m->connections;
    char each[UNITS_MAX], low[UNITS_MAX], high[UNITS_MAX], gained[UNITS_MAX];

    v->per_connection = (struct verdict_rate){c->bytes, c->low, c->high};
    verdict_conclude(v, VERDICT_PER_CONNECTION,
                     "live heap rose by %s as %.0f more connections were opened, each of which holds %s (95 %% interval %s to %s)%s; "
                     "bound their number, or let each hold less",
                     units_bytes(gained, m->live.gained), c->opened, units_bytes(each, c->bytes), units_bytes(low, c->low),
                     units_bytes(high, c->high), m->after.known ? ", and gives it back when it is closed" : "");
}

static void together(struct verdict *v, const struct verdict_memory *m)
{
    const struct connshare *c = &m->connections;
    char each[UNITS_MAX], gained[UNITS_MAX];

    verdict_conclude(v, VERDICT_INCONCLUSIVE,
                     "live heap rose by %s, and the number of open connections by %.0f, both so evenly that a leak cannot be told "
                     "from connections that hold %s each; load it with a constant number, or close them before the server ends",
                     units_bytes(gained, m->live.gained), c->opened, units_bytes(each, c->bytes));
}

/* --- leaks --- */

static void leak(struct verdict *v, const struct verdict_memory *m, const struct growth *g)
{
    struct rate rate = rate_of(g);
    char seconds[UNITS_MAX], kept[UNITS_MAX];
    units_clock(seconds, verdict_judged_s(g));
    if (g != &m->live)
        verdict_conclude(v, VERDICT_LEAK,
                         "anonymous memory that the program maps itself grows by %s, steadily over %s, and is used; see mappings",
                         rate.text, seconds);
    else if (!m->kept.route || !(m->kept.low > 0))
        verdict_conclude(v, VERDICT_LEAK,
                         "live heap grows by %s, steadily over %s; no request is seen to keep it: see what grows, by call stack",
                         rate.text, seconds);
    else
        verdict_conclude(v, VERDICT_LEAK, "live heap grows by %s, steadily over %s; %s keeps %s per request%s%s: free it there",
                         rate.text, seconds, m->kept.route, units_bytes(kept, m->kept.bytes_per_request),
                         m->kept.site ? ", allocated at " : "", m->kept.site ? m->kept.site : "");
}

/* A collector's heap rises between two collections as one with a leak does, for tens of minutes where little is allocated. */
static void collected(struct verdict *v, const struct verdict_memory *m)
{
    struct rate rate = rate_of(&m->live);
    char seconds[UNITS_MAX];

    units_clock(seconds, verdict_judged_s(&m->live));
    if (!is_kept(m)) {
        verdict_conclude(v, VERDICT_MONITOR,
                         "live heap grows by %s, steadily over %s, but no request is seen to keep it, and %s may free it with its next "
                         "collection; load it longer, or have it collect before the end of the load",
                         rate.text, seconds, m->collector->name);
        return;
    }
    char kept[UNITS_MAX], most[UNITS_MAX];
    double needed = collector_needs_bytes(m->collector, m->live.first);
    verdict_conclude(v, VERDICT_MONITOR,
                     "live heap grows by %s, steadily over %s; %s keeps %s per request%s%s, unless it is garbage: %s looks at old objects "
                     "seldom, and surely has only when the heap gained %s; load it about %.0f min longer",
                     rate.text, seconds, m->kept.route, units_bytes(kept, m->kept.bytes_per_request),
                     m->kept.site ? ", allocated at " : "", m->kept.site ? m->kept.site : "", m->collector->name,
                     units_bytes(most, needed), fmax(1, ceil((needed - m->live.gained) / m->live.per_s / 60)));
}

/* --- not enough to tell --- */

/* The interval of a slope narrows with the time to the power 1.5 (ordinary least squares; it holds roughly here), so how much
 * narrower it must be tells how much longer the run would have had to be. */
static double wanted_s(const struct growth *g, double narrower)
{
    return verdict_judged_s(g) * pow(fmax(narrower, 1), 2.0 / 3);
}

/* A leak at the threshold must be told from growth that is normal, and gain what a leak must. */
static double to_see_threshold_s(const struct verdict_run *run, const struct growth *g)
{
    double limit = verdict_leak_bytes(run), apart = fmax(limit - verdict_monitor_bytes(run), limit / 10);

    return fmax(wanted_s(g, g->seen_per_s / apart), VERDICT_GAINED_BYTES / limit);
}

static void needs_longer(struct verdict *v, const struct verdict_run *run, const struct growth *g, const struct rate *rate)
{
    char seconds[UNITS_MAX];
    double low = verdict_monitor_bytes(run), high = verdict_leak_bytes(run);
    double half_width = fmax(g->high99 - g->per_s, g->per_s - g->low99);
    double away = g->per_s < low ? low - g->per_s : g->per_s > high ? g->per_s - high : fmax(g->per_s - low, low / 10);
    double longer = wanted_s(g, fmax(half_width / fmax(away, low / 10), 1.2));
    if (g->per_s > low && g->gained > 0)
        longer = fmax(longer, verdict_judged_s(g) * VERDICT_GAINED_BYTES / g->gained);
    double minutes = fmax(1, ceil((longer - verdict_judged_s(g)) / 60));
    if (minutes > BEST_ADVICE_MINUTES) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s: too unsteady for any run of less than weeks to tell; load it more evenly",
                         rate->text);
        return;
    }
    v->minutes = minutes;
    verdict_conclude(v, VERDICT_INCONCLUSIVE,
                     "live heap changes by %s, which %s of load cannot tell from a leak; load it about %.0f min longer",
                     rate->text, units_clock(seconds, verdict_judged_s(g)), minutes);
}

/* Nothing, or hardly anything, could be measured. */
static void unmeasured(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    char seconds[UNITS_MAX];
    double loaded_s = (double)(run->to_ns - run->from_ns) / 1e9;

    if (!m->ledger && run->damaged) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "nothing of the heap can be read, as the file is damaged or cut off: record it again");
    } else if (!m->ledger) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "the heap was not recorded, so growth cannot be told from what the allocator keeps; set PERFSHIM_HEAP=auto");
    } else if (run->left_out && !m->live.points) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "no process lived through the load, so no growth could be measured; --since and --until judge a part of it");
    } else {
        v->minutes = verdict_minutes(loaded_s, VERDICT_GAINED_BYTES / verdict_leak_bytes(run));
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "%s of load is too little to measure growth; load it about %.0f min longer", units_clock(seconds, loaded_s),
                         v->minutes);
    }
}

/* --- live heap does not grow --- */

/* The slope that is judged; of mappings too, there is no other time for requests than what `live` judges. */
static void figures(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m, const struct growth *g)
{
    double each = m->requests > 0 && m->live.known ? verdict_judged_s(&m->live) / m->requests : NAN;

    v->seen_per_s = verdict_detectable(run, g, VERDICT_GAINED_BYTES);
    v->per_s = (struct verdict_rate){g->per_s, g->low, g->high};
    v->per_request = (struct verdict_rate){g->per_s * each, g->low * each, g->high * each};
}

/* Bytes that became resident and cannot be malloc's: a runtime's own heap, in what it maps. */
static double beyond_malloc(const struct verdict_memory *m)
{
    return m->allocated > 0 && m->anon_gained > BEYOND_MALLOC * m->allocated ? m->anon_gained : 0;
}

/* Resident memory grows, and live heap does not. */
static void resident_growth(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    char grows[UNITS_MAX], mapped[UNITS_MAX], threads[UNITS_MAX];

    figures(v, run, m, &m->anon);
    units_bytes(grows, m->anon.per_s * 3600);
    if (m->stacks.gained > verdict_limits_of(run)->monitor_count && m->stacks.bytes >= m->anon.gained / 2) {
        verdict_conclude(v, VERDICT_MONITOR,
                         "resident memory grows by %s/hour, live heap does not: %s more threads keep their stacks; see threads", grows,
                         units_count(threads, m->stacks.gained));
        return;
    }
    if (m->mapped.known && m->mapped.per_s >= m->anon.per_s / 2)
        verdict_conclude(v, VERDICT_MONITOR,
                         "resident memory grows by %s/hour, live heap does not: the program maps %s/hour itself; see mappings", grows,
                         units_bytes(mapped, m->mapped.per_s * 3600));
    else if (beyond_malloc(m) > 0)
        verdict_conclude(v, VERDICT_MONITOR,
                         "resident memory grows by %s/hour, and not by malloc, which gave only %s in the whole run: the program fills "
                         "mappings that it had, as runtimes do whose heap is their own; their own heap profile tells what in it is garbage",
                         grows, units_bytes(mapped, m->allocated));
    else
        verdict_conclude(v, VERDICT_FRAGMENTATION,
                         "resident memory grows by %s/hour, although live heap does not: the allocator keeps it, in blocks that are "
                         "partly used; malloc_trim, fewer arenas (MALLOC_ARENA_MAX) or another allocator may give it back", grows);
}

/* What fills up and will be full: how far it is. */
static void filling(struct verdict *v, const struct growth *g)
{
    char ceiling[UNITS_MAX], left[UNITS_MAX];

    units_bytes(ceiling, g->ceiling.value);
    if (g->ceiling.left_s > 0)
        verdict_conclude(v, VERDICT_CACHE_FILL,
                         "live heap rises ever more slowly, as a cache does that fills: at this load it comes within 5 %% of its "
                         "ceiling, about %s, in %s; see that there is room for that", ceiling, units_clock(left, g->ceiling.left_s));
    else
        verdict_conclude(v, VERDICT_CACHE_FILL,
                         "live heap rises ever more slowly, as a cache does that fills: it is %.0f %% of the way to its ceiling, "
                         "about %s; see that there is room for that", 100 * g->ceiling.reached, ceiling);
}

/* Live heap is surely below the threshold: is that enough for NORMAL? */
static void low_growth(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m,
                       const struct rate *rate)
{
    char buffer[UNITS_MAX], seen[UNITS_MAX];
    const struct growth *anon = &m->anon;
    double judged_s = verdict_judged_s(&m->live);
    bool resident = verdict_convicts(run, anon, ANON_GAINED_BYTES);
    if (resident && verdict_judged_s(anon) >= ANON_JUDGED_S) {
        resident_growth(v, run, m);
    } else if (resident) {
        char gained[UNITS_MAX];
        v->minutes = verdict_minutes(verdict_judged_s(anon), ANON_JUDGED_S);
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s, but resident memory gained %s in %s of load, which may be all that the allocator "
                         "needs; load it about %.0f min longer", rate->text, units_bytes(gained, anon->gained),
                         units_clock(buffer, verdict_judged_s(anon)), v->minutes);
    } else if (verdict_lossy(run)) {
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s, but %s: record again with a larger PERFSHIM_MAX_STALL", rate->text,
                         verdict_losses_of(run).text);
    } else if (m->kept.route && m->kept.low > 0 && m->kept.bytes - fmax(0, m->live.gained) > VERDICT_GAINED_BYTES) {
        v->minutes = verdict_minutes(judged_s, 2 * judged_s);
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s, but %s keeps %s per request; load it about %.0f min longer", rate->text,
                         m->kept.route, units_bytes(buffer, m->kept.bytes_per_request), v->minutes);
    } else if (beyond_malloc(m) > ANON_GAINED_BYTES) {
        v->seen_per_s = NAN; /* a leak in there would not have been seen */
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s, but resident memory gained %s that malloc did not give: the program has a heap of its "
                         "own in what it maps, as many runtimes do; what in it is garbage only their own heap profile tells", rate->text,
                         units_bytes(buffer, beyond_malloc(m)));
    } else if (!verdict_enough(run, judged_s)) {
        v->minutes = verdict_minutes(judged_s, to_see_threshold_s(run, &m->live));
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap does not grow, but %s of load after the warm-up is too little to rule a leak out; load it about "
                         "%.0f min longer", units_clock(buffer, judged_s), v->minutes);
    } else {
        verdict_conclude(v, VERDICT_NORMAL, "live heap changes by %s over %s of load; a leak of %s/hour would have been found",
                         rate->text, units_clock(buffer, judged_s), units_bytes(seen, v->seen_per_s * 3600));
    }
}

/* --- it does, perhaps --- */

/* A cache that is full, or nearly: what it still needs and the steepest line that there may be beside it are all that it can grow by,
 * whatever the slope's own interval says. */
static bool is_full(const struct verdict_run *run, const struct growth *g)
{
    const struct growth_ceiling *c = &g->ceiling;

    return g->slowing && c->known && !(c->left_s > 0) && c->beside_per_s + c->rest_per_s < verdict_leak_bytes(run);
}

static void growing(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    const struct growth *g = &m->live;
    struct rate rate = rate_of(g);
    char gained[UNITS_MAX];
    double monitor = verdict_monitor_bytes(run), too_much = verdict_leak_bytes(run);
    bool between = g->per_s >= monitor && g->per_s <= too_much && g->low > 0;

    units_bytes(gained, g->gained);
    if (g->high99 < 0 && g->load_end < LOAD_FELL && g->gained < -VERDICT_GAINED_BYTES)
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap fell by %s, but so did the load: that may hide a leak; judge a time of even load (--since, "
                         "--until)", units_bytes(gained, -g->gained));
    else if (is_full(run, g) && !(g->high99 < monitor))
        filling(v, g);
    else if (g->high99 < monitor && fmax(g->seen_per_s, g->steady_per_s) > UNSTEADY * too_much)
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap changes by %s, and goes up and down so much that only a leak of %s/hour would have been found: "
                         "load it for several of its cycles", rate.text, units_bytes(gained, v->seen_per_s * 3600));
    else if (g->high99 < monitor)
        low_growth(v, run, m, &rate);
    else if (g->low > monitor && g->slowing && g->ceiling.known && g->ceiling.beside_per_s < too_much)
        filling(v, g);
    else if (g->low > monitor && g->slowing && !g->stepped) {
        v->minutes = verdict_minutes(verdict_judged_s(g), 2 * verdict_judged_s(g));
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap rose by %s, but ever more slowly, as a cache does that fills; load it until it is full, at least "
                         "about %.0f min longer", gained, v->minutes);
    } else if (g->low > monitor && !g->steady) {
        v->minutes = verdict_minutes(verdict_judged_s(g), 2 * verdict_judged_s(g));
        verdict_conclude(v, VERDICT_INCONCLUSIVE,
                         "live heap rose by %s (%s), but %s; load it for several of its cycles, at least about %.0f min longer",
                         gained, rate.text,
                         g->wanders ? "it wanders, so that chance may have taken it there" : "in steps or with falls between",
                         v->minutes);
    } else if ((g->low > monitor || between) && g->steady && !g->slowing && g->gained >= GAINED_KEPT_BYTES)
        verdict_conclude(v, VERDICT_MONITOR, "live heap grows by %s: %s in this run; watch it in a longer one", rate.text, gained);
    else
        needs_longer(v, run, g, &rate);
}

/* What the program maps itself is judged in place of the heap. */
static void mapped_leak(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    v->beside_heap = true;
    figures(v, run, m, &m->mapped);
    leak(v, m, &m->mapped);
}

/* Where requests keep it, less than a megabyte is enough, and so a smaller leak would have been found. */
static void heap_leak(struct verdict *v, const struct verdict_run *run, const struct verdict_memory *m)
{
    v->seen_per_s = verdict_detectable(run, &m->live, least_gained(m));
    leak(v, m, &m->live);
}

struct verdict verdict_memory(const struct verdict_run *run, const struct verdict_memory *m)
{
    struct verdict v = verdict_new("memory", true);
    bool grows = m->ledger && m->live.known && m->live.low > verdict_monitor_bytes(run) && m->live.gained >= GAINED_KEPT_BYTES;
    enum theirs theirs = grows ? whose(run, m) : NOT_THEIRS;
    bool mapped = verdict_convicts(run, &m->mapped, VERDICT_GAINED_BYTES) && !collector_may_free(m->collector, 0, m->mapped.gained) &&
                  m->anon_gained >= m->mapped.gained / 2; /* reserving alone is no growth */
    bool heap = theirs == NOT_THEIRS && m->ledger &&
                verdict_convicts(run, &m->live, least_gained(m));

    if (m->ledger && m->live.known)
        figures(&v, run, m, &m->live);
    if (m->connections.rose && m->connections.told)
        v.per_connection = (struct verdict_rate){m->connections.bytes, m->connections.low, m->connections.high};
    if (heap && (!m->collector || (is_kept(m) && !collector_may_free(m->collector, m->live.first, m->live.gained))))
        heap_leak(&v, run, m);
    else if (heap && !mapped)
        collected(&v, m);
    else if (mapped)
        mapped_leak(&v, run, m);
    else if (!m->ledger || !m->live.known)
        unmeasured(&v, run, m);
    else if (theirs == THEIRS)
        per_connection(&v, m);
    else if (theirs == PERHAPS)
        together(&v, m);
    else
        growing(&v, run, m);
    return v;
}
