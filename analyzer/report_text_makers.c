/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that stay and children that were not waited for, where the verdict is not that all is well. Two lines a row, as in
 * report_text_memory.c. */
#include <math.h>

#include "report_makers.h"
#include "report_text_memory.h"
#include "units.h"

#define ROWS_SHOWN 10
#define ROUTE_WIDTH 30

static void print_who(const struct page *p, const struct report_maker *k)
{
    page_name(p->out, k->route ? k->route : k->rest ? "several routes" : k->shared ? "several requests at once" : "outside requests",
              ROUTE_WIDTH);
}

static void print_place(const struct page *p, const struct report_maker *k)
{
    const char *name = report_site_name(&k->site);

    fputs("      ", p->out);
    page_wrapped(p->out, name ? name : k->rest ? "call stacks for which there was no room" : "no call stack was recorded", 6, 8);
}

static void print_note(const struct page *p, uint64_t n, const char *what)
{
    char count[UNITS_MAX], line[256];

    if (!n)
        return;
    snprintf(line, sizeof line, "%s %s", units_count(count, (double)n), what);
    fputs("  ", p->out);
    page_wrapped(p->out, line, 2, 4);
}

static void print_threads(const struct page *p, const struct report_makers *m)
{
    char text[5][UNITS_MAX];
    uint64_t shown = 0, quiet = 0;

    page_heading(p, "THREADS THAT STAY             ");
    fprintf(p->out, "%10s%10s%10s%10s%10s\n", "made", "run", "unjoined", "quiet", "in load");
    for (size_t i = 0; i < m->threads && shown < ROWS_SHOWN; i++) {
        const struct report_maker *k = &m->thread[i];
        if (!(k->running + k->ended + k->quiet + k->quiet_detached))
            continue;
        shown++;
        quiet += k->quiet + k->quiet_detached;
        print_who(p, k);
        fprintf(p->out, "%10s%10s%10s%10s%10s\n", units_number(text[0], (double)k->made), units_number(text[1], (double)k->running),
                units_number(text[2], (double)k->ended), units_number(text[3], (double)(k->quiet + k->quiet_detached)),
                units_number(text[4], (double)k->young));
        print_place(p, k);
    }
    fprintf(p->out, "  the kernel counts %s at the end, besides the first of each process\n",
            units_count(text[0], (double)m->kernel_threads));
    if (quiet)
        fputs("  quiet: they made no call that is recorded, so that only the kernel's count\n"
              "    tells how many of them still run\n", p->out);
    print_note(p, m->given_up_unseen, "times a handle came again before its thread was seen to be given up: calls that pass no hook join or detach, or (a "
               "few) threads end before their makers can tell");
    print_note(p, m->threads_unknown, "threads more were made, of which the trace does not tell which they were");
    if (m->partial)
        fputs("  Only those of the part with detail are told apart by who made them.\n", p->out);
}

static void print_children(const struct page *p, const struct report_makers *m)
{
    char text[2][UNITS_MAX];
    uint64_t shown = 0, known = 0;

    page_heading(p, "CHILDREN NOT WAITED FOR       ");
    fprintf(p->out, "%10s%10s\n", "started", "zombies");
    for (size_t i = 0; i < m->starters; i++) {
        const struct report_maker *k = &m->starter[i];
        known += k->zombies;
        if (!k->zombies || shown++ >= ROWS_SHOWN)
            continue;
        print_who(p, k);
        fprintf(p->out, "%10s%10s\n", units_number(text[0], (double)k->made), units_number(text[1], (double)k->zombies));
        print_place(p, k);
    }
    print_note(p, m->zombies > known ? m->zombies - known : 0, "zombies were started by calls that were not seen");
    print_note(p, m->reaped_unseen, "children were waited for by calls that were not seen: the kernel has them no more");
}

void report_text_makers(const struct page *p, const struct report *r)
{
    const struct report_makers *m = report_makers_of(r);

    if (r->verdict[2].kind != VERDICT_NORMAL && (m->left_running > 0 || m->left_ended > 0))
        print_threads(p, m);
    if (r->verdict[5].kind != VERDICT_NORMAL && m->zombies)
        print_children(p, m);
}
