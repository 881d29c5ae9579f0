/* SPDX-License-Identifier: Apache-2.0 */
/* As its authors describe it (Aumasson and Bernstein, 2012), a byte at a time: what is hashed is short. */
#include "siphash.h"

#include <pthread.h>
#include <sys/random.h>

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static bool key_drawn;

/* A hash without a key would be as good as the text. */
static void draw_key(void) { key_drawn = getrandom(key, sizeof key, GRND_NONBLOCK) == sizeof key; }

static inline uint64_t rotate(uint64_t v, unsigned by) { return v << by | v >> (64 - by); }

static void rounds(uint64_t v[4], unsigned n)
{
    while (n--) {
        v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
        v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
    }
}

static void block(struct siphash *h, uint64_t m)
{
    h->v[3] ^= m;
    rounds(h->v, 2);
    h->v[0] ^= m;
}

bool siphash_begin(struct siphash *h)
{
    pthread_once(&key_once, draw_key);
    *h = (struct siphash){{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                           key[1] ^ 0x7465646279746573}, 0, 0};
    return key_drawn;
}

void siphash_byte(struct siphash *h, uint8_t byte)
{
    unsigned at = h->bytes++ & 7;

    h->tail |= (uint64_t)byte << (8 * at);
    if (at == 7) {
        block(h, h->tail);
        h->tail = 0;
    }
}

uint64_t siphash_end(struct siphash *h)
{
    block(h, (uint64_t)h->bytes << 56 | h->tail);
    h->v[2] ^= 0xff;
    rounds(h->v, 4);
    return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}
