/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PERFSHIM_UTF8_H
#define PERFSHIM_UTF8_H

/* The text with each byte that belongs to no UTF-8 character replaced by U+FFFD; to be freed. NULL if memory is short. */
char *utf8_clean(const char *text);

#endif
