/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what .eh_frame is made of: integers of fixed and of variable length (LEB128), blocks, encoded pointers (DWARF
 * 5, 7.6; Linux Standard Base, 10.5). Nothing is read beyond the end that the reader was given. Safe in signal
 * handlers.
 */
#ifndef PERFSHIM_DWARF_H
#define PERFSHIM_DWARF_H

#include <stdbool.h>
#include <stdint.h>

/* Registers by their numbers in call frame information (System V ABI for x86-64, figure 3.36). */
enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RIP = 16 };

/* Bytes to read, never beyond end. Once a read would pass it, all give 0 and failed is set. */
struct bytes {
    const uint8_t *at, *end;
    bool failed;
};

static inline bool have(struct bytes *b, uint64_t n)
{
    if ((uint64_t)(b->end - b->at) < n)
        b->failed = true;
    return !b->failed;
}

static inline uint64_t take(struct bytes *b, unsigned n)
{
    uint64_t value = 0;

    if (!have(b, n))
        return 0;
    for (unsigned i = 0; i < n; i++)
        value |= (uint64_t)b->at[i] << (8 * i);
    b->at += n;
    return value;
}

static inline int64_t take_signed(struct bytes *b, unsigned n)
{
    unsigned unused_bits = 64 - 8 * n;

    return (int64_t)(take(b, n) << unused_bits) >> unused_bits;
}

static inline uint64_t take_leb(struct bytes *b, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = (uint8_t)take(b, 1);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (is_signed && byte & 0x40 && shift < 64)
        value |= ~(uint64_t)0 << shift;
    return value;
}

static inline uint64_t take_uleb(struct bytes *b) { return take_leb(b, false); }
static inline int64_t take_sleb(struct bytes *b) { return (int64_t)take_leb(b, true); }

static inline struct bytes take_block(struct bytes *b)
{
    uint64_t n = take_uleb(b);
    struct bytes block = {b->at, b->at, !have(b, n)};

    if (!block.failed)
        b->at = block.end = b->at + n;
    return block;
}

/* An encoded pointer (DW_EH_PE_*): absolute or relative to where it stands. Others fail. */
static inline uint64_t take_pointer(struct bytes *b, uint8_t encoding)
{
    static const uint8_t size[] = {8, 0, 2, 4, 8, 0, 0, 0, 8, 0, 2, 4, 8, 0, 0, 0};
    unsigned n = size[encoding & 15], relative = encoding & 0x70;
    uint64_t from = relative == 0x10 ? (uintptr_t)b->at : 0;

    if (n == 0 || (relative != 0 && relative != 0x10)) {
        b->failed = true;
        return 0;
    }
    return from + (encoding & 8 ? (uint64_t)take_signed(b, n) : take(b, n));
}

#endif
