/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbols of a file, sorted: libdwfl walks its whole table for each address, which in a program like node takes milliseconds.
 */
#ifndef PERFSHIM_SYMINDEX_H
#define PERFSHIM_SYMINDEX_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

/* Begins as all zeros. */
struct symindex {
    bool made;
    struct symindex_row *rows;
    size_t count, room;
};

void symindex_reset(struct symindex *x);

/* The symbol that holds an address of the session, or begins before it without saying where it ends; NULL: none. The name lives as
 * long as the module. */
const char *symindex_name(struct symindex *x, Dwfl_Module *module, GElf_Addr address);

#endif
