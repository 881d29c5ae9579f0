// SPDX-License-Identifier: Apache-2.0
// Every form of operator new and delete, and what happens when there is no memory: the handler runs, the exception comes
// through, and what the thread allocates afterwards is seen.
// Built with PLUGIN it is a library that a C program loads (plugin_host.c).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <new>
#include <unistd.h>

static unsigned long news, deletes, new_bytes, delete_bytes;
static int handled;

static void *made(void *p)
{
    __asm__ volatile("" : "+r"(p));
    if (!p)
        abort();
    news++;
    new_bytes += malloc_usable_size(p);
    return p;
}

static void *gone(void *p)
{
    __asm__ volatile("" : "+r"(p));
    deletes++;
    delete_bytes += malloc_usable_size(p);
    return p;
}

static void plain()
{
    operator delete(gone(made(operator new(100))));
    operator delete(gone(made(operator new(0))), std::size_t(0));
    operator delete[](gone(made(operator new[](200))));
    operator delete[](gone(made(operator new[](200))), std::size_t(200));
    operator delete(gone(made(operator new(300, std::nothrow))), std::nothrow);
    operator delete[](gone(made(operator new[](300, std::nothrow))), std::nothrow);
    operator delete(nullptr);
    operator delete[](nullptr, std::size_t(1));
}

static void *aligned(void *p)
{
    if (reinterpret_cast<std::uintptr_t>(p) % 256)
        abort();
    return made(p);
}

static void over_aligned()
{
    const std::align_val_t align{256};

    operator delete(gone(aligned(operator new(1000, align))), align);
    operator delete(gone(aligned(operator new(1000, align))), std::size_t(1000), align);
    operator delete[](gone(aligned(operator new[](1000, align))), align);
    operator delete[](gone(aligned(operator new[](1000, align))), std::size_t(1000), align);
    operator delete(gone(aligned(operator new(1000, align, std::nothrow))), align, std::nothrow);
    operator delete[](gone(aligned(operator new[](1000, align, std::nothrow))), align, std::nothrow);
}

static void on_no_memory()
{
    handled++;
    std::set_new_handler(nullptr); // so that the next try throws
}

static std::size_t volatile huge = SIZE_MAX / 4;

static bool throws(void (*f)())
{
    std::set_new_handler(on_no_memory);
    try {
        f();
    } catch (const std::bad_alloc &) {
        plain(); // it is the host's again: seen
        return true;
    }
    return false;
}

// What an allocator does then is its own affair: said, to be compared. mimalloc, which is C, cannot throw: it ends the program.
static void no_memory()
{
    int thrown = throws([] { made(operator new(huge)); }) + throws([] { made(operator new[](huge)); }) +
                 throws([] { made(operator new(huge, std::align_val_t{256})); });
    std::set_new_handler(on_no_memory);
    int refused = !operator new(huge, std::nothrow) + !operator new[](huge, std::nothrow);
    std::printf("thrown %d\nrefused %d\nhandled %d\n", thrown, refused, handled);
}

extern "C" void operator_mix_run()
{
    plain();
    over_aligned();
    if (!std::getenv("OPERATOR_MIX_NO_THROW"))
        no_memory();
    std::printf("news %lu\ndeletes %lu\nnew_bytes %lu\ndelete_bytes %lu\n", news, deletes, new_bytes, delete_bytes);
    std::fflush(stdout);
}

#ifndef PLUGIN
int main()
{
    setvbuf(stdout, nullptr, _IONBF, 0);
    if (write(-7, "", 0) == 0)
        abort();
    operator_mix_run();
    if (write(-7, "", 0) == 0)
        abort();
}
#endif
