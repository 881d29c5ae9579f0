/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze dump`: one line an event, printed from the table of events, so that a new row needs nothing here.
 *
 *     0.001203311 4127/4130 io desc=9 fd=12 op=read ... payload=text(16)"GET / HTTP/1.1\r\n",gap(84)
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "dump.h"
#include "escape.h"
#include "merge.h"
#include "process.h"
#include "progress.h"
#include "wire.h"

static void print_time(int64_t ns)
{
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

    printf("%s%" PRIu64 ".%09" PRIu64, ns < 0 ? "-" : "", size / 1000000000, size % 1000000000);
}

static void print_name(const char *const *names, size_t count, uint64_t v)
{
    if (v < count)
        fputs(names[v], stdout);
    else
        printf("%" PRIu64, v);
}

static void print_value(const struct process_table *t, const struct merge *m, enum field_show show, uint64_t v)
{
    if (show == SHOW_SIGNED) { /* -1 is a value here */
        printf("%" PRId64, (int64_t)v);
        return;
    }
    if (v == EVENT_UNKNOWN) {
        putchar('?');
        return;
    }
    switch (show) {
    case SHOW_DEC: printf("%" PRIu64, v); break;
    case SHOW_HEX: printf("0x%" PRIx64, v); break;
    case SHOW_TICKS: printf("%" PRId64, merge_ticks_to_ns(m, v)); break;
    case SHOW_OP: fputs(process_op_name(t, v), stdout); break;
    case SHOW_KIND: print_name(desc_kind_name, KIND_COUNT, v); break;
    case SHOW_HOW: print_name(process_how_name, HOW_COUNT, v); break;
    case SHOW_WAIT: print_name(wait_what_name, WAIT_COUNT, v); break;
    case SHOW_SIGNED: break;
    }
}

static void print_quoted(const void *text, size_t bytes)
{
    putchar('"');
    escape_print(stdout, text, bytes);
    putchar('"');
}

static void print_payload(const struct event *e)
{
    static const char *const kinds[] = {[PAYLOAD_GAP] = "gap", [PAYLOAD_TEXT] = "text", [PAYLOAD_HOLE] = "hole"};
    const uint8_t *p = e->data, *end = e->data + e->data_bytes;
    const char *separator = " payload=";
    struct payload_unit unit;
    int got;

    while ((got = payload_next(&p, end, &unit)) == 1) {
        printf("%s%s(%" PRIu64 ")", separator, kinds[unit.kind], unit.stream_bytes);
        if (unit.kind == PAYLOAD_TEXT)
            print_quoted(unit.text, unit.text_bytes);
        separator = ",";
    }
    if (got < 0)
        printf("%smalformed", separator);
}

static void print_frames(const struct event *e)
{
    const char *separator = " frames=";

    for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
        uint64_t address = 0;
        for (unsigned i = 0; i < 8; i++)
            address |= (uint64_t)e->data[at + i] << (8 * i);
        printf("%s0x%" PRIx64, separator, address);
        separator = ",";
    }
}

static uint32_t take_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* fd:desc of each number that is open. */
static void print_table(const struct event *e)
{
    const char *separator = " table=";

    for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
        printf("%s%" PRIu32 ":%" PRIu32, separator, take_u32(e->data + at), take_u32(e->data + at + 4));
        separator = ",";
    }
}

static void print_hex(const struct event *e)
{
    for (uint32_t i = 0; i < e->data_bytes; i++)
        printf("%02x", e->data[i]);
}

/* A socket address as the kernel wrote it on a little-endian machine. */
static void print_address(const struct event *e)
{
    char text[INET6_ADDRSTRLEN];
    const uint8_t *d = e->data;
    unsigned family = e->data_bytes >= 2 ? d[0] | d[1] << 8 : AF_UNSPEC;

    fputs(" address=", stdout);
    if (family == AF_INET && e->data_bytes >= 8) {
        printf("%s:%u", inet_ntop(AF_INET, d + 4, text, sizeof text), d[2] << 8 | d[3]);
    } else if (family == AF_INET6 && e->data_bytes >= 24) {
        printf("[%s]:%u", inet_ntop(AF_INET6, d + 8, text, sizeof text), d[2] << 8 | d[3]);
    } else if (family == AF_UNIX) {
        bool is_path = e->data_bytes > 2 && d[2];
        fputs("unix:", stdout);
        print_quoted(d + 2, is_path ? strnlen((const char *)d + 2, e->data_bytes - 2) : e->data_bytes - 2);
    } else {
        print_hex(e);
    }
}

static void print_data(const struct event *e)
{
    if (e->data_bytes == 0)
        return;
    switch (e->type) {
    case EVENT_io: print_payload(e); break;
    case EVENT_stack: print_frames(e); break;
    case EVENT_desc_table: print_table(e); break;
    case EVENT_build_id:
        fputs(" id=", stdout);
        print_hex(e);
        break;
    case EVENT_desc_open:
    case EVENT_sock: print_address(e); break;
    default:
        fputs(" data=", stdout);
        print_quoted(e->data, e->data_bytes);
    }
}

static void print_item(const struct process_table *t, const struct merge *m, const struct item *item)
{
    const struct event_info *info = &event_table[item->event.type];

    print_time(item->time_ns);
    printf(" %" PRIu32 "/%" PRIu32 " %s", item->pid, item->tid, info->name);
    for (unsigned f = 0; f < info->fields; f++) {
        printf(" %s=", info->field[f].name);
        print_value(t, m, info->field[f].show, item->event.u.field[f]);
    }
    print_data(&item->event);
    putchar('\n');
}

static uint64_t count_lost(const struct process_table *t)
{
    uint64_t lost = 0;

    for (size_t i = 0; i < process_count(t); i++)
        lost |= process_at(t, i)->lost_events;
    return lost;
}

static bool is_asked_for(const struct cli *c, const struct item *item)
{
    return item->time_ns >= c->since_ns && item->time_ns <= c->until_ns && (!c->thread || item->tid == c->thread);
}

static int dump_events(const struct cli *c, struct reader *r, struct process_table *t, struct error *e)
{
    struct merge *m = merge_open(r, e);
    struct progress progress;
    struct item item;
    int got = m ? 1 : -1;

    progress_start(&progress);
    progress.terminal = progress.terminal && !isatty(STDOUT_FILENO); /* the lines are progress enough */
    while (got == 1 && (got = merge_next(m, &item, e)) == 1) {
        progress_item(&progress, m);
        if (is_asked_for(c, &item))
            print_item(t, m, &item);
        if (item.event.type == EVENT_lost && process_table_feed(t, m, &item) < 0)
            got = error_set(e, ERROR_NO_OFFSET, "memory is short");
        if (ferror(stdout))
            break;
    }
    progress_end(&progress);
    merge_close(m);
    return got < 0 ? -1 : 0;
}

int cmd_dump(const struct cli *c)
{
    struct error e = {.text = ""};
    int code = CLI_UNUSABLE;

    cli_wait(c);
    struct reader *r = reader_open(c->file, &e);
    struct process_table *t = r ? process_table_new() : NULL;
    if (r && !t)
        error_set(&e, ERROR_NO_OFFSET, "memory is short");
    if (t && process_table_read(t, r, &e) == 0 && (c->exchanges ? dump_exchanges(r, t, &e) : dump_events(c, r, t, &e)) == 0)
        code = cli_completeness(c, r, count_lost(t));
    else
        error_print(&e, c->file);
    process_table_free(t);
    reader_close(r);
    return code;
}
