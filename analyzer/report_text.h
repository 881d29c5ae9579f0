/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the text report that have files of their own. */
#ifndef PERFSHIM_REPORT_TEXT_H
#define PERFSHIM_REPORT_TEXT_H

#include "page.h"
#include "report.h"

/* Verdicts with where what they judge comes from (report_text_verdict.c), and growth as a picture (report_text_growth.c). */
void report_text_verdicts(const struct page *p, const struct report *r);
void report_text_growth(const struct page *p, const struct report *r);

/* Sites, by each order that was asked for, and the files that gave them no names (report_text_sites.c). */
void report_text_sites(const struct page *p, const struct report *r);

/* Where the time of requests went, how long they lay ready, and the slowest ones (report_text_split.c). */
void report_text_split(const struct page *p, const struct report *r);

/* Bytes of the connections that were found in messages, and messages that were pushed (report_text_coverage.c). */
void report_text_coverage(const struct page *p, const struct report *r);
/* What is under "other", and what is not in the user's file of routes (report_text_other.c). */
void report_text_other(const struct page *p, const struct report *r);

/* Requests in flight, over time and by what that did to latency (report_text_concurrency.c). */
void report_text_concurrency(const struct page *p, const struct report *r);

/* Routes whose latency depends on the size of requests or responses (report_text_scaling.c). */
void report_text_scaling(const struct page *p, const struct report *r);
/* TLS (report_text_tls.c). */
void report_text_tls(const struct page *p, const struct report *r);
/* Which routes asked which others, and how many upstream exchanges are linked (report_text_upstream.c). */
void report_text_upstream(const struct page *p, const struct report *r);
/* Streams and JSON-RPC methods, where there are any (report_text_streams.c). */
void report_text_streams(const struct page *p, const struct report_streams *s);

#endif
