/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children are told of by three: by themselves, by their parent, and by the recorder, which looks at both from outside.
 *
 * popen does not tell the pid of what it starts. Where all such calls of a process are in one place, its zombies that nobody else has
 * started are that place's, as far as it has started so many.
 */
#include <string.h>

#include "footprint_part.h"

#define SEVERAL UINT32_MAX

static int zombies_changed(struct footprint_host *h, int64_t time_ns)
{
    double zombies = (double)children_zombies(&h->children);
    struct series *s = &h->series[FOOTPRINT_ZOMBIES];

    return h->ended || (!series_empty(s) && series_at(s, time_ns) == zombies) ? 0 : series_set(s, time_ns, zombies);
}

static struct footprint_host *of_pid(struct footprint *f, uint64_t pid)
{
    uintptr_t serial = (uintptr_t)keymap_get(&f->by_pid, pid);

    return serial ? footprint_find(f, (uint32_t)(serial - 1)) : NULL;
}

/* A child says who it is, or another program in its place, which knows no parent. */
static int child_begins(struct footprint *f, struct footprint_host *h, const struct event_process *p, int64_t time_ns)
{
    struct footprint_host *parent = p->parent && p->parent <= UINT32_MAX ? footprint_find(f, (uint32_t)p->parent) : NULL;

    h->pid = (uint32_t)p->pid;
    if (keymap_put(&f->by_pid, h->pid, (void *)((uintptr_t)h->serial + 1)))
        return -1;
    if (!parent || parent->pid == h->pid)
        parent = of_pid(f, p->ppid);
    if (!parent || parent->pid == h->pid || parent->ended)
        return 0;
    h->parent = parent->serial;
    return children_born(&parent->children, h->pid) ? -1 : zombies_changed(parent, time_ns);
}

/* Before the detail of a trimmed trace nobody told who was waited for. */
static int child_ended(struct footprint *f, struct footprint_host *h, const struct event_process_end *end, int64_t time_ns)
{
    struct footprint_host *parent = h->parent ? footprint_find(f, h->parent) : NULL;

    if (!parent || of_pid(f, h->pid) != h) /* or another program has its number since */
        return 0;
    if (footprint_before_detail(f, time_ns))
        children_reaped(&parent->children, h->pid);
    else
        children_ended(&parent->children, h->pid, end);
    return zombies_changed(parent, time_ns);
}

static int child_started(struct footprint *f, struct footprint_host *h, const struct event_fork *e, bool popen, int64_t time_ns)
{
    uint32_t row = maker_made(&f->starters, e->stack, f->route);

    if (popen) {
        h->popens++;
        h->popen_maker = !h->popen_maker || h->popen_maker == row + 1 ? row + 1 : SEVERAL;
    }
    if ((int64_t)e->child_pid <= 0 || e->child_pid > UINT32_MAX)
        return 0;
    return children_started(&h->children, e->child_pid, row) ? -1 : zombies_changed(h, time_ns);
}

int footprint_children(struct footprint *f, const struct process_table *processes, struct footprint_host *h, const struct item *item)
{
    const struct event *e = &item->event;

    switch (e->type) {
    case EVENT_fork:
        return child_started(f, h, &e->u.fork, strcmp(process_op_name(processes, e->u.fork.op), "popen") == 0, item->time_ns);
    case EVENT_process: return child_begins(f, h, &e->u.process, item->time_ns);
    case EVENT_process_end: return child_ended(f, h, &e->u.process_end, item->time_ns);
    case EVENT_reap: children_reaped(&h->children, (int64_t)e->u.reap.pid); break;
    case EVENT_reaped_unseen: f->reaped_unseen += children_vanished(&h->children, e->u.reaped_unseen.pid); break;
    default: return 0;
    }
    return zombies_changed(h, item->time_ns);
}

/* --- by who started them --- */

static uint64_t add_zombies(const struct footprint *f, const struct footprint_host *h, uint64_t *by_maker)
{
    uint64_t nameless = children_add(&h->children, by_maker, f->starters.rows), all = children_zombies(&h->children);

    if (h->popen_maker && h->popen_maker != SEVERAL && nameless <= h->popens)
        by_maker[h->popen_maker - 1] += nameless;
    return all;
}

void footprint_orphan(struct footprint *f, struct footprint_host *h, bool counts)
{
    if (counts)
        f->zombies_left += add_zombies(f, h, f->zombies);
    h->unclear = children_unclear(&h->children);
    h->untold = h->children.in[CHILD_UNTOLD];
    children_free(&h->children);
}

uint64_t footprint_zombies(const struct footprint *f, uint64_t *by_maker)
{
    uint64_t all = f->zombies_left;

    memcpy(by_maker, f->zombies, f->starters.rows * sizeof *by_maker);
    for (size_t i = 0; i < f->count; i++)
        if (!f->host[i].ended && footprint_saw_load(f, &f->host[i]))
            all += add_zombies(f, &f->host[i], by_maker);
    return all;
}
