/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any number of HTTP exchanges, quickly, and that the memory that their analysis takes does not depend on it.
 *
 *     test_many --write FILE EXCHANGES     a trace of about so many, CONNECTIONS of them at a time
 *
 * All chunks have the same content: connections are accepted, serve, and are closed. So it is compressed once, and chunks differ in
 * their headers alone.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "analysis.h"
#include "trace_builder.h"
#include "wire.h"

#define CONNECTIONS 50
#define ROUNDS 100 /* requests of a connection */
#define PER_CHUNK (CONNECTIONS * ROUNDS)
#define STEP_NS 2000u
#define BODY_BYTES 1024
#define FEW (4 * PER_CHUNK)
#define MANY (60 * PER_CHUNK)
#define GROWTH_MAX_KB 4096 /* about 14 bytes an exchange */

enum { OP_ACCEPT = 1, OP_READ, OP_WRITE, OP_CLOSE, OP_WAIT };

static const size_t front = TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES;

struct many {
    FILE *out;
    struct column_writer *writer;
    uint64_t sequence, time;
    uint32_t thread;
};

/* A message as it stands in a trace: its lines, each a unit. */
struct payload {
    uint8_t units[512];
    uint32_t bytes, stream_bytes;
};

static struct payload payload_of(const char *const *line, size_t n)
{
    struct payload p = {.bytes = 0};
    uint8_t *at = p.units;

    for (size_t i = 0; i < n; i++) {
        size_t bytes = strlen(line[i]);
        at = varint_put(at, bytes << 2 | PAYLOAD_TEXT);
        at = varint_put(at, bytes);
        memcpy(at, line[i], bytes);
        at += bytes;
        p.stream_bytes += (uint32_t)bytes;
    }
    p.bytes = (uint32_t)(at - p.units);
    return p;
}

static void add(struct many *m, struct event e)
{
    e.time = m->time += STEP_NS;
    trace_builder_must(column_writer_add(m->writer, &e), "a chunk is full");
}

static void put(struct many *m, struct trace_chunk_header h, uint8_t *bytes, uint64_t first_ns)
{
    h.first_ticks += first_ns;
    h.last_ticks += first_ns;
    h.sequence = m->sequence++;
    trace_put_chunk_header(bytes, &h);
    trace_builder_must(fwrite(bytes, 1, front + h.packed_bytes, m->out) == front + h.packed_bytes, "cannot write");
}

/* What was added since the last time, with room for its header; the caller frees it. */
static uint8_t *pack(struct many *m, struct trace_chunk_header *h, uint32_t proc, uint32_t thread)
{
    *h = (struct trace_chunk_header){.proc = proc, .pid = proc ? 1000 + proc : 999, .thread = thread, .tid = thread ? 2000 + thread : 0,
                                     .events = column_writer_events(m->writer), .first_ticks = column_writer_first_ticks(m->writer),
                                     .last_ticks = column_writer_last_ticks(m->writer)};
    size_t bytes;
    const uint8_t *raw = column_writer_finish(m->writer, &bytes);
    size_t room = ZSTD_compressBound(bytes);
    uint8_t *packed = malloc(front + room);
    trace_builder_must(raw && packed, "memory is short");
    size_t n = ZSTD_compress(packed + front, room, raw, bytes, 1);
    trace_builder_must(!ZSTD_isError(n), "zstd failed");
    h->raw_bytes = (uint32_t)bytes;
    h->packed_bytes = (uint32_t)n;
    return packed;
}

static void write_about(struct many *m)
{
    static const struct {
        uint64_t op;
        const char *name;
    } ops[] = {{OP_ACCEPT, "accept4"}, {OP_READ, "recv"}, {OP_WRITE, "writev"}, {OP_CLOSE, "close"}, {OP_WAIT, "epoll_wait"}};
    struct trace_chunk_header h;

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        add(m, (struct event){.type = EVENT_op, .u.op.op = ops[i].op, .data = (const uint8_t *)ops[i].name,
                              .data_bytes = (uint32_t)strlen(ops[i].name)});
    uint8_t *packed = pack(m, &h, 0, 0);
    put(m, h, packed, 0);
    free(packed);
    add(m, (struct event){.type = EVENT_process, .u.process.pid = 1001, .data = (const uint8_t *)"/bin/many", .data_bytes = 9});
    packed = pack(m, &h, 1, 0);
    put(m, h, packed, 0);
    free(packed);
}

static void add_io(struct many *m, uint64_t desc, bool out, uint64_t offset, const struct payload *p, uint64_t bytes)
{
    add(m, (struct event){.type = EVENT_io, .data = p->units, .data_bytes = p->bytes,
                          .u.io = {.desc = desc, .fd = desc + 4, .op = out ? OP_WRITE : OP_READ, .dir = out, .offset = offset, .bytes = bytes,
                                   .asked = out ? bytes : 4096, .duration = 700 + offset % 100, .flags = IO_STREAM,
                                   .alloc_count = 1, .alloc_bytes = 1024, .free_count = 1, .free_bytes = 1024,
                                   .rx_ns = EVENT_UNKNOWN}});
}

/* Of a chunk: all connections, from their accept to their close. */
static void add_service(struct many *m)
{
    static const char *const request[] = {"GET /file.txt HTTP/1.1\r\n", "\r\n"};
    static const char *const response[] = {"HTTP/1.1 200\r\n", "content-type: text/plain\r\n", "content-length: 1024\r\n",
                                           "connection: keep-alive\r\n", "\r\n"};
    struct payload in = payload_of(request, sizeof request / sizeof *request);
    struct payload out = payload_of(response, sizeof response / sizeof *response);
    uint64_t answer_bytes = out.stream_bytes + BODY_BYTES;

    for (uint64_t c = 1; c <= CONNECTIONS; c++)
        add(m, (struct event){.type = EVENT_desc_open, .u.desc_open = {.desc = 1000 + c, .fd = 1004 + c, .kind = KIND_tcp,
                                                                       .op = OP_ACCEPT, .from = 3}});
    for (uint64_t round = 0; round < ROUNDS; round++) {
        add(m, (struct event){.type = EVENT_wait, .u.wait = {.op = OP_WAIT, .fd = 5, .ready = CONNECTIONS, .timeout = EVENT_UNKNOWN,
                                                             .what = WAIT_descriptors}});
        for (uint64_t c = 1; c <= CONNECTIONS; c++) {
            add_io(m, 1000 + c, false, round * in.stream_bytes, &in, in.stream_bytes);
            add_io(m, 1000 + c, true, round * answer_bytes, &out, answer_bytes);
        }
    }
    for (uint64_t c = 1; c <= CONNECTIONS; c++)
        add(m, (struct event){.type = EVENT_desc_close, .u.desc_close = {.desc = 1000 + c, .fd = 1004 + c, .op = OP_CLOSE}});
}

static void write_trace(const char *path, uint64_t exchanges)
{
    struct many m = {.out = fopen(path, "w"), .writer = column_writer_new()};
    uint8_t header[TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES];
    struct trace_chunk_header h;

    trace_builder_must(m.out && m.writer, "cannot write there");
    trace_put_file_header(header, &(struct trace_file_header){.version_major = TRACE_VERSION_MAJOR, .clock = TRACE_CLOCK_RAW_NS,
                                                              .version_minor = TRACE_VERSION_MINOR, .run_id = 1});
    fwrite(header, 1, sizeof header, m.out);
    write_about(&m);
    add_service(&m);
    uint8_t *packed = pack(&m, &h, 1, 1);
    for (uint64_t i = 0; i < exchanges / PER_CHUNK; i++)
        put(&m, h, packed, i * (h.last_ticks - h.first_ticks + STEP_NS));
    trace_builder_must(fclose(m.out) == 0, "cannot write");
    column_writer_free(m.writer);
    free(packed);
}

/* --- tests --- */

/* In a process of its own: writes the trace, or analyses it and checks that it finds so many exchanges. Gives its peak of memory. */
static long apart(const char *path, uint64_t exchanges, bool writes)
{
    struct error e = {.text = ""};
    struct rusage usage;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (!child && writes) {
        write_trace(path, exchanges);
        _exit(0);
    } else if (!child) {
        struct reader *r = reader_open(path, &e);
        struct analysis *a = r ? analysis_run_threads(r, 2, &e) : NULL;
        bool good = a && a->footprint.exchanges == exchanges && route_count(a->routes) == 1 &&
                    exchange_stats(a->exchanges).closed == exchanges / ROUNDS;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_int_equal(status, 0);
    return usage.ru_maxrss;
}

static void memory_does_not_depend_on_exchanges(void **state)
{
    char path[64];
    long kb[2];

    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip(); /* these keep what is freed */
#endif
    snprintf(path, sizeof path, "/tmp/test_many.%d.zst", (int)getpid());
    for (size_t i = 0; i < 2; i++) {
        apart(path, i ? MANY : FEW, true);
        kb[i] = apart(path, i ? MANY : FEW, false);
    }
    unlink(path);
    print_message("%d exchanges: %ld KB; %d: %ld KB\n", FEW, kb[0], MANY, kb[1]);
    assert_true(kb[1] - kb[0] < GROWTH_MAX_KB);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_depend_on_exchanges),
    };

    if (argc == 4 && strcmp(argv[1], "--write") == 0) {
        write_trace(argv[2], strtoull(argv[3], NULL, 10));
        return 0;
    }
    return cmocka_run_group_tests_name("many", tests, NULL, NULL);
}
