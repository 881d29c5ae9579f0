/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large chunks compress better and small ones are sooner safe: a chunk is closed when it is large, or after
 * TRACK_AGE_NS.
 */
#include "track.h"

#include "reserve.h"

#define CHUNK_BYTES (128u << 10)

/* What was told by `lost` events that did not get into the file is to be told again. */
static void take_back_words(struct track *t)
{
    t->next.lost_told -= t->words_lost;
    t->done.lost_told -= t->words_lost;
}

/* The recorder's own words may be all that tells what was lost: they have a reserve of memory. */
static bool is_own(const struct track *t) { return t->slot == FILING_NO_SLOT; }

static const uint8_t *finish(struct track *t, size_t *bytes)
{
    const uint8_t *content = column_writer_finish(t->writer, bytes);

    if (!content && is_own(t) && reserve_spend())
        content = column_writer_finish(t->writer, bytes);
    if (!content) { /* its events would be written, and counted, with the next chunk */
        column_writer_free(t->writer);
        t->writer = NULL;
    }
    return content;
}

static void write_out(struct track *t)
{
    if (t->first && t->first->writer && column_writer_events(t->first->writer) > 0)
        write_out(t->first);

    uint64_t events = column_writer_events(t->writer) - t->words, lost = 0;
    struct trace_chunk_header h = {
        .proc = t->proc,
        .thread = t->thread,
        .pid = t->pid,
        .tid = t->tid,
        .first_ticks = column_writer_first_ticks(t->writer),
        .last_ticks = column_writer_last_ticks(t->writer),
        .events = column_writer_events(t->writer),
    };
    struct arena_filed filed = {
        .serial = t->thread,
        .position = t->done.position,
        .taken = t->done.taken,
        .added = t->events,
        .lost = t->lost,
        .lost_told = t->done.lost_told,
        .stalled_told = t->done.stalled_told,
        .last_ticks = h.last_ticks,
    };
    size_t bytes;
    const uint8_t *content = finish(t, &bytes);

    if (!content || !sink_chunk(t->sink, &h, content, bytes, t->slot, &filed, &lost)) {
        lost = events;
        take_back_words(t);
        t->events -= t->words;
    }
    t->lost += lost;
    t->events -= lost;
    t->words = t->words_lost = 0;
    t->hasty = false;
}

/* False if memory is short. */
static bool open_writer(struct track *t, uint64_t now_ns)
{
    if (!is_own(t) && reserve_is_spent())
        return false;
    if (!t->writer && !(t->writer = column_writer_new()))
        return false;
    if (column_writer_events(t->writer) == 0)
        t->since_ns = now_ns;
    return true;
}

static bool add_once(struct track *t, const struct event *e, uint64_t now_ns)
{
    if (!open_writer(t, now_ns))
        return false;
    if (column_writer_add(t->writer, e))
        return true;
    if (column_writer_events(t->writer) == 0)
        return false;
    write_out(t); /* it may only have been full */
    return open_writer(t, now_ns) && column_writer_add(t->writer, e);
}

static bool add(struct track *t, const struct event *e, uint64_t now_ns)
{
    return add_once(t, e, now_ns) || (is_own(t) && reserve_spend() && add_once(t, e, now_ns));
}

void track_add(struct track *t, const struct event *e, uint64_t now_ns)
{
    bool added = add(t, e, now_ns);

    if (!added && e->type == EVENT_lost)
        t->next.lost_told -= e->u.lost.events; /* to be told again */
    t->done = t->next;
    if (!added) {
        t->lost += e->type != EVENT_lost;
        return;
    }
    if (e->type == EVENT_lost) {
        t->words++;
        t->words_lost += e->u.lost.events;
    }
    t->hasty |= e->type == EVENT_stack;
    t->events++;
    if (column_writer_bytes(t->writer) >= CHUNK_BYTES)
        write_out(t);
}

bool track_run_begin(struct track *t, struct column_run *run, uint64_t first_ticks, uint64_t now_ns)
{
    return open_writer(t, now_ns) && column_run_begin(run, t->writer, first_ticks);
}

void track_run_end(struct track *t, struct column_run *run, uint32_t events)
{
    column_run_end(run);
    t->done = t->next;
    t->events += events;
    if (column_writer_bytes(t->writer) >= CHUNK_BYTES)
        write_out(t);
}

void track_skip(struct track *t)
{
    t->done = t->next;
    t->lost++;
}

void track_pass(struct track *t) { t->done = t->next; }

void track_flush(struct track *t, uint64_t now_ns, uint64_t age_ns)
{
    if (t->hasty && age_ns > TRACK_HASTY_NS)
        age_ns = TRACK_HASTY_NS;
    if (!t->writer || now_ns - t->since_ns < age_ns)
        return;
    if (column_writer_events(t->writer) > 0)
        write_out(t);
    if (t->writer)
        column_writer_free(t->writer);
    t->writer = NULL;
}
