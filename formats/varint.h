/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian base-128 integers (LEB128): seven bits a byte, low ones first, the high bit says that more follow.
 */
#ifndef PERFSHIM_VARINT_H
#define PERFSHIM_VARINT_H

#include <stddef.h>
#include <stdint.h>

#define VARINT_MAX_BYTES 10

/* Writes v at p, which has room for VARINT_MAX_BYTES; gives the end. */
static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Reads a number from [p, end) into *v; gives the first byte after it, or NULL if it is cut off or over 64 bits. */
static inline const uint8_t *varint_get(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    uint64_t result = 0;

    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return NULL;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *v = result;
            return p;
        }
    }
    return NULL;
}

#endif
