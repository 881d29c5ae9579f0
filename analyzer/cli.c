/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options may stand before and after the command and the file; "--" ends them. A first operand that is a command's name is
 * the command (./report is a file of that name).
 */
#include "cli.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "wait.h"

enum { REPORT = 1, DUMP = 2, INFO = 4, HOST = 8, EXPORT = 16, SITES = REPORT | EXPORT, TRACES = SITES | DUMP | INFO, ALL = TRACES | HOST };

struct command_row {
    const char *name;
    unsigned bit;
    int (*run)(const struct cli *c);
    const char *summary;
    const char *about; /* what `COMMAND --help` says */
};

static const struct command_row commands[] = {
    {"report", REPORT, cmd_report, "latency per route, memory growth, verdicts (the default)",
     "Reads a trace and reports verdicts, routes with their latency and memory,\n"
     "growth, sites that allocate, descriptors, what was lost and what the shim cost."},
    {"dump", DUMP, cmd_dump, "one line an event, in the order of time",
     "Prints all events in the order of time: seconds since the start of the trace,\n"
     "pid/tid (tid 0: the recorder), the event's name, and its fields. Durations are\n"
     "in nanoseconds; ? is a value that is not known. With --exchanges: a line for\n"
     "each request when its head was read or written, and one for each exchange\n"
     "when all is known of it; upstream ones with what caused them, if proven."},
    {"info", INFO, cmd_info, "what the file holds: processes, chunks, losses, settings",
     "Checks every chunk of a trace and says what the file holds: versions, clock,\n"
     "sizes, losses, damage, settings, the recorder's cost, and the processes."},
    {"export", EXPORT, cmd_export, "call stacks for flame graphs and pprof",
     "Writes what each call stack allocated and holds in a form that other tools open:\n"
     "folded stacks, a line each, for flame graphs; or a profile for pprof, which has\n"
     "allocated and live objects and bytes at once. FILE is the trace; - as the name\n"
     "of an output is standard output."},
    {"host", HOST, cmd_host, "what perfshim can record of a PROGRAM or process, and why not all",
     "Reads programs, given by name or path, or those of running processes, given by\n"
     "number, and says what perfshim can record of them. Nothing is run. Exit status:\n"
     "0 all of it, 1 a part, 2 nothing."},
};

/* NUMBER, SLOW_COUNT and THREAD_ID: from 1 to their own maximum. TIME: since the start of the trace. */
enum option_kind { SWITCH, TEXT, NUMBER, SLOW_COUNT, THREAD_ID, AMOUNT, TIME };

/* `to` is the field of struct cli: a bool, a const char *, a size_t, a double, or for TIME an int64_t of nanoseconds. */
struct option_row {
    const char *name;
    char letter; /* 0: none */
    unsigned commands;
    enum option_kind kind;
    size_t to;
    const char *argument; /* NULL for switches */
    const char *summary;
    const char *words; /* of a TEXT: those that it may be, with spaces around each; NULL: any */
};

static const struct option_row options[] = {
    {"json", 0, REPORT, SWITCH, offsetof(struct cli, json), NULL, "print the report as JSON (schema perfshim.report/1)", NULL},
    {"sites", 0, REPORT, NUMBER, offsetof(struct cli, sites), "N", "show N call stacks by each order", NULL},
    {"sort", 0, REPORT, TEXT, offsetof(struct cli, sort), "ORDER",
     "show call stacks by one order: live, growth, rate\n(bytes a second), count (objects a second),\ntemporary or peak",
     " live growth rate count temporary peak "},
    {"slowest", 0, REPORT, SLOW_COUNT, offsetof(struct cli, slowest), "N", "show the N slowest requests one by one", NULL},
    {"thread", 0, DUMP, THREAD_ID, offsetof(struct cli, thread), "TID", "only events of threads of that number", NULL},
    {"routes", 0, REPORT, TEXT, offsetof(struct cli, routes), "FILE",
     "take path templates from FILE: one a line, as\nGET /users/{id}, or an OpenAPI 3 document in JSON", NULL},
    {"folded", 0, EXPORT, TEXT, offsetof(struct cli, folded), "OUT", "write folded stacks, as flame graphs are made from", NULL},
    {"value", 0, EXPORT, TEXT, offsetof(struct cli, value), "WHAT",
     "of --folded: live (the default), allocated, temporary,\ngrowth (an hour) or peak", " live allocated temporary growth peak "},
    {"unit", 0, EXPORT, TEXT, offsetof(struct cli, unit), "UNIT", "of --folded: bytes (the default) or count", " bytes count "},
    {"pprof", 0, EXPORT, TEXT, offsetof(struct cli, pprof), "OUT", "write a profile for pprof (profile.proto, gzip)", NULL},
    {"columns", 0, INFO, SWITCH, offsetof(struct cli, columns), NULL, "show how many bytes each column of the file takes", NULL},
    {"maps", 0, SITES, TEXT, offsetof(struct cli, maps), "DIR", "take the names of JIT code from DIR/perf-PID.map\nand DIR/jit-PID.dump", NULL},
    {"leak-mb", 0, REPORT, AMOUNT, offsetof(struct cli, leak_mb), "MB", "of growth an hour, from which on memory is a LEAK (50)", NULL},
    {"monitor-mb", 0, REPORT, AMOUNT, offsetof(struct cli, monitor_mb), "MB", "of growth an hour, up to which memory is NORMAL (10)", NULL},
    {"leak-count", 0, REPORT, AMOUNT, offsetof(struct cli, leak_count), "N",
     "of what is counted (descriptors, threads, ...) gained,\nfrom which on it is a LEAK (50)", NULL},
    {"since", 0, REPORT | DUMP, TIME, offsetof(struct cli, since_ns), "TIME",
     "judge growth, or dump events, from here on: 90s, 15m,\n1h30m, 1.25 from the trace's start", NULL},
    {"until", 0, REPORT | DUMP, TIME, offsetof(struct cli, until_ns), "TIME", "and up to here", NULL},
    {"warm-up", 0, REPORT, TIME, offsetof(struct cli, warm_up_ns), "TIME", "leave out so much of it (what looks like a warm-up)", NULL},
    {"exchanges", 0, DUMP, SWITCH, offsetof(struct cli, exchanges), NULL, "print requests and exchanges, not events", NULL},
    {"strict", 0, TRACES, SWITCH, offsetof(struct cli, strict), NULL,
     "exit with 3 if the trace is truncated or lost events;\nof a report, with 1 if a verdict is INCONCLUSIVE", NULL},
    {"help", 'h', ALL, SWITCH, offsetof(struct cli, help), NULL, "print this help", NULL},
    {"version", 'V', ALL, SWITCH, offsetof(struct cli, version), NULL, "print the version", NULL},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

typedef uint64_t option_set; /* a bit for each row */
_Static_assert(COUNT(options) <= 8 * sizeof(option_set), "an option has no bit");

static const struct command_row *find_command(const char *name)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* --- what was perhaps meant --- */

/* How many letters to add, drop or change (Levenshtein); words longer than WORD_MAX are no one's typing error. */
#define WORD_MAX 15
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], n = strlen(a), m = strlen(b);

    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

#define NEAR_ENOUGH 2

static int refuse_option(const char *argument, struct error *e)
{
    const char *name = argument + strspn(argument, "-"), *nearest = NULL;
    size_t best = NEAR_ENOUGH + 1;

    for (size_t i = 0; i < COUNT(options); i++) {
        size_t d = distance(name, options[i].name);
        if (d < best) {
            best = d;
            nearest = options[i].name;
        }
    }
    if (nearest)
        return error_set(e, ERROR_NO_OFFSET, "unknown option %s: did you mean --%s?", argument, nearest);
    return error_set(e, ERROR_NO_OFFSET, "unknown option %s: see perfanalyze --help", argument);
}

static int refuse_operand(const char *first, const char *extra, struct error *e)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (distance(first, commands[i].name) <= NEAR_ENOUGH)
            return error_set(e, ERROR_NO_OFFSET, "unknown command %s: did you mean %s?", first, commands[i].name);
    return error_set(e, ERROR_NO_OFFSET, "one FILE is expected, but %s was given too: see perfanalyze --help", extra);
}

/* --- parsing --- */

static int take_word(const struct option_row *o, const char *text, struct error *e)
{
    char word[32];

    if (o->words && (strchr(text, ' ') || snprintf(word, sizeof word, " %s ", text) >= (int)sizeof word ||
                     !strstr(o->words, word)))
        return error_set(e, ERROR_NO_OFFSET, "--%s cannot be '%s': it is one of%.*s", o->name, text,
                         (int)strlen(o->words) - 1, o->words);
    return *text ? 0 : error_set(e, ERROR_NO_OFFSET, "--%s needs a %s", o->name, o->argument);
}

static int take_number(const struct option_row *o, const char *text, unsigned long most, size_t *to, struct error *e)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value == 0 || value > most)
        return error_set(e, ERROR_NO_OFFSET, "--%s cannot be '%s': it is a number from 1 to %lu", o->name, text, most);
    *to = value;
    return 0;
}

#define AMOUNT_MAX 1e12

static int take_amount(const struct option_row *o, const char *text, double *to, struct error *e)
{
    char *end;
    double value = strtod(text, &end);

    if (*text < '0' || *text > '9' || *end || !(value > 0) || value > AMOUNT_MAX)
        return error_set(e, ERROR_NO_OFFSET, "--%s cannot be '%s': it is a number above 0", o->name, text);
    *to = value;
    return 0;
}

/* A number of seconds to the nanosecond, which a double would not hold, moving *p behind it. False: it is none. */
static bool take_decimal(const char **p, int64_t *ns)
{
    const char *digits = *p;
    int decimals = -1; /* no point yet */

    for (*ns = 0; (**p >= '0' && **p <= '9' && decimals < 9 && *ns < INT64_MAX / 100) || (**p == '.' && decimals < 0); (*p)++) {
        *ns = **p == '.' ? *ns : 10 * *ns + (**p - '0');
        decimals += **p == '.' || decimals >= 0;
    }
    bool good = *p > digits && !(*p == digits + 1 && *digits == '.');
    for (decimals = decimals < 0 ? 0 : decimals; good && decimals < 9; decimals++)
        good = !__builtin_mul_overflow(*ns, 10, ns);
    return good;
}

/* "90", "0.25" as `dump` prints it, "90s", "1h30m". */
static int take_time(const struct option_row *o, const char *text, int64_t *to, struct error *e)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const char *p = text + (*text == '-');
    int64_t sum = 0;
    bool good = true, bare;

    do {
        int64_t ns, seconds = 0;
        bare = sum == 0;
        good = take_decimal(&p, &ns);
        for (size_t i = 0; good && *p && i < COUNT(units); i++)
            if (*p == units[i].letter)
                seconds = units[i].seconds;
        if (good && !*p && bare)
            seconds = 1;
        good = good && seconds && !__builtin_mul_overflow(ns, seconds, &ns) && !__builtin_add_overflow(sum, ns, &sum);
        p += good && *p;
    } while (good && *p);
    if (!good)
        return error_set(e, ERROR_NO_OFFSET, "--%s cannot be '%s': it is a time as 90s, 15m, 1h30m or 1.25", o->name, text);
    *to = *text == '-' ? -sum : sum;
    return 0;
}

/* Sets the option's field. text: NULL if there is none. */
static int set_option(struct cli *c, const struct option_row *o, const char *text, struct error *e)
{
    void *to = (char *)c + o->to;

    if ((o->kind == SWITCH) != !text)
        return error_set(e, ERROR_NO_OFFSET, text ? "--%s takes no argument" : "--%s needs a %s", o->name, o->argument);
    if (o->kind == SWITCH)
        *(bool *)to = true;
    else if (o->kind == TEXT)
        *(const char **)to = text;
    switch (o->kind) {
    case SWITCH: return 0;
    case TEXT: return take_word(o, text, e);
    case NUMBER: return take_number(o, text, CLI_SITES_MAX, to, e);
    case SLOW_COUNT: return take_number(o, text, CLI_SLOWEST_MAX, to, e);
    case THREAD_ID: return take_number(o, text, UINT32_MAX, to, e);
    case AMOUNT: return take_amount(o, text, to, e);
    case TIME: return take_time(o, text, to, e);
    }
    return 0;
}

/* Takes an argument that is an option, and the next one if that is its own: gives how many it took, -1 with *e. */
static int take_option(struct cli *c, const char *argument, const char *next, option_set *used, struct error *e)
{
    size_t n = strcspn(argument, "=");

    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        bool is_long = argument[1] == '-' && strlen(o->name) == n - 2 && strncmp(argument + 2, o->name, n - 2) == 0;
        if (n == strlen("--warmup") && strncmp(argument, "--warmup", n) == 0) /* spelled as one word */
            is_long = strcmp(o->name, "warm-up") == 0;
        bool is_short = o->letter && argument[1] == o->letter && argument[2] == '\0';
        if (!is_long && !is_short)
            continue;
        *used |= (option_set)1 << i;
        bool joined = is_long && argument[n] == '=';
        bool takes_next = o->kind != SWITCH && !joined && next;
        if (set_option(c, o, joined ? argument + n + 1 : takes_next ? next : NULL, e) < 0)
            return -1;
        return takes_next ? 2 : 1;
    }
    return refuse_option(argument, e);
}

static int check_options(const struct command_row *command, option_set used, struct error *e)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (used & (option_set)1 << i && !(options[i].commands & command->bit))
            return error_set(e, ERROR_NO_OFFSET, "--%s is no option of %s: see perfanalyze %s --help", options[i].name,
                             command->name, command->name);
    return 0;
}

int cli_parse(struct cli *c, int argc, char **argv, struct error *e)
{
    const struct command_row *command = NULL;
    bool options_end = false;
    option_set used = 0;

    *c = (struct cli){.since_ns = INT64_MIN, .until_ns = INT64_MAX, .warm_up_ns = -1};
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (!options_end && argument[0] == '-') {
            int taken = 1;
            if (strcmp(argument, "--") == 0)
                options_end = true;
            else
                taken = take_option(c, argument, i + 1 < argc ? argv[i + 1] : NULL, &used, e);
            if (taken < 0)
                return -1;
            i += taken - 1;
        } else if (!command && !c->file && !options_end && find_command(argument)) {
            command = find_command(argument);
        } else if (!c->file) {
            c->file = c->programs[c->program_count++] = argument;
        } else if (command && command->bit == HOST && c->program_count < CLI_PROGRAMS_MAX) {
            c->programs[c->program_count++] = argument;
        } else {
            return refuse_operand(command ? "" : c->file, argument, e);
        }
    }
    c->command = command ? command->name : NULL;
    if (c->help || c->version)
        return 0;
    if (!command)
        command = &commands[0];
    c->command = command->name;
    if (!c->file)
        return error_set(e, ERROR_NO_OFFSET, "no FILE was given: see perfanalyze --help");
    return check_options(command, used, e);
}

int cli_run(const struct cli *c) { return find_command(c->command)->run(c); }

/* --- help --- */

/* A summary's further lines stand below the first. */
static void help_option(FILE *out, const struct option_row *o)
{
    char name[32];

    snprintf(name, sizeof name, o->argument ? "%s %s" : "%s", o->name, o->argument);
    fprintf(out, o->letter ? "  -%c, " : "      ", o->letter);
    fprintf(out, "--%-15s", name);
    for (const char *line = o->summary; *line;) {
        size_t n = strcspn(line, "\n");
        fprintf(out, "%*s%.*s\n", line == o->summary ? 0 : 23, "", (int)n, line);
        line += n + (line[n] != '\0');
    }
}

static void help_options(FILE *out, unsigned bits)
{
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].commands & bits)
            help_option(out, &options[i]);
}

static void help_program(FILE *out)
{
    fprintf(out, "Usage: perfanalyze [COMMAND] [OPTION]... FILE\n\n"
                 "Analyses a trace that a server recorded under libperfshim.so.\n\nCommands:\n");
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    help_options(out, ALL);
    fprintf(out, "\nExit status: 0 fine, 1 a verdict or target failed, 2 usage or unreadable input,\n"
                 "3 with --strict: the trace is truncated or lost events.\n\n"
                 "'perfanalyze COMMAND --help' says more of a command; so does perfanalyze(1).\n");
}

void cli_help(FILE *out, const char *command)
{
    const struct command_row *row = command ? find_command(command) : NULL;

    if (!row) {
        help_program(out);
        return;
    }
    fprintf(out, "Usage: perfanalyze %s [OPTION]... %s\n\n%s\n", row->name,
            row->bit == HOST ? "PROGRAM|PID..." : "FILE", row->about);
    help_options(out, row->bit);
}

/* --- the beginning and the end of a command --- */

void cli_wait(const struct cli *c)
{
    char note[WAIT_NOTE_BYTES];

    wait_for_recorder(c->file, note);
    if (note[0])
        fprintf(stderr, "perfanalyze: %s: note: %s\n", c->file, note);
}

struct symbols *cli_symbols(const struct cli *c, const struct reader *r)
{
    struct symbols *s = symbols_new();
    struct stat trace;

    if (s && stat(c->file, &trace) == 0)
        symbols_read_jit(s, &(struct jitnames_lists){.directory = c->maps ? c->maps : "/tmp", .any_time = c->maps != NULL,
                                                     .owner = trace.st_uid,
                                                     .start_wall_ns = reader_file_header(r)->start_wall_ns});
    return s;
}

void cli_symbols_end(struct symbols *s)
{
    const struct jitnames_fault *fault;

    for (size_t i = 0; s && (fault = symbols_jit_fault(s, i)); i++)
        error_print(&fault->error, fault->path);
    symbols_free(s);
}

enum cli_exit cli_completeness(const struct cli *c, const struct reader *r, uint64_t lost_events)
{
    struct reader_damage damage = reader_damage(r);
    struct error note = {.text = ""};

    if (damage.skipped_bytes > 0) {
        error_set(&note, damage.first_offset, "%" PRIu64 " bytes here or later are damaged and were left out",
                  damage.skipped_bytes);
        error_print(&note, c->file);
    }
    bool complete = damage.skipped_bytes == 0 && damage.ended && lost_events == 0;
    return c->strict && !complete ? CLI_INCOMPLETE : CLI_FINE;
}
