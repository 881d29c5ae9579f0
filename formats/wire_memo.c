/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table without collision lists: of two heads that fall on the same entry the later one takes it. An entry has all that its step
 * points into.
 */
#include "wire_memo.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 128
#define KEY_MAX 384
#define CREDIT_MAX 256 /* so many misses in a row are borne */
#define TRY_EVERY 16   /* head when the credit is used up */

struct entry {
    const struct wire_proto *protocol;
    uint16_t bytes; /* of `key`; 0: free */
    uint8_t side;
    bool raw;                         /* the key is bytes of the connection, not units */
    uint8_t before[WIRE_STATE_BYTES]; /* the protocol's state in front of the head */
    uint8_t key[KEY_MAX];             /* all that the call has, from the head on */
    struct wire_memo_head head;
    char text[WIRE_SCRATCH_BYTES], scratch[WIRE_SCRATCH_BYTES];
};

struct wire_memo {
    struct entry *last[2]; /* by side: what was found last; NULL: nothing yet */
    int credit; /* what looking was worth lately */
    uint32_t turn;
    struct entry entry[ENTRIES];
};

struct wire_memo *wire_memo_new(void) { return calloc(1, sizeof(struct wire_memo)); }
void wire_memo_free(struct wire_memo *memo) { free(memo); }

static struct entry *entry_of(struct wire_memo *memo, const uint8_t *p, size_t n)
{
    uint64_t hash = n, word;

    for (size_t at = 0; at + sizeof word <= n; at += sizeof word) {
        memcpy(&word, p + at, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return &memo->entry[(hash >> 16) % ENTRIES];
}

/* Puts the head's text together from its units: gives how many bytes it has, 0 if something unusual is among them. */
static size_t gather(struct entry *e, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    struct payload_unit unit;
    size_t bytes = 0;

    e->head.stream_bytes = 0;
    while (payload_next(&p, end, &unit) > 0 && unit.kind == PAYLOAD_TEXT && unit.text_bytes &&
           unit.text_bytes <= sizeof e->text - bytes && unit.text_bytes <= unit.stream_bytes &&
           unit.text[unit.text_bytes - 1] == '\n') {
        memcpy(e->text + bytes, unit.text, unit.text_bytes);
        bytes += unit.text_bytes;
        e->head.stream_bytes += unit.stream_bytes;
        e->head.units_bytes = (uint32_t)(p - start);
        if (unit.text_bytes <= 2) /* an empty line */
            return bytes;
    }
    return 0;
}

/* Has the protocol take the text, which is all of a head if `exact`. */
static bool take(struct entry *e, const char *text, size_t bytes, bool exact)
{
    wire_step_begin(&e->head.step, e->scratch);
    size_t taken = e->protocol->whole(e->head.state, e->side, text, bytes, &e->head.step, e->head.part);
    if (e->raw)
        e->head.stream_bytes = taken;
    return exact ? taken == bytes : taken > 0;
}

static bool learn(struct entry *e, const uint8_t *state, const uint8_t *p, size_t n)
{
    memcpy(e->key, p, n);
    memcpy(e->before, state, sizeof e->before);
    memcpy(e->head.state, state, sizeof e->before);
    if (e->raw)
        return take(e, (const char *)e->key, n, false);
    size_t bytes = gather(e, p, p + n);
    return bytes && take(e, e->text, bytes, true);
}

static bool is_worth_it(struct wire_memo *memo) { return memo->credit >= 0 || memo->turn++ % TRY_EVERY == 0; }

static inline bool is_it(const struct entry *e, const struct wire_proto *protocol, const uint8_t *state, enum wire_side side,
                         bool raw, const uint8_t *p, size_t n)
{
    return e->bytes == n && e->side == side && e->raw == raw && e->protocol == protocol &&
           memcmp(e->before, state, sizeof e->before) == 0 && memcmp(e->key, p, n) == 0;
}

static const struct wire_memo_head *find(struct wire_memo *memo, const struct wire_proto *protocol, const uint8_t *state,
                                         enum wire_side side, bool raw, const uint8_t *p, size_t n)
{
    struct entry *e = memo->last[side];
    bool hit = e && is_it(e, protocol, state, side, raw, p, n);

    if (!hit) {
        e = memo->last[side] = entry_of(memo, p, n);
        hit = is_it(e, protocol, state, side, raw, p, n);
    }
    if (hit) {
        memo->credit += memo->credit < CREDIT_MAX;
        return &e->head;
    }
    memo->credit -= memo->credit >= 0;
    e->protocol = protocol;
    e->side = (uint8_t)side;
    e->raw = raw;
    e->bytes = learn(e, state, p, n) ? (uint16_t)n : 0;
    return e->bytes ? &e->head : NULL;
}

const struct wire_memo_head *wire_memo_head(struct wire_memo *memo, const struct wire_proto *protocol,
                                            const uint8_t state[WIRE_STATE_BYTES], enum wire_side side, const uint8_t *p, size_t n)
{
    return n && n <= KEY_MAX ? find(memo, protocol, state, side, false, p, n) : NULL;
}

const struct wire_memo_head *wire_memo_bytes(struct wire_memo *memo, const struct wire_proto *protocol,
                                             const uint8_t state[WIRE_STATE_BYTES], enum wire_side side, const char *p, size_t n)
{
    if (!n || n > KEY_MAX || !is_worth_it(memo))
        return NULL;
    return find(memo, protocol, state, side, true, (const uint8_t *)p, n);
}
