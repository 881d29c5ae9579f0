/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERFSHIM_STUDENT_H
#define PERFSHIM_STUDENT_H

/* The 97.5 % point of Student's distribution, for 95 % intervals: within 0.1 %. df: 1 or more. */
double student_95(double df);

/* How likely a variable of that distribution is to be above t, which is not negative. df: 1 or more. Below 1e-12 it may be 0. */
double student_tail(double t, unsigned df);

#endif
