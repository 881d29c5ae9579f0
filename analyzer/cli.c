/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options may stand before and after the command and the file; "--" ends them. A first operand that is a command's name is
 * the command (./report is a file of that name).
 */
#include "cli.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "wait.h"

enum { REPORT = 1, DUMP = 2, INFO = 4, HOST = 8, TRACES = REPORT | DUMP | INFO, ALL = TRACES | HOST };

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
     "in nanoseconds; ? is a value that is not known."},
    {"info", INFO, cmd_info, "what the file holds: processes, chunks, losses, settings",
     "Checks every chunk of a trace and says what the file holds: versions, clock,\n"
     "sizes, losses, damage, settings, the recorder's cost, and the processes."},
    {"host", HOST, cmd_host, "what perfshim can record of a PROGRAM or process, and why not all",
     "Reads programs, given by name or path, or those of running processes, given by\n"
     "number, and says what perfshim can record of them. Nothing is run. Exit status:\n"
     "0 all of it, 1 a part, 2 nothing."},
};

/* All are switches. `to` is the field of struct cli. */
struct option_row {
    const char *name;
    char letter; /* 0: none */
    unsigned commands;
    size_t to;
    const char *summary;
};

static const struct option_row options[] = {
    {"json", 0, REPORT, offsetof(struct cli, json), "print the report as JSON (schema perfshim.report/1)"},
    {"strict", 0, TRACES, offsetof(struct cli, strict), "exit with 3 if the trace is truncated or lost events"},
    {"help", 'h', ALL, offsetof(struct cli, help), "print this help"},
    {"version", 'V', ALL, offsetof(struct cli, version), "print the version"},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

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

static int take_option(struct cli *c, const char *argument, unsigned *used, struct error *e)
{
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        bool is_long = argument[1] == '-' && strcmp(argument + 2, o->name) == 0;
        bool is_short = o->letter && argument[1] == o->letter && argument[2] == '\0';
        if (!is_long && !is_short)
            continue;
        *(bool *)((char *)c + o->to) = true;
        *used |= 1u << i;
        return 0;
    }
    return refuse_option(argument, e);
}

static int check_options(const struct command_row *command, unsigned used, struct error *e)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (used & 1u << i && !(options[i].commands & command->bit))
            return error_set(e, ERROR_NO_OFFSET, "--%s is no option of %s: see perfanalyze %s --help", options[i].name,
                             command->name, command->name);
    return 0;
}

int cli_parse(struct cli *c, int argc, char **argv, struct error *e)
{
    const struct command_row *command = NULL;
    bool options_end = false;
    unsigned used = 0;

    *c = (struct cli){.command = NULL};
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (!options_end && argument[0] == '-') {
            if (strcmp(argument, "--") == 0)
                options_end = true;
            else if (take_option(c, argument, &used, e) < 0)
                return -1;
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

static void help_options(FILE *out, unsigned bits)
{
    fprintf(out, "\nOptions:\n");
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        if (!(o->commands & bits))
            continue;
        fprintf(out, o->letter ? "  -%c, " : "      ", o->letter);
        fprintf(out, "--%-10s %s\n", o->name, o->summary);
    }
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
