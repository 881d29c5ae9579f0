/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between the framing engine (wire.c) and a protocol (a file each: http1.c, resp.c).
 *
 * The engine cuts a direction into lines and counted runs. It gives each line to the protocol, which answers with a step:
 * what of the line may be kept, whether the message's head is known, whether the message ends, and what follows. A protocol
 * therefore sees no offsets, no holes and no partial lines. To add one: its file, an id in enum wire_protocol, a row in the
 * table of wire.c.
 *
 * Nearly all messages lie whole in the bytes of one call. A protocol takes those in one pass (`whole`), as a shortcut only:
 * the messages must be those that its lines give.
 *
 * A protocol's scrubbing must be idempotent: the analyzer passes kept lines through the same function, and must come to
 * the same step.
 */
#ifndef PERFSHIM_WIRE_PROTO_H
#define PERFSHIM_WIRE_PROTO_H

#include "wire.h"
#include "wire_inner.h"

#define WIRE_LINE_MAX 8192 /* what is beyond is not looked at; framing goes on behind the line's end */
#define WIRE_STATE_BYTES 200
#define WIRE_SCRATCH_BYTES (2 * PAYLOAD_TEXT_MAX)
#define WIRE_COUNT_MAX (UINT64_C(1) << 60) /* numbers beyond are none: what is counted cannot overflow */

struct wire_line {
    const char *text;
    size_t bytes;          /* without the line's end */
    size_t whole_bytes;    /* with it: text[0..whole_bytes) is what came, unless the line was cut */
    uint64_t stream_bytes; /* from the end of what was before, masked ones too */
    bool cut;              /* longer than WIRE_LINE_MAX */
};

enum wire_then {
    THEN_LINE,
    THEN_COUNT,  /* `count` bytes; then the protocol's `counted` is asked again */
    THEN_CLOSE,  /* the message lasts to the end of the stream */
    THEN_STREAM, /* no message any more: the connection is the inner protocol's, from here on and for good */
    THEN_OPAQUE, /* nothing in this direction means anything to us from here on */
    THEN_LOST,   /* this is no line of the protocol */
};

struct wire_step {
    enum wire_then then;
    uint64_t count;
    uint8_t tail;      /* so many of the counted bytes, the last ones, are not of the body */
    bool ends;         /* the message ended, in front of what follows */
    bool other_too;    /* the other direction is opaque, too, from now on, or the inner protocol's */
    bool streams;      /* what follows is a stream of events, not a message to be waited for */
    const struct wire_inner *inner; /* looks into the bytes that follow, until the message ends; NULL: nobody does */
    bool has_head;
    struct wire_head head;
    const char *keep; /* whole lines, ends included; NULL: nothing */
    size_t keep_bytes;
    char *scratch; /* WIRE_SCRATCH_BYTES, for keep and head to point into */
};

static inline void wire_step_begin(struct wire_step *step, char *scratch)
{
    step->then = THEN_LINE;
    step->tail = 0;
    step->ends = step->other_too = step->streams = step->has_head = false;
    step->inner = NULL;
    step->keep = NULL;
    step->scratch = scratch;
}

/* A line that is kept of a message that came whole: the next text_bytes of `keep` stand for the next stream_bytes. */
struct wire_part {
    uint32_t text_bytes, stream_bytes;
};
#define WIRE_PARTS_MAX 16

struct wire_proto {
    /* Can a connection begin like this? whole: text is a line without its end; else only the first n bytes are here. */
    bool (*detect)(enum wire_side side, const char *text, size_t n, bool whole);
    /* Is this line, at the start of a call's bytes, surely a lost direction's next message? */
    bool (*resync)(const void *state, enum wire_side side, const char *text, size_t n);
    /* And this, which the recorder kept as standing for other bytes? */
    bool (*resync_kept)(const void *state, enum wire_side side, const char *text, size_t n);
    /* A message begins at bytes. If its lines up to the one that ends it, or its head, are all among the n bytes, and nothing
     * about them is unusual, takes them at once: gives how many bytes they are, with the step as after the last line, and the
     * parts that `keep` consists of, ended by one without text. Else 0: the message comes by lines, and its framing is
     * untouched. A part's text is one line. The step was set as for a line; it always has a head. */
    size_t (*whole)(void *state, enum wire_side side, const char *bytes, size_t n, struct wire_step *step,
                    struct wire_part part[WIRE_PARTS_MAX + 1]);
    /* A head's last line, and no other, is empty: so lines that were kept one by one can be put together and be taken as a whole. */
    bool head_ends_empty;
    /* A line. The step was set to THEN_LINE and nothing else. */
    void (*line)(void *state, enum wire_side side, const struct wire_line *line, struct wire_step *step);
    /* The counted run is over; nothing can be kept. */
    void (*counted)(void *state, enum wire_side side, struct wire_step *step);
    /* There was this in the message that is open: may be NULL. */
    void (*marked)(void *state, enum wire_side side, const struct mark *mark);
    /* The direction was lost: the next line will be a message's first. */
    void (*lost)(void *state, enum wire_side side);
};

extern const struct wire_proto http1_proto, resp_proto;

/* Reads digits of the base (10 or 16) at [p, end): gives the first byte that is none, or NULL if there was no digit or the
 * value is well over WIRE_COUNT_MAX. */
const char *wire_number(const char *p, const char *end, unsigned base, uint64_t *value);

static inline bool wire_is_letter(char c) { return (unsigned)((c | 0x20) - 'a') < 26; }

#endif
