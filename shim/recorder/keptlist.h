/* SPDX-License-Identifier: Apache-2.0 */
/* Which chunks of the file are kept for ever, in the order of the file. */
#ifndef PERFSHIM_KEPTLIST_H
#define PERFSHIM_KEPTLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kept_chunk {
    uint64_t offset;
    uint32_t bytes, raw_bytes; /* in the file, header included; of its content */
    uint32_t proc;
};

struct kept_list {
    struct kept_chunk *chunks;
    size_t count, room;
    uint64_t bytes;
};

bool kept_add(struct kept_list *l, struct kept_chunk chunk); /* false: memory is short */
void kept_reset(struct kept_list *l);

#endif
