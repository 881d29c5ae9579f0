/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of known truth: a live heap sampled once a second, the sum of a level, noise, a shape, and for leaks what follows the work
 * done. Each case has a number, from which all about it is drawn. */
#ifndef PERFSHIM_SHAPES_H
#define PERFSHIM_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdict.h"

#define MB 1e6

/* Draws. */
void shapes_seed(uint64_t seed);
double shapes_uniform(double low, double high);
double shapes_any_scale(double low, double high); /* log-uniform */
double shapes_gauss(void);
unsigned shapes_poisson(double mean); /* a count of what comes by chance; the mean is at most 700 */

extern const char *const shape_name[];
extern const size_t shape_count;
enum { SHAPE_LINEAR = 0 }; /* nothing but the level and noise */

bool shape_has_trend(size_t shape);    /* of its own, or of its load: then the slope is not that of the leak alone */
bool shape_undoes_leaks(size_t shape); /* by chance: then nothing grew */

struct outcome {
    struct verdict verdict;
    struct growth growth;
    double truth_per_s; /* bytes to be leaked for each second of the time judged, on average: the rate behind what this run leaked */
};

/* The verdict on a case of that shape and length that leaks so many bytes a second at full load. */
struct outcome shape_judge(size_t shape, double seconds, double leak_bytes_per_s);

#endif
