/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace file in the making, for fuzzers: every checksum and frame is sound, whatever stands inside. The buffer is used
 * again for each input.
 */
#ifndef PERFSHIM_FUZZ_FORGE_H
#define PERFSHIM_FUZZ_FORGE_H

#include <string.h>
#include <zstd.h>

#include "pipeline.h"
#include "trace.h"

#define FORGE_MAX (8u << 20)

struct forge {
    uint8_t *bytes;
    size_t used;
    uint64_t sequence;
};

/* Begins a file; false if it is full and no chunk can be added. */
static inline void forge_start(struct forge *f, const struct trace_file_header *h)
{
    static uint8_t file[FORGE_MAX];

    *f = (struct forge){.bytes = file, .used = TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES};
    trace_put_file_header(file, h);
}

/* Adds a chunk of this content: sequence and sizes of the header are filled in. */
static inline void forge_chunk(struct forge *f, struct trace_chunk_header h, const void *content, size_t bytes)
{
    static ZSTD_CCtx *zstd;
    size_t front = TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES;

    if (!zstd) {
        zstd = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, -5);
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    }
    if (FORGE_MAX - f->used < front + ZSTD_compressBound(bytes))
        return;
    size_t n = ZSTD_compress2(zstd, f->bytes + f->used + front, FORGE_MAX - f->used - front, content, bytes);
    MUST(!ZSTD_isError(n));
    h.sequence = f->sequence++;
    h.raw_bytes = (uint32_t)bytes;
    h.packed_bytes = (uint32_t)n;
    trace_put_chunk_header(f->bytes + f->used, &h);
    f->used += front + n;
}

/* --- the input, taken apart --- */

struct input {
    const uint8_t *p, *end;
};

static inline uint8_t input_byte(struct input *in) { return in->p < in->end ? *in->p++ : 0; }

/* A number of any size: mostly small ones, and those at the borders. */
static inline uint64_t input_number(struct input *in)
{
    uint8_t kind = input_byte(in);
    uint64_t v = 0;

    if (kind < 0xc0)
        return kind;
    if (kind >= 0xf0)
        return kind >= 0xf8 ? UINT64_MAX - (kind & 7) : (UINT64_C(1) << (8 * (kind & 7) + 7)) - 1 + (kind & 1);
    for (unsigned i = 0; i <= (kind & 7u); i++)
        v = v << 8 | input_byte(in);
    return v;
}

#endif
