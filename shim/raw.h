/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without libc: they touch no errno, pass no hook, and are no cancellation points. Results are the kernel's:
 * negative errno on failure.
 */
#ifndef PERFSHIM_RAW_H
#define PERFSHIM_RAW_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#if !defined(__x86_64__)
#error "perfshim knows the system call convention of x86-64 only"
#endif

static inline long raw6(long n, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long raw4(long n, long a, long b, long c, long d) { return raw6(n, a, b, c, d, 0, 0); }
static inline long raw3(long n, long a, long b, long c) { return raw6(n, a, b, c, 0, 0, 0); }
static inline long raw2(long n, long a, long b) { return raw6(n, a, b, 0, 0, 0, 0); }
static inline long raw1(long n, long a) { return raw6(n, a, 0, 0, 0, 0, 0); }
static inline long raw0(long n) { return raw6(n, 0, 0, 0, 0, 0, 0); }

/* Sleeps while *word is value, at most ns; futexes are shared between processes. */
static inline long raw_futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t ns)
{
    struct timespec timeout = {ns / 1000000000, ns % 1000000000};
    return raw4(SYS_futex, (long)word, FUTEX_WAIT, value, (long)&timeout);
}

static inline long raw_futex_wake(_Atomic uint32_t *word)
{
    return raw3(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX);
}

/* Anonymous memory that costs nothing until it is touched; NULL if there is none. */
static inline void *raw_reserve(uint64_t bytes)
{
    long at = raw6(SYS_mmap, 0, (long)bytes, 3 /* read, write */, 0x4022 /* private, anonymous, noreserve */, -1, 0);
    return at < 0 && at > -4096 ? (void *)0 : (void *)at;
}

/* The same, but nothing of it may be touched before mprotect(2) allows it: it does not count as the host's data. */
static inline void *raw_reserve_untouchable(uint64_t bytes)
{
    long at = raw6(SYS_mmap, 0, (long)bytes, 0, 0x4022, -1, 0);
    return at < 0 && at > -4096 ? (void *)0 : (void *)at;
}

#endif
