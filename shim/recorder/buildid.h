/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build id of a file that a host has mapped: what its linker wrote into a note, the same in every copy of the same build.
 */
#ifndef PERFSHIM_BUILDID_H
#define PERFSHIM_BUILDID_H

#include <stddef.h>
#include <stdint.h>

#define BUILDID_MAX 64 /* bytes; linkers write 8, 16 or 20 */

struct buildid_mapping { /* a line of /proc/PID/maps */
    uint32_t pid;
    uint64_t start, end, inode;
    const char *path;
};

/* The build id of the ELF file of 64 bits that is open as fd: how many bytes of out were filled, 0 if it has none. Reads a few
 * KiB of it, whatever it holds. */
size_t buildid_read(int fd, uint8_t out[BUILDID_MAX]);

/* That of the file that is mapped there: the very inode, not what has its name by now; 0 if it cannot be had. */
size_t buildid_of_mapping(const struct buildid_mapping *m, uint8_t out[BUILDID_MAX]);

#endif
