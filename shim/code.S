/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dlopen(path, flags), dlmopen(namespace, path, flags): the argument registers are kept around code_note (hook_code.c), and
 * the real function sees the host's return address. There is a frame, because call stacks are taken in there: the shim's own
 * frames are left by their frame pointers.
 */
    .macro  CODE_HOOK name, which, path
    .globl  \name
    .type   \name, @function
\name:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    subq    $8, %rsp                /* calls are made with the stack aligned to 16 */
    \path
    movl    $\which, %esi
    call    code_note
    addq    $8, %rsp
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    .cfi_restore %rbp
    jmp     *%rax
    .cfi_endproc
    .size   \name, .-\name
    .endm

    .text
    CODE_HOOK dlopen, 0, nop
    CODE_HOOK dlmopen, 1, "movq %rsi, %rdi"
    .section .note.GNU-stack,"",@progbits
