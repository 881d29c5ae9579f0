/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk's events come one at a time, but their fields are decoded by columns: a few rows of a type at once, when the first of them
 * is asked for. So the loop over a column has nothing to decide but how long a number is, and most numbers of a column are
 * as long as the one before; eight of one byte each are taken together. A column that is the same byte throughout is decoded when the
 * chunk is opened, and never again.
 *
 * Where a column is cut short, the rows before it are good.
 */
#include "column.h"

#include <string.h>

#include "trace.h"

#define BYTES_TOGETHER 8 /* that are looked at as one word */
#define MORE_BITS UINT64_C(0x8080808080808080)

static const uint16_t first_column[EVENT_TYPES] = {
#define F(name, coding, show)
#define EVENT(number, name, data, fields) [number] = COLUMN_##name,
#include "events.def"
#undef EVENT
#undef F
};

struct column_cursor column_reader_field(const struct column_reader *r, unsigned type, unsigned field)
{
    if (!event_table[type].name || field >= event_table[type].fields)
        return (struct column_cursor){NULL, NULL};
    return r->column[first_column[type] + field].left;
}

/* --- opening --- */

static bool take_number(struct column_cursor *from, uint64_t *v)
{
    const uint8_t *p = varint_get(from->p, from->end, v);

    if (!p)
        return false;
    from->p = p;
    return true;
}

static bool take_column(struct column_cursor *from, struct column_cursor *column)
{
    uint64_t bytes;

    if (!take_number(from, &bytes) || bytes > (uint64_t)(from->end - from->p))
        return false;
    column->p = from->p;
    from->p += bytes;
    column->end = from->p;
    return true;
}

static bool known_type(unsigned t) { return t < EVENT_TYPES && event_table[t].name; }

/* The columns of one type; those that we do not know are stepped over. */
static const char *open_type(struct column_reader *r, struct column_cursor *in, uint32_t occurs[256])
{
    struct column_cursor unknown;
    uint64_t t, fields, has_data;

    if (!take_number(in, &t) || !take_number(in, &fields) || !take_number(in, &has_data))
        return "a type's columns are cut short";
    if (t > 255 || !occurs[t] || has_data > 1)
        return "it has columns of a type that does not occur in it";
    bool known = known_type((unsigned)t);
    for (uint64_t f = 0; f < fields; f++)
        if (!take_column(in, known && f < event_table[t].fields ? &r->column[first_column[t] + f].left : &unknown))
            return "a field's column is cut short";
    if (has_data && !take_column(in, known && event_table[t].has_data ? &r->data[t] : &unknown))
        return "a data column is cut short";
    if (known && event_table[t].has_data && !has_data)
        return "a data column is missing";
    if (known) {
        r->fields[t] = (uint8_t)(fields < event_table[t].fields ? fields : event_table[t].fields);
        r->rows[t].left = occurs[t];
        r->known[t] = true;
    }
    occurs[t] = 0;
    return NULL;
}

/* Whether all of the column's numbers are the same one byte, and as differences 0; then *v is what that stands for. */
static bool is_constant(const struct column *c, enum field_coding coding, uint32_t numbers, uint64_t *v)
{
    const uint8_t *p = c->left.p;
    size_t bytes = (size_t)(c->left.end - p);

    if (bytes != numbers || *p >= (coding == CODING_DELTA ? 1 : 0x80) || memcmp(p, p + 1, bytes - 1) != 0)
        return false;
    *v = coding == CODING_PLAIN ? *p : (uint64_t)zigzag_decode(*p);
    return true;
}

/* Fills in what is the same in all rows: constant columns, and fields that are younger than the file. */
static void fill_constants(struct column_reader *r, unsigned t)
{
    const struct event_info *info = &event_table[t];
    struct column_rows *rows = &r->rows[t];

    for (unsigned f = 0; f < info->fields; f++) {
        struct column *c = &r->column[first_column[t] + f];
        uint64_t v = EVENT_UNKNOWN;
        c->constant = f >= r->fields[t] || is_constant(c, info->field[f].coding, rows->left, &v);
        for (unsigned i = 0; c->constant && i < rows->room; i++)
            r->words[rows->at + i * info->fields + f] = v;
    }
}

/* Room for some rows of each type that occurs, of the first types more: those are threads'. */
static void open_rows(struct column_reader *r)
{
    unsigned at = 0, rest = COLUMN_WORDS;

    for (unsigned t = 0; t < EVENT_TYPES; t++)
        rest -= r->rows[t].left ? event_table[t].fields : 0;
    for (unsigned t = 0; t < EVENT_TYPES; t++) {
        struct column_rows *rows = &r->rows[t];
        unsigned fields = event_table[t].fields, more = rest / (fields ? fields : 1);
        if (!rows->left)
            continue;
        if (more > COLUMN_ROWS - 1)
            more = COLUMN_ROWS - 1;
        if (more > rows->left - 1)
            more = rows->left - 1;
        rows->at = (uint16_t)at;
        rows->room = (uint8_t)(1 + more);
        rest -= more * fields;
        at += rows->room * fields;
        fill_constants(r, t);
    }
}

const char *column_reader_open(struct column_reader *r, const uint8_t *content, size_t bytes, uint32_t events,
                               uint64_t first_ticks)
{
    struct column_cursor in = {content, content + bytes};
    uint64_t count, time_bytes, lead;
    uint32_t occurs[256] = {0};

    memset(r, 0, offsetof(struct column_reader, words));
    if (!take_number(&in, &count) || count != events)
        return "its event count is not its header's";
    if (count > (uint64_t)(in.end - in.p))
        return "its type column is cut short";
    r->types = in.p;
    r->types_end = in.p += count;
    for (const uint8_t *t = r->types; t < r->types_end; t++)
        occurs[*t]++;
    if (!take_number(&in, &time_bytes) || !take_number(&in, &lead) || time_bytes > (uint64_t)(in.end - in.p))
        return "its time column is cut short";
    r->time.left = (struct column_cursor){in.p, in.p + time_bytes};
    r->time.previous = first_ticks + lead;
    in.p += time_bytes;
    while (in.p < in.end) {
        const char *wrong = open_type(r, &in, occurs);
        if (wrong)
            return wrong;
    }
    for (unsigned t = 0; t < EVENT_TYPES; t++)
        if (occurs[t] && known_type(t))
            return "the columns of a type are missing";
    open_rows(r);
    return NULL;
}

/* --- numbers --- */

static inline uint64_t meant(enum field_coding coding, uint64_t v, uint64_t *previous)
{
    if (coding == CODING_PLAIN)
        return v;
    if (coding == CODING_SIGNED)
        return (uint64_t)zigzag_decode(v);
    return *previous += (uint64_t)zigzag_decode(v);
}

/* One number at p, behind which there are BYTES_TOGETHER bytes; NULL if it is none. */
static inline const uint8_t *take_near(const uint8_t *p, const uint8_t *end, uint64_t word, uint64_t *v)
{
    if (!(word & 0x80)) {
        *v = word & 0x7f;
        return p + 1;
    }
    uint64_t last = ~word & MORE_BITS;
    if (__builtin_expect(!last, 0))
        return varint_get(p, end, v);
    *v = varint_fold(word & (last ^ (last - 1)));
    return p + (__builtin_ctzll(last) >> 3) + 1;
}

/* Decodes n numbers into every stride-th word from out on; gives how many there were, and leaves the column in front of the next. */
static inline __attribute__((always_inline)) unsigned take_run(struct column *c, enum field_coding coding, uint64_t *out,
                                                               unsigned stride, unsigned n)
{
    const uint8_t *p = c->left.p, *end = c->left.end;
    uint64_t previous = c->previous, v, word;
    unsigned left = n;

    while (left && p) {
        if (end - p < BYTES_TOGETHER) {
            if (!(p = varint_get(p, end, &v)))
                break;
            *out = meant(coding, v, &previous);
            out += stride;
            left--;
            continue;
        }
        memcpy(&word, p, sizeof word);
        word = le64toh(word);
        if (!(word & MORE_BITS) && left >= BYTES_TOGETHER) {
            for (unsigned i = 0; i < BYTES_TOGETHER; i++, word >>= 8, out += stride)
                *out = meant(coding, word & 0xff, &previous);
            p += BYTES_TOGETHER;
            left -= BYTES_TOGETHER;
            continue;
        }
        if (!(p = take_near(p, end, word, &v)))
            break;
        *out = meant(coding, v, &previous);
        out += stride;
        left--;
    }
    c->left.p = p ? p : c->left.end; /* nothing is taken of a column behind where it is broken */
    c->previous = previous;
    return n - left;
}

static unsigned take_PLAIN(struct column *c, uint64_t *out, unsigned stride, unsigned n)
{
    return take_run(c, CODING_PLAIN, out, stride, n);
}

static unsigned take_SIGNED(struct column *c, uint64_t *out, unsigned stride, unsigned n)
{
    return take_run(c, CODING_SIGNED, out, stride, n);
}

static unsigned take_DELTA(struct column *c, uint64_t *out, unsigned stride, unsigned n)
{
    return take_run(c, CODING_DELTA, out, stride, n);
}

/* --- rows --- */

/* The next rows of a type that has been used up; false if there is none. */
static __attribute__((noinline)) bool next_rows(struct column_reader *r, unsigned type)
{
    static unsigned (*const take[])(struct column *, uint64_t *, unsigned, unsigned) = {
        [CODING_PLAIN] = take_PLAIN, [CODING_SIGNED] = take_SIGNED, [CODING_DELTA] = take_DELTA};
    const struct event_info *info = &event_table[type];
    struct column_rows *rows = &r->rows[type];
    unsigned n = rows->left < rows->room ? rows->left : rows->room, whole = n;

    for (unsigned f = 0; f < info->fields; f++) {
        struct column *c = &r->column[first_column[type] + f];
        unsigned got = c->constant ? n : take[info->field[f].coding](c, &r->words[rows->at + f], info->fields, n);
        whole = got < whole ? got : whole;
    }
    rows->left = whole < n ? 0 : rows->left - n;
    rows->next = 0;
    rows->count = (uint8_t)whole;
    return whole > 0;
}

static int read_event(struct column_reader *r, struct event *e)
{
    const unsigned type = e->type;
    struct column_rows *rows = &r->rows[type];
    uint64_t bytes;

    if (rows->next == rows->count && !next_rows(r, type))
        return -1;
    const uint64_t *row = &r->words[rows->at + rows->next++ * event_table[type].fields];
    switch (type) {
#define F(name, coding, show)
#define EVENT(number, name, data, fields) case number: memcpy(&e->u.name, row, sizeof e->u.name); break;
#include "events.def"
#undef EVENT
#undef F
    }
    if (!event_table[type].has_data)
        return 1;
    struct column_cursor *column = &r->data[type];
    if (column->p < column->end && *column->p < 0x80)
        bytes = *column->p++;
    else if (!take_number(column, &bytes))
        return -1;
    if (bytes > (uint64_t)(column->end - column->p))
        return -1;
    e->data = column->p;
    e->data_bytes = (uint32_t)bytes;
    column->p += bytes;
    return 1;
}

bool column_reader_times(struct column_reader *r)
{
    size_t left = (size_t)(r->types_end - r->types);

    r->tick = 0;
    r->ticks_known = (uint8_t)take_DELTA(&r->time, r->ticks, 1, left < COLUMN_TIMES ? (unsigned)left : COLUMN_TIMES);
    return r->ticks_known > 0;
}

int column_reader_next(struct column_reader *r, struct event *e)
{
    int got = column_reader_peek(r, &e->time);

    if (got <= 0)
        return got;
    e->type = *r->types++;
    r->tick++;
    e->data = NULL;
    e->data_bytes = 0;
    return read_event(r, e);
}
