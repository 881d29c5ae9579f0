/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds how much of the heap: sums of objects by site and in all, estimated where objects were drawn.
 *
 * An object stands for sample_weight() objects of its size (formats/sample.h): 1, and all sums are whole numbers, where each
 * allocation was recorded. Variances are of the estimates, and 0 there. What a drawn object stands for is rounded so that sums
 * are exact in double precision, up to 2^43 bytes: they do not depend on any order, and nothing is left of what is gone.
 */
#ifndef PERFSHIM_HOLDINGS_H
#define PERFSHIM_HOLDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "live.h"
#include "site.h"

struct holdings {
    struct site_table sites;
    struct site_sums all; /* alloc_bytes: usable bytes; all others as asked for */
    double peak_bytes;    /* the most that was ever live */
    uint64_t peaks;       /* times that there was a new peak */
    bool told;            /* sums were told, not counted, since it was last looked whether they are a peak */
    bool drawn;           /* some objects were */
};

void holdings_free(struct holdings *h);

/* An allocation, live or not. */
void holdings_allocated(struct holdings *h, uint32_t site, uint64_t size, uint64_t slack, unsigned shift);

/* Its object becomes live, or ends being so. */
void holdings_gain(struct holdings *h, const struct live_object *object);
void holdings_lose(struct holdings *h, const struct live_object *object);

/* A live object is about to be freed by its thread, before that allocates again. Of drawn objects nobody knows that. */
void holdings_temporary(struct holdings *h, const struct live_object *object);

/* Now the object was freed, and no longer lived than that. */
void holdings_aged(struct holdings *h, const struct live_object *object, uint32_t freed);

/* At the end: what survives of each site. live: the ages of its live objects, for each site. */
void holdings_survived(struct holdings *h, const struct survival_live *live);

/* A site's sums are these; freed_age in units. */
void holdings_told(struct holdings *h, uint32_t site, const struct event_site *told, uint32_t freed_age);
/* All sums of one time were told. */
void holdings_told_all(struct holdings *h);

/* What the site held when the most was live. */
double holdings_at_peak(const struct holdings *h, const struct site *site);

/* What an object stands for: so many, so many bytes; and its part in their variances. */
struct portion {
    double count, bytes, count_variance, bytes_variance;
};
struct portion holdings_drawn(uint64_t size, unsigned shift);
static inline struct portion holdings_portion(uint64_t size, unsigned shift)
{
    return shift ? holdings_drawn(size, shift) : (struct portion){1, (double)size, 0, 0};
}

#endif
