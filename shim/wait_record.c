/* SPDX-License-Identifier: Apache-2.0 */
/* A wait carries the ledger's change, as every event does that ends a stretch of the thread's work. */
#include "wait_record.h"

#include "ledger.h"
#include "ring.h"

/* What was left of the time until the deadline when the call began. One that failed without waiting may not have read it. */
static int64_t timeout_of(const struct wait_call *w, const struct wait_done *done)
{
    struct timespec now;

    if (!done->deadline)
        return done->timeout_ns;
    bool read = done->result >= 0 || done->result == -ETIMEDOUT || done->result == -EINTR || done->result == -EAGAIN ||
                done->result == -EOWNERDEAD;
    if (!read || clock_gettime(done->clock, &now) != 0)
        return -1;
    int64_t took_ns = (int64_t)(clock_read_raw_ns() - w->start_ns);
    int64_t left_ns = wait_ns_of(done->deadline) - wait_ns_of(&now) + took_ns;
    return left_ns > 0 ? left_ns : 0;
}

void wait_record(const struct wait_call *w, const struct wait_done *done)
{
    int saved_errno = errno;
    int64_t timeout_ns = timeout_of(w, done);
    errno = saved_errno;
    uint64_t now = clock_ticks();
    uint64_t *field = record_begin(w->t, EVENT_wait, 10, 0, now);

    if (!field)
        return;
    field[0] = done->op;
    field[1] = (uint64_t)(int64_t)done->fd;
    field[2] = (uint64_t)done->result;
    field[3] = (uint64_t)timeout_ns;
    field[4] = now - w->start;
    ledger_take_change(w->t, field + 5);
    field[9] = done->what;
    record_commit(w->t);
}
