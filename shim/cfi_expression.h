/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DWARF expressions, run on values of the form "constant", "register + constant" and "word at (register + constant),
 * plus constant". That covers the two that compilers and linkers write (realigned stacks, the PLT, whose expression
 * depends on pc alone) and most of those in hand-written assembly.
 */
#ifndef PERFSHIM_CFI_EXPRESSION_H
#define PERFSHIM_CFI_EXPRESSION_H

#include "dwarf.h"

enum cfi_base { BASE_NONE, BASE_RSP, BASE_RBP, BASE_AT_RSP, BASE_AT_RBP };

/* base + offset, or for BASE_AT_*: *(register + inner) + offset */
struct cfi_value {
    int64_t offset;
    int32_t inner;
    uint8_t base; /* enum cfi_base */
};

/* Runs an expression as at pc. False: damaged, or its value is of no such form. */
bool cfi_evaluate(struct bytes expression, uintptr_t pc, struct cfi_value *result);

#endif
