/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads take chunks in the order of their first times, which is nearly that in which they are asked for. One that is asked
 * for and that no thread has begun is loaded at once by who asks: so a queue that is full of others never holds anybody up, and
 * who asks faster than the threads work helps them.
 */
#include "ahead.h"

#include <pthread.h>
#include <stdlib.h>

enum state { WAITING, IN_WORK, READY, TAKEN };

struct ready {
    uint64_t chunk;
    struct loaded *loaded;
    int result; /* as ahead_take gives it */
};

struct ahead {
    struct reader *reader;
    uint64_t *order; /* chunks by their first time */
    size_t count;
    unsigned threads;
    pthread_t thread[AHEAD_THREADS_MAX];
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t done, room;
    size_t next;    /* of order: those before are no longer waiting */
    uint8_t *state; /* by chunk: enum state */
    struct ready ready[AHEAD_CHUNKS];
    unsigned ready_count, in_work;
    uint64_t bytes; /* of those ready and in work */
    bool closed;
};

void loaded_free(struct loaded *l)
{
    if (!l)
        return;
    free(l->content);
    free(l);
}

static int load(struct reader *r, uint64_t chunk, struct loaded **out)
{
    const struct trace_chunk_header *h = &reader_chunk(r, chunk)->header;
    struct loaded *l = malloc(sizeof *l);
    struct error damage = {.text = ""};

    *out = NULL;
    if (!l)
        return -1;
    l->content = NULL;
    l->size = 0;
    int64_t n = reader_content(r, chunk, &l->content, &l->size, &damage);
    if (n >= 0 && !column_reader_open(&l->columns, l->content, (size_t)n, h->events, h->first_ticks)) {
        *out = l;
        return 1;
    }
    loaded_free(l);
    if (n == -2)
        return -1;
    reader_reject(r, chunk);
    return 0;
}

/* --- the threads --- */

static uint64_t bytes_of(const struct ahead *a, uint64_t chunk) { return loaded_bytes(&reader_chunk(a->reader, chunk)->header); }

/* The next chunk to load, with the mutex held: true and *chunk, or false if there are no more. */
static bool choose(struct ahead *a, uint64_t *chunk)
{
    for (;;) {
        while (a->next < a->count && a->state[a->order[a->next]] != WAITING)
            a->next++;
        if (a->closed || a->next == a->count)
            return false;
        *chunk = a->order[a->next];
        unsigned held = a->ready_count + a->in_work;
        if (!held || (held < AHEAD_CHUNKS && a->bytes + bytes_of(a, *chunk) <= AHEAD_BYTES))
            return true;
        pthread_cond_wait(&a->room, &a->mutex);
    }
}

static void *load_all(void *ahead)
{
    struct ahead *a = ahead;
    struct ready r;

    pthread_mutex_lock(&a->mutex);
    while (choose(a, &r.chunk)) {
        a->state[r.chunk] = IN_WORK;
        a->in_work++;
        a->bytes += bytes_of(a, r.chunk);
        pthread_mutex_unlock(&a->mutex);
        r.result = load(a->reader, r.chunk, &r.loaded);
        pthread_mutex_lock(&a->mutex);
        a->state[r.chunk] = READY;
        a->in_work--;
        a->ready[a->ready_count++] = r;
        pthread_cond_signal(&a->done);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* --- taking --- */

static struct ready take_ready(struct ahead *a, uint64_t chunk)
{
    unsigned i = 0;

    while (a->ready[i].chunk != chunk)
        i++;
    struct ready r = a->ready[i];
    a->ready[i] = a->ready[--a->ready_count];
    a->bytes -= bytes_of(a, chunk);
    pthread_cond_broadcast(&a->room);
    return r;
}

int ahead_take(struct ahead *a, uint64_t chunk, struct loaded **out, struct error *e)
{
    struct ready r = {.chunk = chunk};

    pthread_mutex_lock(&a->mutex);
    while (a->state[chunk] == IN_WORK)
        pthread_cond_wait(&a->done, &a->mutex);
    bool is_ready = a->state[chunk] == READY;
    a->state[chunk] = TAKEN;
    if (is_ready)
        r = take_ready(a, chunk);
    pthread_mutex_unlock(&a->mutex);
    if (!is_ready)
        r.result = load(a->reader, chunk, &r.loaded);
    *out = r.loaded;
    return r.result < 0 ? error_set(e, ERROR_NO_OFFSET, "memory is short") : r.result;
}

/* --- beginning and end --- */

static int by_first_time(const void *x, const void *y, void *reader)
{
    uint64_t i = *(const uint64_t *)x, j = *(const uint64_t *)y;
    uint64_t first = reader_chunk(reader, i)->header.first_ticks, other = reader_chunk(reader, j)->header.first_ticks;

    if (first != other)
        return first < other ? -1 : 1;
    return i < j ? -1 : i > j;
}

struct ahead *ahead_open(struct reader *r, const uint64_t *chunks, size_t count, unsigned threads)
{
    struct ahead *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->done, NULL);
    pthread_cond_init(&a->room, NULL);
    a->reader = r;
    a->count = threads ? count : 0;
    a->state = calloc(reader_chunks(r) + 1, sizeof *a->state);
    a->order = malloc((a->count + 1) * sizeof *a->order);
    if (!a->state || !a->order) {
        ahead_close(a);
        return NULL;
    }
    for (size_t i = 0; i < a->count; i++)
        a->order[i] = chunks[i];
    qsort_r(a->order, a->count, sizeof *a->order, by_first_time, r);
    for (unsigned i = 0; i < threads && i < AHEAD_THREADS_MAX; i++)
        if (pthread_create(&a->thread[a->threads], NULL, load_all, a) == 0)
            a->threads++;
    return a;
}

void ahead_close(struct ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mutex);
    a->closed = true;
    pthread_cond_broadcast(&a->room);
    pthread_mutex_unlock(&a->mutex);
    for (unsigned i = 0; i < a->threads; i++)
        pthread_join(a->thread[i], NULL);
    for (unsigned i = 0; i < a->ready_count; i++)
        loaded_free(a->ready[i].loaded);
    pthread_cond_destroy(&a->room);
    pthread_cond_destroy(&a->done);
    pthread_mutex_destroy(&a->mutex);
    free(a->order);
    free(a->state);
    free(a);
}
