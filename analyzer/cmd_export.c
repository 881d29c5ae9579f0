/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze export`: what call stacks allocated and hold, for other tools. A regular file that could not be written whole is removed.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis.h"
#include "cli.h"
#include "error.h"
#include "export.h"

#define UNKNOWN_COUNT (-1)

/* By --value and --unit. */
static const struct {
    const char *value;
    int bytes, count;
} figures[] = {
    {"live", PLACE_LIVE_BYTES, PLACE_LIVE_OBJECTS},
    {"allocated", PLACE_ALLOC_BYTES, PLACE_ALLOC_COUNT},
    {"temporary", PLACE_TEMPORARY_BYTES, PLACE_TEMPORARY_COUNT},
    {"growth", PLACE_FIGURES, UNKNOWN_COUNT},
    {"peak", PLACE_PEAK_BYTES, UNKNOWN_COUNT},
};

static int figure_of(const struct cli *c)
{
    bool count = c->unit && strcmp(c->unit, "count") == 0;

    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (strcmp(c->value ? c->value : "live", figures[i].value) == 0)
            return count ? figures[i].count : figures[i].bytes;
    return UNKNOWN_COUNT;
}

struct source {
    const struct cli *cli;
    const struct places *places;
    struct symbols *symbols;
    struct export_run run;
};

static int write_folded(const struct source *s, FILE *out)
{
    return export_folded(s->places, s->symbols, (enum place_figure)figure_of(s->cli), out);
}

static int write_pprof(const struct source *s, FILE *out)
{
    return export_pprof(s->places, s->symbols, &s->run, out);
}

static int write_file(const struct source *s, const char *path, int (*write)(const struct source *s, FILE *out), struct error *e)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *out = standard ? stdout : fopen(path, "we");

    errno = 0;
    if (!out)
        return error_set(e, ERROR_NO_OFFSET, "%s cannot be written: %s", path, strerror(errno));
    struct stat status;
    bool removable = !standard && fstat(fileno(out), &status) == 0 && S_ISREG(status.st_mode);
    int failed = write(s, out);
    if (!standard && fclose(out))
        failed = -1;
    if (!failed)
        return 0;
    int why = errno;
    if (removable)
        unlink(path);
    errno = why;
    return error_set(e, ERROR_NO_OFFSET, "%s could not be written whole: %s", path,
                     errno ? strerror(errno) : "out of memory, or out of disk space");
}

static int write_all(const struct source *s, struct error *e)
{
    if (s->cli->folded && write_file(s, s->cli->folded, write_folded, e) < 0)
        return -1;
    return s->cli->pprof ? write_file(s, s->cli->pprof, write_pprof, e) : 0;
}

static uint64_t lost_events(const struct process_table *t)
{
    uint64_t lost = process_gaps(t)->events;

    for (size_t i = 0; i < process_count(t); i++)
        lost |= process_at(t, i)->lost_events;
    return lost;
}

/* Code of the program that the run began with. */
static struct symbol_place program_of(const struct process_table *t, struct symbols *symbols)
{
    const struct process *p = process_count(t) ? process_at(t, 0) : NULL;

    for (size_t i = 0; p && p->exe && i < p->module_count; i++)
        if (strcmp(p->modules[i].path, p->exe) == 0)
            return symbols_place(symbols, p, p->modules[i].start + 1);
    return (struct symbol_place){0, 0};
}

static int export(const struct cli *c, struct reader *reader, struct error *e)
{
    struct analysis *a = analysis_run(reader, e);

    if (!a)
        return -1;
    struct symbols *symbols = cli_symbols(c, reader);
    struct places *places = symbols ? places_new(a->heap, a->processes, symbols) : NULL;
    struct source source = {c, places, symbols,
                            {(int64_t)reader_file_header(reader)->start_wall_ns, a->footprint.last_ns, {0, 0}}};
    if (places)
        source.run.program = program_of(a->processes, symbols);
    int code = places ? write_all(&source, e) : error_set(e, ERROR_NO_OFFSET, "not enough memory");
    if (code == 0)
        code = cli_completeness(c, reader, lost_events(a->processes));
    places_free(places);
    cli_symbols_end(symbols);
    analysis_free(a);
    return code;
}

static bool is_trace(const struct cli *c, const char *path)
{
    struct stat out, trace;

    return path && stat(path, &out) == 0 && stat(c->file, &trace) == 0 && out.st_dev == trace.st_dev &&
           out.st_ino == trace.st_ino;
}

static int check(const struct cli *c, struct error *e)
{
    if (!c->folded && !c->pprof)
        return error_set(e, ERROR_NO_OFFSET, "nothing to write: give --folded OUT or --pprof OUT");
    if (!c->folded && (c->value || c->unit))
        return error_set(e, ERROR_NO_OFFSET, "--value and --unit are of --folded: a profile for pprof has all of its values");
    if (c->folded && c->pprof && strcmp(c->folded, "-") == 0 && strcmp(c->pprof, "-") == 0)
        return error_set(e, ERROR_NO_OFFSET, "only one can be written to standard output");
    if (is_trace(c, c->folded) || is_trace(c, c->pprof))
        return error_set(e, ERROR_NO_OFFSET, "%s is the trace itself, and would be lost", c->file);
    if (figure_of(c) == UNKNOWN_COUNT)
        return error_set(e, ERROR_NO_OFFSET, "of %s only bytes are known: leave --unit count out", c->value);
    return 0;
}

int cmd_export(const struct cli *c)
{
    struct error e = {.offset = ERROR_NO_OFFSET};

    if (check(c, &e) < 0) {
        error_print(&e, NULL);
        return CLI_UNUSABLE;
    }
    cli_wait(c);
    struct reader *reader = reader_open(c->file, &e);
    int code = reader ? export(c, reader, &e) : -1;
    if (reader)
        reader_close(reader);
    if (code >= 0)
        return code;
    error_print(&e, c->file);
    return CLI_UNUSABLE;
}
