/* SPDX-License-Identifier: Apache-2.0 */
/* Most exchanges have two or three kinds of nineteen, so the sums are walked by their bits. */
#include "split.h"

#include "event.h"

const char *const split_kind_name[SPLIT_COUNT] = {
#define S(name) #name,
    SPLIT_KINDS(S)
#undef S
};

int64_t split_sum(const struct split *s)
{
    int64_t sum = 0;

    for (uint32_t left = s->used; left; left &= left - 1)
        sum += s->ns[__builtin_ctz(left)];
    return sum;
}

int64_t split_move(struct split *s, enum split_kind from, enum split_kind to, int64_t ns)
{
    int64_t has = split_ns(s, from), moved = ns < has ? ns : has;

    if (moved <= 0)
        return 0;
    s->ns[from] -= moved;
    if (moved == has)
        s->used &= ~(1u << from);
    split_add(s, to, moved);
    return moved;
}

void split_settle(struct split *s, int64_t sum_ns)
{
    int64_t missing = sum_ns - split_sum(s);

    if (missing > 0)
        split_add(s, SPLIT_unseen, missing);
    for (int kind = SPLIT_COUNT - 1; missing < 0 && kind >= 0; kind--) {
        int64_t has = split_ns(s, (enum split_kind)kind), off = has < -missing ? has : -missing;
        if (off > 0)
            s->ns[kind] -= off;
        missing += off;
    }
}

enum split_kind split_kind_of_wait(uint64_t what)
{
    static const uint8_t kinds[WAIT_COUNT] = {
        [WAIT_descriptors] = SPLIT_descriptors, [WAIT_time] = SPLIT_sleep, [WAIT_lock] = SPLIT_lock,
        [WAIT_condition] = SPLIT_condition,     [WAIT_signal] = SPLIT_signal, [WAIT_file] = SPLIT_file,
        [WAIT_message] = SPLIT_message,         [WAIT_name] = SPLIT_name, [WAIT_thread] = SPLIT_thread,
        [WAIT_child] = SPLIT_child,
    };

    if (what == EVENT_UNKNOWN) /* of a trace that had no others */
        return SPLIT_descriptors;
    return what < WAIT_COUNT ? (enum split_kind)kinds[what] : SPLIT_unseen;
}
