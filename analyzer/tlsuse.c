/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that begins like TLS counts as unseen until a library is seen at work on it: where the host carries the bytes itself
 * through memory, that is some events later.
 */
#include "tlsuse.h"

#include <stdlib.h>

#include "keymap.h"

/* Bits of description.tls. */
enum {
    CARRIES = 1, /* TLS, by its first bytes or by a library */
    WORKED_ON = 2, /* by a library */
    IS_PLAIN = 4, /* plaintext was seen */
};

struct tlsuse_table {
    struct tlsuse_stats stats;
    struct keymap processes; /* by serial */
};

struct tlsuse_table *tlsuse_table_new(void)
{
    struct tlsuse_table *t = calloc(1, sizeof *t);
    bool whole = t != NULL;

    for (unsigned side = 0; t && side < TLS_SIDES; side++) {
        struct tlsuse_handshakes *h = &t->stats.handshakes[side];
        h->duration = hist_new();
        h->cpu = hist_new();
        whole = whole && h->duration && h->cpu;
    }
    if (whole)
        return t;
    tlsuse_table_free(t);
    return NULL;
}

void tlsuse_table_free(struct tlsuse_table *t)
{
    if (!t)
        return;
    for (unsigned side = 0; side < TLS_SIDES; side++) {
        hist_free(t->stats.handshakes[side].duration);
        hist_free(t->stats.handshakes[side].cpu);
    }
    for (struct tlsuse_process *p = t->stats.processes, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    keymap_reset(&t->processes);
    free(t);
}

static struct tlsuse_process *process_of(struct tlsuse_table *t, uint32_t serial)
{
    struct tlsuse_process *p = keymap_get(&t->processes, serial);

    if (p)
        return p;
    p = calloc(1, sizeof *p);
    if (!p || keymap_put(&t->processes, serial, p) < 0) {
        free(p);
        return NULL;
    }
    p->serial = serial;
    p->next = t->stats.processes;
    t->stats.processes = p;
    return p;
}

/* The connection carries TLS; worked_on: a library was seen at it. */
static int note_tls(struct tlsuse_table *t, uint32_t serial, struct description *d, bool worked_on)
{
    bool known = d->tls & CARRIES;

    if (known && (d->tls & WORKED_ON || !worked_on))
        return 0;
    struct tlsuse_process *p = process_of(t, known ? d->tls_proc : serial);
    if (!p)
        return -1;
    t->stats.unseen += !worked_on;
    t->stats.unseen -= known;
    p->unseen += !worked_on;
    p->unseen -= known;
    p->seen += worked_on;
    d->tls |= CARRIES | (worked_on ? WORKED_ON : 0);
    d->tls_proc = serial;
    return 0;
}

/* Bytes that went past what the trace can count to are nobody's. */
static void count(uint64_t bytes[2], const struct event_io *e)
{
    if ((int64_t)e->bytes > 0)
        bytes[e->dir & 1] += e->bytes;
}

int tlsuse_feed_stream(struct tlsuse_table *t, const struct item *item, struct description *d)
{
    const struct event_io *e = &item->event.u.io;
    bool plain = e->flags & IO_PLAIN;

    if (!d) {
        t->stats.strays += plain;
        return !plain;
    }
    if ((e->flags & (IO_PLAIN | IO_CIPHER | IO_TLS)) && note_tls(t, item->proc, d, e->flags & (IO_PLAIN | IO_CIPHER)) < 0)
        return -1;
    count(plain ? t->stats.plain_bytes : t->stats.cipher_bytes, e);
    if (plain && e->bytes && !(d->tls & IS_PLAIN)) {
        d->tls |= IS_PLAIN;
        t->stats.connections[io_tie(e->flags)]++;
    }
    return plain || !(d->tls & IS_PLAIN || e->flags & IO_CIPHER);
}

static unsigned version_of(uint64_t version) { return version - 0x301 < 4 ? (unsigned)(version - 0x301) : 4; }

int tlsuse_feed(struct tlsuse_table *t, const struct merge *m, const struct item *item, struct description *d)
{
    const struct event_tls *e = &item->event.u.tls;
    struct tlsuse_handshakes *h = &t->stats.handshakes[e->side < TLS_UNKNOWN_SIDE ? e->side : TLS_UNKNOWN_SIDE];

    if (d && note_tls(t, item->proc, d, true) < 0)
        return -1;
    if (e->result) {
        h->failed++;
        return 0;
    }
    h->done++;
    h->resumed += e->resumed == 1;
    t->stats.versions[version_of(e->version)]++;
    hist_add(h->duration, merge_ticks_to_ns(m, e->duration));
    if (e->cpu_ns <= INT64_MAX)
        hist_add(h->cpu, (int64_t)e->cpu_ns);
    return 0;
}

const struct tlsuse_stats *tlsuse_stats(const struct tlsuse_table *t) { return &t->stats; }
