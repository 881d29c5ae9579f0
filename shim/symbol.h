/* SPDX-License-Identifier: Apache-2.0 */
/* Finding functions by name as the dynamic linker does, without asking it. */
#ifndef PERFSHIM_SYMBOL_H
#define PERFSHIM_SYMBOL_H

/* What a call of this name would reach if this library were not there: the definition in the first object behind it in the
 * program's search order. NULL: there is none. Allocates nothing, takes no lock, sets no dlerror; for the process's first
 * thread, before it loads anything by itself. */
void *symbol_next(const char *name);

/* What a call of this name reaches as things are. */
void *symbol_first(const char *name);

#endif
