/* SPDX-License-Identifier: Apache-2.0 */
/* An open-addressing table of indexes; nothing is ever removed. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NAME_ROOM 128

void endpoint_reset(struct endpoint_table *t)
{
    for (unsigned i = 1; i <= t->count; i++)
        free(t->name[i]);
    *t = (struct endpoint_table){0};
}

const char *endpoint_name(const struct endpoint_table *t, uint16_t endpoint)
{
    return endpoint && endpoint <= t->count ? t->name[endpoint] : NULL;
}

static void put_inet6(char *name, const struct sockaddr_in6 *in6)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof text);
        snprintf(name, NAME_ROOM, "%s:%u", text, ntohs(in6->sin6_port));
    } else {
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        snprintf(name, NAME_ROOM, "[%s]:%u", text, ntohs(in6->sin6_port));
    }
}

/* Writes NAME_ROOM bytes at most; an empty name: it has none. */
static void put_name(char *name, const uint8_t *address, size_t n)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } a = {0};
    char text[INET_ADDRSTRLEN] = "";

    *name = 0;
    memcpy(&a, address, n < sizeof a ? n : sizeof a);
    if (a.any.sa_family == AF_INET && n >= sizeof a.in && a.in.sin_port) {
        inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof text);
        snprintf(name, NAME_ROOM, "%s:%u", text, ntohs(a.in.sin_port));
    } else if (a.any.sa_family == AF_INET6 && n >= offsetof(struct sockaddr_in6, sin6_scope_id) && a.in6.sin6_port) {
        put_inet6(name, &a.in6);
    } else if (a.any.sa_family == AF_UNIX && n > offsetof(struct sockaddr_un, sun_path)) {
        size_t bytes = (n < sizeof a.un ? n : sizeof a.un) - offsetof(struct sockaddr_un, sun_path);
        bool abstract = !*a.un.sun_path;
        snprintf(name, NAME_ROOM, "%s%.*s", abstract ? "@" : "", (int)(bytes - abstract), a.un.sun_path + abstract);
        if (abstract && !name[1])
            *name = 0;
    }
}

static uint32_t hash(const char *name)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return h ^ h >> 15;
}

uint16_t endpoint_of(struct endpoint_table *t, const uint8_t *address, size_t n)
{
    const uint32_t mask = 2 * ENDPOINTS_MAX - 1;
    char name[NAME_ROOM];

    if (n < sizeof(sa_family_t))
        return ENDPOINT_NONE;
    put_name(name, address, n);
    if (!*name)
        return ENDPOINT_NONE;
    uint32_t i = hash(name) & mask;
    for (; t->slots[i]; i = (i + 1) & mask)
        if (strcmp(t->name[t->slots[i]], name) == 0)
            return t->slots[i];
    char *copy = t->count + 1 < ENDPOINTS_MAX ? strdup(name) : NULL;
    if (!copy)
        return ENDPOINT_NONE;
    t->name[++t->count] = copy;
    return t->slots[i] = t->count;
}
