/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that were met before: what is given is what the protocol would give, whoever had the place in the table last; and where
 * heads do not come again, hardly any is looked for. */
#include "wire_log.h"
#include "wire_proto.h"

#define CREDIT 256 /* of wire_memo.c: so many misses in a row are borne, */
#define EVERY 16   /* then one head in so many is tried */

static size_t head_of(char *text, unsigned i) { return (size_t)sprintf(text, "GET /path/%u HTTP/1.1\r\nHost: x\r\n\r\n", i); }

/* NULL: it was not looked for, or is none. */
static const struct wire_memo_head *meet(struct wire_memo *memo, const char *text, size_t n)
{
    static const uint8_t fresh[WIRE_STATE_BYTES];

    return wire_memo_bytes(memo, &http1_proto, fresh, WIRE_REQUEST, text, n);
}

static void assert_is(const struct wire_memo_head *head, const char *text, size_t n, unsigned i)
{
    uint8_t state[WIRE_STATE_BYTES] = {0};
    char scratch[WIRE_SCRATCH_BYTES], path[32];
    struct wire_part parts[WIRE_PARTS_MAX + 1];
    struct wire_step step;

    wire_step_begin(&step, scratch);
    assert_int_equal(http1_proto.whole(state, WIRE_REQUEST, text, n, &step, parts), n);
    assert_int_equal(head->stream_bytes, n);
    assert_memory_equal(head->state, state, sizeof state);
    size_t path_bytes = (size_t)sprintf(path, "/path/%u", i);
    assert_int_equal(head->step.head.path_bytes, path_bytes);
    assert_memory_equal(head->step.head.path, path, path_bytes);
    assert_memory_equal(head->step.keep, step.keep, parts[0].text_bytes);
}

/* A thousand heads share 128 places, and come again and again. */
static void test_eviction(void **state)
{
    struct wire_memo *memo = wire_memo_new();
    char text[128];

    (void)state;
    for (unsigned round = 0; round < 8; round++)
        for (unsigned i = 0; i < 1000; i++) {
            size_t n = head_of(text, i);
            for (unsigned again = 0; again < 3; again++) { /* worth it: two of three are met */
                const struct wire_memo_head *head = meet(memo, text, n);
                assert_non_null(head);
                assert_is(head, text, n, i);
            }
        }
    wire_memo_free(memo);
}

/* Of heads that are all new. */
static unsigned looked_for(struct wire_memo *memo, unsigned *next, unsigned count)
{
    char text[128];
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        size_t n = head_of(text, ++*next);
        found += meet(memo, text, n) != NULL;
    }
    return found;
}

static void test_credit(void **state)
{
    struct wire_memo *memo = wire_memo_new();
    char text[128];
    unsigned next = 0;
    size_t n = head_of(text, next);

    (void)state;
    for (unsigned i = 0; i < 10 * CREDIT; i++)
        assert_non_null(meet(memo, text, n)); /* no more credit than CREDIT comes of it */
    assert_in_range(looked_for(memo, &next, 4 * CREDIT), CREDIT, CREDIT + 3 * CREDIT / EVERY + 2);
    assert_in_range(looked_for(memo, &next, 100 * EVERY), 99, 101);
    /* a head that comes again is met in its turn, and then at once */
    unsigned met = 0;
    for (unsigned i = 0; i < 4 * EVERY; i++)
        met += meet(memo, text, n) != NULL;
    assert_in_range(met, 2 * EVERY, 4 * EVERY);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(meet(memo, text, n));
    wire_memo_free(memo);
}

/* Equal bytes behind another state, of another direction, or stored as units, are other heads. */
static void test_all_of_it_counts(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    static const char head_request[] = "HEAD / HTTP/1.1\r\n\r\n";
    const size_t n = sizeof text - 1;
    struct wire_memo *memo = wire_memo_new();
    uint8_t fresh[WIRE_STATE_BYTES] = {0}, behind_head[WIRE_STATE_BYTES];

    (void)state;
    for (unsigned i = 0; i < CREDIT; i++)
        assert_non_null(meet(memo, head_request, sizeof head_request - 1));
    memcpy(behind_head, wire_memo_bytes(memo, &http1_proto, fresh, WIRE_REQUEST, head_request, sizeof head_request - 1)->state,
           sizeof behind_head);
    for (unsigned i = 0; i < 4; i++) {
        const struct wire_memo_head *head = wire_memo_bytes(memo, &http1_proto, fresh, WIRE_RESPONSE, text, n);
        assert_int_equal(head->step.then, THEN_COUNT);
        assert_int_equal(head->step.count, 5);
        head = wire_memo_bytes(memo, &http1_proto, behind_head, WIRE_RESPONSE, text, n);
        assert_true(head->step.ends);
        assert_null(wire_memo_bytes(memo, &http1_proto, fresh, WIRE_REQUEST, text, n));
        assert_null(wire_memo_head(memo, &http1_proto, fresh, WIRE_RESPONSE, (const uint8_t *)text, n));
    }
    wire_memo_free(memo);
}

/* Heads that are too long for a place are read, not met. */
static void test_long(void **state)
{
    struct wire_memo *memo = wire_memo_new();
    char text[600];

    (void)state;
    size_t n = (size_t)sprintf(text, "GET /path/1 HTTP/1.1\r\nX: %0*d\r\n\r\n", 384 - 29, 1);
    assert_int_equal(n, 384);
    assert_is(meet(memo, text, n), text, n, 1);
    n = (size_t)sprintf(text, "GET /path/1 HTTP/1.1\r\nX: %0*d\r\n\r\n", 385 - 29, 1);
    assert_null(meet(memo, text, n));
    wire_memo_free(memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_all_of_it_counts),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
