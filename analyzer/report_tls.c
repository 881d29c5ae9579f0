/* SPDX-License-Identifier: Apache-2.0 */
/* What the report tells of TLS. A program of which no process was seen with a TLS library has one of its own. */
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define PROGRAMS_MAX 100

/* Beyond the first so many, all are one. */
static struct report_tls_program *program_of(struct report_tls *out, const char *exe)
{
    for (size_t i = 0; i < out->programs; i++)
        if (strcmp(out->program[i].exe, exe) == 0)
            return &out->program[i];
    struct report_tls_program *p = &out->program[out->programs];
    if (out->programs > PROGRAMS_MAX)
        return p - 1;
    p->exe = strdup(out->programs < PROGRAMS_MAX ? exe : "other programs");
    return p->exe ? out->programs++, p : NULL;
}

static int build_programs(struct report_tls *out, const struct analysis *a, const struct tlsuse_stats *stats)
{
    size_t count = 0;

    for (const struct tlsuse_process *p = stats->processes; p; p = p->next)
        count++;
    out->program = calloc(count + 1, sizeof *out->program);
    if (!out->program)
        return -1;
    for (const struct tlsuse_process *p = stats->processes; p; p = p->next) {
        const struct process *process = process_find(a->processes, p->serial);
        struct report_tls_program *program = program_of(out, process && process->exe ? process->exe : "?");
        if (!program)
            return -1;
        program->seen += p->seen;
        program->unseen += p->unseen;
    }
    return 0;
}

static struct report_tls_times times_of(const struct hist *h)
{
    return (struct report_tls_times){hist_mean(h), hist_quantile(h, 0.5), hist_quantile(h, 0.99), hist_max(h)};
}

int report_tls_build(struct report_tls *out, const struct analysis *a)
{
    const struct tlsuse_stats *stats = exchange_tls(a->exchanges);

    out->any = stats->processes || stats->strays;
    memcpy(out->connections, stats->connections, sizeof out->connections);
    out->unseen = stats->unseen;
    out->strays = stats->strays;
    for (unsigned dir = 0; dir < 2; dir++) {
        out->plain_bytes[dir] = stats->plain_bytes[dir];
        out->cipher_bytes[dir] = stats->cipher_bytes[dir];
    }
    for (unsigned side = 0; side < TLS_SIDES; side++) {
        const struct tlsuse_handshakes *h = &stats->handshakes[side];
        out->handshakes[side] =
            (struct report_handshakes){h->done, h->failed, h->resumed, times_of(h->duration), times_of(h->cpu)};
        out->any |= h->done || h->failed;
    }
    memcpy(out->versions, stats->versions, sizeof out->versions);
    return build_programs(out, a, stats);
}

void report_tls_free(struct report_tls *t)
{
    for (size_t i = 0; i < t->programs; i++)
        free(t->program[i].exe);
    free(t->program);
}
