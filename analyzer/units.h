/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for people: three significant digits, decimal prefixes (1 MB is 1e6 bytes), "-" for what is not known.
 *
 * Each function fills `out`, which has room for UNITS_MAX bytes, and gives it back. No result is longer than 9 columns
 * except units_count's and units_clock's.
 */
#ifndef PERFSHIM_UNITS_H
#define PERFSHIM_UNITS_H

#define UNITS_MAX 48

char *units_duration(char *out, double ns);    /* "834ns" "12.3us" "1.23ms" "12.3s" "1234s" */
char *units_clock(char *out, double seconds);  /* "12.3 s", "4 min 05 s", "3 h 20 min", "2 d 04 h" */
char *units_bytes(char *out, double bytes);    /* "512 B" "1.23 kB" "-12.3 MB" "36.0 GB" */
char *units_number(char *out, double value);   /* "0.02" "1.23" "12.3" "1234" "1.23M" */
char *units_count(char *out, double value);    /* "1 234 567" */
char *units_percent(char *out, double share);  /* "0%" "0.013%" "12.3%" of a share from 0 to 1 */

#endif
