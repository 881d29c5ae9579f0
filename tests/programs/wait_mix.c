/* SPDX-License-Identifier: Apache-2.0 */
/* Every wait for descriptors: with something ready, and with a time that runs out. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "tally.h"

static const struct timespec ten_ms = {0, 10000000};

static void expect(const char *name, int got, int ready)
{
    if (got != ready)
        abort();
    tally(name);
    tally_add("ready", (unsigned long)ready);
}

static void polls(int fd, int ready)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    expect("wait:poll", poll(&p, 1, 10), ready);
    expect("wait:ppoll", ppoll(&p, 1, &ten_ms, NULL), ready);
}

static void selects(int fd, int ready)
{
    struct timeval timeout = {0, 10000};
    fd_set in;

    FD_ZERO(&in);
    FD_SET(fd, &in);
    expect("wait:select", select(fd + 1, &in, NULL, NULL, &timeout), ready);
    FD_SET(fd, &in);
    expect("wait:pselect", pselect(fd + 1, &in, NULL, NULL, &ten_ms, NULL), ready);
}

static void epolls(int fd, int ready)
{
    struct epoll_event e = {.events = EPOLLIN};
    int epoll = tally_open("desc_open:epoll_create1", epoll_create1(0));

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        abort();
    expect("wait:epoll_wait", epoll_wait(epoll, &e, 1, 10), ready);
    expect("wait:epoll_pwait", epoll_pwait(epoll, &e, 1, 10, NULL), ready);
    tally_close(epoll);
}

int main(void)
{
    int fds[2];

    tally_mark();
    if (pipe(fds))
        abort();
    tally_add("desc_open:pipe", 2);
    for (int ready = 0; ready < 2; ready++) {
        polls(fds[0], ready);
        selects(fds[0], ready);
        epolls(fds[0], ready);
        tally_out("io:write", write(fds[1], "x", 1), 1);
    }
    tally_close(fds[0]);
    tally_close(fds[1]);
    tally_mark();
    tally_print();
    return 0;
}
