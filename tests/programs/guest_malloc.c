/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stresses whatever malloc it is given: threads allocate in every way, check contents, alignment and usable size, resize, and free
 * what others allocated. The sizes that it asks for are all 19 modulo 64, so that a trace shows which blocks are its own; it
 * says at its end how many are live and how many bytes were asked for in them.
 *
 *   guest_malloc [THREADS [STEPS [plain]]]    plain: leaves out reallocarray, which few allocators define
 *
 * With -DOWN the program brings a malloc of its own; with -DMTRACE it calls mtrace().
 */
#include <malloc.h>
#include <mcheck.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef OWN
static _Atomic(char *) own_at;
static char *own_from;

static void *own_take(size_t align, size_t n)
{
    char *at = atomic_load(&own_at), *p;

    if (!at) {
        char *fresh = mmap(NULL, 16ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (!atomic_compare_exchange_strong(&own_at, &at, fresh))
            munmap(fresh, 16ul << 30);
        else
            own_from = fresh;
        at = atomic_load(&own_at);
    }
    do
        p = (char *)(((uintptr_t)at + 16 + align - 1) & ~(align - 1));
    while (!atomic_compare_exchange_weak(&own_at, &at, p + ((n + 15) & ~(size_t)15)));
    ((size_t *)(void *)p)[-1] = n;
    return p;
}

void *malloc(size_t n) { return own_take(16, n); }
void free(void *p) { if (p && (char *)p < own_from) abort(); }
void *calloc(size_t n, size_t size) { return own_take(16, n * size); }
void *memalign(size_t align, size_t n) { return own_take(align < 16 ? 16 : align, n); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
int posix_memalign(void **out, size_t align, size_t n) { return *out = memalign(align, n), 0; }
size_t malloc_usable_size(void *p) { return p ? ((size_t *)p)[-1] : 0; }
void *realloc(void *old, size_t n)
{
    void *p = malloc(n);
    if (old)
        memcpy(p, old, malloc_usable_size(old) < n ? malloc_usable_size(old) : n);
    return p;
}
#endif

#define SLOTS 512
#define LIVE_AT_END 100

struct block {
    unsigned char *p;
    size_t size;
    unsigned char fill;
};

static struct block slots[SLOTS];
static pthread_mutex_t locks[SLOTS];
static atomic_int wrong;
static atomic_long made, freed;
static int steps = 20000, plain;

static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static size_t size_of(uint32_t r) { return 19 + 64 * (size_t)(r % 16 ? r % 31 : r % 1501); }

static void check(int good, const char *what)
{
    if (!good && atomic_fetch_add(&wrong, 1) < 5)
        printf("wrong: %s\n", what);
}

static int intact(const struct block *b)
{
    return b->p[0] == b->fill && b->p[b->size / 2] == b->fill && b->p[b->size - 1] == b->fill;
}

static struct block take(uint32_t r)
{
    struct block b = {.size = size_of(r >> 8), .fill = (unsigned char)r};
    size_t align = 16;

    switch (r % 8) {
    case 0:
        b.p = calloc(1, b.size);
        for (size_t i = 0; b.p && i < b.size; i++)
            if (b.p[i]) {
                check(0, "calloc gives zeros");
                break;
            }
        break;
    case 1:
        align = 64;
        if (posix_memalign((void **)&b.p, align, b.size))
            b.p = NULL;
        break;
    case 2:
        align = 256;
        b.p = memalign(align, b.size);
        break;
    case 3: b.p = realloc(NULL, b.size); break;
    default: b.p = malloc(b.size);
    }
    check(b.p != NULL, "memory");
    check((uintptr_t)b.p % align == 0, "alignment");
    check(malloc_usable_size(b.p) >= b.size, "usable size");
    memset(b.p, b.fill, b.size);
    atomic_fetch_add(&made, 1);
    return b;
}

static void give(struct block *b)
{
    check(intact(b), "contents");
    free(b->p);
    b->p = NULL;
    atomic_fetch_add(&freed, 1);
}

static void resize(struct block *b, uint32_t r)
{
    size_t size = size_of(r), kept = size < b->size ? size : b->size;
    unsigned char *p = r & 1024 && !plain ? reallocarray(b->p, 1, size) : realloc(b->p, size);

    check(p && p[0] == b->fill && p[kept - 1] == b->fill, "contents after realloc");
    memset(p, b->fill, size);
    b->p = p;
    b->size = size;
}

static void *stress(void *number)
{
    uint32_t seed = 2463534242u + (uint32_t)(uintptr_t)number * 7919;

    for (int i = 0; i < steps; i++) {
        uint32_t r = next(&seed), at = next(&seed) % SLOTS;
        pthread_mutex_lock(&locks[at]);
        struct block *b = &slots[at];
        if (!b->p)
            *b = take(r);
        else if (r % 4 == 0)
            resize(b, next(&seed));
        else
            give(b);
        pthread_mutex_unlock(&locks[at]);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 4, live = 0;
    size_t bytes = 0;
    pthread_t thread[64];

    steps = count > 2 ? atoi(arguments[2]) : steps;
    plain = count > 3;
#ifdef MTRACE
    mtrace();
#endif
    for (int i = 0; i < SLOTS; i++)
        pthread_mutex_init(&locks[i], NULL);
    for (uintptr_t i = 0; i < (uintptr_t)threads; i++)
        pthread_create(&thread[i], NULL, stress, (void *)(i + 1));
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].p && live == LIVE_AT_END)
            give(&slots[i]);
        else if (slots[i].p)
            live++, bytes += slots[i].size;
    }
    check(atomic_load(&made) - atomic_load(&freed) == live, "count");
    printf("wrong %d\nlive %d\n", atomic_load(&wrong), live);
    void *one = malloc(1);
    size_t usable = malloc_usable_size(one);
    printf("usable %zu\n", usable < 24 ? usable : 24); /* tells allocators apart; 24 and above is glibc's */
    free(one);
    printf("~live %d blocks %zu bytes\n", live, bytes);
    return 0;
}
