/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module for Redis that keeps sessions outside the keyspace: `SESSIONS.ADD BYTES` makes one of that size and answers
 * how many were made. Loaded with the argument "all" it keeps all of them, else the last hundred.
 *
 * Debian has no package with redismodule.h, so the few calls that are needed are declared here, as they are documented:
 * a module asks for each by its name, through the function that its context begins with.
 */
#include <stdlib.h>
#include <string.h>

#define KEPT 100

typedef int command_fn(void *context, void **arguments, int count);
typedef int get_api_fn(const char *name, void *function);

struct session {
    struct session *older;
    char text[];
};

static int (*create_command)(void *, const char *, command_fn *, const char *, int, int, int);
static int (*reply_number)(void *, long long);
static const char *(*string_text)(const void *, size_t *);
static void (*set_attributes)(void *, const char *, int, int);
static void *(*allocate)(size_t);
static void (*release)(void *);

static struct session *newest, *ring[KEPT];
static long long made;
static int keep_all;

static __attribute__((noinline)) struct session *session_add(size_t bytes)
{
    struct session *s = allocate(bytes);

    memset(s->text, 'x', bytes - sizeof *s);
    s->older = newest;
    return s;
}

static int add_command(void *context, void **arguments, int count)
{
    long bytes = count == 2 ? strtol(string_text(arguments[1], NULL), NULL, 10) : 0;
    struct session *s = session_add(bytes > (long)sizeof *s ? (size_t)bytes : sizeof *s);

    if (keep_all) {
        newest = s;
    } else {
        release(ring[made % KEPT]);
        ring[made % KEPT] = s;
    }
    return reply_number(context, ++made);
}

int RedisModule_OnLoad(void *context, void **arguments, int count)
{
    get_api_fn *get = *(get_api_fn **)context;

    if (get("RedisModule_CreateCommand", &create_command) || get("RedisModule_ReplyWithLongLong", &reply_number) ||
        get("RedisModule_StringPtrLen", &string_text) || get("RedisModule_SetModuleAttribs", &set_attributes) ||
        get("RedisModule_Alloc", &allocate) || get("RedisModule_Free", &release))
        return 1;
    set_attributes(context, "sessions", 1, 1);
    keep_all = count > 0 && !strcmp(string_text(arguments[0], NULL), "all");
    return create_command(context, "sessions.add", add_command, "", 0, 0, 0);
}
