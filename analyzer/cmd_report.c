/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `perfanalyze report`: one trace in, one report out, as text or as JSON.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis.h"
#include "cli.h"
#include "error.h"
#include "report.h"
#include "routefile.h"

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && terminal && *terminal;
}

static int print(const struct cli *c, const struct reader *reader, struct report *r, struct error *e)
{
    enum cli_exit completeness = cli_completeness(c, reader, r->lost_events);
    if (r->exit_code == CLI_FINE)
        r->exit_code = completeness;
    if (r->exit_code == CLI_FINE && c->strict && r->inconclusive)
        r->exit_code = CLI_FAILED;
    if ((c->json ? report_json(r, stdout) : report_text(r, stdout, wants_colour())) || ferror(stdout))
        return error_set(e, ERROR_NO_OFFSET, "the report could not be written: out of memory, or out of disk space");
    return r->exit_code;
}

static struct report_options options_of(const struct cli *c)
{
    struct report_options o = {.limits = verdict_default_limits, .sites = c->sites, .sorted = c->sort != NULL, .slowest = c->slowest};

    if (c->leak_mb > 0)
        o.limits.leak_mb_per_hour = c->leak_mb;
    o.limits.monitor_mb_per_hour = fmin(c->monitor_mb > 0 ? c->monitor_mb : o.limits.monitor_mb_per_hour, o.limits.leak_mb_per_hour);
    if (c->leak_count > 0)
        o.limits.leak_count = c->leak_count;
    o.limits.monitor_count = fmin(o.limits.monitor_count, o.limits.leak_count);

    for (enum report_order order = 0; c->sort && order < REPORT_ORDER_COUNT; order++)
        if (strcmp(c->sort, report_order_name[order]) == 0)
            o.sort = order;
    return o;
}

static int report(const struct cli *c, struct reader *reader, const struct routefile *routes, struct error *e)
{
    struct analysis *a = analysis_run_routes(reader, routes, e);
    if (!a)
        return -1;
    a->footprint.window = (struct footprint_window){c->since_ns, c->until_ns, c->warm_up_ns};
    struct symbols *symbols = cli_symbols(c, reader);
    struct report_options options = options_of(c);
    struct report *r = symbols ? report_build(a, symbols, c->file, &options) : NULL;
    int code = r ? print(c, reader, r, e) : error_set(e, ERROR_NO_OFFSET, "not enough memory");
    if (r)
        report_free(r);
    cli_symbols_end(symbols);
    analysis_free(a);
    return code;
}

int cmd_report(const struct cli *c)
{
    struct error e = {.offset = ERROR_NO_OFFSET};
    struct routefile *routes = c->routes ? routefile_read(c->routes, &e) : NULL;
    if (c->routes && !routes) {
        error_print(&e, c->routes);
        return CLI_UNUSABLE;
    }
    cli_wait(c);
    struct reader *reader = reader_open(c->file, &e);
    int code = reader ? report(c, reader, routes, &e) : -1;
    routefile_free(routes);
    if (reader)
        reader_close(reader);
    if (code >= 0)
        return code;
    error_print(&e, c->file);
    return CLI_UNUSABLE;
}
