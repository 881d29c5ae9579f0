/* SPDX-License-Identifier: Apache-2.0 */
/* Headers are written and read byte by byte, so that their layout is TRACE.md's and no compiler's. */
#include "trace.h"

#include <string.h>

static const char file_magic[8] = {'P', 'E', 'R', 'F', 'S', 'H', 'I', 'M'};
static const char chunk_magic[4] = {'P', 'S', 'C', 'K'};

uint32_t trace_crc32c(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t crc = ~0u;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0x82F63B78u & -(crc & 1));
    }
    return ~crc;
}

static uint8_t *put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

static uint64_t get(const uint8_t **p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)*(*p)++ << (8 * i);
    return v;
}

static uint8_t *put_frame(uint8_t *out, const char *magic, size_t magic_bytes, uint32_t header_bytes)
{
    uint8_t *p = put(put(out, TRACE_SKIPPABLE_MAGIC, 4), header_bytes, 4);
    memcpy(p, magic, magic_bytes);
    return p + magic_bytes;
}

/* Zeroes the rest of the header and closes it with its CRC. */
static void seal_frame(uint8_t *out, uint8_t *p, uint32_t header_bytes)
{
    uint8_t *header = out + TRACE_SKIPPABLE_BYTES, *crc = header + header_bytes - 4;

    memset(p, 0, (size_t)(crc - p));
    put(crc, trace_crc32c(header, header_bytes - 4), 4);
}

static const uint8_t *open_frame(const uint8_t *in, const char *magic, size_t magic_bytes, uint32_t header_bytes)
{
    const uint8_t *p = in, *crc = in + TRACE_SKIPPABLE_BYTES + header_bytes - 4;

    if (get(&p, 4) != TRACE_SKIPPABLE_MAGIC || get(&p, 4) != header_bytes || memcmp(p, magic, magic_bytes) != 0 ||
        trace_crc32c(p, header_bytes - 4) != get(&crc, 4))
        return NULL;
    return p + magic_bytes;
}

void trace_put_file_header(uint8_t *out, const struct trace_file_header *h)
{
    uint8_t *p = put_frame(out, file_magic, sizeof file_magic, TRACE_FILE_HEADER_BYTES);
    p = put(p, h->version_major, 2);
    p = put(p, h->version_minor, 2);
    p = put(p, h->clock, 1);
    p = put(p, 0, 3);
    p = put(p, h->run_id, 8);
    p = put(p, h->start_ticks, 8);
    p = put(p, h->start_raw_ns, 8);
    p = put(p, h->start_wall_ns, 8);
    p = put(p, h->recorder_pid, 4);
    seal_frame(out, p, TRACE_FILE_HEADER_BYTES);
}

bool trace_get_file_header(const uint8_t *in, struct trace_file_header *h)
{
    const uint8_t *p = open_frame(in, file_magic, sizeof file_magic, TRACE_FILE_HEADER_BYTES);

    if (!p)
        return false;
    h->version_major = (uint16_t)get(&p, 2);
    h->version_minor = (uint16_t)get(&p, 2);
    h->clock = (uint8_t)get(&p, 1);
    get(&p, 3);
    h->run_id = get(&p, 8);
    h->start_ticks = get(&p, 8);
    h->start_raw_ns = get(&p, 8);
    h->start_wall_ns = get(&p, 8);
    h->recorder_pid = (uint32_t)get(&p, 4);
    return true;
}

void trace_put_chunk_header(uint8_t *out, const struct trace_chunk_header *h)
{
    uint8_t *p = put_frame(out, chunk_magic, sizeof chunk_magic, TRACE_CHUNK_HEADER_BYTES);
    p = put(p, h->proc, 4);
    p = put(p, h->thread, 4);
    p = put(p, h->pid, 4);
    p = put(p, h->tid, 4);
    p = put(p, h->sequence, 8);
    p = put(p, h->first_ticks, 8);
    p = put(p, h->last_ticks, 8);
    p = put(p, h->events, 4);
    p = put(p, h->raw_bytes, 4);
    p = put(p, h->packed_bytes, 4);
    seal_frame(out, p, TRACE_CHUNK_HEADER_BYTES);
}

bool trace_get_chunk_header(const uint8_t *in, struct trace_chunk_header *h)
{
    const uint8_t *p = open_frame(in, chunk_magic, sizeof chunk_magic, TRACE_CHUNK_HEADER_BYTES);

    if (!p)
        return false;
    h->proc = (uint32_t)get(&p, 4);
    h->thread = (uint32_t)get(&p, 4);
    h->pid = (uint32_t)get(&p, 4);
    h->tid = (uint32_t)get(&p, 4);
    h->sequence = get(&p, 8);
    h->first_ticks = get(&p, 8);
    h->last_ticks = get(&p, 8);
    h->events = (uint32_t)get(&p, 4);
    h->raw_bytes = (uint32_t)get(&p, 4);
    h->packed_bytes = (uint32_t)get(&p, 4);
    return true;
}
