/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment that a program is started with: a host that builds one of its own but passes on LD_PRELOAD means the
 * new program to be recorded too, and so it must find the arena.
 *
 *   environment_extend(&e, given); ... real call with environment_of(&e) ...; environment_free(&e) if it came back
 */
#ifndef PERFSHIM_ENVIRONMENT_H
#define PERFSHIM_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#define SMALL_ENVIRONMENT 256

struct mapped_environment {
    size_t bytes;
    char *entry[];
};

struct environment {
    char *const *given;
    struct mapped_environment *mapped; /* NULL: the copy is in small */
    bool extended;
    char *small[SMALL_ENVIRONMENT];
};

/* Nothing of `given` is followed before the kernel has been asked whether it can be. */
void environment_extend(struct environment *e, char *const *given);

static inline char *const *environment_of(const struct environment *e)
{
    return !e->extended ? e->given : e->mapped ? e->mapped->entry : e->small;
}

void environment_free(struct environment *e);

/* Back from a vfork: what the child had mapped for its exec. */
void environment_free_vfork(void);

/* Whether a path can be read, as far as that may be asked. */
bool environment_is_text(const char *path);

#endif
