/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolution happens in one go at the first hooked call, not in the constructor: libstdc++ and others allocate before it.
 * dlsym takes the loader's lock, so it must never run later, when another thread may hold that lock and wait for ours.
 */
#include "real.h"

#include <link.h>

struct real_table real;

static uintptr_t allocator_start, allocator_bytes;

/* Where the library lies that malloc comes from. libc's own calls pass no hook, and a program that brings its malloc maps
 * memory for other reasons too: both leave the range empty. */
static void find_allocator(void)
{
    Dl_info allocator, libc;
    uintptr_t end = 0;

    if (!real.malloc || !real.exit || !dladdr((void *)real.malloc, &allocator) || !dladdr((void *)real.exit, &libc) ||
        allocator.dli_fbase == libc.dli_fbase)
        return;
    const ElfW(Ehdr) *header = allocator.dli_fbase;
    const ElfW(Phdr) *segment = (const void *)((const char *)header + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type == PT_INTERP)
            return;
        if (segment[i].p_type == PT_LOAD && segment[i].p_vaddr + segment[i].p_memsz > end)
            end = segment[i].p_vaddr + segment[i].p_memsz;
    }
    allocator_start = (uintptr_t)header;
    allocator_bytes = end;
}

bool real_is_allocator(const void *return_address)
{
    return (uintptr_t)return_address - allocator_start < allocator_bytes;
}

void real_resolve(void)
{
#define HOOK(name, subject) real.name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);
#include "hooks.def"
#undef HOOK
    find_allocator();
}

bool real_heap_is_whole(void)
{
    Dl_info allocator, sizer;

    return dladdr((void *)real.malloc, &allocator) && dladdr((void *)real.malloc_usable_size, &sizer) &&
           allocator.dli_fbase == sizer.dli_fbase;
}
