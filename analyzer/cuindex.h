/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which compilation unit of a file holds an address, and which function of it.
 *
 * libdw has functions for both, which do not do: its index of units is .debug_aranges, which clang and others leave out; and when it
 * looks for a function it passes by whatever has no addresses itself, which are namespaces (so most of Rust) and the
 * functions that lambdas stand in.
 */
#ifndef PERFSHIM_CUINDEX_H
#define PERFSHIM_CUINDEX_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

#include "idmap.h"

/* Ranges of addresses, each of a DIE, sorted by their beginnings. */
struct cuindex_list {
    struct cuindex_range *ranges;
    size_t count, room;
};

/* Begins as all zeros. */
struct cuindex {
    bool made;
    struct cuindex_list units;
    struct cuindex_list *functions; /* of each unit that was asked about */
    size_t function_lists;
    struct idmap list_of; /* by offset of the unit */
};

void cuindex_reset(struct cuindex *x);

/* The unit that holds an address of the session, and what to take off to have it as DWARF does. False: none is known to. */
bool cuindex_unit(struct cuindex *x, Dwfl_Module *module, GElf_Addr address, Dwarf_Die *unit, Dwarf_Addr *bias);

/* The function of the unit that holds an address, as DWARF has it. False: none is known to, or memory is short. */
bool cuindex_function(struct cuindex *x, Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Die *function);

#endif
