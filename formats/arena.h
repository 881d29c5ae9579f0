/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared arena: one memfd mapping for all hosts of a run and their recorder. Host threads write, the recorder reads.
 *
 *   header | arena_proc[proc_capacity] | arena_thread[thread_capacity] | bitmap of blocks | words of unwanted.h | blocks
 *
 * A thread's ring is a run of blocks (pool.h). It begins with one block, and when it fills faster than it is drained the thread
 * takes a longer run and goes on there: the last record in the old ring, of type ARENA_SWITCH, says where. Positions count
 * on; the recorder gives the old run back when it has read that record, and the last one when the thread has ended.
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
#define ARENA_LAYOUT 11
#define ARENA_THREADS_MAX 8192u
#define ARENA_NAMED_PROGRAMS 16
#define ARENA_ENV "PERFSHIM_ARENA" /* how an exec'd process finds the arena: recorder pid:descriptor:run id */

enum arena_recorder_state { ARENA_STARTING, ARENA_RUNNING, ARENA_FAILED, ARENA_GONE };

enum arena_memo_mode { MEMO_OFF, MEMO_ON, MEMO_CHECK };

enum arena_heap_mode { HEAP_OFF, HEAP_LEDGER, HEAP_EXACT, HEAP_SAMPLED, HEAP_AUTO };

/*
 * The recorder's own notes, so that one that takes over from one that died knows what is in the file already. They are
 * true at every instant: a filing is written into the place that is not in use and made valid by one store (filing.c).
 */
struct arena_filed { /* of one thread: what the file tells of it */
    uint64_t serial; /* of the thread */
    uint64_t position; /* in its ring: records before it are in the file, or counted as lost */
    uint64_t taken;    /* records before that position, since the thread began */
    uint64_t added;    /* events of it in the file */
    uint64_t lost;     /* records that the recorder took and could not keep */
    uint64_t lost_told, stalled_told; /* the sums of its `lost` events in the file */
    uint64_t last_ticks;
};

struct arena_filing { /* one chunk that was written, or given up */
    uint64_t file_bytes, chunks; /* the file ends behind that many whole chunks */
    uint64_t slot;               /* of the thread; UINT64_MAX: none's */
    struct arena_filed filed;
};

struct arena_mark { /* how many records lay before a position */
    uint64_t position, taken;
};

struct arena_reading { /* the ring that the recorder reads from this position on */
    uint64_t start;
    uint32_t first_block, run; /* run 0: none */
};

/* Of a run whose file is kept below a size (bound.c): as with filings, the one that is not in use is written, then made valid. */
struct arena_front { /* what the file begins with */
    uint64_t inode, old_inode;     /* of the file, and of the one whose place it takes; 0: not written */
    uint64_t file_bytes, chunks;   /* when it took that place */
    uint64_t kept_to, front_to;    /* offsets: where its kept chunks end, and the checkpoint behind them */
    uint64_t ticks;                /* of that checkpoint */
    uint64_t dropped_bytes, thinned;
};

struct arena_bound {
    _Atomic uint64_t fronts; /* front[fronts % 2] is that of the file */
    struct arena_front front[2];
    uint64_t start_ticks;
    uint64_t known_from;   /* ticks: when a recorder took over that did not know what was live; 0: never */
    uint64_t kept_events;  /* taken from rings, and never dropped */
    uint64_t ended_events; /* of processes that have ended */
};

struct arena_header {
    uint64_t magic;
    uint32_t layout;
    uint32_t clock; /* enum trace_clock */
    uint64_t run_id;
    uint64_t bytes; /* of the whole mapping */
    uint32_t proc_capacity, thread_capacity;
    uint64_t procs_offset, threads_offset, pool_offset, unwanted_offset, blocks_offset;
    uint32_t block_bytes; /* of a block of the pool, a power of two: also a thread's first ring */
    uint32_t blocks;      /* in the pool, a multiple of 256 */
    uint32_t ring_run;    /* blocks of the longest ring */

    /* settings of the run, read once from the first process's environment */
    uint32_t capture_bytes; /* payload copied from one call */
    uint32_t max_stall_ms;
    uint32_t heap_mode; /* enum arena_heap_mode */
    uint32_t heap_shift; /* of the interval (sample.h) that processes begin with */
    uint32_t clock_cost_ticks; /* between two readings of the clock, one right after the other */
    uint32_t budget;     /* HEAP_AUTO: percent of a process's processor time for heap detail */
    uint32_t stack_depth;
    uint32_t memo_mode;   /* enum arena_memo_mode */
    uint32_t min_wait_us; /* of waits for anything but descriptors */
    uint32_t quiet;
    uint32_t rxtime; /* 1: with the kernel's times of receipt */
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
    _Atomic uint64_t named_programs[ARENA_NAMED_PROGRAMS]; /* hashes of what target.c has named; 0: free */

    /* the recorder's alone */
    _Alignas(64) _Atomic uint64_t filings; /* filing[filings % 2] is the last that is complete */
    struct arena_filing filing[2];
    _Atomic uint64_t alive_ticks;   /* when it last looked at the rings */
    _Atomic uint64_t spent_cpu_ns;  /* by recorders of this run that died */
    _Atomic uint64_t drained_events;
    struct arena_bound bound;

    /* futexes: a process that takes the recorder with it when it ends asks for all to be written first */
    _Alignas(64) _Atomic uint32_t flush_wanted, flush_done; /* counts of requests */
};

enum arena_state {
    ARENA_FREE,
    ARENA_CLAIMED, /* being filled in; for a process: its parent is about to fork it */
    ARENA_LIVE,
    ARENA_ENDING, /* its owner said that it is about to end; it may still write */
};

#define ARENA_EXE_BYTES 512

/* Objects and usable bytes, since the thread began. */
struct arena_ledger {
    uint64_t alloc_count, alloc_bytes, free_count, free_bytes;
};

/* Sums over the threads of a process that are gone. */
struct arena_ended {
    uint64_t serial; /* of the process */
    struct arena_ledger ledger;
    uint64_t cost_heap, cost_detail, cost_io, lost;
};

/* Of a process, in a run whose file is kept below a size. */
struct arena_work {
    uint64_t serial; /* of the process */
    uint64_t events, answered; /* taken from its threads; requests */
};

struct arena_proc {
    _Alignas(64) _Atomic uint32_t state; /* enum arena_state */
    _Atomic uint32_t serial, parent;     /* run-unique; parent 0: none known */
    _Atomic uint32_t pid, ppid;
    _Atomic uint32_t exec_pending; /* it is inside an exec call */
    _Atomic uint32_t how;          /* enum process_how: HOW_exit once it said so */
    _Atomic int32_t status;
    _Atomic uint64_t cpu_ns;       /* processor time when it said that it exits; 0: it did not */
    _Atomic uint64_t start_ticks;
    _Atomic int64_t joinable;    /* threads that pthread_create made joinable and nobody has joined or detached yet, dead ones too */
    _Atomic uint32_t heap_shift; /* of the interval (sample.h); set by the recorder (budget.c) */
    uint32_t flags; /* PROCESS_* of event.h */
    char exe[ARENA_EXE_BYTES];     /* its program, cut at the end if need be; "" if it could not tell */
    struct arena_ended ended;      /* the recorder's alone */
    struct arena_work work;        /* the recorder's alone */
};

/* Of a thread inside a call of a TLS library: its socket calls carry ciphertext (shim/tls.h). */
struct arena_tls {
    uint64_t frame; /* of the hook; 0: it is not inside one */
    uint32_t desc;  /* of the connection; 0: not known yet */
    int32_t fd;
    uint64_t stamp_ns; /* when the kernel had what the call read, as in rxtime.h; 0: not known */
};

struct arena_thread {
    /* producer */
    _Alignas(64) _Atomic uint64_t head; /* bytes published since the slot's first use; place is head % ring_bytes */
    uint64_t reserved;                  /* bytes handed out; equal to head when no record is being written */
    uint64_t room_end;                  /* records may be put up to there in one piece, for all the thread knows (ring.c) */
    uint64_t ring_bytes;                /* a power of two */
    uint8_t *ring;                      /* where its ring is in its own process; the recorder computes its own */
    uint32_t depth;                     /* records being written: a signal handler may nest inside one */
    uint32_t paused;                    /* in a vfork child: record nothing */
    uint64_t in_heap;                   /* inside a real allocator call: the frame of its hook; else 0 */
    uint32_t in_shim;                   /* inside the shim's own work: take no stack */
    uint32_t cost_turn;                 /* counts hook calls, to time a thinned share */

    /* producer, seldom but for the first two */
    _Alignas(64) uint64_t depth_frame;  /* the frame that began the outermost record */
    uint64_t filling_at;                /* when this was published, more than half of the ring may be full */
    uint64_t tail_seen;                 /* an old value of tail */
    uint64_t shim_frame;                /* the frame that set in_shim */
    uint64_t nested, nested_at;         /* records begun inside another while head stood at nested_at */
    uint64_t ring_start;                /* the position at which the present ring began */
    uint32_t growing;                   /* its ring is being changed: a signal handler's records are dropped */
    uint32_t lossy;                     /* a stall ran out: drop without waiting until there is room again */

    /* producer: counted by plain single-instruction adds (ledger.h), read by the recorder as gauges */
    _Alignas(64) struct arena_ledger ledger;
    struct arena_ledger reported; /* what the last event that carries a ledger change had seen */
    int64_t bytes_to_sample;      /* sampler.h: until the next allocation that is recorded */
    uint64_t sample_seed;
    uint32_t shift;               /* of the interval under which they were drawn */

    /* producer: I/O */
    _Alignas(64) struct arena_tls tls;
    uint64_t last_io; /* where its last short record of a read or write begins: a handler in between makes it wrong */
    uint64_t received_bytes; /* by its last read of a stream; 0: a TLS session was tied to that */
    struct arena_received {
        uint32_t desc;
        int32_t fd;
    } received;

    /* producer, rare */
    _Alignas(64) uint64_t lost_events;
    uint64_t stalled_ticks;
    uint64_t cost_heap_ticks, cost_io_ticks; /* estimated cost of the hooks, extrapolated from the timed share */
    uint64_t cost_detail_ticks; /* of cost_heap_ticks, that of calls that were recorded one by one */
    uint64_t stack_checks, stack_mismatches; /* stacks taken from the memo and walked too; those that were wrong */

    /* consumer */
    _Alignas(64) _Atomic uint64_t tail; /* bytes consumed */
    _Atomic uint32_t waiting;           /* futex: the thread waits for room */
    struct arena_mark mark[2];          /* one of them is of `tail` */
    struct arena_reading reading[2];    /* `tail` is in the ring of that with the later start among those not behind it */
    struct arena_filed filed;

    /* identity */
    _Alignas(64) _Atomic uint32_t state; /* enum arena_state */
    _Atomic uint32_t serial;             /* run-unique */
    _Atomic uint32_t tid, pid;
    _Atomic uint32_t proc; /* index of its process slot */
    _Atomic uint64_t handle; /* its pthread_t */
    uint32_t first_block;  /* its first ring is this one block; valid while LIVE */
};

/* A record in a ring: 8-byte aligned, never split by the ring's end. words counts 8-byte words, all included. type 0 is
 * filler up to the ring's end, of which only the first word is there for sure. Fields are those of events.def. */
struct arena_record {
    uint16_t type;
    uint16_t words;
    uint32_t detail; /* bytes of data behind the fields */
    uint64_t time;
    uint64_t field[];
};
#define ARENA_RECORD_WORDS 2 /* without fields */
/* The first word of one: type, words and detail. */
#define ARENA_HEAD(type, words, detail) ((uint64_t)(type) | (uint64_t)(words) << 16 | (uint64_t)(detail) << 32)

/*
 * Heap events are by far the most, so they are shorter: an alloc of ARENA_ALLOC_WORDS has its pointer, and its size and stack in
 * one word, and in detail the rest; a free of ARENA_FREE_WORDS has its pointer, and in detail its op. An alloc that does not fit
 * is an ordinary record.
 */
#define ARENA_ALLOC_WORDS 4
#define ARENA_FREE_WORDS 3
#define ARENA_ALLOC_SIZE_BITS 32
#define ARENA_ALLOC_OP_BITS 10
#define ARENA_ALLOC_SHIFT_BITS 6
#define ARENA_ALLOC_SLACK_BITS 16
#define ARENA_ALLOC_DETAIL(op, shift, slack)                                                                              \
    ((uint32_t)(op) | (uint32_t)(shift) << ARENA_ALLOC_OP_BITS |                                                          \
     (uint32_t)(slack) << (ARENA_ALLOC_OP_BITS + ARENA_ALLOC_SHIFT_BITS))

/*
 * Reads and writes come next. Their short record is of a type of its own: the header, whose detail is the size of the payload, a struct
 * arena_io, four counts of 32 bits if the ledger has changed, the kernel's stamp (8 bytes, ns of the wall clock) if it is known, and the payload. A
 * read or write with a number that does not fit is an ordinary record.
 */
#define ARENA_IO 0xfffe
#define ARENA_IO_OP_BITS 12
#define ARENA_IO_FLAG_BITS 12
struct arena_io {
    uint32_t desc;
    int32_t fd;
    int32_t bytes;
    uint32_t asked;
    uint64_t offset;
    uint32_t duration;
    uint32_t op : ARENA_IO_OP_BITS;
    uint32_t flags : ARENA_IO_FLAG_BITS; /* IO_* of event.h */
    uint32_t has : 8;                    /* ARENA_IO_* */
};
#define ARENA_IO_WORDS (ARENA_RECORD_WORDS + sizeof(struct arena_io) / 8)
#define ARENA_IO_OUT 1u    /* dir is 1 */
#define ARENA_IO_LEDGER 2u /* in the order of events.def */
#define ARENA_IO_RX 4u

/* Writes a struct arena_io as four words, which are few stores. what: its op, flags and has. */
static inline void arena_io_put(uint64_t word[4], uint32_t desc, int32_t fd, int32_t bytes, uint32_t asked, uint64_t offset,
                                uint32_t duration, uint32_t what)
{
    word[0] = desc | (uint64_t)(uint32_t)fd << 32;
    word[1] = (uint32_t)bytes | (uint64_t)asked << 32;
    word[2] = offset;
    word[3] = duration | (uint64_t)what << 32;
}
#define ARENA_IO_WHAT(op, flags, has)                                                                                      \
    ((uint32_t)(op) | (uint32_t)(flags) << ARENA_IO_OP_BITS | (uint32_t)(has) << (ARENA_IO_OP_BITS + ARENA_IO_FLAG_BITS))

/* Fields: the first block of the thread's next ring, and how many blocks. */
#define ARENA_SWITCH 0xffff
#define ARENA_SWITCH_BYTES 32

#define ARENA_RECORD_MAX_WORDS 20480 /* 160 KiB: payload captures are bounded so that a record stays below */

#endif
