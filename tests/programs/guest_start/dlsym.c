/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second preload that gets in the way: with -DWRAP its dlsym allocates (and prints nothing), else its malloc looks for the
 * real one by dlsym at every call.
 */
#include <dlfcn.h>
#include <stdlib.h>

#ifdef WRAP
void *__libc_dlsym(void *, const char *);
void *dlsym(void *restrict handle, const char *restrict name)
{
    static void *(*real)(void *, const char *);
    if (!real)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    void *volatile p = malloc(200);
    free(p);
    return real(handle, name);
}
#else
void *malloc(size_t n)
{
    void *(*next)(size_t);
    *(void **)&next = dlsym(RTLD_NEXT, "malloc");
    return next(n);
}
#endif
