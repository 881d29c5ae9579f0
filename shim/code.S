/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen(path, flags), dlmopen(namespace, path, flags), dlclose(handle): the first three argument registers are kept around
 * code_note (hook_code.c), and the real function sees the host's return address.
 */
    .macro  CODE_HOOK name, which, path
    .globl  \name
    .type   \name, @function
\name:
    .cfi_startproc
    pushq   %rdi
    .cfi_adjust_cfa_offset 8
    pushq   %rsi
    .cfi_adjust_cfa_offset 8
    pushq   %rdx
    .cfi_adjust_cfa_offset 8
    \path
    movl    $\which, %esi
    call    code_note
    popq    %rdx
    .cfi_adjust_cfa_offset -8
    popq    %rsi
    .cfi_adjust_cfa_offset -8
    popq    %rdi
    .cfi_adjust_cfa_offset -8
    jmp     *%rax
    .cfi_endproc
    .size   \name, .-\name
    .endm

    .text
    CODE_HOOK dlopen, 0, nop
    CODE_HOOK dlmopen, 1, "movq %rsi, %rdi"
    CODE_HOOK dlclose, 2, "xorl %edi, %edi"
    .section .note.GNU-stack,"",@progbits
