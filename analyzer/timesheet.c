/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is booked to an exchange is pending until its next read or write on the same thread confirms it: only then is
 * it known that the thread had not handed it over meanwhile, and that the response did not end with the write before
 * (one that ends with its connection is known to be complete long after its last byte). What the thread did for it
 * before it left it, is confirmed by that, unless the response has begun.
 */
#include "timesheet.h"

#include "flight.h"

static void detach(struct flight *f)
{
    struct timesheet_entry *e = &f->time;

    if (!e->sheet)
        return;
    if (e->previous)
        e->previous->time.next = e->next;
    else
        e->sheet->first = e->next;
    if (e->next)
        e->next->time.previous = e->previous;
    e->sheet->count--;
    e->sheet = NULL;
    e->next = e->previous = NULL;
}

static void attach(struct timesheet *t, struct flight *f)
{
    struct timesheet_entry *e = &f->time;

    e->sheet = t;
    e->next = t->first;
    e->previous = NULL;
    if (t->first)
        t->first->time.previous = f;
    t->first = f;
    t->count++;
}

static void add_positive(struct split *s, enum split_kind kind, int64_t ns)
{
    if (ns > 0)
        split_add(s, kind, ns);
}

static enum split_kind awaited(const struct timesheet_entry *e)
{
    return e->full ? SPLIT_send : SPLIT_descriptors;
}

/* Books what its thread did without it, up to where the thread is booked. */
static void catch_up(struct timesheet_entry *e)
{
    const struct timesheet *t = e->sheet;

    if (t->cursor_ns <= e->pending_ns)
        return;
    add_positive(&e->pending, awaited(e), t->sums.waits_ns - e->since.waits_ns);
    add_positive(&e->pending, SPLIT_busy, t->sums.busy_ns - e->since.busy_ns);
    add_positive(&e->pending, SPLIT_unseen, t->sums.nobody_ns - e->since.nobody_ns);
    e->pending_ns = t->cursor_ns;
    e->since = t->sums;
}

/* What is not booked yet until then was the request's receipt as long as that took, and then what is pending, or
 * unseen if that is not to be had. */
static void confirm(struct flight *f, int64_t until_ns, bool take_pending)
{
    struct timesheet_entry *e = &f->time;

    if (!e->received) {
        int64_t ready_ns = f->request_done && f->x.ready_ns < until_ns ? f->x.ready_ns : until_ns;
        if (ready_ns > e->booked_ns) {
            add_positive(&f->x.split, SPLIT_receive, ready_ns - e->booked_ns);
            e->booked_ns = ready_ns;
            take_pending = false;
        }
        e->received = f->request_done || f->request_lost;
    }
    if (!take_pending)
        add_positive(&f->x.split, SPLIT_unseen, until_ns - e->booked_ns);
    else if (e->pending.used)
        split_take(&f->x.split, &e->pending);
    e->pending.used = 0;
    e->booked_ns = e->pending_ns = until_ns;
}

/* It goes on in this thread. Where it has been until then is not known. */
static void adopt(struct timesheet *t, struct flight *f)
{
    struct timesheet_entry *e = &f->time;

    detach(f);
    e->handed_over |= e->received;
    confirm(f, t->cursor_ns > e->booked_ns ? t->cursor_ns : e->booked_ns, false);
    e->since = t->sums;
    attach(t, f);
}

/* It was answered before this call, or given up in it. */
static bool over_already(struct flight *f, const struct timesheet_call *c)
{
    if (!f->time.closed && ((f->over && !f->complete) || (f->response_done && f->x.done_ns < c->end_ns)))
        timesheet_close(f);
    return f->time.closed;
}

/* The thread ran for the exchange, then made a call. */
static void book_owner(struct flight *f, const struct timesheet_call *c, enum split_kind kind)
{
    struct timesheet_entry *e = &f->time;

    catch_up(e);
    add_positive(&e->pending, SPLIT_compute, c->start_ns - e->pending_ns);
    if (c->start_ns > e->pending_ns)
        e->pending_ns = c->start_ns;
    if (c->ends && e->received && !e->answering)
        confirm(f, e->pending_ns, true);
    add_positive(&e->pending, kind, c->end_ns - e->pending_ns);
    e->pending_ns = c->end_ns;
}

static void book_owners(struct timesheet *t, const struct timesheet_call *c, struct timesheet_flights owners,
                        bool reads)
{
    for (size_t i = 0; i < owners.count; i++) {
        struct flight *f = owners.list[i];
        if (f->time.sheet == t)
            book_owner(f, c, c->waits ? awaited(&f->time) : reads ? SPLIT_busy : c->kind);
    }
}

/* It was read. */
static void book_read(struct timesheet *t, const struct timesheet_call *c, struct flight *f)
{
    struct timesheet_entry *e = &f->time;

    if (over_already(f, c))
        return;
    if (!e->sheet && e->booked_ns == c->end_ns) { /* it has just begun */
        e->pending_ns = c->end_ns;
        e->received = f->request_done || f->request_lost;
        attach(t, f);
    } else {
        if (e->sheet == t)
            catch_up(e);
        else
            adopt(t, f);
        confirm(f, c->end_ns, true);
    }
    e->since = t->sums;
}

/* The thread ran for the exchange, then wrote of its response, perhaps all that was left. */
static void book_written(struct timesheet *t, const struct timesheet_call *c, struct flight *f)
{
    struct timesheet_entry *e = &f->time;

    if (over_already(f, c))
        return;
    if (e->sheet == t)
        catch_up(e);
    else
        adopt(t, f);
    confirm(f, e->pending_ns, true);
    if (e->received) {
        add_positive(&f->x.split, SPLIT_compute, c->start_ns - e->booked_ns);
        add_positive(&f->x.split, c->kind, c->end_ns - (c->start_ns > e->booked_ns ? c->start_ns : e->booked_ns));
        e->booked_ns = e->pending_ns = c->end_ns;
    } else {
        confirm(f, c->end_ns, false);
    }
    e->answering = true;
    e->full = c->full;
    if (f->response_done)
        timesheet_close(f);
}

/* Leaves of the call what is not booked yet. */
static void clip(struct timesheet *t, struct timesheet_call *c)
{
    if (!t->known)
        t->cursor_ns = c->start_ns;
    t->known = true;
    if (c->end_ns < t->cursor_ns)
        c->end_ns = t->cursor_ns;
    if (c->start_ns < t->cursor_ns)
        c->start_ns = t->cursor_ns;
}

/* owned: it is known for whom the thread ran; moves: the call moved bytes of served exchanges. */
static void advance(struct timesheet *t, const struct timesheet_call *c, bool owned, bool moves)
{
    int64_t ran_ns = c->start_ns - t->cursor_ns, took_ns = c->end_ns - c->start_ns;

    t->cursor_ns = c->end_ns;
    if (owned)
        t->sums.busy_ns += ran_ns;
    else
        t->sums.nobody_ns += ran_ns;
    if (c->waits)
        t->sums.waits_ns += took_ns;
    else if (owned || moves)
        t->sums.busy_ns += took_ns;
    else
        t->sums.nobody_ns += took_ns;
}

void timesheet_write(struct timesheet *t, struct timesheet_call *c, struct timesheet_flights written)
{
    clip(t, c);
    for (size_t i = 0; i < written.count; i++)
        book_written(t, c, written.list[i]);
    advance(t, c, true, true);
    for (size_t i = 0; i < written.count; i++)
        if (written.list[i]->time.sheet == t)
            written.list[i]->time.since = t->sums;
}

void timesheet_book(struct timesheet *t, struct timesheet_call *c, struct timesheet_flights owners,
                    struct timesheet_flights read)
{
    bool owned = owners.count > 0;
    struct flight *sole = !owned && t->count == 1 ? t->first : NULL;

    clip(t, c);
    if (sole)
        owners = (struct timesheet_flights){&sole, 1};
    c->ends &= owned;
    book_owners(t, c, owners, read.count > 0);
    advance(t, c, owned, read.count > 0);
    for (size_t i = 0; i < owners.count; i++)
        if (owners.list[i]->time.sheet == t)
            owners.list[i]->time.since = t->sums;
    for (size_t i = 0; i < read.count; i++)
        book_read(t, c, read.list[i]);
}

void timesheet_full(struct flight *f)
{
    if (f->time.sheet)
        catch_up(&f->time);
    f->time.full = true;
}

int64_t timesheet_waited_ns(const struct flight *f)
{
    const struct timesheet_entry *e = &f->time;
    int64_t ns = split_ns(&f->x.split, SPLIT_descriptors);

    if (!e->received || e->closed) /* what is pending will not be taken */
        return ns;
    ns += split_ns(&e->pending, SPLIT_descriptors);
    if (e->sheet && e->sheet->cursor_ns > e->pending_ns && awaited(e) == SPLIT_descriptors)
        ns += e->sheet->sums.waits_ns - e->since.waits_ns;
    return ns;
}

void timesheet_close(struct flight *f)
{
    detach(f);
    if (f->time.closed)
        return;
    f->time.closed = true;
    if (!f->x.upstream && f->response_done)
        split_settle(&f->x.split, f->x.done_ns > f->x.in_ns ? f->x.done_ns - f->x.in_ns : 0);
}

void timesheet_end(struct timesheet *t)
{
    while (t->first)
        detach(t->first);
}
