/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for addresses: function, file and line, inlined frames, demangled C++ and Rust, through elfutils' libdw.
 */
#ifndef PERFSHIM_SYMBOLS_H
#define PERFSHIM_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"

struct symbols;

struct symbols *symbols_new(void); /* NULL if memory is short */
void symbols_free(struct symbols *s);

struct symbol_frame {
    char *text; /* "function file.c:12", "function", or "module+0x1234"; owned by the symbols */
    bool inlined; /* into the frame that follows */
};

/* The frames for a return address in a process, innermost first: inlined ones before the function that holds them. At
 * most max are filled in; gives how many, at least 1 if max is. Cached by (module, offset). */
size_t symbols_resolve(struct symbols *s, const struct process *p, uint64_t return_address, struct symbol_frame *out,
                       size_t max);

#endif
