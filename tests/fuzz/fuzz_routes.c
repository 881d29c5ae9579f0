/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a file of routes, then any paths of requests: up to a line "--" the input is the one, behind it the others, a line
 * each. Whatever comes, there is a route for each request, no request is lost when routes become one, and names are printable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "pipeline.h"
#include "route.h"
#include "routefile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t ask_all(struct route_table *t, const char *p, const char *end)
{
    uint64_t asked = 0;

    for (unsigned i = 0; p < end; i++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p)), *space;
        stop = stop ? stop : end;
        space = memchr(p, ' ', (size_t)(stop - p));
        const char *path = space ? space + 1 : p;
        size_t method_bytes = space ? (size_t)(space - p) : 0;
        struct exchange x = {.in_ns = i, .done_ns = 2 * i, .request_bytes = 1ull << i % 50, .response_bytes = i};
        x.route = route_find(t, i % 7 ? WIRE_HTTP1 : WIRE_RESP, i % 5 == 4, p, method_bytes, i % 7 ? path : NULL, (size_t)(stop - path));
        MUST(x.route >= 0 && x.route < ROUTE_INDEX_MAX);
        route_add(t, &x);
        asked++;
        p = stop + 1;
    }
    return asked;
}

static void check(struct route_table *t, uint64_t asked)
{
    size_t named = 0;

    MUST(route_settle(t) == 0);
    for (size_t i = 0; i < route_count(t); i++) {
        const struct route *r = route_at(t, i);
        MUST(r && route_at(t, (size_t)route_index(t, i)) == r);
        if (route_index(t, i) != (int32_t)i)
            continue;
        asked -= r->requests;
        named += r->origin != ROUTE_OTHER;
        MUST(r->name && strlen(r->name) < 1200 && hist_count(r->total_ns) == r->requests);
        for (const char *c = r->name; *c; c++)
            MUST(*c >= ' ' && *c < 0x7f);
    }
    MUST(asked == 0 && named <= ROUTE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {.text = ""};
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    char *mark = memmem(text, size, "\n--\n", 4);
    size_t bytes = mark ? (size_t)(mark - text) : 0;
    if (mark)
        *mark = 0;
    struct routefile *file = routefile_parse(mark ? text : "", bytes, &e);
    MUST(file || (mark && e.text[0]));
    struct route_table *t = route_table_new();
    route_table_list(t, file);
    check(t, ask_all(t, mark ? mark + 4 : text, text + size));
    route_table_free(t);
    routefile_free(file);
    free(text);
    return 0;
}
