/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extended copy lies on the stack if it is small, for the host's stack may be; else in a mapping of its own, which
 * is given back when exec fails, or by a vfork child's parent.
 */
#include "environment.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "raw.h"
#include "thread.h"

/* Made by a vfork child for its exec, which left it behind. */
static __thread struct mapped_environment *vfork_mapping;

static void unmap(struct mapped_environment *m) { raw2(SYS_munmap, (long)m, (long)m->bytes); }

static bool has(char *const *environment, const char *name)
{
    size_t n = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
            return true;
    return false;
}

static char **room_for(struct environment *e, size_t entries)
{
    if (entries <= SMALL_ENVIRONMENT)
        return e->small;
    size_t bytes = sizeof *e->mapped + entries * sizeof(char *);
    e->mapped = raw_reserve(bytes);
    if (!e->mapped)
        return NULL;
    e->mapped->bytes = bytes;
    if (thread_slot && thread_slot->paused)
        vfork_mapping = e->mapped;
    return e->mapped->entry;
}

/* Bad pointers are the kernel's to refuse: those of an exec are shown to it before we follow them. */
static bool is_array(char *const *given)
{
    return given && (shim.filtered || raw4(SYS_rt_sigprocmask, ~0, (long)given, 0, sizeof *given) == -EINVAL);
}

bool environment_is_text(const char *path)
{
    return path && (shim.filtered || raw2(SYS_access, (long)path, F_OK) != -EFAULT);
}

void environment_extend(struct environment *e, char *const *given)
{
    size_t n = 0;

    e->given = given;
    e->mapped = NULL;
    e->extended = false;
    if (atomic_load(&shim.phase) != SHIM_ON || !is_array(given) || !has(given, "LD_PRELOAD") || has(given, ARENA_ENV))
        return;
    while (given[n])
        n++;
    char **copy = room_for(e, n + 2);
    if (!copy)
        return;
    memcpy(copy, given, n * sizeof *copy);
    copy[n] = launch_environment_entry(shim.arena);
    copy[n + 1] = NULL;
    e->extended = true;
}

void environment_free(struct environment *e)
{
    if (e->mapped && vfork_mapping == e->mapped)
        vfork_mapping = NULL;
    if (e->mapped)
        unmap(e->mapped);
}

void environment_free_vfork(void)
{
    if (vfork_mapping)
        unmap(vfork_mapping);
    vfork_mapping = NULL;
}
