/* SPDX-License-Identifier: Apache-2.0 */
/* What allocators are bad at: resident memory that is more than what is live, for good or for a while. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deeds.h"

#define PIN_BYTES 24
#define SHRED_FROM 16000
#define SHRED_STEP 16
#define SHRED_MAX 4096
#define PEAK_FROM 0.3
#define PEAK_OBJECTS 4000
#define PEAK_THREADS 4
#define SLOTS 4096
#define SLOT_BYTES_MAX 8000

/* Blocks, each a little longer than the last, of which the oldest shrink to a few bytes: what they leave is never long enough
 * again, and never becomes one, as the few bytes stand between. Each call makes as many bytes of them. */
NOINLINE void shred(struct deed *d)
{
    static struct {
        void *start;
        size_t bytes;
    } block[SHRED_MAX];
    static size_t first, last, live, owed;
    size_t bytes = SHRED_FROM + last * SHRED_STEP;

    owed += SHRED_FROM;
    if (owed < bytes)
        return;
    owed -= bytes;
    while (live + bytes > d->bytes) {
        block[first % SHRED_MAX].start = realloc(block[first % SHRED_MAX].start, PIN_BYTES);
        live -= block[first++ % SHRED_MAX].bytes;
    }
    block[last % SHRED_MAX].start = filled(bytes);
    block[last++ % SHRED_MAX].bytes = bytes;
    live += bytes;
}

static void peak(size_t bytes)
{
    void **object = filled(PEAK_OBJECTS * sizeof *object);

    for (size_t i = 0; i < PEAK_OBJECTS; i++)
        object[i] = filled(bytes / PEAK_OBJECTS / 2 + random_below(bytes / PEAK_OBJECTS));
    for (size_t i = 0; i < PEAK_OBJECTS; i++)
        free(object[i]);
    free(object);
}

NOINLINE void peak_once(struct deed *d)
{
    static bool done;

    if (done || progress() < PEAK_FROM)
        return;
    done = true;
    peak(d->bytes);
}

/* Each in an arena of its own, where the allocator has such. */
static void *peak_thread(void *deed)
{
    static _Atomic unsigned next;
    unsigned mine = next++;
    struct timespec pause = {0, 20000000};
    bool done = false;

    for (;;) {
        nanosleep(&pause, NULL);
        if (done || progress() * PEAK_THREADS < mine)
            continue;
        done = true;
        peak(((struct deed *)deed)->bytes);
    }
    return NULL;
}

NOINLINE void peak_in_turn(struct deed *d)
{
    static bool started;
    pthread_t thread;

    for (int i = 0; i < PEAK_THREADS && !started; i++)
        if (pthread_create(&thread, NULL, peak_thread, d))
            abort();
    started = true;
}

NOINLINE void churn(struct deed *d)
{
    static void *slot[SLOTS];
    size_t slots = d->bytes / (SLOT_BYTES_MAX / 2);
    void **p = &slot[random_below(slots < SLOTS ? slots : SLOTS)];

    free(*p);
    *p = filled(1 + random_below(SLOT_BYTES_MAX));
}
