/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of intercepted calls in this build's traces (a trace carries the names: event `op`). 0 and 1 are no calls. */
#ifndef PERFSHIM_OPS_H
#define PERFSHIM_OPS_H

enum op {
    OP_unseen,    /* a descriptor that came by a call that we do not see */
    OP_inherited, /* one that the process image began with */
#define HOOK(name, subject) OP_##name,
#include "hooks.def"
#undef HOOK
    OP_COUNT
};

#endif
