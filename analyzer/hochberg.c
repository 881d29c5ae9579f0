/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57, 1995: the k-th
 * smallest of n p-values is compared with k / n of the rate, and the largest k that passes counts. It also holds for tests that
 * depend on each other positively (Benjamini and Yekutieli 2001), as sites of one load do.
 */
#include "hochberg.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double hochberg_threshold(double *p, size_t n, double rate)
{
    if (n) /* of none p may be NULL, which qsort must not be given */
        qsort(p, n, sizeof *p, compare);
    for (size_t k = n; k > 0; k--)
        if (p[k - 1] <= rate * (double)k / (double)n)
            return p[k - 1];
    return -1;
}
