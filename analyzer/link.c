/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread does one thing after another, so what it does has causes among what it learned before. A *turn* is what a
 * thread does between two moments at which nothing is left to do: an event loop's between two waits for several
 * descriptors that may block (a loop that still has work asks with a timeout of 0, which ends no turn); elsewhere from
 * the read of a request, when no other is in flight on the thread, to the next such read. The turn's *causes* are the
 * requests it read, those whose upstream responses it read, and those that it answered.
 *
 * Forward: who caused an upstream request? Its candidates are the turn's causes that are in flight when it is written;
 * of the first request on a connection also those of connect(), as connecting goes on past the turn. None: no request
 * of this thread, not linked. One, when those that ended before the upstream exchange did are ruled out, is a proof if
 * nothing else can have been the cause. It is *weak*, and needs the second proof, where
 *  - a timer may be due (a background job, a health check). A wait's timeout says when the next one is, if the loop
 *    computes it (its timeouts vary); -1: there is none. A loop whose timeouts are a few constants may look at its
 *    clock in any turn;
 *  - the wait told of more descriptors than were read: one may have become writable, or failed;
 *  - the turn read anything that is no request or response (an eventfd, DNS, a protocol not known, the end of a
 *    connection after which a client may reconnect), accepted a connection that has not sent its request yet, or waited
 *    for a condition;
 *  - a request that was in the turn is over: it may have left work behind;
 *  - an upstream response was read, or a connection opened, and other requests are in flight on the thread: one of them
 *    may have waited for a free connection or for a semaphore;
 *  - several threads of the process are event loops: these give each other work, and one that is awake needs no waking
 *    for it;
 *  - the trace begins in the middle of the turn.
 * Where the connection was not writable, or events were lost, nothing is known.
 *
 * Backward: whom did an upstream response serve? If its turn had no other cause, not even another response to the same
 * request, and no timer was due, and the thread then writes a response to one of the candidates, that one had waited
 * for it. So it had where all is one straight line, from the request over the calls to the answer, in which the thread
 * asked for nothing else. This also decides among several candidates. Alone it proves nothing: what a background job
 * fetched may be pushed to a request that waits for news (SSE).
 *
 * Where turns have many causes, their order can still tell on a thread that is done with each descriptor before it
 * reads the next. Such an *orderly* one was seen to answer whom it had read last, of several, ROUND_ORDERLY times, and
 * nobody else ever. There the candidate is whom it read last, always weak, and the backward proof holds for the
 * response read last.
 *
 * A proof is taken back
 *  - if the upstream exchange does not lie within its request's time, from `in` to `done`: what goes on after the
 *    answer, or was linked to an earlier request (a stale parent). If its turn served another request, and not its own,
 *    or two of its candidates. These are *refuted*, and counted: a measured rate of error of the forward proof;
 *  - if threads hand work over. Where one thread pushes requests to a queue and takes others' from it, what it does
 *    next is not its request's: no wait need tell. It shows in a request that one thread read and another began to
 *    answer; then all links of that process are withdrawn, and none made any more. A response read by another thread
 *    than the one that wrote the request withdraws that link.
 *
 * What remains: a loop of one thread that computes its timeouts and does the work of another thread in a turn without
 * having been woken for it.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

struct link_call {
    struct link_call *next;           /* of its request's, or unused */
    struct link_call *later, **place; /* in the list of all */
    struct flight *flight;
    uint32_t thread;
    uint64_t turn; /* in which it began */
    struct link_candidates candidates;
    int8_t chosen; /* of the candidates; -1: none yet */
    int64_t waited_ns[LINK_CANDIDATES_MAX][2]; /* by candidate: how long it had waited for descriptors (timesheet.h) when
                                                * this began, and when bytes of its response were read last */
    bool confirmed, doubted;
    bool moved;   /* another thread read the response */
    bool adopted; /* in the list of its request, and held */
};

struct link_table {
    struct flight_pool *pool;
    struct upstream_table *figures;
    struct round_table rounds;
    struct link_call *unused, *all;
    struct round *now; /* of the thread whose event is being fed; NULL: of nobody */
    int64_t now_ns;
    uint64_t now_desc;
    bool known; /* what the event read is: a request or a response */
    bool eof;   /* or nothing */
    bool short_of_memory;
};

static void round_over(void *context, struct round *t);

struct link_table *link_table_new(struct flight_pool *pool, struct upstream_table *figures)
{
    struct link_table *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->pool = pool;
    l->figures = figures;
    l->rounds.over = round_over;
    l->rounds.context = l;
    return l;
}

/* --- candidates --- */

static int candidate_index(const struct link_candidates *c, const struct flight *f)
{
    for (int i = 0; i < c->count; i++)
        if (flight_is(c->of[i], f))
            return i;
    return -1;
}

static void candidates_unknown(struct link_candidates *c)
{
    c->unknown = true;
    c->count = 0;
}

static void candidate_add(struct link_candidates *c, struct flight_ref r)
{
    struct flight *f = flight_alive(r);

    if (!f)
        c->weak = true; /* it may have left work behind */
    else if (c->unknown || candidate_index(c, f) >= 0)
        return;
    else if (c->count == LINK_CANDIDATES_MAX)
        candidates_unknown(c);
    else
        c->of[c->count++] = r;
}

/* --- calls --- */

static struct link_call *call_new(struct link_table *l, struct flight *f)
{
    struct link_call *c = l->unused;

    if (c)
        l->unused = c->next;
    else
        c = malloc(sizeof *c);
    if (!c)
        return NULL;
    *c = (struct link_call){.flight = f, .thread = l->now->thread, .turn = l->now->number, .chosen = -1,
                            .later = l->all, .place = &l->all};
    if (l->all)
        l->all->place = &c->later;
    l->all = c;
    f->calls = c;
    return c;
}

static void call_drop(struct link_table *l, struct link_call *c)
{
    c->flight->calls = NULL;
    *c->place = c->later;
    if (c->later)
        c->later->place = c->place;
    c->next = l->unused;
    l->unused = c;
}

/* Which candidate it belongs to, as far as is known, or -1. While it is in flight, none that is over. */
static int call_candidate(const struct link_call *c)
{
    int only = -1;

    if (c->chosen >= 0)
        return c->chosen;
    for (int i = 0; i < c->candidates.count; i++)
        if (flight_alive(c->candidates.of[i])) {
            if (only >= 0)
                return -1;
            only = i;
        }
    return only;
}

static struct flight *call_parent(const struct link_call *c)
{
    int i = call_candidate(c);

    return i >= 0 ? flight_alive(c->candidates.of[i]) : NULL;
}

/* Whether it is certain that it belongs to its candidate. */
static bool call_is_certain(const struct link_call *c)
{
    return c->confirmed || (call_candidate(c) >= 0 && !c->candidates.weak);
}

/* It is over and will not be linked. */
static void call_unlinked(struct link_table *l, struct link_call *c, enum link_state why)
{
    c->flight->x.link = (uint8_t)why;
    upstream_unlinked(l->figures, why);
    call_drop(l, c);
}

static bool lies_within(const struct exchange *call, const struct flight *parent)
{
    return call->in_ns >= parent->x.in_ns && (!parent->over || call->done_ns <= parent->x.done_ns);
}

static enum link_state call_state(const struct link_call *c, const struct flight *parent)
{
    if (parent->over && !parent->complete)
        return LINK_ambiguous;
    if (c->doubted || !lies_within(&c->flight->x, parent))
        return LINK_refuted;
    if (c->moved || parent->moved || !parent->turn || parent->turn->process->hands_over)
        return LINK_handed_over;
    return call_is_certain(c) ? LINK_linked : LINK_ambiguous;
}

/* --- requests and their calls --- */

static int by_begin(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The time that the intervals cover, [begin, end] pairs, after *until_ns, which becomes where the last ends. */
static int64_t covered(int64_t (*interval)[2], unsigned n, int64_t *until_ns)
{
    int64_t sum = 0;

    qsort(interval, n, sizeof *interval, by_begin);
    for (unsigned i = 0; i < n; i++) {
        int64_t from = interval[i][0] > *until_ns ? interval[i][0] : *until_ns;
        if (interval[i][1] <= from)
            continue;
        sum += interval[i][1] - from;
        *until_ns = interval[i][1];
    }
    return sum;
}

/* Decides the calls of a request that have ended. It is over, or has too many of them. */
static void settle(struct link_table *l, struct flight *parent)
{
    const struct round_process *p = parent->turn ? parent->turn->process : NULL;
    uint32_t proc = p && p->threads > 1 ? p->serial : 0; /* with one thread nothing can be withdrawn */
    int64_t interval[LINK_CALLS_MAX][2], waited[LINK_CALLS_MAX][2];
    unsigned linked = 0;

    while (parent->calls) {
        struct link_call *c = parent->calls;
        struct flight *f = c->flight;
        enum link_state state = call_state(c, parent);
        parent->calls = c->next;
        if (state != LINK_linked) {
            call_unlinked(l, c, state);
        } else {
            f->x.link = LINK_linked;
            f->x.parent = parent->serial;
            memcpy(waited[linked], c->waited_ns[c->chosen], sizeof *waited);
            interval[linked][0] = f->x.in_ns;
            interval[linked++][1] = f->x.done_ns;
            if (upstream_link(l->figures, proc, parent->x.route, f->x.route, f->x.done_ns - f->x.in_ns) < 0)
                l->short_of_memory = true;
            call_drop(l, c);
        }
        flight_drop(l->pool, f);
    }
    parent->linked_calls = 0;
    parent->x.upstream_calls += linked;
    parent->x.upstream_ns += covered(interval, linked, &parent->covered_until_ns);
    parent->awaited_ns += covered(waited, linked, &parent->awaited_until_ns);
}

/* The exchange is over; its request, which is in flight, will decide. */
static void adopt(struct link_table *l, struct flight *parent, struct link_call *c)
{
    if (parent->linked_calls == LINK_CALLS_MAX)
        settle(l, parent);
    parent->linked_calls++;
    c->chosen = (int8_t)call_candidate(c);
    c->adopted = true;
    c->flight->holds++;
    c->next = parent->calls;
    parent->calls = c;
}

static void round_over(void *context, struct round *t)
{
    struct link_table *l = context;

    for (unsigned i = 0; i < t->replies; i++) {
        struct flight *f = t->reply[i];
        if (f->over && f->calls && !f->calls->adopted)
            call_unlinked(l, f->calls, LINK_ambiguous);
        flight_drop(l->pool, f);
    }
}

/* --- events --- */

int link_event(struct link_table *l, const struct item *item)
{
    const struct event *e = &item->event;

    l->now = NULL;
    l->known = false;
    switch (e->type) {
    case EVENT_op:
    case EVENT_gap:
    case EVENT_held: round_note(&l->rounds, item); return 0;
    case EVENT_io:
        l->now_desc = e->u.io.desc;
        l->eof = e->u.io.bytes == 0;
        break;
    case EVENT_desc_open:
    case EVENT_wait:
    case EVENT_sock:
    case EVENT_lost: break;
    default: return 0;
    }
    if (!item->proc)
        return 0;
    l->now = round_of(&l->rounds, item);
    l->now_ns = item->time_ns;
    if (!l->now || l->short_of_memory)
        return -1;
    if (e->type == EVENT_wait) {
        round_wait(&l->rounds, l->now, item);
    } else if (e->type == EVENT_desc_open && e->u.desc_open.from) {
        round_read(l->now, e->u.desc_open.from, EVENT_UNKNOWN - 1);
        round_accept(l->now, e->u.desc_open.desc);
    } else if (e->type == EVENT_io && e->u.io.dir == 0) {
        round_read(l->now, e->u.io.desc, e->u.io.fd);
    }
    l->now->crowded |= e->type == EVENT_lost && e->u.lost.events;
    return 0;
}

void link_io_end(struct link_table *l, const struct event_io *e, enum desc_kind kind, struct link_connection *c)
{
    int64_t bytes = (int64_t)e->bytes;

    if (c && e->dir == 1)
        c->blocked = bytes == -EAGAIN || (bytes >= 0 && e->bytes < e->asked);
    if (l->now && !l->known && e->dir == 0 && bytes >= 0 && !(e->flags & (IO_PEEK | IO_POSITIONED)))
        round_read_other(l->now, e, kind);
}

void link_thread_end(struct link_table *l, uint32_t thread)
{
    l->now = NULL;
    round_thread_end(&l->rounds, thread);
}

/* --- requests --- */

void link_request(struct link_table *l, struct flight *f)
{
    struct round *t = l->now;

    if (!f || f->x.upstream)
        return;
    l->known = true;
    if (!t)
        return;
    if (!f->turn) {
        round_begin(&l->rounds, t);
        f->turn = t;
        f->covered_until_ns = f->x.in_ns;
    } else if (f->turn != t) {
        f->moved = true;
    }
    if (t->accepted == l->now_desc)
        t->accepted = 0;
    round_cause(t, f);
    f->read_turn = t->number;
    t->last = flight_ref(f);
    t->last_reply = NULL;
}

/* Whether nothing in the turn can have caused that f is answered but its own request and upstream exchanges of which nobody else
 * is a candidate, or `besides`. */
static bool is_only_cause(const struct round *t, const struct flight *f, const struct link_call *besides)
{
    for (unsigned i = 0; i < t->causes; i++)
        if (!flight_is(t->cause[i], f))
            return false;
    for (unsigned i = 0; i < t->replies; i++) {
        const struct link_call *c = t->reply[i]->calls;
        if (c ? c != besides && call_parent(c) != f : t->reply[i]->x.parent != f->serial)
            return false;
    }
    return true;
}

/* Whether f is answered now because of the response to c. Either the turn knows of nothing else. Or all of it is one straight line,
 * from the request's read over the call to this, in which the thread asked for no other descriptors. */
static bool is_proof(const struct round *t, const struct flight *f, const struct link_call *c)
{
    if (t->crowded || t->foreign || t->accepted || !is_only_cause(t, f, c))
        return false;
    if (c->turn == t->number)
        return !t->polled && f->read_turn == t->number;
    return t->replies == 1 && !t->more_replies && f->read_turn != t->number;
}

/* The turn read the response to c, and now f is answered. proves: nothing else can have led to that. */
static void served(struct link_table *l, struct link_call *c, struct flight *f, bool proves)
{
    const struct round *t = l->now;
    int candidate = candidate_index(&c->candidates, f);

    if (candidate < 0) {
        if (t->replies == 1 && !t->more_replies && t->causes <= 1 && call_candidate(c) >= 0)
            c->doubted = !c->confirmed;
        return;
    }
    if (!proves)
        return;
    if (c->confirmed && c->chosen != candidate) {
        c->doubted = true; /* two of its candidates */
        return;
    }
    if (c->chosen >= 0 && c->chosen != candidate)
        return;
    bool decides = !c->adopted;
    c->doubted &= c->confirmed;
    c->confirmed = true;
    c->chosen = (int8_t)candidate;
    if (decides && c->flight->over)
        adopt(l, f, c);
}

/* Does the thread answer the request that it learned of last, where it learned of several? */
static void watch_order(struct round *t, const struct flight *f)
{
    const struct flight *last = flight_alive(t->last);

    if (!last || is_only_cause(t, f, NULL))
        return;
    if (last == f)
        t->orderly += t->orderly < ROUND_ORDERLY;
    else
        t->disorderly = true;
}

static void answer(struct link_table *l, struct flight *f, bool first)
{
    struct round *t = l->now;

    if (!t || !f->turn)
        return;
    if (f->turn != t) {
        f->moved |= first;
        if (first && !t->process->hands_over) {
            t->process->hands_over = true;
            upstream_withdraw(l->figures, t->process->serial);
        }
        return;
    }
    bool due = round_timer_due(t, l->now_ns), in_order = first && round_is_orderly(t);
    for (unsigned i = 0; i < t->replies; i++) {
        struct link_call *c = t->reply[i]->calls;
        if (c)
            served(l, c, f, !due && (is_proof(t, f, c) || (in_order && t->last_reply == t->reply[i])));
    }
    if (first)
        watch_order(t, f);
    round_cause(t, f);
}

/* --- upstream --- */

/* Whether anything but the turn's causes can have caused what it does now. explained: descriptors that it was told of for sure
 * and did not read. */
static bool is_weak(const struct round *t, int64_t now_ns, unsigned explained)
{
    if (t->unseen || !t->loop)
        return t->unseen || t->condition;
    return t->foreign || t->hung_up || t->accepted || t->process->loops > 1 || round_timer_may(t, now_ns) ||
           round_is_hidden(t, explained);
}

/* A response whose request is not certain: what it causes is not certain either. */
static bool has_uncertain_reply(const struct round *t)
{
    for (unsigned i = 0; i < t->replies; i++) {
        const struct link_call *c = t->reply[i]->calls;
        if (c ? !call_is_certain(c) : t->reply[i]->x.link != LINK_linked)
            return true;
    }
    return false;
}

static void candidates_of_turn(const struct round *t, struct link_candidates *c, int64_t now_ns, unsigned explained)
{
    if (t->crowded)
        candidates_unknown(c);
    for (unsigned i = 0; i < t->causes; i++)
        candidate_add(c, t->cause[i]);
    c->weak |= is_weak(t, now_ns, explained) || has_uncertain_reply(t);
    if (c->count != 1 && round_is_orderly(t) && flight_alive(t->last)) /* many causes: it is still at the last one */
        *c = (struct link_candidates){.of = {t->last}, .count = 1, .weak = true};
}

/* Those of the first request on a connection that was opened in an earlier turn: it may have been waited for. */
static void candidates_of_opening(struct link_candidates *c, const struct link_connection *o)
{
    if (o->openers.unknown)
        candidates_unknown(c);
    for (unsigned i = 0; i < o->openers.count; i++)
        candidate_add(c, o->openers.of[i]);
    c->weak |= o->openers.weak;
}

static void find_candidates(struct link_table *l, struct link_candidates *c, const struct link_connection *o)
{
    const struct round *t = l->now;
    bool opened = !o->used && o->begun_ns && o->turn != t->number;

    candidates_of_turn(t, c, l->now_ns, opened);
    if (opened && round_is_orderly(t)) /* this is what it was told of last */
        *c = (struct link_candidates){.weak = c->weak};
    if (opened)
        candidates_of_opening(c, o);
    if (o->blocked)
        candidates_unknown(c);
    if (has_uncertain_reply(t) && !c->count)
        c->unknown = true;
    if (!t->open) /* whatever the turn did, no request waits */
        c->unknown = false;
    c->weak |= (opened || t->replies) && t->open > c->count;
}

/* at: 0: it begins, 1: its response. */
static void note_waits(struct link_call *c, unsigned at)
{
    for (unsigned i = 0; i < c->candidates.count; i++) {
        const struct flight *f = flight_alive(c->candidates.of[i]);
        if (f)
            c->waited_ns[i][at] = timesheet_waited_ns(f);
    }
}

/* Its connection was opened for nobody else. */
static void note_opening(struct link_call *c, const struct link_connection *o)
{
    const struct flight *opener = o->openers.count == 1 && !o->openers.weak ? flight_alive(o->openers.of[0]) : NULL;
    int i = opener ? candidate_index(&c->candidates, opener) : -1;

    if (i >= 0)
        c->waited_ns[i][0] = o->waited_ns;
}

int link_begin(struct link_table *l, struct flight *f, struct link_connection *o)
{
    if (!f->x.upstream)
        link_request(l, f);
    if (!f->x.upstream || !l->now)
        return 0;
    struct link_call *c = call_new(l, f);
    if (!c)
        return -1;
    find_candidates(l, &c->candidates, o);
    note_waits(c, 0);
    if (!o->used && o->begun_ns)
        note_opening(c, o);
    if (!o->used) { /* where connecting went on in the background it was done by now, at the latest */
        f->x.connect_ns = !o->begun_ns ? -1 : (o->connected_ns ? o->connected_ns : f->x.in_ns) - o->begun_ns;
        f->x.first = true;
    }
    o->used = true;
    return 0;
}

static void reply_hold(struct round *t, struct flight *f)
{
    if (round_has_reply(t, f))
        return;
    if (t->replies == ROUND_REPLIES_MAX) {
        t->more_replies = true;
        t->crowded |= !call_is_certain(f->calls);
        return;
    }
    f->holds++;
    t->reply[t->replies++] = f;
}

static void reply(struct link_table *l, struct flight *f)
{
    struct round *t = l->now;
    struct link_call *c = f->calls;

    l->known = true;
    if (!t)
        return;
    if (c)
        c->moved |= c->thread != t->thread;
    t->foreign |= !c || c->moved;
    t->last_reply = c && !c->moved ? f : NULL;
    t->last = (struct flight_ref){0};
    if (!t->last_reply)
        return;
    if (!l->eof) /* its exchange ends with the last bytes */
        note_waits(c, 1);
    struct flight *parent = call_parent(c);
    if (parent)
        round_cause(t, parent);
    if (parent)
        t->last = flight_ref(parent);
    reply_hold(t, f);
}

void link_response(struct link_table *l, struct flight *f, bool first)
{
    if (f && f->x.upstream)
        reply(l, f);
    else if (f)
        answer(l, f, first);
}

void link_connect(struct link_table *l, struct link_connection *c, int64_t begun_ns, int64_t result)
{
    if (!l->now)
        return;
    if (c->begun_ns) { /* asked again whether it is connected */
        if ((result == 0 || result == -EISCONN) && !c->connected_ns)
            c->connected_ns = l->now_ns;
        return;
    }
    find_candidates(l, &c->openers, c);
    if (c->openers.count == 1 && flight_alive(c->openers.of[0]))
        c->waited_ns = timesheet_waited_ns(c->openers.of[0].flight);
    c->begun_ns = begun_ns;
    c->connected_ns = result == 0 ? l->now_ns : 0;
    c->turn = l->now->number;
}

/* --- the end of exchanges --- */

static void request_over(struct link_table *l, struct flight *f)
{
    if (f->calls)
        settle(l, f);
    if (f->turn) {
        uint32_t proc = f->turn->process->threads > 1 ? f->turn->process->serial : 0;
        f->revocable = proc != 0;
        if (f->turn->process->hands_over) /* what was linked before is withdrawn already */
            f->awaited_ns = 0;
        else if (f->x.upstream_calls && f->complete && upstream_request(l->figures, proc, f->x.route, f->x.upstream_ns) < 0)
            l->short_of_memory = true;
        round_request_over(f->turn);
    }
    f->turn = NULL;
}

/* Whether any of its candidates is in flight. */
static bool has_candidate(const struct link_call *c)
{
    for (unsigned i = 0; i < c->candidates.count; i++)
        if (flight_alive(c->candidates.of[i]))
            return true;
    return false;
}

static void call_over(struct link_table *l, struct flight *f)
{
    struct link_call *c = f->calls;

    if (!c)
        return;
    if (!f->complete) {
        call_drop(l, c);
        return;
    }
    if (f->x.first && upstream_first(l->figures, f->x.route, f->x.connect_ns) < 0)
        l->short_of_memory = true;
    if (call_parent(c))
        adopt(l, call_parent(c), c);
    else if (!c->candidates.count)
        call_unlinked(l, c, c->candidates.unknown ? LINK_ambiguous : LINK_no_request);
    else if (!has_candidate(c))
        call_unlinked(l, c, c->confirmed || !c->candidates.weak ? LINK_refuted : LINK_ambiguous);
    else if (!l->now || !round_has_reply(l->now, f)) /* else the turn may tell */
        call_unlinked(l, c, LINK_ambiguous);
}

void link_over(struct link_table *l, struct flight *f)
{
    f->x.id = f->serial;
    if (f->x.upstream)
        call_over(l, f);
    else
        request_over(l, f);
}

void link_finish(struct link_table *l)
{
    round_end_all(&l->rounds);
    for (struct link_call *c = l->all, *later; c; c = later) {
        struct flight *f = c->flight;
        bool adopted = c->adopted;
        later = c->later;
        if (!f->over)
            continue;
        if (adopted) /* its request is in flight: it goes with all others of that */
            c->candidates.of[c->chosen].flight->calls = NULL;
        call_unlinked(l, c, LINK_ambiguous);
        if (adopted)
            flight_drop(l->pool, f);
    }
}

void link_table_free(struct link_table *l)
{
    if (!l)
        return;
    round_table_reset(&l->rounds);
    for (struct link_call *c; (c = l->unused);) {
        l->unused = c->next;
        free(c);
    }
    for (struct link_call *c; (c = l->all);) {
        l->all = c->later;
        free(c);
    }
    free(l);
}
