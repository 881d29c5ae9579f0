/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings by what made them: against a model, and at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mapsite.h"

#define PROCESSES 4
#define PLACES 64
#define STACKS 5

static uint64_t left_of(const struct mapsite_table *t, uint64_t stack)
{
    for (size_t i = 0; i < t->rows; i++)
        if (t->row[i].stack == stack)
            return t->row[i].made_bytes - t->row[i].gone_bytes;
    return 0;
}

/* Places are apart from each other, so that no mapping covers a part of another one. */
static void test_mapsite_against_a_model(void **state)
{
    (void)state;
    struct mapsite_table t = {.row = NULL};
    uint32_t host[PROCESSES] = {0};
    struct {
        uint64_t length, stack;
    } model[PROCESSES][PLACES];
    uint64_t random = 7;
    memset(model, 0, sizeof model);
    for (int round = 0; round < 40000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t p = random >> 33 & (PROCESSES - 1), place = random >> 40 & (PLACES - 1), other = random >> 48 & (PLACES - 1);
        uint64_t addr = (place + 1) * 0x100000ull, length = ((random >> 54 & 15) + 1) * 4096, stack = 100 + (random >> 20) % STACKS;
        unsigned what = random >> 60;
        if (what < 8) {
            assert_int_equal(mapsite_made(&t, &host[p], p, addr, length, stack), 0);
            if (model[p][place].length > length) /* a new one does not cover all of it: what is left is behind it */
                mapsite_unmapped(&t, &host[p], p, addr + length, UINT64_MAX);
            model[p][place].length = length;
            model[p][place].stack = stack;
        } else if (what < 12) {
            mapsite_unmapped(&t, &host[p], p, addr, UINT64_MAX);
            model[p][place].length = 0;
        } else if (what < 15 && model[p][place].length && !model[p][other].length) {
            assert_int_equal(mapsite_moved(&t, &host[p], p, addr, (other + 1) * 0x100000ull, length), 0);
            model[p][other] = model[p][place];
            model[p][other].length = length;
            model[p][place].length = 0;
        } else if (random % 97 == 0) {
            mapsite_ended(&t, &host[p], p, 1);
            memset(model[p], 0, sizeof model[p]);
        }
    }
    for (uint64_t stack = 100; stack < 100 + STACKS; stack++) {
        uint64_t left = 0;
        for (size_t p = 0; p < PROCESSES; p++)
            for (size_t i = 0; i < PLACES; i++)
                left += model[p][i].stack == stack ? model[p][i].length : 0;
        assert_int_equal(left_of(&t, stack), left);
    }
    for (uint32_t p = 0; p < PROCESSES; p++)
        mapsite_ended(&t, &host[p], p, 1);
    assert_true(left_of(&t, 100) == 0 && t.by_place.count == 0);
    mapsite_free(&t);
}

static void test_mapsite_is_bounded(void **state)
{
    (void)state;
    struct mapsite_table t = {.row = NULL};
    uint32_t host = 0;
    for (uint64_t i = 1; i <= 2 * MAPSITE_LIVE_MAX; i++)
        assert_int_equal(mapsite_made(&t, &host, 1, i << 20, 4096, i), 0);
    assert_true(t.rows == MAPSITE_ROWS_MAX && t.lives == MAPSITE_LIVE_MAX && t.by_place.count == MAPSITE_LIVE_MAX);
    assert_int_equal(left_of(&t, 0), (2 * MAPSITE_LIVE_MAX - (MAPSITE_ROWS_MAX - 1)) * 4096ull); /* what had no room */
    mapsite_unmapped(&t, &host, 1, 1 << 20, 1000); /* its beginning */
    assert_int_equal(left_of(&t, 1), 3096);
    mapsite_ended(&t, &host, 1, 0);
    assert_true(left_of(&t, 1) == 3096 && t.by_place.count == 0);
    mapsite_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapsite_against_a_model),
        cmocka_unit_test(test_mapsite_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
