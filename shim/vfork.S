/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfork cannot be wrapped in C: the child returns from the function that the parent is still in, and overwrites its stack
 * frame. As libc's own, this keeps the return address in a register (rdi, which the kernel preserves) across the call.
 */
    .text
    .globl  vfork
    .type   vfork, @function
vfork:
    .cfi_startproc
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    call    vfork_enter
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %rdi
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rdi
    movl    $58, %eax               /* __NR_vfork */
    syscall
    pushq   %rdi
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rip, 0
    testq   %rax, %rax
    jz      1f                      /* the child */
    pushq   %rbp                    /* a frame, because the call stack is taken in there (code.S) */
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    pushq   %rax
    .cfi_adjust_cfa_offset 8
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq    %rax, %rdi
    call    vfork_leave
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %rax
    .cfi_adjust_cfa_offset -8
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    testq   %rax, %rax
    js      2f
1:  ret
2:  negq    %rax
    pushq   %rax
    .cfi_adjust_cfa_offset 8
    call    __errno_location@PLT
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    movl    %ecx, (%rax)
    movq    $-1, %rax
    ret
    .cfi_endproc
    .size   vfork, .-vfork
    .section .note.GNU-stack,"",@progbits
