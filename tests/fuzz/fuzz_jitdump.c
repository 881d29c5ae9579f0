/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a jitdump behind its magic number and version, read from a file as ever. What it tells of must keep what the
 * header promises, and come to an end.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jitdump.h"
#include "pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t begin[] = {0x4a695444, 1};
    static int fd = -1;
    static struct jitdump dump;
    struct error e = {.text = ""};
    struct jitdump_code code;
    int got = 1;

    if (fd < 0)
        fd = memfd_create("jitdump", 0);
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, begin, sizeof begin, 0) == sizeof begin);
    MUST(pwrite(fd, data, size, sizeof begin) == (ssize_t)size);
    if (jitdump_open(&dump, fd, &e) < 0) {
        MUST(e.text[0]);
        return 0;
    }
    for (uint64_t before = dump.next; (got = jitdump_next(&dump, &code, &e)) == 1; before = dump.next) {
        MUST(dump.next > before && dump.next <= sizeof begin + size);
        if (code.moved)
            continue;
        MUST(code.bytes && code.start + code.bytes > code.start && code.bytes <= size);
        MUST(strlen(code.name) <= JITDUMP_NAME_MAX);
    }
    MUST((got < 0) == (e.text[0] != '\0'));
    return 0;
}
