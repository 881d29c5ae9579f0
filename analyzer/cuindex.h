/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which compilation unit of a file holds an address. libdw's own index is .debug_aranges, which clang and others leave out: then all
 * units are walked once, for their ranges.
 */
#ifndef PERFSHIM_CUINDEX_H
#define PERFSHIM_CUINDEX_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

struct cuindex_range;

/* Begins as all zeros. */
struct cuindex {
    bool made;
    struct cuindex_range *ranges;
    size_t count, room;
};

void cuindex_reset(struct cuindex *x);

/* The unit that holds an address of the session, and what to take off to have it as DWARF does. NULL: none is known to. *own is room
 * for a unit. */
Dwarf_Die *cuindex_find(struct cuindex *x, Dwfl_Module *module, GElf_Addr address, Dwarf_Die *own, Dwarf_Addr *bias);

#endif
