/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As stack_mix, from C++: allocations in handlers, in destructors that an exception runs, in code that catches and throws again,
 * and while another exception is under way.
 */
#include <execinfo.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

enum { FRAMES = 40, OUT_LINES = 20000 };

static struct line {
    size_t size;
    int n;
    void *frames[FRAMES];
} lines[OUT_LINES];
static int lines_n;

static __attribute__((noinline)) void probe()
{
    if (lines_n == OUT_LINES)
        return;
    line *l = &lines[lines_n];
    l->size = 100000 + size_t(lines_n++);
    l->n = backtrace(l->frames, FRAMES);
    void *block = malloc(l->size);
    asm volatile("" : : "r"(block) : "memory");
    free(block);
}

struct probing {
    ~probing() { probe(); }
};

static __attribute__((noinline)) void thrower(int more, unsigned path)
{
    probing on_the_way;

    if (more == 0) {
        if (path % 3)
            throw std::string(path % 50, 'x');
        throw int(path);
    }
    try {
        thrower(more - 1, path * 7 + 1);
    } catch (int number) {
        probe();
        if (more % 2)
            throw;
        throw std::string("another");
    }
    asm volatile("" : : : "memory");
}

static __attribute__((noinline)) void while_unwinding(unsigned path)
{
    struct inner {
        unsigned path;
        ~inner()
        {
            try {
                thrower(int(path % 3), path);
            } catch (...) {
                probe();
            }
        }
    } in{path};
    thrower(2, path + 1);
}

int main()
{
    void *first[1];

    backtrace(first, 1);
    for (unsigned path = 0; path < 2900; path++) {
        try {
            if (path % 4)
                thrower(int(path % 6), path);
            else
                while_unwinding(path);
        } catch (const std::string &) {
            probe();
        } catch (...) {
            probe();
        }
    }
    for (int i = 0; i < lines_n; i++) {
        std::printf("%zu", lines[i].size);
        for (int f = 1; f < lines[i].n; f++)
            std::printf(" %lx", (unsigned long)lines[i].frames[f]);
        std::printf("\n");
    }
    return 0;
}
