/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: how connections begin, what addresses they have, and shutdown. */
#include <errno.h>
#include <string.h>

#include "desc.h"
#include "ops.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
#include "rxtime.h"
#include "sock_record.h"
#include "thread.h"

static uint64_t start_of(const struct arena_thread *t) { return t ? clock_ticks() : 0; }

int socket(int domain, int type, int protocol)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int fd = real.socket(domain, type, protocol);

    if (t && fd >= 0)
        desc_open(t, &(struct desc_opened){
                          .fd = fd, .kind = desc_socket_kind(domain, type), .op = OP_socket, .start = start});
    return fd;
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.socketpair(domain, type, protocol, fds);

    for (int i = 0; t && result == 0 && i < 2; i++)
        desc_open(t, &(struct desc_opened){
                          .fd = fds[i], .kind = desc_socket_kind(domain, type), .op = OP_socketpair, .start = start});
    return result;
}

struct sock_listener sock_listener_of(struct arena_thread *t, int fd)
{
    struct desc *d = desc_get(t, fd);

    return (struct sock_listener){d ? atomic_load(&d->id) : 0};
}

static void accepted(struct arena_thread *t, int fd, struct sock_listener from, const void *peer, socklen_t peer_bytes,
                     unsigned op, uint64_t start)
{
    sa_family_t family = AF_UNSPEC;

    if (peer_bytes >= sizeof family)
        memcpy(&family, peer, sizeof family);
    bool local = family == AF_UNIX;

    desc_open(t, &(struct desc_opened){.fd = fd,
                                       .kind = local ? KIND_unix : KIND_tcp,
                                       .op = op,
                                       .from = from.id,
                                       .start = start,
                                       .address = peer,
                                       .address_bytes = peer_bytes});
    if (!rxtime_is_off())
        rxtime_begin(fd);
}

void sock_note_accepted(struct arena_thread *t, int fd, struct sock_listener from, uint32_t op, uint64_t start)
{
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;

    if (shim.filtered || raw3(SYS_getpeername, fd, (long)&peer, (long)&peer_bytes) != 0)
        peer_bytes = 0;
    accepted(t, fd, from, &peer, peer_bytes < sizeof peer ? peer_bytes : sizeof peer, op, start);
}

/*
 * The peer's address costs nothing extra if accept is asked for it. A host that asks gets its answer from the kernel itself,
 * which alone can tell a bad pointer from a good one; what was written there is then good to read.
 */
struct accepting {
    struct arena_thread *t;
    struct sock_listener from;
    uint64_t start;
    struct sockaddr *address; /* where the kernel writes it */
    socklen_t *bytes, room;
    struct sockaddr_storage own;
    socklen_t own_bytes;
};

static void accept_enter(struct accepting *a, int fd, struct sockaddr *address, socklen_t *bytes)
{
    a->address = address;
    a->bytes = bytes;
    a->room = 0;
    a->t = hook_enter();
    if (!a->t)
        return;
    if (!address) {
        a->address = (struct sockaddr *)&a->own;
        a->bytes = &a->own_bytes;
        a->own_bytes = sizeof a->own;
    }
    if (a->bytes)
        a->room = *a->bytes;
    a->from = sock_listener_of(a->t, fd);
    a->start = clock_ticks();
}

static int accept_leave(const struct accepting *a, int fd, unsigned op)
{
    if (!a->t || fd < 0)
        return fd;
    if (*a->bytes <= a->room && *a->bytes <= sizeof a->own)
        accepted(a->t, fd, a->from, a->address, *a->bytes, op, a->start);
    else /* the host had no room for all of it */
        sock_note_accepted(a->t, fd, a->from, op, a->start);
    return fd;
}

int accept(int fd, struct sockaddr *address, socklen_t *bytes)
{
    struct accepting a;

    accept_enter(&a, fd, address, bytes);
    return accept_leave(&a, real.accept(fd, a.address, a.bytes), OP_accept);
}

int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    struct accepting a;

    accept_enter(&a, fd, address, bytes);
    return accept_leave(&a, real.accept4(fd, a.address, a.bytes, flags), OP_accept4);
}

static void note_sock(struct arena_thread *t, const struct sock_call *call)
{
    int error = errno;
    struct desc *d = desc_get(t, call->fd);
    uint64_t now = clock_ticks();
    size_t bytes = call->address_bytes < sizeof(struct sockaddr_storage) ? call->address_bytes
                                                                         : sizeof(struct sockaddr_storage);
    uint64_t *field = record_begin(t, EVENT_sock, 6, (unsigned)bytes, now);

    if (!field)
        return;
    field[0] = d ? atomic_load(&d->id) : 0;
    field[1] = (uint64_t)(int64_t)call->fd;
    field[2] = call->op;
    field[3] = (uint64_t)(int64_t)call->arg;
    field[4] = (uint64_t)(int64_t)(call->result < 0 ? -error : call->result);
    field[5] = now - call->start;
    if (bytes)
        memcpy(field + 6, call->address, bytes);
    record_commit(t);
}

/* Whether the kernel has read the address: what it has not, we must not. */
static bool address_was_read(const struct sock_call *call)
{
    if (call->op == OP_connect && call->result < 0)
        return errno != EBADF && errno != ENOTSOCK && errno != EINVAL && errno != EFAULT;
    return call->result >= 0;
}

void sock_note(struct arena_thread *t, struct sock_call *call)
{
    int saved_errno = errno;

    if (!t)
        return;
    if (!address_was_read(call))
        call->address_bytes = 0;
    if (call->op == OP_listen && call->result == 0)
        desc_set_kind(t, call->fd, KIND_listener);
    if (!rxtime_is_off() && call->op == OP_connect && (call->result == 0 || saved_errno == EINPROGRESS))
        rxtime_begin(call->fd);
    note_sock(t, call);
    errno = saved_errno;
}

int bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct arena_thread *t = hook_enter();
    struct sock_call call = {OP_bind, fd, 0, 0, start_of(t), address, bytes};

    call.result = real.bind(fd, address, bytes);
    sock_note(t, &call);
    return call.result;
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct arena_thread *t = hook_enter();
    struct sock_call call = {OP_connect, fd, 0, 0, start_of(t), address, bytes};

    call.result = real.connect(fd, address, bytes);
    sock_note(t, &call);
    return call.result;
}

int listen(int fd, int backlog)
{
    struct arena_thread *t = hook_enter();
    struct sock_call call = {OP_listen, fd, backlog, 0, start_of(t), NULL, 0};

    call.result = real.listen(fd, backlog);
    sock_note(t, &call);
    return call.result;
}

int shutdown(int fd, int how)
{
    struct arena_thread *t = hook_enter();
    struct sock_call call = {OP_shutdown, fd, how, 0, start_of(t), NULL, 0};

    call.result = real.shutdown(fd, how);
    sock_note(t, &call);
    return call.result;
}

/* --- options: of interest only where the shim has set one itself --- */

int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    hook_enter(); /* makes sure that real.setsockopt is there */
    if (!rxtime_is_off())
        rxtime_before_set(fd, level, name);
    return real.setsockopt(fd, level, name, value, bytes);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
    hook_enter();
    if (rxtime_is_off())
        return real.getsockopt(fd, level, name, value, bytes);
    rxtime_before_get(fd, level, name);
    int result = real.getsockopt(fd, level, name, value, bytes);
    if (result == 0)
        rxtime_hide_option(fd, level, name, value, bytes);
    return result;
}
