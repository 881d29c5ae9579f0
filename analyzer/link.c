/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread does one thing after another, so what it does has causes among what it learned before. A *turn* is what a thread
 * does between two moments at which nothing is left to do: an event loop's between two waits for several descriptors
 * that may block (a loop that still has work asks with a timeout of 0, which ends no turn); elsewhere from the read of
 * a request, when no other is in flight on the thread, to the next such read. The turn's *causes* are the requests it read,
 * and those whose upstream responses it read.
 *
 * Forward: who caused an upstream request? Its candidates are the turn's causes that are in flight when it is written. On a
 * connection's first request, so is who caused connect(), as connecting goes on past the turn. None: no request of this thread,
 * not linked. One is a proof, if nothing else can have been the cause. It is *weak*, and needs the second proof, where
 *  - a timer may be due (a background job, a health check). A wait's timeout says when the next one is, if the loop computes it
 *    (its timeouts vary); -1: there is none. A loop whose timeouts are a few constants may look at its clock in any turn;
 *  - the turn read anything that is no request or response (an eventfd, DNS, a protocol not known, the end of a connection after
 *    which a client may reconnect), accepted a connection that has not sent its request yet, or waited for a condition;
 *  - a request that was in the turn is over: it may have left work behind;
 *  - an upstream response was read, or a connection opened, and other requests are in flight on the thread: one of them may have
 *    waited for a free connection or for a semaphore;
 *  - several threads of the process are event loops: these give each other work, and one that is awake needs no waking for it;
 *  - the trace begins in the middle of the turn, or lost events in it (then there are no candidates either).
 *
 * Backward: whom did an upstream response serve? If its turn had no other cause, and no timer was due, and the thread then writes
 * a response to one of the candidates, that one had waited for it. This also decides among several candidates. Alone it proves
 * nothing: what a background job fetched may be pushed to a request that waits for news (SSE).
 *
 * A proof is taken back
 *  - if the upstream exchange does not lie within its request's time, from `in` to `done`: what goes on after the answer, or was
 *    linked to an earlier request (a stale parent). If its turn served another request, and not its own. These are *refuted*, and
 *    counted: a measured rate of error of the forward proof;
 *  - if threads hand work over. Where one thread pushes requests to a queue and takes others' from it, what it does next is not
 *    its request's: no wait need tell. It shows in a request that one thread read and another began to answer; then all links
 *    of that process are withdrawn, and none made any more. A response read by another thread than the one that wrote the
 *    request withdraws that link.
 *
 * What remains: a loop of one thread that computes its timeouts and does the work of another thread in a turn without having been
 * woken for it.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "keymap.h"

#define CAUSES_MAX 16    /* of a turn with more, no candidates are known */
#define CANDIDATES_MAX 4 /* nor of an upstream request with more */
#define REPLIES_MAX 16
#define TIMEOUTS_CONST 8       /* a loop that knows no more timeouts than these may not have computed them */
#define TIMER_SLACK_NS 2000000 /* loops count milliseconds */
#define TIMEOUT_MAX_NS INT64_C(1000000000000000)
#define CACHED 64
#define OPS_MAX 4096
#define NO_FD EVENT_UNKNOWN

struct link_process {
    uint32_t serial, workers, loops;
    bool hands_over;
};

struct link_worker {
    struct link_process *process;
    uint32_t thread;
    uint64_t open;  /* requests that it read and that are in flight */
    bool ended;
    bool loop;      /* it has waited for several descriptors */
    bool unseen;    /* the trace may begin in the middle of its turn */
    uint64_t timeout_ns[TIMEOUTS_CONST];
    unsigned timeouts;     /* more than TIMEOUTS_CONST: they are computed */
    int64_t waited_ns;     /* when its last wait ended; INT64_MIN: none was seen */
    int64_t timer_ns;      /* no timer is due before; INT64_MIN: not known */
    /* the turn */
    bool foreign, condition, reply_read;
    bool crowded;          /* the causes are not all known */
    uint64_t accepted;     /* the connection that it accepted and did not read yet */
    uint64_t asked_fd;     /* the descriptor that it waited for last, alone; or NO_FD */
    struct flight_ref cause[CAUSES_MAX];
    struct flight *reply[REPLIES_MAX]; /* upstream exchanges of which it read; held */
    unsigned causes, replies;
};

struct link_call {
    struct link_call *next;           /* of its request's, or unused */
    struct link_call *later, **place; /* in the list of all */
    struct flight *flight;
    uint32_t thread;
    struct flight_ref candidate[CANDIDATES_MAX];
    uint8_t candidates;
    bool weak, confirmed, doubted;
    bool moved;   /* another thread read the response */
    bool adopted; /* in the list of its request, and held */
    enum link_state why; /* there are no candidates */
};

struct link_table {
    struct flight_pool *pool;
    struct upstream_table *figures;
    struct keymap workers, processes;
    struct link_worker *cache[CACHED]; /* by thread */
    struct link_call *unused, *all;
    struct link_worker *now; /* whose event is being fed; NULL: of nobody */
    int64_t now_ns;
    uint64_t now_desc;
    bool known;   /* what the event read is known: a request or a response */
    bool trimmed; /* the detail begins in the middle of the run */
    bool short_of_memory;
    bool is_poll[OPS_MAX]; /* the call waits for the descriptor that its event names, alone */
};

struct link_table *link_table_new(struct flight_pool *pool, struct upstream_table *figures)
{
    struct link_table *l = calloc(1, sizeof *l);

    if (l) {
        l->pool = pool;
        l->figures = figures;
    }
    return l;
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
    *c = (struct link_call){.flight = f, .thread = l->now->thread, .later = l->all, .place = &l->all};
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

/* The only candidate, if it is in flight. */
static struct flight *call_parent(const struct link_call *c)
{
    return c->candidates == 1 ? flight_alive(c->candidate[0]) : NULL;
}

static bool call_is_for(const struct link_call *c, const struct flight *f)
{
    for (unsigned i = 0; i < c->candidates; i++)
        if (flight_is(c->candidate[i], f))
            return true;
    return false;
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
    if (c->moved || parent->moved || !parent->worker || parent->worker->process->hands_over)
        return LINK_handed_over;
    return c->weak && !c->confirmed ? LINK_ambiguous : LINK_linked;
}

/* --- requests and their calls --- */

static int by_begin(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The time that the intervals cover, [begin, end] pairs, after *until, which becomes where the last ends. */
static int64_t covered(int64_t (*interval)[2], unsigned n, int64_t *until_ns)
{
    int64_t sum = 0, until = *until_ns;

    qsort(interval, n, sizeof *interval, by_begin);
    for (unsigned i = 0; i < n; i++) {
        int64_t from = interval[i][0] > until ? interval[i][0] : until;
        if (interval[i][1] > from)
            sum += interval[i][1] - from;
        if (interval[i][1] > until)
            until = interval[i][1];
    }
    *until_ns = until;
    return sum;
}

/* Decides the calls of a request that have ended. `parent` is over, or has too many of them. */
static void settle(struct link_table *l, struct flight *parent)
{
    uint32_t proc = parent->worker && parent->worker->process->workers > 1 ? parent->worker->process->serial : 0;
    int64_t interval[LINK_CALLS_MAX][2];
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
    if (parent->over && parent->x.upstream_calls &&
        upstream_request(l->figures, proc, parent->x.route, parent->x.upstream_ns) < 0)
        l->short_of_memory = true;
}

/* The exchange is over; its request, which is in flight, will decide. */
static void adopt(struct link_table *l, struct flight *parent, struct link_call *c)
{
    if (parent->linked_calls == LINK_CALLS_MAX)
        settle(l, parent);
    parent->linked_calls++;
    c->adopted = true;
    c->flight->holds++;
    c->next = parent->calls;
    parent->calls = c;
}

/* --- turns --- */

static void turn_end(struct link_table *l, struct link_worker *w)
{
    for (unsigned i = 0; i < w->replies; i++) {
        struct flight *f = w->reply[i];
        if (f->over && f->calls && !f->calls->adopted)
            call_unlinked(l, f->calls, LINK_ambiguous);
        flight_drop(l->pool, f);
    }
    w->causes = w->replies = 0;
    w->foreign = w->condition = w->reply_read = w->crowded = false;
    w->accepted = 0;
    w->asked_fd = NO_FD;
}

static void cause_add(struct link_worker *w, struct flight *f)
{
    for (unsigned i = 0; i < w->causes; i++)
        if (flight_is(w->cause[i], f))
            return;
    if (w->causes == CAUSES_MAX)
        w->crowded = true;
    else
        w->cause[w->causes++] = flight_ref(f);
}

static bool reply_known(const struct link_worker *w, const struct flight *f)
{
    for (unsigned i = 0; i < w->replies; i++)
        if (w->reply[i] == f)
            return true;
    return false;
}

static bool computes_timeouts(const struct link_worker *w) { return w->timeouts > TIMEOUTS_CONST; }

static void timeout_note(struct link_worker *w, uint64_t timeout_ns)
{
    for (unsigned i = 0; i < w->timeouts && i < TIMEOUTS_CONST; i++)
        if (w->timeout_ns[i] == timeout_ns)
            return;
    if (w->timeouts < TIMEOUTS_CONST)
        w->timeout_ns[w->timeouts] = timeout_ns;
    w->timeouts += w->timeouts <= TIMEOUTS_CONST;
}

/* A wait for several descriptors has ended. Loops read their clock at the end of a wait, so the time that the timeout was computed
 * from may be as old as the wait before. */
static void loop_waited(struct link_table *l, struct link_worker *w, int64_t timeout_ns)
{
    int64_t before_ns = w->waited_ns;

    w->process->loops += !w->loop;
    w->loop = true;
    w->waited_ns = l->now_ns;
    if (timeout_ns == 0)
        return;
    turn_end(l, w);
    w->unseen = false;
    if (timeout_ns < 0) {
        w->timer_ns = INT64_MAX;
        return;
    }
    timeout_note(w, (uint64_t)timeout_ns);
    bool known = computes_timeouts(w) && before_ns != INT64_MIN && timeout_ns < TIMEOUT_MAX_NS;
    w->timer_ns = known ? before_ns + timeout_ns - TIMER_SLACK_NS : INT64_MIN;
}

static void feed_wait(struct link_table *l, const struct item *item)
{
    const struct event_wait *e = &item->event.u.wait;
    bool single = e->op < OPS_MAX && l->is_poll[e->op] && (int64_t)e->fd >= 0;

    if (single)
        l->now->asked_fd = e->fd;
    else if (event_awaits_work(&item->event))
        loop_waited(l, l->now, (int64_t)e->timeout);
    l->now->condition |= e->what == WAIT_condition;
}

static void feed_accepted(struct link_worker *w, uint64_t desc)
{
    w->unseen = false;
    w->foreign |= w->accepted != 0;
    w->accepted = desc;
}

/* --- threads --- */

static void worker_free(struct link_table *l, struct link_worker *w)
{
    if (l->cache[w->thread % CACHED] == w)
        l->cache[w->thread % CACHED] = NULL;
    free(w);
}

void link_thread_end(struct link_table *l, uint32_t thread)
{
    struct link_worker *w = keymap_get(&l->workers, thread);

    if (!w)
        return;
    turn_end(l, w);
    keymap_remove(&l->workers, thread);
    l->cache[thread % CACHED] = NULL;
    if (l->now == w)
        l->now = NULL;
    w->ended = true;
    if (!w->open)
        worker_free(l, w);
}

static struct link_process *process_of(struct link_table *l, uint32_t serial)
{
    struct link_process *p = keymap_get(&l->processes, serial);

    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (p && keymap_put(&l->processes, serial, p) < 0) {
        free(p);
        return NULL;
    }
    if (p)
        p->serial = serial;
    return p;
}

static struct link_worker *worker_make(struct link_table *l, const struct item *item)
{
    struct link_process *p = process_of(l, item->proc);
    struct link_worker *w = p ? calloc(1, sizeof *w) : NULL;

    if (w && keymap_put(&l->workers, item->thread, w) < 0) {
        free(w);
        w = NULL;
    }
    if (!w)
        return NULL;
    w->process = p;
    w->thread = item->thread;
    w->waited_ns = w->timer_ns = INT64_MIN;
    w->unseen = l->trimmed;
    w->asked_fd = NO_FD;
    p->workers++;
    return w;
}

static struct link_worker *worker_of(struct link_table *l, const struct item *item)
{
    struct link_worker **cached = &l->cache[item->thread % CACHED];

    if (*cached && (*cached)->thread == item->thread)
        return *cached;
    struct link_worker *w = keymap_get(&l->workers, item->thread);
    if (!w)
        w = worker_make(l, item);
    return *cached = w;
}

/* --- events --- */

static void feed_op(struct link_table *l, const struct event *e)
{
    static const char *const polls[] = {"poll", "ppoll", "__poll", "__poll_chk", "__ppoll_chk"};

    for (size_t i = 0; e->u.op.op < OPS_MAX && i < sizeof polls / sizeof *polls; i++)
        if (strlen(polls[i]) == e->data_bytes && memcmp(polls[i], e->data, e->data_bytes) == 0)
            l->is_poll[e->u.op.op] = true;
}

/* Nobody knows whose events they were. */
static void feed_gap(struct link_table *l)
{
    for (size_t i = 0; i < l->workers.capacity; i++)
        if (l->workers.slots[i].value)
            ((struct link_worker *)l->workers.slots[i].value)->crowded = true;
}

int link_event(struct link_table *l, const struct item *item)
{
    const struct event *e = &item->event;

    l->now = NULL;
    l->known = false;
    switch (e->type) {
    case EVENT_op: feed_op(l, e); return 0;
    case EVENT_gap: feed_gap(l); return 0;
    case EVENT_held: l->trimmed = true; return 0;
    case EVENT_io: l->now_desc = e->u.io.desc; break;
    case EVENT_desc_open: l->now_desc = e->u.desc_open.desc; break;
    case EVENT_wait:
    case EVENT_sock:
    case EVENT_lost: break;
    default: return 0;
    }
    if (!item->proc)
        return 0;
    l->now = worker_of(l, item);
    l->now_ns = item->time_ns;
    if (!l->now)
        return -1;
    if (e->type == EVENT_wait)
        feed_wait(l, item);
    else if (e->type == EVENT_desc_open && e->u.desc_open.from)
        feed_accepted(l->now, l->now_desc);
    else if (e->type == EVENT_lost && e->u.lost.events)
        l->now->crowded = true;
    return 0;
}

/* Of all reads that may have something to tell, those of requests and responses are known; files have nothing to tell. */
void link_io_end(struct link_table *l, const struct event_io *e, enum desc_kind kind)
{
    bool tells = e->dir == 0 && (int64_t)e->bytes >= 0 && !(e->flags & (IO_PEEK | IO_POSITIONED)) && kind != KIND_file &&
                 kind != KIND_directory && kind != KIND_device && kind != KIND_memfd;

    bool message = kind == KIND_tcp || kind == KIND_unix || kind == KIND_udp || kind == KIND_netlink;

    if (!l->now || !tells || l->known)
        return;
    l->now->foreign |= !message || e->fd != l->now->asked_fd;
    l->now->condition |= !message; /* such as the eventfd of a queue */
}

/* --- requests --- */

void link_request(struct link_table *l, struct flight *f)
{
    struct link_worker *w = l->now;

    if (!f || f->x.upstream)
        return;
    l->known = true;
    if (!w)
        return;
    if (!f->worker) {
        if (!w->loop && !w->open)
            turn_end(l, w);
        f->worker = w;
        f->covered_until_ns = f->x.in_ns;
        w->open++;
    } else if (f->worker != w) {
        f->moved = true;
    }
    if (w->accepted == l->now_desc)
        w->accepted = 0;
    cause_add(w, f);
}

static void hands_over(struct link_table *l, struct link_process *p)
{
    if (p->hands_over)
        return;
    p->hands_over = true;
    upstream_withdraw(l->figures, p->serial);
}

/* Whether a timer is due. Where nobody knows, it would have to be one that answers in the very turn in which that upstream
 * response comes. */
static bool timer_due(const struct link_table *l, const struct link_worker *w)
{
    return w->loop && w->timer_ns != INT64_MIN && w->timer_ns <= l->now_ns;
}

/* Whether nothing in the turn can have caused that f is answered but f's own request, and upstream exchanges of which it is the
 * only candidate. But for `besides`, of which it is one of the candidates. */
static bool only_cause(const struct link_worker *w, const struct flight *f, const struct link_call *besides)
{
    for (unsigned i = 0; i < w->causes; i++)
        if (!flight_is(w->cause[i], f))
            return false;
    for (unsigned i = 0; i < w->replies; i++) {
        const struct link_call *c = w->reply[i]->calls;
        if (c != besides && !(c && c->candidates == 1 && flight_is(c->candidate[0], f)))
            return false;
    }
    return true;
}

/* The turn read the response to c, and now f is answered. */
static void served(struct link_table *l, struct link_call *c, struct flight *f, bool clean)
{
    struct link_worker *w = l->now;

    if (!call_is_for(c, f)) {
        if (w->replies == 1 && w->causes <= 1 && c->candidates == 1)
            c->doubted = !c->confirmed;
        return;
    }
    if (!clean || !only_cause(w, f, c))
        return;
    bool decides = c->candidates > 1;
    c->confirmed = true;
    c->doubted = false;
    c->candidate[0] = flight_ref(f);
    c->candidates = 1;
    if (decides && c->flight->over && !c->adopted)
        adopt(l, f, c);
}

static void answer(struct link_table *l, struct flight *f, bool first)
{
    struct link_worker *w = l->now;

    if (!w || !f->worker)
        return;
    if (f->worker != w) {
        f->moved |= first;
        if (first)
            hands_over(l, w->process);
        return;
    }
    bool clean = !w->crowded && !w->foreign && !w->accepted && !timer_due(l, w);
    for (unsigned i = 0; i < w->replies; i++)
        if (w->reply[i]->calls)
            served(l, w->reply[i]->calls, f, clean);
}

/* --- upstream --- */

static void candidate_add(struct link_call *c, struct flight *f)
{
    if (call_is_for(c, f))
        return;
    if (c->candidates == CANDIDATES_MAX)
        c->why = LINK_ambiguous;
    else
        c->candidate[c->candidates++] = flight_ref(f);
}

/* Whether something else can have caused what the turn writes upstream now. */
static bool is_weak(const struct link_table *l, const struct link_worker *w, unsigned candidates, bool opened)
{
    bool others = w->open > candidates;

    if (w->unseen || ((w->reply_read || opened) && others))
        return true;
    if (!w->loop)
        return w->condition;
    return w->foreign || w->accepted || w->timer_ns <= l->now_ns || w->process->loops > 1;
}

/* A response whose request is not certain: what it causes is not certain either. */
static bool has_uncertain_reply(const struct link_worker *w)
{
    for (unsigned i = 0; i < w->replies; i++) {
        const struct link_call *c = w->reply[i]->calls;
        if (!c || c->candidates != 1 || (c->weak && !c->confirmed))
            return true;
    }
    return false;
}

static void find_candidates(struct link_table *l, struct link_call *c, const struct link_opening *opening)
{
    struct link_worker *w = l->now;
    struct flight *opener = opening ? flight_alive(opening->opener) : NULL;

    c->why = w->crowded ? LINK_ambiguous : LINK_no_request;
    for (unsigned i = 0; i < w->causes && !w->crowded; i++) {
        struct flight *f = flight_alive(w->cause[i]);
        if (f)
            candidate_add(c, f);
        else
            c->weak = true;
    }
    if (opener && !w->crowded)
        candidate_add(c, opener);
    if (c->why == LINK_ambiguous)
        c->candidates = 0;
    c->weak |= is_weak(l, w, c->candidates, opener != NULL) || has_uncertain_reply(w) || (opener && opening->weak);
}

/* Where connecting went on in the background it was done by then, at the latest. */
static void first_on_connection(struct flight *f, const struct link_opening *o)
{
    f->x.connect_ns = !o->begun_ns ? -1 : (o->connected_ns ? o->connected_ns : f->x.in_ns) - o->begun_ns;
    f->x.first = true;
}

int link_begin(struct link_table *l, struct flight *f, struct link_opening *opening)
{
    if (!f->x.upstream)
        link_request(l, f);
    if (!f->x.upstream || !l->now)
        return 0;
    struct link_call *c = call_new(l, f);
    if (!c)
        return -1;
    find_candidates(l, c, opening->used ? NULL : opening);
    if (!opening->used)
        first_on_connection(f, opening);
    opening->used = true;
    return 0;
}

static void reply(struct link_table *l, struct flight *f)
{
    struct link_worker *w = l->now;
    struct link_call *c = f->calls;

    l->known = true;
    if (!w)
        return;
    w->reply_read = true;
    if (c)
        c->moved |= c->thread != w->thread;
    if (!c || c->moved) {
        w->foreign = true;
        return;
    }
    if (call_parent(c))
        cause_add(w, call_parent(c));
    if (reply_known(w, f))
        return;
    if (w->replies == REPLIES_MAX) {
        w->crowded = true;
        return;
    }
    f->holds++;
    w->reply[w->replies++] = f;
}

void link_response(struct link_table *l, struct flight *f, bool first)
{
    if (f && f->x.upstream)
        reply(l, f);
    else if (f)
        answer(l, f, first);
}

/* What the turn writes first on the connection may be much later: who opened it is who may. */
void link_connect(struct link_table *l, struct link_opening *o, int64_t begun_ns, int64_t result)
{
    struct link_call probe = {0};

    if (!l->now)
        return;
    if (o->begun_ns) { /* asked again whether it is connected */
        if ((result == 0 || result == -EISCONN) && !o->connected_ns)
            o->connected_ns = l->now_ns;
        return;
    }
    o->begun_ns = begun_ns;
    o->connected_ns = result == 0 ? l->now_ns : 0;
    find_candidates(l, &probe, NULL);
    o->weak = probe.weak;
    if (probe.candidates == 1)
        o->opener = probe.candidate[0];
}

/* --- the end of exchanges --- */

static void request_over(struct link_table *l, struct flight *f)
{
    struct link_worker *w = f->worker;

    if (f->calls)
        settle(l, f);
    if (!w)
        return;
    f->worker = NULL;
    w->open--;
    w->unseen = false;
    if (w->ended && !w->open)
        free(w);
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
    struct flight *parent = call_parent(c);
    if (parent)
        adopt(l, parent, c);
    else if (c->candidates == 1)
        call_unlinked(l, c, c->weak && !c->confirmed ? LINK_ambiguous : LINK_refuted);
    else if (!c->candidates)
        call_unlinked(l, c, c->why);
    else if (!l->now || !reply_known(l->now, f))
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
    for (size_t i = 0; i < l->workers.capacity; i++)
        if (l->workers.slots[i].value)
            turn_end(l, l->workers.slots[i].value);
    for (struct link_call *c = l->all, *later; c; c = later) {
        struct flight *f = c->flight;
        bool adopted = c->adopted;
        later = c->later;
        if (!f->over)
            continue;
        if (adopted)
            c->candidate[0].flight->calls = NULL;
        call_unlinked(l, c, LINK_ambiguous);
        if (adopted)
            flight_drop(l->pool, f);
    }
}

void link_table_free(struct link_table *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->workers.capacity; i++) {
        struct link_worker *w = l->workers.slots[i].value;
        if (!w)
            continue;
        turn_end(l, w);
        free(w);
    }
    for (size_t i = 0; i < l->processes.capacity; i++)
        free(l->processes.slots[i].value);
    keymap_reset(&l->workers);
    keymap_reset(&l->processes);
    while (l->unused) {
        struct link_call *c = l->unused;
        l->unused = c->next;
        free(c);
    }
    while (l->all) {
        struct link_call *c = l->all;
        l->all = c->later;
        free(c);
    }
    free(l);
}
