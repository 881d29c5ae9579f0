/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits for names and addresses. What libc opens meanwhile (sockets, files) it closes itself, past the hooks; nothing of it
 * is left open. They fail with numbers of their own (EAI_*), which are recorded as they are.
 */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

/* Keeps errno, which some of them set. */
static int leave(const struct wait_call *w, unsigned op, int result)
{
    wait_leave(w, &(struct wait_done){.op = op, .what = WAIT_name, .fd = -1, .result = result, .timeout_ns = -1});
    return result;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    struct wait_call w = wait_enter();

    return leave(&w, OP_getaddrinfo, real.getaddrinfo(node, service, hints, list));
}

int getnameinfo(const struct sockaddr *address, socklen_t address_bytes, char *host, socklen_t host_bytes, char *service,
                socklen_t service_bytes, int flags)
{
    struct wait_call w = wait_enter();

    return leave(&w, OP_getnameinfo,
                 real.getnameinfo(address, address_bytes, host, host_bytes, service, service_bytes, flags));
}

static struct hostent *leave_entry(const struct wait_call *w, unsigned op, struct hostent *entry)
{
    leave(w, op, entry ? 0 : -1);
    return entry;
}

struct hostent *gethostbyname(const char *name)
{
    struct wait_call w = wait_enter();

    return leave_entry(&w, OP_gethostbyname, real.gethostbyname(name));
}

struct hostent *gethostbyname2(const char *name, int family)
{
    struct wait_call w = wait_enter();

    return leave_entry(&w, OP_gethostbyname2, real.gethostbyname2(name, family));
}

struct hostent *gethostbyaddr(const void *address, socklen_t n, int family)
{
    struct wait_call w = wait_enter();

    return leave_entry(&w, OP_gethostbyaddr, real.gethostbyaddr(address, n, family));
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t n, struct hostent **found, int *error)
{
    struct wait_call w = wait_enter();

    return leave(&w, OP_gethostbyname_r, real.gethostbyname_r(name, entry, buffer, n, found, error));
}

int gethostbyname2_r(const char *name, int family, struct hostent *entry, char *buffer, size_t n, struct hostent **found,
                     int *error)
{
    struct wait_call w = wait_enter();

    return leave(&w, OP_gethostbyname2_r, real.gethostbyname2_r(name, family, entry, buffer, n, found, error));
}

int gethostbyaddr_r(const void *address, socklen_t address_bytes, int family, struct hostent *entry, char *buffer, size_t n,
                    struct hostent **found, int *error)
{
    struct wait_call w = wait_enter();

    return leave(&w, OP_gethostbyaddr_r,
                 real.gethostbyaddr_r(address, address_bytes, family, entry, buffer, n, found, error));
}
