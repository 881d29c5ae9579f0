/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only the program headers and the beginnings of the note segments are read, with positions checked against nothing but what
 * pread gives: a file may say anything, and may change while it is read.
 *
 * The mapped file may have another name by now, or none, or a name that another file has: what is opened counts only if its
 * inode number is that of the mapping. /proc/PID/map_files leads to the file itself, but only root may follow it.
 */
#include "buildid.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_MAX 64
#define NOTES_BYTES 4096 /* looked at of a segment; the build id stands near its beginning */

static size_t round_up(size_t n) { return (n + 3) & ~(size_t)3; }

/* The build id among the notes; sizes are looked at before they are added. */
static size_t find_note(const uint8_t *notes, size_t bytes, uint8_t out[BUILDID_MAX])
{
    Elf64_Nhdr note;

    for (size_t at = 0; at < bytes && bytes - at >= sizeof note;) {
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        if (note.n_namesz > bytes - at || round_up(note.n_namesz) > bytes - at)
            break;
        const uint8_t *name = notes + at;
        at += round_up(note.n_namesz);
        if (note.n_descsz > bytes - at)
            break;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            if (note.n_descsz > BUILDID_MAX)
                return 0;
            memcpy(out, notes + at, note.n_descsz);
            return note.n_descsz;
        }
        at += round_up(note.n_descsz);
    }
    return 0;
}

size_t buildid_read(int fd, uint8_t out[BUILDID_MAX])
{
    Elf64_Ehdr file;
    Elf64_Phdr header[HEADERS_MAX];
    uint8_t notes[NOTES_BYTES];
    size_t found = 0;

    if (pread(fd, &file, sizeof file, 0) != sizeof file || memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.e_ident[EI_CLASS] != ELFCLASS64 || file.e_phentsize != sizeof *header || file.e_phoff > INT64_MAX)
        return 0;
    size_t count = file.e_phnum < HEADERS_MAX ? file.e_phnum : HEADERS_MAX;
    ssize_t got = pread(fd, header, count * sizeof *header, (off_t)file.e_phoff);
    count = got > 0 ? (size_t)got / sizeof *header : 0;
    for (size_t i = 0; i < count && !found; i++) {
        if (header[i].p_type != PT_NOTE || header[i].p_offset > INT64_MAX)
            continue;
        size_t bytes = header[i].p_filesz < sizeof notes ? header[i].p_filesz : sizeof notes;
        got = pread(fd, notes, bytes, (off_t)header[i].p_offset);
        found = got > 0 ? find_note(notes, (size_t)got, out) : 0;
    }
    return found;
}

/* A descriptor of the file if it is the one that is mapped; else -1. Nothing that blocks is opened. */
static int open_inode(const char *path, uint64_t inode)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == inode))
        return fd;
    close(fd);
    return -1;
}

size_t buildid_of_mapping(const struct buildid_mapping *m, uint8_t out[BUILDID_MAX])
{
    char path[4352];

    snprintf(path, sizeof path, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, m->pid, m->start, m->end);
    int fd = open_inode(path, m->inode);
    if (fd < 0 && snprintf(path, sizeof path, "/proc/%u/root%s", m->pid, m->path) < (int)sizeof path)
        fd = open_inode(path, m->inode); /* it may live in another mount namespace */
    if (fd < 0)
        fd = open_inode(m->path, m->inode); /* or have changed its root: maps are told from ours */
    if (fd < 0)
        return 0;
    size_t n = buildid_read(fd, out);
    close(fd);
    return n;
}
