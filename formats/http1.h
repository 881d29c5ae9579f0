/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP/1's framing (http1.c) and its headers (http1_header.c) share. */
#ifndef PERFSHIM_HTTP1_H
#define PERFSHIM_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire_proto.h"

/* What a known word in a header says of the bytes behind the head. */
enum looks { LOOKS_NOTHING, LOOKS_JSON, LOOKS_EVENTS, LOOKS_WEBSOCKET, LOOKS_CODED /* like nothing else, until it is decoded */ };

/* Of one side: the message that it is in. */
struct http1_side {
    uint64_t length;
    uint16_t status;
    uint8_t phase;
    uint8_t method;  /* of the request, or of the one that the response answers */
    bool has_length;
    bool has_coding; /* a transfer-encoding */
    bool chunked;    /* which ends with chunked */
    uint8_t looks;   /* enum looks */
};

#define WORD_MAX 39

/* Filled up with zeros, so that it can be copied as a block. */
struct word {
    char text[WORD_MAX + 1];
    uint8_t bytes;
    uint8_t looks;
};
#define WORD(text) {text, sizeof(text) - 1, LOOKS_NOTHING}
#define LOOK(text, looks) {text, sizeof(text) - 1, LOOKS_##looks}

/* At out, which has room for a whole block; gives the word's end. */
static inline char *http1_put_word(char *out, const struct word *word)
{
    memcpy(out, word->text, sizeof word->text);
    return out + word->bytes;
}

static inline bool http1_is_blank(char c) { return c == ' ' || c == '\t'; }

/* Takes a header's line: what it says of the framing, and what may be kept of it. */
void http1_header(struct http1_side *s, const struct wire_line *line, struct wire_step *step);

/* Takes the headers at `line` up to the empty line, and writes what is kept of each at out, a part each. Gives what is behind;
 * NULL: the message must come by lines. */
const char *http1_headers(struct http1_side *s, const char *line, const char *end, char *out, const char *out_end,
                          struct wire_part *part);

#endif
