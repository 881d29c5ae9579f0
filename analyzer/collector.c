/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collectors by generations look at young objects often, and at old ones seldom. So what lived through a few of the former
 * and is then garbage (a session that was dropped after a second) stays, at one site and for one route, while all around
 * it is freed: no trace can tell it from a leak until everything was collected once. When that is at the latest their
 * defaults say: Ruby does it after at most 128 MB (RUBY_GC_OLDMALLOC_LIMIT_MAX) or when its old objects have doubled, V8
 * after 64 MB outside of its own heap (its soft limit of external memory). For those of which it is not known, what is
 * most of these is taken.
 */
#include "collector.h"

#include <string.h>

enum { V8, JVM, RUBY, DOTNET, MONO, BEAM, JSC, SPIDERMONKEY, PYPY };
static const struct collector collectors[] = {
    [V8] = {"V8", 64e6},
    [JVM] = {"the JVM", 128e6},
    [RUBY] = {"Ruby", 128e6},
    [DOTNET] = {".NET", 128e6},
    [MONO] = {"Mono", 128e6},
    [BEAM] = {"BEAM", 128e6},
    [JSC] = {"JavaScriptCore", 128e6},
    [SPIDERMONKEY] = {"SpiderMonkey", 128e6},
    [PYPY] = {"PyPy", 128e6},
};

static const struct {
    const char *file; /* how the name of the program or library begins */
    unsigned collector;
} known[] = {
    {"node", V8},         {"libnode.so", V8}, {"libv8.so", V8},           {"deno", V8},    {"java", JVM},       {"libjvm.so", JVM},
    {"ruby", RUBY},       {"libruby", RUBY},  {"dotnet", DOTNET},         {"libcoreclr.so", DOTNET},             {"libmono", MONO},
    {"mono", MONO},       {"bun", JSC},       {"libmozjs", SPIDERMONKEY}, {"beam.smp", BEAM}, {"pypy", PYPY},    {"libpypy", PYPY},
};

static const struct collector *collector_in(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

    for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++)
        if (strncmp(name, known[i].file, strlen(known[i].file)) == 0)
            return &collectors[known[i].collector];
    return NULL;
}

const struct collector *collector_of(const struct process_table *t)
{
    for (size_t i = 0; i < process_count(t); i++) {
        const struct process *p = process_at(t, i);
        const struct collector *found = collector_in(p->exe);
        for (size_t k = 0; !found && k < p->module_count; k++)
            found = collector_in(p->modules[k].path);
        if (found)
            return found;
    }
    return NULL;
}
