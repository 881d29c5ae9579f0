/* SPDX-License-Identifier: Apache-2.0 */
/*
 * void *cxx_call(size_t a, size_t b, const void *c, void *function): calls an allocator's operator new, which may throw.
 * This frame's personality (hook_cxx.c) then hears of the exception that passes: C has no other way to, but for one that
 * would make libgcc_s a library of the host's.
 */
    .text
    .globl  cxx_call
    .hidden cxx_call
    .type   cxx_call, @function
cxx_call:
    .cfi_startproc
    .cfi_personality 0x1b, cxx_passing     /* 0x1b: relative to here, four bytes */
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    call    *%rcx
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size   cxx_call, .-cxx_call
    .section .note.GNU-stack,"",@progbits
