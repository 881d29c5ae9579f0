/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table without collision lists: of two heads that fall on the same entry the later one takes it. An entry has all that its step
 * points into.
 */
#include "wire_memo.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 128
#define UNITS_MAX 384

struct entry {
    const struct wire_proto *protocol;
    uint16_t bytes; /* of `units`; 0: free */
    uint8_t side;
    uint8_t before[WIRE_STATE_BYTES]; /* the protocol's state in front of the head */
    uint8_t units[UNITS_MAX];         /* of the call, from the head on */
    struct wire_memo_head head;
    char text[WIRE_SCRATCH_BYTES], scratch[WIRE_SCRATCH_BYTES];
};

struct wire_memo {
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
    return &memo->entry[hash % ENTRIES];
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

static bool learn(struct entry *e, const struct wire_proto *protocol, const uint8_t *state, enum wire_side side, const uint8_t *p,
                  size_t n)
{
    struct wire_part parts[WIRE_PARTS_MAX + 1];

    e->bytes = 0;
    size_t bytes = gather(e, p, p + n);
    if (!bytes)
        return false;
    memcpy(e->before, state, sizeof e->before);
    memcpy(e->head.state, state, sizeof e->before);
    wire_step_begin(&e->head.step, e->scratch);
    if (protocol->whole(e->head.state, side, e->text, bytes, &e->head.step, parts) != bytes)
        return false;
    e->protocol = protocol;
    e->side = (uint8_t)side;
    memcpy(e->units, p, n);
    e->bytes = (uint16_t)n;
    return true;
}

const struct wire_memo_head *wire_memo_head(struct wire_memo *memo, const struct wire_proto *protocol,
                                            const uint8_t state[WIRE_STATE_BYTES], enum wire_side side, const uint8_t *p, size_t n)
{
    if (n > UNITS_MAX)
        return NULL;
    struct entry *e = entry_of(memo, p, n);
    bool known = e->bytes == n && e->side == side && e->protocol == protocol &&
                 memcmp(e->before, state, sizeof e->before) == 0 && memcmp(e->units, p, n) == 0;
    return known || learn(e, protocol, state, side, p, n) ? &e->head : NULL;
}
