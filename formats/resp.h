/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of RESP: resp.c and resp_reply.c frame by lines, resp_whole.c takes messages that came whole, resp_command.c knows the
 * commands, resp_pubsub.c which replies answer nothing. All of a connection's state is a struct resp.
 */
#ifndef PERFSHIM_RESP_H
#define PERFSHIM_RESP_H

#include <endian.h>
#include <string.h>

#include "wire_proto.h"

#define RESP_NAME_MAX 32                       /* of a command that is kept */
#define RESP_WORD_MAX 24                       /* of an argument that is looked at */
#define RESP_TEXT_MAX (2 * RESP_NAME_MAX + 2)  /* of a request's operation: name, blank, subcommand */
#define RESP_REQUEST_ARGS_MAX (1024 * 1024)    /* as redis has it */
#define RESP_ROW_BYTES 16

/* --- commands (resp_command.c) --- */

/* What a command does that others do not. */
enum resp_special {
    RESP_PLAIN,
    RESP_SUBSCRIBES,   /* a reply for each channel */
    RESP_UNSUBSCRIBES, /* the same; without arguments for each channel that there was, or one */
    RESP_MONITORS,     /* after its reply come messages, as statuses */
    RESP_REPLICATES,   /* after its reply the connection is something else */
    RESP_CONTAINER,    /* its first argument belongs to its name */
    RESP_READS_STREAM, /* waits for data if it says so */
    RESP_WAITS,        /* for data, or for other servers */
    RESP_SHUTS_DOWN,   /* answered by the end of the connection */
    RESP_RESETS,       /* the connection is as it began */
};

struct resp_row {
    const char *name;
    enum resp_special special;
    const char *subcommands; /* ended by a blank each */
};

/* A request, as far as its arguments were looked at. */
struct resp_command {
    const struct resp_row *row; /* NULL: there is nothing special about it */
    uint32_t total;             /* arguments, with the name */
    uint8_t look;               /* enum resp_look */
    uint8_t skip;               /* arguments that mean nothing to us */
    uint8_t sub, sub_bytes;     /* where in the row's subcommands its own stands; sub_bytes 0: it has none */
    uint8_t reply;              /* enum resp_reply_mode: it asks for it */
    bool waits;
};

enum resp_look { LOOK_NO_FURTHER, LOOK_FOR_SUBCOMMAND, LOOK_FOR_REPLY_MODE, LOOK_FOR_BLOCK };
enum resp_reply_mode { REPLY_AS_BEFORE, REPLY_ON, REPLY_OFF, REPLY_SKIP };

/* The row of a frequent command, its name in capitals and filled up with zeros to RESP_ROW_BYTES, or NULL. Case does not matter;
 * bytes up to `end` may be read. */
const char *resp_frequent(const char *name, size_t n, const char *end);

/* The row of a command that is in some way special, or NULL. No such command is a frequent one. */
const struct resp_row *resp_special_row(const char *name, size_t n);

/* Known by name: one of the two. */
bool resp_known(const char *name, size_t n);

/* A request with so many arguments begins. row: NULL for a command that is not special. */
void resp_command_begin(struct resp_command *c, const struct resp_row *row, uint32_t total);
/* While `look` is not LOOK_NO_FURTHER: the next argument. True if it is a word that is known, and may be kept. */
bool resp_command_word(struct resp_command *c, const char *word, size_t n);
/* The next argument is longer than any word. */
void resp_command_pass(struct resp_command *c);

/* A command in a line is kept with the words that resp_command_word knows, and, where replies are counted by the arguments, a "?"
 * for each other: whether more of them matter; and the next one, put behind the first `kept` bytes of a text of PAYLOAD_TEXT_MAX
 * with room for a line's end. Gives the text's length then, 0 if it is full. */
bool resp_keeps_words(const struct resp_command *c);
size_t resp_keep_word(struct resp_command *c, char *text, size_t kept, const char *word, size_t n);

/* --- a connection --- */

#define RESP_NESTED_MAX 2    /* streamed aggregates within one another */
#define RESP_AWAITED_MAX 6   /* requests on their way that get several replies */

/* A request that gets several replies. */
struct resp_awaited {
    uint32_t number; /* the request's; it counts from 1 */
    uint32_t left;   /* replies still to come; 0: until none is left of what it unsubscribes from */
};

struct resp {
    /* requests */
    struct resp_command command;
    uint32_t args;  /* still to come */
    uint8_t phase;  /* enum request_phase */
    uint8_t word_bytes;
    bool headed;    /* the request's head was told */
    bool silent;    /* it gets no reply */
    bool reply_off, reply_skip;
    /* Requests that get a reply, and replies, finished since the reply side last lost its place. */
    uint32_t requests, replies;
    uint32_t opaque_from; /* the reply with this number is the last that is a reply; 0: none */
    uint32_t watch_from;  /* from this reply on, replies may be messages; 0: none, or it was reached: */
    bool watch;
    bool monitor;
    /* Something about the connection is not usual: messages are looked at one by one. */
    bool odd;
    /* the reply */
    uint8_t reply_phase; /* enum reply_phase */
    uint8_t reply_word_bytes;
    uint8_t confirm;     /* enum resp_word of the confirmation that the reply is, or 0 */
    uint8_t nested;      /* streamed aggregates that have not ended */
    bool chunks;         /* within a streamed string */
    bool head_due, interim, push;
    uint64_t elements;   /* still to come; 0 between replies */
    uint64_t outer[RESP_NESTED_MAX]; /* those of what is around a streamed aggregate */
    struct resp_awaited awaited[RESP_AWAITED_MAX];
    uint8_t awaited_count;
    uint32_t channels, patterns; /* subscribed to, as the confirmations say */
    /* The last command that came whole: most connections send the same again. Its first 8 bytes, and those behind them up to
     * the end of its name, at most 8, moved to the top of a number. */
    uint64_t last_start, last_name;
    const char *last_row;
    uint8_t last_bytes; /* 0: it does not fit in here, or there is none */
    uint8_t last_args, last_name_bytes;
};

_Static_assert(sizeof(struct resp) <= WIRE_STATE_BYTES, "state too large");

/* --- requests that came to their end, and their heads (resp.c) --- */

/* r->command was looked at as far as it wants. text: RESP_TEXT_MAX bytes for the operation; name: of a command that is not special. */
void resp_request_head(struct resp *r, struct wire_step *step, char *text, const char *name, size_t n);
void resp_request_ends(struct resp *r, struct wire_step *step);

/* --- what is no reply (resp_pubsub.c) --- */

/* The word that a message of publish and subscribe begins with. */
enum resp_word {
    WORD_NONE,
    WORD_MESSAGE,
    WORD_SUBSCRIBED,
    WORD_SUBSCRIBED_PATTERN,
    WORD_SUBSCRIBED_SHARD,
};
#define RESP_PUSH_WORD_MAX 12

enum resp_word resp_word(const char *text, size_t n);

/* The request that just ended, its number r->requests, has these channels: how its replies will be told from messages. False if
 * there are too many such requests on their way. */
bool resp_awaits(struct resp *r);

/* Whether the reply that begins may be a message that was not asked for. */
bool resp_watching(struct resp *r);

/* The confirmation says that there are so many subscriptions: gives whether it is its request's last reply. */
bool resp_confirmed(struct resp *r, enum resp_word word, uint64_t subscriptions);

/* A reply that is no message ended. */
void resp_replied(struct resp *r);

/* A line of MONITOR: "+1339518083.107412 [0 127.0.0.1:60866] ...". */
static inline bool resp_is_monitored(const char *text, size_t n)
{
    return n > 12 && text[0] == '+' && text[1] >= '0' && text[1] <= '9' && memchr(text, '.', 12 + 1);
}

/* --- lines --- */

#define RESP_LENGTH_LINE_MAX 24

static inline void resp_lost(struct wire_step *step) { step->then = THEN_LOST; }

static inline void resp_keep_whole(const struct wire_line *line, struct wire_step *step)
{
    step->keep = line->text;
    step->keep_bytes = line->whole_bytes;
}

static inline void resp_count_bytes(struct wire_step *step, uint64_t n)
{
    step->then = THEN_COUNT;
    step->count = n;
}

/* Reads the number behind the type byte, which must fill the line; it may be kept, so it may not be padded for ever. */
static inline bool resp_line_number(const struct wire_line *line, uint64_t *n)
{
    const char *end = line->text + line->bytes;
    return line->bytes <= RESP_LENGTH_LINE_MAX && wire_number(line->text + 1, end, 10, n) == end;
}

/* How long the word at text is. */
static inline size_t resp_word_bytes(const char *text, size_t n)
{
    size_t word = 0;
    while (word < n && text[word] != ' ' && text[word] != '\t')
        word++;
    return word;
}

/* --- replies (resp_reply.c) --- */

void resp_reply_line(struct resp *r, const struct wire_line *line, struct wire_step *step);
void resp_reply_counted(struct resp *r, struct wire_step *step);
void resp_reply_lost(struct resp *r);

/* Whether a reply may begin with this line, where the place in the stream was lost. */
bool resp_reply_resync(const struct resp *r, const char *text, size_t n);

/* --- messages that came whole (resp_whole.c) --- */

size_t resp_whole(void *state, enum wire_side side, const char *bytes, size_t n, struct wire_step *step,
                  struct wire_part part[WIRE_PARTS_MAX + 1]);

bool resp_is_plain_status(const char *text, size_t n);

/* The first n bytes, at most 8, as a number; bytes up to `end` may be read. */
static inline uint64_t resp_letters(const char *text, size_t n, const char *end)
{
    uint64_t word = 0;

    if (end - text < 8)
        memcpy(&word, text, n);
    else
        memcpy(&word, text, 8);
    return n < 8 ? le64toh(word) & ((UINT64_C(1) << 8 * n) - 1) : le64toh(word);
}

#endif
