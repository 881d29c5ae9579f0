/* SPDX-License-Identifier: Apache-2.0 */
/* The section on TLS, if there is anything to tell. */
#include <inttypes.h>
#include <stdarg.h>

#include "report_text.h"
#include "units.h"

#define PROGRAMS_SHOWN 5

static const char *const known_by[TLS_TIE_COUNT] = {
    [TLS_TIE_none] = "",
    [TLS_TIE_descriptor] = "the library's own word",
    [TLS_TIE_inside] = "the socket calls inside the library's",
    [TLS_TIE_receive] = "what the thread had read last",
};

__attribute__((format(printf, 2, 3))) static void print_line(const struct page *p, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fputs("  ", p->out);
    page_wrapped(p->out, line, 2, 4);
}

static void print_connections(const struct page *p, const struct report_tls *t)
{
    char n[UNITS_MAX];

    for (unsigned tie = TLS_TIE_descriptor; tie < TLS_TIE_COUNT; tie++)
        if (t->connections[tie])
            print_line(p, "%s connections with plaintext, known by %s", units_count(n, (double)t->connections[tie]), known_by[tie]);
    if (t->strays)
        print_line(p, "%s plaintexts of connections that are not known", units_count(n, (double)t->strays));
}

static void print_bytes(const struct page *p, const struct report_tls *t)
{
    char plain_in[UNITS_MAX], plain_out[UNITS_MAX], in[UNITS_MAX], out[UNITS_MAX];

    print_line(p, "plaintext %s in, %s out; ciphertext %s in, %s out", units_bytes(plain_in, (double)t->plain_bytes[0]),
               units_bytes(plain_out, (double)t->plain_bytes[1]), units_bytes(in, (double)t->cipher_bytes[0]),
               units_bytes(out, (double)t->cipher_bytes[1]));
}

static void print_handshakes(const struct page *p, const struct report_tls *t)
{
    static const char *const side[TLS_SIDES] = {"as client", "as server", "unknown side"};
    bool any = false;

    for (unsigned s = 0; s < TLS_SIDES; s++) {
        const struct report_handshakes *h = &t->handshakes[s];
        char text[4][UNITS_MAX];
        if (!h->done && !h->failed)
            continue;
        if (!any)
            fprintf(p->out, "  %-12s%10s%9s%8s%8s%8s%8s%10s\n", "handshakes", "done", "resumed", "failed", "p50", "p99", "max",
                    "CPU mean");
        any = true;
        fprintf(p->out, "  %-12s%10" PRIu64 "%9" PRIu64 "%8" PRIu64 "%8s%8s%8s%10s\n", side[s], h->done, h->resumed, h->failed,
                units_duration(text[0], h->duration.p50), units_duration(text[1], h->duration.p99),
                units_duration(text[2], h->duration.max), units_duration(text[3], h->cpu.mean));
    }
}

static void print_programs(const struct page *p, const struct report_tls *t)
{
    size_t shown = 0;

    for (size_t i = 0; i < t->programs && shown < PROGRAMS_SHOWN; i++) {
        const struct report_tls_program *g = &t->program[i];
        char n[UNITS_MAX];
        if (!g->unseen)
            continue;
        units_count(n, (double)g->unseen);
        if (g->seen)
            print_line(p, "requests on %s TLS connections of %s cannot be seen: no intercepted library was at work", n, g->exe);
        else
            print_line(p, "TLS is inside of %s (static), in a library that is not intercepted, or passes through: requests on %s "
                       "connections cannot be seen", g->exe, n);
        shown++;
    }
}

void report_text_tls(const struct page *p, const struct report *r)
{
    if (!r->tls.any)
        return;
    page_heading(p, "TLS\n");
    print_connections(p, &r->tls);
    print_bytes(p, &r->tls);
    print_handshakes(p, &r->tls);
    print_programs(p, &r->tls);
}
