/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a route's latency depends on how large its requests and responses are: latencies by the power of two in which the size lies,
 * and the exponent p of latency ~ size^p, with its interval.
 *
 * Memory: 100 bytes for a route whose sizes stay within one power of two; else 1 KB, and a small histogram for each power.
 */
#ifndef PERFSHIM_SCALING_H
#define PERFSHIM_SCALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"

struct exchange;

#define SCALING_SIZES 41 /* powers of two up to 2^40, the last one holds all above */

enum scaling_axis { SCALING_REQUEST, SCALING_RESPONSE, SCALING_AXES };
extern const char *const scaling_axis_name[SCALING_AXES]; /* "request", "response" */

struct scaling;

struct scaling *scaling_new(void); /* NULL if memory is short. The other functions take NULL. */
void scaling_free(struct scaling *s);

/* Adds an exchange; before: the latencies of all that were added so far. */
void scaling_add(struct scaling *s, const struct hist *before, const struct exchange *x);

/* Adds all of another route's; the histograms have the latencies of each. */
void scaling_merge(struct scaling **into, const struct scaling *from, const struct hist *into_ns, const struct hist *from_ns);

struct scaling_row {
    uint64_t from_bytes; /* up to twice as many, less one */
    uint64_t requests;
    double mean_bytes, mean_ns, p25_ns, p50_ns, p75_ns;
};

struct scaling_result {
    struct scaling_row row[SCALING_SIZES];
    size_t rows; /* smallest sizes first */
    bool fitted; /* false: too few requests, or sizes too near each other; then nothing below is filled */
    double exponent, low, high;  /* 95 % */
    double from_bytes, to_bytes; /* mean sizes of the first and last row that it is from */
    double from_ns, to_ns;       /* and their median latencies */
    bool worse_than_linear;      /* surely */
};

/* False, and nothing filled: the sizes never differed by a power of two, or memory was short. */
bool scaling_result(const struct scaling *s, enum scaling_axis axis, struct scaling_result *out);

/* The fit alone, of the rows. */
void scaling_fit(struct scaling_result *r);

#endif
