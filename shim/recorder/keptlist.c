/* SPDX-License-Identifier: Apache-2.0 */
#include "keptlist.h"

#include <stdlib.h>

bool kept_add(struct kept_list *l, struct kept_chunk chunk)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct kept_chunk *grown = realloc(l->chunks, room * sizeof *grown);
        if (!grown)
            return false;
        l->chunks = grown;
        l->room = room;
    }
    l->chunks[l->count++] = chunk;
    l->bytes += chunk.bytes;
    return true;
}

void kept_reset(struct kept_list *l)
{
    free(l->chunks);
    *l = (struct kept_list){0};
}
