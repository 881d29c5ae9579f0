/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERFSHIM_COVERAGE_H
#define PERFSHIM_COVERAGE_H

/* Prints how often the intervals of a slope cover the truth, for lines with noise of several kinds, so many cases of each. */
void coverage_print(unsigned cases);

#endif
