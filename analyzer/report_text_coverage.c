/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the connections' bytes was understood, by protocol. What was guessed of the others stands among the routes. */
#include "page.h"
#include "report.h"
#include "report_text.h"
#include "units.h"

#define NAME_WIDTH 27

static const char *share(char *text, uint64_t part, uint64_t all)
{
    return all ? units_percent(text, (double)part / (double)all) : "-";
}

static void print_row(const struct page *p, enum wire_protocol protocol, bool client, const struct coverage_sum *s)
{
    char name[64], text[5][UNITS_MAX];

    snprintf(name, sizeof name, "%s%s%s", wire_protocol_name[protocol], client ? ", as client" : "",
             wire_protocol_guesses(protocol) ? " (guess)" : "");
    page_name(p->out, name, NAME_WIDTH);
    fprintf(p->out, "%11s%11s%8s%11s%8s\n", units_number(text[0], (double)s->connections),
            units_bytes(text[1], (double)s->bytes[0]), share(text[2], s->framed[0], s->bytes[0]),
            units_bytes(text[3], (double)s->bytes[1]), share(text[4], s->framed[1], s->bytes[1]));
}

void report_text_coverage(const struct page *p, const struct report *r)
{
    char count[UNITS_MAX], bytes[UNITS_MAX];
    bool any = false;

    for (unsigned protocol = 0; protocol < WIRE_PROTOCOLS; protocol++)
        for (unsigned client = 0; client < 2; client++) {
            const struct coverage_sum *s = &r->coverage.sum[protocol][client];
            if (!s->connections)
                continue;
            if (!any) {
                page_heading(p, "CONNECTIONS: BYTES FRAMED  ");
                fprintf(p->out, "%11s%11s%8s%11s%8s\n", "connections", "read", "framed", "written", "framed");
            }
            any = true;
            print_row(p, protocol, client, s);
        }
    if (r->connections.pushed)
        fprintf(p->out, "%s messages that no request asked for were pushed, %s.\n",
                units_count(count, (double)r->connections.pushed), units_bytes(bytes, (double)r->connections.pushed_bytes));
    if (any)
        fputs("Framed: found in complete messages. The rest was lost, is not understood, or is\n"
              "of messages that did not end.\n", p->out);
}
