/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from a trace on its way to a terminal or a log. A trace may come from anywhere: no byte of it may move a cursor,
 * start an escape sequence, break a line or turn the direction of writing.
 *
 * Printable UTF-8 stays as it is; everything else is written as \n, \t, \r, \\, \" or \xNN.
 */
#ifndef PERFSHIM_ESCAPE_H
#define PERFSHIM_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

void escape_print(FILE *out, const void *text, size_t bytes);

#endif
