/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes that the user knows: path templates, one a line, or an OpenAPI 3 document in JSON.
 *
 *     # comment
 *     GET /users/{id}/posts
 *     /files/{name}.json      of any method
 *     GET /static/ and a *    whatever is below
 *
 * A parameter stands for one or more bytes of a segment. Where several templates fit, the most specific one wins, from left to
 * right: a literal segment before one with a parameter in it, that before one that is a parameter, that before "*".
 */
#ifndef PERFSHIM_ROUTEFILE_H
#define PERFSHIM_ROUTEFILE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "template.h"

#define ROUTEFILE_TEMPLATES_MAX 10000
#define ROUTEFILE_NONE (-1)

struct routefile;

/* NULL with *e, which names the line, if the file cannot be read or is wrong. */
struct routefile *routefile_read(const char *path, struct error *e);
/* The same of a text, which must be ended by NUL. */
struct routefile *routefile_parse(const char *text, size_t bytes, struct error *e);
void routefile_free(struct routefile *f);

/* The template that a request fits, or ROUTEFILE_NONE. */
int32_t routefile_match(const struct routefile *f, const char *method, size_t method_bytes, const struct template_path *path);

/* Its path as the file has it, behind the server's base path. */
const char *routefile_path(const struct routefile *f, int32_t index);
size_t routefile_count(const struct routefile *f);

#endif
