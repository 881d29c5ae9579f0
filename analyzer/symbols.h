/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for addresses: function, file and line, inlined frames, demangled C++ and Rust, through elfutils' libdw; names of code that a
 * JIT made, through its own list (jitnames.h).
 */
#ifndef PERFSHIM_SYMBOLS_H
#define PERFSHIM_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jitnames.h"
#include "process.h"

struct symbols;

struct symbols *symbols_new(void); /* NULL if memory is short */
void symbols_free(struct symbols *s);

/* Where lists of JITs are. Without this call none is read. */
void symbols_read_jit(struct symbols *s, const struct jitnames_lists *lists);

/* Those that are there and were not read, or not to their end, as far as code was asked about. NULL behind the last one. */
const struct jitnames_fault *symbols_jit_fault(const struct symbols *s, size_t i);

/* A place in code: the same in all processes that have the same file mapped, wherever they have it. */
struct symbol_place {
    uint32_t file;   /* 0: none, then offset is the address itself */
    uint64_t offset; /* in the file, of the byte before the return address; of code of a JIT the number of its name */
};
struct symbol_place symbols_place(struct symbols *s, const struct process *p, uint64_t return_address);

struct symbol_frame {
    char *text;     /* "function file.c:12", "function", or "module+0x1234" */
    char *function; /* without the place in the source */
    char *file;     /* NULL: not known; else the path that the compiler was given */
    int line;
    bool inlined; /* into the frame that follows */
    bool jit;     /* the name comes from a JIT's list */
    bool named;   /* false: the function is no name, but says where the code is */
}; /* texts are owned by the symbols */

/* The frames at a place, innermost first: inlined ones before the function that holds them. At most max are filled in; gives
 * how many, at least 1 if max is. Answers are cached. */
size_t symbols_at(struct symbols *s, struct symbol_place place, struct symbol_frame *out, size_t max);

/* The same for a return address in a process. */
size_t symbols_resolve(struct symbols *s, const struct process *p, uint64_t return_address, struct symbol_frame *out,
                       size_t max);

/* How the file of a place was mapped by the process that was asked about it first; path NULL: of no file. */
struct symbol_mapping {
    uint64_t start, end, file_offset;
    const char *path;
    const uint8_t *build_id; /* NULL: not known */
    uint32_t build_id_bytes;
};
struct symbol_mapping symbols_mapping(const struct symbols *s, struct symbol_place place);

/* The files asked about that are not any more what was recorded. Names are never taken from such a file. Gives false behind the
 * last one. */
struct symbol_change {
    const char *path;
    char recorded[2 * BUILD_ID_MAX + 1]; /* build ids, in hexadecimal */
    char now[2 * BUILD_ID_MAX + 1];      /* "": the file is gone, or has none */
    bool gone;
};
bool symbols_changed(const struct symbols *s, size_t i, struct symbol_change *out);

#endif
