/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian base-128 integers (LEB128): seven bits a byte, low ones first, the high bit says that more follow.
 */
#ifndef PERFSHIM_VARINT_H
#define PERFSHIM_VARINT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VARINT_MAX_BYTES 10

/* Bytes but the last of a number whose highest bit is that one: a seventh of it, below 2^6. */
static inline unsigned varint_more(unsigned highest) { return highest * 37 >> 8; }

/* Writes v at p, which has room for VARINT_MAX_BYTES; gives the end. Numbers of two to eight bytes without branches, because
 * lengths vary: their groups of bits are spread over the bytes in a few steps. */
static inline uint8_t *varint_put(uint8_t *p, uint64_t v)
{
    if (__builtin_expect(v < 1u << 28, 1)) {
        uint32_t w = (uint32_t)v, more = varint_more(31 - (unsigned)__builtin_clz(w | 1));
        w = (w & 0x3fff) | (w & 0xfffc000) << 2;
        w = (w & 0x7f007f) | (w & 0x3f803f80) << 1;
        w |= 0x808080 & ((1u << 8 * more) - 1);
        memcpy(p, &w, sizeof w);
        return p + more + 1;
    }
    if (v < 1ull << 56) {
        unsigned more = varint_more(63 - (unsigned)__builtin_clzll(v));
        v = (v & 0xfffffff) | (v & 0xfffffff0000000) << 4;
        v = (v & 0x3fff00003fff) | (v & 0xfffc0000fffc000) << 2;
        v = (v & 0x7f007f007f007f) | (v & 0x3f803f803f803f80) << 1;
        v |= 0x8080808080808080 & ((1ull << 8 * more) - 1);
        memcpy(p, &v, sizeof v);
        return p + more + 1;
    }
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

/* Packs the low seven bits of eight bytes together. */
static inline uint64_t varint_fold(uint64_t x)
{
    x = (x & 0x007f007f007f007f) | (x & 0x7f007f007f007f00) >> 1;
    x = (x & 0x00003fff00003fff) | (x & 0x3fff00003fff0000) >> 2;
    return (x & 0x000000000fffffff) | (x & 0x0fffffff00000000) >> 4;
}

/* Reads a number from [p, end) into *v; gives the first byte after it, or NULL if it is cut off or over 64 bits. */
static inline const uint8_t *varint_get(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    uint64_t result = 0;

    if (end - p >= 8) { /* whatever its length up to 56 bits, without a branch that could be mispredicted */
        memcpy(&result, p, sizeof result);
        result = le64toh(result);
        uint64_t last = ~result & 0x8080808080808080; /* bytes that end a number */
        if (last) {
            *v = varint_fold(result & (last ^ (last - 1)));
            return p + (__builtin_ctzll(last) >> 3) + 1;
        }
        result = 0;
    }
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
