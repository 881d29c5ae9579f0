/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread has learned since it last had nothing left to do, and so what can have caused what it does now (the
 * head of link.c says what a turn and its causes are).
 *
 * Memory: one record for each thread and process of the trace.
 */
#ifndef PERFSHIM_ROUND_H
#define PERFSHIM_ROUND_H

#include "flight.h"
#include "keymap.h"
#include "merge.h"
#include "trust.h"

#define ROUND_CAUSES_MAX 16  /* of a turn with more, the causes are not known */
#define ROUND_REPLIES_MAX 16 /* nor with more of these */
#define ROUND_READS_MAX 16
#define ROUND_TIMEOUTS 8     /* a loop that knows no more timeouts than these may not have computed them */

struct round_process {
    uint32_t serial, threads, loops;
    bool hands_over; /* one of its threads began to answer what another had read */
};

struct round {
    struct round_process *process;
    uint32_t thread;
    bool ended;      /* the thread has */
    bool loop;       /* it has waited for several descriptors */
    bool asks;       /* it has asked others: it may be at a request because of what it read of them */
    bool unseen;     /* the trace may begin in the middle of this turn */
    uint64_t number; /* from 1 */
    uint64_t open;   /* requests that it read and that are in flight */
    uint64_t timeout_ns[ROUND_TIMEOUTS];
    unsigned timeouts; /* seen; more than ROUND_TIMEOUTS: they are computed */
    int64_t waited_ns; /* when its last wait ended; INT64_MIN: none was seen */
    int64_t timer_ns;  /* no timer is due before; INT64_MIN: not known */
    int64_t near_ns;   /* the same, if it asked with the time until the next one */
    struct trust trust;

    struct flight_ref cause[ROUND_CAUSES_MAX];  /* requests that it read, or whose upstream responses it read */
    struct flight *reply[ROUND_REPLIES_MAX];    /* upstream exchanges of which it read; held. More only if certain */
    unsigned causes, replies;
    bool more_replies;     /* than these */
    bool crowded;          /* the causes are not all known */
    bool foreign, hung_up; /* it read something that is no request or response; the end of a stream */
    bool condition;        /* it waited for what another thread tells */
    bool hidden;           /* the waits told of more descriptors than were read */
    bool polled;           /* it asked for descriptors on the way, without blocking */
    uint64_t ready;        /* descriptors that the last wait told of, */
    uint64_t read[ROUND_READS_MAX]; /* and those that were read since */
    unsigned reads;
    uint64_t accepted;     /* the connection that it accepted and did not read yet */
    uint64_t asked_fd;     /* the descriptor that it waited for last, alone; or EVENT_UNKNOWN */
    struct flight_ref last;     /* whose work the last read was; none: several may be */
    struct flight *last_reply;  /* the last read was of this upstream exchange */
};

struct round_table {
    struct keymap rounds, processes; /* by thread, by process */
    struct round *cache[64];         /* by thread */
    void (*over)(void *context, struct round *t); /* a turn ends: before its causes are forgotten */
    void *context;
    bool trimmed;       /* the detail begins in the middle of the run */
    bool is_poll[4096]; /* of intercepted calls: their events name the one descriptor that was waited for */
};

void round_table_reset(struct round_table *t); /* ends all turns, and frees what it holds */
void round_end_all(struct round_table *t);

/* What the whole table has to know: op, gap, held. */
void round_note(struct round_table *t, const struct item *item);

/* The turn of the item's thread. NULL if memory is short. */
struct round *round_of(struct round_table *t, const struct item *item);
void round_thread_end(struct round_table *t, uint32_t thread);

/* The thread has waited, accepted a connection, lost events, read from a descriptor of a kind that is no known
 * protocol's (bytes 0: the end of it): whether that may have told it of anything. */
void round_wait(struct round_table *table, struct round *t, const struct item *item);
void round_accept(struct round *t, uint64_t desc);
bool round_read_other(struct round *t, const struct event_io *e, enum desc_kind kind);
void round_read(struct round *t, uint64_t desc, uint64_t fd); /* any descriptor: the wait may have told of it */

/* A request begins that this thread reads; it is over. */
void round_begin(struct round_table *table, struct round *t);
void round_request_over(struct round *t);

void round_cause(struct round *t, struct flight *f);
bool round_has_reply(const struct round *t, const struct flight *f);

/* Whether a timer may be due; whether one is due as far as is known. */
static inline bool round_timer_may(const struct round *t, int64_t now_ns) { return t->loop && t->timer_ns <= now_ns; }
static inline bool round_timer_due(const struct round *t, int64_t now_ns)
{
    return round_timer_may(t, now_ns) && t->timer_ns != INT64_MIN;
}

/* Whether one may be due if the loop asks with the time until the next one, always. */
static inline bool round_timer_near(const struct round *t, int64_t now_ns) { return t->near_ns <= now_ns; }

/* Whether some descriptor that was not read may have woken the thread; `explained` are known besides. */
static inline bool round_is_hidden(const struct round *t, unsigned explained)
{
    return t->hidden || t->ready > t->reads + explained;
}

#endif
