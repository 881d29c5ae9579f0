/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file header, then records, each of which begins with its type and size. Most of the file is machine code, which is
 * stepped over: so the file is read through a window, by offset. It is not mapped, since whoever owns it can cut it short
 * at any time.
 */
#include "jitdump.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1ull << 30)
#define MAGIC 0x4a695444u /* "JiTD", the highest byte first */
#define VERSION 1

struct file_header {
    uint32_t magic, version, bytes, machine, reserved, pid;
    uint64_t time, flags;
};

enum record_type { CODE_LOAD, CODE_MOVE };

struct record_header {
    uint32_t type, bytes; /* this header included */
    uint64_t time;
};

struct load {
    struct record_header header;
    uint32_t pid, tid;
    uint64_t virtual_address, start, bytes, index;
    /* the name, a zero, and the code follow */
};

struct move {
    struct record_header header;
    uint32_t pid, tid;
    uint64_t virtual_address, old_start, new_start, bytes, index;
};

_Static_assert(sizeof(struct file_header) == 40 && sizeof(struct record_header) == 16 && sizeof(struct load) == 56 &&
               sizeof(struct move) == 64, "as the specification has them");
_Static_assert(sizeof(struct load) + JITDUMP_NAME_MAX < JITDUMP_WINDOW_BYTES, "it holds what is read of a record");

/* Bytes of the file, at most a window; NULL: they are not there. */
static uint8_t *at(struct jitdump *d, uint64_t offset, size_t bytes)
{
    if (offset > d->end || bytes > d->end - offset)
        return NULL;
    if (offset < d->window_start || offset - d->window_start > d->window_used ||
        bytes > d->window_used - (offset - d->window_start)) {
        d->window_start = offset;
        d->window_used = 0;
        while (d->window_used < bytes) {
            ssize_t got = pread(d->fd, d->window + d->window_used, sizeof d->window - d->window_used,
                                (off_t)(offset + d->window_used));
            if (got <= 0)
                return NULL;
            d->window_used += (size_t)got;
        }
    }
    return d->window + (offset - d->window_start);
}

int jitdump_open(struct jitdump *d, int fd, struct error *e)
{
    static const char unused[] = ": no names are taken from it";
    struct file_header header = {.magic = 0};
    struct stat st;

    *d = (struct jitdump){.fd = fd};
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        d->cut = (uint64_t)st.st_size > FILE_MAX;
        d->end = d->cut ? FILE_MAX : (uint64_t)st.st_size;
    }
    const uint8_t *bytes = at(d, 0, sizeof header);
    if (bytes)
        memcpy(&header, bytes, sizeof header);
    if (header.magic == __builtin_bswap32(MAGIC))
        return error_set(e, 0, "a jitdump of a machine with the other byte order%s", unused);
    if (header.magic != MAGIC)
        return error_set(e, 0, "no jitdump%s", unused);
    if (header.version != VERSION)
        return error_set(e, 4, "a jitdump of version %" PRIu32 ", of which only %d is known%s", header.version, VERSION,
                         unused);
    if (header.bytes < sizeof header || header.bytes > d->end)
        return error_set(e, 8, "a jitdump with a header of %" PRIu32 " bytes%s", header.bytes, unused);
    d->pid = header.pid;
    d->next = header.bytes;
    return 0;
}

/* 1 if it tells of code, 0 if of none. -1: what it says does not fit into it. */
static int take_load(struct jitdump *d, const struct record_header *header, struct jitdump_code *out)
{
    struct load load;
    uint64_t room = header->bytes < sizeof load ? 0 : header->bytes - sizeof load;
    size_t readable = room < JITDUMP_NAME_MAX + 1 ? (size_t)room : JITDUMP_NAME_MAX + 1;
    uint8_t *bytes = room ? at(d, d->next, sizeof load + readable) : NULL;

    if (!bytes)
        return -1;
    memcpy(&load, bytes, sizeof load);
    char *name = (char *)bytes + sizeof load;
    size_t length = strnlen(name, readable);
    if (length == room || load.bytes > room - length - 1)
        return -1;
    if (length == readable)
        name[JITDUMP_NAME_MAX] = '\0'; /* in the window, which nobody reads again from here */
    *out = (struct jitdump_code){.index = load.index, .start = load.start, .bytes = load.bytes, .name = name};
    return load.pid == d->pid && load.bytes && load.start + load.bytes > load.start;
}

static int take_move(struct jitdump *d, const struct record_header *header, struct jitdump_code *out)
{
    struct move move;
    const uint8_t *bytes = header->bytes < sizeof move ? NULL : at(d, d->next, sizeof move);

    if (!bytes)
        return -1;
    memcpy(&move, bytes, sizeof move);
    *out = (struct jitdump_code){.moved = true, .index = move.index, .start = move.new_start};
    return move.pid == d->pid;
}

int jitdump_next(struct jitdump *d, struct jitdump_code *out, struct error *e)
{
    static const char broken[] = "the jitdump is broken or torn off here: later code has no names, or older ones";
    int got = 0;

    while (got == 0 && d->next < d->end) {
        struct record_header header = {.bytes = sizeof header};
        uint64_t room = d->end - d->next;
        const uint8_t *bytes = at(d, d->next, sizeof header);
        if (bytes)
            memcpy(&header, bytes, sizeof header);
        if (d->cut && header.bytes > room)
            break;
        if (!bytes || header.bytes < sizeof header || header.bytes > room)
            return error_set(e, d->next, broken);
        if (header.type == CODE_LOAD)
            got = take_load(d, &header, out);
        else if (header.type == CODE_MOVE)
            got = take_move(d, &header, out);
        if (got < 0)
            return error_set(e, d->next, broken);
        d->next += header.bytes;
    }
    if (got == 0 && d->cut)
        return error_set(e, d->next, "the jitdump is read up to here only");
    return got;
}
