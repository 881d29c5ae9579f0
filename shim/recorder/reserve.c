/* SPDX-License-Identifier: Apache-2.0 */
#include "reserve.h"

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

/* Less than malloc maps apart, so that what is given back stays within its heap: under a limit of data the kernel would not give
 * it again. Never touched, so it is no resident memory. */
#define PIECE_BYTES (64u << 10)
#define PIECES 8
#define TRIM_BYTES (16 << 20)

static void *pieces[PIECES];

void reserve_fill(void)
{
    for (unsigned i = 0; i < PIECES; i++)
        if (!pieces[i] && !(pieces[i] = malloc(PIECE_BYTES)))
            return;
}

bool reserve_spend(void)
{
    bool any = false;

    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    for (unsigned i = 0; i < PIECES; i++) {
        any |= pieces[i] != NULL;
        free(pieces[i]);
        pieces[i] = NULL;
    }
    return any;
}

bool reserve_is_spent(void) { return !pieces[PIECES - 1]; }
