/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared arena: one memfd mapping for all hosts of a run and their recorder. Host threads write, the recorder reads.
 *
 *   header | arena_proc[proc_capacity] | arena_thread[thread_capacity] | ring 0 | ring 1 | ...
 *
 * Ownership. A thread slot belongs to one host thread from its claim (state FREE to LIVE, by compare-and-swap) until the
 * recorder, having seen the thread's end and drained its ring, gives it back (state FREE, by release). While LIVE, its
 * producer lines are written by that thread alone and its consumer line by the recorder alone:
 *   - `head` is stored with release after a record is complete; the recorder's acquire of it makes the record readable;
 *   - `tail` is stored with release after records were copied out; the thread's acquire of it makes the room writable.
 * A process slot is claimed in the same way by the process itself, or for a child by its parent before fork.
 *
 * The recorder trusts nothing in here: a broken host may have scribbled over it. Every index is masked and every length
 * checked before use (ring_* in the recorder's drain.c).
 *
 * This layout is private to one build of the shim and its recorder; it is no file format.
 */
#ifndef PERFSHIM_ARENA_H
#define PERFSHIM_ARENA_H

#include <stdatomic.h>
#include <stdint.h>

#define ARENA_MAGIC 0x4d49485346524550ull /* "PERFSHIM" */
#define ARENA_LAYOUT 4
#define ARENA_ENV "PERFSHIM_ARENA" /* how an exec'd process finds the arena: recorder pid:descriptor:run id */

enum arena_recorder_state { ARENA_STARTING, ARENA_RUNNING, ARENA_FAILED, ARENA_GONE };

enum arena_heap_mode { HEAP_OFF, HEAP_LEDGER, HEAP_EXACT };

struct arena_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t clock; /* enum trace_clock */
    uint64_t run_id;
    uint64_t bytes; /* of the whole mapping */
    uint32_t proc_capacity, thread_capacity;
    uint64_t procs_offset, threads_offset, rings_offset;
    uint64_t ring_bytes; /* a power of two */

    /* settings of the run, read once from the first process's environment */
    uint32_t capture_bytes; /* payload copied from one call */
    uint32_t max_stall_ms;
    uint32_t heap_mode; /* enum arena_heap_mode */
    uint32_t stack_depth;
    uint32_t quiet;
    uint64_t max_bytes; /* of the trace; 0: unbounded */

    _Alignas(64) _Atomic uint32_t recorder_state; /* futex: the first process waits for it to leave STARTING */
    _Atomic uint32_t recorder_pid;
    _Atomic uint32_t recorder_errno;
    _Atomic uint32_t recorder_fd;  /* the memfd's number within the recorder: /proc/PID/fd/N opens the arena */
    char recorder_detail[512];     /* FAILED: what failed; RUNNING: the path of the trace */

    _Alignas(64) _Atomic uint32_t wake; /* futex: bumped to wake the recorder */
    _Atomic uint32_t sleeping;          /* the recorder is in a futex wait on `wake` */

    _Alignas(64) _Atomic uint32_t next_proc, next_thread, next_desc, next_stack; /* serials of the run, from 1 */
    _Atomic uint32_t threads_high, procs_high;  /* slots at or above were never used */
    _Atomic uint64_t unslotted_events;          /* of threads for which no slot was free */
};

enum arena_state {
    ARENA_FREE,
    ARENA_CLAIMED, /* being filled in; for a process: its parent is about to fork it */
    ARENA_LIVE,
    ARENA_ENDING, /* its owner said that it is about to end; it may still write */
};

#define ARENA_EXE_BYTES 512

struct arena_proc {
    _Alignas(64) _Atomic uint32_t state; /* enum arena_state */
    _Atomic uint32_t serial, parent;     /* run-unique; parent 0: none known */
    _Atomic uint32_t pid, ppid;
    _Atomic uint32_t exec_pending; /* it is inside an exec call */
    _Atomic uint32_t how;          /* enum process_how: HOW_exit once it said so */
    _Atomic int32_t status;
    _Atomic uint64_t cpu_ns;       /* processor time when it said that it exits; 0: it did not */
    _Atomic uint64_t start_ticks;
    char exe[ARENA_EXE_BYTES];     /* its program, cut at the end if need be; "" if it could not tell */
};

/* Objects and usable bytes, since the thread began. */
struct arena_ledger {
    uint64_t alloc_count, alloc_bytes, free_count, free_bytes;
};

struct arena_thread {
    /* producer */
    _Alignas(64) _Atomic uint64_t head; /* bytes published since the ring's first use; position is head % ring_bytes */
    uint64_t reserved;                  /* bytes handed out; equal to head when no record is being written */
    uint64_t tail_seen;                 /* an old value of tail: what the thread knows to be free */
    uint8_t *ring;                      /* where its ring is in its own process; the recorder computes its own */
    uint32_t depth;                     /* records being written: a signal handler may nest inside one */
    uint32_t in_heap;                   /* inside a real allocator call */
    uint32_t in_shim;                   /* inside the shim's own work: take no stack */
    uint32_t lossy;                     /* a stall ran out: drop without waiting until there is room again */
    uint32_t paused;                    /* in a vfork child: record nothing */
    uint32_t cost_turn;                 /* counts hook calls, to time a thinned share */

    /* producer: counted by plain single-instruction adds (ledger.h), read by the recorder as gauges */
    _Alignas(64) struct arena_ledger ledger;
    struct arena_ledger reported; /* what the last event that carries a ledger change had seen */

    /* producer, rare */
    _Alignas(64) uint64_t lost_events;
    uint64_t stalled_ticks;
    uint64_t cost_heap_ticks, cost_io_ticks; /* estimated cost of the hooks, extrapolated from the timed share */

    /* consumer */
    _Alignas(64) _Atomic uint64_t tail; /* bytes consumed */
    _Atomic uint32_t waiting;           /* futex: the thread waits for room */

    /* identity */
    _Alignas(64) _Atomic uint32_t state; /* enum arena_state */
    _Atomic uint32_t serial;             /* run-unique */
    _Atomic uint32_t tid, pid;
    _Atomic uint32_t proc; /* index of its process slot */
};

/* A record in a ring: 8-byte aligned, never split by the ring's end. words counts 8-byte words, all included. type 0 is
 * filler up to the ring's end, of which only the first word is there for sure. Fields are those of events.def. */
struct arena_record {
    uint16_t type;
    uint16_t words;
    uint32_t data_bytes;
    uint64_t time;
    uint64_t field[];
};

#define ARENA_RECORD_MAX_WORDS 20480 /* 160 KiB: payload captures are bounded so that a record stays below */

#endif
