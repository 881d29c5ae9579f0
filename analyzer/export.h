/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites in the forms that other tools open. All sites are written, each in full.
 */
#ifndef PERFSHIM_EXPORT_H
#define PERFSHIM_EXPORT_H

#include <stdio.h>

#include "places.h"
#include "symbols.h"

/* Folded stacks: a line a site, the outermost frame first, `;` between frames, a space, and a whole number. Sites of which it is not above
 * 0 are left out. Inlined frames end with _[i], those of JITs with _[j]. Where callers are missing, the outermost
 * frame says so: [cut], [broken off], [no call stack]. figure: PLACE_FIGURES stands for the growth of the live bytes in an hour. -1 if the
 * output failed. */
int export_folded(const struct places *places, struct symbols *symbols, enum place_figure figure, FILE *out);

struct export_run {
    int64_t start_wall_ns, duration_ns;
    struct symbol_place program; /* somewhere in its code; file 0: not known */
};

/* A profile for pprof, compressed: analyzer/profile.proto. -1 if memory is short or the output failed. */
int export_pprof(const struct places *places, struct symbols *symbols, const struct export_run *run, FILE *out);

/* What is wrong with a stack, as a frame above its outermost one; NULL: nothing. */
const char *export_fault(const struct place *place);

#endif
