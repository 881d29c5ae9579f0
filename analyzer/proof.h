/* SPDX-License-Identifier: Apache-2.0 */
/* The backward proof: whom an upstream response served, by whom its thread then answered (link.c has the rules). */
#ifndef PERFSHIM_PROOF_H
#define PERFSHIM_PROOF_H

#include "upcall.h"

/* Thread t now writes bytes of the response to f, which it has read itself, perhaps the first ones. */
void proof_answered(struct upcall_table *u, struct round *t, struct flight *f, bool first, int64_t now_ns);

#endif
