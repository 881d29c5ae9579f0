/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory a trace may make us use: so much for any, and so much more for each of its bytes. No recorder writes a
 * trace that needs more (live objects, the largest part, are at most 40 bytes for an event of one or two); a forged one, of
 * which a byte may stand for dozens of events, is refused as if memory were short, and the machine is spared.
 */
#ifndef PERFSHIM_ALLOWANCE_H
#define PERFSHIM_ALLOWANCE_H

#define ALLOWANCE_BYTES (768u << 20)
#define ALLOWANCE_PER_BYTE 192u

/* Limits this process, once and for all. A limit that is already lower stays. */
void allowance_set(const char *trace);

#endif
