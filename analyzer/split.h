/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an exchange's time went: nanoseconds by kind, which add up to all of it.
 *
 * What each kind means is told in perfanalyze(1), "Where the time went". Who books what is timesheet.h.
 */
#ifndef PERFSHIM_SPLIT_H
#define PERFSHIM_SPLIT_H

#include <stdint.h>

/* queue: in the kernel, before the first read. receive: until the request's last byte was read. compute: its thread
 * ran, as far as is known for it. busy: its thread was at other work. descriptors to child: waits of its thread, as
 * WAITS in event.h. disk: calls on files. upstream: calls on connections that the host
 * opened, and waits for descriptors while an upstream exchange of its own was under way. io: other calls that
 * read or write. send: writing the response, and waiting until there is room for more of it. unseen: it was with no
 * thread that is known, or nobody knows for whom its thread ran. */
#define SPLIT_KINDS(S)                                                                                                 \
    S(queue) S(receive) S(compute) S(busy)                                                                             \
    S(descriptors) S(sleep) S(lock) S(condition) S(signal) S(file) S(message) S(name) S(thread) S(child)               \
    S(disk) S(upstream) S(io) S(send) S(unseen)
enum split_kind {
#define S(name) SPLIT_##name,
    SPLIT_KINDS(S)
#undef S
        SPLIT_COUNT
};
extern const char *const split_kind_name[SPLIT_COUNT];

/* Begins as all zeros. */
struct split {
    uint32_t used;           /* bits, by kind */
    int64_t ns[SPLIT_COUNT]; /* means something only where the bit is set */
};

static inline void split_add(struct split *s, enum split_kind kind, int64_t ns)
{
    uint32_t bit = 1u << kind;

    s->ns[kind] = s->used & bit ? s->ns[kind] + ns : ns;
    s->used |= bit;
}

static inline int64_t split_ns(const struct split *s, enum split_kind kind)
{
    return s->used & 1u << kind ? s->ns[kind] : 0;
}

/* Adds, and leaves `from` empty. */
static inline void split_take(struct split *to, struct split *from)
{
    for (uint32_t left = from->used; left; left &= left - 1) {
        enum split_kind kind = (enum split_kind)__builtin_ctz(left);
        split_add(to, kind, from->ns[kind]);
    }
    from->used = 0;
}

int64_t split_sum(const struct split *s);

/* What was one kind is another, at most as much as there is of it: so much. */
int64_t split_move(struct split *s, enum split_kind from, enum split_kind to, int64_t ns);

/* Makes the sum what it should be: what is missing was not seen; what is too much is taken off the last kinds. */
void split_settle(struct split *s, int64_t sum_ns);

/* What a wait for that (enum wait_what, or EVENT_UNKNOWN) is. */
enum split_kind split_kind_of_wait(uint64_t what);

#endif
