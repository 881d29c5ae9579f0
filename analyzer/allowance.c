/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RLIMIT_DATA counts memory that is private and writable, and so not the program files that are mapped to look up symbols.
 * Allocations beyond it fail, which every part of the analyzer has to bear anyway.
 */
#include "allowance.h"

#include <sys/resource.h>
#include <sys/stat.h>

#ifndef __has_feature /* how clang tells of sanitizers; gcc has macros */
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1 /* which reserves terabytes of such memory */
#else
#define SANITIZED 0
#endif

void allowance_set(const char *trace)
{
    struct rlimit limit;
    struct stat st;

    if (SANITIZED || stat(trace, &st) != 0 || getrlimit(RLIMIT_DATA, &limit) != 0)
        return;
    rlim_t wanted = ALLOWANCE_BYTES + (rlim_t)st.st_size * ALLOWANCE_PER_BYTE;
    if (wanted < limit.rlim_cur) {
        limit.rlim_cur = wanted;
        setrlimit(RLIMIT_DATA, &limit);
    }
}
