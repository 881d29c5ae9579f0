/* SPDX-License-Identifier: Apache-2.0 */
/* The shim's only output: whole lines to standard error, "perfshim: " in front, one write each, no libc. */
#ifndef PERFSHIM_SAY_H
#define PERFSHIM_SAY_H

#include <stddef.h>
#include <stdint.h>

/* Once a process image, before anything is said: notes what standard error is. */
void say_start(void);

/* Says the parts, which end with NULL, as one line; control characters become '?'. Long lines are cut. Nothing is
 * written to what does not look like standard error any more. */
void say(const char *const *parts);

/* A number as text, in a buffer of the caller's; gives where it begins. */
#define SAY_NUMBER_BYTES 24
const char *say_number(char buffer[SAY_NUMBER_BYTES], int64_t value);

/* What an errno means, as far as the shim's own failures go. */
const char *say_errno(int error);

/* Copies as much of text as fits, always ended by NUL. */
void say_copy(char *out, size_t size, const char *text);

#endif
