/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides of a connection in pieces, with holes, gaps and ends of streams where the input says so. Up to the first place
 * where framing is lost, the same bytes cut into single ones must give the same messages; kept text is bounded and stands for
 * bytes that were there.
 *
 * A piece: a byte of what (side, kind, length), then its bytes.
 */
#include <stdlib.h>

#include "messages.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct messages messages;
    struct wire_conn *conn;
    struct wire_sink sink;
    uint64_t kept_to[2];
};

static void on_keep(void *context, enum wire_side side, uint64_t offset, uint32_t stream_bytes, const char *text,
                    size_t text_bytes)
{
    struct run *run = context;

    MUST(text_bytes <= PAYLOAD_TEXT_MAX && text_bytes > 0 && text != NULL);
    MUST(stream_bytes <= offset && offset - stream_bytes >= run->kept_to[side]);
    MUST(offset == wire_offset(run->conn, side));
    run->kept_to[side] = offset;
}

static void piece(struct run *run, uint8_t what, const uint8_t *bytes, size_t n)
{
    enum wire_side side = what & 1;

    switch (what >> 1 & 7) {
    case 6:
        wire_hole(run->conn, &run->sink, side, n);
        break;
    case 7:
        if (n > 60)
            wire_close(run->conn, &run->sink, side);
        break;
    default:
        wire_bytes(run->conn, &run->sink, side, bytes, n);
    }
}

static void play(struct run *run, const uint8_t *p, const uint8_t *end, size_t step)
{
    *run = (struct run){.conn = wire_new()};
    MUST(run->conn != NULL);
    run->sink = messages_sink(&run->messages);
    run->sink.context = run; /* messages stand first in it */
    run->sink.keep = on_keep;
    while (p < end) {
        uint8_t what = *p++;
        bool bytes = (what >> 1 & 7) < 6;
        size_t n = what >> 4 ? (what >> 4) * 4u : p < end ? *p++ : 0;
        if (n > (size_t)(end - p))
            n = (size_t)(end - p);
        for (size_t at = 0; at < n && bytes; at += step) {
            size_t part = n - at < step ? n - at : step;
            uint8_t *copy = malloc(part); /* so that a look beyond it is seen */
            memcpy(copy, p + at, part);
            piece(run, what, copy, part);
            free(copy);
        }
        if (!bytes)
            piece(run, what, p, n);
        else
            p += n;
    }
    wire_free(run->conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole, single;

    play(&whole, data, data + size, SIZE_MAX);
    play(&single, data, data + size, 1);
    size_t sure = whole.messages.sure < single.messages.sure ? whole.messages.sure : single.messages.sure;
    messages_must_agree(&whole.messages, &single.messages, sure);
    return 0;
}
