/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks such as "inside the allocator" are set by a hook and taken back by the same hook. A signal handler that leaves by
 * longjmp, or an exception, can carry the thread out of the hook without that. So a mark is the address of the frame that set it:
 * a later hook whose frame is not below it on the same stack proves that the frame is gone.
 */
#ifndef PERFSHIM_FRAME_H
#define PERFSHIM_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_HERE() ((uintptr_t)__builtin_frame_address(0))

/* Whether the frame `then` of this thread is gone, as seen from the frame `now`. A handler on an alternate stack tells
 * nothing about the frames it interrupted: false. */
bool frame_is_gone(uintptr_t then, uintptr_t now);

#endif
