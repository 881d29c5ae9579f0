/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds JSON-RPC 2.0 calls and replies in a JSON text that comes in pieces: an object with "jsonrpc":"2.0", or an array of them.
 *
 * Of a text only the members `jsonrpc`, `method`, `id`, and whether there are `result` and `error`, are looked at. A text is given
 * up when it cannot be JSON-RPC any more, or is nested deeper than JSONRPC_DEPTH_MAX, or there was no "jsonrpc":"2.0" for JSONRPC_PATIENCE_BYTES
 * outside of objects that have it. It is not checked to be right JSON otherwise.
 */
#ifndef PERFSHIM_JSONRPC_H
#define PERFSHIM_JSONRPC_H

#include "mark.h"
#include "siphash.h"

#define JSONRPC_DEPTH_MAX 10000
#define JSONRPC_PATIENCE_BYTES 65536

struct jsonrpc {
    struct siphash id_hash;
    uint64_t id;
    uint32_t idle_bytes; /* without a version, outside of objects that have one */
    uint16_t depth, unicode, high_surrogate;
    uint8_t lex, taken, member; /* enums of jsonrpc.c */
    uint8_t members;            /* depth of an object's members: 1, or 2 in a batch; 0: the text has not begun */
    uint8_t seen;               /* members that the object has had */
    uint8_t digits, word_bytes, method_bytes, id_kind;
    bool in_object, expects_key, known, over, can_hash;
    char word[8];
    char method[MARK_METHOD_MAX];
};

void jsonrpc_start(struct jsonrpc *j);

/* As wire_inner's read and hole. The mark's method is borrowed until the next call. */
size_t jsonrpc_read(struct jsonrpc *j, const char *bytes, size_t n, struct mark *mark);
void jsonrpc_hole(struct jsonrpc *j, struct mark *mark);

static inline bool jsonrpc_over(const struct jsonrpc *j) { return j->over; } /* there will be no more marks */

#endif
