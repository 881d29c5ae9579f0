/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates stand in a tree by their segments. A match goes down the most specific child first and turns back where that leads
 * nowhere; as each node is at one depth, it looks at no node twice.
 */
#include "routefile.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX_BYTES (16 << 20)
#define METHOD_MAX_BYTES 31
#define NONE UINT32_MAX

enum kind { LITERAL, PARTLY, PARAMETER, REST }; /* the most specific first */

struct node {
    char *text; /* the segment; its parameters as {} */
    enum kind kind;
    uint32_t child, next; /* next: of the same parent, the most specific first */
    uint32_t end; /* the first template that ends here */
};

struct template {
    char *path;
    char method[METHOD_MAX_BYTES + 1]; /* "": any */
    unsigned line;
    uint32_t next; /* that ends at the same node */
};

struct routefile {
    struct node *nodes; /* the first is the root */
    size_t node_count, node_room;
    struct template *templates;
    size_t count, room;
};

/* --- the tree --- */

static void *room_for(void *array, size_t count, size_t *room, size_t bytes)
{
    if (count < *room)
        return array;
    size_t wanted = *room ? 2 * *room : 64;
    void *grown = realloc(array, wanted * bytes);
    if (grown)
        *room = wanted;
    return grown;
}

static uint32_t node_make(struct routefile *f, const char *text, size_t n, enum kind kind)
{
    struct node *nodes = room_for(f->nodes, f->node_count, &f->node_room, sizeof *nodes);
    char *copy = strndup(text, n);

    if (nodes)
        f->nodes = nodes;
    if (!nodes || !copy) {
        free(copy);
        return NONE;
    }
    f->nodes[f->node_count] = (struct node){.text = copy, .kind = kind, .child = NONE, .next = NONE, .end = NONE};
    return (uint32_t)f->node_count++;
}

/* Does a come before b? Of two that have literal bytes beside parameters, the one with more of them. */
static bool is_before(const struct node *a, const struct node *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind;
    size_t n = strlen(a->text), m = strlen(b->text);
    return n != m ? n > m : strcmp(a->text, b->text) < 0;
}

static uint32_t child_of(struct routefile *f, uint32_t parent, const char *text, size_t n, enum kind kind)
{
    for (uint32_t c = f->nodes[parent].child; c != NONE; c = f->nodes[c].next)
        if (f->nodes[c].kind == kind && strlen(f->nodes[c].text) == n && memcmp(f->nodes[c].text, text, n) == 0)
            return c;
    uint32_t made = node_make(f, text, n, kind);
    if (made == NONE)
        return NONE;
    uint32_t *at = &f->nodes[parent].child;
    while (*at != NONE && is_before(&f->nodes[*at], &f->nodes[made]))
        at = &f->nodes[*at].next;
    f->nodes[made].next = *at;
    *at = made;
    return made;
}

/* --- templates --- */

static int wrong(struct error *e, unsigned line, const char *what)
{
    return error_set(e, ERROR_NO_OFFSET, "line %u: %s", line, what);
}

static int no_memory(struct error *e) { return error_set(e, ERROR_NO_OFFSET, "not enough memory"); }

/* A segment as a node has it: parameters are {}, what is between them is spelled as in requests. Gives its length, -1 with *e. */
static long segment_make(char *out, size_t room, const char *p, size_t n, enum kind *kind, unsigned line, struct error *e)
{
    size_t used = 0;

    *kind = LITERAL;
    for (size_t i = 0; i < n;) {
        size_t plain = 0;
        while (i + plain < n && p[i + plain] != '{' && p[i + plain] != '}')
            plain++;
        used += template_spell(out + used, room - used, p + i, plain);
        i += plain;
        if (i == n)
            break;
        const char *close = p[i] == '{' ? memchr(p + i, '}', n - i) : NULL;
        if (!close || close == p + i + 1 || memchr(p + i + 1, '{', (size_t)(close - p) - i - 1))
            return wrong(e, line, "a parameter is a name in braces: {name}");
        if (used >= 2 && out[used - 1] == '}')
            return wrong(e, line, "there must be something between two parameters");
        if (used + 2 > room)
            break;
        out[used++] = '{';
        out[used++] = '}';
        *kind = PARTLY;
        i = (size_t)(close - p) + 1;
    }
    if (used + 3 > room)
        return wrong(e, line, "the path is too long");
    if (used == 2 && *kind == PARTLY)
        *kind = PARAMETER;
    return (long)used;
}

/* Makes the nodes of a path; gives the last, NONE with *e. */
static uint32_t nodes_make(struct routefile *f, const char *path, size_t n, unsigned line, struct error *e)
{
    const char *end = path + n;
    uint32_t node = 0;
    unsigned depth = 0;

    while (path++ < end) { /* from a slash to behind the next one */
        const char *slash = memchr(path, '/', (size_t)(end - path)), *stop = slash ? slash : end;
        char text[TEMPLATE_PATH_MAX];
        enum kind kind = REST;
        bool rest = stop == path + 1 && *path == '*';
        long bytes = rest ? 1 : segment_make(text, sizeof text, path, (size_t)(stop - path), &kind, line, e);
        if (bytes < 0)
            return NONE;
        if (rest && slash) {
            wrong(e, line, "* can only be the last segment");
            return NONE;
        }
        if (++depth == TEMPLATE_SEGMENTS_MAX) {
            wrong(e, line, "the path has too many segments");
            return NONE;
        }
        node = child_of(f, node, rest ? "*" : text, (size_t)bytes, kind);
        if (node == NONE) {
            no_memory(e);
            return NONE;
        }
        path = stop;
    }
    return node;
}

static int add(struct routefile *f, const char *method, size_t method_bytes, const char *path, size_t n, unsigned line,
               struct error *e)
{
    struct template t = {.line = line, .next = NONE};

    if (!n || *path != '/')
        return wrong(e, line, "a path begins with a slash");
    if (n > TEMPLATE_PATH_MAX)
        return wrong(e, line, "the path is too long");
    if (method_bytes > METHOD_MAX_BYTES)
        return wrong(e, line, "the method is too long");
    for (size_t i = 0; i < method_bytes; i++)
        t.method[i] = (char)(method[i] >= 'a' && method[i] <= 'z' ? method[i] - 'a' + 'A' : method[i]);
    if (f->count == ROUTEFILE_TEMPLATES_MAX)
        return wrong(e, line, "there are too many templates: 10000 at most");
    uint32_t node = nodes_make(f, path, n, line, e);
    if (node == NONE)
        return -1;
    for (uint32_t i = f->nodes[node].end; i != NONE; i = f->templates[i].next)
        if (strcmp(f->templates[i].method, t.method) == 0)
            return error_set(e, ERROR_NO_OFFSET, "line %u: the same route as in line %u", line, f->templates[i].line);
    struct template *templates = room_for(f->templates, f->count, &f->room, sizeof *templates);
    if (templates)
        f->templates = templates;
    t.path = templates ? strndup(path, n) : NULL;
    if (!t.path)
        return no_memory(e);
    t.next = f->nodes[node].end;
    f->nodes[node].end = (uint32_t)f->count;
    f->templates[f->count++] = t;
    return 0;
}

/* --- lines --- */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* The next word of a line, without the comment; 0 bytes: there is none. */
static size_t word(const char **p, const char *end)
{
    const char *stop;

    while (*p < end && is_space(**p))
        (*p)++;
    if (*p < end && **p == '#')
        return 0;
    for (stop = *p; stop < end && !is_space(*stop); stop++)
        ;
    return (size_t)(stop - *p);
}

static int parse_line(struct routefile *f, const char *p, const char *end, unsigned line, struct error *e)
{
    size_t n = word(&p, end), method_bytes = 0;
    const char *method = p;

    if (!n)
        return 0;
    if (*p != '/') {
        for (size_t i = 0; i < n; i++)
            if ((unsigned)((p[i] | 0x20) - 'a') >= 26)
                return wrong(e, line, n >= 8 && memcmp(p, "openapi:", 8) == 0
                                          ? "YAML is not read: give an OpenAPI document as JSON"
                                          : "expected is a path, or a method and a path");
        method_bytes = n;
        p += n;
        n = word(&p, end);
        if (!n)
            return wrong(e, line, "there is no path behind the method");
    }
    const char *path = p;
    size_t path_bytes = n;
    p += n;
    if (word(&p, end))
        return wrong(e, line, "there is more than a method and a path");
    return add(f, method, method_bytes, path, path_bytes, line, e);
}

static int parse_lines(struct routefile *f, const char *text, size_t bytes, struct error *e)
{
    const char *end = text + bytes;

    for (unsigned line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (parse_line(f, text, stop ? stop : end, line, e) < 0)
            return -1;
        text = stop ? stop + 1 : end;
    }
    return 0;
}

/* --- OpenAPI --- */

/* A document, and where its lines are. */
struct document {
    const char *text;
    size_t bytes;
};

static unsigned line_at(const struct document *d, const char *p)
{
    unsigned line = 1;

    for (const char *at = d->text; at < p && (at = memchr(at, '\n', (size_t)(p - at))); at++)
        line++;
    return line;
}

/* Of the key; of "paths" if it is spelled in another way in the text, and 1 if that is too. */
static unsigned line_of(const struct document *d, const char *key)
{
    size_t n = strlen(key);

    for (const char *p = d->text; (p = memmem(p, (size_t)(d->text + d->bytes - p), key, n)); p++)
        if (p > d->text && p[-1] == '"' && p[n] == '"')
            return line_at(d, p);
    return strcmp(key, "paths") == 0 ? 1 : line_of(d, "paths");
}

/* The path of a server's URL, with the defaults of its variables, without a slash at its end. */
static void base_path(char *out, size_t room, const cJSON *server)
{
    const cJSON *url = cJSON_GetObjectItemCaseSensitive(server, "url");
    const cJSON *variables = cJSON_GetObjectItemCaseSensitive(server, "variables");
    const char *p = cJSON_IsString(url) ? url->valuestring : "", *scheme = strstr(p, "://");
    size_t used = 0;

    p = scheme ? strchr(scheme + 3, '/') : p;
    if (p && *p && *p != '/')
        out[used++] = '/';
    for (; p && *p && *p != '?' && *p != '#' && used + 1 < room; p++) {
        size_t n = *p == '{' ? strcspn(p, "}") : 0;
        char name[64];
        if (n && p[n] && n < sizeof name) {
            memcpy(name, p + 1, n - 1);
            name[n - 1] = 0;
            const cJSON *value = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(variables, name), "default");
            if (cJSON_IsString(value) && used + strlen(value->valuestring) < room) {
                used += strlen(strcpy(out + used, value->valuestring));
                p += n;
                continue;
            }
        }
        out[used++] = *p;
    }
    while (used && out[used - 1] == '/')
        used--;
    out[used] = 0;
}

static int add_operations(struct routefile *f, const struct document *d, const char *base, const cJSON *item, struct error *e)
{
    static const char *const methods[] = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"};
    char path[2 * TEMPLATE_PATH_MAX];
    unsigned line = line_of(d, item->string);
    int n = snprintf(path, sizeof path, "%s%s", base, item->string);

    if (*item->string != '/')
        return wrong(e, line, "a path begins with a slash");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (cJSON_GetObjectItemCaseSensitive(item, methods[i]) &&
            add(f, methods[i], strlen(methods[i]), path, n < (int)sizeof path ? (size_t)n : sizeof path - 1, line, e) < 0)
            return -1;
    return 0;
}

/* An item below each different base path of its servers, or of the document's. */
static int add_item(struct routefile *f, const struct document *d, const cJSON *root, const cJSON *item, struct error *e)
{
    const cJSON *servers = cJSON_GetObjectItemCaseSensitive(item, "servers"), *server, *before;

    if (!cJSON_IsArray(servers) || !servers->child)
        servers = cJSON_GetObjectItemCaseSensitive(root, "servers");
    if (!cJSON_IsArray(servers) || !servers->child)
        return add_operations(f, d, "", item, e);
    cJSON_ArrayForEach(server, servers) {
        char base[TEMPLATE_PATH_MAX], other[TEMPLATE_PATH_MAX];
        bool again = false;
        base_path(base, sizeof base, server);
        for (before = servers->child; before != server && !again; before = before->next) {
            base_path(other, sizeof other, before);
            again = strcmp(base, other) == 0;
        }
        if (!again && add_operations(f, d, base, item, e) < 0)
            return -1;
    }
    return 0;
}

static int add_document(struct routefile *f, const struct document *d, const cJSON *root, struct error *e)
{
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "openapi");
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(root, "paths"), *item;

    if (!cJSON_IsString(version) || strncmp(version->valuestring, "3.", 2) != 0)
        return wrong(e, version ? line_of(d, "openapi") : 1, "expected is an OpenAPI 3 document: \"openapi\": \"3...\"");
    if (!cJSON_IsObject(paths))
        return wrong(e, paths ? line_of(d, "paths") : 1, "the document has no object \"paths\"");
    cJSON_ArrayForEach(item, paths)
        if (strncmp(item->string, "x-", 2) != 0 && add_item(f, d, root, item, e) < 0)
            return -1;
    return 0;
}

static int parse_document(struct routefile *f, const struct document *d, struct error *e)
{
    const char *end = d->text;
    cJSON *root = cJSON_ParseWithLengthOpts(d->text, d->bytes + 1, &end, true);
    int result = root ? add_document(f, d, root, e) : wrong(e, line_at(d, end), "this is not JSON");

    cJSON_Delete(root);
    return result;
}

/* --- files --- */

struct routefile *routefile_parse(const char *text, size_t bytes, struct error *e)
{
    struct routefile *f = calloc(1, sizeof *f);
    const struct document d = {text, bytes};

    if (!f || node_make(f, "", 0, LITERAL) == NONE)
        no_memory(e);
    else if (strlen(text) != bytes)
        wrong(e, line_at(&d, text + strlen(text)), "this is no text: it has a zero byte");
    else if ((text[strspn(text, " \t\r\n")] == '{' ? parse_document(f, &d, e) : parse_lines(f, text, bytes, e)) == 0)
        return f;
    routefile_free(f);
    return NULL;
}

static char *read_text(FILE *in, size_t *bytes, struct error *e)
{
    struct stat st;
    char *text = fstat(fileno(in), &st) == 0 && st.st_size <= FILE_MAX_BYTES ? malloc(FILE_MAX_BYTES + 1) : NULL;

    *bytes = text ? fread(text, 1, FILE_MAX_BYTES + 1, in) : 0;
    if (!text || ferror(in) || *bytes > FILE_MAX_BYTES) {
        error_set(e, ERROR_NO_OFFSET, ferror(in) ? "cannot be read: %m" : "is too large: 16 MB is the most");
        free(text);
        return NULL;
    }
    text[*bytes] = 0;
    return text;
}

struct routefile *routefile_read(const char *path, struct error *e)
{
    FILE *in = fopen(path, "re");
    size_t bytes;

    if (!in) {
        error_set(e, ERROR_NO_OFFSET, "cannot be opened: %m");
        return NULL;
    }
    char *text = read_text(in, &bytes, e);
    fclose(in);
    struct routefile *f = text ? routefile_parse(text, bytes, e) : NULL;
    free(text);
    return f;
}

void routefile_free(struct routefile *f)
{
    for (size_t i = 0; f && i < f->node_count; i++)
        free(f->nodes[i].text);
    for (size_t i = 0; f && i < f->count; i++)
        free(f->templates[i].path);
    if (f) {
        free(f->nodes);
        free(f->templates);
    }
    free(f);
}

const char *routefile_path(const struct routefile *f, int32_t index) { return f->templates[index].path; }

size_t routefile_count(const struct routefile *f) { return f->count; }

/* --- matching --- */

/* Does the segment fit a pattern of literal bytes and {}, each of which takes a byte or more? */
static bool fits(const char *pattern, const char *p, size_t n)
{
    const char *end = p + n, *again = NULL, *taken = NULL;

    for (;;) {
        if (pattern[0] == '{' && p < end) {
            pattern += 2;
            p++;
            again = pattern; /* of the last {}: what follows it, and how far it went */
            taken = p;
        } else if (!*pattern && p == end) {
            return true;
        } else if (*pattern && *pattern != '{' && p < end && *pattern == *p) {
            pattern++;
            p++;
        } else if (again && taken < end) {
            pattern = again;
            p = ++taken;
        } else {
            return false;
        }
    }
}

static bool node_fits(const struct node *n, const char *segment, size_t bytes)
{
    switch (n->kind) {
    case LITERAL: return strlen(n->text) == bytes && memcmp(n->text, segment, bytes) == 0;
    case PARTLY: return fits(n->text, segment, bytes);
    case PARAMETER: return bytes > 0;
    default: return true;
    }
}

/* The template of a node that is of the method, else the one of any. */
static int32_t template_of(const struct routefile *f, uint32_t node, const char *method, size_t method_bytes)
{
    int32_t any = ROUTEFILE_NONE;

    for (uint32_t i = f->nodes[node].end; i != NONE; i = f->templates[i].next) {
        const char *its = f->templates[i].method;
        if (!*its)
            any = (int32_t)i;
        else if (strlen(its) == method_bytes && memcmp(its, method, method_bytes) == 0)
            return (int32_t)i;
    }
    return any;
}

static int32_t match(const struct routefile *f, uint32_t node, unsigned depth, const char *method, size_t method_bytes,
                     const struct template_path *path)
{
    if (depth == path->count)
        return template_of(f, node, method, method_bytes);
    for (uint32_t c = f->nodes[node].child; c != NONE; c = f->nodes[c].next) {
        if (!node_fits(&f->nodes[c], template_segment(path, depth), template_bytes(path, depth)))
            continue;
        int32_t found = f->nodes[c].kind == REST ? template_of(f, c, method, method_bytes)
                                                 : match(f, c, depth + 1, method, method_bytes, path);
        if (found != ROUTEFILE_NONE)
            return found;
    }
    return ROUTEFILE_NONE;
}

int32_t routefile_match(const struct routefile *f, const char *method, size_t method_bytes, const struct template_path *path)
{
    return path->rooted ? match(f, 0, 0, method, method_bytes, path) : ROUTEFILE_NONE;
}
