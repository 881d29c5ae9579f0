/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How functions of the analyzer fail: they fill a struct error and return -1 or NULL; only main and the commands print.
 */
#ifndef PERFSHIM_ERROR_H
#define PERFSHIM_ERROR_H

#include <stdint.h>

#define ERROR_NO_OFFSET UINT64_MAX

struct error {
    char text[512];  /* what happened and what to do next: no file name, no line end; "" if nothing did */
    uint64_t offset; /* in the file, or ERROR_NO_OFFSET */
};

/* Fills e, unless it already tells of an earlier error; gives -1, so that callers can return it. */
int error_set(struct error *e, uint64_t offset, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prints "perfanalyze: FILE: offset N: text" and a newline to standard error. */
void error_print(const struct error *e, const char *file);

#endif
