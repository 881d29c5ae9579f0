/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A route's name is its key. Names are made in a buffer on the stack and looked up in an open-addressing table of indexes,
 * so a request to a known route allocates nothing. What comes from the trace is made printable here, once.
 */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "exchange.h"

#define KINDS (2 * WIRE_PROTOCOLS)      /* protocol and direction: each has an "other" of its own */
#define ROUTES_ALL (ROUTE_MAX + KINDS)
#define SLOTS 2048                      /* a power of two, well above ROUTES_ALL */
#define NAME_MAX_BYTES 640

struct route_table {
    struct route *routes[ROUTES_ALL];
    size_t count;
    size_t named; /* of those, the ones that are no "other" */
    int32_t other[KINDS]; /* ROUTE_NONE: not made yet */
    uint16_t slots[SLOTS]; /* index plus 1, 0 is free */
};

struct name {
    char text[NAME_MAX_BYTES];
    size_t bytes;
};

struct route_table *route_table_new(void)
{
    struct route_table *t = calloc(1, sizeof *t);

    for (unsigned i = 0; t && i < KINDS; i++)
        t->other[i] = ROUTE_NONE;
    return t;
}

static void route_free(struct route *r)
{
    if (!r)
        return;
    hist_free(r->total_ns);
    hist_free(r->first_byte_ns);
    hist_free(r->queue_ns);
    hist_free(r->arrival_ns);
    free(r->name);
    free(r);
}

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        route_free(t->routes[i]);
    free(t);
}

size_t route_count(const struct route_table *t) { return t->count; }

const struct route *route_at(const struct route_table *t, size_t i) { return t->routes[i]; }

/* --- names --- */

static void name_add(struct name *name, const char *text, size_t n)
{
    for (size_t i = 0; i < n && name->bytes < sizeof name->text - 1; i++)
        name->text[name->bytes++] = text[i] > ' ' && text[i] < 0x7f ? text[i] : '_';
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || (unsigned)((c | 0x20) - 'a') < 6; }

static bool is_uuid(const char *p)
{
    for (unsigned i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? p[i] != '-' : !is_hex(p[i]))
            return false;
    }
    return true;
}

static bool is_id(const char *p, size_t n)
{
    size_t digits = 0, hex = 0;

    for (size_t i = 0; i < n; i++) {
        digits += is_digit(p[i]);
        hex += is_hex(p[i]);
    }
    return (n && digits == n) || (hex == n && n >= 8 && digits) || (n == 36 && is_uuid(p));
}

static void name_add_path(struct name *name, const char *path, size_t n)
{
    const char *end = path + n;

    while (path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        const char *stop = slash ? slash : end;
        if (is_id(path, (size_t)(stop - path)))
            name_add(name, "{id}", 4);
        else
            name_add(name, path, (size_t)(stop - path));
        if (slash)
            name_add(name, "/", 1);
        path = stop + (slash != NULL);
    }
}

/* --- the table --- */

static uint32_t hash(const struct name *name, unsigned kind)
{
    uint32_t h = 2166136261u ^ kind; /* FNV-1a */

    for (size_t i = 0; i < name->bytes; i++)
        h = (h ^ (uint8_t)name->text[i]) * 16777619u;
    return h ^ h >> 15;
}

static unsigned kind_of(enum wire_protocol protocol, bool upstream) { return 2 * protocol + upstream; }

/* The slot that holds the route, or the free one where it belongs. */
static uint16_t *slot_of(struct route_table *t, const struct name *name, unsigned kind)
{
    uint32_t i = hash(name, kind) & (SLOTS - 1);

    for (; t->slots[i]; i = (i + 1) & (SLOTS - 1)) {
        const struct route *r = t->routes[t->slots[i] - 1];
        if (kind_of(r->protocol, r->upstream) == kind && strcmp(r->name, name->text) == 0)
            break;
    }
    return &t->slots[i];
}

static int32_t route_make(struct route_table *t, const struct name *name, enum wire_protocol protocol, bool upstream)
{
    struct route *r = calloc(1, sizeof *r);

    if (!r)
        return -1;
    r->name = malloc(name->bytes + 1);
    r->total_ns = hist_new();
    r->first_byte_ns = hist_new();
    if (!r->name || !r->total_ns || !r->first_byte_ns) {
        route_free(r);
        return -1;
    }
    memcpy(r->name, name->text, name->bytes + 1);
    r->protocol = protocol;
    r->upstream = upstream;
    t->routes[t->count] = r;
    return (int32_t)t->count++;
}

static int32_t route_other(struct route_table *t, enum wire_protocol protocol, bool upstream)
{
    int32_t *other = &t->other[kind_of(protocol, upstream)];

    if (*other == ROUTE_NONE)
        *other = route_make(t, &(struct name){.text = "other", .bytes = 5}, protocol, upstream);
    return *other;
}

static int32_t route_named(struct route_table *t, enum wire_protocol protocol, bool upstream, struct name *name)
{
    name->text[name->bytes] = 0;
    uint16_t *slot = slot_of(t, name, kind_of(protocol, upstream));
    if (*slot)
        return *slot - 1;
    if (t->named == ROUTE_MAX)
        return route_other(t, protocol, upstream);
    int32_t made = route_make(t, name, protocol, upstream);
    if (made >= 0) {
        *slot = (uint16_t)(made + 1);
        t->named++;
    }
    return made;
}

int32_t route_within(struct route_table *t, int32_t route, const char *operation, size_t operation_bytes)
{
    const struct route *outer = t->routes[route];
    struct name name;

    if (route == t->other[kind_of(outer->protocol, outer->upstream)])
        return route_other(t, WIRE_JSONRPC, outer->upstream);
    name.bytes = 0;
    for (const char *p = outer->name; *p && name.bytes < sizeof name.text - 1; p++)
        name.text[name.bytes++] = *p;
    if (name.bytes < sizeof name.text - 1)
        name.text[name.bytes++] = ' ';
    name_add(&name, operation, operation_bytes);
    return route_named(t, WIRE_JSONRPC, outer->upstream, &name);
}

int32_t route_find(struct route_table *t, enum wire_protocol protocol, bool upstream, const char *method,
                   size_t method_bytes, const char *path, size_t path_bytes)
{
    struct name name;

    name.bytes = 0;
    name_add(&name, method, method_bytes);
    if (path) {
        if (name.bytes < sizeof name.text - 1)
            name.text[name.bytes++] = ' ';
        name_add_path(&name, path, path_bytes);
    }
    return route_named(t, protocol, upstream, &name);
}

/* --- measuring --- */

static void add_bytes(double *sum, uint64_t *max, uint64_t bytes)
{
    *sum += (double)bytes;
    if (bytes > *max)
        *max = bytes;
}

/* Most traces have no such times. Without memory for them they are those of fewer requests, which the report says. */
static void add_queue(struct route *r, const struct exchange *x)
{
    int64_t queue = x->in_ns > x->rx_ns ? x->in_ns - x->rx_ns : 0;

    if (!r->queue_ns)
        r->queue_ns = hist_new();
    if (!r->arrival_ns)
        r->arrival_ns = hist_new();
    if (!r->queue_ns || !r->arrival_ns)
        return;
    hist_add(r->queue_ns, queue);
    hist_add(r->arrival_ns, queue + (x->done_ns - x->in_ns));
}

void route_add(struct route_table *t, const struct exchange *x)
{
    if (x->route < 0 || (size_t)x->route >= t->count)
        return;
    struct route *r = t->routes[x->route];

    if (!r->requests || x->in_ns < r->first_ns)
        r->first_ns = x->in_ns;
    if (!r->requests || x->done_ns > r->last_ns)
        r->last_ns = x->done_ns;
    r->requests++;
    r->errors += x->error;
    r->status_class[x->status / 100 < 6 ? x->status / 100 : 0]++;
    hist_add(r->total_ns, x->done_ns - x->in_ns);
    hist_add(r->first_byte_ns, x->out_ns - x->ready_ns);
    if (x->has_rx)
        add_queue(r, x);
    add_bytes(&r->request_bytes_sum, &r->request_bytes_max, x->request_bytes);
    add_bytes(&r->response_bytes_sum, &r->response_bytes_max, x->response_bytes);
    r->alloc_count += x->alloc_count;
    r->alloc_bytes += x->alloc_bytes;
}
