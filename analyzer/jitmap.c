/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A text is read in one piece, and line feeds become ends of names; of a jitdump the names are gathered, and each function
 * or new place of one is a line. The lines are sorted by where their code begins. Code is freed and its place used anew
 * without a word, so lines overlap: the last one written counts. To find all that cover an address, each line knows how far
 * those before it reach.
 */
#include "jitmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "idmap.h"
#include "jitdump.h"

#define TEXT_MAX (64u << 20)
#define NAME_MAX_BYTES 1023
#define LINES_MAX (1u << 20) /* of a jitdump */
#define LOOK_BACK 4096 /* lines; a map that needs more is no JIT's */

struct line {
    uint64_t start, end;
    uint64_t reach; /* the largest end of this and all before it, in their order by start */
    uint32_t name, order; /* offset in the text; number of the line */
};

struct jitmap {
    char *text;
    size_t text_bytes, text_room; /* of a jitdump's names */
    struct line *lines;
    size_t count, room;
};

_Static_assert(JITDUMP_NAME_MAX == NAME_MAX_BYTES, "names are as long in both");

static bool is_trusted(int fd, const struct jitmap_source *s)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != s->owner[0] && st.st_uid != s->owner[1]))
        return false;
    int64_t written_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return written_ns >= s->from_ns && written_ns <= s->to_ns;
}

static bool line_add(struct jitmap *m, uint64_t start, uint64_t bytes, size_t name)
{
    if (m->count == m->room) {
        size_t room = 2 * m->room + 256;
        struct line *grown = realloc(m->lines, room * sizeof *grown);
        if (!grown)
            return false;
        m->lines = grown;
        m->room = room;
    }
    m->lines[m->count] = (struct line){.start = start, .end = start + bytes, .name = (uint32_t)name,
                                       .order = (uint32_t)m->count};
    m->count++;
    return true;
}

/* --- text --- */

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
    if (strlen(end + 1) > NAME_MAX_BYTES)
        end[1 + NAME_MAX_BYTES] = '\0';
    return line_add(m, start, bytes, (size_t)(end + 1 - m->text));
}

static bool read_map(struct jitmap *m, int fd)
{
    m->text = read_text(fd);
    for (char *line = m->text, *next; line && *line; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] != '\0');
        line[n] = '\0';
        if (!take_line(m, line))
            return false;
    }
    return m->text;
}

/* --- jitdumps --- */

/* Where the copy of a name begins; SIZE_MAX if memory is short. */
static size_t keep_name(struct jitmap *m, const char *name)
{
    size_t bytes = strlen(name) + 1, begin = m->text_bytes;

    if (m->text_room - m->text_bytes < bytes) {
        size_t room = 2 * m->text_room + 65536;
        char *grown = realloc(m->text, room);
        if (!grown)
            return SIZE_MAX;
        m->text = grown;
        m->text_room = room;
    }
    memcpy(m->text + begin, name, bytes);
    for (char *p = m->text + begin; (p = strchr(p, '\n'));)
        *p = ' ';
    m->text_bytes += bytes;
    return begin;
}

/* A function that was moved is known in both places: stacks may have met it in the first. False if memory is short. */
static bool take_code(struct jitmap *m, struct idmap *line_of, const struct jitdump_code *code)
{
    uint32_t known = code->moved ? idmap_get(line_of, code->index) : IDMAP_NONE;

    if (!code->moved) {
        size_t name = keep_name(m, code->name);
        return name != SIZE_MAX && idmap_put(line_of, code->index, (uint32_t)m->count) == 0 &&
               line_add(m, code->start, code->bytes, name);
    }
    if (known == IDMAP_NONE)
        return true;
    uint64_t bytes = m->lines[known].end - m->lines[known].start;
    return code->start + bytes < code->start || line_add(m, code->start, bytes, m->lines[known].name);
}

static bool read_dump(struct jitmap *m, int fd, struct error *e)
{
    struct idmap line_of = {.map = {.slots = NULL}}; /* by index of the function */
    struct jitdump_code code;
    struct jitdump dump;
    bool fits = jitdump_open(&dump, fd, e) == 0;

    while (fits && m->count < LINES_MAX && m->text_bytes < TEXT_MAX && jitdump_next(&dump, &code, e) == 1)
        fits = take_code(m, &line_of, &code);
    if (fits && (m->count >= LINES_MAX || m->text_bytes >= TEXT_MAX) && dump.next < dump.end)
        error_set(e, dump.next, "the jitdump tells of too much code: it is read up to here only");
    if (!fits)
        error_set(e, ERROR_NO_OFFSET, "memory is short: no names are taken from it"); /* unless that is told already */
    idmap_reset(&line_of);
    return fits;
}

/* --- both --- */

static int by_start(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void sort(struct jitmap *m)
{
    uint64_t reach = 0;

    if (m->count)
        qsort(m->lines, m->count, sizeof *m->lines, by_start);
    for (size_t i = 0; i < m->count; i++) {
        if (m->lines[i].end > reach)
            reach = m->lines[i].end;
        m->lines[i].reach = reach;
    }
}

int jitmap_path(const struct jitmap_source *source, enum jitmap_format format, char path[JITMAP_PATH_BYTES])
{
    int n = snprintf(path, JITMAP_PATH_BYTES, format == JITMAP_DUMP ? "%s/jit-%u.dump" : "%s/perf-%u.map",
                     source->directory, source->pid);
    return n < JITMAP_PATH_BYTES ? 0 : -1;
}

struct jitmap *jitmap_read(const struct jitmap_source *source, enum jitmap_format format, struct error *e)
{
    char path[JITMAP_PATH_BYTES];

    if (jitmap_path(source, format, path) < 0)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    struct jitmap *m = is_trusted(fd, source) ? calloc(1, sizeof *m) : NULL;
    bool fits = m && (format == JITMAP_DUMP ? read_dump(m, fd, e) : read_map(m, fd));
    close(fd);
    if (!fits) {
        jitmap_free(m);
        return NULL;
    }
    sort(m);
    return m;
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
    return last && m->text[last->name] ? m->text + last->name : NULL;
}
