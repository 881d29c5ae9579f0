/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real functions behind the hooks: the next definition of each name in the host's search order, which may be libc's, or
 * that of another preloaded library (an allocator).
 *
 * real.NAME is valid once real_resolve has run, which the first hook that is called makes sure of.
 */
#ifndef PERFSHIM_REAL_H
#define PERFSHIM_REAL_H

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>
#include <unistd.h>
#include <utmp.h>

#include "undeclared.h"

struct real_table {
#define HOOK(name, subject) __typeof__(name) *name;
#include "hooks.def"
#undef HOOK
};

extern struct real_table real __attribute__((visibility("hidden")));

/* Fills the table. May allocate through the bootstrap allocator (hook_heap.c) if the dynamic linker does. */
void real_resolve(void);

/* Objects that are loaded: the program, libraries and plugins, but not this one. The dynamic linker's list is locked meanwhile, for
 * as long as this takes; what a thread does that loads or unloads is not waited for. take: false ends it. */
struct real_object {
    uintptr_t base, start, bytes; /* base: what its own addresses are relative to */
    const void *dynamic;          /* its dynamic section */
};
void real_each_object(bool (*take)(void *context, const struct real_object *o), void *context);

/* Whether a function is defined by the library that malloc is. */
bool real_is_allocators(uintptr_t function);

/* The function that a library loaded since (a plugin with RTLD_LOCAL) would call by this name if we were not there; NULL:
 * none. It takes the dynamic linker's lock: for a host out of memory only. */
void *real_find_late(const char *name, const void *caller);

/* Whether malloc and malloc_usable_size come from the same library: if not, no allocation's size can be known. */
bool real_heap_is_whole(void);

/* Whether the program's malloc is the hook: not if the program itself, or a library preloaded in front of us, has one. */
bool real_heap_is_ours(void);

/* Whether a call came from the library that malloc is in, whatever the host had called there. It may hold its locks. */
bool real_is_allocator(const void *return_address);

#endif
