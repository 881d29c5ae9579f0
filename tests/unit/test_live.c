/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of live objects against a plain array, through random insertions and removals, and its memory an object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "live.h"

#define ADDRESSES 5000

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t address_of(size_t i)
{
    return 0x7f0000000010 + 16 * (uint64_t)i;
}

static void holds_what_was_put_in(void **state)
{
    static uint64_t model[ADDRESSES]; /* size, 0: not live */
    struct live t = {0};
    uint64_t seed = 42;
    size_t live = 0;

    (void)state;
    assert_null(live_find(&t, 1));
    for (int turn = 0; turn < 400000; turn++) {
        size_t i = next_random(&seed) % ADDRESSES;
        /* the table swells and shrinks, so that long runs of slots form and are cut */
        int inserting = next_random(&seed) % 100 < (turn / 50000 % 2 ? 20u : 80u);
        struct live_object *object = live_find(&t, address_of(i));
        assert_int_equal(object != NULL, model[i] != 0);
        if (object)
            assert_int_equal(object->size, model[i]);
        if (inserting) {
            bool was_there;
            object = live_insert(&t, address_of(i), &was_there);
            assert_int_equal(was_there, model[i] != 0);
            live += !was_there;
            model[i] = next_random(&seed) % 1000 + 1;
            object->size = model[i];
        } else if (object) {
            live_remove(&t, object);
            model[i] = 0;
            live--;
        }
        assert_int_equal(t.count, live);
    }
    for (size_t i = 0; i < ADDRESSES; i++)
        assert_int_equal(live_find(&t, address_of(i)) != NULL, model[i] != 0);
    live_reset(&t);
    assert_int_equal(t.count, 0);
}

static void goes_through_all_once(void **state)
{
    struct live t = {0};
    const struct live_object *object;
    uint64_t sum = 0, expected = 0;
    bool was_there;
    size_t n = 0;

    (void)state;
    for (uint64_t ptr = 1; ptr <= 1000; ptr++) {
        assert_non_null(live_insert(&t, ptr * ptr, &was_there));
        expected += ptr * ptr;
    }
    for (uint64_t cursor = 0; (object = live_next(&t, &cursor)); n++)
        sum += object->ptr;
    assert_int_equal(n, 1000);
    assert_int_equal(sum, expected);
    live_reset(&t);
}

static size_t slots_of(const struct live *t)
{
    size_t slots = 0;

    for (size_t i = 0; i < LIVE_PARTS; i++)
        slots += t->parts[i].capacity;
    return slots;
}

static void stays_within_its_memory(void **state)
{
    struct live t = {0};
    bool was_there;

    (void)state;
    for (size_t i = 0; i < 300000; i++) {
        assert_non_null(live_insert(&t, address_of(i), &was_there));
        if (i > 10000 && i % 1000 == 0) /* and a part's old slots while it grows: a sixtieth */
            assert_in_range(slots_of(&t) * sizeof(struct live_object) / t.count, 48, 72);
    }
    live_reset(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_put_in),
        cmocka_unit_test(goes_through_all_once),
        cmocka_unit_test(stays_within_its_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
