/* SPDX-License-Identifier: Apache-2.0 */
/* The expansion of Abramowitz and Stegun, 26.7.5, is good from 5 degrees of freedom on; below stand the exact values. The tail is their
 * finite sum, 26.7.3 and 26.7.4. */
#include "student.h"

#include <math.h>

double student_95(double df)
{
    static const double few[] = {12.7062, 4.30265, 3.18245, 2.77645};
    const double z = 1.959964, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;

    if (df < 5)
        return few[df < 2 ? 0 : (int)df - 1];
    return z + (z3 + z) / (4 * df) + (5 * z5 + 16 * z3 + 3 * z) / (96 * df * df) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * df * df * df);
}

double student_tail(double t, unsigned df)
{
    double angle = atan(t / sqrt(df)), cosine = cos(angle), odd = df % 2, term = odd ? cosine : 1, sum = 0;

    for (unsigned k = odd ? 3 : 2; k <= df; k += 2) {
        sum += term;
        term *= cosine * cosine * (k - 1) / k;
    }
    double within = odd ? (angle + sin(angle) * sum) / M_PI_2 : sin(angle) * sum;
    return fmax(0, (1 - within) / 2);
}
