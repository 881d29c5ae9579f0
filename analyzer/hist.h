/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histogram of nanoseconds with logarithmic buckets split linearly, as HdrHistogram has them: values from 0 to 2^62, every
 * quantile within 0.4 % (1/256) of a true one, exact minimum, maximum, mean and standard deviation. Fixed memory.
 */
#ifndef PERFSHIM_HIST_H
#define PERFSHIM_HIST_H

#include <stdint.h>

struct hist;

struct hist *hist_new(void); /* NULL if memory is short */
void hist_free(struct hist *h);
void hist_add(struct hist *h, int64_t value); /* negative values count as 0 */
void hist_merge(struct hist *h, const struct hist *other); /* as if all values of the other had been added */
void hist_clear(struct hist *h); /* may be NULL */
uint64_t hist_count(const struct hist *h);

/* All are NaN for an empty histogram. quantile: q in [0, 1], nearest rank. stddev: of the sample, NaN below 2 values. */
double hist_min(const struct hist *h);
double hist_max(const struct hist *h);
double hist_mean(const struct hist *h);
double hist_stddev(const struct hist *h);
double hist_quantile(const struct hist *h, double q);

#endif
