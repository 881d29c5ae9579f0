/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests are not where one might look for them. */
#include <stdlib.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 60
#define ROUTES_SHOWN 20

static bool is(const struct report_route *route, const char *origin)
{
    return !route->upstream && strcmp(route->origin, origin) == 0;
}

static uint64_t requests_of(const struct report *r, const char *origin)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < r->routes; i++)
        sum += is(&r->route[i], origin) ? r->route[i].requests : 0;
    return sum;
}

void report_text_other(const struct page *p, const struct report *r)
{
    uint64_t other = requests_of(r, "other");
    char count[UNITS_MAX];
    size_t unlisted = 0;

    if (other)
        fprintf(p->out, "other: %s requests of more routes than %d, which are not told apart.\n", units_count(count, (double)other),
                ROUTE_MAX);
    for (size_t i = 0; r->listed && i < r->routes; i++) {
        if (!is(&r->route[i], "learned"))
            continue;
        if (!unlisted)
            page_heading(p, "ROUTES: NOT IN THE FILE OF ROUTES, BUT LEARNED\n");
        if (unlisted++ >= ROUTES_SHOWN)
            continue;
        page_name(p->out, r->route[i].name, NAME_WIDTH);
        fprintf(p->out, "%10s requests\n", units_number(count, (double)r->route[i].requests));
    }
    if (unlisted > ROUTES_SHOWN)
        fprintf(p->out, "and %zu with fewer requests: see --json\n", unlisted - ROUTES_SHOWN);
}
