/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a path can be told from itself alone: its segments in one spelling, and which of them are certainly values and not
 * words. What only many paths together tell is pathtree.h's.
 *
 * Paths come from the trace and may be anything: results are printable ASCII and bounded.
 */
#ifndef PERFSHIM_TEMPLATE_H
#define PERFSHIM_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_SEGMENTS_MAX 24
#define TEMPLATE_PATH_MAX 600 /* bytes of the segments together; of a longer path the rest is TEMPLATE_REST */
#define TEMPLATE_REST "..."
#define TEMPLATE_VALUE "{id}"

/* A path as segments. "/a/b" has two, "/a/b/" a third one that is empty, "/" one that is empty. */
struct template_path {
    bool rooted; /* begins with a slash; "*" does not */
    uint8_t count;
    uint16_t start[TEMPLATE_SEGMENTS_MAX + 1]; /* into text; segment i ends before start[i + 1] */
    uint16_t bytes;
    char text[TEMPLATE_PATH_MAX + 64];
};

static inline const char *template_segment(const struct template_path *p, unsigned i) { return p->text + p->start[i]; }
static inline size_t template_bytes(const struct template_path *p, unsigned i) { return (size_t)(p->start[i + 1] - p->start[i]); }

/* Splits a path and gives it one spelling (RFC 3986, 6.2.2): escapes of letters, digits and -._~ are undone, others are in upper
 * case; %2F is no slash; "." and ".." are resolved; several slashes are one. Bytes that have no place in a path are escaped. */
void template_split(struct template_path *p, const char *path, size_t n);

/* Writes a segment, or a part of one, in that spelling: as much as there is room for. Gives how many bytes that is. */
size_t template_spell(char *out, size_t room, const char *p, size_t n);

/* The same path with its certain values taken out: "{id}", "{id}.png", "app.{hash}.js". out is not p. */
void template_values(struct template_path *out, const struct template_path *p);

/* Does a segment look like one of many of its kind: has it a digit, or is it several words? */
bool template_is_slug(const char *segment, size_t n);

#endif
