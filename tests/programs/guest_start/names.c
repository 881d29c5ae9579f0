/* SPDX-License-Identifier: Apache-2.0 */
/* A host whose own functions and variables have the names that the shim's have. */
#include <stdio.h>
#include <stdlib.h>

int shim = 1, real = 2, thread_slot = 3, clock_uses_tsc = 4, gate = 5;
int shim_start(void), thread_attach(void), desc_open(void), desc_get(void), stack_id(void), ring_wait(void), say(void);
int launch_run(void), real_resolve(void), vfork_enter(void), fork_watch(void);

#define NAME(name, value) int name(void) { return value; }
NAME(shim_start, 1) NAME(thread_attach, 2) NAME(desc_open, 3) NAME(desc_get, 4) NAME(stack_id, 5) NAME(ring_wait, 6)
NAME(say, 7) NAME(launch_run, 8) NAME(real_resolve, 9) NAME(vfork_enter, 10) NAME(fork_watch, 11)

int main(void)
{
    void *volatile p = malloc(100);

    free(p);
    printf("%d %d\n", shim + real + thread_slot + clock_uses_tsc + gate,
           shim_start() + thread_attach() + desc_open() + desc_get() + stack_id() + ring_wait() + say() + launch_run() +
               real_resolve() + vfork_enter() + fork_watch());
    return 0;
}
