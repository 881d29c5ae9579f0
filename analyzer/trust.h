/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread has shown of the order that it keeps, and so what its order may prove where several requests are in
 * flight. Begins as all zeros. Each habit is seen in what is certain by other means, and one exception ends it, for a
 * while or for good.
 */
#ifndef PERFSHIM_TRUST_H
#define PERFSHIM_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#define TRUST_TIMES 20 /* so often in a row it must have kept to a habit */

struct trust {
    uint8_t orderly;     /* how often it answered the request whose cause it had read last, of several, */
    bool disorderly;     /* and whether it ever answered another one */
    uint8_t grounded;    /* so many answers in a row had a ground in their turn, or a possible one, */
    bool surprised;      /* and whether, since it was so often enough, one had none */
    uint8_t asked;       /* how often in a row whom it had read was whom it then asked for, of several in flight, */
    bool puts_off;       /* and whether it was seen to ask for another one, since it was so often enough */
};

static inline void trust_count(uint8_t *habit) { *habit = (uint8_t)(*habit + (*habit < TRUST_TIMES)); }

static inline void trust_asked_for_another(struct trust *t)
{
    t->asked = 0;
    t->puts_off = true;
}

static inline void trust_asked(struct trust *t)
{
    trust_count(&t->asked);
    t->puts_off &= t->asked < TRUST_TIMES;
}

/* It is done with each descriptor before it reads the next. */
static inline bool trust_is_orderly(const struct trust *t) { return t->orderly == TRUST_TIMES && !t->disorderly; }

/* It answers in the turn in which it learns what to answer, as far as is known. */
static inline bool trust_answers_at_once(const struct trust *t) { return t->grounded == TRUST_TIMES; }

static inline void trust_answered(struct trust *t, bool surely)
{
    if (surely || !t->surprised) /* after one that had none, only what is sure counts */
        trust_count(&t->grounded);
    t->surprised &= t->grounded < TRUST_TIMES;
}

static inline void trust_answered_without_ground(struct trust *t)
{
    t->grounded = 0;
    t->surprised = true;
}

/* It asks in the turn in which it reads the request, and puts none off until another one comes. */
static inline bool trust_asks_at_once(const struct trust *t) { return t->asked == TRUST_TIMES; }

/* What it does is known to be about what it read in another turn, now and then. */
static inline bool trust_is_late(const struct trust *t) { return t->surprised || t->puts_off; }

#endif
