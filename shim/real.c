/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolution happens in one go at the first hooked call, not in the constructor: libstdc++ and others allocate before it.
 * dlsym takes the loader's lock, so it must never run later, when another thread may hold that lock and wait for ours.
 */
#include "real.h"

struct real_table real;

void real_resolve(void)
{
#define HOOK(name, subject) real.name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);
#include "hooks.def"
#undef HOOK
}

bool real_heap_is_whole(void)
{
    Dl_info allocator, sizer;

    return dladdr((void *)real.malloc, &allocator) && dladdr((void *)real.malloc_usable_size, &sizer) &&
           allocator.dli_fbase == sizer.dli_fbase;
}
