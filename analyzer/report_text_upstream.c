/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UPSTREAM BY ROUTE: below each route the upstream routes that its requests asked, then what share of all upstream exchanges
 * is linked to a request, why the others are not, and connections.
 */
#include <math.h>
#include <string.h>

#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 27
#define ROUTES_SHOWN 20
#define PAIRS_SHOWN 10 /* of each */

static void print_pair(FILE *out, const struct report_upstream_pair *p)
{
    char text[6][UNITS_MAX];

    fputs("  ", out);
    page_name(out, p->route ? p->route : "other", NAME_WIDTH - 2);
    fprintf(out, "%10s%9s%8s%8s%8s%9s\n", units_number(text[0], p->calls_per_request), units_duration(text[1], p->time.mean),
            units_duration(text[2], p->time.p50), units_duration(text[3], p->time.p99), units_duration(text[4], p->time.max),
            units_percent(text[5], p->share));
}

static void print_route(FILE *out, const struct report_upstream_route *r)
{
    char share[UNITS_MAX];

    page_name(out, r->route ? r->route : "other", NAME_WIDTH);
    fprintf(out, "%52s\n", units_percent(share, r->share));
    for (size_t i = 0; i < r->pairs && i < PAIRS_SHOWN; i++)
        print_pair(out, &r->pair[i]);
    if (r->pairs > PAIRS_SHOWN)
        fprintf(out, "  and %zu upstream routes with fewer calls: see --json\n", r->pairs - PAIRS_SHOWN);
}

static void print_links(const struct page *p, const struct report_upstream *u)
{
    char share[UNITS_MAX], count[UNITS_MAX], line[512];
    size_t used = (size_t)snprintf(line, sizeof line, "linked %s of %s upstream exchanges",
                                   units_percent(share, (double)u->state[LINK_linked] / (double)u->exchanges),
                                   units_count(count, (double)u->exchanges));
    const char *before = "; not linked:";

    for (enum link_state state = LINK_linked + 1; state < LINK_STATES_COUNT; state++)
        if (u->state[state]) {
            used += (size_t)snprintf(line + used, sizeof line - used, "%s %s %s", before, link_state_why[state],
                                     units_count(count, (double)u->state[state]));
            before = ",";
        }
    fputs("  ", p->out);
    page_wrapped(p->out, line, 2, 4);
}

/* Of all upstream routes together. */
static void print_connections(const struct page *p, const struct report *r)
{
    char count[UNITS_MAX], share[UNITS_MAX], mean[UNITS_MAX], max[UNITS_MAX], line[256];
    double requests = 0, connections = 0, connects = 0, sum = 0, worst = 0;

    for (size_t i = 0; i < r->routes; i++) {
        const struct report_route *route = &r->route[i];
        if (!route->upstream)
            continue;
        requests += (double)route->requests;
        connections += (double)route->connections;
        connects += (double)route->connects;
        sum += route->connects ? route->connect.mean * (double)route->connects : 0;
        worst = fmax(worst, route->connects ? route->connect.max : 0);
    }
    size_t used = (size_t)snprintf(line, sizeof line, "%s on a connection that had been used before",
                                   units_percent(share, 1 - connections / requests));
    if (connects > 0)
        snprintf(line + used, sizeof line - used, "; %s connected in %s on average, %s at most", units_count(count, connects),
                 units_duration(mean, sum / connects), units_duration(max, worst));
    fputs("  ", p->out);
    page_wrapped(p->out, line, 2, 4);
}

void report_text_upstream(const struct page *p, const struct report *r)
{
    const struct report_upstream *u = &r->upstream;

    if (!u->exchanges)
        return;
    page_heading(p, "UPSTREAM BY ROUTE          ");
    fprintf(p->out, "%10s%9s%8s%8s%8s%9s\n", "calls/req", "mean", "p50", "p99", "max", "of time");
    for (size_t i = 0; i < u->routes && i < ROUTES_SHOWN; i++)
        print_route(p->out, &u->route[i]);
    if (u->routes > ROUTES_SHOWN)
        fprintf(p->out, "and %zu routes with fewer requests: see --json\n", u->routes - ROUTES_SHOWN);
    print_links(p, u);
    print_connections(p, r);
}
