/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text is read in one piece, line feeds become ends of names, and the lines are sorted by where their code begins. Code
 * is freed and its place used anew without a word, so lines overlap: the last one written counts. To find all that cover an
 * address, each line knows how far those before it reach.
 */
#include "jitmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (64u << 20)
#define NAME_MAX_BYTES 1023
#define LOOK_BACK 4096 /* lines; a map that needs more is no JIT's */

struct line {
    uint64_t start, end;
    uint64_t reach; /* the largest end of this and all before it, in their order by start */
    uint32_t name, order; /* offset in the text; number of the line */
};

struct jitmap {
    char *text;
    struct line *lines;
    size_t count, room;
};

static bool is_trusted(int fd, const struct jitmap_source *s)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != s->owner[0] && st.st_uid != s->owner[1]))
        return false;
    int64_t written_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return written_ns >= s->from_ns && written_ns <= s->to_ns;
}

static char *read_text(int fd)
{
    size_t room = 65536, used = 0;
    char *text = malloc(room);

    while (text) {
        ssize_t got = used < TEXT_MAX ? read(fd, text + used, room - 1 - used) : 0;
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used < room - 1)
            continue;
        char *grown = realloc(text, room *= 2);
        if (!grown)
            free(text);
        text = grown;
    }
    if (text)
        text[used] = '\0';
    return text;
}

/* False if memory is short. A line that is none is stepped over. */
static bool take_line(struct jitmap *m, char *line)
{
    char *end;
    uint64_t start = strtoull(line, &end, 16);
    uint64_t bytes = *end == ' ' ? strtoull(end + 1, &end, 16) : 0;

    if (!bytes || *end != ' ' || !end[1] || start + bytes < start)
        return true;
    if (m->count == m->room) {
        size_t room = 2 * m->room + 256;
        struct line *grown = realloc(m->lines, room * sizeof *grown);
        if (!grown)
            return false;
        m->lines = grown;
        m->room = room;
    }
    if (strlen(end + 1) > NAME_MAX_BYTES)
        end[1 + NAME_MAX_BYTES] = '\0';
    m->lines[m->count] = (struct line){.start = start, .end = start + bytes, .name = (uint32_t)(end + 1 - m->text),
                                       .order = (uint32_t)m->count};
    m->count++;
    return true;
}

static int by_start(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static bool parse(struct jitmap *m)
{
    for (char *line = m->text, *next; *line; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] != '\0');
        line[n] = '\0';
        if (!take_line(m, line))
            return false;
    }
    if (m->count)
        qsort(m->lines, m->count, sizeof *m->lines, by_start);
    uint64_t reach = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->lines[i].end > reach)
            reach = m->lines[i].end;
        m->lines[i].reach = reach;
    }
    return true;
}

struct jitmap *jitmap_read(const struct jitmap_source *source)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/perf-%u.map", source->directory, source->pid) >= (int)sizeof path)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    struct jitmap *m = is_trusted(fd, source) ? calloc(1, sizeof *m) : NULL;
    if (m)
        m->text = read_text(fd);
    close(fd);
    if (m && m->text && parse(m))
        return m;
    jitmap_free(m);
    return NULL;
}

void jitmap_free(struct jitmap *m)
{
    if (!m)
        return;
    free(m->lines);
    free(m->text);
    free(m);
}

const char *jitmap_name(const struct jitmap *m, uint64_t address, bool *again)
{
    const struct line *last = NULL;
    size_t low = 0, high = m->count;

    *again = false;
    while (low < high) { /* the first line that begins behind the address */
        size_t middle = low + (high - low) / 2;
        if (m->lines[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low, looked = 0; i-- > 0 && looked < LOOK_BACK && m->lines[i].reach > address; looked++) {
        const struct line *line = &m->lines[i];
        if (line->end <= address)
            continue;
        const struct line *other = last && last->order > line->order ? line : last;
        last = last && last->order > line->order ? last : line;
        *again |= other && strcmp(m->text + other->name, m->text + last->name) != 0;
    }
    return last ? m->text + last->name : NULL;
}
