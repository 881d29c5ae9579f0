/* SPDX-License-Identifier: Apache-2.0 */
/* Columns are counted in characters, not bytes; what is escaped has no others than those of one column. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "escape.h"

void page_paint(const struct page *p, const char *code)
{
    if (p->colour)
        fprintf(p->out, "\033[%sm", code);
}

void page_heading(const struct page *p, const char *text)
{
    putc('\n', p->out);
    page_paint(p, "1");
    fprintf(p->out, "%s", text);
    page_paint(p, "0");
}

/* The escaped form of a text, or NULL if memory is short; to be freed. */
char *page_escaped(const char *text)
{
    char *result = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&result, &bytes);
    if (!f)
        return NULL;
    escape_print(f, text, strlen(text));
    if (fclose(f)) {
        free(result);
        return NULL;
    }
    return result;
}

/* Columns of the text: bytes that do not continue a UTF-8 character. */
size_t page_columns(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

static const char *skip_columns(const char *s, size_t n)
{
    for (; *s && n; n--)
        do
            s++;
        while ((*s & 0xc0) == 0x80);
    return s;
}

/* A name in a column of the given width. */
void page_name(FILE *out, const char *name, size_t width)
{
    char *text = page_escaped(name);
    size_t n = text ? page_columns(text) : 0;
    if (text && n <= width) {
        fprintf(out, "%s%*s", text, (int)(width - n), "");
    } else if (text) {
        size_t head = (width - 2) / 2, tail = width - 2 - head;
        fprintf(out, "%.*s..%s", (int)(skip_columns(text, head) - text), text, skip_columns(text, n - tail));
    }
    free(text);
}

/* A text in lines of PAGE_WIDTH columns; the first begins at `column`, the others at `indent`. A word that no line can hold is
 * broken. */
void page_wrapped(FILE *out, const char *raw, size_t column, size_t indent)
{
    char *text = page_escaped(raw), *save = NULL;
    bool fresh = true;
    for (char *word = text ? strtok_r(text, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
        size_t n = page_columns(word);
        if (!fresh && column + 1 + n > PAGE_WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            fresh = true;
        }
        for (; n > PAGE_WIDTH - column && n > PAGE_WIDTH - indent; n = page_columns(word), column = indent) {
            const char *end = skip_columns(word, PAGE_WIDTH - column);
            fprintf(out, "%.*s\n%*s", (int)(end - word), word, (int)indent, "");
            word += end - word;
        }
        fprintf(out, "%s%s", fresh ? "" : " ", word);
        column += n + !fresh;
        fresh = false;
    }
    putc('\n', out);
    free(text);
}
