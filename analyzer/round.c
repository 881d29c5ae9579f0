/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wait with a timeout other than 0 ends a turn, as a loop that had anything left to do would not have allowed itself
 * to block. A wait for one descriptor alone ends none: the thread cannot have done anything else meanwhile.
 *
 * Timers: a loop computes its timeout from when the next timer is due and from its clock, which it may have read as
 * early as when the wait before ended. Loops that count milliseconds may be early by two.
 */
#include "round.h"

#include <stdlib.h>
#include <string.h>

#define TIMER_SLACK_NS 2000000
#define TIMEOUT_MAX_NS INT64_C(1000000000000000)
#define CACHED (sizeof((struct round_table *)0)->cache / sizeof(struct round *))
#define OPS_MAX sizeof((struct round_table *)0)->is_poll

/* --- turns --- */

static void end(struct round_table *table, struct round *t)
{
    table->over(table->context, t);
    t->causes = t->replies = t->reads = 0;
    t->crowded = t->foreign = t->hung_up = t->condition = t->hidden = t->polled = t->more_replies = false;
    t->ready = t->accepted = 0;
    t->asked_fd = EVENT_UNKNOWN;
    t->last = (struct flight_ref){0};
    t->last_reply = NULL;
    t->number++;
}

void round_end_all(struct round_table *table)
{
    for (size_t i = 0; i < table->rounds.capacity; i++)
        if (table->rounds.slots[i].value)
            end(table, table->rounds.slots[i].value);
}

void round_cause(struct round *t, struct flight *f)
{
    if (f->turn == t && f->cause_turn == t->number)
        return;
    f->cause_turn = t->number;
    if (t->causes == ROUND_CAUSES_MAX)
        t->crowded = true;
    else
        t->cause[t->causes++] = flight_ref(f);
}

bool round_has_reply(const struct round *t, const struct flight *f)
{
    for (unsigned i = 0; i < t->replies; i++)
        if (t->reply[i] == f)
            return true;
    return false;
}

/* --- waits --- */

static void note_timeout(struct round *t, uint64_t timeout_ns)
{
    for (unsigned i = 0; i < t->timeouts && i < ROUND_TIMEOUTS; i++)
        if (t->timeout_ns[i] == timeout_ns)
            return;
    if (t->timeouts < ROUND_TIMEOUTS)
        t->timeout_ns[t->timeouts] = timeout_ns;
    t->timeouts += t->timeouts <= ROUND_TIMEOUTS;
}

static int64_t next_timer(struct round *t, int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return INT64_MAX;
    note_timeout(t, (uint64_t)timeout_ns);
    return t->timeouts > ROUND_TIMEOUTS && t->near_ns != INT64_MAX ? t->near_ns : INT64_MIN;
}

static int64_t near(int64_t before_ns, int64_t timeout_ns)
{
    bool known = timeout_ns >= 0 && timeout_ns < TIMEOUT_MAX_NS && before_ns != INT64_MIN;

    return known ? before_ns + timeout_ns - TIMER_SLACK_NS : INT64_MAX;
}

static void wait_for_several(struct round_table *table, struct round *t, const struct item *item)
{
    int64_t before_ns = t->waited_ns, timeout_ns = (int64_t)item->event.u.wait.timeout;
    int64_t ready = (int64_t)item->event.u.wait.ready;

    t->process->loops += !t->loop;
    t->loop = true;
    t->waited_ns = item->time_ns;
    t->hidden |= t->ready > t->reads;
    t->polled = true;
    if (timeout_ns != 0) {
        end(table, t);
        t->unseen = false;
        t->near_ns = near(before_ns, timeout_ns);
        t->timer_ns = next_timer(t, timeout_ns);
    }
    t->ready = ready > 0 ? (uint64_t)ready : 0;
    t->reads = 0;
}

void round_wait(struct round_table *table, struct round *t, const struct item *item)
{
    const struct event_wait *e = &item->event.u.wait;
    bool single = e->op < OPS_MAX && table->is_poll[e->op] && (int64_t)e->fd >= 0;

    if (single)
        t->asked_fd = e->fd;
    else if (event_awaits_work(&item->event))
        wait_for_several(table, t, item);
    t->condition |= e->what == WAIT_condition;
}

/* --- reads --- */

void round_read(struct round *t, uint64_t desc, uint64_t fd)
{
    if (fd == t->asked_fd || t->reads == ROUND_READS_MAX)
        return;
    for (unsigned i = 0; i < t->reads; i++)
        if (t->read[i] == desc)
            return;
    t->read[t->reads++] = desc;
}

void round_accept(struct round *t, uint64_t desc)
{
    t->unseen = false;
    t->foreign |= t->accepted != 0;
    t->accepted = desc;
}

/* Files have nothing to tell. The end of a connection belongs to the response read from it just now. */
bool round_read_other(struct round *t, const struct event_io *e, enum desc_kind kind)
{
    bool message = kind == KIND_tcp || kind == KIND_unix || kind == KIND_udp || kind == KIND_netlink;

    if (kind == KIND_file || kind == KIND_directory || kind == KIND_device || kind == KIND_memfd)
        return false;
    t->condition |= !message; /* such as the eventfd of a queue */
    if (message && e->fd == t->asked_fd)
        return false;
    if (message && e->bytes == 0) {
        t->hung_up = true;
        if (t->reads && t->read[t->reads - 1] == e->desc)
            return true;
    }
    t->foreign = true;
    t->last = (struct flight_ref){0};
    t->last_reply = NULL;
    return true;
}

void round_begin(struct round_table *table, struct round *t)
{
    if (!t->loop && !t->open)
        end(table, t);
    t->open++;
}

void round_request_over(struct round *t)
{
    t->open--;
    t->unseen = false;
    if (t->ended && !t->open)
        free(t);
}

/* --- threads --- */

void round_thread_end(struct round_table *table, uint32_t thread)
{
    struct round *t = keymap_get(&table->rounds, thread);

    if (!t)
        return;
    end(table, t);
    keymap_remove(&table->rounds, thread);
    table->cache[thread % CACHED] = NULL;
    t->ended = true;
    if (!t->open)
        free(t);
}

static struct round_process *process_of(struct round_table *table, uint32_t serial)
{
    struct round_process *p = keymap_get(&table->processes, serial);

    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (p && keymap_put(&table->processes, serial, p) < 0) {
        free(p);
        return NULL;
    }
    if (p)
        p->serial = serial;
    return p;
}

static struct round *round_make(struct round_table *table, const struct item *item)
{
    struct round_process *p = process_of(table, item->proc);
    struct round *t = p ? calloc(1, sizeof *t) : NULL;

    if (t && keymap_put(&table->rounds, item->thread, t) < 0) {
        free(t);
        t = NULL;
    }
    if (!t)
        return NULL;
    t->process = p;
    t->thread = item->thread;
    t->waited_ns = t->timer_ns = INT64_MIN;
    t->near_ns = INT64_MAX;
    t->unseen = table->trimmed;
    t->number = 1;
    t->asked_fd = EVENT_UNKNOWN;
    p->threads++;
    return t;
}

struct round *round_of(struct round_table *table, const struct item *item)
{
    struct round **cached = &table->cache[item->thread % CACHED];

    if (*cached && (*cached)->thread == item->thread)
        return *cached;
    struct round *t = keymap_get(&table->rounds, item->thread);
    if (!t)
        t = round_make(table, item);
    return *cached = t;
}

/* --- the table --- */

static void note_op(struct round_table *table, const struct event *e)
{
    static const char *const polls[] = {"poll", "ppoll", "__poll", "__poll_chk", "__ppoll_chk"};

    for (size_t i = 0; e->u.op.op < OPS_MAX && i < sizeof polls / sizeof *polls; i++)
        if (strlen(polls[i]) == e->data_bytes && memcmp(polls[i], e->data, e->data_bytes) == 0)
            table->is_poll[e->u.op.op] = true;
}

void round_note(struct round_table *table, const struct item *item)
{
    if (item->event.type == EVENT_op)
        note_op(table, &item->event);
    table->trimmed |= item->event.type == EVENT_held;
    /* nobody knows whose the events in a gap were */
    for (size_t i = 0; item->event.type == EVENT_gap && i < table->rounds.capacity; i++)
        if (table->rounds.slots[i].value)
            ((struct round *)table->rounds.slots[i].value)->crowded = true;
}

void round_table_reset(struct round_table *table)
{
    round_end_all(table);
    for (size_t i = 0; i < table->rounds.capacity; i++)
        free(table->rounds.slots[i].value);
    for (size_t i = 0; i < table->processes.capacity; i++)
        free(table->processes.slots[i].value);
    keymap_reset(&table->rounds);
    keymap_reset(&table->processes);
}
