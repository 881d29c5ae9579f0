/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2), by number: node and Rust's tokio close descriptors this way, and some calls have no other. A table says what a
 * call does; each of the few kinds of doing has a function, which makes the call and records it as the hook of its own name
 * would, under op syscall. What is not in the table passes unseen.
 *
 * Calls that make a child pass through as they are: where the child goes on is the caller's business. The parent's side is
 * recorded; the child's is met by what it calls next.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "desc.h"
#include "filter.h"
#include "io_record.h"
#include "ops.h"
#include "process_record.h"
#include "procslot.h"
#include "real.h"
#include "rxtime.h"
#include "sock_record.h"
#include "thread.h"
#include "wait_record.h"

struct numbered_call {
    struct arena_thread *t; /* not NULL */
    long number;
    const long *a; /* its six arguments */
    enum desc_kind kind; /* of what it opens */
    uint64_t start;
};

static long make(const struct numbered_call *c)
{
    const long *a = c->a;

    return real.syscall(c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- opening --- */

static long opens(const struct numbered_call *c)
{
    return desc_note(c->t, (int)make(c), c->kind, OP_syscall, c->start);
}

static long opens_socket(const struct numbered_call *c)
{
    return desc_note(c->t, (int)make(c), desc_socket_kind((int)c->a[0], (int)c->a[1]), OP_syscall, c->start);
}

static long note_pair(const struct numbered_call *c, long result, const int *fds, enum desc_kind kind)
{
    for (int i = 0; result == 0 && i < 2; i++)
        desc_note(c->t, fds[i], kind, OP_syscall, c->start);
    return result;
}

static long opens_pipe(const struct numbered_call *c) { return note_pair(c, make(c), (const int *)c->a[0], KIND_pipe); }

static long opens_socket_pair(const struct numbered_call *c)
{
    return note_pair(c, make(c), (const int *)c->a[3], desc_socket_kind((int)c->a[0], (int)c->a[1]));
}

/* With a descriptor given it changes that one. */
static long opens_signalfd(const struct numbered_call *c) { return (int)c->a[0] == -1 ? opens(c) : make(c); }

/* Most commands of bpf(2) open nothing, and give 0. */
static long opens_bpf(const struct numbered_call *c)
{
    static const uint8_t opening[] = {BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_GET, BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID,
                                      BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD, BPF_BTF_GET_FD_BY_ID, BPF_LINK_CREATE,
                                      BPF_LINK_GET_FD_BY_ID, BPF_ENABLE_STATS, BPF_ITER_CREATE};

    for (size_t i = 0; i < sizeof opening; i++)
        if (opening[i] == (int)c->a[0])
            return opens(c);
    return make(c);
}

static long accepts(const struct numbered_call *c)
{
    struct sock_listener from = sock_listener_of(c->t, (int)c->a[0]);
    long fd = make(c);

    if (fd >= 0)
        sock_note_accepted(c->t, (int)fd, from, OP_syscall, c->start);
    return fd;
}

/* --- copying and closing --- */

static long copies(const struct numbered_call *c)
{
    long copy = make(c);

    if (copy >= 0)
        desc_dup(c->t, (int)c->a[0], (int)copy, OP_syscall);
    return copy;
}

static long copies_over(const struct numbered_call *c)
{
    bool sound = c->number == SYS_dup2 || !((int)c->a[2] & ~O_CLOEXEC);
    bool closing = sound && desc_dup_closing(c->t, (int)c->a[0], (int)c->a[1], OP_syscall);
    long copy = make(c);

    return desc_note_dup(c->t, (int)c->a[0], (int)c->a[1], (int)copy, closing, OP_syscall);
}

static long controls(const struct numbered_call *c)
{
    if (c->a[1] == F_SETLKW || c->a[1] == F_OFD_SETLKW) {
        struct wait_call w = wait_enter();
        return wait_leave_call(&w, OP_syscall, WAIT_file, (int)c->a[0], make(c), -1);
    }
    return c->a[1] == F_DUPFD || c->a[1] == F_DUPFD_CLOEXEC ? copies(c) : make(c);
}

static long closes(const struct numbered_call *c)
{
    desc_close(c->t, (int)c->a[0], OP_syscall);
    long result = make(c);
    desc_settle(c->t, (int)c->a[0], (int)result);
    return result;
}

static long closes_range(const struct numbered_call *c)
{
    unsigned first = (unsigned)c->a[0], last = (unsigned)c->a[1];

    if (!desc_range_closes((unsigned)c->a[2]))
        return make(c);
    desc_close_range(c->t, first, last, OP_syscall);
    long result = make(c);
    desc_settle_range(c->t, first, last, (int)result);
    return result;
}

/* --- reads and writes --- */

static long reads(const struct numbered_call *c)
{
    struct io_call io = io_enter((int)c->a[0]);
    long result = make(c);

    io_leave_in(&io, OP_syscall, result, (const void *)c->a[1], (size_t)c->a[2]);
    return result;
}

static long writes(const struct numbered_call *c)
{
    struct io_call io = io_enter((int)c->a[0]);
    long result = make(c);

    io_leave_out(&io, OP_syscall, result, (const void *)c->a[1], (size_t)c->a[2]);
    return result;
}

static long receives(const struct numbered_call *c)
{
    struct io_call io = io_enter((int)c->a[0]);
    long result = make(c);

    io_leave_received(&io, OP_syscall, result, (const void *)c->a[1], (size_t)c->a[2], (int)c->a[3]);
    return result;
}

static long sends(const struct numbered_call *c)
{
    struct io_call io = io_enter((int)c->a[0]);
    long result = make(c);

    io_leave_sent(&io, OP_syscall, result, (const void *)c->a[1], (size_t)c->a[2], (int)c->a[3]);
    return result;
}

static long moves_parts(const struct numbered_call *c, unsigned dir)
{
    struct io_call io = io_enter((int)c->a[0]);
    const struct iovec *parts = (const struct iovec *)c->a[1];
    size_t count = (size_t)c->a[2], asked = 0;
    long result = make(c);

    for (size_t i = 0; result >= 0 && i < count; i++)
        asked += parts[i].iov_len;
    io_leave(&io, &(struct io_done){OP_syscall, dir, result, asked, 0, 0, parts, count});
    return result;
}

static long reads_parts(const struct numbered_call *c) { return moves_parts(c, IO_IN); }
static long writes_parts(const struct numbered_call *c) { return moves_parts(c, IO_OUT); }

static long moves_message(const struct numbered_call *c, unsigned dir)
{
    struct io_call io = io_enter((int)c->a[0]);
    const struct msghdr *m = (const struct msghdr *)c->a[1];

    if (dir == IO_IN)
        rxtime_end((int)c->a[0]);
    long result = make(c);

    io_leave_message(&io, OP_syscall, dir, result, m, (int)c->a[2]);
    if (dir == IO_IN && result >= 0 && io.t)
        desc_received(io.t, m, OP_syscall);
    return result;
}

static long sends_message(const struct numbered_call *c) { return moves_message(c, IO_OUT); }
static long receives_message(const struct numbered_call *c) { return moves_message(c, IO_IN); }

static long receives_messages(const struct numbered_call *c)
{
    rxtime_end((int)c->a[0]);
    return make(c);
}

/* --- sockets --- */

/* Under the name of the call: the event has no other place for which it was. */
static long calls_socket(const struct numbered_call *c, unsigned op, bool has_address)
{
    struct sock_call call = {.op = op, .fd = (int)c->a[0], .start = c->start};

    if (has_address) {
        call.address = (const void *)c->a[1];
        call.address_bytes = (socklen_t)c->a[2];
    } else {
        call.arg = (int)c->a[1];
    }
    long result = make(c);
    call.result = (int)result;
    sock_note(c->t, &call);
    return result;
}

static long binds(const struct numbered_call *c) { return calls_socket(c, OP_bind, true); }
static long connects(const struct numbered_call *c) { return calls_socket(c, OP_connect, true); }
static long listens(const struct numbered_call *c) { return calls_socket(c, OP_listen, false); }
static long sets_option(const struct numbered_call *c)
{
    rxtime_before_set((int)c->a[0], (int)c->a[1], (int)c->a[2]);
    return make(c);
}

static long shuts_down(const struct numbered_call *c) { return calls_socket(c, OP_shutdown, false); }

/* --- processes --- */

static long forks(const struct numbered_call *c)
{
    long child = make(c);

    if (child > 0) /* the child records nothing here: it has our slot as yet */
        process_note_fork(c->t, (pid_t)child, OP_syscall);
    return child;
}

/* The arguments of clone3 are looked at only when the kernel has made something of them: programs that probe for the call pass
 * none. */
static bool makes_thread(const struct numbered_call *c)
{
    return (c->number == SYS_clone ? (uint64_t)c->a[0] : *(const uint64_t *)c->a[0]) & CLONE_THREAD;
}

static long clones(const struct numbered_call *c)
{
    long child = make(c);

    if (child > 0 && !makes_thread(c))
        process_note_fork(c->t, (pid_t)child, OP_syscall);
    return child;
}

static long controls_process(const struct numbered_call *c)
{
    struct arena_thread *silenced = filter_strict(filter_prctl((int)c->a[0], (unsigned long)c->a[1]));

    return filter_strict_done(silenced, make(c));
}

static long exits(const struct numbered_call *c)
{
    process_note_exit(c->t, (int)c->a[0], OP_syscall);
    procslot_exiting((int)c->a[0]);
    return make(c);
}

/* --- the table --- */

struct row {
    long (*run)(const struct numbered_call *c); /* NULL: not of interest */
    enum desc_kind kind;
};

static const struct row rows[] = {
    [SYS_open] = {opens, KIND_unknown},
    [SYS_openat] = {opens, KIND_unknown},
    [SYS_openat2] = {opens, KIND_unknown},
    [SYS_creat] = {opens, KIND_unknown},
    [SYS_open_by_handle_at] = {opens, KIND_unknown},
    [SYS_open_tree] = {opens, KIND_unknown},
    [SYS_fsopen] = {opens, KIND_unknown},
    [SYS_fspick] = {opens, KIND_unknown},
    [SYS_fsmount] = {opens, KIND_unknown},
    [SYS_eventfd] = {opens, KIND_eventfd},
    [SYS_eventfd2] = {opens, KIND_eventfd},
    [SYS_epoll_create] = {opens, KIND_epoll},
    [SYS_epoll_create1] = {opens, KIND_epoll},
    [SYS_timerfd_create] = {opens, KIND_timerfd},
    [SYS_signalfd] = {opens_signalfd, KIND_signalfd},
    [SYS_signalfd4] = {opens_signalfd, KIND_signalfd},
    [SYS_inotify_init] = {opens, KIND_inotify},
    [SYS_inotify_init1] = {opens, KIND_inotify},
    [SYS_fanotify_init] = {opens, KIND_fanotify},
    [SYS_memfd_create] = {opens, KIND_memfd},
    [SYS_memfd_secret] = {opens, KIND_memfd},
    [SYS_mq_open] = {opens, KIND_mqueue},
    [SYS_pidfd_open] = {opens, KIND_pidfd},
    [SYS_pidfd_getfd] = {opens, KIND_unknown},
    [SYS_io_uring_setup] = {opens, KIND_io_uring},
    [SYS_perf_event_open] = {opens, KIND_perf_event},
    [SYS_userfaultfd] = {opens, KIND_userfaultfd},
    [SYS_landlock_create_ruleset] = {opens, KIND_unknown},
    [SYS_bpf] = {opens_bpf, KIND_bpf},
    [SYS_socket] = {opens_socket, 0},
    [SYS_socketpair] = {opens_socket_pair, 0},
    [SYS_pipe] = {opens_pipe, 0},
    [SYS_pipe2] = {opens_pipe, 0},
    [SYS_bind] = {binds, 0},
    [SYS_connect] = {connects, 0},
    [SYS_listen] = {listens, 0},
    [SYS_shutdown] = {shuts_down, 0},
    [SYS_setsockopt] = {sets_option, 0},
    [SYS_accept] = {accepts, 0},
    [SYS_accept4] = {accepts, 0},
    [SYS_dup] = {copies, 0},
    [SYS_dup2] = {copies_over, 0},
    [SYS_dup3] = {copies_over, 0},
    [SYS_fcntl] = {controls, 0},
    [SYS_close] = {closes, 0},
    [SYS_close_range] = {closes_range, 0},
    [SYS_read] = {reads, 0},
    [SYS_write] = {writes, 0},
    [SYS_recvfrom] = {receives, 0},
    [SYS_sendto] = {sends, 0},
    [SYS_readv] = {reads_parts, 0},
    [SYS_writev] = {writes_parts, 0},
    [SYS_recvmsg] = {receives_message, 0},
    [SYS_recvmmsg] = {receives_messages, 0},
    [SYS_sendmsg] = {sends_message, 0},
    [SYS_fork] = {forks, 0},
    [SYS_clone] = {clones, 0},
    [SYS_clone3] = {clones, 0},
    [SYS_prctl] = {controls_process, 0},
    [SYS_exit_group] = {exits, 0},
};

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_seccomp) {
        filter_coming();
        struct arena_thread *silenced = filter_strict(a[0] == SECCOMP_SET_MODE_STRICT);
        return filter_strict_done(silenced, real.syscall(number, a[0], a[1], a[2]));
    }
    struct numbered_call c = {.t = hook_enter(), .number = number, .a = a};
    const struct row *row = number >= 0 && (size_t)number < sizeof rows / sizeof *rows ? &rows[number] : NULL;
    if (!c.t || !row || !row->run)
        return make(&c);
    c.kind = row->kind;
    c.start = clock_ticks();
    return row->run(&c);
}
