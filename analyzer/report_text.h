/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the text report that have files of their own. */
#ifndef PERFSHIM_REPORT_TEXT_H
#define PERFSHIM_REPORT_TEXT_H

#include "page.h"
#include "report.h"

/* Sites, by each order that was asked for, and the files that gave them no names (report_text_sites.c). */
void report_text_sites(const struct page *p, const struct report *r);

/* Streams and JSON-RPC methods, where there are any (report_text_streams.c). */
void report_text_streams(const struct page *p, const struct report_streams *s);

#endif
