/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a process's libraries of one kind, of which it may load and unload some at any time: a list that hooks read
 * while other threads make it anew.
 *
 *   static struct my_list first;
 *   static struct libraries libraries = {.bytes = sizeof first, .first = &first, .fill = my_fill};
 *
 *   const struct my_list *list = libraries_known(&libraries);
 *   if (!list)
 *       list = libraries_look(&libraries);
 *
 * A list that was given is never changed, and stays where it is. Of any thread, at any time; nothing here waits, allocates or changes
 * errno.
 */
#ifndef PERFSHIM_LIBRARIES_H
#define PERFSHIM_LIBRARIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct libraries {
    size_t bytes;             /* of a list */
    void *first;              /* memory for one list, all zero */
    void (*fill)(void *list); /* with what is loaded now; equal if that is equal */
    _Atomic bool first_taken;
    void *_Atomic current; /* NULL: to be looked for */
    void *_Atomic latest;  /* the same, or what it was before */
};

/* NULL: something came or went since the last look. */
static inline const void *libraries_known(struct libraries *l) { return atomic_load_explicit(&l->current, memory_order_acquire); }

/* NULL: memory is short. */
const void *libraries_look(struct libraries *l);

/* Libraries came or went, or may have. */
static inline void libraries_changed(struct libraries *l) { atomic_store_explicit(&l->current, NULL, memory_order_release); }

#endif
