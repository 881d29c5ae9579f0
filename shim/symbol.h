/* SPDX-License-Identifier: Apache-2.0 */
/* Finding functions by name as the dynamic linker does, without asking it. */
#ifndef PERFSHIM_SYMBOL_H
#define PERFSHIM_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

/* What a call of this name would reach if this library were not there: the definition in the first object behind it in the
 * program's search order. NULL: there is none. Allocates nothing, takes no lock, sets no dlerror; for the process's first
 * thread, before it loads anything by itself. */
void *symbol_next(const char *name);

/* What a call of this name reaches as things are. */
void *symbol_first(const char *name);

/* The definition in one object, by its load address and dynamic section (base may be 0); NULL: it has none. */
void *symbol_in(uintptr_t base, const void *dynamic, const char *name);

/* What an object calls itself (DT_SONAME), NULL: nothing; and whether it was linked with one of that name. */
const char *symbol_object_name(uintptr_t base, const void *dynamic);
bool symbol_needs(uintptr_t base, const void *dynamic, const char *object_name);

#endif
