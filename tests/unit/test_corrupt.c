/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile traces: cut at every length, with flipped bits, and forged ones whose checksums are all sound.
 *
 * Without arguments it reads them in this process. With --write DIR it writes them there instead, for tests/t/corrupt.t to
 * run the whole analyzer on. All randomness is seeded: a file's name says how to make it again.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "merge.h"
#include "process.h"
#include "trace_builder.h"
#include "varint.h"
#include "wire.h"

#define FILE_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
#define CHUNK_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)

static uint64_t random_state;

static void random_seed(uint64_t seed) { random_state = seed * 0x9E3779B97F4A7C15u + 1; }

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* --- a trace as a small HTTP server might leave it --- */

enum { OP_malloc = 1, OP_free, OP_read, OP_write, OP_accept, OP_close, OP_epoll_wait, OP_mmap };

static void add(struct trace_builder *b, uint32_t thread, struct event e) { trace_builder_add(b, 1, thread, &e); }

static void add_preface(struct trace_builder *b)
{
    static const char *const ops[] = {"malloc", "free", "read", "write", "accept4", "close", "epoll_wait", "mmap"};
    struct event e = {.type = EVENT_clock, .time = 3000000, .u.clock.raw_ns = 1000000000};

    trace_builder_add(b, 0, 0, &e);
    e = (struct event){.type = EVENT_setting, .time = 1, .u.setting.value = 1024};
    trace_builder_add_text(b, 0, 0, e, "capture");
    for (uint64_t op = 1; op <= 8; op++) {
        e = (struct event){.type = EVENT_op, .time = 1, .u.op.op = op};
        trace_builder_add_text(b, 0, 0, e, ops[op - 1]);
    }
    e = (struct event){.type = EVENT_process, .time = 10, .u.process = {.pid = 1001, .ppid = 1}};
    trace_builder_add_text(b, 1, 0, e, "/usr/bin/example-server");
    e = (struct event){.type = EVENT_module, .time = 11, .u.module = {.start = 0x400000, .end = 0x500000}};
    trace_builder_add_text(b, 1, 0, e, "/usr/bin/example-server");
}

static void add_stack(struct trace_builder *b, uint32_t thread, uint64_t id, uint64_t time)
{
    uint8_t frames[32];

    for (size_t i = 0; i < sizeof frames; i++)
        frames[i] = (uint8_t)((0x400000 + 16 * id + i / 8) >> (8 * (i % 8)));
    add(b, thread, (struct event){.type = EVENT_stack, .time = time, .u.stack.stack = id, .data = frames,
                                  .data_bytes = sizeof frames});
}

static void add_io(struct trace_builder *b, uint32_t thread, uint64_t time, uint64_t desc, bool out, uint64_t offset,
                   const char *text)
{
    uint8_t data[128], *p = data;
    size_t n = strlen(text);

    p = varint_put(p, n << 2 | PAYLOAD_TEXT);
    p = varint_put(p, n);
    memcpy(p, text, n);
    p += n;
    struct event e = {.type = EVENT_io, .time = time, .data = data, .data_bytes = (uint32_t)(p - data)};
    e.u.io = (struct event_io){.desc = desc, .fd = 7, .op = out ? OP_write : OP_read, .dir = out, .offset = offset,
                               .bytes = n, .asked = 4096, .duration = 50, .flags = IO_STREAM, .alloc_count = 1,
                               .alloc_bytes = 64};
    add(b, thread, e);
}

/* One connection with some requests on one thread. */
static void add_connection(struct trace_builder *b, uint32_t thread, uint64_t desc, uint64_t time)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(40000), .sin_addr.s_addr = htonl(0x7f000001)};
    const char *request = "GET /users/17 HTTP/1.1\r\n\r\n",
               *response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct event e = {.type = EVENT_desc_open, .time = time, .data = (const uint8_t *)&peer, .data_bytes = sizeof peer};

    e.u.desc_open = (struct event_desc_open){.desc = desc, .fd = 7, .kind = KIND_tcp, .op = OP_accept, .from = 1};
    add(b, thread, e);
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t t = time + 1000 * (i + 1), ptr = 0x10000 * desc + 64 * i;
        e = (struct event){.type = EVENT_wait, .time = t};
        e.u.wait = (struct event_wait){.op = OP_epoll_wait, .fd = 4, .ready = 1, .timeout = EVENT_UNKNOWN, .duration = 900};
        add(b, thread, e);
        add_io(b, thread, t + 100, desc, false, i * strlen(request), request);
        e = (struct event){.type = EVENT_alloc, .time = t + 200};
        e.u.alloc = (struct event_alloc){.ptr = ptr, .size = 40 + i, .slack = 8, .stack = thread, .op = OP_malloc};
        add(b, thread, e);
        if (i % 4)
            add(b, thread, (struct event){.type = EVENT_free, .time = t + 300, .u.free = {.ptr = ptr, .op = OP_free}});
        add_io(b, thread, t + 400, desc, true, i * strlen(response), response);
    }
    e = (struct event){.type = EVENT_desc_close, .time = time + 9900, .u.desc_close = {.desc = desc, .fd = 7, .op = OP_close}};
    add(b, thread, e);
}

static void build(struct trace_builder *b)
{
    trace_builder_start(b, TRACE_CLOCK_TSC);
    add_preface(b);
    for (uint32_t thread = 1; thread <= 3; thread++) {
        add_stack(b, thread, thread, 100);
        for (uint64_t i = 0; i < 4; i++) {
            add_connection(b, thread, 10 * thread + i, 1000 + 20000 * i + thread);
            if (i % 2)
                trace_builder_cut(b, 1, thread);
        }
    }
    for (uint64_t i = 0; i < 5; i++) {
        struct event e = {.type = EVENT_gauge, .time = 20000 * i, .u.gauge = {.rss_anon = 1000000 + 4096 * i, .fds = 9}};
        trace_builder_add(b, 1, 0, &e);
    }
    struct event e = {.type = EVENT_process_end, .time = 100000, .u.process_end.how = HOW_exit};
    trace_builder_add(b, 1, 0, &e);
    trace_builder_end(b);
}

/* --- forging --- */

static struct event random_event(void)
{
    static uint8_t data[300];
    struct event e = {.time = random_next() % 4 ? random_next() % 100000 : random_next()};

    do
        e.type = (uint16_t)(random_next() % EVENT_TYPES);
    while (!event_table[e.type].name);
    for (unsigned f = 0; f < event_table[e.type].fields; f++) {
        uint64_t r = random_next();
        e.u.field[f] = r % 3 == 0 ? r >> 59 : r % 3 == 1 ? random_next() >> (r >> 58) : EVENT_UNKNOWN - (r >> 60);
    }
    if (event_table[e.type].has_data) {
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)random_next();
        e.data = data;
        e.data_bytes = (uint32_t)(random_next() % sizeof data);
    }
    return e;
}

/* Any event with any value, in no order. */
static void build_nonsense(struct trace_builder *b, uint64_t seed)
{
    random_seed(seed);
    build(b);
    for (int i = 0; i < 3000; i++) {
        struct event e = random_event();
        trace_builder_add(b, (uint32_t)(random_next() % 3), 0, &e);
        uint32_t proc = 1 + (uint32_t)(random_next() % 3);
        trace_builder_add(b, proc, 1 + (uint32_t)(random_next() % 6), &e);
        if (random_next() % 200 == 0)
            trace_builder_cut_all(b);
    }
    trace_builder_end(b);
}

/* The sound trace with bytes of its columns changed, and every checksum made right again. */
static void build_forged(struct trace_builder *b, uint64_t seed)
{
    uint8_t *raw = malloc(TRACE_CHUNK_MAX_RAW);
    struct trace_chunk_header h;
    struct trace_builder sound;

    random_seed(seed);
    build(&sound);
    trace_builder_start(b, TRACE_CLOCK_TSC);
    for (size_t at = FILE_FRAME; at < sound.used; at += CHUNK_FRAME + h.packed_bytes) {
        trace_builder_must(trace_get_chunk_header(sound.bytes + at, &h), "the sound trace is not");
        size_t n = ZSTD_decompress(raw, TRACE_CHUNK_MAX_RAW, sound.bytes + at + CHUNK_FRAME, h.packed_bytes);
        for (uint64_t i = 1 + random_next() % 3; i > 0; i--)
            raw[random_next() % n] = (uint8_t)(random_next() % 2 ? random_next() : random_next() % 8);
        if (random_next() % 4 == 0)
            h.last_ticks = random_next();
        trace_builder_chunk(b, h, raw, n);
    }
    free(raw);
    trace_builder_free(&sound);
}

/* Thousands of threads, each with a chunk of a hundred bytes that grows to megabytes. */
static void build_bomb(struct trace_builder *b)
{
    struct trace_chunk_header h = {.proc = 1, .events = 5000, .last_ticks = 10, .raw_bytes = TRACE_CHUNK_MAX_RAW};
    uint8_t *raw = calloc(1, TRACE_CHUNK_MAX_RAW), *p = varint_put(raw, h.events);

    memset(p, EVENT_free, h.events);
    p = varint_put(p + h.events, h.events);
    p[2] = 20; /* all begin at once, and stay open until all have begun */
    p += 1 + h.events;
    *p++ = EVENT_free;
    *p++ = 3;
    *p++ = 0;
    for (unsigned f = 0; f < 2; f++)
        p = varint_put(p, h.events) + h.events;
    p = varint_put(p, (uint64_t)(raw + TRACE_CHUNK_MAX_RAW - p) - 4); /* of the unknown field: a varint of four bytes */
    trace_builder_start(b, TRACE_CLOCK_RAW_NS);
    while (b->used < 1000000) {
        h.thread++;
        trace_builder_chunk(b, h, raw, TRACE_CHUNK_MAX_RAW);
    }
    free(raw);
}

static void build_newer(struct trace_builder *b)
{
    build(b);
    b->header.version_major = 2;
    trace_builder_header(b);
}

/* --- reading in this process --- */

struct outcome {
    bool opened;
    uint64_t events, sum; /* sum: over all that was read */
    struct reader_damage damage;
};

static void add_to_sum(struct outcome *o, const struct item *item)
{
    o->sum = o->sum * 31 + (uint64_t)item->time_ns + item->thread + item->event.type;
    for (unsigned f = 0; f < event_table[item->event.type].fields; f++)
        o->sum = o->sum * 31 + item->event.u.field[f];
    for (uint32_t i = 0; i < item->event.data_bytes; i++)
        o->sum = o->sum * 31 + item->event.data[i];
}

static struct outcome walk(const char *path)
{
    struct outcome o = {.opened = false};
    struct error e = {.text = ""};
    struct reader *r = reader_open(path, &e);
    int64_t last = INT64_MIN;
    struct item item;

    if (!r) {
        assert_true(e.text[0] != '\0');
        return o;
    }
    struct process_table *t = process_table_new();
    struct merge *m = merge_open(r, &e);
    o.opened = true;
    while (merge_next(m, &item, &e) == 1) {
        assert_true(item.time_ns >= last);
        last = item.time_ns;
        assert_int_equal(process_table_feed(t, m, &item), 0);
        add_to_sum(&o, &item);
        o.events++;
    }
    assert_string_equal(e.text, "");
    o.damage = reader_damage(r);
    merge_close(m);
    process_table_free(t);
    reader_close(r);
    return o;
}

static void cut_at_every_length(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    uint64_t whole = walk(trace_builder_save(&b)).events;
    for (size_t n = 0; n < b.used; n++) {
        struct outcome o = walk(trace_builder_save_bytes(&b, b.bytes, n));
        assert_int_equal(o.opened, n >= FILE_FRAME);
        assert_true(o.events < whole);
        assert_false(o.damage.ended);
        assert_true(!o.opened || o.damage.skipped_bytes <= n - FILE_FRAME);
    }
    trace_builder_free(&b);
}

/* Each flipped bit is told of, or changes nothing (zstd has bits that mean nothing). */
static void every_flipped_byte(void **state)
{
    struct trace_builder b;

    (void)state;
    random_seed(1);
    build(&b);
    struct outcome whole = walk(trace_builder_save(&b));
    for (size_t at = 0; at < b.used; at++) {
        uint8_t bit = (uint8_t)(1u << random_next() % 8);
        b.bytes[at] ^= bit;
        struct outcome o = walk(trace_builder_save(&b));
        b.bytes[at] ^= bit;
        assert_true(!o.opened || o.damage.skipped_bytes > 0 || (o.sum == whole.sum && o.events == whole.events));
    }
    trace_builder_free(&b);
}

static void flips_by_the_dozen(void **state)
{
    struct trace_builder b;

    (void)state;
    build(&b);
    uint8_t *sound = malloc(b.used);
    memcpy(sound, b.bytes, b.used);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_seed(seed);
        for (uint64_t i = 2 + random_next() % 20; i > 0; i--)
            b.bytes[FILE_FRAME + random_next() % (b.used - FILE_FRAME)] ^= (uint8_t)(1u << random_next() % 8);
        assert_true(walk(trace_builder_save(&b)).opened);
        memcpy(b.bytes, sound, b.used);
    }
    free(sound);
    trace_builder_free(&b);
}

static void forged_columns(void **state)
{
    struct trace_builder b;

    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        build_forged(&b, seed);
        assert_true(walk(trace_builder_save(&b)).opened);
        trace_builder_free(&b);
    }
}

static void nonsense_events(void **state)
{
    struct trace_builder b;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        build_nonsense(&b, seed);
        struct outcome o = walk(trace_builder_save(&b));
        assert_true(o.events > 6000);
        assert_int_equal(o.damage.skipped_bytes, 0);
        trace_builder_free(&b);
    }
}

static void a_bomb(void **state)
{
    struct trace_builder b;

    (void)state;
    build_bomb(&b);
    struct outcome o = walk(trace_builder_save(&b));
    assert_true(o.opened && o.events > 0 && o.damage.bad_chunks > 0);
    trace_builder_free(&b);
}

/* --- writing for tests/t/corrupt.t --- */

static void write_file(const char *directory, const char *kind, uint64_t number, const uint8_t *bytes, size_t n)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s-%03u.zst", directory, kind, (unsigned)number);
    FILE *f = fopen(path, "wb");
    trace_builder_must(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "cannot write");
}

static void write_built(const char *directory, const char *kind, uint64_t number, struct trace_builder *b)
{
    write_file(directory, kind, number, b->bytes, b->used);
    trace_builder_free(b);
}

static void write_damaged(const char *directory)
{
    struct trace_builder b;

    build(&b);
    write_file(directory, "sound", 0, b.bytes, b.used);
    for (uint64_t i = 0; i < 30; i++)
        write_file(directory, i ? "cut" : "empty", i, b.bytes, b.used * i / 30);
    for (uint64_t i = 0; i < 60; i++) {
        size_t at = b.used * i / 60;
        b.bytes[at] ^= (uint8_t)(1u << i % 8);
        write_file(directory, "flip", i, b.bytes, b.used);
        b.bytes[at] ^= (uint8_t)(1u << i % 8);
    }
    write_file(directory, "zstd", 0, b.bytes + FILE_FRAME + CHUNK_FRAME, 100);
    write_file(directory, "text", 0, (const uint8_t *)"not a trace\n", 12);
    trace_builder_free(&b);
    build_newer(&b);
    write_built(directory, "newer", 0, &b);
}

static int write_all(const char *directory)
{
    struct trace_builder b;

    write_damaged(directory);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        build_forged(&b, seed);
        write_built(directory, "forged", seed, &b);
    }
    for (uint64_t seed = 1; seed <= 20; seed++) {
        build_nonsense(&b, seed);
        write_built(directory, "nonsense", seed, &b);
    }
    build_bomb(&b);
    write_built(directory, "bomb", 0, &b);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_length), cmocka_unit_test(every_flipped_byte),
        cmocka_unit_test(flips_by_the_dozen),  cmocka_unit_test(forged_columns),
        cmocka_unit_test(nonsense_events),     cmocka_unit_test(a_bomb),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_all(argv[2]);
    return cmocka_run_group_tests_name("corrupt", tests, NULL, NULL);
}
