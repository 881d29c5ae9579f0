/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 of a text that comes in pieces, under a key that is drawn once in a process: what has only the hash cannot try
 * texts until one fits. Equal texts have equal hashes in all that one process writes.
 */
#ifndef PERFSHIM_SIPHASH_H
#define PERFSHIM_SIPHASH_H

#include <stdbool.h>
#include <stdint.h>

struct siphash {
    uint64_t v[4], tail;
    uint8_t bytes; /* modulo 256 */
};

bool siphash_begin(struct siphash *h); /* false: the system gives no key */
void siphash_byte(struct siphash *h, uint8_t byte);
uint64_t siphash_end(struct siphash *h);

#endif
