/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML, section 9.2): lines ended by LF, CR or CR LF. An empty line ends an event if there was a line of
 * the field `data` since the last. Comments, by which servers keep a connection awake, are no events.
 */
#include <string.h>

#include "wire_inner.h"

static const char field[] = "data";
#define FIELD_BYTES 4
#define FIELD_OTHER 0xff

struct sse {
    uint8_t matched; /* bytes of the field's name that the line begins with; FIELD_OTHER: it is another */
    bool data;       /* the event has some */
    bool after_cr;
    bool in_line;
};

static void sse_start(void *state, enum wire_side side)
{
    (void)side;
    *(struct sse *)state = (struct sse){0};
}

/* The line has ended: is it an event's last? */
static bool line_ends(struct sse *s)
{
    bool empty = !s->in_line, ends = empty && s->data;

    s->data = empty ? false : s->data || s->matched == FIELD_BYTES;
    s->in_line = false;
    s->matched = 0;
    return ends;
}

static void line_byte(struct sse *s, char c)
{
    s->in_line = true;
    if (s->matched < FIELD_BYTES)
        s->matched = c == field[s->matched] ? s->matched + 1 : FIELD_OTHER;
    else if (s->matched == FIELD_BYTES && c != ':')
        s->matched = FIELD_OTHER;
    else if (s->matched == FIELD_BYTES) {
        s->data = true;
        s->matched = FIELD_OTHER;
    }
}

static size_t sse_read(void *state, const char *bytes, size_t n, bool first, struct mark *mark)
{
    struct sse *s = state;
    (void)first;

    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        bool second = c == '\n' && s->after_cr; /* of CR LF */
        s->after_cr = c == '\r';
        if (second)
            continue;
        if (c != '\n' && c != '\r') {
            line_byte(s, c);
        } else if (line_ends(s)) {
            mark->kind = MARK_EVENT;
            return i + 1;
        }
    }
    return n;
}

/* What comes next is in the middle of a line, for all we know, and maybe of an event that began in what is missing. */
static void sse_hole(void *state, uint64_t n, struct mark *mark)
{
    (void)n;
    *(struct sse *)state = (struct sse){.matched = FIELD_OTHER, .in_line = true};
    mark->kind = MARK_MISSING;
}

static uint64_t sse_unwanted(const void *state)
{
    (void)state;
    return 0;
}

_Static_assert(sizeof(struct sse) <= WIRE_INNER_BYTES, "state too large");

const struct wire_inner sse_inner = {
    .start = sse_start,
    .read = sse_read,
    .hole = sse_hole,
    .unwanted = sse_unwanted,
};
