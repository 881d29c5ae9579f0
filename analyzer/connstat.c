/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums by kind move along when a connection turns out to be of another kind. What is measured over a life is added at
 * its end; the time that it took to get going also of those that do not end.
 *
 * After the last accepted connection was closed, the first quiet moment at which the heap was back where it was before the first
 * one is remembered, until another connection comes; of descriptors the close that brought them back. The heap before the first
 * one is that of the first sample after it was accepted, because a thread tells what it allocated at its start only with its first
 * event. It is back when it is within a hundredth of the rise. A thread tells of what it freed with its next call that is recorded, and
 * if that is a wait, at its end: so what it tells of was done when the call began. Of a thread that makes no such call the
 * recorder's gauge tells, once a second.
 *
 * A connection counts from its accept on, and its memory from the thread's next event on that tells of it. So the two are compared
 * where a thread waits, if threads ever do.
 */
#include "connstat.h"

#include <math.h>
#include <string.h>

#define NEAR_FLOOR 0.01

const char *const connstat_kind_name[CONNSTAT_KIND_COUNT] = {
#define K(name, side, text) #name,
    CONNSTAT_KINDS(K)
#undef K
};

const char *const connstat_kind_text[CONNSTAT_KIND_COUNT] = {
#define K(name, side, text) text,
    CONNSTAT_KINDS(K)
#undef K
};

enum side { connected, accepted };
const bool connstat_kind_accepted[CONNSTAT_KIND_COUNT] = {
#define K(name, side, text) side == accepted,
    CONNSTAT_KINDS(K)
#undef K
};

enum { COUNT_REQUESTS = CONNSTAT_KIND_COUNT, COUNT_IN_FLIGHT, COUNTS }; /* behind the kinds, in connslope.h */
_Static_assert(COUNTS <= CONNSLOPE_COUNTS, "connslope.h has too few counts");

void connstat_free(struct connstat *s)
{
    for (size_t k = 0; k < CONNSTAT_KIND_COUNT; k++) {
        struct hist *own[] = {s->kind[k].lifetime_ns, s->kind[k].establish_ns, s->kind[k].requests};
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            if (own[i])
                hist_free(own[i]);
    }
    connslope_free(&s->slope);
    series_free(&s->opened);
    series_free(&s->closed);
    *s = (struct connstat){.accepted_open = 0};
}

static int add(struct hist **h, int64_t value)
{
    if (!*h)
        *h = hist_new();
    if (!*h)
        return -1;
    hist_add(*h, value);
    return 0;
}

/* 0 where a trace says that it began later. */
static int64_t since(const struct connstat_life *life, int64_t now_ns)
{
    return now_ns > life->opened_ns && life->opened_ns >= 0 ? now_ns - life->opened_ns : 0;
}

static struct connstat_sums *sums(struct connstat *s, const struct connstat_life *life) { return &s->kind[life->kind]; }

static void count_open(struct connstat_sums *k)
{
    k->opened++;
    k->open++;
    k->open_peak = k->open > k->open_peak ? k->open : k->open_peak;
}

int connstat_opened(struct connstat *s, struct connstat_life *life, enum connstat_kind kind, int64_t now_ns)
{
    if (life->counted)
        return 0;
    life->counted = true;
    life->kind = (uint8_t)kind;
    life->opened_ns = now_ns;
    count_open(sums(s, life));
    if (!connstat_kind_accepted[kind])
        return 0;
    s->accepted_open++;
    s->after.begun = true;
    s->after.watching = s->after.final = false;
    return life->held ? 0 : series_set(&s->opened, now_ns, (double)++s->opens);
}

void connstat_established(struct connstat_life *life, int64_t after_ns)
{
    life->pending = false;
    life->established = life->counted && !life->held;
    life->establish_ns = after_ns;
}

void connstat_begun(struct connstat_life *life, int64_t now_ns)
{
    bool first = !life->begun_ns;

    life->begun_ns = first ? now_ns : life->begun_ns;
    if (first && (connstat_kind_accepted[life->kind] || life->pending))
        connstat_established(life, since(life, now_ns));
}

int connstat_settle(struct connstat *s, struct connstat_life *life)
{
    if (!life->counted || !life->established || life->settled)
        return 0;
    life->settled = true;
    return add(&sums(s, life)->establish_ns, life->establish_ns);
}

int connstat_becomes(struct connstat *s, struct connstat_life *life, enum connstat_kind kind)
{
    if (!life->counted || life->kind == kind)
        return 0;
    sums(s, life)->opened--;
    sums(s, life)->open--;
    life->kind = (uint8_t)kind;
    count_open(sums(s, life));
    return 0;
}

int connstat_closed(struct connstat *s, struct connstat_life *life, int64_t now_ns, bool ending)
{
    struct connstat_sums *k = sums(s, life);

    if (!life->counted)
        return 0;
    if (connstat_settle(s, life) < 0)
        return -1;
    life->counted = false;
    k->open--;
    k->left += ending;
    k->closed += !ending;
    if (!life->held && !ending &&
        (add(&k->lifetime_ns, since(life, now_ns)) < 0 || add(&k->requests, (int64_t)life->requests) < 0))
        return -1;
    if (!connstat_kind_accepted[life->kind])
        return 0;
    if (!ending && series_set(&s->closed, now_ns, (double)++s->closes) < 0)
        return -1;
    if (--s->accepted_open == 0 && !ending) {
        s->after.watching = true;
        s->after.final = s->after.told_back = false;
        s->after.closed_ns = s->after.seen_ns = s->after.told_ns = now_ns > 0 ? now_ns : 0;
        s->after.heap_ns = s->after.descriptors_ns = -1;
        s->after.least_heap = s->after.least_descriptors = INFINITY;
    }
    return 0;
}

/* --- over time --- */

/* Gives when the heap came back, if it is back now. */
static int64_t back_ns(const struct connstat *s, const struct connstat_now *now)
{
    bool told = now->since_ns < now->now_ns;

    if (!told)
        return now->now_ns;
    return now->since_ns > s->after.told_ns ? now->since_ns : s->after.told_ns;
}

static void watch_heap(struct connstat *s, const struct connstat_now *now)
{
    double reach = NEAR_FLOOR * fmax(0, s->after.peak_heap - s->after.floor_heap);
    bool told_back = now->told_bytes <= s->after.floor_told + reach;

    s->after.least_heap = fmin(s->after.least_heap, now->live_bytes);
    if (now->live_bytes > s->after.floor_heap + reach)
        return;
    int64_t since_ns = told_back ? back_ns(s, now) : now->now_ns;
    if (s->after.heap_ns < 0 || (told_back && !s->after.told_back && since_ns < s->after.heap_ns))
        s->after.heap_ns = since_ns;
    s->after.told_back |= told_back;
}

void connstat_descriptors(struct connstat *s, int64_t now_ns, double open)
{
    if (!s->after.watching || !s->after.has_floor)
        return;
    s->after.least_descriptors = fmin(s->after.least_descriptors, open);
    if (s->after.descriptors_ns < 0 && open <= s->after.floor_descriptors)
        s->after.descriptors_ns = now_ns;
}

static void watch(struct connstat *s, const struct connstat_now *now)
{
    if (now->quiet) {
        s->after.seen_ns = now->now_ns;
        watch_heap(s, now);
        connstat_descriptors(s, now->now_ns, now->descriptors);
    }
    if (now->since_ns < now->now_ns)
        s->after.told_ns = now->now_ns;
}

/* The first one came just now; its descriptor is open already. */
static void take_floor(struct connstat *s, const struct connstat_now *now)
{
    s->after.has_floor = true;
    s->after.floor_heap = s->after.peak_heap = now->live_bytes;
    s->after.floor_told = now->told_bytes;
    s->after.floor_descriptors = now->descriptors - 1;
}

int connstat_sample(struct connstat *s, const struct connstat_now *now)
{
    if (!s->after.begun || now->now_ns < 0)
        return 0;
    if (!s->after.has_floor)
        take_floor(s, now);
    s->after.peak_heap = fmax(s->after.peak_heap, now->live_bytes);
    if (s->after.watching)
        watch(s, now);
    s->pauses |= now->pause;
    if (s->pauses && !now->quiet)
        return 0;
    if (s->after.final || isnan(now->live_bytes) || !connslope_wants(&s->slope, now->now_ns, now->live_bytes))
        return 0;
    double count[CONNSLOPE_COUNTS] = {0};
    for (size_t k = 0; k < CONNSTAT_KIND_COUNT; k++)
        count[k] = (double)s->kind[k].open;
    count[COUNT_REQUESTS] = now->requests;
    count[COUNT_IN_FLIGHT] = now->in_flight;
    return connslope_note(&s->slope, now->now_ns, now->live_bytes, count);
}

void connstat_processes(struct connstat *s, bool ending)
{
    s->slope.segment++;
    if (!ending || !s->after.watching)
        return;
    s->after.watching = false; /* what it frees or closes on its way out is not given back */
    s->after.final = true;
}

/* --- answers --- */

struct connslope_estimate connstat_bytes_per_open(const struct connstat *s, enum connstat_kind kind)
{
    return connslope_fit(&s->slope, kind);
}

static double counted_at(const struct series *counted, int64_t time_ns)
{
    return series_empty(counted) || time_ns < counted->start_ns ? 0 : series_at(counted, time_ns);
}

double connstat_within(const struct series *counted, int64_t from_ns, int64_t to_ns)
{
    return counted_at(counted, to_ns) - counted_at(counted, from_ns);
}

static struct connstat_return returned(const struct connstat *s, double floor, double least, int64_t back_ns)
{
    return (struct connstat_return){floor, isnan(floor) ? NAN : fmax(0, least - floor), back_ns < 0 ? -1 : back_ns - s->after.closed_ns};
}

struct connstat_cleanup connstat_cleanup(const struct connstat *s)
{
    struct connstat_cleanup c = {.known = (s->after.watching || s->after.final) && isfinite(s->after.least_descriptors)};

    if (!c.known)
        return c;
    c.watched_ns = s->after.seen_ns - s->after.closed_ns;
    c.heap = returned(s, s->after.floor_heap, s->after.least_heap, s->after.heap_ns);
    c.descriptors = returned(s, s->after.floor_descriptors, s->after.least_descriptors, s->after.descriptors_ns);
    return c;
}
