/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as C sees them, expanded from events.def.
 *
 * `struct event` is the decoded form that the recorder's encoder takes and the analyzer's decoder gives. `u.field[i]` is
 * the i-th field of the row, `u.NAME.FIELD` the same by name.
 */
#ifndef PERFSHIM_EVENT_H
#define PERFSHIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_UNKNOWN UINT64_MAX /* a field whose value could not be had */

enum event_type {
#define F(name, coding, show)
#define EVENT(number, name, data, fields) EVENT_##name = number,
#include "events.def"
#undef EVENT
#undef F
};

#define EVENT_TYPES 64  /* every number in events.def is below */
#define EVENT_FIELDS 20 /* no row has more */

#define F(name, coding, show) uint64_t name;
#define EVENT(number, name, data, fields)                                                                              \
    struct event_##name {                                                                                              \
        fields                                                                                                         \
    };
#include "events.def"
#undef EVENT
#undef F

struct event {
    uint64_t time;       /* clock ticks (trace.h says of which clock) */
    uint16_t type;       /* enum event_type */
    uint32_t data_bytes; /* 0 if none */
    const uint8_t *data; /* borrowed: valid until the next call on whatever gave the event */
    union {
        uint64_t field[EVENT_FIELDS];
#define F(name, coding, show)
#define EVENT(number, name, data, fields) struct event_##name name;
#include "events.def"
#undef EVENT
#undef F
    } u;
};

enum field_coding { CODING_PLAIN, CODING_SIGNED, CODING_DELTA };
enum field_show { SHOW_DEC, SHOW_HEX, SHOW_SIGNED, SHOW_TICKS, SHOW_OP, SHOW_KIND, SHOW_HOW, SHOW_WAIT };

struct event_field {
    const char *name;
    enum field_coding coding;
    enum field_show show;
};

struct event_info {
    const char *name; /* NULL: no such event */
    bool has_data;
    unsigned fields;
    struct event_field field[EVENT_FIELDS];
};

/* Indexed by event_type. */
extern const struct event_info event_table[EVENT_TYPES];

/* What kind of thing a descriptor stands for. Numbers are part of the file; the order never changes. */
#define DESC_KINDS(K)                                                                                                  \
    K(unknown) K(file) K(directory) K(device) K(pipe) K(tcp) K(udp) K(unix) K(netlink) K(socket) K(listener) K(epoll)    \
    K(eventfd) K(timerfd) K(signalfd) K(inotify) K(memfd) K(pty) K(pidfd) K(mqueue)      \
    K(fanotify) K(io_uring) K(userfaultfd) K(perf_event) K(bpf)
enum desc_kind {
#define K(name) KIND_##name,
    DESC_KINDS(K)
#undef K
        KIND_COUNT
};
extern const char *const desc_kind_name[KIND_COUNT];

/* The value of the setting "heap": what is recorded of allocations (enum arena_heap_mode). */
#define HEAP_MODE_COUNT 5
extern const char *const heap_mode_name[HEAP_MODE_COUNT];

/* Flags of a process event. */
#define PROCESS_GO 1u /* a Go program: its network calls pass no libc */

/* How a process ended. */
enum process_how { HOW_running, HOW_exit, HOW_killed, HOW_exec, HOW_COUNT };
extern const char *const process_how_name[HOW_COUNT];

/* What a thread waits for. */
#define WAITS(W) W(descriptors) W(time) W(lock) W(condition) W(signal) W(file) W(message) W(name) W(thread) W(child)
enum wait_what {
#define W(name) WAIT_##name,
    WAITS(W)
#undef W
        WAIT_COUNT
};
extern const char *const wait_what_name[WAIT_COUNT];

/* Why there is a gap. Numbers are part of the file; the order never changes. */
#define GAP_REASONS(R) R(unknown) R(restarted) R(no_room) R(write_error)
enum gap_reason {
#define R(name) GAP_##name,
    GAP_REASONS(R)
#undef R
        GAP_COUNT
};
extern const char *const gap_reason_name[GAP_COUNT];

/* Bits of io.flags. */
enum {
    IO_PEEK = 1,     /* the bytes stay in the socket: they are not counted into the offset */
    IO_STREAM = 2,   /* of a stream socket or pipe: offset means something */
    IO_DGRAM = 4,    /* one datagram */
    IO_TRUNC = 8,    /* the datagram was longer */
    IO_ERRQUEUE = 16,
    IO_POSITIONED = 32, /* pread and the like: offset is the file's */
    IO_OOB = 64,        /* urgent data: what comes in is not in the stream */
    IO_FLAGS_END = 128, /* no bit is as high as this */
};

/* Bits of stack.flags: what is wrong with it. */
enum {
    STACK_CUT = 1,     /* it has more frames than were asked for */
    STACK_BROKEN = 2,  /* it ends where the next frame could not be found */
    STACK_GUESSED = 4, /* some frames were found by rbp, in code that says nothing of its frames */
};

/* Bits of desc_unseen.flags. */
enum {
    UNSEEN_GONE = 1, /* not an open number of which no event tells, but one that events left open and that is not */
};

/* Bits of map.flags. */
enum {
    MAPPING_ANONYMOUS = 1,
    MAPPING_SHARED = 2,
    MAPPING_IN_HEAP = 4, /* made inside an allocator's call */
    MAPPING_STACK = 8,
    MAPPING_FAILED = 16, /* the munmap or shmdt before it failed: nothing was unmapped */
    MAPPING_SYSV = 32,   /* shmat, shmdt */
};

/* Bits of live.flags. */
enum {
    LIVE_FREED = 1, /* freed since its process last asked for work: only if it asks again was that an ordinary free */
};

/* held.role: how a connection came about. */
enum held_role { HELD_UNKNOWN, HELD_ACCEPTED, HELD_CONNECTED };

/* Whether it is a wait in which a server waits for its next work, not one on its way through it. Traces of before version
 * 1.1 have no others. */
static inline bool event_awaits_work(const struct event *e)
{
    return e->type == EVENT_wait && (e->u.wait.what == WAIT_descriptors || e->u.wait.what == EVENT_UNKNOWN);
}

static inline uint64_t zigzag_encode(int64_t v) { return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); }
static inline int64_t zigzag_decode(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

#endif
