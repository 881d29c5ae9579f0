/* SPDX-License-Identifier: Apache-2.0 */
/* Payload units, and heads that are made of them. */
#include <string.h>

#include "varint.h"
#include "wire_memo.h"
#include "wire_part.h"

/* Most numbers of units are small. */
static inline const uint8_t *unit_number(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    if (p == end || *p >= 0x80)
        return varint_get(p, end, v);
    *v = *p;
    return p + 1;
}

int payload_next(const uint8_t **p, const uint8_t *end_of_units, struct payload_unit *unit)
{
    uint64_t head, text_bytes;

    if (*p >= end_of_units)
        return 0;
    const uint8_t *at = unit_number(*p, end_of_units, &head);
    if (!at || (head & 3) > PAYLOAD_HOLE)
        return -1;
    *unit = (struct payload_unit){.kind = head & 3, .stream_bytes = head >> 2};
    if (unit->kind == PAYLOAD_TEXT) {
        at = unit_number(at, end_of_units, &text_bytes);
        if (!at || text_bytes > PAYLOAD_TEXT_MAX || text_bytes > (size_t)(end_of_units - at) ||
            unit->stream_bytes > UINT32_MAX)
            return -1;
        unit->text = (const char *)at;
        unit->text_bytes = text_bytes;
        at += text_bytes;
    }
    *p = at;
    return 1;
}

const uint8_t *wire_head_units(struct wire_conn *c, struct wire_memo *memo, const struct wire_sink *sink, enum wire_side side,
                               const uint8_t *p, const uint8_t *end_of_units, uint64_t *left)
{
    struct feed f = wire_feed(c, sink, side);
    size_t n = (size_t)(end_of_units - p);

    if (f.d->mode != MODE_START || !c->protocol || !wire_protocols[c->protocol]->head_ends_empty || !n)
        return NULL;
    const struct wire_memo_head *head = wire_memo_head(memo, wire_protocols[c->protocol], c->state, side, p, n);
    if (!head || head->stream_bytes > *left)
        return NULL;
    memcpy(c->state, head->state, sizeof head->state);
    wire_begin(&f);
    f.d->offset += head->stream_bytes;
    *left -= head->stream_bytes;
    if (sink->head)
        sink->head(sink->context, side, &head->step.head);
    wire_then(&f, &head->step);
    return p + head->units_bytes;
}
