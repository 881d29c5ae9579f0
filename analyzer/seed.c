/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"

#include <sys/random.h>

uint64_t seed_mask = 0xa0761d6478bd642full, seed_factor = 0xe7037ed1a0b428dbull; /* where the kernel gives none */

__attribute__((constructor)) static void draw_seeds(void)
{
    uint64_t drawn[2];

    if (getrandom(drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
        return;
    seed_mask ^= drawn[0];
    seed_factor ^= drawn[1] & ~1ull;
}
