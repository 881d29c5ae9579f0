/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note goes into the place that is not valid, becomes valid by the store to `filings`, and is then copied to the thread's
 * slot. A successor copies the last valid one once more, which changes nothing if it had been done.
 */
#include "filing.h"

static void copy_to_slot(struct arena_header *a, const struct arena_filing *f)
{
    struct arena_thread *threads = (void *)((uint8_t *)a + a->threads_offset);

    /* a slot that has a new owner by now has nothing to do with the old one's records */
    if (f->slot < a->thread_capacity && threads[f->slot].filed.serial == f->filed.serial)
        threads[f->slot].filed = f->filed;
}

struct arena_filing filing_last(struct arena_header *a)
{
    struct arena_filing last = a->filing[atomic_load(&a->filings) % 2];

    copy_to_slot(a, &last);
    return last;
}

void filing_note(struct arena_header *a, const struct arena_filing *f)
{
    uint64_t number = atomic_load(&a->filings) + 1;

    a->filing[number % 2] = *f;
    atomic_store(&a->filings, number);
    copy_to_slot(a, f);
}
