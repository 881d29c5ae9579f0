/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERFSHIM_STUDENT_H
#define PERFSHIM_STUDENT_H

/* The 97.5 % point of Student's distribution, for 95 % intervals: within 0.1 %. df: 1 or more. */
double student_95(double df);

#endif
