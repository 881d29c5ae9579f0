/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the framing engine says of a connection, written down: to compare what it makes of the same bytes cut in another way,
 * or after the recorder's scrubbing. It checks on the way what holds for any input (messages_sink).
 */
#ifndef PERFSHIM_FUZZ_MESSAGES_H
#define PERFSHIM_FUZZ_MESSAGES_H

#include <string.h>

#include "mark.h"
#include "pipeline.h"
#include "wire.h"

#define MESSAGES_MAX 4096

enum message_part { PART_BEGIN, PART_HEAD, PART_END, PART_MARK, PART_STREAM };

struct message {
    uint8_t side, part;
    uint64_t value; /* an offset, or a hash of what the head says */
};

struct messages {
    struct message list[MESSAGES_MAX];
    size_t count;
    size_t sure;           /* so many came before the first place where framing was lost */
    size_t lost;           /* how often it was */
    uint64_t last[2];      /* the largest offset told of each side */
    bool open[2], headed[2];
};

static inline void messages_add(struct messages *m, enum wire_side side, enum message_part part, uint64_t value)
{
    if (m->count < MESSAGES_MAX)
        m->list[m->count++] = (struct message){(uint8_t)side, (uint8_t)part, value};
    if (!m->lost)
        m->sure = m->count;
}

/* Offsets of one side never step back. */
static inline void messages_reach(struct messages *m, enum wire_side side, uint64_t offset)
{
    MUST(offset >= m->last[side]);
    m->last[side] = offset;
}

static inline void messages_begin(void *context, enum wire_side side, uint64_t offset)
{
    struct messages *m = context;

    messages_reach(m, side, offset);
    MUST(!m->open[side]);
    m->open[side] = true;
    m->headed[side] = false;
    messages_add(m, side, PART_BEGIN, offset);
}

static inline void messages_head(void *context, enum wire_side side, const struct wire_head *head)
{
    struct messages *m = context;
    uint64_t hash = head->status * 4u + head->error * 2u + head->interim;

    hash = hash * 64 + head->pushed * 32u + head->queued * 16u + head->waits * 8u + head->answer;

    MUST(m->open[side] && !m->headed[side]);
    m->headed[side] = true;
    MUST(head->method_bytes <= 32 && head->path_bytes <= 512);
    MUST(head->status == 0 || (head->status >= 100 && head->status < 600));
    for (size_t i = 0; i < head->method_bytes; i++)
        hash = hash * 31 + (uint8_t)head->method[i];
    for (size_t i = 0; i < head->path_bytes; i++) {
        MUST(head->path[i] > ' ' && head->path[i] < 0x7f && head->path[i] != '?' && head->path[i] != '#');
        hash = hash * 31 + (uint8_t)head->path[i];
    }
    messages_add(m, side, PART_HEAD, hash);
}

static inline void messages_end(void *context, enum wire_side side, uint64_t offset)
{
    struct messages *m = context;

    messages_reach(m, side, offset);
    MUST(m->open[side] && m->headed[side]);
    m->open[side] = false;
    messages_add(m, side, PART_END, offset);
}

static inline void messages_lost(void *context, enum wire_side side, uint64_t offset)
{
    struct messages *m = context;

    messages_reach(m, side, offset);
    m->open[side] = false;
    m->lost++;
}

static inline void messages_stream(void *context, enum wire_stream stream, uint64_t offset)
{
    struct messages *m = context;

    MUST(stream == WIRE_STREAM_WEBSOCKET ? !m->open[WIRE_RESPONSE] : m->open[WIRE_RESPONSE] && m->headed[WIRE_RESPONSE]);
    messages_add(m, WIRE_RESPONSE, PART_STREAM, offset);
}

static inline void messages_mark(void *context, enum wire_side side, uint64_t offset, const struct mark *mark)
{
    struct messages *m = context;
    char text[MARK_TEXT_MAX];
    struct mark read;
    uint64_t hash = offset;
    size_t n = mark_put(text, mark);

    messages_reach(m, side, offset);
    MUST(mark_get(text, n, &read) && read.kind == mark->kind && read.id == mark->id && read.bytes == mark->bytes);
    for (size_t i = 0; i < n; i++)
        hash = hash * 31 + (uint8_t)text[i];
    if (mark->kind == MARK_MISSING)
        m->lost++;
    messages_add(m, side, PART_MARK, hash);
}

/* Begins an empty list, and gives the sink that fills it. */
static inline struct wire_sink messages_sink(struct messages *m)
{
    m->count = m->sure = m->lost = 0;
    memset(m->last, 0, sizeof m->last);
    memset(m->open, 0, sizeof m->open);
    return (struct wire_sink){.context = m, .begin = messages_begin, .head = messages_head, .end = messages_end,
                              .stream = messages_stream, .mark = messages_mark, .lost = messages_lost};
}

/* Where the room for units was short, marks are left out like kept text, but a body goes on behind them. */
static inline void messages_drop_marks(struct messages *m)
{
    size_t kept = 0, sure = m->sure;

    for (size_t i = 0; i < m->count; i++) {
        if (i == sure)
            m->sure = kept;
        if (m->list[i].part != PART_MARK)
            m->list[kept++] = m->list[i];
    }
    if (sure >= m->count)
        m->sure = kept;
    m->count = kept;
}

/* For whoever looks into a finding (FUZZ_VERBOSE=1). */
static inline void messages_print(const struct messages *m, const char *name)
{
    fprintf(stderr, "%s: lost %zu times, first behind message %zu\n", name, m->lost, m->sure);
    for (size_t i = 0; i < m->count; i++)
        fprintf(stderr, "  %c %s %llu\n", "><"[m->list[i].side], (const char *[]){"begin", "head", "end", "mark", "stream"}[m->list[i].part],
                (unsigned long long)m->list[i].value);
}

/* The first n messages of both are the same. */
static inline void messages_must_agree(const struct messages *a, const struct messages *b, size_t n)
{
    MUST(n <= a->count && n <= b->count);
    for (size_t i = 0; i < n; i++)
        MUST(a->list[i].side == b->list[i].side && a->list[i].part == b->list[i].part &&
             a->list[i].value == b->list[i].value);
}

#endif
