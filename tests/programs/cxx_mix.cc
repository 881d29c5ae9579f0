/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C++: new and delete, which end in malloc and free, and exceptions that are thrown through frames with destructors and
 * caught, each of which costs one allocation of the runtime's. That they are caught at all, under a shim that unwinds
 * stacks itself, is the point.
 */
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

static unsigned long allocs, frees, alloc_bytes, free_bytes, thrown, caught, destroyed;

static void mark()
{
    if (write(-7, "", 0) == 0)
        abort();
}

struct Block {
    char bytes[200];
    Block()
    {
        allocs++;
        alloc_bytes += malloc_usable_size(this);
    }
    ~Block()
    {
        frees++;
        free_bytes += malloc_usable_size(this);
        destroyed++;
    }
};

/* Its destructor must run while the exception passes. */
struct Holder {
    Block *block = new Block;
    ~Holder() { delete block; }
};

struct Oops {
    int depth;
};

__attribute__((noinline)) static int descend(int depth)
{
    Holder holder;
    if (depth == 0) {
        thrown++;
        throw Oops{depth};
    }
    return descend(depth - 1) + 1;
}

static void catch_all(int turns)
{
    for (int i = 0; i < turns; i++) {
        try {
            descend(i % 20);
            abort();
        } catch (const Oops &) {
            caught++;
        }
    }
}

int main()
{
    mark();
    for (int i = 0; i < 500; i++) {
        Block *block = new Block;
        if (i % 5)
            delete block;
    }
    catch_all(200);
    std::thread(catch_all, 100).join();
    mark();
    /* the runtime's own: one block an exception; std::thread's state comes on top and is not ours to count */
    std::printf("blocks_allocated %lu\nblocks_freed %lu\nblock_bytes_live %lu\nthrown %lu\ncaught %lu\ndestroyed %lu\n",
                allocs, frees, alloc_bytes - free_bytes, thrown, caught, destroyed);
    return thrown == caught && caught == 300 ? 0 : 1;
}
