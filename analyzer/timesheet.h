/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose time a thread's time was: the split of each exchange that it serves.
 *
 * A served exchange is at any moment with one thread, the one that read or wrote its bytes last. That thread's time
 * is known without gaps: it runs between its calls, and each call is of one kind. It is booked to the exchanges
 *   - that the thread works for (as attribution.h has it; one that is the only one with its thread is worked for
 *     where nobody else is known to be): as compute, or the kind of the call;
 *   - that are with the thread while it works for others: as busy; while it waits for descriptors: as that wait; else
 *     as unseen.
 * Where an exchange goes on in another thread, the time since its old one left it, or before the response wrote for
 * it last, was unseen, but for the stretch of the new one that ends with its write.
 *
 * The cost of an event does not depend on how many exchanges are with the thread: those that it does not work for
 * take the difference of the thread's sums when it comes back to them.
 */
#ifndef PERFSHIM_TIMESHEET_H
#define PERFSHIM_TIMESHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "split.h"

struct flight;

/* What a thread did while others had reason to wait for it, since it is known. */
struct timesheet_sums {
    int64_t waits_ns, busy_ns, nobody_ns; /* for descriptors; for somebody; nobody knows for whom */
};

/* Of a thread; begins as all zeros. It must stay where it is while exchanges are with it. */
struct timesheet {
    bool known;        /* it had an event */
    int64_t cursor_ns; /* up to then its time is booked */
    struct timesheet_sums sums;
    struct flight *first; /* the exchanges that are with it */
    size_t count;
};

/* Of an exchange, in its flight; begins as all zeros but booked_ns, which is `in`. */
struct timesheet_entry {
    struct timesheet *sheet;     /* the thread that it is with; NULL: none */
    struct flight *next, *previous;
    int64_t booked_ns;           /* its split adds up to the time from `in` until then */
    int64_t pending_ns;          /* and with `pending` until then */
    struct split pending;        /* what its last read or write has not confirmed yet */
    struct timesheet_sums since; /* the thread's, at pending_ns */
    bool received;  /* the time until `ready` is booked */
    bool answering; /* a write of its response was seen */
    bool full;      /* its last write did not take all: waits for descriptors are for room */
    bool handed_over; /* some of its waits were pending when another thread went on with it, and are not in its split */
    bool closed;    /* its split is complete */
};

/* A call that took time. */
struct timesheet_call {
    int64_t start_ns, end_ns;
    enum split_kind kind;
    bool waits; /* for descriptors: all that are with the thread wait */
    bool ends;  /* the thread stops to work for the owners */
    bool full;  /* a write that took not all that it was asked to */
};

struct timesheet_flights {
    struct flight *const *list;
    size_t count;
};

/* The thread ran for the owners, until the call; the call was for those that it read from, or else for the owners.
 * Calls may nest: then *c is clipped, as the inner one, which ended before, is booked. */
void timesheet_book(struct timesheet *t, struct timesheet_call *c, struct timesheet_flights owners,
                    struct timesheet_flights read);

/* The thread ran for those whose responses it then wrote. Of those that are answered by that the split is complete. */
void timesheet_write(struct timesheet *t, struct timesheet_call *c, struct timesheet_flights written);

/* There was no room for more of its response. */
void timesheet_full(struct flight *f);

/* How long it has waited for descriptors: what its split has of that if it ends now. Of one that is not handed over it
 * never shrinks, so two of its values stand for the waits between them. */
int64_t timesheet_waited_ns(const struct flight *f);

/* The exchange is complete or given up: no more is booked, and its split is what it was at its response's last byte. */
void timesheet_close(struct flight *f);

/* The thread has ended. */
void timesheet_end(struct timesheet *t);

#endif
