/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <signal.h>

#include "raw.h"
#include "state.h"

static bool on_alternate_stack(void)
{
    stack_t alternate;

    return shim.filtered || raw2(SYS_sigaltstack, 0, (long)&alternate) != 0 || alternate.ss_flags & SS_ONSTACK;
}

/* Stacks grow down: a live frame that we were called from is above ours. */
bool frame_is_gone(uintptr_t then, uintptr_t now) { return now >= then && !on_alternate_stack(); }
