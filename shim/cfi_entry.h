/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of .eh_frame: .eh_frame_hdr holds a sorted table of functions; each leads to a frame description (FDE) in
 * .eh_frame, and that to its common part (CIE).
 */
#ifndef PERFSHIM_CFI_ENTRY_H
#define PERFSHIM_CFI_ENTRY_H

#include "cfi.h"
#include "dwarf.h"

/* What CIE and FDE say of a function. */
struct cfi_description {
    uintptr_t start; /* of the function */
    uint64_t length;
    uint64_t code_align;
    int64_t data_align;
    bool is_signal;
    struct bytes common, own; /* the programs */
};

/* The bytes from address up to the end of what can be read there; failed if that is nothing of the object's. */
struct bytes cfi_readable(const struct cfi_object *object, uintptr_t address);

/* The address of the FDE whose function is the last to begin at or before pc; 0: none, *damaged if that is for sure no
 * answer. */
uintptr_t cfi_search(const struct cfi_object *object, uintptr_t pc, bool *damaged);

/* Reads the FDE at the address, and its CIE. False: damaged, or of a kind that is not known here. */
bool cfi_describe(const struct cfi_object *object, uintptr_t address, struct cfi_description *description);

#endif
