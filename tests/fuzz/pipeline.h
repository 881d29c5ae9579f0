/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole analyzer on a trace that is in memory, as the commands run it: report as text and as JSON. What it prints must
 * hold no control character but the line's end, and the JSON must be JSON. A failed check aborts, as the fuzzer expects.
 */
#ifndef PERFSHIM_FUZZ_PIPELINE_H
#define PERFSHIM_FUZZ_PIPELINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Analyses a file of these bytes. Prints nothing. */
void pipeline_run(const uint8_t *file, size_t bytes);

/* Ends the program, saying why, unless the condition holds. */
#define MUST(condition) pipeline_must(condition, #condition, __FILE__, __LINE__)
static inline void pipeline_must(int holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    __builtin_trap();
}

#endif
