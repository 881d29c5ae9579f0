/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes and threads of a run, and what the recorder said about them: a table filled from the merged stream.
 */
#ifndef PERFSHIM_PROCESS_H
#define PERFSHIM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "merge.h"

#define BUILD_ID_MAX 64 /* bytes */

struct module {
    uint64_t start, end, file_offset;
    char *path;
    uint8_t *build_id; /* of the file as it was recorded; NULL: not known */
    uint32_t build_id_bytes;
};

#define SAMPLINGS_KEPT 16 /* the last one replaces the one before */

/* How its allocations were drawn over time: each time with another interval (formats/sample.h). */
struct sampling {
    uint32_t count;
    uint64_t changes;
    struct {
        int64_t at_ns;
        uint32_t shift;
    } from[SAMPLINGS_KEPT];
};

struct process {
    uint32_t serial, parent; /* of the run; parent 0: not in the trace */
    uint32_t pid, ppid;
    char *exe;
    bool go; /* a Go program: its network calls and its heap are not in the trace */
    int64_t start_ns, end_ns; /* end_ns: of its last event, while it runs */
    enum process_how how;
    int64_t status;
    uint64_t events; /* of its own threads, not the recorder's about it */
    uint64_t lost_events, stalled_ns;
    uint32_t threads;         /* that recorded anything */
    struct module *modules;   /* sorted by start; of overlapping ones the latest */
    size_t module_count;
    uint64_t cpu_ns; /* processor time by the latest word on it, EVENT_UNKNOWN before the first */
    struct event_gauge last_gauge; /* fields EVENT_UNKNOWN before the first */
    bool has_gauge;
    int64_t gauge_ns; /* when */
    uint64_t cost_heap_ns, cost_io_ns; /* what the hooks took, as the shim measured itself */
    struct sampling sampling;
    uint64_t ledger_alloc_count, ledger_alloc_bytes; /* all its allocations, usable bytes, by the latest word of its ledgers */
    uint64_t stack_checks, stack_mismatches; /* of threads that ended: call stacks recognised and walked too; the wrong ones */
};

struct gap { /* in which recording paused */
    int64_t from_ns, to_ns;
    uint64_t events; /* lost in it */
    enum gap_reason reason;
    char why[128]; /* for people, not escaped */
};

#define GAPS_KEPT 32 /* the first ones; all are counted */

struct gaps {
    uint64_t count, events;
    struct gap gap[GAPS_KEPT];
};

struct process_table;

struct process_table *process_table_new(void);
void process_table_free(struct process_table *t);

/* Every item of the stream goes through here. -1 if memory is short. */
int process_table_feed(struct process_table *t, const struct merge *m, const struct item *item);

/* So many events of threads that it knows, of a process that it knows, the last at this time: as if each were fed, if none was of
 * any interest. */
void process_table_count(struct process_table *t, uint32_t serial, uint64_t events, int64_t last_ns);

size_t process_count(const struct process_table *t);
const struct process *process_at(const struct process_table *t, size_t i); /* in the order of their serials */
const struct process *process_find(const struct process_table *t, uint32_t serial); /* NULL: none */

/* The module of a process (NULL is fine) that holds the address; NULL: none. */
const struct module *process_module(const struct process *p, uint64_t address);

/* Of the recorder itself: EVENT_UNKNOWN fields before its first word. */
const struct event_recorder *process_recorder(const struct process_table *t);

const struct gaps *process_gaps(const struct process_table *t);

/* Feeds all that the recorder wrote and nothing else, quickly. For those who only ask about processes, or want the names of
 * calls before the first event. -1 with *e filled if memory is short. */
int process_table_read(struct process_table *t, struct reader *r, struct error *e);

/* Name of an intercepted call by the number in this trace's events; "op17" if the trace does not tell, valid until the
 * next call. Safe to print. */
const char *process_op_name(const struct process_table *t, uint64_t op);

#endif
