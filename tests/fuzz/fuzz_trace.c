/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a file, byte by byte, through the whole analyzer. A mutation would mostly break a checksum and be refused, so
 * the mutator makes the CRCs of all headers in its result right again, and often leaves a frame's content alone.
 */
#include <string.h>

#include "pipeline.h"
#include "trace.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *header, uint32_t bytes)
{
    uint32_t crc = trace_crc32c(header, bytes - 4);

    for (unsigned i = 0; i < 4; i++)
        header[bytes - 4 + i] = (uint8_t)(crc >> (8 * i));
}

static void repair(uint8_t *data, size_t size)
{
    static const uint8_t begin[8] = {0x57, 0x2A, 0x4D, 0x18, TRACE_CHUNK_HEADER_BYTES, 0, 0, 0};
    size_t frame = TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES;

    if (size >= TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
        seal(data + TRACE_SKIPPABLE_BYTES, TRACE_FILE_HEADER_BYTES);
    for (uint8_t *p = data; (p = memmem(p, size - (size_t)(p - data), begin, sizeof begin)); p++)
        if (size - (size_t)(p - data) >= frame)
            seal(p + TRACE_SKIPPABLE_BYTES, TRACE_CHUNK_HEADER_BYTES);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8)
        repair(data, size);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pipeline_run(data, size);
    return 0;
}
