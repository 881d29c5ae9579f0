/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2), by number: node and Rust's tokio close descriptors this way, and the unwinder tests addresses by it. What is
 * not named here passes unseen.
 */
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "desc.h"
#include "filter.h"
#include "ops.h"
#include "real.h"
#include "stack.h"
#include "thread.h"

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_write && (int)a[0] == STACK_NO_PIPE)
        return stack_no_pipe_write((const void *)a[1]);
    if (number == SYS_seccomp) {
        filter_coming();
        struct arena_thread *silenced = filter_strict(a[0] == SECCOMP_SET_MODE_STRICT);
        return filter_strict_done(silenced, real.syscall(number, a[0], a[1], a[2]));
    }
    if (number == SYS_close) {
        struct arena_thread *t = hook_enter();
        if (t)
            desc_close(t, (int)a[0], OP_syscall);
    } else {
        hook_enter(); /* makes sure that real.syscall is there */
    }
    return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
