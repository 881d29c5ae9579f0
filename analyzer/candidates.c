/* SPDX-License-Identifier: Apache-2.0 */
#include "candidates.h"

int candidates_index(const struct candidates *c, const struct flight *f)
{
    for (int i = 0; i < c->count; i++)
        if (flight_is(c->of[i], f))
            return i;
    return -1;
}

void candidates_unknown(struct candidates *c)
{
    c->unknown = true;
    c->count = 0;
}

void candidates_add(struct candidates *c, struct flight_ref r)
{
    struct flight *f = flight_alive(r);

    if (!f)
        c->weak = true; /* it may have left work behind */
    else if (c->unknown || candidates_index(c, f) >= 0)
        return;
    else if (c->count == CANDIDATES_MAX)
        candidates_unknown(c);
    else
        c->of[c->count++] = r;
}
