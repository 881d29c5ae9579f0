/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of the text report: what keeps memory, descriptors, threads and children by route and call stack, and what connections are
 * like. */
#ifndef PERFSHIM_REPORT_TEXT_MEMORY_H
#define PERFSHIM_REPORT_TEXT_MEMORY_H

#include "page.h"
#include "report.h"

void report_text_kept(const struct page *p, const struct report *r);
void report_text_opened(const struct page *p, const struct report *r);
void report_text_connections(const struct page *p, const struct report *r);
void report_text_makers(const struct page *p, const struct report *r); /* of threads and children */

#endif
