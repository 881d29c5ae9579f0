/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes stand in one array, found by their parent and their text in one hash table, so that a path costs a look-up a segment and
 * a node with a hundred thousand children nothing. Nodes that were merged are used again.
 *
 * Counted are a node's children that could be values: all but "{id}", which says so itself, and the empty one, which is its
 * parent with a slash.
 */
#include "pathtree.h"

#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "seed.h"

#define BUCKETS 8192
#define NONE PATHTREE_NONE
#define SEGMENTS_MANY 32       /* values, if they look like it or are rare */
#define SEGMENTS_SOME 8        /* values, if others at the same place are */
#define REQUESTS_FEW 4         /* of a value */
#define WORD_REQUESTS 64
#define WORD_SHARE 8           /* an eighth of the place's requests */
#define PATH_BYTES (TEMPLATE_PATH_MAX + TEMPLATE_SEGMENTS_MAX + 128)

struct node {
    char *text; /* NULL: the node is unused */
    uint32_t parent, child, next, in_bucket; /* next: of the parent's children, or unused; in_bucket: next one there */
    uint32_t leaf;
    uint32_t segments; /* children that are counted */
    uint16_t depth;    /* of its children: 0 are those of a root */
    bool collapsed, rooted;
};

struct leaf {
    int32_t route;
    uint32_t next; /* of the same node, or unused */
    uint8_t method;
};

struct pathtree {
    struct pathtree_owner owner;
    struct node *nodes;
    uint32_t node_count, unused_node;
    struct leaf *leaves;
    uint32_t leaf_count, unused_leaf;
    uint32_t limit; /* of segments at a place */
    uint32_t roots[PATHTREE_ROOTS][2]; /* the second: of paths that begin with a slash */
    uint32_t buckets[BUCKETS];
};

struct pathtree *pathtree_new(const struct pathtree_owner *owner)
{
    struct pathtree *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->owner = *owner;
    t->unused_node = t->unused_leaf = NONE;
    t->limit = PATHTREE_SEGMENTS;
    memset(t->buckets, 0xff, sizeof t->buckets);
    memset(t->roots, 0xff, sizeof t->roots);
    return t;
}

void pathtree_free(struct pathtree *t)
{
    for (uint32_t i = 0; t && i < t->node_count; i++)
        free(t->nodes[i].text);
    if (t) {
        free(t->nodes);
        free(t->leaves);
    }
    free(t);
}

/* --- nodes --- */

static uint32_t *bucket_of(struct pathtree *t, uint32_t parent, const char *text, size_t n)
{
    return &t->buckets[seed_bytes(parent, text, n) % BUCKETS];
}

/* Room for one more of what stands in an array of at most `most`; the array doubles. */
static void *grown(void *array, uint32_t count, uint32_t most, size_t bytes)
{
    uint32_t room = count < 64 ? 64 : 2 * count;

    if (count && (count < 64 || count & (count - 1)))
        return array; /* it has room up to the next power of two */
    return realloc(array, (room < most ? room : most) * bytes);
}

static uint32_t node_new(struct pathtree *t)
{
    uint32_t i = t->unused_node;

    if (i != NONE) {
        t->unused_node = t->nodes[i].next;
        return i;
    }
    struct node *nodes = t->node_count < PATHTREE_NODES ? grown(t->nodes, t->node_count, PATHTREE_NODES, sizeof *nodes) : NULL;
    if (!nodes)
        return NONE;
    t->nodes = nodes;
    return t->node_count++;
}

static uint32_t find(struct pathtree *t, uint32_t parent, const char *text, size_t n)
{
    uint32_t i = *bucket_of(t, parent, text, n);

    while (i != NONE && (t->nodes[i].parent != parent || strlen(t->nodes[i].text) != n || memcmp(t->nodes[i].text, text, n)))
        i = t->nodes[i].in_bucket;
    return i;
}

static bool is_counted(const char *text) { return *text && strcmp(text, TEMPLATE_VALUE) != 0; }

static void attach(struct pathtree *t, uint32_t parent, uint32_t i)
{
    struct node *c = &t->nodes[i], *p = &t->nodes[parent];
    uint32_t *bucket = bucket_of(t, parent, c->text, strlen(c->text));

    c->parent = parent;
    c->depth = (uint16_t)(p->depth + 1);
    c->in_bucket = *bucket;
    *bucket = i;
    c->next = p->child;
    p->child = i;
    p->segments += is_counted(c->text);
}

static void detach(struct pathtree *t, uint32_t i)
{
    struct node *c = &t->nodes[i], *p = &t->nodes[c->parent];
    uint32_t *at = bucket_of(t, c->parent, c->text, strlen(c->text));

    while (*at != i)
        at = &t->nodes[*at].in_bucket;
    *at = c->in_bucket;
    for (at = &p->child; *at != i; at = &t->nodes[*at].next)
        ;
    *at = c->next;
    p->segments -= is_counted(c->text);
}

static uint32_t child_make(struct pathtree *t, uint32_t parent, const char *text, size_t n)
{
    char *copy = strndup(text, n);
    uint32_t i = copy ? node_new(t) : NONE;

    if (i == NONE) {
        free(copy);
        return NONE;
    }
    t->nodes[i] = (struct node){.text = copy, .parent = NONE, .child = NONE, .next = NONE, .leaf = NONE};
    if (parent != NONE)
        attach(t, parent, i);
    return i;
}

static void node_drop(struct pathtree *t, uint32_t i)
{
    free(t->nodes[i].text);
    t->nodes[i] = (struct node){.next = t->unused_node};
    t->unused_node = i;
}

/* --- collapsing --- */

static void collapse(struct pathtree *t, uint32_t parent);

static uint64_t requests_of(const struct pathtree *t, uint32_t i)
{
    uint64_t sum = 0;

    for (uint32_t l = t->nodes[i].leaf; l != NONE; l = t->leaves[l].next)
        sum += t->owner.requests(t->owner.context, t->leaves[l].route);
    for (uint32_t c = t->nodes[i].child; c != NONE; c = t->nodes[c].next)
        sum += requests_of(t, c);
    return sum;
}

static void merge_leaves(struct pathtree *t, uint32_t into, uint32_t from)
{
    for (uint32_t l = t->nodes[from].leaf, next; l != NONE; l = next) {
        uint32_t same = t->nodes[into].leaf;
        next = t->leaves[l].next;
        while (same != NONE && t->leaves[same].method != t->leaves[l].method)
            same = t->leaves[same].next;
        if (same == NONE) {
            t->leaves[l].next = t->nodes[into].leaf;
            t->nodes[into].leaf = l;
            continue;
        }
        t->owner.merge(t->owner.context, t->leaves[same].route, t->leaves[l].route);
        t->leaves[l].next = t->unused_leaf;
        t->unused_leaf = l;
    }
    t->nodes[from].leaf = NONE;
}

/* `from` was detached; what is below it comes below `into`. */
static void merge_nodes(struct pathtree *t, uint32_t into, uint32_t from)
{
    bool collapsed = t->nodes[from].collapsed;

    merge_leaves(t, into, from);
    for (uint32_t c; (c = t->nodes[from].child) != NONE;) {
        detach(t, c);
        const char *text = t->nodes[c].text;
        uint32_t same = find(t, into, text, strlen(text));
        if (same == NONE)
            attach(t, into, c);
        else
            merge_nodes(t, same, c);
    }
    node_drop(t, from);
    t->nodes[into].collapsed |= collapsed;
    if (t->nodes[into].segments > t->limit || (t->nodes[into].collapsed && t->nodes[into].segments))
        collapse(t, into);
}

/* The segment is met so often that it is a word and no value. */
static bool is_word(uint64_t requests, uint64_t all) { return requests >= WORD_REQUESTS && requests >= all / WORD_SHARE; }

/* All children that are counted become one, but words. Without memory for that one, none does. */
static void collapse(struct pathtree *t, uint32_t parent)
{
    uint64_t all = requests_of(t, parent);
    uint32_t value = find(t, parent, TEMPLATE_VALUE, strlen(TEMPLATE_VALUE));

    for (uint32_t l = t->nodes[parent].leaf; l != NONE; l = t->leaves[l].next)
        all -= t->owner.requests(t->owner.context, t->leaves[l].route);
    t->nodes[parent].collapsed = true;
    for (uint32_t c = t->nodes[parent].child, next; c != NONE; c = next) {
        next = t->nodes[c].next;
        if (c == value || !is_counted(t->nodes[c].text) || is_word(requests_of(t, c), all))
            continue;
        if (value == NONE) { /* the first one becomes it */
            char *text = strdup(TEMPLATE_VALUE);
            if (!text)
                return;
            detach(t, c);
            free(t->nodes[c].text);
            t->nodes[c].text = text;
            attach(t, parent, c);
            value = c;
            continue;
        }
        detach(t, c);
        merge_nodes(t, value, c);
    }
}

/* --- paths --- */

/* A child that takes the text: the one of that name, or where values were found, that of all of them. */
static uint32_t descend(struct pathtree *t, uint32_t parent, const char *text, size_t n)
{
    uint32_t c = find(t, parent, text, n);

    if (c != NONE)
        return c;
    bool counted = n && (n != strlen(TEMPLATE_VALUE) || memcmp(text, TEMPLATE_VALUE, n));
    if (counted && !t->nodes[parent].collapsed && t->nodes[parent].segments >= t->limit)
        collapse(t, parent);
    if (!counted || !t->nodes[parent].collapsed)
        return child_make(t, parent, text, n);
    c = find(t, parent, TEMPLATE_VALUE, strlen(TEMPLATE_VALUE));
    return c != NONE ? c : child_make(t, parent, TEMPLATE_VALUE, strlen(TEMPLATE_VALUE));
}

uint32_t pathtree_place(struct pathtree *t, unsigned root, const struct template_path *path)
{
    uint32_t *start = &t->roots[root][path->rooted];

    if (*start == NONE) {
        *start = child_make(t, NONE, "", 0);
        if (*start == NONE)
            return NONE;
        t->nodes[*start].rooted = path->rooted;
    }
    uint32_t i = *start;
    for (unsigned k = 0; k < path->count && i != NONE; k++)
        i = descend(t, i, template_segment(path, k), template_bytes(path, k));
    return i;
}

int32_t *pathtree_route(struct pathtree *t, uint32_t node, unsigned method)
{
    for (uint32_t l = t->nodes[node].leaf; l != NONE; l = t->leaves[l].next)
        if (t->leaves[l].method == method)
            return &t->leaves[l].route;
    uint32_t l = t->unused_leaf;
    if (l != NONE) {
        t->unused_leaf = t->leaves[l].next;
    } else {
        struct leaf *leaves = t->leaf_count < PATHTREE_LEAVES ? grown(t->leaves, t->leaf_count, PATHTREE_LEAVES, sizeof *leaves)
                                                              : NULL;
        if (!leaves)
            return NULL;
        t->leaves = leaves;
        l = t->leaf_count++;
    }
    t->leaves[l] = (struct leaf){.route = ROUTE_NONE, .next = t->nodes[node].leaf, .method = (uint8_t)method};
    t->nodes[node].leaf = l;
    return &t->leaves[l].route;
}

/* --- room --- */

bool pathtree_relieve(struct pathtree *t)
{
    uint32_t best = NONE, most = SEGMENTS_SOME;

    for (uint32_t i = 0; i < t->node_count; i++) {
        const struct node *n = &t->nodes[i];
        uint32_t gain = n->depth ? n->segments : n->segments / 4; /* the first level names what a server has */
        if (n->text && !n->collapsed && gain > most) {
            best = i;
            most = gain;
        }
    }
    if (best == NONE)
        return false;
    collapse(t, best);
    return true;
}

void pathtree_narrow(struct pathtree *t, uint32_t segments)
{
    if (segments < t->limit)
        t->limit = segments;
}

/* --- the end --- */

struct place {
    uint64_t requests, all;        /* of its values, and with its words and those that told themselves */
    uint32_t values, slugs;
    bool told; /* there are such */
};

static struct place place_of(const struct pathtree *t, uint32_t parent)
{
    struct place p = {.told = false};

    for (uint32_t c = t->nodes[parent].child; c != NONE; c = t->nodes[c].next)
        p.all += requests_of(t, c);
    for (uint32_t c = t->nodes[parent].child; c != NONE; c = t->nodes[c].next) {
        const char *text = t->nodes[c].text;
        uint64_t requests = requests_of(t, c);
        p.told |= *text && !is_counted(text);
        if (!is_counted(text) || is_word(requests, p.all))
            continue;
        p.values++;
        p.slugs += template_is_slug(text, strlen(text));
        p.requests += requests;
    }
    return p;
}

static bool is_parameter(const struct node *n, const struct place *p)
{
    bool rare = p->requests < (uint64_t)REQUESTS_FEW * p->values;

    if (n->collapsed) /* of its words some may have been none */
        return p->values > 0;
    return (p->values > SEGMENTS_MANY && (p->slugs > p->values / 2 || (rare && n->depth))) ||
           (p->values > SEGMENTS_SOME && rare && p->told);
}

static void settle(struct pathtree *t, uint32_t i)
{
    struct place p = place_of(t, i);

    if (is_parameter(&t->nodes[i], &p))
        collapse(t, i);
    for (uint32_t c = t->nodes[i].child; c != NONE; c = t->nodes[c].next)
        settle(t, c);
}

void pathtree_settle(struct pathtree *t)
{
    for (unsigned r = 0; r < PATHTREE_ROOTS; r++)
        for (unsigned rooted = 0; rooted < 2; rooted++)
            if (t->roots[r][rooted] != NONE)
                settle(t, t->roots[r][rooted]);
}

/* Writes the node's path so that it ends at `end`; gives its beginning. */
static char *path_before(const struct pathtree *t, uint32_t i, char *end)
{
    while (t->nodes[i].parent != NONE) {
        size_t n = strlen(t->nodes[i].text);
        end -= n;
        memcpy(end, t->nodes[i].text, n);
        i = t->nodes[i].parent;
        if (t->nodes[i].parent != NONE || t->nodes[i].rooted)
            *--end = '/';
    }
    return end;
}

void pathtree_each(const struct pathtree *t, void (*each)(void *context, int32_t route, unsigned method, const char *path))
{
    char path[2 * PATH_BYTES];

    path[sizeof path - 1] = 0;
    for (uint32_t i = 0; i < t->node_count; i++) {
        if (!t->nodes[i].text || t->nodes[i].leaf == NONE)
            continue;
        const char *begin = path_before(t, i, path + sizeof path - 1);
        for (uint32_t l = t->nodes[i].leaf; l != NONE; l = t->leaves[l].next)
            each(t->owner.context, t->leaves[l].route, t->leaves[l].method, begin);
    }
}
