/* SPDX-License-Identifier: Apache-2.0 */
#include "collector.h"

#include <string.h>

static const struct {
    const char *file; /* how the name of the program or library begins */
    const char *collector;
} known[] = {
    {"node", "V8"},       {"libnode.so", "V8"},      {"libv8.so", "V8"},          {"deno", "V8"},
    {"java", "the JVM"},  {"libjvm.so", "the JVM"},  {"ruby", "Ruby"},            {"libruby", "Ruby"},
    {"dotnet", ".NET"},   {"libcoreclr.so", ".NET"}, {"libmono", "Mono"},         {"mono", "Mono"},
    {"beam.smp", "BEAM"}, {"bun", "JavaScriptCore"}, {"libmozjs", "SpiderMonkey"}, {"luajit", "LuaJIT"},
};

static const char *collector_in(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;

    for (size_t i = 0; name && i < sizeof known / sizeof known[0]; i++)
        if (strncmp(name, known[i].file, strlen(known[i].file)) == 0)
            return known[i].collector;
    return NULL;
}

const char *collector_of(const struct process_table *t)
{
    for (size_t i = 0; i < process_count(t); i++) {
        const struct process *p = process_at(t, i);
        const char *found = collector_in(p->exe);
        for (size_t k = 0; !found && k < p->module_count; k++)
            found = collector_in(p->modules[k].path);
        if (found)
            return found;
    }
    return NULL;
}
