/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of byte streams that may have holes: from a connection's two directions to messages.
 *
 * The recorder and the analyzer both run this. The recorder feeds raw bytes and keeps what the protocol's allow-list lets
 * through (`keep`); everything else becomes a gap of known length. The analyzer feeds what was kept, and sees the same
 * messages at the same stream offsets. So a protocol is described once, and a secret can only reach the file if its
 * protocol's allow-list names it.
 *
 * All protocols here are made of lines (ended by LF, or CR LF) and counted runs of bytes. A protocol (wire_proto) says, for
 * each line, what of it may be kept and what follows: another line, so many bytes, bytes up to the end of the stream, or
 * bytes that mean nothing to us.
 *
 * A body may have messages of another protocol in it, and a connection may become another one's. What is found there is told as
 * marks, which are kept (mark.h), and cost the analyzer no look at the bytes.
 *
 * A wire_conn belongs to one thread at a time, allocates nothing but one line buffer per direction while a line is
 * incomplete, and bounds it, and less than 400 bytes per direction once a body of it was looked into. No input makes it fail: what cannot be framed makes the direction LOST, and it finds its place
 * again at the next run of bytes that begins like a message.
 */
#ifndef PERFSHIM_WIRE_H
#define PERFSHIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_side { WIRE_REQUEST, WIRE_RESPONSE };

/* TLS is known by its first bytes; what follows is opaque. Those from WIRE_JSONRPC on are found inside of others, and never a
 * connection's. */
enum wire_protocol { WIRE_UNKNOWN, WIRE_HTTP1, WIRE_RESP, WIRE_TLS, WIRE_JSONRPC, WIRE_PROTOCOLS };
extern const char *const wire_protocol_name[WIRE_PROTOCOLS]; /* "tcp", "http/1.1", "redis", "tls", "json-rpc" */

/* Exchanges of such connections are a guess. */
static inline bool wire_protocol_guesses(enum wire_protocol p) { return p == WIRE_UNKNOWN || p == WIRE_TLS; }

/* How a request is answered: by a response, by none, or by the end of the connection (or a response that refuses it). */
enum wire_answer { ANSWER_RESPONSE, ANSWER_NONE, ANSWER_CLOSE };

/* What a connection, or a response's body, can turn into. */
enum wire_stream { WIRE_STREAM_NONE, WIRE_STREAM_EVENTS, WIRE_STREAM_WEBSOCKET };
struct mark;

/* What is known once a message's operation or status is known. Texts are borrowed for the call, not ended by NUL, and were
 * scrubbed: no query, no arguments. */
struct wire_head {
    const char *method; /* request: HTTP method, or the command's name in capitals, with its subcommand */
    size_t method_bytes;
    const char *path; /* HTTP request: the target's path; else NULL */
    size_t path_bytes;
    uint16_t status;    /* HTTP response: 100 to 599; else 0 */
    bool error;         /* response: 5xx, or a Redis error reply */
    bool interim;       /* response: answers no request (HTTP 1xx other than 101, a message): the real one is to come */
    bool pushed;        /* response, which is interim: a message that no request asked for */
    bool queued;        /* response: the request will be carried out later (Redis MULTI) */
    bool waits;         /* request: its time is that of waiting for data, not of work (Redis BLPOP) */
    uint8_t answer;     /* request: enum wire_answer */
};

/* Where messages go. Any function may be NULL. Offsets count the stream's bytes in that direction. A message is begun,
 * headed and ended, in this order, or lost; it begins with its first byte, maybe before the protocol is known. */
struct wire_sink {
    void *context;
    struct wire_memo *memo; /* wire_memo.h: of raw bytes; NULL: none */
    void (*begin)(void *context, enum wire_side side, uint64_t offset); /* of the message's first byte */
    void (*head)(void *context, enum wire_side side, const struct wire_head *head);
    void (*end)(void *context, enum wire_side side, uint64_t offset);   /* behind the message's last byte */
    /* The response whose head was told is a stream from offset on: of events, which ends with the message; or the connection is
     * WebSocket's for good, after the message's end. */
    void (*stream)(void *context, enum wire_stream stream, uint64_t offset);
    /* This was found in a body or stream (mark.h), and is whole with the byte before offset. The mark is borrowed. */
    void (*mark)(void *context, enum wire_side side, uint64_t offset, const struct mark *mark);
    /* framing was lost at offset (a hole, or bytes that are not the protocol): an unfinished message will not end */
    void (*lost)(void *context, enum wire_side side, uint64_t offset);
    /* the allow-listed text that stands for the `stream_bytes` stream bytes before `offset` (recorder only). Several kept
     * texts may be stored as one if each has as many bytes as it stands for. */
    void (*keep)(void *context, enum wire_side side, uint64_t offset, uint32_t stream_bytes, const char *text,
                 size_t text_bytes);
};

struct wire_conn; /* about 400 bytes */
struct wire_memo;

/* The caller maps directions to sides: of an accepted connection what the host reads is the request, of one that it
 * connected what it writes; where neither is known, what comes first. NULL if memory is short. */
struct wire_conn *wire_new(void);
void wire_free(struct wire_conn *c);

enum wire_protocol wire_protocol(const struct wire_conn *c);
uint64_t wire_offset(const struct wire_conn *c, enum wire_side side); /* stream bytes fed so far */
bool wire_lost(const struct wire_conn *c, enum wire_side side); /* its place in the direction is not known */
/* The stream offset up to which bytes will mean nothing whatever they are, if it is not lost before: UINT64_MAX: for good. */
uint64_t wire_unwanted(const struct wire_conn *c, enum wire_side side);
bool wire_opaque(const struct wire_conn *c); /* nothing fed from now on will mean or keep anything */

/* The next n bytes of a direction, raw, as they went over the connection in one call. */
void wire_bytes(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, const uint8_t *bytes, size_t n);
/* The same of a scrubbed stream: kept text standing for n stream bytes; n masked bytes; n bytes that nobody saw. wire_hole
 * is also the recorder's, for what was beyond the capture limit. A hole within a counted run does no harm; a hole of 0
 * bytes only says that the direction is lost here. */
void wire_text(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint32_t n, const char *text,
               size_t text_bytes);
void wire_gap(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint64_t n);
void wire_hole(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side, uint64_t n);
/* Of a scrubbed stream: takes the units at p at once if they are all of a message's head. Gives what is behind them, and takes their
 * stream bytes off *left, which are those of the call; NULL, with nothing done, if they must go one by one. A shortcut only.
 * memo: what the heads met lately came to; one for any number of connections, see wire_memo.h. */
const uint8_t *wire_head_units(struct wire_conn *c, struct wire_memo *memo, const struct wire_sink *sink, enum wire_side side,
                               const uint8_t *p, const uint8_t *end, uint64_t *left);
/* The direction will carry no more: ends a message that lasts to the end of the stream, loses any other open one. */
void wire_close(struct wire_conn *c, const struct wire_sink *sink, enum wire_side side);

/*
 * Payload as it stands in an io event (TRACE.md, "Payload"): units that add up to the bytes of the call, the last gap
 * left out. Each unit starts with varint n << 2 | kind:
 *   PAYLOAD_GAP   n masked stream bytes
 *   PAYLOAD_TEXT  n stream bytes, for which stand: varint length, kept text
 *   PAYLOAD_HOLE  n stream bytes that were not captured, or could not be framed; 0: the direction is lost here
 */
enum payload_kind { PAYLOAD_GAP, PAYLOAD_TEXT, PAYLOAD_HOLE };
#define PAYLOAD_TEXT_MAX 1024 /* kept text of one unit is cut to this */

struct payload_unit {
    enum payload_kind kind;
    uint64_t stream_bytes;
    const char *text;
    size_t text_bytes;
};

/* Takes the unit at *p, moving it on: 1, or 0 at the end, or -1 if it is malformed. */
int payload_next(const uint8_t **p, const uint8_t *end, struct payload_unit *unit);

#endif
