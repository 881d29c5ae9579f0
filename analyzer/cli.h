/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of commands and one of options (cli.c), which give the parser and `--help` alike.
 *
 * A new option is a field of struct cli and a row of the option table; a new command is a row of the command table.
 */
#ifndef PERFSHIM_CLI_H
#define PERFSHIM_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"
#include "reader.h"
#include "symbols.h"

enum cli_exit {
    CLI_FINE = 0,
    CLI_FAILED = 1,     /* a verdict or target failed */
    CLI_UNUSABLE = 2,   /* usage, or input that cannot be read */
    CLI_INCOMPLETE = 3, /* --strict, and the input is truncated or lossy */
};

#define CLI_PROGRAMS_MAX 64
#define CLI_SITES_MAX 100000
#define CLI_SLOWEST_MAX 1000

struct cli {
    const char *command; /* as in the table: "report" if none was given */
    const char *file;    /* NULL only with help or version; of `host` the first of programs */
    const char *programs[CLI_PROGRAMS_MAX]; /* of `host` */
    size_t program_count;
    bool json;
    size_t sites;      /* of each order; 0: as many as there is room for */
    size_t slowest;    /* requests to be shown one by one */
    size_t thread;     /* of `dump`: the tid; 0: not given */
    const char *sort;  /* live, growth, rate, count, temporary or peak; NULL: not given */
    const char *routes; /* file of path templates; NULL: not given */
    const char *maps;  /* directory of the lists of JITs; NULL: not given */
    const char *folded, *pprof; /* of `export`: files to write, "-": standard output; NULL: not given */
    const char *value, *unit;   /* of `export --folded`: live, allocated, temporary, growth or peak; bytes or count; NULL: not given */
    double leak_mb, monitor_mb, leak_count; /* thresholds of verdicts; 0: not given */
    int64_t since_ns, until_ns; /* from the trace's start: what is judged, or dumped; INT64_MIN, INT64_MAX: not given */
    int64_t warm_up_ns;         /* of what is judged; -1: not given */
    bool exchanges; /* of `dump`: those, not events */
    bool columns; /* of `info` */
    bool strict;  /* CLI_INCOMPLETE rather than a report that is silent towards scripts */
    bool help;    /* command says of what; NULL: of the program */
    bool version;
};

/* 0 and *c, or -1 with *e saying what is wrong and what was perhaps meant. The texts are argv's. */
int cli_parse(struct cli *c, int argc, char **argv, struct error *e);

/* Help for a command, or for the program if it is NULL; 80 columns. */
void cli_help(FILE *out, const char *command);

/* Runs c->command; its exit code. */
int cli_run(const struct cli *c);

/* For the beginning of a command: waits for a recorder that is about to finish (wait.h), and says on standard error if what
 * there is to read is not the whole run. */
void cli_wait(const struct cli *c);

/* The symbols for a trace, with the lists of JITs that are to be trusted: those of this machine's /tmp if they were written by the
 * user who recorded or by this one while the process ran; those of --maps at any time. NULL if memory is short. */
struct symbols *cli_symbols(const struct cli *c, const struct reader *r);

/* Says on standard error which lists of JITs were not read, or not to their end, and frees the symbols; may be NULL. */
void cli_symbols_end(struct symbols *s);

/* For the end of a command that has read the whole trace: says on standard error what of it was left out as damaged, and
 * gives CLI_FINE, or with --strict CLI_INCOMPLETE if that or anything else is missing. */
enum cli_exit cli_completeness(const struct cli *c, const struct reader *r, uint64_t lost_events);

/* The commands. They print their results to standard output and their errors to standard error, and give an enum
 * cli_exit. */
int cmd_report(const struct cli *c);
int cmd_dump(const struct cli *c);
int cmd_info(const struct cli *c);
int cmd_export(const struct cli *c);
int cmd_host(const struct cli *c); /* its exit codes differ: 0 recordable, 1 in part, 2 not */

#endif
