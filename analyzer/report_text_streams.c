/* SPDX-License-Identifier: Apache-2.0 */
/* A stream is a few lines, as most of what it has is not comparable between kinds; a JSON-RPC method is a row. */
#include <inttypes.h>
#include <math.h>

#include "report_text.h"
#include "units.h"

#define SHOWN 20
#define NAME_WIDTH 39

static char *count(char *out, uint64_t n) { return units_count(out, n == REPORT_UNKNOWN ? NAN : (double)n); }
static bool any(uint64_t n) { return n && n != REPORT_UNKNOWN; }

static void times(FILE *out, const char *name, const struct report_times *t, bool all)
{
    char p50[UNITS_MAX], p99[UNITS_MAX], max[UNITS_MAX];

    fprintf(out, "%s p50 %s", name, units_duration(p50, t->p50));
    if (all)
        fprintf(out, ", p99 %s", units_duration(p99, t->p99));
    fprintf(out, ", max %s", units_duration(max, t->max));
}

static void way_events(FILE *out, const struct report_way *w)
{
    char events[UNITS_MAX], rate[UNITS_MAX], bytes[UNITS_MAX];

    fprintf(out, "    events: %s, %s/s, %s", count(events, w->events), units_number(rate, w->events_per_s),
            units_bytes(bytes, w->stream_bytes));
    if (isfinite(w->gap.max)) {
        fputs("\n    ", out);
        times(out, "gaps between events:", &w->gap, true);
    }
    putc('\n', out);
}

static void way_messages(FILE *out, const char *name, const struct report_way *w)
{
    char events[UNITS_MAX], rate[UNITS_MAX], mean[UNITS_MAX], max[UNITS_MAX], bytes[UNITS_MAX];

    fprintf(out, "    %s: %s messages, %s/s, %s", name, count(events, w->events),
            units_number(rate, w->events_per_s), units_bytes(bytes, w->stream_bytes));
    if (any(w->events))
        fprintf(out, "; of %s, max %s", units_bytes(mean, w->payload_bytes_mean), units_bytes(max, w->payload_bytes_max));
    putc('\n', out);
    if (any(w->compressed))
        fprintf(out, "      %s of them compressed, and not looked into\n", count(events, w->compressed));
    if (!any(w->pings))
        return;
    fprintf(out, "      pings: %s", count(events, w->pings));
    if (isfinite(w->pong.max))
        times(out, "; pong after", &w->pong, true);
    putc('\n', out);
}

static void missing(FILE *out, uint64_t in, uint64_t sent)
{
    if (any(in) || any(sent))
        fprintf(out, "    bytes are missing in %" PRIu64 " places: there may have been more\n", in + sent);
}

static void stream(const struct page *p, const struct report_stream *s)
{
    char opened[UNITS_MAX], open_end[UNITS_MAX];

    page_name(p->out, s->route ? s->route : "(its request was not seen)", 50);
    fprintf(p->out, " %s%s\n", s->kind, s->upstream ? ", as client" : "");
    fprintf(p->out, "    opened %s, open at the end %s\n", units_count(opened, (double)s->opened),
            units_count(open_end, (double)s->open_end));
    if (isfinite(s->establish.max)) {
        times(p->out, "    established after", &s->establish, true);
        putc('\n', p->out);
    }
    if (isfinite(s->lifetime.max)) {
        times(p->out, "    lived", &s->lifetime, false);
        putc('\n', p->out);
    }
    if (s->websocket) {
        way_messages(p->out, "in", &s->in);
        way_messages(p->out, "out", &s->out);
    } else {
        way_events(p->out, s->upstream ? &s->in : &s->out);
    }
    missing(p->out, s->in.missing, s->out.missing);
}

static void rest(const struct page *p, size_t n)
{
    if (n > SHOWN)
        fprintf(p->out, "and %zu more: see --json\n", n - SHOWN);
}

/* Of calls that came with others in one request. */
static void batched(FILE *out, const struct report_rpc *r)
{
    char n[UNITS_MAX];

    if (!r->batched)
        return;
    fprintf(out, "    %s in batches", units_count(n, (double)r->batched));
    if (isfinite(r->batch.max))
        times(out, ", which took", &r->batch, true);
    putc('\n', out);
}

static void rpcs(const struct page *p, const struct report_streams *s)
{
    char text[4][UNITS_MAX];
    bool made = false;

    page_heading(p, "JSON-RPC                               ");
    fprintf(p->out, "%9s%10s%9s%12s\n", "calls", "notified", "errors", "unanswered");
    for (size_t i = 0; i < s->rpcs && i < SHOWN; i++) {
        const struct report_rpc *r = &s->rpc[i];
        made |= r->upstream;
        page_name(p->out, r->route, NAME_WIDTH);
        fprintf(p->out, "%s%8s%10s%9s%12s\n", r->upstream ? "*" : " ", units_number(text[0], (double)r->calls),
                units_number(text[1], (double)r->notifications), units_number(text[2], (double)r->errors),
                units_number(text[3], (double)r->unanswered));
        batched(p->out, r);
    }
    if (made)
        fputs("*: made by the recorded process; all others were made to it.\n", p->out);
    rest(p, s->rpcs);
    if (s->unpaired)
        fprintf(p->out, "%s replies were to no call that is known.\n", units_count(text[0], (double)s->unpaired));
}

void report_text_streams(const struct page *p, const struct report_streams *s)
{
    if (s->streams) {
        page_heading(p, "STREAMS\n");
        for (size_t i = 0; i < s->streams && i < SHOWN; i++)
            stream(p, &s->stream[i]);
        rest(p, s->streams);
        fputs("Latency of their routes ends with the response's head, and so does the time to\n"
              "establish them.\n", p->out);
    }
    if (s->rpcs)
        rpcs(p, s);
}
