/* SPDX-License-Identifier: Apache-2.0 */
/* Names of functions as their language writes them: C++ (Itanium) and Rust (legacy and v0). */
#ifndef PERFSHIM_DEMANGLE_H
#define PERFSHIM_DEMANGLE_H

/* The name demangled, or as it is where it is not mangled or cannot be undone within bounds of time and memory; to be freed.
 * NULL if memory is short. Not for several threads at once. */
char *demangle(const char *name);

#endif
