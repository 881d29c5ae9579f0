/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that filter their own system calls. */
#ifndef PERFSHIM_FILTER_H
#define PERFSHIM_FILTER_H

/* This process is about to have its system calls judged: shim.filtered from now on, for good. */
void filter_coming(void);

#endif
