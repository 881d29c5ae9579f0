/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: how connections begin, what addresses they have, and shutdown. */
#include <errno.h>
#include <string.h>

#include "desc.h"
#include "ops.h"
#include "raw.h"
#include "real.h"
#include "ring.h"
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

static void accepted(struct arena_thread *t, int fd, struct sock_listener from, const struct sockaddr_storage *peer,
                     socklen_t peer_bytes, unsigned op, uint64_t start)
{
    bool local = peer_bytes >= sizeof peer->ss_family && peer->ss_family == AF_UNIX;

    desc_open(t, &(struct desc_opened){.fd = fd,
                                       .kind = local ? KIND_unix : KIND_tcp,
                                       .op = op,
                                       .from = from.id,
                                       .start = start,
                                       .address = peer,
                                       .address_bytes = peer_bytes < sizeof *peer ? peer_bytes : sizeof *peer});
}

void sock_note_accepted(struct arena_thread *t, int fd, struct sock_listener from, uint32_t op, uint64_t start)
{
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;

    peer.ss_family = AF_UNSPEC;
    if (raw3(SYS_getpeername, fd, (long)&peer, (long)&peer_bytes) != 0)
        peer_bytes = 0;
    accepted(t, fd, from, &peer, peer_bytes, op, start);
}

/* The peer's address costs nothing extra if accept is asked for it; the host gets what it asked for. */
static void give_address(struct sockaddr *address, socklen_t *bytes, const struct sockaddr_storage *peer,
                         socklen_t peer_bytes)
{
    if (!address || !bytes)
        return;
    memcpy(address, peer, peer_bytes < *bytes ? peer_bytes : *bytes);
    *bytes = peer_bytes;
}

int accept(int fd, struct sockaddr *address, socklen_t *bytes)
{
    struct arena_thread *t = hook_enter();
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;

    if (!t || (address && !bytes))
        return real.accept(fd, address, bytes);
    struct sock_listener from = sock_listener_of(t, fd);
    uint64_t start = clock_ticks();
    int got = real.accept(fd, (struct sockaddr *)&peer, &peer_bytes);
    if (got < 0)
        return got;
    give_address(address, bytes, &peer, peer_bytes);
    accepted(t, got, from, &peer, peer_bytes, OP_accept, start);
    return got;
}

int accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
    struct arena_thread *t = hook_enter();
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;

    if (!t || (address && !bytes))
        return real.accept4(fd, address, bytes, flags);
    struct sock_listener from = sock_listener_of(t, fd);
    uint64_t start = clock_ticks();
    int got = real.accept4(fd, (struct sockaddr *)&peer, &peer_bytes, flags);
    if (got < 0)
        return got;
    give_address(address, bytes, &peer, peer_bytes);
    accepted(t, got, from, &peer, peer_bytes, OP_accept4, start);
    return got;
}

struct sock_call {
    unsigned op;
    int fd, arg, result;
    uint64_t start;
    const void *address;
    size_t address_bytes;
};

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

int bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.bind(fd, address, bytes);

    if (t)
        note_sock(t, &(struct sock_call){OP_bind, fd, 0, result, start, address, result < 0 ? 0 : bytes});
    return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.connect(fd, address, bytes);

    if (t)
        note_sock(t, &(struct sock_call){OP_connect, fd, 0, result, start, address,
                                         result < 0 && errno == EFAULT ? 0 : bytes});
    return result;
}

int listen(int fd, int backlog)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.listen(fd, backlog);

    if (!t)
        return result;
    if (result == 0)
        desc_set_kind(t, fd, KIND_listener);
    note_sock(t, &(struct sock_call){OP_listen, fd, backlog, result, start, NULL, 0});
    return result;
}

int shutdown(int fd, int how)
{
    struct arena_thread *t = hook_enter();
    uint64_t start = start_of(t);
    int result = real.shutdown(fd, how);

    if (t)
        note_sock(t, &(struct sock_call){OP_shutdown, fd, how, result, start, NULL, 0});
    return result;
}
