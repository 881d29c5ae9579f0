/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a request: most have a method and path that was met before, byte for byte, and are found in a cache by a 64-bit hash.
 * Others are split (template.h), looked for in the user's file (routefile.h), and if that has none, put into the tree of paths
 * (pathtree.h), which says when routes are one. Operations without paths, and templates of the file, are found by name.
 *
 * Up to LIVE_MAX routes are kept apart until the end, so that which of them are the 500 does not depend on their order. If there
 * are more, the tree has to give up detail before what is new goes under "other".
 */
#include "route.h"

#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "pathtree.h"
#include "routefile.h"
#include "scaling.h"
#include "seed.h"
#include "template.h"

#define KINDS (2 * WIRE_PROTOCOLS)      /* protocol and direction: each has an "other" of its own */
#define MADE_MAX (ROUTE_INDEX_MAX - KINDS)
#define LIVE_MAX 2048
#define SLOTS 16384 /* a power of two, well above ROUTE_INDEX_MAX */
#define CACHE_SETS 2048
#define CACHE_WAYS 4
#define METHODS_MAX 64
#define METHOD_BYTES 32
#define NAME_MAX_BYTES (TEMPLATE_PATH_MAX + 160)
#define HOPELESS 1024 /* requests without room, until a tree that could give none is asked again */

_Static_assert(KINDS <= PATHTREE_ROOTS, "each kind has a tree");

struct route_table {
    struct route *routes[ROUTE_INDEX_MAX]; /* NULL: merged */
    int32_t into[ROUTE_INDEX_MAX];         /* the index that it was merged into, or itself */
    size_t count, live;
    int32_t other[KINDS]; /* ROUTE_NONE: not made yet */
    const struct routefile *file;
    struct pathtree *tree;
    bool short_of_memory; /* for a name */
    unsigned hopeless; /* how often the tree need not be asked for room */
    char methods[METHODS_MAX][METHOD_BYTES];
    size_t method_count;
    uint16_t slots[SLOTS]; /* of routes that have a name already: index plus 1, 0 is free */
    struct cached {
        uint64_t key; /* 0: free */
        int32_t index;
    } cache[CACHE_SETS][CACHE_WAYS];
};

struct name {
    char text[NAME_MAX_BYTES];
    size_t bytes;
};

/* --- routes --- */

static void route_free(struct route *r)
{
    if (!r)
        return;
    hist_free(r->total_ns);
    hist_free(r->first_byte_ns);
    hist_free(r->queue_ns);
    hist_free(r->arrival_ns);
    hist_free(r->dispatch_ns);
    splits_free(r->splits);
    scaling_free(r->scaling);
    free(r->name);
    free(r);
}

static void merge_hist(struct hist **into, const struct hist *from)
{
    if (from && !*into)
        *into = hist_new();
    if (from && *into)
        hist_merge(*into, from);
}

static void merge_max(uint64_t *into, uint64_t from) { *into = from > *into ? from : *into; }

/* Everything that was measured of one route, to another. A field of struct route that measures has its line here. */
static void route_merge(struct route *into, const struct route *from)
{
    scaling_merge(&into->scaling, from->scaling, into->total_ns, from->total_ns); /* first: it asks what there was before */
    if (from->requests && (!into->requests || from->first_ns < into->first_ns))
        into->first_ns = from->first_ns;
    if (from->requests && (!into->requests || from->last_ns > into->last_ns))
        into->last_ns = from->last_ns;
    into->requests += from->requests;
    into->errors += from->errors;
    for (size_t i = 0; i < sizeof into->status_class / sizeof *into->status_class; i++)
        into->status_class[i] += from->status_class[i];
    merge_hist(&into->total_ns, from->total_ns);
    merge_hist(&into->first_byte_ns, from->first_byte_ns);
    merge_hist(&into->queue_ns, from->queue_ns);
    merge_hist(&into->arrival_ns, from->arrival_ns);
    merge_hist(&into->dispatch_ns, from->dispatch_ns);
    if (into->splits && from->splits)
        splits_merge(into->splits, from->splits);
    into->one_way += from->one_way;
    into->queued += from->queued;
    into->waits |= from->waits;
    into->request_bytes_sum += from->request_bytes_sum;
    into->response_bytes_sum += from->response_bytes_sum;
    merge_max(&into->request_bytes_max, from->request_bytes_max);
    merge_max(&into->response_bytes_max, from->response_bytes_max);
    into->alloc_count += from->alloc_count;
    into->alloc_bytes += from->alloc_bytes;
    into->shared_bytes += from->shared_bytes;
}

/* --- the table --- */

static int32_t resolve(const struct route_table *t, int32_t i)
{
    while (t->into[i] != i)
        i = t->into[i];
    return i;
}

static uint64_t tree_requests(void *context, int32_t i)
{
    const struct route_table *t = context;
    const struct route *r = i >= 0 ? t->routes[i] : NULL;

    return r && r->origin != ROUTE_OTHER ? r->requests : 0;
}

static void merge_index(struct route_table *t, int32_t into, int32_t from)
{
    route_merge(t->routes[into], t->routes[from]);
    route_free(t->routes[from]);
    t->routes[from] = NULL;
    t->into[from] = into;
    t->live--;
}

/* What has no room stays under "other", wherever its path goes. */
static void tree_merge(void *context, int32_t into, int32_t from)
{
    struct route_table *t = context;

    if (into >= 0 && from >= 0 && into != from && t->routes[from]->origin != ROUTE_OTHER)
        merge_index(t, into, from);
}

struct route_table *route_table_new(void)
{
    struct route_table *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    for (unsigned i = 0; i < KINDS; i++)
        t->other[i] = ROUTE_NONE;
    t->tree = pathtree_new(&(struct pathtree_owner){.context = t, .requests = tree_requests, .merge = tree_merge});
    if (t->tree)
        return t;
    free(t);
    return NULL;
}

void route_table_list(struct route_table *t, const struct routefile *file) { t->file = file; }

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        route_free(t->routes[i]);
    pathtree_free(t->tree);
    free(t);
}

size_t route_count(const struct route_table *t) { return t->count; }
int32_t route_index(const struct route_table *t, size_t i) { return resolve(t, (int32_t)i); }
const struct route *route_at(const struct route_table *t, size_t i) { return t->routes[resolve(t, (int32_t)i)]; }

static unsigned kind_of(enum wire_protocol protocol, bool upstream) { return 2 * protocol + upstream; }

static int32_t route_make(struct route_table *t, unsigned kind, const char *name, enum route_origin origin)
{
    struct route *r = calloc(1, sizeof *r);

    if (!r)
        return ROUTE_NONE;
    r->name = strdup(name);
    r->total_ns = hist_new();
    r->first_byte_ns = hist_new();
    r->protocol = kind / 2;
    r->upstream = kind % 2;
    r->scaling = scaling_new();
    r->splits = r->upstream ? NULL : splits_new();
    if (!r->name || !r->total_ns || !r->first_byte_ns || (!r->upstream && !r->splits)) {
        route_free(r);
        return ROUTE_NONE;
    }
    r->origin = origin;
    t->routes[t->count] = r;
    t->into[t->count] = (int32_t)t->count;
    t->live++;
    if (t->count == MADE_MAX / 2)
        pathtree_narrow(t->tree, PATHTREE_SEGMENTS / 4);
    if (t->count == MADE_MAX / 4 * 3)
        pathtree_narrow(t->tree, PATHTREE_SEGMENTS / 8);
    return (int32_t)t->count++;
}

static int32_t route_other(struct route_table *t, unsigned kind)
{
    int32_t *other = &t->other[kind];

    if (*other == ROUTE_NONE)
        *other = route_make(t, kind, "other", ROUTE_OTHER);
    return *other;
}

/* Gives up detail of the tree, of which nodes may be gone afterwards. False: there is none to give up. */
static bool relieve(struct route_table *t)
{
    if (t->hopeless) {
        t->hopeless--;
        return false;
    }
    if (pathtree_relieve(t->tree))
        return true;
    t->hopeless = HOPELESS;
    return false;
}

static bool has_room(const struct route_table *t) { return t->count < MADE_MAX && t->live < LIVE_MAX; }

/* Is there room for one more, if need be made? */
static bool make_room(struct route_table *t) { return has_room(t) || (t->count < MADE_MAX && relieve(t) && has_room(t)); }

/* --- by name --- */

/* What is below `least`, and what does not print, becomes "_". */
static inline void name_put(struct name *name, const char *text, size_t n, char least)
{
    for (size_t i = 0; i < n && name->bytes < sizeof name->text - 1; i++)
        name->text[name->bytes++] = text[i] >= least && text[i] < 0x7f ? text[i] : '_';
    name->text[name->bytes] = 0;
}

static void name_add(struct name *name, const char *text, size_t n) { name_put(name, text, n, '!'); }

/* A method, or a protocol's own operation, which may be of several words: "CONFIG GET". */
static void name_add_operation(struct name *name, const char *text, size_t n) { name_put(name, text, n, ' '); }

static void name_make(struct name *name, const char *method, size_t method_bytes, const char *path)
{
    name->bytes = 0;
    name_add_operation(name, method, method_bytes);
    if (path && name->bytes < sizeof name->text - 1)
        name->text[name->bytes++] = ' ';
    name_add(name, path, path ? strlen(path) : 0);
}

/* The slot that holds the route, or the free one where it belongs. */
static uint16_t *slot_of(struct route_table *t, const struct name *name, unsigned kind)
{
    uint64_t i = seed_bytes(kind, name->text, name->bytes) & (SLOTS - 1);

    for (; t->slots[i]; i = (i + 1) & (SLOTS - 1)) {
        const struct route *r = t->routes[t->slots[i] - 1];
        if (kind_of(r->protocol, r->upstream) == kind && strcmp(r->name, name->text) == 0)
            break;
    }
    return &t->slots[i];
}

static int32_t find_named(struct route_table *t, unsigned kind, const struct name *name, enum route_origin origin)
{
    uint16_t *slot = slot_of(t, name, kind);

    if (*slot)
        return *slot - 1;
    if (!make_room(t))
        return route_other(t, kind);
    int32_t made = route_make(t, kind, name->text, origin);
    if (made >= 0)
        *slot = (uint16_t)(made + 1);
    return made;
}

/* --- by path --- */

/* The number of a method; 0 is for all that there is no room for. */
static unsigned method_number(struct route_table *t, const char *method, size_t n)
{
    struct name name;

    if (!t->method_count)
        strcpy(t->methods[t->method_count++], "OTHER");
    name_make(&name, method, n, NULL);
    for (unsigned i = 0; i < t->method_count; i++)
        if (strcmp(t->methods[i], name.text) == 0)
            return i;
    if (t->method_count == METHODS_MAX || name.bytes >= METHOD_BYTES)
        return 0;
    memcpy(t->methods[t->method_count], name.text, name.bytes + 1);
    return (unsigned)t->method_count++;
}

/* As long as nothing else is known. */
static struct name path_name(const struct route_table *t, unsigned method, const struct template_path *path)
{
    struct name name;

    name_make(&name, t->methods[method], strlen(t->methods[method]), "");
    for (unsigned i = 0; i < path->count; i++) {
        if (i || path->rooted)
            name_add(&name, "/", 1);
        name_add(&name, template_segment(path, i), template_bytes(path, i));
    }
    return name;
}

static int32_t find_in_tree(struct route_table *t, unsigned kind, unsigned method, const struct template_path *path)
{
    bool room = make_room(t);
    uint32_t node = pathtree_place(t->tree, kind, path);

    if (node == PATHTREE_NONE && relieve(t))
        node = pathtree_place(t->tree, kind, path);
    int32_t *route = node != PATHTREE_NONE ? pathtree_route(t->tree, node, method) : NULL;
    if (route && *route == ROUTE_NONE)
        *route = room ? route_make(t, kind, path_name(t, method, path).text, ROUTE_LEARNED) : route_other(t, kind);
    return route ? *route : route_other(t, kind);
}

static int32_t find_path(struct route_table *t, unsigned kind, const char *method, size_t method_bytes, const char *path,
                         size_t path_bytes)
{
    struct template_path split, values;

    template_split(&split, path, path_bytes);
    int32_t listed = t->file && kind % 2 == 0 ? routefile_match(t->file, method, method_bytes, &split) : ROUTEFILE_NONE;
    if (listed != ROUTEFILE_NONE) {
        struct name name;
        name_make(&name, method, method_bytes, routefile_path(t->file, listed));
        return find_named(t, kind, &name, ROUTE_LISTED);
    }
    template_values(&values, &split);
    return find_in_tree(t, kind, method_number(t, method, method_bytes), &values);
}

/* What is asked for moves up in its set, and what is new takes the second half: so paths that come once leave alone those that
 * come again and again. */
static int32_t cache_get(struct cached *set, uint64_t key)
{
    for (unsigned i = 0; i < CACHE_WAYS; i++) {
        struct cached hit = set[i];
        if (hit.key != key)
            continue;
        if (i) {
            set[i] = set[i - 1];
            set[i - 1] = hit;
        }
        return hit.index;
    }
    return ROUTE_NONE;
}

static void cache_put(struct cached *set, uint64_t key, int32_t index)
{
    unsigned i = 0;

    while (i < CACHE_WAYS && set[i].key)
        i++;
    if (i == CACHE_WAYS) {
        i = CACHE_WAYS / 2;
        memmove(&set[i + 1], &set[i], (CACHE_WAYS - 1 - i) * sizeof *set);
    }
    set[i] = (struct cached){key, index};
}

int32_t route_within(struct route_table *t, int32_t route, const char *operation, size_t operation_bytes)
{
    const struct route *outer = t->routes[resolve(t, route)];
    unsigned kind = kind_of(WIRE_JSONRPC, outer->upstream);
    struct name name = {.bytes = 0};

    if (outer->origin == ROUTE_OTHER)
        return route_other(t, kind);
    name_add_operation(&name, outer->name, strlen(outer->name));
    name_add_operation(&name, " ", 1);
    name_add_operation(&name, operation, operation_bytes);
    return find_named(t, kind, &name, ROUTE_LEARNED);
}

int32_t route_find(struct route_table *t, enum wire_protocol protocol, bool upstream, const char *method,
                   size_t method_bytes, const char *path, size_t path_bytes)
{
    unsigned kind = kind_of(protocol, upstream);
    uint64_t key = seed_bytes(2 * kind + (path != NULL), method, method_bytes);

    if (path)
        key = seed_bytes(key, path, path_bytes);
    key += !key; /* 0 is a free place */
    struct cached *set = t->cache[key % CACHE_SETS];
    int32_t found = cache_get(set, key);
    if (found >= 0)
        return resolve(t, found);
    if (path) {
        found = find_path(t, kind, method, method_bytes, path, path_bytes);
    } else {
        struct name name;
        name_make(&name, method, method_bytes, NULL);
        found = find_named(t, kind, &name, ROUTE_LEARNED);
    }
    if (found >= 0)
        cache_put(set, key, found);
    return found;
}

/* --- the end --- */

static void tree_name(void *context, int32_t i, unsigned method, const char *path)
{
    struct route_table *t = context;
    struct name name;

    if (i < 0 || t->routes[i]->origin == ROUTE_OTHER)
        return;
    name_make(&name, t->methods[method], strlen(t->methods[method]), path);
    char *text = strdup(name.text);
    t->short_of_memory |= !text;
    if (!text)
        return;
    free(t->routes[i]->name);
    t->routes[i]->name = text;
}

struct ranked {
    const struct route *route;
    int32_t index;
};

/* Those that the user listed first, then those with most requests; equal ones by name. */
static int by_weight(const void *a, const void *b)
{
    const struct route *x = ((const struct ranked *)a)->route, *y = ((const struct ranked *)b)->route;

    if (x->origin != y->origin)
        return x->origin == ROUTE_LISTED ? -1 : 1;
    if (x->requests != y->requests)
        return x->requests < y->requests ? 1 : -1;
    int order = strcmp(x->name, y->name);
    return order ? order : (int)kind_of(x->protocol, x->upstream) - (int)kind_of(y->protocol, y->upstream);
}

/* Those behind the first ROUTE_MAX are no more told apart. -1 if memory is short. */
static int cut(struct route_table *t, const struct ranked *ranked, size_t n)
{
    for (size_t i = ROUTE_MAX; i < n; i++) {
        const struct route *r = ranked[i].route;
        int32_t other = route_other(t, kind_of(r->protocol, r->upstream));
        if (other == ROUTE_NONE)
            return -1;
        merge_index(t, other, ranked[i].index);
    }
    return 0;
}

int route_settle(struct route_table *t)
{
    size_t n = 0;

    pathtree_settle(t->tree);
    pathtree_each(t->tree, tree_name);
    struct ranked *ranked = t->short_of_memory ? NULL : malloc((t->count + 1) * sizeof *ranked);
    if (!ranked)
        return -1;
    for (size_t i = 0; i < t->count; i++)
        if (t->routes[i] && t->routes[i]->origin != ROUTE_OTHER)
            ranked[n++] = (struct ranked){t->routes[i], (int32_t)i};
    qsort(ranked, n, sizeof *ranked, by_weight);
    int result = cut(t, ranked, n);
    free(ranked);
    return result;
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

static void add_dispatch(struct route *r, const struct exchange *x)
{
    if (!r->dispatch_ns)
        r->dispatch_ns = hist_new();
    if (r->dispatch_ns)
        hist_add(r->dispatch_ns, x->dispatch_ns);
}

void route_add(struct route_table *t, const struct exchange *x)
{
    if (x->route < 0 || (size_t)x->route >= t->count)
        return;
    struct route *r = t->routes[resolve(t, x->route)];

    if (!r->requests || x->in_ns < r->first_ns)
        r->first_ns = x->in_ns;
    if (!r->requests || x->done_ns > r->last_ns)
        r->last_ns = x->done_ns;
    scaling_add(r->scaling, r->total_ns, x);
    r->requests++;
    r->errors += x->error;
    r->status_class[x->status / 100 < 6 ? x->status / 100 : 0]++;
    r->one_way += x->one_way;
    r->queued += x->queued;
    r->waits |= x->waits;
    if (!x->one_way) {
        hist_add(r->total_ns, x->done_ns - x->in_ns);
        hist_add(r->first_byte_ns, x->out_ns - x->ready_ns);
    }
    if (x->has_rx)
        add_queue(r, x);
    if (x->has_dispatch)
        add_dispatch(r, x);
    if (r->splits && !x->guess && !x->one_way)
        splits_add(r->splits, &x->split, x->total_ns, x->revocable_ns);
    add_bytes(&r->request_bytes_sum, &r->request_bytes_max, x->request_bytes);
    add_bytes(&r->response_bytes_sum, &r->response_bytes_max, x->response_bytes);
    r->alloc_count += x->alloc_count;
    r->alloc_bytes += x->alloc_bytes;
    r->shared_bytes += x->shared_bytes;
}
