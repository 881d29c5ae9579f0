/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of socket addresses, each once, so that a description needs two bytes for its own. At most ENDPOINTS_MAX are kept:
 * those beyond have no name.
 */
#ifndef PERFSHIM_ENDPOINT_H
#define PERFSHIM_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>

#define ENDPOINTS_MAX 2048
#define ENDPOINT_NONE 0 /* no name is known */

struct endpoint_table {
    char *name[ENDPOINTS_MAX]; /* from 1 on */
    uint16_t count;
    uint16_t slots[2 * ENDPOINTS_MAX];
};

/* A table begins as all zeros. */
void endpoint_reset(struct endpoint_table *t);

/* Of a struct sockaddr as a trace has it: "10.0.0.1:5432", "[::1]:5432", "/run/x.sock", "@abstract". ENDPOINT_NONE if it says
 * nothing (another family, port 0), is cut off, or memory is short. */
uint16_t endpoint_of(struct endpoint_table *t, const uint8_t *address, size_t n);

const char *endpoint_name(const struct endpoint_table *t, uint16_t endpoint); /* NULL: none */

#endif
