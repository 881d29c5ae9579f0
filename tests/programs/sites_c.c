/* SPDX-License-Identifier: Apache-2.0 */
/* Twelve sites of C: functions, static ones, inlined ones, inlined ones within inlined ones, one that calls itself. */
#include <stdlib.h>
#include <string.h>

#include "sites.h"

static void *volatile sink; /* so that no allocation is left out, and none is in the place of a return */

#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))

#define PLAIN(number, size)                                                                                            \
    NOINLINE static void *plain_##number(int *line)                                                                    \
    {                                                                                                                  \
        return *line = __LINE__, sink = malloc(size);                                                                  \
    }
PLAIN(1, 100)
PLAIN(2, 200)
PLAIN(3, 300)
PLAIN(4, 400)

NOINLINE static void *zeroed(int *line)
{
    *line = __LINE__; sink = calloc(5, 100);
    return sink;
}

NOINLINE static void *grown(int *line)
{
    *line = __LINE__; sink = realloc(NULL, 600);
    return sink;
}

NOINLINE static void *aligned(int *line)
{
    *line = __LINE__; sink = aligned_alloc(64, 704);
    return sink;
}

NOINLINE static void *deep(int depth, int *line)
{
    if (depth > 0) {
        void *inner = deep(depth - 1, line);
        sink = inner;
        return inner;
    }
    *line = __LINE__; sink = malloc(800);
    return sink;
}
static void *nested(int *line) { return deep(6, line); }

INLINE void *inlined_once(int *line)
{
    *line = __LINE__; sink = malloc(900);
    return sink;
}
NOINLINE static void *caller_once(int *line) { return sink = inlined_once(line); }

INLINE void *inlined_inner(int *line, size_t bytes)
{
    *line = __LINE__; sink = malloc(bytes);
    return sink;
}
INLINE void *inlined_outer(int *line) { return inlined_inner(line, 1000); }
NOINLINE static void *caller_twice(int *line) { return sink = inlined_outer(line); }

INLINE void *inlined_left(int *line)
{
    *line = __LINE__; sink = malloc(1100);
    return sink;
}
INLINE void *inlined_right(int *line)
{
    *line = __LINE__; sink = malloc(1200);
    return sink;
}
static volatile int side;
NOINLINE static void *caller_both(int *line) { return sink = side ? inlined_right(line) : inlined_left(line); }
static void *left(int *line)
{
    side = 0;
    return caller_both(line);
}
static void *right(int *line)
{
    side = 1;
    return caller_both(line);
}

int main(void)
{
    static struct site site[] = {
        {"plain_1", NULL, 100, plain_1, free, 0},
        {"plain_2", NULL, 200, plain_2, free, 0},
        {"plain_3", NULL, 300, plain_3, free, 0},
        {"plain_4", NULL, 400, plain_4, free, 0},
        {"zeroed", NULL, 500, zeroed, free, 0},
        {"grown", NULL, 600, grown, free, 0},
        {"aligned", NULL, 704, aligned, free, 0},
        {"deep", NULL, 800, nested, free, 0},
        {"inlined_once", "caller_once", 900, caller_once, free, 0},
        {"inlined_inner", "inlined_outer", 1000, caller_twice, free, 0},
        {"inlined_left", "caller_both", 1100, left, free, 0},
        {"inlined_right", "caller_both", 1200, right, free, 0},
    };

    sites_run(site, sizeof site / sizeof site[0]);
    return 0;
}
