/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syscall(2), by number: node and Rust's tokio close descriptors this way. What is not named here passes
 * unseen.
 */
#include <stdarg.h>
#include <sys/syscall.h>

#include "desc.h"
#include "ops.h"
#include "real.h"
#include "thread.h"

long syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_close) {
        struct arena_thread *t = hook_enter();
        if (t)
            desc_close(t, (int)a[0], OP_syscall);
    } else {
        hook_enter(); /* makes sure that real.syscall is there */
    }
    return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
