/* SPDX-License-Identifier: Apache-2.0 */
/* What the text reports are written on: 80 columns, headings in bold where there is colour, texts from the trace escaped. */
#ifndef PERFSHIM_PAGE_H
#define PERFSHIM_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PAGE_WIDTH 80

struct page {
    FILE *out;
    bool colour;
};

/* An escape sequence of that code, if there is colour. */
void page_paint(const struct page *p, const char *code);

/* In bold, after an empty line; the text brings its own line feed. */
void page_heading(const struct page *p, const char *text);

/* The escaped form of a text, or NULL if memory is short; to be freed. */
char *page_escaped(const char *text);

/* Columns of the text: bytes that do not continue a UTF-8 character. */
size_t page_columns(const char *s);

/* A name in a column of the given width, cut in its middle if it is longer. */
void page_name(FILE *out, const char *name, size_t width);

/* A text in lines of PAGE_WIDTH columns; the first begins at `column`, the others at `indent`. A word that no line can hold is
 * broken. */
void page_wrapped(FILE *out, const char *raw, size_t column, size_t indent);

#endif
