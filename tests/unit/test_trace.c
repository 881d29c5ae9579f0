/* SPDX-License-Identifier: Apache-2.0 */
/* The headers' bytes are those of TRACE.md, and nothing but those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trace.h"
#include "varint.h"

#define FILE_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_FILE_HEADER_BYTES)
#define CHUNK_FRAME (TRACE_SKIPPABLE_BYTES + TRACE_CHUNK_HEADER_BYTES)

static const struct trace_file_header file_header = {
    .version_major = 1, .version_minor = 0, .clock = TRACE_CLOCK_TSC, .run_id = 0x0102030405060708u,
    .start_ticks = 0x1112131415161718u, .start_raw_ns = 0x2122232425262728u, .start_wall_ns = 0x3132333435363738u,
    .recorder_pid = 0x41424344u,
};

static const struct trace_chunk_header chunk_header = {
    .proc = 1, .thread = 2, .pid = 3, .tid = 4, .sequence = 5, .first_ticks = 6, .last_ticks = 7,
    .events = 8, .raw_bytes = 90, .packed_bytes = 10,
};

static void crc32c_is_castagnoli(void **state)
{
    uint8_t zeros[32] = {0};

    (void)state;
    assert_int_equal(trace_crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(trace_crc32c(zeros, sizeof zeros), 0x8A9136AAu); /* RFC 3720, B.4 */
    assert_int_equal(trace_crc32c("", 0), 0);
}

static void file_header_bytes(void **state)
{
    static const uint8_t begin[] = {
        0x57, 0x2A, 0x4D, 0x18, 64, 0, 0, 0, 'P', 'E', 'R', 'F', 'S', 'H', 'I', 'M', 1, 0, 0, 0, 1, 0, 0, 0,
        8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
        0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,
        0x44, 0x43, 0x42, 0x41, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t out[FILE_FRAME];

    (void)state;
    assert_int_equal(sizeof begin, FILE_FRAME - 4);
    trace_put_file_header(out, &file_header);
    assert_memory_equal(out, begin, sizeof begin);
}

static void file_header_round_trip(void **state)
{
    struct trace_file_header h;
    uint8_t out[FILE_FRAME];

    (void)state;
    trace_put_file_header(out, &file_header);
    assert_true(trace_get_file_header(out, &h));
    assert_int_equal(h.version_major, 1);
    assert_int_equal(h.clock, TRACE_CLOCK_TSC);
    assert_true(h.run_id == file_header.run_id && h.start_ticks == file_header.start_ticks);
    assert_true(h.start_raw_ns == file_header.start_raw_ns && h.start_wall_ns == file_header.start_wall_ns);
    assert_int_equal(h.recorder_pid, 0x41424344u);
}

static void chunk_header_bytes(void **state)
{
    static const uint8_t begin[] = {
        0x57, 0x2A, 0x4D, 0x18, 72, 0, 0, 0, 'P', 'S', 'C', 'K', 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0,
        5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 90, 0, 0, 0, 10, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t out[CHUNK_FRAME];
    struct trace_chunk_header h;

    (void)state;
    assert_int_equal(sizeof begin, CHUNK_FRAME - 4);
    trace_put_chunk_header(out, &chunk_header);
    assert_memory_equal(out, begin, sizeof begin);
    memset(&h, 0, sizeof h); /* its padding is compared too */
    assert_true(trace_get_chunk_header(out, &h));
    assert_memory_equal(&h, &chunk_header, sizeof h);
}

static void every_flipped_bit_is_seen(void **state)
{
    uint8_t out[CHUNK_FRAME];
    struct trace_chunk_header c;
    struct trace_file_header f;

    (void)state;
    for (size_t bit = 0; bit < sizeof out * 8; bit++) {
        trace_put_chunk_header(out, &chunk_header);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(trace_get_chunk_header(out, &c));
    }
    for (size_t bit = 0; bit < FILE_FRAME * 8; bit++) {
        trace_put_file_header(out, &file_header);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(trace_get_file_header(out, &f));
    }
}

static void varints(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    uint8_t bytes[VARINT_MAX_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint64_t v = 0;
        const uint8_t *end = varint_put(bytes, values[i]);
        assert_ptr_equal(varint_get(bytes, end, &v), end);
        assert_true(v == values[i]);
        assert_null(varint_get(bytes, end - 1, &v)); /* cut off */
    }
    memset(bytes, 0xff, sizeof bytes);
    uint64_t v;
    assert_null(varint_get(bytes, bytes + sizeof bytes, &v)); /* never ends */
    bytes[9] = 2;
    assert_null(varint_get(bytes, bytes + sizeof bytes, &v)); /* 65 bits */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_castagnoli),   cmocka_unit_test(file_header_bytes),
        cmocka_unit_test(file_header_round_trip), cmocka_unit_test(chunk_header_bytes),
        cmocka_unit_test(every_flipped_bit_is_seen), cmocka_unit_test(varints),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
