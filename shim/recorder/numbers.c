/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list from /proc is never of the same instant as the events: descriptors come and go between. A number is told of only if
 * it stood in doubt in two lists, a second or more apart, and nothing happened to it meanwhile. Then it is believed, and the
 * counts agree again.
 */
#include "numbers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define NUMBERS_MAX (1u << 20) /* as in the shim; higher ones are not tracked */
#define WHAT_BYTES 256

struct number {
    uint64_t ticks; /* of the last event about it */
    bool open, listed, doubted;
};

void numbers_free(struct numbers *n)
{
    free(n->number);
    *n = (struct numbers){0};
}

/* NULL: beyond what is tracked. */
static struct number *number_at(struct numbers *n, uint64_t fd)
{
    if (fd >= NUMBERS_MAX)
        return NULL;
    if (fd >= n->size) {
        uint32_t size = n->size ? n->size : 64;
        while (size <= fd)
            size *= 2;
        struct number *grown = realloc(n->number, size * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + n->size, 0, (size - n->size) * sizeof *grown);
        n->number = grown;
        n->size = size;
    }
    return &n->number[fd];
}

static void set(struct numbers *n, struct number *number, bool open)
{
    n->open += (uint32_t)open - (uint32_t)number->open;
    number->open = open;
    number->doubted = false;
}

static void event_of(struct numbers *n, uint64_t fd, bool open, uint64_t ticks)
{
    struct number *number = number_at(n, fd);

    if (!number || ticks < number->ticks)
        return;
    number->ticks = ticks;
    set(n, number, open);
}

static void feed_table(struct numbers *n, const struct event *e)
{
    for (uint64_t fd = e->u.desc_table.first; fd <= e->u.desc_table.last && fd < n->size; fd++)
        event_of(n, fd, false, e->time);
    for (uint32_t at = 0; at + 8 <= e->data_bytes; at += 8) {
        uint32_t pair[2];
        memcpy(pair, e->data + at, sizeof pair);
        if (pair[1])
            event_of(n, pair[0], true, e->time);
    }
}

void numbers_feed(struct numbers *n, const struct event *e)
{
    switch (e->type) {
    case EVENT_desc_open:
        event_of(n, e->u.desc_open.fd, true, e->time);
        break;
    case EVENT_desc_close:
        event_of(n, e->u.desc_close.fd, false, e->time);
        break;
    case EVENT_desc_dup:
        event_of(n, e->u.desc_dup.new_fd, true, e->time);
        break;
    case EVENT_desc_table:
        feed_table(n, e);
        break;
    default:
        break;
    }
}

static void tell(uint32_t fd, unsigned flags, const char *what, struct track *to, uint64_t now_ns)
{
    struct event e = {.time = clock_ticks(), .type = EVENT_desc_unseen};

    e.u.desc_unseen.fd = fd;
    e.u.desc_unseen.flags = flags;
    e.data = (const uint8_t *)what;
    e.data_bytes = (uint32_t)strlen(what);
    track_add(to, &e, now_ns);
}

/* Whether a number that is in doubt was so before. */
static bool doubt(struct number *number)
{
    bool again = number->doubted;

    number->doubted = true;
    return again;
}

static void check_open(struct numbers *n, DIR *list, uint32_t fd, struct track *to, uint64_t now_ns)
{
    struct number *number = number_at(n, fd);
    char name[16], what[WHAT_BYTES];

    if (!number)
        return;
    number->listed = true;
    if (number->open) {
        number->doubted = false;
    } else if (doubt(number)) {
        snprintf(name, sizeof name, "%u", fd);
        ssize_t bytes = readlinkat(dirfd(list), name, what, sizeof what - 1);
        if (bytes < 0)
            return; /* gone just now */
        what[bytes] = 0;
        set(n, number, true);
        tell(fd, 0, what, to, now_ns);
    }
}

static void check_gone(struct numbers *n, struct track *to, uint64_t now_ns)
{
    for (uint32_t fd = 0; fd < n->size; fd++) {
        struct number *number = &n->number[fd];
        if (number->listed)
            continue;
        if (!number->open) {
            number->doubted = false;
        } else if (doubt(number)) {
            set(n, number, false);
            tell(fd, UNSEEN_GONE, "", to, now_ns);
        }
    }
}

static void take_list(struct numbers *n, uint32_t pid, struct track *to, uint64_t now_ns)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%u/fd", pid);
    DIR *list = opendir(path);
    if (!list)
        return;
    for (uint32_t fd = 0; fd < n->size; fd++)
        n->number[fd].listed = false;
    for (struct dirent *entry; (entry = readdir(list));)
        if (entry->d_name[0] != '.')
            check_open(n, list, (uint32_t)atoi(entry->d_name), to, now_ns);
    closedir(list);
    check_gone(n, to, now_ns);
}

void numbers_check(struct numbers *n, uint32_t pid, uint64_t counted, struct track *to, uint64_t now_ns)
{
    bool differed = n->differed;

    if (counted == EVENT_UNKNOWN || !n->size) /* it has told of nothing yet */
        return;
    n->differed = counted != n->open;
    if (differed && n->differed)
        take_list(n, pid, to, now_ns);
}

bool numbers_was_closed(const struct numbers *n, uint32_t fd)
{
    return fd < n->size && n->number[fd].ticks && !n->number[fd].open;
}
