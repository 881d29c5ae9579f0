/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of entries, so that a new one takes the place of the oldest. A look is a read of /proc/PID/stat, some 5 us. */
#include "zombies.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

void zombies_add(struct recorder *r, uint32_t pid, uint32_t ppid)
{
    struct zombies *z = &r->zombies;

    for (uint32_t i = 0; ppid && i < r->proc_capacity; i++) {
        if (!r->hosts[i].known || r->hosts[i].pid != ppid)
            continue;
        struct zombie *e = &z->entry[z->next++ % ZOMBIES_MAX];
        z->count += !e->pid;
        *e = (struct zombie){pid, r->hosts[i].serial, i};
        return;
    }
}

/* State and parent stand behind the name, which may hold anything (proc(5)). */
static bool is_zombie(uint32_t pid, uint32_t ppid)
{
    char path[64], line[1024], state;
    unsigned parent;

    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = 0;
    const char *name_end = strrchr(line, ')');
    return name_end && sscanf(name_end + 1, " %c %u", &state, &parent) == 2 && state == 'Z' && parent == ppid;
}

void zombies_look(struct recorder *r, uint64_t now_ns)
{
    struct zombies *z = &r->zombies;

    for (uint32_t looks = 0, passed = 0; z->count && looks < ZOMBIES_LOOKS && passed < ZOMBIES_MAX; passed++) {
        struct zombie *e = &z->entry[z->looked++ % ZOMBIES_MAX];
        if (!e->pid)
            continue;
        struct host *h = &r->hosts[e->slot];
        bool orphan = !h->known || h->serial != e->parent;
        if (!orphan && (looks++, is_zombie(e->pid, h->pid)))
            continue;
        struct event gone = {.time = clock_ticks(), .type = EVENT_reaped_unseen};
        gone.u.reaped_unseen.pid = e->pid;
        if (!orphan)
            track_add(&h->track, &gone, now_ns);
        e->pid = 0;
        z->count--;
    }
}
