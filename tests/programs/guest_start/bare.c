/* SPDX-License-Identifier: Apache-2.0 */
/* Has no start files and no constructors: nothing but malloc, free and exit. */
#include <stdlib.h>
#include <unistd.h>

void _start(void);

__attribute__((force_align_arg_pointer)) void _start(void)
{
    int good = 0;

    for (int i = 0; i < 100; i++) {
        void *volatile p = malloc((size_t)i + 1);
        good += p != NULL;
        free(p);
    }
    _exit(good);
}
