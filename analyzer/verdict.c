/* SPDX-License-Identifier: Apache-2.0 */
/* What verdicts on all quantities share: words, thresholds, and when a run was long enough. */
#include "verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "verdict_part.h"

#define ENOUGH_S 60             /* NORMAL: judged this long, */
#define ENOUGH_LOADED_S 8       /* or this long with so many requests */
#define ENOUGH_REQUESTS 1000

const char *const verdict_kind_name[VERDICT_KINDS] = {"NORMAL",     "MONITOR",       "LEAK",          "INCONCLUSIVE",
                                                      "CACHE-FILL", "FRAGMENTATION", "PER-CONNECTION"};

const struct verdict_limits verdict_default_limits = {
    .monitor_mb_per_hour = 10, .leak_mb_per_hour = 50, .monitor_count = 20, .leak_count = 50};

struct verdict verdict_new(const char *name, bool bytes)
{
    const struct verdict_rate unknown = {NAN, NAN, NAN};

    return (struct verdict){.name = name, .bytes = bytes, .seen_per_s = NAN, .per_s = unknown, .per_request = unknown,
                            .per_connection = unknown, .minutes = NAN, .first = NAN, .last = NAN, .worst = KIND_COUNT};
}

void verdict_conclude(struct verdict *v, enum verdict_kind kind, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(v->reason, sizeof v->reason, format, arguments);
    va_end(arguments);
    v->kind = kind;
}

const struct verdict_limits *verdict_limits_of(const struct verdict_run *run)
{
    return run->limits ? run->limits : &verdict_default_limits;
}

static double per_hour(double mb) { return mb * 1e6 / 3600; } /* to bytes a second */

double verdict_leak_bytes(const struct verdict_run *run) { return per_hour(verdict_limits_of(run)->leak_mb_per_hour); }
double verdict_monitor_bytes(const struct verdict_run *run) { return per_hour(verdict_limits_of(run)->monitor_mb_per_hour); }

double verdict_judged_s(const struct growth *g) { return (double)(g->to_ns - g->warm_ns) / 1e9; }

bool verdict_enough(const struct verdict_run *run, double seconds)
{
    return seconds >= ENOUGH_S || (seconds >= ENOUGH_LOADED_S && run->requests >= ENOUGH_REQUESTS);
}

double verdict_minutes(double seconds, double wanted_s)
{
    return fmax(1, ceil((fmax(ENOUGH_S, wanted_s) - seconds) / 60));
}

bool verdict_lossy(const struct verdict_run *run) { return run->lost_events || run->damaged || run->restarted; }

struct verdict_losses verdict_losses_of(const struct verdict_run *run)
{
    struct verdict_losses l = {""};
    char count[UNITS_MAX];

    if (run->lost_events)
        snprintf(l.text, sizeof l.text, "%s events were lost%s", units_count(count, (double)run->lost_events),
                 run->damaged     ? " and the file is damaged"
                 : run->restarted ? " and the recorder was started anew"
                                  : "");
    else
        snprintf(l.text, sizeof l.text, "%s", run->damaged ? "the file is damaged" : "the recorder was started anew");
    return l;
}

bool verdict_convicts(const struct verdict_run *run, const struct growth *g, double least_bytes)
{
    return g->known && g->low99 > verdict_leak_bytes(run) && g->trend && g->steady && !g->slowing && g->gained >= least_bytes;
}

double verdict_detectable(const struct verdict_run *run, const struct growth *g, double least_bytes)
{
    return fmax(fmax(verdict_leak_bytes(run) + g->seen_per_s, g->steady_per_s), least_bytes / verdict_judged_s(g));
}
