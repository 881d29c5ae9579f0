/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket (RFC 6455): a direction behind the upgrade is frames. A message is marked at its last frame's end, a control frame at its
 * own. Text that is not compressed is looked into for JSON-RPC (jsonrpc.h), unmasked in small pieces.
 *
 * Nothing in a frame says where the next one begins, but its length. So a direction that is lost goes on at a call whose bytes
 * are nothing but whole frames.
 */
#include <string.h>

#include "jsonrpc.h"
#include "wire_inner.h"
#include "wire_proto.h"

#define HEAD_MAX 14
#define CONTROL_MAX 125
#define UNMASK_BYTES 256

enum { OP_CONTINUES, OP_TEXT, OP_BINARY, OP_CLOSE = 8, OP_PING, OP_PONG };

struct frame {
    uint64_t bytes; /* of its payload */
    uint8_t opcode, head_bytes;
    bool last, compressed, masked;
};

struct ws {
    struct jsonrpc rpc;
    struct frame frame;
    uint64_t left;          /* of the frame's payload */
    uint64_t message_bytes; /* of the message, up to the frame */
    uint8_t head[HEAD_MAX], head_bytes; /* what there is of the next frame's head, while left is 0 */
    uint8_t mask_at;
    uint8_t opcode; /* of the message that has begun and not ended, or 0 */
    bool compressed;
    bool from_client; /* which masks, as a server must not */
    bool in_frame;
    bool lost;
    bool unsure; /* what was missing may have held a message's beginning */
    bool look;   /* into the message */
};

_Static_assert(sizeof(struct ws) <= WIRE_INNER_BYTES, "state too large");

static void ws_start(void *state, enum wire_side side)
{
    memset(state, 0, sizeof(struct ws));
    ((struct ws *)state)->from_client = side == WIRE_REQUEST;
}

/* --- frames --- */

static bool is_control(unsigned opcode) { return opcode >= OP_CLOSE; }

/* What the first two bytes say how many a head has. */
static unsigned head_bytes(const uint8_t *p)
{
    unsigned length = p[1] & 0x7f;
    return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (p[1] & 0x80 ? 4 : 0);
}

/* Gives false if no frame begins like that. */
static bool frame_get(const uint8_t *p, bool from_client, struct frame *f)
{
    unsigned length = p[1] & 0x7f, more = length == 126 ? 2 : length == 127 ? 8 : 0;

    *f = (struct frame){.bytes = more ? 0 : length, .opcode = p[0] & 0x0f, .head_bytes = (uint8_t)head_bytes(p),
                        .last = p[0] & 0x80, .compressed = p[0] & 0x40, .masked = p[1] & 0x80};
    for (unsigned i = 0; i < more; i++)
        f->bytes = f->bytes << 8 | p[2 + i];
    if (p[0] & 0x30 || f->masked != from_client || f->bytes > WIRE_COUNT_MAX || f->opcode > OP_PONG ||
        (f->opcode > OP_BINARY && f->opcode < OP_CLOSE))
        return false;
    if (is_control(f->opcode))
        return f->last && !f->compressed && f->bytes <= CONTROL_MAX;
    return !(f->compressed && f->opcode == OP_CONTINUES);
}

/* Whole frames, and nothing else. */
static bool all_frames(const struct ws *w, const uint8_t *p, size_t n)
{
    struct frame f;

    while (n) {
        if (n < 2 || n < head_bytes(p) || !frame_get(p, w->from_client, &f) || f.bytes > n - f.head_bytes)
            return false;
        p += f.head_bytes + f.bytes;
        n -= f.head_bytes + f.bytes;
    }
    return true;
}

static void lose(struct ws *w, struct mark *mark)
{
    w->lost = w->unsure = true;
    w->in_frame = w->look = false;
    w->left = w->message_bytes = 0;
    w->head_bytes = w->opcode = 0;
    mark->kind = MARK_MISSING;
}

static void frame_ends(struct ws *w, struct mark *mark)
{
    static const enum mark_kind controls[] = {MARK_CLOSE, MARK_PING, MARK_PONG};

    w->in_frame = false;
    if (is_control(w->frame.opcode)) {
        *mark = (struct mark){.kind = controls[w->frame.opcode - OP_CLOSE], .inside = w->opcode, .bytes = w->frame.bytes};
        return;
    }
    if (!w->frame.last)
        return;
    if (w->opcode)
        *mark = (struct mark){.kind = w->opcode == OP_TEXT ? MARK_TEXT : MARK_BINARY, .compressed = w->compressed,
                              .bytes = w->message_bytes};
    w->opcode = 0;
    w->look = false;
}

/* The frame's head is whole. */
static void frame_begins(struct ws *w, struct mark *mark)
{
    struct frame *f = &w->frame;

    if (!frame_get(w->head, w->from_client, f) || (f->opcode == OP_CONTINUES && !w->opcode && !w->unsure) ||
        (f->opcode && !is_control(f->opcode) && w->opcode)) {
        lose(w, mark);
        return;
    }
    w->head_bytes = 0;
    w->left = f->bytes;
    w->in_frame = true;
    w->mask_at = 0;
    if (f->opcode && !is_control(f->opcode)) {
        w->unsure = false;
        w->opcode = f->opcode;
        w->compressed = f->compressed;
        w->message_bytes = 0;
        w->look = f->opcode == OP_TEXT && !f->compressed;
        if (w->look)
            jsonrpc_start(&w->rpc);
    }
    if (!is_control(f->opcode))
        w->message_bytes += f->bytes;
    if (!w->left)
        frame_ends(w, mark);
}

/* --- bytes --- */

static bool looks(const struct ws *w) { return w->look && !is_control(w->frame.opcode) && !jsonrpc_over(&w->rpc); }

/* Gives how many of the payload's bytes it looked at. */
static size_t look(struct ws *w, const uint8_t *bytes, size_t n, struct mark *mark)
{
    char plain[UNMASK_BYTES];
    const uint8_t *mask = w->head + w->frame.head_bytes - 4;

    n = n < sizeof plain ? n : sizeof plain;
    for (size_t i = 0; i < n; i++)
        plain[i] = (char)(bytes[i] ^ (w->frame.masked ? mask[(w->mask_at + i) & 3] : 0));
    n = jsonrpc_read(&w->rpc, plain, n, mark);
    w->mask_at = (uint8_t)((w->mask_at + n) & 3);
    return n;
}

static size_t read_payload(struct ws *w, const uint8_t *bytes, size_t n, struct mark *mark)
{
    n = n < w->left ? n : (size_t)w->left;
    if (looks(w))
        n = look(w, bytes, n, mark);
    w->left -= n;
    return n;
}

static size_t read_head(struct ws *w, const uint8_t *bytes, struct mark *mark)
{
    w->head[w->head_bytes++] = *bytes;
    if (w->head_bytes >= 2 && w->head_bytes == head_bytes(w->head))
        frame_begins(w, mark);
    return 1;
}

static size_t ws_read(void *state, const char *text, size_t n, bool first, struct mark *mark)
{
    struct ws *w = state;
    const uint8_t *bytes = (const uint8_t *)text;
    size_t used = 0;

    if (w->lost && first && n && all_frames(w, bytes, n))
        w->lost = false;
    while (!w->lost && !mark->kind) {
        if (w->in_frame && !w->left)
            frame_ends(w, mark);
        else if (used == n)
            break;
        else if (w->in_frame)
            used += read_payload(w, bytes + used, n - used, mark);
        else
            used += read_head(w, bytes + used, mark);
    }
    return w->lost && !mark->kind ? n : used;
}

/* Within a frame's payload nothing is lost but what it held. */
static void ws_hole(void *state, uint64_t n, struct mark *mark)
{
    struct ws *w = state;

    if (w->lost)
        return;
    if (!n || !w->in_frame || n > w->left) {
        lose(w, mark);
        return;
    }
    if (looks(w))
        jsonrpc_hole(&w->rpc, mark);
    w->mask_at = (uint8_t)((w->mask_at + n) & 3);
    w->left -= n;
}

static uint64_t ws_unwanted(const void *state)
{
    const struct ws *w = state;
    return w->in_frame && !looks(w) ? w->left : 0;
}

const struct wire_inner ws_inner = {
    .start = ws_start,
    .read = ws_read,
    .hole = ws_hole,
    .unwanted = ws_unwanted,
};
