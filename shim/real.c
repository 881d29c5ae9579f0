/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolution happens in one go at the first hooked call, not in the constructor: libstdc++ and others allocate before it.
 * dlsym takes the loader's lock, so it must never run later, when another thread may hold that lock and wait for ours.
 *
 * The table is filled as a whole: dlsym allocates where a name is missing, and an allocator that is called then calls hooks
 * (sbrk, mmap) whose turn has not come. Until then, blocks are the bootstrap's.
 */
#include "real.h"

#include <link.h>

struct real_table real;
static uintptr_t allocator_start, allocator_end; /* the segments of the object that malloc is in */
static bool allocator_is_apart;                  /* a library that does nothing else */

static int note_allocator(struct dl_phdr_info *info, size_t size, void *unused)
{
    uintptr_t start = UINTPTR_MAX, end = 0;

    (void)size, (void)unused;
    bool program = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + segment->p_vaddr;
        program |= segment->p_type == PT_INTERP;
        if (segment->p_type != PT_LOAD)
            continue;
        start = from < start ? from : start;
        end = from + segment->p_memsz > end ? from + segment->p_memsz : end;
    }
    if ((uintptr_t)real.malloc - start >= end - start)
        return 0;
    allocator_start = start;
    allocator_end = end;
    allocator_is_apart = !program && (uintptr_t)real.exit - start >= end - start;
    return 1;
}

void real_resolve(void)
{
    static struct real_table found; /* not on the stack: the host's first call may be on a small one */

#define HOOK(name, subject) found.name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);
#include "hooks.def"
#undef HOOK
    dlerror(); /* the host has missed no name */
    real = found;
    dl_iterate_phdr(note_allocator, NULL);
}

bool real_is_allocators(uintptr_t function) { return function - allocator_start < allocator_end - allocator_start; }

/* libc's own calls pass no hook, and a program that brings its malloc maps memory for other reasons too. */
bool real_is_allocator(const void *return_address)
{
    return allocator_is_apart && real_is_allocators((uintptr_t)return_address);
}

extern const char __ehdr_start __attribute__((visibility("hidden")));
extern const char _end __attribute__((visibility("hidden")));

/* In the object's own search order, as the dynamic linker would have looked for it but for us. */
static void *find_from(const char *object, const char *name)
{
    void *library = real.dlopen(object, RTLD_LAZY | RTLD_NOLOAD);
    void *found = library ? dlsym(library, name) : NULL;

    if (library)
        real.dlclose(library);
    return (uintptr_t)found - (uintptr_t)&__ehdr_start < (uintptr_t)&_end - (uintptr_t)&__ehdr_start ? NULL : found;
}

void *real_find_late(const char *name, const void *caller)
{
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1"};
    Dl_info info;
    void *found = dladdr(caller, &info) && info.dli_fname ? find_from(info.dli_fname, name) : NULL;

    for (size_t i = 0; !found && i < sizeof runtimes / sizeof *runtimes; i++)
        found = find_from(runtimes[i], name);
    return found;
}

bool real_heap_is_whole(void)
{
    Dl_info allocator, sizer;

    return dladdr((void *)real.malloc, &allocator) && dladdr((void *)real.malloc_usable_size, &sizer) &&
           allocator.dli_fbase == sizer.dli_fbase;
}

bool real_heap_is_ours(void)
{
    Dl_info first, own;
    const ElfW(Sym) *symbol = NULL;

    if (!dladdr1(dlsym(RTLD_DEFAULT, "malloc"), &first, (void **)&symbol, RTLD_DL_SYMENT) ||
        !dladdr((void *)real_resolve, &own))
        return true; /* not known to be otherwise */
    /* a program that takes malloc's address has a symbol for it too, which is its way to ours */
    return first.dli_fbase == own.dli_fbase || (symbol && symbol->st_shndx == SHN_UNDEF);
}
