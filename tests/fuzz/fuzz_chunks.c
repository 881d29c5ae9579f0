/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a list of chunks: a header's numbers and the decompressed columns. It becomes a file that is sound but for
 * what its columns say, and goes through the whole analyzer.
 */
#include "forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct forge f;

    forge_start(&f, &(struct trace_file_header){.version_major = TRACE_VERSION_MAJOR, .clock = 1 + (input_byte(&in) & 1),
                                                .run_id = 1});
    while (in.p < in.end) {
        struct trace_chunk_header h = {.proc = input_byte(&in), .thread = input_byte(&in)};
        h.pid = 1000 + (h.proc & 0x7f);
        h.tid = h.thread;
        h.first_ticks = input_number(&in);
        h.last_ticks = h.first_ticks + input_number(&in);
        h.events = (uint32_t)input_number(&in);
        size_t bytes = (size_t)input_number(&in);
        if (bytes > (size_t)(in.end - in.p))
            bytes = (size_t)(in.end - in.p);
        forge_chunk(&f, h, in.p, bytes);
        in.p += bytes;
    }
    pipeline_run(f.bytes, f.used);
    return 0;
}
