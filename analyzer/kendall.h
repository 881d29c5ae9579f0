/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kendall's score of a series: how many more of its pairs rise than fall. What the test of Mann (1945) and Kendall for a trend
 * is made of, and what Theil-Sen's slope makes zero.
 */
#ifndef PERFSHIM_KENDALL_H
#define PERFSHIM_KENDALL_H

#define KENDALL_POINTS_MAX 200

/* Pairs i < j with y[i] < y[j] minus those with y[i] > y[j]. n: at most KENDALL_POINTS_MAX. */
long kendall_score(const double *y, unsigned n);

/* Standard deviation of the score of n independent values without ties. */
double kendall_deviation(unsigned n);

/* The test for a trend: the score in standard deviations, drawn towards 0 by one for continuity. The variance allows for ties
 * and for neighbours that depend on each other (Hamed and Rao 1998). 0: n is below 4, or all are equal. */
double kendall_trend(const double *y, unsigned n);

/* How likely a standard normal variable is to be above z. */
double kendall_tail(double z);

#endif
