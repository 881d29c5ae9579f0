/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder is a grandchild that belongs to nobody: the process in between ends at once and is reaped here, so that the
 * host's wait() never sees either. The processes are made by a bare clone without an exit signal: no SIGCHLD, no atfork
 * handler runs. Of the host's descriptors the recorder inherits none but the arena.
 *
 * All this happens inside the host's first hooked call, often its first malloc: no libc function that could allocate, lock
 * or change errno is called.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "clock.h"
#include "pool.h"
#include "raw.h"
#include "real.h"
#include "say.h"
#include "trace.h"
#include "unwanted.h"

#define PROC_CAPACITY 4096u
#define THREAD_CAPACITY ARENA_THREADS_MAX
#define BLOCK_MIN_BYTES 16384u
#define ARENA_PAGE 4096u
#define RLIMIT_AS_SHARE 16 /* of the host's address space, if that is limited, at most one part in so many for rings */
#define START_TIMEOUT_NS 3000000000ll
#define RECORDER_NAME "perfshim-recorder"

static char environment_entry[64];

static bool failed(long result) { return result < 0 && result > -4096; }

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

/* The directory of this library, with its last slash; false if it cannot be told. */
static bool own_directory(char *out, size_t size)
{
    Dl_info info;

    if (!dladdr((void *)launch_run, &info) || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    size_t n = slash ? (size_t)(slash - info.dli_fname) + 1 : 0;
    if (n >= size)
        return false;
    memcpy(out, info.dli_fname, n);
    out[n] = 0;
    return true;
}

static bool recorder_path(char *out, size_t size, const struct settings *s)
{
    if (*s->text[SETTING_RECORDER]) {
        size_t n = strlen(s->text[SETTING_RECORDER]);
        if (n >= size)
            return false;
        memcpy(out, s->text[SETTING_RECORDER], n + 1);
        return true;
    }
    if (!own_directory(out, size - sizeof RECORDER_NAME))
        return false;
    strcat(out, RECORDER_NAME);
    return true;
}

/* What a timed stretch of nothing takes: the least of some. */
static uint32_t clock_cost(void)
{
    uint64_t least = UINT32_MAX;

    for (int i = 0; i < 64; i++) {
        uint64_t from = clock_ticks(), took = clock_ticks() - from;
        least = took < least ? took : least;
    }
    return (uint32_t)least;
}

static void arena_fill(struct arena_header *a, uint64_t pool_bytes, const struct settings *s)
{
    uint64_t ring = 65536;
    char seed[8] = "";

    while (ring < s->number[SETTING_RING])
        ring *= 2;
    a->block_bytes = ring / POOL_RUN_MAX > BLOCK_MIN_BYTES ? (uint32_t)(ring / POOL_RUN_MAX) : BLOCK_MIN_BYTES;
    a->ring_run = (uint32_t)(ring / a->block_bytes);
    a->blocks = (uint32_t)round_up(pool_bytes / a->block_bytes, 256);
    a->layout = ARENA_LAYOUT;
    bool tsc = s->number[SETTING_CLOCK] == CLOCK_AUTO ? clock_tsc_is_sound() : s->number[SETTING_CLOCK] == CLOCK_TSC;
    a->clock = tsc ? TRACE_CLOCK_TSC : TRACE_CLOCK_RAW_NS;
    clock_uses_tsc = tsc;
    a->clock_cost_ticks = clock_cost();
    raw3(SYS_getrandom, (long)seed, sizeof seed, 0);
    memcpy(&a->run_id, seed, sizeof seed);
    a->run_id ^= clock_read_tsc();
    a->run_id |= 1;
    a->proc_capacity = PROC_CAPACITY;
    a->thread_capacity = THREAD_CAPACITY;
    a->procs_offset = round_up(sizeof *a, ARENA_PAGE);
    a->threads_offset = round_up(a->procs_offset + PROC_CAPACITY * sizeof(struct arena_proc), ARENA_PAGE);
    a->pool_offset = round_up(a->threads_offset + THREAD_CAPACITY * sizeof(struct arena_thread), ARENA_PAGE);
    a->unwanted_offset = round_up(a->pool_offset + a->blocks / 8, ARENA_PAGE);
    a->blocks_offset = round_up(a->unwanted_offset + UNWANTED_WORDS * sizeof(uint64_t), ARENA_PAGE);
    a->bytes = a->blocks_offset + (uint64_t)a->blocks * a->block_bytes;
    a->capture_bytes = (uint32_t)(s->number[SETTING_CAPTURE] < ring / 4 ? s->number[SETTING_CAPTURE] : ring / 4);
    a->max_stall_ms = (uint32_t)s->number[SETTING_MAX_STALL];
    a->heap_mode = (uint32_t)s->number[SETTING_HEAP] & ((1u << SETTING_HEAP_SHIFT) - 1);
    a->heap_shift = (uint32_t)s->number[SETTING_HEAP] >> SETTING_HEAP_SHIFT;
    a->budget = (uint32_t)s->number[SETTING_BUDGET];
    a->stack_depth = (uint32_t)s->number[SETTING_STACK_DEPTH];
    a->memo_mode = (uint32_t)s->number[SETTING_MEMO];
    a->min_wait_us = (uint32_t)s->number[SETTING_MIN_WAIT];
    a->quiet = (uint32_t)s->number[SETTING_QUIET];
    a->rxtime = (uint32_t)s->number[SETTING_RXTIME];
    a->max_bytes = s->number[SETTING_MAX_SIZE];
    atomic_store(&a->recorder_state, ARENA_STARTING);
    a->next_proc = a->next_thread = a->next_desc = a->next_stack = 1;
    a->magic = ARENA_MAGIC;
}

static struct arena_header *map_arena(long fd, uint64_t bytes)
{
    long at = raw6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (failed(at))
        return NULL;
    raw3(SYS_madvise, at, (long)bytes, MADV_DONTDUMP); /* a core file is no place for a gigabyte of rings */
    return (struct arena_header *)at;
}

/* The limit on the size of files holds for memory files too, and passing it is a signal: it is lifted for a moment. */
static bool set_size(long fd, uint64_t bytes)
{
    struct rlimit limit, lifted;

    if (raw2(SYS_getrlimit, RLIMIT_FSIZE, (long)&limit) != 0 || limit.rlim_max < bytes)
        return false;
    lifted = (struct rlimit){limit.rlim_max, limit.rlim_max};
    raw2(SYS_setrlimit, RLIMIT_FSIZE, (long)&lifted);
    bool sized = !failed(raw2(SYS_ftruncate, fd, (long)bytes));
    raw2(SYS_setrlimit, RLIMIT_FSIZE, (long)&limit);
    return sized;
}

/* A host may live under RLIMIT_AS: take no more than a small share of what it has. */
static struct arena_header *make_arena(long fd, const struct settings *s)
{
    uint64_t pool_bytes = s->number[SETTING_RINGS], least = 256 * (uint64_t)BLOCK_MIN_BYTES;
    struct rlimit space;

    if (raw2(SYS_getrlimit, RLIMIT_AS, (long)&space) == 0 && space.rlim_cur / RLIMIT_AS_SHARE < pool_bytes)
        pool_bytes = space.rlim_cur / RLIMIT_AS_SHARE > least ? space.rlim_cur / RLIMIT_AS_SHARE : least;
    for (; pool_bytes >= least; pool_bytes /= 4) {
        struct arena_header plan;
        memset(&plan, 0, sizeof plan);
        arena_fill(&plan, pool_bytes, s);
        if (!set_size(fd, plan.bytes))
            continue;
        struct arena_header *a = map_arena(fd, plan.bytes);
        if (a) {
            *a = plan;
            return a;
        }
    }
    return NULL;
}

static void give_up(struct arena_header *a, int error, const char *what)
{
    say_copy(a->recorder_detail, sizeof a->recorder_detail, what);
    a->recorder_errno = (uint32_t)error;
    atomic_store_explicit(&a->recorder_state, ARENA_FAILED, memory_order_release);
    raw_futex_wake(&a->recorder_state);
}

/* In the grandchild, to the end. */
_Noreturn static void become_recorder(struct arena_header *a, long fd, const char *path, const char *out)
{
    char number[SAY_NUMBER_BYTES];
    char *const no_environment[] = {NULL};
    uint64_t no_signals = 0;

    raw0(SYS_setsid);
    raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, sizeof no_signals);
    long null = raw3(SYS_open, (long)"/dev/null", O_RDWR, 0);
    if (fd <= 2)
        fd = raw3(SYS_fcntl, fd, F_DUPFD, 3);
    for (int i = 0; i <= 2 && null >= 0; i++)
        if (null != i)
            raw3(SYS_dup3, null, i, 0);
    raw3(SYS_fcntl, fd, F_SETFD, 0);
    if (fd > 3)
        raw3(SYS_close_range, 3, fd - 1, 0);
    raw3(SYS_close_range, fd + 1, UINT32_MAX, 0);
    const char *const arguments[] = {RECORDER_NAME, say_number(number, fd), out, NULL};
    long error = raw3(SYS_execve, (long)path, (long)arguments, (long)no_environment);
    give_up(a, (int)-error, path);
    raw1(SYS_exit_group, 127);
    __builtin_unreachable();
}

/* An orphan becomes the child of the next process above that reaps orphans. Where that is the host itself, the process in
 * between must live as long as the recorder. */
static bool host_reaps_orphans(void)
{
    int reaps = 0;

    return raw0(SYS_getpid) == 1 || (raw2(SYS_prctl, PR_GET_CHILD_SUBREAPER, (long)&reaps) == 0 && reaps);
}

/* The process in between, to its end: all signals are blocked, and nothing is open. It was made without an exit signal and
 * runs no other program, so that no wait() without __WALL ever sees it. */
_Noreturn static void become_parent(struct arena_header *a, long fd, const char *path, const char *out, bool stay)
{
    long grandchild = raw6(SYS_clone, 0, 0, 0, 0, 0, 0);

    if (grandchild == 0)
        become_recorder(a, fd, path, out);
    if (failed(grandchild))
        give_up(a, (int)-grandchild, path);
    else if (stay) {
        raw0(SYS_setsid);
        raw2(SYS_prctl, PR_SET_NAME, (long)"perfshim-parent");
        raw3(SYS_close_range, 0, UINT32_MAX, 0);
        while (raw4(SYS_wait4, grandchild, 0, __WALL, 0) == -EINTR)
            ;
    }
    for (;;)
        raw1(SYS_exit_group, 0);
}

static bool start_recorder(struct arena_header *a, long fd, const char *path, const char *out)
{
    uint64_t all_signals = ~0ull, old_signals;
    bool stay = host_reaps_orphans();

    raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, (long)&old_signals, sizeof all_signals);
    long child = raw6(SYS_clone, 0, 0, 0, 0, 0, 0);
    if (child == 0)
        become_parent(a, fd, path, out, stay);
    if (!failed(child) && !stay)
        while (raw4(SYS_wait4, child, 0, __WALL, 0) == -EINTR)
            ;
    raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_signals, 0, sizeof old_signals);
    if (failed(child))
        give_up(a, (int)-child, path);
    for (int64_t waited = 0; waited < START_TIMEOUT_NS && atomic_load(&a->recorder_state) == ARENA_STARTING;
         waited += START_TIMEOUT_NS / 30)
        raw_futex_wait(&a->recorder_state, ARENA_STARTING, START_TIMEOUT_NS / 30);
    return atomic_load_explicit(&a->recorder_state, memory_order_acquire) == ARENA_RUNNING;
}

static void say_outcome(const struct arena_header *a, bool running, const char *recorder)
{
    char number[SAY_NUMBER_BYTES];
    int error = (int)atomic_load(&a->recorder_errno);

    if (running) {
        if (!a->quiet)
            say((const char *const[]){"recording pid ", say_number(number, raw0(SYS_getpid)), " to ",
                                      a->recorder_detail, NULL});
        return;
    }
    if (atomic_load(&a->recorder_state) == ARENA_STARTING)
        say((const char *const[]){"the recorder ", recorder, " did not start within 3 s; the program runs on, unrecorded",
                                  NULL});
    else
        say((const char *const[]){"cannot record: ", a->recorder_detail, ": ", say_errno(error),
                                  "; the program runs on, unrecorded", NULL});
}

static const char *program_name(char *out, size_t size)
{
    static char path[4096];
    long n = raw3(SYS_readlink, (long)"/proc/self/exe", (long)path, sizeof path - 1);

    path[failed(n) ? 0 : n] = 0;
    const char *slash = strrchr(path, '/');
    say_copy(out, size, slash && slash[1] ? slash + 1 : "program");
    return out;
}

struct arena_header *launch_run(char *const *environment)
{
    static char recorder[4096], out[4096]; /* not on the stack: the host's first call may be on a small one */
    char name[256];
    struct settings s;

    settings_read(&s, environment);
    settings_expand_path(out, sizeof out, s.text[SETTING_OUT], (uint32_t)raw0(SYS_getpid),
                         program_name(name, sizeof name));
    if (!recorder_path(recorder, sizeof recorder, &s)) {
        say((const char *const[]){"cannot tell where " RECORDER_NAME " is: set PERFSHIM_RECORDER to its path", NULL});
        return NULL;
    }
    long fd = raw2(SYS_memfd_create, (long)"perfshim", MFD_CLOEXEC);
    struct arena_header *a = failed(fd) ? NULL : make_arena(fd, &s);
    if (!a) {
        say((const char *const[]){"cannot record: no memory for the rings (see PERFSHIM_RINGS and ulimit -a); the program runs on, unrecorded", NULL});
        if (!failed(fd))
            raw1(SYS_close, fd);
        return NULL;
    }
    bool running = start_recorder(a, fd, recorder, out);
    raw1(SYS_close, fd);
    say_outcome(a, running, recorder);
    if (running)
        return a;
    raw2(SYS_munmap, (long)a, (long)a->bytes);
    return NULL;
}

static uint64_t take_number(const char **p, unsigned base)
{
    uint64_t v = 0;

    for (;; (*p)++) {
        unsigned c = (unsigned char)**p, digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (digit >= base)
            break;
        v = v * base + digit;
    }
    if (**p == ':')
        (*p)++;
    return v;
}

struct arena_header *launch_join(const char *where)
{
    char path[64] = "/proc/", digits[SAY_NUMBER_BYTES];
    uint64_t pid = take_number(&where, 10), number = take_number(&where, 10), run_id = take_number(&where, 16);

    strcat(path, say_number(digits, (int64_t)(pid & INT32_MAX)));
    strcat(path, "/fd/");
    strcat(path, say_number(digits, (int64_t)(number & INT32_MAX)));
    long fd = raw3(SYS_open, (long)path, O_RDWR | O_CLOEXEC, 0);
    if (failed(fd))
        return NULL;
    struct arena_header *first = map_arena(fd, ARENA_PAGE), *a = NULL;
    if (first && first->magic == ARENA_MAGIC && first->layout == ARENA_LAYOUT && first->run_id == run_id)
        a = map_arena(fd, first->bytes);
    if (first)
        raw2(SYS_munmap, (long)first, ARENA_PAGE);
    raw1(SYS_close, fd);
    return a;
}

/* What stands there already is let stand: other threads read it, in their environment. */
char *launch_environment_entry(const struct arena_header *arena)
{
    char digits[SAY_NUMBER_BYTES], hex[17], entry[sizeof environment_entry];

    for (int i = 0; i < 16; i++)
        hex[i] = "0123456789abcdef"[arena->run_id >> (60 - 4 * i) & 15];
    hex[16] = 0;
    strcpy(entry, ARENA_ENV "=");
    strcat(entry, say_number(digits, (int64_t)atomic_load(&arena->recorder_pid)));
    strcat(entry, ":");
    strcat(entry, say_number(digits, (int64_t)atomic_load(&arena->recorder_fd)));
    strcat(entry, ":");
    strcat(entry, hex);
    if (strcmp(entry, environment_entry) != 0)
        strcpy(environment_entry, entry);
    return environment_entry;
}
