/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze host`: says of a program, or of a running process, what perfshim can record of it and why not the rest. A script
 * leads to its interpreter, as it does in the kernel.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "escape.h"
#include "program.h"

#define SCRIPTS_MAX 4 /* the kernel's own limit of "#!" in "#!" */
#define PATH_BYTES 4096

enum reach { WHOLE, PARTLY, NOTHING }; /* also the exit code */

static const char *const reach_text[] = {[WHOLE] = "can be recorded", [PARTLY] = "can be recorded in part",
                                         [NOTHING] = "cannot be recorded"};

/* --- what stands in the way: the first reason that leaves nothing hides the others --- */

static bool is_no_elf(const struct program *p) { return !p->elf; }
static bool is_no_program(const struct program *p) { return !p->executable; }
static bool is_foreign(const struct program *p) { return !p->x86_64; }
static bool is_static_go(const struct program *p) { return p->go && !p->interpreter[0]; }
static bool is_static(const struct program *p) { return !p->interpreter[0] && !p->linker; }
static bool is_musl(const struct program *p) { return strstr(p->interpreter, "musl"); }
static bool is_set_id(const struct program *p) { return p->set_user || p->set_group; }
static bool has_capabilities(const struct program *p) { return p->capabilities; }
static bool is_go(const struct program *p) { return p->go; }
static bool defines_malloc(const struct program *p) { return p->defines_malloc; }
static bool has_allocator(const struct program *p) { return p->has_allocator && !p->defines_malloc; }
static bool defines_tls(const struct program *p) { return p->defines_tls; }

static const struct obstacle {
    bool (*stands)(const struct program *p);
    enum reach leaves;
    const char *text;
} obstacles[] = {
    {is_no_elf, NOTHING, "it is neither an ELF program nor a script"},
    {is_no_program, NOTHING, "it is an object file or a core, no program"},
    {is_foreign, NOTHING, "it is not for 64-bit x86: the library is"},
    {is_static_go, NOTHING, "a Go program, statically linked: no dynamic linker loads the library into it"},
    {is_static, NOTHING, "statically linked (it names no interpreter): no dynamic linker loads the library into it"},
    {is_musl, NOTHING, "linked with musl: the library needs glibc, and with LD_PRELOAD the program may not even start"},
    {is_set_id, NOTHING, "set-user-ID or set-group-ID: the dynamic linker drops LD_PRELOAD, unless its owner starts it"},
    {has_capabilities, NOTHING, "it has file capabilities: the dynamic linker drops LD_PRELOAD, unless root starts it"},
    {is_go, PARTLY,
     "a Go program: its network calls are raw system calls and its heap is its own; only what cgo allocates, mappings "
     "and threads made through libc are seen"},
    {defines_malloc, PARTLY, "it defines malloc itself: calls of it pass no library, its heap is not seen"},
    {has_allocator, PARTLY, "an allocator of its own is inside it: what it allocates by that is not seen"},
    {defines_tls, PARTLY, "a TLS library is inside it: of encrypted connections there are bytes and times, no routes"},
};

/* In lines of 80 columns, the first indented by 2, the others by 4. */
static void print_line(const char *text)
{
    size_t column = 2;

    fputs("  ", stdout);
    for (bool fresh = true; *text; fresh = false) {
        size_t n = strcspn(text, " ");
        if (!fresh && column + 1 + n > 80)
            column = (size_t)printf("\n    %.*s", (int)n, text) - 1;
        else
            column += (size_t)printf("%s%.*s", fresh ? "" : " ", (int)n, text);
        text += n + strspn(text + n, " ");
    }
    putchar('\n');
}

static enum reach judge(const struct program *p, const char *reasons[], size_t *count)
{
    enum reach reach = WHOLE;

    *count = 0;
    for (size_t i = 0; i < sizeof obstacles / sizeof obstacles[0]; i++) {
        if (!obstacles[i].stands(p))
            continue;
        reasons[(*count)++] = obstacles[i].text;
        reach = obstacles[i].leaves;
        if (reach == NOTHING) {
            reasons[0] = obstacles[i].text;
            *count = 1;
            break;
        }
    }
    return reach;
}

/* --- from what was named to the file that runs --- */

static bool search(char out[PATH_BYTES], const char *name)
{
    const char *list = getenv("PATH");

    for (const char *end; list && *list; list = *end ? end + 1 : end) {
        end = strchrnul(list, ':');
        int n = snprintf(out, PATH_BYTES, "%.*s/%s", (int)(end - list), list, name);
        if (n > 0 && n < PATH_BYTES && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

/* A name without a slash is looked for where it is, and then as the shell does. */
static void locate(char out[PATH_BYTES], const char *name)
{
    if (strchr(name, '/') || access(name, F_OK) == 0 || !search(out, name))
        snprintf(out, PATH_BYTES, "%s", name);
}

static int fail(const char *name, const struct error *e)
{
    error_print(e, name);
    return NOTHING;
}

/* The program at path, or behind the scripts that begin there. */
static int follow(struct program *p, char path[PATH_BYTES], struct error *e)
{
    for (unsigned i = 0; i <= SCRIPTS_MAX; i++) {
        if (program_read(p, path, e) < 0)
            return -1;
        if (!p->script)
            return 0;
        const char *slash = strrchr(p->interpreter, '/');
        bool env = slash && strcmp(slash, "/env") == 0 && p->argument[0] && p->argument[0] != '-';
        printf("  a script, run by %s%s%s\n", p->interpreter, env ? " " : "", env ? p->argument : "");
        locate(path, env ? p->argument : p->interpreter);
    }
    return error_set(e, ERROR_NO_OFFSET, "a script of a script of a script");
}

/* --- running processes --- */

static bool file_has(const char *path, const char *word)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *f = fopen(path, "r");

    while (f && !found && getdelim(&line, &room, strstr(path, "environ") ? '\0' : '\n', f) > 0)
        found = strstr(line, word);
    if (f)
        fclose(f);
    free(line);
    return found;
}

static void print_process(const char *pid)
{
    char maps[64], environment[64];

    snprintf(maps, sizeof maps, "/proc/%s/maps", pid);
    snprintf(environment, sizeof environment, "/proc/%s/environ", pid);
    if (access(maps, R_OK) < 0)
        return;
    if (file_has(maps, "libperfshim.so"))
        print_line("running with libperfshim.so");
    else if (file_has(environment, "libperfshim.so"))
        print_line("running without libperfshim.so, though LD_PRELOAD names it");
    else
        print_line("running without libperfshim.so: it must be started with LD_PRELOAD");
}

static bool is_pid(const char *name)
{
    return *name && name[strspn(name, "0123456789")] == '\0' && strlen(name) < 12 && access(name, F_OK) < 0;
}

static int host(const char *name)
{
    const char *reasons[sizeof obstacles / sizeof obstacles[0]];
    struct error e = {.text = ""};
    char path[PATH_BYTES];
    struct program p;
    size_t count;

    if (is_pid(name))
        snprintf(path, sizeof path, "/proc/%s/exe", name);
    else
        locate(path, name);
    escape_print(stdout, name, strlen(name));
    putchar('\n');
    if (is_pid(name))
        print_process(name);
    if (follow(&p, path, &e) < 0)
        return fail(path, &e);
    enum reach reach = judge(&p, reasons, &count);
    print_line(reach_text[reach]);
    for (size_t i = 0; i < count; i++)
        print_line(reasons[i]);
    return reach;
}

int cmd_host(const struct cli *c)
{
    int worst = WHOLE;

    for (size_t i = 0; i < c->program_count; i++) {
        int reach = host(c->programs[i]);
        if (reach > worst)
            worst = reach;
    }
    return worst;
}
