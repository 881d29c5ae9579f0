/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolution happens in one go at the first hooked call, not in the constructor: libstdc++ and others allocate before it.
 * Looking names up calls nothing that could be hooked (symbol.c), so no hook runs before the table is whole.
 */
#include "real.h"

#include <link.h>

#include "symbol.h"

struct real_table real;
static uintptr_t allocator_start, allocator_end; /* the segments of the object that malloc is in */
static bool allocator_is_apart;                  /* a library that does nothing else */

static struct real_object object_of(const struct dl_phdr_info *info, bool *program)
{
    struct real_object o = {.base = info->dlpi_addr, .start = UINTPTR_MAX};
    uintptr_t end = 0;

    *program = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + segment->p_vaddr;
        *program |= segment->p_type == PT_INTERP;
        if (segment->p_type == PT_DYNAMIC)
            o.dynamic = (const void *)from;
        if (segment->p_type != PT_LOAD)
            continue;
        o.start = from < o.start ? from : o.start;
        end = from + segment->p_memsz > end ? from + segment->p_memsz : end;
    }
    o.bytes = end > o.start ? end - o.start : 0;
    return o;
}

static int note_allocator(struct dl_phdr_info *info, size_t size, void *unused)
{
    bool program;
    struct real_object o = object_of(info, &program);

    (void)size, (void)unused;
    if ((uintptr_t)real.malloc - o.start >= o.bytes)
        return 0;
    allocator_start = o.start;
    allocator_end = o.start + o.bytes;
    allocator_is_apart = !program && (uintptr_t)real.exit - o.start >= o.bytes;
    return 1;
}

struct object_walk {
    bool (*take)(void *context, const struct real_object *o);
    void *context;
};

static int walk_object(struct dl_phdr_info *info, size_t size, void *context)
{
    const struct object_walk *walk = context;
    bool program;
    struct real_object o = object_of(info, &program);

    (void)size;
    if (!o.dynamic || (uintptr_t)walk_object - o.start < o.bytes)
        return 0;
    return !walk->take(walk->context, &o);
}

void real_each_object(bool (*take)(void *context, const struct real_object *o), void *context)
{
    struct object_walk walk = {take, context};

    dl_iterate_phdr(walk_object, &walk);
}

void real_resolve(void)
{
    static struct real_table found; /* not on the stack: the host's first call may be on a small one */

#define HOOK(name, subject) found.name = (__typeof__(name) *)symbol_next(#name);
#include "hooks.def"
#undef HOOK
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
    uintptr_t first = (uintptr_t)symbol_first("malloc");

    return first - (uintptr_t)&__ehdr_start < (uintptr_t)&_end - (uintptr_t)&__ehdr_start;
}
