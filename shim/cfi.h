/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call frame information: from a program counter to the rule that leads to the caller's frame.
 *
 * Everything is read where the loader mapped it: no allocation, no lock, no system call, safe in signal handlers. Every read is
 * checked against the segment that it lies in, so that a damaged file ends a stack and not its host.
 */
#ifndef PERFSHIM_CFI_H
#define PERFSHIM_CFI_H

#include <stdbool.h>
#include <stdint.h>

/* Where the canonical frame address (CFA: the caller's rsp behind the call) is. The return address lies at CFA - 8. */
enum cfi_frame {
    CFI_ABSENT, /* no description of this code: a JIT's, or assembly without any */
    CFI_OPAQUE, /* described by something that no rule can express, or damaged */
    CFI_END,    /* nobody called this: the outermost frame */
    CFI_SIGNAL, /* the kernel's: a ucontext_t lies at rsp */
    CFI_RSP,    /* rsp + cfa */
    CFI_RBP,    /* rbp + cfa */
    CFI_AT_RSP, /* *(rsp + cfa) + add */
    CFI_AT_RBP, /* *(rbp + cfa) + add */
};

/* Where the caller's rbp is. */
enum cfi_rbp {
    CFI_RBP_SAME,
    CFI_RBP_AT_CFA, /* saved at CFA + rbp */
    CFI_RBP_AT_RBP, /* saved at rbp + rbp */
    CFI_RBP_LOST,
};

/* One word, so that it can be kept in a table without locks. */
struct cfi_rule {
    int32_t cfa;
    int16_t rbp;
    int8_t add;
    uint8_t frame : 4; /* enum cfi_frame */
    uint8_t rbp_from : 4; /* enum cfi_rbp */
};

_Static_assert(sizeof(struct cfi_rule) == 8, "a rule is one word");

/* A part of an object's mapping as _dl_find_object gives it: all of it, or for some programs one segment. */
struct cfi_piece {
    uintptr_t start, end;
};

/* A loaded object. */
struct cfi_object {
    struct cfi_piece code, tables; /* where pc is, and where .eh_frame_hdr is; often the same */
    uintptr_t bias;                /* what was added to the addresses in the file */
    uintptr_t header;              /* its .eh_frame_hdr, 0 if it has none */
};

/* The rule for the instruction at pc, which lies in the object. For a frame that has called, that is return address - 1. */
struct cfi_rule cfi_find(const struct cfi_object *object, uintptr_t pc);

#endif
