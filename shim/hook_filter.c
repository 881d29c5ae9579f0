/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that is about to restrict its own system calls (seccomp): from then on the shim must make none that the host might
 * not, because the answer to the first may be its death. seccomp(2) has no wrapper in libc: hook_syscall.c sees it.
 */
#include "filter.h"

#include <stdarg.h>
#include <sys/prctl.h>

#include "real.h"
#include "thread.h"

void filter_coming(void) { shim.filtered = 1; }

int prctl(int option, ...)
{
    va_list list;
    unsigned long a[4];

    va_start(list, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(list, unsigned long);
    va_end(list);
    hook_enter(); /* makes sure that real.prctl is there */
    if (option == PR_SET_SECCOMP)
        filter_coming();
    return real.prctl(option, a[0], a[1], a[2], a[3]);
}
