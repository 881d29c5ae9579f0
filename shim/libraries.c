/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list that is in use is never changed: another takes its place, and the old one stays where it is, of which there are as many as
 * libraries that came or went. Nothing waits for the dynamic linker's big lock, which a thread may hold that waits for ours.
 */
#include "libraries.h"

#include <string.h>

#include "raw.h"

/* Nearly all processes make one list alone, and that without a system call. */
static void *list_new(struct libraries *l) { return atomic_exchange(&l->first_taken, true) ? raw_reserve(l->bytes) : l->first; }

static void list_drop(const struct libraries *l, void *list)
{
    if (list != l->first)
        raw2(SYS_munmap, (long)list, (long)l->bytes);
}

const void *libraries_look(struct libraries *l)
{
    void *made = list_new(l), *last = atomic_load(&l->latest);

    if (!made)
        return NULL;
    l->fill(made);
    if ((last && memcmp(last, made, l->bytes) == 0) || !atomic_compare_exchange_strong(&l->latest, &last, made))
        list_drop(l, made);
    else
        last = made;
    atomic_store_explicit(&l->current, last, memory_order_release);
    return last;
}
