/* SPDX-License-Identifier: Apache-2.0 */
/* Which of many tests may be believed. */
#ifndef PERFSHIM_HOCHBERG_H
#define PERFSHIM_HOCHBERG_H

#include <stddef.h>

/* Of n tests with these p-values (no NaN; sorted by this): those up to the value given may be believed, and of all that are so
 * believed, a share of `rate` or less is expected to be wrong. Below 0: none. */
double hochberg_threshold(double *p, size_t n, double rate);

#endif
