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
 *  - the trace begins in the middle of the turn;
 *  - other requests are in flight on the event loop, unless it has shown that it puts off none of its calls until
 *    another request comes (trust.h), as loops do that gather requests into batches.
 * Where the connection was not writable, or events were lost, nothing is known.
 *
 * Backward: whom did an upstream response serve? If its turn had no other cause, not even another response to the same
 * request, and no timer was due, and the thread then writes a response to one of the candidates, that one had waited
 * for it. So it had where all is one straight line, from the request over the calls to the answer, in which the thread
 * asked for nothing else. This also decides among several candidates. Alone it proves nothing: what a background job
 * fetched may be pushed to a request that waits for news (SSE). And nothing on a loop that was seen to answer, not long
 * before, on no grounds that the turn had: it acts upon what it learned in another.
 *
 * Where turns have many causes, their order can still tell on a thread that is done with each descriptor before it
 * reads the next. Such an *orderly* one was seen to answer whom it had read last, of several, TRUST_TIMES times, and
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
 * having been woken for it; and one that puts off a call until another request comes, once in a while.
 *
 * round.c knows the turns, trust.h the habits, cause.c finds the candidates (forward), proof.c what the answer tells of
 * them (backward), upcall.c keeps and decides the calls. Here is what events mean for them.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cause.h"
#include "claim.h"
#include "proof.h"
#include "round.h"
#include "upcall.h"

struct link_table {
    struct upcall_table calls;
    struct round_table rounds;
    struct round *now; /* of the thread whose event is being fed; NULL: of nobody */
    int64_t now_ns;
    uint64_t now_desc;
    bool known; /* what the event read is: a request or a response */
    bool eof;   /* or nothing */
    struct claim before, after; /* whose the stretch before the event may be, and what follows upon it */
};

static void round_over(void *context, struct round *t);

struct link_table *link_table_new(struct flight_pool *pool, struct upstream_table *figures)
{
    struct link_table *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->calls.pool = pool;
    l->calls.figures = figures;
    l->rounds.over = round_over;
    l->rounds.context = l;
    return l;
}

static void round_over(void *context, struct round *t)
{
    struct link_table *l = context;

    for (unsigned i = 0; i < t->replies; i++) {
        struct flight *f = t->reply[i];
        if (f->over && f->calls && !f->calls->adopted)
            upcall_unlinked(&l->calls, f->calls, LINK_ambiguous);
        flight_drop(l->calls.pool, f);
    }
}

/* --- events --- */

int link_event(struct link_table *l, const struct item *item)
{
    const struct event *e = &item->event;

    l->now = NULL;
    l->known = false;
    l->before.kind = l->after.kind = CLAIM_LAST;
    switch (e->type) {
    case EVENT_op:
    case EVENT_gap:
    case EVENT_held: round_note(&l->rounds, item); return 0;
    case EVENT_io:
        l->now_desc = e->u.io.desc;
        l->eof = e->u.io.bytes == 0;
        break;
    case EVENT_desc_open:
    case EVENT_desc_dup:
    case EVENT_wait:
    case EVENT_sock:
    case EVENT_thread_create:
    case EVENT_fork:
    case EVENT_lost: break;
    default: return 0;
    }
    if (!item->proc)
        return 0;
    l->now = round_of(&l->rounds, item);
    l->now_ns = item->time_ns;
    if (!l->now || l->calls.short_of_memory)
        return -1;
    if (l->now->loop && l->now->asks)
        claim_of_turn(&l->before, l->now, l->now_ns);
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
        if (round_read_other(l->now, e, kind) && l->now->loop && l->now->open > 1)
            l->after.kind = CLAIM_NOBODY;
}

const struct claim *link_before(const struct link_table *l) { return &l->before; }
const struct claim *link_after(const struct link_table *l) { return &l->after; }

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

static void answer(struct link_table *l, struct flight *f, bool first)
{
    struct round *t = l->now;

    if (!t || !f->turn)
        return;
    if (f->turn != t) {
        f->moved |= first;
        if (first && !t->process->hands_over) {
            t->process->hands_over = true;
            upstream_withdraw(l->calls.figures, t->process->serial);
        }
        return;
    }
    proof_answered(&l->calls, t, f, first, l->now_ns);
    round_cause(t, f);
}

/* --- upstream --- */

/* at: 0: it begins, 1: its response. */
static void note_waits(struct upcall *c, unsigned at)
{
    for (unsigned i = 0; i < c->candidates.count; i++) {
        const struct flight *f = flight_alive(c->candidates.of[i]);
        if (f)
            c->waited_ns[i][at] = timesheet_waited_ns(f);
    }
}

/* Its connection was opened for nobody else. */
static void note_opening(struct upcall *c, const struct link_connection *o)
{
    const struct flight *opener = o->openers.count == 1 && !o->openers.weak ? flight_alive(o->openers.of[0]) : NULL;
    int i = opener ? candidates_index(&c->candidates, opener) : -1;

    if (i >= 0)
        c->waited_ns[i][0] = o->waited_ns;
}

int link_begin(struct link_table *l, struct flight *f, struct link_connection *o)
{
    if (!f->x.upstream)
        link_request(l, f);
    if (!f->x.upstream || !l->now)
        return 0;
    l->now->asks = true;
    struct upcall *c = upcall_new(&l->calls, f, l->now);
    if (!c)
        return -1;
    cause_find(l->now, o, l->now_ns, &c->candidates);
    claim_of_request(&l->before, c);
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
        t->crowded |= !upcall_is_certain(f->calls);
        return;
    }
    f->holds++;
    t->reply[t->replies++] = f;
}

static void reply(struct link_table *l, struct flight *f)
{
    struct round *t = l->now;
    struct upcall *c = f->calls;

    l->known = true;
    if (!t)
        return;
    if (c)
        c->moved |= c->thread != t->thread;
    t->foreign |= !c || c->moved;
    if (t->loop)
        claim_of_response(&l->after, c);
    t->last_reply = c && !c->moved ? f : NULL;
    t->last = (struct flight_ref){0};
    if (!t->last_reply)
        return;
    if (!l->eof) /* its exchange ends with the last bytes */
        note_waits(c, 1);
    struct flight *parent = upcall_parent(c);
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
    cause_find(l->now, c, l->now_ns, &c->openers);
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
        upcall_settle(&l->calls, f);
    if (f->turn) {
        uint32_t proc = f->turn->process->threads > 1 ? f->turn->process->serial : 0;
        f->revocable = proc != 0;
        if (f->turn->process->hands_over) /* what was linked before is withdrawn already */
            f->awaited_ns = 0;
        else if (f->x.upstream_calls && f->complete &&
                 upstream_request(l->calls.figures, proc, f->x.route, f->x.upstream_ns) < 0)
            l->calls.short_of_memory = true;
        round_request_over(f->turn);
    }
    f->turn = NULL;
}

/* Whether any of its candidates is in flight. */
static bool has_candidate(const struct upcall *c)
{
    for (unsigned i = 0; i < c->candidates.count; i++)
        if (flight_alive(c->candidates.of[i]))
            return true;
    return false;
}

static void call_over(struct link_table *l, struct flight *f)
{
    struct upcall *c = f->calls;

    if (!c)
        return;
    if (!f->complete) {
        upcall_drop(&l->calls, c);
        return;
    }
    if (f->x.first && upstream_first(l->calls.figures, f->x.route, f->x.connect_ns) < 0)
        l->calls.short_of_memory = true;
    if (upcall_parent(c))
        upcall_adopt(&l->calls, upcall_parent(c), c);
    else if (!c->candidates.count)
        upcall_unlinked(&l->calls, c, c->candidates.unknown ? LINK_ambiguous : LINK_no_request);
    else if (!has_candidate(c))
        upcall_unlinked(&l->calls, c, c->confirmed || !c->candidates.weak ? LINK_refuted : LINK_ambiguous);
    else if (!l->now || !round_has_reply(l->now, f)) /* else the turn may tell */
        upcall_unlinked(&l->calls, c, LINK_ambiguous);
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
    upcall_finish(&l->calls);
}

void link_table_free(struct link_table *l)
{
    if (!l)
        return;
    round_table_reset(&l->rounds);
    upcall_table_reset(&l->calls);
    free(l);
}
