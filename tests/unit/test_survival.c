/* SPDX-License-Identifier: Apache-2.0 */
/* Shares that survive, worked out by hand, and from drawn lives whose truth is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "draw.h"
#include "survival.h"

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-4)

/* Nothing censored: 100 objects, of which 60 are freed at age 1, 20 at age 4. All others are live, older than that. */
static void nothing_censored_early(void **state)
{
    struct survival_ages freed = {{0}};
    struct survival_live live = {.beyond = 0};

    (void)state;
    survival_add(&freed, 1, 60);
    survival_add(&freed, 5, 20);
    survival_add_live(&live, 1000, 5, 20);
    struct survival s = survival_of(&freed, &live, 1);
    NEAR(s.share, 0.2);
    NEAR(s.low, 0.1334); /* Wilson's interval for 20 of 100: Greenwood's variance is the binomial one */
    NEAR(s.high, 0.2888);
}

/*
 * Classes 0, 1 and 2: 100 at risk, 10 freed; then 90, 20 freed and 20 censored; then 50, 10 freed, 10 censored, which does not
 * count, and 30 older. With half of the censored at risk: 0.9, times 1 - 20 / 80, times 1 - 10 / 40 is 0.50625.
 */
static void censored_by_age(void **state)
{
    struct survival_ages freed = {{10, 20, 10}};
    struct survival_live live = {.ages = {{0, 20, 10}}, .beyond = 30};

    (void)state;
    struct survival s = survival_of(&freed, &live, 1);
    NEAR(s.share, 0.50625);
    double greenwood = 10.0 / (100 * 90) + 20.0 / (80 * 60) + 10.0 / (40 * 30), n = 0.49375 / (0.50625 * greenwood);
    double middle = (0.50625 + 1.920729 / n) / (1 + 3.841459 / n);
    double half = 1.959964 * sqrt(0.50625 * 0.49375 / n + 3.841459 / (4 * n * n)) / (1 + 3.841459 / n);
    NEAR(s.low, middle - half);
    NEAR(s.high, middle + half);
}

/* Nobody was freed, all were, and nobody ever lived. 3.8415 is the square of 1.96: n / (n + 3.84) bounds a share of none in n. */
static void all_or_none(void **state)
{
    struct survival_ages none = {{0}}, some = {{0, 0, 50}};
    struct survival_live nobody = {.beyond = 0}, alive = {.beyond = 50};

    (void)state;
    struct survival s = survival_of(&none, &alive, 1);
    NEAR(s.share, 1);
    NEAR(s.low, 50 / 53.8415);
    NEAR(s.high, 1);
    s = survival_of(&some, &nobody, 1);
    NEAR(s.share, 0);
    NEAR(s.low, 0);
    NEAR(s.high, 3.8415 / 53.8415);
    s = survival_of(&none, &alive, 5); /* each stands for five: there were ten */
    NEAR(s.low, 10 / 13.8415);
    assert_true(isnan(survival_of(&none, &nobody, 1).share));
}

/*
 * Objects allocated evenly over a run of 10,000 units. A leak: one in twenty stays for ever, the rest live 3 to 50 units. A cache:
 * each lives 1,000 to 2,000 units. A cache that is not full yet: nothing is freed.
 */
static void by_kind(void **state)
{
    struct survival_ages freed[2] = {{{0}}, {{0}}};
    struct survival_live live[2] = {{.beyond = 0}, {.beyond = 0}};
    const uint32_t oldest[2] = {50, 1999};
    uint64_t random = 1;

    (void)state;
    for (uint32_t born = 0; born < 10000; born++)
        for (int kind = 0; kind < 2; kind++) {
            uint32_t left = 10000 - born, age = kind ? 1000 + draw_below(&random, 1000) : 3 + draw_below(&random, 48);
            if ((!kind && draw_below(&random, 20) == 0) || age >= left)
                survival_add_live(&live[kind], left, oldest[kind], 1);
            else
                survival_add(&freed[kind], age, 1);
        }
    struct survival leak = survival_of(&freed[0], &live[0], 1), cache = survival_of(&freed[1], &live[1], 1);
    assert_true(leak.low < 0.05 && leak.high > 0.05 && leak.low > 0.04 && leak.high < 0.06);
    assert_true(cache.share == 0 && cache.high < 0.01);
}

static void ages_have_classes(void **state)
{
    struct survival_ages a = {{0}};

    (void)state;
    survival_add(&a, 0, 1);
    survival_add(&a, 1, 1);
    survival_add(&a, 3, 1);
    survival_add(&a, UINT32_MAX, 1);
    assert_true(a.count[0] == 2 && a.count[1] == 1 && a.count[31] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_censored_early), cmocka_unit_test(censored_by_age), cmocka_unit_test(all_or_none),
        cmocka_unit_test(by_kind), cmocka_unit_test(ages_have_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
