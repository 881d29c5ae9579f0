/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events' ledger lags behind the truth by what threads have not reported yet; the gauge's does not, but sees what
 * requests borrow at that instant. So the difference is believed only as far as two gauges in a row show it, and no longer than until
 * the events tell: a call that began before a gauge tells of what that had seen.
 *
 * A gauge's descriptors and those of the events differ by what was open before the shim looked; the gauge is right, the
 * events are quicker.
 */
#include "footprint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "footprint_part.h"

#define LOAD_EXCHANGES_MIN 20
#define LOAD_EDGE 0.01           /* share of the exchanges at either end that is left out */
#define LIVED_THROUGH 0.05       /* a process may miss this share of the load at either end */
#define GAUGE_WINDOW_NS 1000000000
#define FD_MAX (1u << 20)

void footprint_start(struct footprint *f)
{
    *f = (struct footprint){.first_exchange_ns = -1, .quiet_ns = -1,
                            .window = {FOOTPRINT_FIND, FOOTPRINT_FIND, FOOTPRINT_FIND}};
    f->live.final = f->rss.final = f->fds.final = f->threads.final = NAN;
}

void footprint_trimmed(struct footprint *f, int64_t detail_ns)
{
    f->trimmed = true;
    f->detail_ns = detail_ns;
}


void footprint_free(struct footprint *f)
{
    for (size_t i = 0; i < f->count; i++) {
        mapping_free(&f->host[i].mappings);
        keymap_reset(&f->host[i].accepted);
        children_free(&f->host[i].children);
        for (size_t k = 0; k < FOOTPRINT_KINDS; k++)
            series_free(&f->host[i].series[k]);
    }
    free(f->host);
    mapsite_free(&f->mapsites);
    threadsite_free(&f->threadsites);
    maker_free(&f->starters);
    keymap_reset(&f->by_pid);
    struct series *sum[] = {&f->live.series, &f->rss.series, &f->fds.series, &f->threads.series, &f->work};
    for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++)
        series_free(sum[i]);
}

/* Where a host is, or would be. Hosts are sorted by serial, which is nearly the order in which they appear. */
static size_t place_of(const struct footprint *f, uint32_t serial)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->host[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct footprint_host *footprint_find(struct footprint *f, uint32_t serial)
{
    size_t place = place_of(f, serial);

    return place < f->count && f->host[place].serial == serial ? &f->host[place] : NULL;
}

static __attribute__((noinline)) struct footprint_host *make_host(struct footprint *f, uint32_t serial, int64_t time_ns)
{
    size_t low = f->near = place_of(f, serial);
    if (low < f->count && f->host[low].serial == serial)
        return &f->host[low];
    if (f->count == f->room) {
        size_t room = f->room ? f->room * 2 : 8;
        struct footprint_host *host = realloc(f->host, room * sizeof *host);
        if (!host)
            return NULL;
        f->host = host;
        f->room = room;
    }
    struct footprint_host *h = &f->host[low];
    memmove(h + 1, h, (f->count - low) * sizeof *h);
    f->count++;
    *h = (struct footprint_host){.serial = serial, .start_ns = time_ns, .end_ns = time_ns};
    return h;
}

static inline struct footprint_host *host_of(struct footprint *f, uint32_t serial, int64_t time_ns)
{
    if (f->near < f->count && f->host[f->near].serial == serial)
        return &f->host[f->near];
    return make_host(f, serial, time_ns);
}

/* A host's share of a sum becomes `value`. */
static int sum_change(struct footprint_sum *s, double *share, double value, int64_t time_ns)
{
    s->now += value - *share;
    *share = value;
    if (!s->known)
        s->initial = s->now;
    s->known = true;
    return series_set(&s->series, time_ns, s->now);
}

static int live_changed(struct footprint *f, struct footprint_host *h, int64_t time_ns)
{
    if (sum_change(&f->live, &h->live, h->ledger + h->correction, time_ns))
        return -1;
    return series_set(&h->series[FOOTPRINT_LIVE], time_ns, h->live);
}

static void load_begins(struct footprint *f)
{
    struct footprint_sum *sum[] = {&f->live, &f->rss, &f->fds, &f->threads};
    for (size_t i = 0; i < sizeof sum / sizeof sum[0] && !f->begun; i++)
        sum[i]->initial = sum[i]->now;
    f->begun = true;
}

#define LEDGER_CHANGE(name) ((double)e->u.name.alloc_bytes - (double)e->u.name.free_bytes)

double footprint_change(const struct event *e)
{
    return e->type == EVENT_io     ? LEDGER_CHANGE(io)
           : e->type == EVENT_wait ? LEDGER_CHANGE(wait)
                                   : LEDGER_CHANGE(desc_open);
}

uint64_t footprint_began(const struct event *e)
{
    uint64_t took = e->type == EVENT_io     ? e->u.io.duration
                    : e->type == EVENT_wait ? e->u.wait.duration
                                            : e->u.desc_open.duration;

    return took < e->time ? e->time - took : 0;
}

/* What a call tells of was done before it began. */
static void settle_gap(struct footprint_host *h, uint64_t began, double change)
{
    if (began < h->gauge_ticks)
        h->gap -= change;
    if (began < h->earlier_ticks)
        h->earlier_gap -= change;
    h->correction = fmin(h->gap, h->earlier_gap);
}

static int ledger_changed(struct footprint *f, struct footprint_host *h, const struct event *e, int64_t time_ns)
{
    double change = footprint_change(e);

    h->ledger += change;
    f->told += change;
    if (h->has_gauge)
        settle_gap(h, footprint_began(e), change);
    return live_changed(f, h, time_ns);
}

/* A moment at which a thread has work, or waits for it. */
static inline void note_work(struct footprint *f)
{
    if (footprint_quiet(f))
        return;
    f->waited = true;
    f->live.final = f->live.known ? f->live.now : NAN;
}

/* Most events change nothing. */
static int io_event(struct footprint *f, struct footprint_host *h, const struct event *e, int64_t time_ns)
{
    if (LEDGER_CHANGE(io) != 0 && ledger_changed(f, h, e, time_ns))
        return -1;
    if (!e->u.io.dir && (e->u.io.flags & IO_STREAM) && (int64_t)e->u.io.bytes > 0)
        note_work(f);
    return 0;
}

static int wait_event(struct footprint *f, struct footprint_host *h, const struct event *e, int64_t time_ns)
{
    if (LEDGER_CHANGE(wait) != 0 && ledger_changed(f, h, e, time_ns))
        return -1;
    if (event_awaits_work(e))
        note_work(f);
    return 0;
}

static int open_event(struct footprint *f, struct footprint_host *h, const struct event *e, int64_t time_ns)
{
    if (e->u.desc_open.from)
        load_begins(f);
    if (LEDGER_CHANGE(desc_open) != 0 && ledger_changed(f, h, e, time_ns))
        return -1;
    if (e->u.desc_open.from)
        note_work(f);
    return 0;
}

static int gauge_ledger(struct footprint *f, struct footprint_host *h, const struct event_gauge *g, uint64_t ticks, int64_t time_ns)
{
    if (g->heap_alloc_bytes == EVENT_UNKNOWN || g->heap_free_bytes == EVENT_UNKNOWN || !g->heap_alloc_bytes)
        return 0; /* a heap without an allocation is one that was not recorded */
    double gap = (double)g->heap_alloc_bytes - (double)g->heap_free_bytes - h->ledger;
    h->earlier_gap = h->has_gauge ? h->gap : gap;
    h->earlier_ticks = h->has_gauge ? h->gauge_ticks : ticks;
    h->gap = gap;
    h->gauge_ticks = ticks;
    h->correction = fmin(h->gap, h->earlier_gap);
    if (live_changed(f, h, time_ns))
        return -1;
    if (!footprint_quiet(f) && !f->waited)
        f->live.final = f->live.now;
    return 0;
}

/* Of those that are joinable as many may live as there are threads beside the first. */
static int unjoined_of(struct footprint_host *h, const struct event_gauge *g, int64_t time_ns)
{
    if (g->joinable == EVENT_UNKNOWN || g->threads == EVENT_UNKNOWN || !g->threads)
        return 0;
    return series_set(&h->series[FOOTPRINT_UNJOINED], time_ns, fmax(0, (double)g->joinable - (double)(g->threads - 1)));
}

static int gauge_of(struct footprint *f, struct footprint_host *h, const struct event_gauge *g, uint64_t ticks, int64_t time_ns)
{
    if (gauge_ledger(f, h, g, ticks, time_ns))
        return -1;
    h->has_gauge = true;
    if (g->vm_size == 0) /* a process that is just ending has none left */
        return 0;
    if (g->rss_anon != EVENT_UNKNOWN && g->rss_file != EVENT_UNKNOWN && g->rss_shared != EVENT_UNKNOWN) {
        double shim = g->shim_bytes != EVENT_UNKNOWN ? (double)g->shim_bytes : 0;
        double rss = fmax(0, (double)g->rss_anon + (double)g->rss_file + (double)g->rss_shared - shim);
        h->anon = (double)g->rss_anon;
        if (sum_change(&f->rss, &h->rss, rss, time_ns) || series_set(&h->series[FOOTPRINT_ANON], time_ns, h->anon))
            return -1;
    }
    /* a child is gauged as it begins, perhaps before it has said what it was born with: that would count twice */
    bool too_early = h->open <= 0 && !h->has_fds && !h->fds_were_early;
    h->fds_were_early |= too_early;
    if (g->fds != EVENT_UNKNOWN && !too_early) {
        h->has_fds = true;
        h->gauge_fds = (double)g->fds;
        h->open_at_gauge = h->open;
        if (sum_change(&f->fds, &h->fds, h->gauge_fds, time_ns))
            return -1;
        if (footprint_before_detail(f, time_ns) && series_set(&h->series[FOOTPRINT_OPEN], time_ns, h->gauge_fds))
            return -1;
    }
    if (g->threads != EVENT_UNKNOWN && (sum_change(&f->threads, &h->threads, (double)g->threads, time_ns) ||
                                        series_set(&h->series[FOOTPRINT_THREADS], time_ns, h->threads)))
        return -1;
    if (unjoined_of(h, g, time_ns) ||
        (g->vm_size != EVENT_UNKNOWN && series_set(&h->series[FOOTPRINT_SIZE], time_ns, (double)g->vm_size)))
        return -1;
    if (!footprint_quiet(f)) {
        struct footprint_sum *sum[] = {&f->rss, &f->threads};
        for (size_t i = 0; i < sizeof sum / sizeof sum[0]; i++)
            sum[i]->final = sum[i]->known ? sum[i]->now : NAN;
    }
    return 0;
}

/* The recorder's counts, where there is no detail to count. The load begins with the first request or connection. */
static int work_of(struct footprint *f, struct footprint_host *h, const struct event_work *w, int64_t time_ns)
{
    struct footprint_sum *sum[] = {&f->live, &f->rss, &f->fds, &f->threads};
    if (!footprint_before_detail(f, time_ns))
        return 0;
    bool works = w->answered > h->answered;
    bool begins = !f->begun && (works || (w->serving && w->serving != EVENT_UNKNOWN));
    for (size_t i = 0; i < sizeof sum / sizeof sum[0] && !f->begun; i++)
        if (begins)
            sum[i]->initial = sum[i]->before;
        else
            sum[i]->before = sum[i]->now;
    f->begun |= begins;
    if (works && f->first_exchange_ns < 0) {
        f->first_exchange_ns = time_ns;
        if (series_set(&f->work, time_ns, 0))
            return -1;
    }
    if (works) {
        f->exchanges += w->answered - h->answered;
        f->quiet_ns = -1;
        if (series_set(&f->work, time_ns, (double)f->exchanges))
            return -1;
    }
    h->answered = w->answered;
    if (h->has_fds && w->serving != EVENT_UNKNOWN &&
        (series_set(&h->series[FOOTPRINT_OWN], time_ns, fmax(0, h->gauge_fds - (double)w->serving)) ||
         series_set(&h->series[FOOTPRINT_CONNECTIONS], time_ns, (double)w->serving)))
        return -1;
    return w->mapped == EVENT_UNKNOWN ? 0 : series_set(&h->series[FOOTPRINT_MAPPED], time_ns, (double)w->mapped);
}

#define NO_ACCEPTED KIND_COUNT
static char kind_mark[KIND_COUNT]; /* the map's values point into it, at the kind */

/* The descriptor now is an accepted connection, of that kind, or NO_ACCEPTED. */
static int mark_accepted(const struct footprint *f, struct footprint_host *h, uint64_t fd, uint64_t kind, int64_t time_ns)
{
    const char *was = fd < FD_MAX ? keymap_get(&h->accepted, fd) : NULL;
    bool is = kind < NO_ACCEPTED;

    if (fd >= FD_MAX || (!was && !is))
        return 0;
    h->accepted_by_kind[was ? was - kind_mark : 0] -= was != NULL;
    if (is && keymap_put(&h->accepted, fd, &kind_mark[kind]))
        return -1;
    if (is)
        h->accepted_by_kind[kind]++;
    else
        keymap_remove(&h->accepted, fd);
    if (footprint_before_detail(f, time_ns) || h->ended)
        return 0;
    return series_set(&h->series[FOOTPRINT_CONNECTIONS], time_ns, (double)h->accepted.count);
}

static uint64_t kind_if(bool is, uint64_t kind) { return !is ? NO_ACCEPTED : kind < KIND_COUNT ? kind : KIND_unknown; }

/* --- all --- */

/* The process goes on as another image: that this one ended may be told when that is long at work. */
static bool goes_on(const struct footprint *f, const struct footprint_host *h, uint64_t how)
{
    return how == HOW_exec && (uintptr_t)keymap_get(&f->by_pid, h->pid) != (uintptr_t)h->serial + 1;
}

static int host_ended(struct footprint *f, struct footprint_host *h, uint64_t how, int64_t time_ns)
{
    bool saw_load = footprint_saw_load(f, h);
    if (saw_load && !footprint_quiet(f) && !goes_on(f, h, how))
        f->quiet_ns = time_ns;
    h->ended = true;
    f->told -= h->ledger;
    mapping_free(&h->mappings);
    mapsite_ended(&f->mapsites, &h->mapsites, h->serial, !saw_load);
    threadsite_ended(&f->threadsites, &h->threadsites, !saw_load);
    footprint_orphan(f, h, saw_load);
    if ((f->live.known && sum_change(&f->live, &h->live, 0, time_ns)) ||
        (f->rss.known && sum_change(&f->rss, &h->rss, 0, time_ns)) ||
        (f->fds.known && sum_change(&f->fds, &h->fds, 0, time_ns)) ||
        (f->threads.known && sum_change(&f->threads, &h->threads, 0, time_ns)))
        return -1;
    return 0;
}

/* Of a thread that was given up: or else it may still run. */
static bool joins(const struct process_table *processes, const struct event *e)
{
    return e->type == EVENT_thread_left && strcmp(process_op_name(processes, e->u.thread_left.op), "pthread_detach") != 0;
}

int footprint_feed(struct footprint *f, const struct process_table *processes, const struct item *item)
{
    const struct event *e = &item->event;
    if (item->time_ns > f->last_ns)
        f->last_ns = item->time_ns;
    if (!item->proc)
        return 0;
    struct footprint_host *h = host_of(f, item->proc, item->time_ns);
    if (!h)
        return -1;
    if (h->ended)
        return 0;
    h->end_ns = item->time_ns;
    switch (e->type) {
    case EVENT_io: return io_event(f, h, e, item->time_ns);
    case EVENT_wait: return wait_event(f, h, e, item->time_ns);
    case EVENT_desc_open:
        if (mark_accepted(f, h, e->u.desc_open.fd, kind_if(e->u.desc_open.from != 0, e->u.desc_open.kind), item->time_ns))
            return -1;
        return open_event(f, h, e, item->time_ns);
    case EVENT_desc_close: return mark_accepted(f, h, e->u.desc_close.fd, NO_ACCEPTED, item->time_ns);
    case EVENT_thread:
    case EVENT_thread_create:
    case EVENT_thread_exit:
    case EVENT_thread_left:
        return threadsite_feed(&f->threadsites, &h->threadsites, item, f->route, joins(processes, e));
    case EVENT_fork:
    case EVENT_process:
    case EVENT_reap:
    case EVENT_reaped_unseen: return footprint_children(f, processes, h, item);
    case EVENT_work: return work_of(f, h, &e->u.work, item->time_ns);
    case EVENT_held:
        return mark_accepted(f, h, e->u.held.fd, kind_if(e->u.held.role == HELD_ACCEPTED, e->u.held.kind), item->time_ns);
    case EVENT_mapped: return mapping_add(&h->mappings, e->u.mapped.addr, e->u.mapped.length);
    case EVENT_gauge: return gauge_of(f, h, &e->u.gauge, e->time, item->time_ns);
    case EVENT_map: return footprint_map(f, h, process_op_name(processes, e->u.map.op), &e->u.map, item->time_ns);
    case EVENT_process_end:
        return footprint_children(f, processes, h, item) ? -1 : host_ended(f, h, e->u.process_end.how, item->time_ns);
    default: return 0;
    }
}

void footprint_pass(struct footprint *f, uint32_t serial, int64_t time_ns)
{
    struct footprint_host *h = host_of(f, serial, time_ns);

    if (time_ns > f->last_ns)
        f->last_ns = time_ns;
    if (h && !h->ended)
        h->end_ns = time_ns;
}

int footprint_exchange(struct footprint *f, int64_t in_ns, int64_t done_ns)
{
    if (f->first_exchange_ns < 0) {
        f->first_exchange_ns = in_ns;
        load_begins(f);
        if (series_set(&f->work, in_ns, 0))
            return -1;
    }
    f->exchanges++;
    f->quiet_ns = -1;
    return series_set(&f->work, done_ns, (double)f->exchanges);
}

/* A gauge that came too early is no count, but all that the process has is told after it. */
static bool knows_fds(const struct footprint_host *h) { return h->has_fds || h->fds_were_early; }

int footprint_descriptors(struct footprint *f, uint32_t serial, int64_t time_ns, double open, double half_closed,
                          bool ending)
{
    struct footprint_host *h = host_of(f, serial, time_ns);
    if (!h)
        return -1;
    if (footprint_before_detail(f, time_ns))
        return 0;
    h->open = open;
    if (h->ended)
        return 0;
    if (f->trimmed && !h->told) /* the gauge before was one of all descriptors, as this is */
        h->open_at_gauge = open;
    h->told = true;
    double rightly_open = fmax(0, (double)h->accepted.count - half_closed);
    double shown = f->trimmed && h->has_fds ? fmax(0, h->gauge_fds + open - h->open_at_gauge) : open;
    if (series_set(&h->series[FOOTPRINT_OPEN], time_ns, shown) ||
        series_set(&h->series[FOOTPRINT_OWN], time_ns, fmax(0, shown - rightly_open)))
        return -1;
    if (!f->trimmed && half_closed != h->half_closed) {
        h->half_closed = half_closed;
        if (series_set(&h->series[FOOTPRINT_GONE], time_ns, half_closed))
            return -1;
    }
    if (ending || !knows_fds(h))
        return 0;
    return sum_change(&f->fds, &h->fds, h->has_fds ? fmax(0, h->gauge_fds + open - h->open_at_gauge) : open, time_ns);
}

int footprint_descriptor_kinds(struct footprint *f, uint32_t serial, int64_t time_ns, const uint64_t by_kind[KIND_COUNT])
{
    struct footprint_host *h = footprint_find(f, serial);

    if (!h || h->ended || footprint_before_detail(f, time_ns))
        return 0;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        struct series *s = &h->series[FOOTPRINT_OF_KIND + kind];
        double own = by_kind[kind] > h->accepted_by_kind[kind] ? (double)(by_kind[kind] - h->accepted_by_kind[kind]) : 0;
        bool same = series_empty(s) ? own == 0 : s->bucket[s->count - 1].last == own;
        if (!same && series_set(s, time_ns, own))
            return -1;
    }
    return 0;
}

bool footprint_counts_descriptors(struct footprint *f, uint32_t serial, int64_t time_ns)
{
    const struct footprint_host *h = host_of(f, serial, time_ns);

    return h && (knows_fds(h) || !f->fds.known);
}

void footprint_descriptors_final(struct footprint *f) { f->fds.final = f->fds.known ? f->fds.now : NAN; }

static struct footprint_load found_load(const struct footprint *f)
{
    struct footprint_load load = {0, f->last_ns, f->quiet_ns >= 0 ? f->quiet_ns : f->last_ns, GROWTH_FIND_WARM_UP};
    if (f->exchanges < LOAD_EXCHANGES_MIN) {
        load.from_ns = series_empty(&f->live.series) ? 0 : f->live.series.start_ns;
        load.to_ns = load.quiet_ns;
        return load;
    }
    double edge = LOAD_EDGE * (double)f->exchanges;
    load.from_ns = series_reached_ns(&f->work, edge);
    load.to_ns = series_reached_ns(&f->work, (double)f->exchanges - edge);
    if (load.quiet_ns < load.to_ns)
        load.quiet_ns = load.to_ns;
    return load;
}

struct footprint_load footprint_load(const struct footprint *f)
{
    struct footprint_load load = found_load(f);

    if (f->window.since_ns >= 0)
        load.from_ns = f->window.since_ns;
    if (f->window.until_ns >= 0 && f->window.until_ns < load.quiet_ns)
        load.to_ns = f->window.until_ns;
    if (f->window.warm_up_ns >= 0)
        load.warm_up_ns = f->window.warm_up_ns;
    return load;
}

static bool lived_through(const struct footprint_host *h, const struct footprint *f, const struct footprint_load *load)
{
    int64_t slack_ns = (int64_t)(LIVED_THROUGH * (double)(load->to_ns - load->from_ns));
    return h->start_ns <= load->from_ns + slack_ns && (h->ended ? h->end_ns : f->last_ns) >= load->to_ns - slack_ns;
}

int footprint_lived(const struct footprint *f, struct footprint_lived *out)
{
    struct footprint_load load = footprint_load(f);
    *out = (struct footprint_lived){.ledger = false};
    const struct series **all = malloc((f->count + 1) * FOOTPRINT_KINDS * sizeof *all);
    if (!all)
        return -1;
    for (size_t k = 0; k < FOOTPRINT_KINDS; k++)
        out->list[k] = all + k * f->count;
    for (size_t i = 0; i < f->count; i++) {
        const struct footprint_host *h = &f->host[i];
        out->ledger |= !series_empty(&h->series[FOOTPRINT_LIVE]);
        bool lived = lived_through(h, f, &load);
        out->left_out += !lived;
        out->unclear += lived ? h->unclear + children_unclear(&h->children) : 0;
        out->untold += lived ? h->untold + h->children.in[CHILD_UNTOLD] : 0;
        out->gauged |= lived && !series_empty(&h->series[FOOTPRINT_THREADS]);
        for (size_t k = 0; lived && k < FOOTPRINT_KINDS; k++)
            if (!series_empty(&h->series[k]))
                out->list[k][out->n[k]++] = &h->series[k];
    }
    return 0;
}

void footprint_lived_free(struct footprint_lived *l) { free(l->list[0]); }

struct growth footprint_growth(const struct footprint *f, const struct footprint_lived *l, enum footprint_kind kind)
{
    struct footprint_load load = footprint_load(f);
    const struct series *work = f->exchanges >= LOAD_EXCHANGES_MIN ? &f->work : NULL;
    bool gauged = kind == FOOTPRINT_ANON || kind == FOOTPRINT_THREADS || kind == FOOTPRINT_UNJOINED;
    int64_t window_ns = gauged || footprint_before_detail(f, load.from_ns) ? GAUGE_WINDOW_NS : 1;
    return growth_of(l->list[kind], l->n[kind], work, load.from_ns, load.to_ns, window_ns, load.warm_up_ns);
}

double footprint_gained(const struct footprint *f, const struct footprint_lived *l, enum footprint_kind kind)
{
    struct footprint_load load = footprint_load(f);
    double gained = l->n[kind] ? 0 : NAN;
    for (size_t i = 0; i < l->n[kind]; i++)
        gained += series_at(l->list[kind][i], load.to_ns) - series_at(l->list[kind][i], load.from_ns);
    return gained;
}

double footprint_requests(const struct footprint *f, int64_t from_ns, int64_t to_ns)
{
    return series_empty(&f->work) ? 0 : fmax(0, series_at(&f->work, to_ns) - series_at(&f->work, from_ns));
}

struct connshare footprint_connections(const struct footprint *f, const struct footprint_lived *l, const struct growth *live)
{
    return connshare_of(l->list[FOOTPRINT_LIVE], l->n[FOOTPRINT_LIVE], l->list[FOOTPRINT_CONNECTIONS], l->n[FOOTPRINT_CONNECTIONS],
                        series_empty(&f->work) ? NULL : &f->work, live->warm_ns, live->to_ns);
}
