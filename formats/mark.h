/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is found inside a body or a stream: the end of a server-sent event, the end of a WebSocket message, a JSON-RPC call or
 * reply. A mark has no content: sizes, kinds, a method's name, and an id that cannot be turned back into a text.
 *
 * In a trace a mark is one line of kept text (TRACE.md, "Marks"), so that the analyzer need not have the bytes.
 */
#ifndef PERFSHIM_MARK_H
#define PERFSHIM_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mark_kind {
    MARK_NONE,
    MARK_EVENT,  /* a server-sent event ends */
    MARK_TEXT,   /* a WebSocket message ends */
    MARK_BINARY,
    MARK_PING,   /* a control frame ends */
    MARK_PONG,
    MARK_CLOSE,
    MARK_MISSING, /* bytes are missing: messages or events of that direction may be, too */
    MARK_CALL,    /* JSON-RPC 2.0: a request */
    MARK_NOTIFY,  /* one without an id: there will be no reply */
    MARK_REPLY,   /* a reply with a result */
    MARK_ERROR,   /* a reply with an error */
    MARK_KINDS
};

/* A number below 10^18 is kept as it is; any other number, and all texts, as a hash under a key that is not in the trace. */
enum mark_id { MARK_ID_NONE, MARK_ID_NULL, MARK_ID_NUMBER, MARK_ID_HASH };

#define MARK_METHOD_MAX 96 /* longer ones are cut */
#define MARK_ID_NUMBER_MAX UINT64_C(999999999999999999)

struct mark {
    enum mark_kind kind;
    bool inside;     /* control frames: between the fragments of a message */
    bool compressed; /* messages: by permessage-deflate */
    bool batch;      /* calls and replies: one of several in an array */
    enum mark_id id_kind;
    uint64_t id;
    uint64_t bytes; /* of a message's or control frame's payload, as it was sent */
    const char *method; /* of calls and notifications: of letters, digits and signs, no quotes; borrowed */
    size_t method_bytes;
};

#define MARK_TEXT_MAX (MARK_METHOD_MAX + 32)

static inline bool mark_is_rpc(enum mark_kind kind) { return kind >= MARK_CALL; }

/* Writes the line, its LF included; gives its bytes. */
size_t mark_put(char out[MARK_TEXT_MAX], const struct mark *mark);

/* Reads a line with its LF: false if it is none. The method is borrowed of the text. */
bool mark_get(const char *text, size_t n, struct mark *mark);

/* What stands for a byte of a method. */
static inline char mark_method_byte(char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\' ? c : '_'; }

#endif
