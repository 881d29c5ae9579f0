/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze info`: what a trace file holds. It reads the whole stream, and so proves every chunk sound.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "escape.h"
#include "event.h"
#include "info_columns.h"
#include "merge.h"
#include "process.h"
#include "progress.h"
#include "units.h"

#define SETTINGS_MAX 64
#define SETTING_NAME_MAX 40
#define EXE_COLUMNS 16u /* what 80 columns leave */

struct setting {
    char name[SETTING_NAME_MAX];
    uint8_t name_bytes;
    uint64_t value;
};

struct info {
    struct process_table *processes;
    struct setting settings[SETTINGS_MAX];
    size_t setting_count;
    uint64_t raw_bytes, packed_bytes, events;
    int64_t first_ns, last_ns;
};

/* --- collecting --- */

static void take_setting(struct info *info, const struct event *e)
{
    if (e->data_bytes == 0 || e->data_bytes > SETTING_NAME_MAX)
        return;
    struct setting *s = info->settings, *end = s + info->setting_count; /* it may be told again */
    while (s < end && (s->name_bytes != e->data_bytes || memcmp(s->name, e->data, e->data_bytes) != 0))
        s++;
    if (s == end && info->setting_count++ == SETTINGS_MAX) {
        info->setting_count = SETTINGS_MAX;
        return;
    }
    memcpy(s->name, e->data, e->data_bytes);
    s->name_bytes = (uint8_t)e->data_bytes;
    s->value = e->u.setting.value;
}

static int read_events(struct info *info, struct reader *r, struct error *e)
{
    struct merge *m = merge_open(r, e);
    struct progress progress;
    struct item item;
    int got = m ? 1 : -1;

    progress_start(&progress);
    while (got == 1 && (got = merge_next(m, &item, e)) == 1) {
        progress_item(&progress, m);
        if (info->events++ == 0)
            info->first_ns = item.time_ns;
        info->last_ns = item.time_ns;
        if (item.event.type == EVENT_setting)
            take_setting(info, &item.event);
        if (process_table_feed(info->processes, m, &item) < 0)
            got = error_set(e, ERROR_NO_OFFSET, "memory is short");
    }
    progress_end(&progress);
    merge_close(m);
    return got;
}

static void count_chunks(struct info *info, const struct reader *r)
{
    for (uint64_t i = 0; i < reader_chunks(r); i++) {
        info->raw_bytes += reader_chunk(r, i)->header.raw_bytes;
        info->packed_bytes += reader_chunk(r, i)->header.packed_bytes;
    }
}

/* --- printing --- */

static void print_label(const char *label) { printf("%-12s", label); }

static void print_file(const struct info *info, const struct reader *r)
{
    const struct trace_file_header *h = reader_file_header(r);
    time_t began = (time_t)(h->start_wall_ns / 1000000000);
    char text[64] = "?";
    struct tm tm;

    print_label("format");
    printf("trace %u.%u, run %016" PRIx64 "\n", h->version_major, h->version_minor, h->run_id);
    print_label("file");
    printf("%" PRIu64 " bytes, %" PRIu64 " chunks, %" PRIu64 " bytes decompressed (%.1f : 1)\n", reader_file_bytes(r),
           reader_chunks(r), info->raw_bytes,
           info->packed_bytes ? (double)info->raw_bytes / (double)info->packed_bytes : 0.0);
    if (gmtime_r(&began, &tm))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    print_label("began");
    printf("%s\n", text);
    print_label("duration");
    printf("%.3f s\n", (double)(info->last_ns - info->first_ns) / 1e9);
    print_label("events");
    printf("%" PRIu64 ", %.2f bytes each\n", info->events,
           info->events ? (double)reader_file_bytes(r) / (double)info->events : 0.0);
}

static void print_clock(const struct reader *r)
{
    const struct timeline *t = reader_timeline(r);

    print_label("clock");
    if (reader_file_header(r)->clock == TRACE_CLOCK_RAW_NS)
        printf("CLOCK_MONOTONIC_RAW\n");
    else if (!timeline_is_calibrated(t))
        printf("TSC, never calibrated: times are ticks, not nanoseconds\n");
    else
        printf("TSC, %.3f MHz, calibrated %zu times\n",
               (double)(t->last_ticks - t->start_ticks) * 1e3 / (double)(t->last_raw_ns - t->start_raw_ns), t->count);
}

static void print_recorder(const struct info *info, const struct reader *r)
{
    const struct event_recorder *told = process_recorder(info->processes);

    print_label("recorder");
    printf("pid %" PRIu32 ", %s", reader_file_header(r)->recorder_pid,
           reader_damage(r).ended ? "closed the file" : "has not closed the file");
    if (told->cpu_ns != EVENT_UNKNOWN)
        printf(", %.3f s of CPU", (double)told->cpu_ns / 1e9);
    if (told->rss_bytes != EVENT_UNKNOWN)
        printf(", %.1f MB resident", (double)told->rss_bytes / 1e6);
    putchar('\n');
}

static uint64_t lost_events(const struct info *info)
{
    const struct event_recorder *told = process_recorder(info->processes);
    uint64_t lost = told->unslotted_events == EVENT_UNKNOWN ? 0 : told->unslotted_events;

    for (size_t i = 0; i < process_count(info->processes); i++)
        if (__builtin_add_overflow(lost, process_at(info->processes, i)->lost_events, &lost))
            return EVENT_UNKNOWN;
    uint64_t in_gaps = process_gaps(info->processes)->events;
    return lost > in_gaps ? lost : in_gaps;
}

static void print_losses(const struct info *info, const struct reader *r)
{
    struct reader_damage d = reader_damage(r);

    uint64_t unslotted = process_recorder(info->processes)->unslotted_events;
    bool at_least = unslotted && unslotted != EVENT_UNKNOWN;

    print_label("lost");
    printf("%s%" PRIu64 " events", at_least ? "at least " : "", lost_events(info));
    if (process_gaps(info->processes)->count)
        printf(", %" PRIu64 " of them in %" PRIu64 " gaps", process_gaps(info->processes)->events,
               process_gaps(info->processes)->count);
    putchar('\n');
    print_label("damage");
    if (d.skipped_bytes == 0)
        printf("none\n");
    else
        printf("%" PRIu64 " bytes left out, the first at offset %" PRIu64 "; %" PRIu32 " broken chunks\n",
               d.skipped_bytes, d.first_offset, d.bad_chunks);
}

static void print_trimmed(const struct reader *r)
{
    struct reader_trimmed t = reader_trimmed(r);

    if (!t.any)
        return;
    print_label("detail");
    printf("from %.3f s on; %" PRIu64 " events in %" PRIu64 " bytes were dropped to stay below %" PRIu64 "\n",
           (double)reader_time_ns(r, t.to_ticks) / 1e9, t.events, t.bytes, t.bound_bytes);
    print_label("");
    printf("%" PRIu64 " bytes are never dropped", t.kept_bytes);
    if (t.thinned)
        printf(", after every other gauge was %" PRIu64 " times", t.thinned);
    putchar('\n');
    if (t.known_from_ticks) {
        print_label("");
        printf("objects are known from %.3f s on only\n", (double)reader_time_ns(r, t.known_from_ticks) / 1e9);
    }
}

static void print_setting(const struct setting *s)
{
    static const char heap[] = "heap";

    if (s->name_bytes == sizeof heap - 1 && memcmp(s->name, heap, sizeof heap - 1) == 0 && s->value < HEAP_MODE_COUNT)
        printf(" %s\n", heap_mode_name[s->value]);
    else
        printf(" %" PRIu64 "\n", s->value);
}

static void print_settings(const struct info *info)
{
    for (size_t i = 0; i < info->setting_count; i++) {
        print_label(i == 0 ? "settings" : "");
        escape_print(stdout, info->settings[i].name, info->settings[i].name_bytes);
        print_setting(&info->settings[i]);
    }
}

static void print_exe(const char *exe)
{
    size_t n = strlen(exe);

    if (n > EXE_COLUMNS) {
        fputs("...", stdout);
        exe += n - (EXE_COLUMNS - 3);
        n = EXE_COLUMNS - 3;
    }
    escape_print(stdout, exe, n);
}

static void print_processes(const struct info *info)
{
    char count[UNITS_MAX], lost[UNITS_MAX];

    printf("\n%8s %8s %7s %9s %7s %-8s %9s  %s\n", "pid", "ppid", "threads", "events", "lost", "ended", "start s",
           "program");
    for (size_t i = 0; i < process_count(info->processes); i++) {
        const struct process *p = process_at(info->processes, i);
        printf("%8" PRIu32 " %8" PRIu32 " %7" PRIu32 " %9s %7s %-8s %9.3f  ", p->pid, p->ppid, p->threads,
               units_number(count, (double)p->events), units_number(lost, (double)p->lost_events),
               process_how_name[p->how], (double)p->start_ns / 1e9);
        print_exe(p->exe);
        putchar('\n');
    }
}

static void print_info(const struct info *info, const struct reader *r)
{
    print_file(info, r);
    print_clock(r);
    print_recorder(info, r);
    print_losses(info, r);
    print_trimmed(r);
    print_settings(info);
    print_processes(info);
}

int cmd_info(const struct cli *c)
{
    struct error e = {.text = ""};
    struct info info = {.processes = process_table_new()};
    int code = CLI_UNUSABLE;

    cli_wait(c);
    struct reader *r = info.processes ? reader_open(c->file, &e) : NULL;
    if (!info.processes)
        error_set(&e, ERROR_NO_OFFSET, "memory is short");
    if (r && read_events(&info, r, &e) == 0) {
        count_chunks(&info, r);
        print_info(&info, r);
        code = cli_completeness(c, r, lost_events(&info));
        if (c->columns && info_columns_print(r, &e) < 0) {
            error_print(&e, c->file);
            code = CLI_UNUSABLE;
        }
    } else {
        error_print(&e, c->file);
    }
    reader_close(r);
    process_table_free(info.processes);
    return code;
}
