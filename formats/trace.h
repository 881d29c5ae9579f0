/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of a trace file: TRACE.md in C. A trace is a legal zstd file:
 *
 *   skippable frame: file header
 *   ( skippable frame: chunk header, zstd frame: the chunk's columns ) repeated
 *
 * A chunk holds a run of events of one thread (thread != 0), or of the recorder's about one process (thread == 0), or of
 * the recorder's about the run (proc == 0). The last chunk of a file that was closed on purpose holds an `end` event.
 * All numbers are little-endian. Each header ends with the CRC-32C of the bytes before it; chunk contents carry the
 * checksum that zstd frames have of their own.
 */
#ifndef PERFSHIM_TRACE_H
#define PERFSHIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_VERSION_MAJOR 1 /* a reader refuses a higher one */
#define TRACE_VERSION_MINOR 1 /* a reader takes a higher one, and leaves out what it does not know */

#define TRACE_SKIPPABLE_MAGIC 0x184D2A57u /* one of zstd's sixteen skippable frame magics */
#define TRACE_SKIPPABLE_BYTES 8           /* magic and length in front of each header */

#define TRACE_FILE_HEADER_BYTES 64
#define TRACE_CHUNK_HEADER_BYTES 72

#define TRACE_CHUNK_MAX_RAW (4u << 20)    /* a decoder refuses a chunk that would be larger decompressed */
#define TRACE_CHUNK_MAX_PACKED (5u << 20)
#define TRACE_CHUNK_MAX_EVENTS (1u << 20)

enum trace_clock {
    TRACE_CLOCK_TSC = 1,    /* ticks of the invariant time stamp counter; `clock` events tie it to nanoseconds */
    TRACE_CLOCK_RAW_NS = 2, /* nanoseconds of CLOCK_MONOTONIC_RAW */
};

struct trace_file_header {
    uint16_t version_major, version_minor;
    uint8_t clock;         /* enum trace_clock */
    uint64_t run_id;       /* random, not 0 */
    uint64_t start_ticks;  /* three clocks at one instant */
    uint64_t start_raw_ns; /* CLOCK_MONOTONIC_RAW */
    uint64_t start_wall_ns;/* CLOCK_REALTIME */
    uint32_t recorder_pid;
};

struct trace_chunk_header {
    uint32_t proc;   /* serial of the process within the run, from 1; 0: the run itself */
    uint32_t thread; /* serial of the thread within the run, from 1; 0: the recorder's */
    uint32_t pid, tid;
    uint64_t sequence; /* number of the chunk within the run, from 0 */
    uint64_t first_ticks, last_ticks; /* the smallest and largest time of its events */
    uint32_t events;
    uint32_t raw_bytes, packed_bytes; /* of the zstd frame behind: decompressed, and as it stands in the file */
};

/* Write and read a header with its skippable frame in front: `out` and `in` have TRACE_SKIPPABLE_BYTES plus the header's
 * bytes. The readers give false where the bytes are no such header (magic, length or CRC); versions and sizes are the
 * caller's to judge. */
void trace_put_file_header(uint8_t *out, const struct trace_file_header *h);
bool trace_get_file_header(const uint8_t *in, struct trace_file_header *h);
void trace_put_chunk_header(uint8_t *out, const struct trace_chunk_header *h);
bool trace_get_chunk_header(const uint8_t *in, struct trace_chunk_header *h);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). */
uint32_t trace_crc32c(const void *bytes, size_t n);

#endif
