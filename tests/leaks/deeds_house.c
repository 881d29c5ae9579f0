/* SPDX-License-Identifier: Apache-2.0 */
/* What servers do beside requests: sessions are swept, logs flushed, tables compacted, jobs run, connections pooled. It is bounded. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "deeds.h"

#define SESSIONS_MAX 8192
#define SESSION_S 5
#define LINE_MAX_BYTES 400
#define COMPACTIONS 6
#define SURVIVORS 2000
#define SURVIVOR_BYTES 1000
#define SLICES 100
#define JOB_TICKS 1000 /* between two jobs, of the timer */
#define JOB_TAKES 100
#define JOB_OBJECT 1000
#define ARENA_BLOCK 16384
#define THREAD_OBJECTS 100
#define SHORT_PAUSE_NS 5000000
#define RESULT_BYTES 24
#define SNAPSHOT_FROM 12000
#define SNAPSHOT_STEP 32
#define SNAPSHOTS_MAX 8192
#define GROWS_UNTIL 0.85 /* share of the load */

/* --- sessions: what has expired is swept all at once --- */

NOINLINE void session_table(struct deed *d)
{
    static struct {
        void *session;
        time_t until;
    } table[SESSIONS_MAX];
    static size_t n;
    static time_t sweep;
    time_t now = time(NULL);

    if (now >= sweep) {
        size_t left = 0;
        sweep = now + SESSION_S;
        for (size_t i = 0; i < n; i++)
            if (table[i].until > now)
                table[left++] = table[i];
            else
                free(table[i].session);
        n = left;
    }
    if (n == SESSIONS_MAX)
        return;
    table[n].session = filled(d->bytes / 2 + random_below(d->bytes));
    table[n++].until = now + SESSION_S;
}

/* --- a log: lines are collected, written together, and forgotten --- */

NOINLINE void log_line(struct deed *d)
{
    static char *buffer;
    static size_t used, room;
    char *line = NULL;
    int n = asprintf(&line, "request %llu %*d", (unsigned long long)d->calls, (int)random_below(LINE_MAX_BYTES), 1);

    if (n < 0)
        abort();
    if (used + (size_t)n > room && !(buffer = realloc(buffer, room = 2 * room + LINE_MAX_BYTES + (size_t)n)))
        abort();
    for (int i = 0; i < n; i++)
        buffer[used++] = line[i];
    free(line);
    if (used < d->bytes)
        return;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, buffer, used) < 0)
        abort();
    close(fd);
    free(buffer);
    buffer = NULL;
    used = room = 0;
}

/* --- a store: what is written is collected, and now and then merged with what survives, which takes its time --- */

struct record {
    struct record *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t due;
    struct record *merged, *fresh; /* fresh: to be merged; NULL: nothing is due */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER, .due = PTHREAD_COND_INITIALIZER};

static void drop_records(struct record *list)
{
    while (list) {
        struct record *next = list->next;
        free(list);
        list = next;
    }
}

static NOINLINE struct record *merge_records(void)
{
    struct timespec pause = {0, SHORT_PAUSE_NS};
    struct record *merged = NULL;

    for (size_t i = 0; i < SURVIVORS; i++) {
        struct record *r = filled(SURVIVOR_BYTES);
        r->next = merged;
        merged = r;
        if (i % (SURVIVORS / SLICES) == 0)
            nanosleep(&pause, NULL);
    }
    return merged;
}

static void *compact(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&store.lock);
    for (;;) {
        while (!store.fresh)
            pthread_cond_wait(&store.due, &store.lock);
        struct record *old = store.merged, *fresh = store.fresh;
        pthread_mutex_unlock(&store.lock);
        struct record *merged = merge_records();
        drop_records(old);
        drop_records(fresh);
        pthread_mutex_lock(&store.lock);
        store.merged = merged;
        store.fresh = NULL;
    }
    return NULL;
}

NOINLINE void store_record(struct deed *d)
{
    static struct record *list;
    static unsigned begun;
    struct record *r = filled(d->bytes);
    pthread_t thread;

    r->next = list;
    list = r;
    if (progress() * COMPACTIONS < begun)
        return;
    if (!begun++ && pthread_create(&thread, NULL, compact, NULL))
        abort();
    pthread_mutex_lock(&store.lock);
    if (!store.fresh) {
        store.fresh = list;
        list = NULL;
        pthread_cond_signal(&store.due);
    }
    pthread_mutex_unlock(&store.lock);
}

/* --- a job that needs much for a second --- */

NOINLINE void run_job(struct deed *d)
{
    static struct record *list;

    if (d->calls % JOB_TICKS == JOB_TICKS / 2 + JOB_TAKES) {
        drop_records(list);
        list = NULL;
    }
    if (d->calls % JOB_TICKS != JOB_TICKS / 2)
        return;
    for (size_t sum = 0; sum < d->bytes; sum += JOB_OBJECT) {
        struct record *r = filled(JOB_OBJECT);
        r->next = list;
        list = r;
    }
}

/* --- what belongs to a connection --- */

struct arena {
    struct arena *before;
    size_t used;
    char room[ARENA_BLOCK];
};

NOINLINE void arena_take(struct deed *d)
{
    struct arena **a = (struct arena **)connection_slot();
    size_t bytes = d->bytes / 2 + random_below(d->bytes);

    if (!*a || (*a)->used + bytes > ARENA_BLOCK) {
        struct arena *more = filled(sizeof *more);
        more->before = *a;
        more->used = 0;
        *a = more;
    }
    (*a)->used += bytes;
}

void arena_release(struct deed *d)
{
    (void)d;
    for (struct arena *a = *connection_slot(), *before; a; a = before) {
        before = a->before;
        free(a);
    }
}

struct helper {
    pthread_t thread;
    size_t bytes;
    _Atomic bool done;
};

/* A cache of the thread's own, which ends with it. */
static void *cache_of_thread(void *helper)
{
    struct helper *h = helper;
    void *object[THREAD_OBJECTS] = {NULL};
    struct timespec pause = {0, SHORT_PAUSE_NS};

    while (!h->done) {
        size_t i = random_below(THREAD_OBJECTS);
        free(object[i]);
        object[i] = filled(1 + random_below(h->bytes));
        nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < THREAD_OBJECTS; i++)
        free(object[i]);
    return NULL;
}

NOINLINE void thread_begin(struct deed *d)
{
    struct helper *h = filled(sizeof *h);

    h->done = false;
    h->bytes = d->bytes;
    if (pthread_create(&h->thread, NULL, cache_of_thread, h))
        abort();
    *connection_slot() = h;
}

void thread_end(struct deed *d)
{
    struct helper *h = *connection_slot();

    (void)d;
    h->done = true;
    pthread_join(h->thread, NULL);
    free(h);
}

/* Connections to others, as many as were ever needed at once. */
static struct pooled {
    struct pooled *next;
    int fd;
    char buffer[];
} *pool;

NOINLINE void pool_take(struct deed *d)
{
    struct pooled *p = pool;

    if (p) {
        pool = p->next;
    } else {
        p = filled(sizeof *p + d->bytes);
        if ((p->fd = eventfd(0, EFD_CLOEXEC)) < 0)
            abort();
    }
    *connection_slot() = p;
}

void pool_give(struct deed *d)
{
    struct pooled *p = *connection_slot();

    (void)d;
    p->next = pool;
    pool = p;
}

/* --- a value computed once in a while --- */

/* A snapshot is longer than the one before. What is older than the newest ones shrinks to its result, which stays where it is: so
 * what the others leave is too short for the next, and resident memory grows. The results are RESULT_BYTES each. */
NOINLINE void snapshot(struct deed *d)
{
    static struct {
        void *start;
        size_t bytes;
    } block[SNAPSHOTS_MAX];
    static size_t first, last, live;
    size_t bytes = SNAPSHOT_FROM + last * SNAPSHOT_STEP;

    if (last == SNAPSHOTS_MAX)
        return;
    for (; first < last && live + bytes > d->bytes; first++) {
        block[first].start = realloc(block[first].start, RESULT_BYTES);
        live -= block[first].bytes;
    }
    block[last].start = filled(bytes);
    block[last++].bytes = bytes;
    live += bytes;
}

NOINLINE void grow_and_stop(struct deed *d)
{
    static struct record *list;

    if (progress() > GROWS_UNTIL)
        return;
    struct record *r = filled(d->bytes);
    r->next = list;
    list = r;
}
