/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost is measured: the time that a process's hooks say they took for what they recorded of the heap, and the recorder's for
 * these events. The counting of every allocation is not in it: no interval makes that cheaper.
 *
 * Far over budget, the interval grows at once by the factor that it is over; else it changes only by what a fifth of a second of
 * processor time showed, as the hooks time only a share of their calls. Under a third of the budget it is halved. The interval that matters is between the mean size of an allocation, below which
 * nearly all are recorded, and 256 times that, above which hardly any is.
 */
#include "budget.h"

#include "recorder.h"
#include "sample.h"

#define FAR_OVER 4
#define FAR_OVER_CPU_NS 10000000ull /* processor time that shows it */
#define LOOK_CPU_NS 200000000ull    /* that shows the rest */
#define EVENTS_MIN 1000 /* between two looks, to say what one costs */
#define THIN_SHIFTS 8 /* above the mean size, one allocation in 256 is recorded: the rest of the cost is not detail */

struct load {
    uint64_t detail_ticks, alloc_count, alloc_bytes;
};

static void add_ledger(struct load *load, const struct arena_ledger *l)
{
    load->alloc_count += l->alloc_count;
    load->alloc_bytes += l->alloc_bytes;
}

static struct load load_of(const struct recorder *r, uint32_t index)
{
    const struct host *h = &r->hosts[index];
    struct load load = {.detail_ticks = h->ended.cost_detail};
    uint32_t high = atomic_load_explicit(&r->arena->threads_high, memory_order_acquire);

    add_ledger(&load, &h->ended.ledger);
    for (uint32_t i = 0; i < high && i < r->thread_capacity; i++)
        if (r->guests[i].known && r->guests[i].host == index) {
            load.detail_ticks += r->threads[i].cost_detail_ticks;
            add_ledger(&load, &r->threads[i].ledger);
        }
    return load;
}

/* The shift whose interval is the mean size. */
static unsigned mean_shift(const struct load *load)
{
    uint64_t mean = load->alloc_count ? load->alloc_bytes / load->alloc_count : 0;
    unsigned shift = 1;

    while (shift < SAMPLE_SHIFT_MAX - THIN_SHIFTS && 1ull << shift < mean)
        shift++;
    return shift;
}

/* By how many doublings a cost is over what it may be. */
static unsigned doublings(double cost, double allowed)
{
    unsigned n = 1;

    while (n < THIN_SHIFTS && cost > allowed * (double)(1u << n))
        n++;
    return n;
}

static unsigned next_shift(unsigned shift, unsigned mean, double share, double allowed)
{
    unsigned most = mean + THIN_SHIFTS > shift ? mean + THIN_SHIFTS : shift;

    if (share > allowed) {
        unsigned to = (shift > mean ? shift : mean) + doublings(share, allowed);
        return to < most ? to : most;
    }
    if (shift == 0 || share > allowed / 3)
        return shift;
    return shift > mean ? shift - 1 : 0;
}

static void tell(struct host *h, unsigned shift, uint64_t ticks, uint64_t now_ns)
{
    struct event e = {.time = ticks, .type = EVENT_sampling};

    if (h->budget.told == shift + 1)
        return;
    h->budget.told = shift + 1;
    e.u.sampling.shift = shift;
    track_add(&h->track, &e, now_ns);
}

static void look_at(struct recorder *r, uint32_t index, double ns_per_tick, double ns_per_event, uint64_t now_ns)
{
    struct host *h = &r->hosts[index];
    struct budget *b = &h->budget;
    struct load load = load_of(r, index);
    uint64_t cpu_ns = gauge_cpu_ns(h->pid);
    unsigned shift = atomic_load_explicit(&r->procs[index].heap_shift, memory_order_relaxed);

    if (!b->told)
        tell(h, shift, atomic_load(&r->procs[index].start_ticks), now_ns);
    if (cpu_ns != EVENT_UNKNOWN && cpu_ns - b->cpu_ns >= FAR_OVER_CPU_NS) {
        double cost_ns = (double)(load.detail_ticks - b->detail_ticks) * ns_per_tick +
                         (double)(h->heap_events - b->heap_events) * ns_per_event;
        double share = cost_ns / (double)(cpu_ns - b->cpu_ns), allowed = r->arena->budget / 100.0;
        if (share > FAR_OVER * allowed || cpu_ns - b->cpu_ns >= LOOK_CPU_NS) {
            shift = next_shift(shift, mean_shift(&load), share, allowed);
            *b = (struct budget){cpu_ns, load.detail_ticks, h->heap_events, b->told};
            atomic_store_explicit(&r->procs[index].heap_shift, shift, memory_order_relaxed);
        }
    }
    tell(h, shift, clock_ticks(), now_ns);
}

void budget_watch(struct recorder *r, uint64_t now_ns)
{
    uint32_t high = atomic_load(&r->arena->procs_high);
    uint64_t ticks = clock_ticks(), cpu_ns = gauge_own_cpu_ns();
    struct budget_rates *last = &r->rates;

    double ns_per_tick = last->ticks && ticks > last->ticks ? (double)(now_ns - last->now_ns) / (double)(ticks - last->ticks) : 0;
    uint64_t events = r->drained_events - last->drained_events;
    double ns_per_event = last->ns_per_event;
    double now_per_event = events > EVENTS_MIN ? (double)(cpu_ns - last->cpu_ns) / (double)events : 0;
    if (now_per_event > 0 && (ns_per_event <= 0 || now_per_event < ns_per_event))
        ns_per_event = now_per_event; /* the least: the rest is not for events */
    if (r->heap_mode == HEAP_AUTO && ns_per_tick > 0)
        for (uint32_t i = 0; i < high && i < r->proc_capacity; i++)
            if (r->hosts[i].known)
                look_at(r, i, ns_per_tick, ns_per_event, now_ns);
    double busy = (double)(cpu_ns - last->cpu_ns) / (double)(now_ns - last->now_ns);
    *last = (struct budget_rates){now_ns, ticks, cpu_ns, r->drained_events, ns_per_event, busy};
}
