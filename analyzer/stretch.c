/* SPDX-License-Identifier: Apache-2.0 */
/* An event's time is the end of its call; the duration leads back to the beginning. */
#include "stretch.h"

static struct timesheet_call call_of(const struct merge *m, const struct item *item, uint64_t duration,
                                     enum split_kind kind)
{
    return (struct timesheet_call){.start_ns = item->time_ns - (duration ? merge_ticks_to_ns(m, duration) : 0),
                                   .end_ns = item->time_ns, .kind = kind};
}

/* To an exchange whose own bytes it does not move. */
static enum split_kind kind_of(const struct description *d)
{
    if (d && (d->kind == KIND_file || d->kind == KIND_directory))
        return SPLIT_disk;
    return d && d->role == CONN_CONNECTED ? SPLIT_upstream : SPLIT_io;
}

void stretch_of_io(struct stretch *s, const struct merge *m, const struct item *item, const struct description *d)
{
    const struct event_io *e = &item->event.u.io;

    *s = (struct stretch){.thread = item->thread, .end = STRETCH_OTHER, .desc = e->desc, .alloc_count = e->alloc_count,
                          .alloc_bytes = e->alloc_bytes, .call = call_of(m, item, e->duration, kind_of(d)),
                          .order = e->dir == 0 ? READY_READ : READY_NOTHING};
    s->call.full = e->asked != EVENT_UNKNOWN && e->bytes < e->asked;
}

void stretch_of_open(struct stretch *s, const struct merge *m, const struct item *item, const struct description *d,
                     bool accepted)
{
    const struct event_desc_open *e = &item->event.u.desc_open;

    *s = (struct stretch){.thread = item->thread, .end = accepted ? STRETCH_WAIT : STRETCH_OTHER,
                          .alloc_count = e->alloc_count, .alloc_bytes = e->alloc_bytes,
                          .call = call_of(m, item, e->duration, accepted ? SPLIT_descriptors : kind_of(d)),
                          .order = accepted ? READY_READ : READY_NOTHING};
    s->call.waits = accepted;
}

void stretch_of_wait(struct stretch *s, const struct merge *m, const struct item *item)
{
    const struct event_wait *e = &item->event.u.wait;
    bool work = event_awaits_work(&item->event);

    *s = (struct stretch){.thread = item->thread, .end = work ? STRETCH_WAIT : STRETCH_OTHER,
                          .alloc_count = e->alloc_count, .alloc_bytes = e->alloc_bytes,
                          .call = call_of(m, item, e->duration, split_kind_of_wait(e->what)),
                          .order = work ? READY_WOKE : READY_NOTHING, .ready = (int64_t)e->ready};
    s->call.waits = work;
}

struct timesheet_call stretch_call_of_sock(const struct merge *m, const struct item *item, bool connects)
{
    return call_of(m, item, item->event.u.sock.duration, connects ? SPLIT_upstream : SPLIT_io);
}
