/* SPDX-License-Identifier: Apache-2.0 */
#include "cfi_entry.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

/* The bytes from address up to the end of what can be read of a piece. One that begins with the file's header may be
 * all of the object, with holes in it and parts behind the file's end: so the program headers are asked, which have
 * been good enough for the loader. Any other is a segment. */
static struct bytes readable_in(const struct cfi_piece *piece, uintptr_t bias, uintptr_t address)
{
    const Elf64_Ehdr *file = (const Elf64_Ehdr *)piece->start;
    struct bytes none = {NULL, NULL, true};

    if (piece->end - piece->start < 64)
        return none;
    if (memcmp(file->e_ident, ELFMAG, SELFMAG) != 0)
        return (struct bytes){(const uint8_t *)address, (const uint8_t *)piece->end, false};
    if (piece->end - piece->start < 4096 || file->e_phentsize != sizeof(Elf64_Phdr) || file->e_phoff > 4096 ||
        file->e_phoff + file->e_phnum * sizeof(Elf64_Phdr) > 4096)
        return none;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(piece->start + file->e_phoff);
    for (unsigned i = 0; i < file->e_phnum; i++) {
        uintptr_t offset = address - bias - segment[i].p_vaddr;
        if (segment[i].p_type == PT_LOAD && segment[i].p_flags & PF_R && offset < segment[i].p_filesz &&
            segment[i].p_filesz - offset <= piece->end - address)
            return (struct bytes){(const uint8_t *)address, (const uint8_t *)address + segment[i].p_filesz - offset,
                                  false};
    }
    return none;
}

struct bytes cfi_readable(const struct cfi_object *o, uintptr_t address)
{
    if (address >= o->tables.start && address < o->tables.end)
        return readable_in(&o->tables, o->bias, address);
    if (address >= o->code.start && address < o->code.end)
        return readable_in(&o->code, o->bias, address);
    return (struct bytes){NULL, NULL, true};
}

uintptr_t cfi_search(const struct cfi_object *o, uintptr_t pc, bool *damaged)
{
    struct bytes b = cfi_readable(o, o->header);
    uint64_t version = take(&b, 1), start_encoding = take(&b, 1), count_encoding = take(&b, 1),
             table_encoding = take(&b, 1);

    *damaged = true;
    take_pointer(&b, (uint8_t)start_encoding);
    if (b.failed || version != 1 || count_encoding != 0x03 || table_encoding != 0x3b)
        return 0;
    uint64_t low = 0, high = take(&b, 4);
    if (!have(&b, high * 8))
        return 0;
    *damaged = false;
    while (low < high) { /* the answer is the entry before low */
        uint64_t middle = low + (high - low) / 2;
        struct bytes entry = {b.at + 8 * middle, b.end, false};
        if (o->header + (uint64_t)take_signed(&entry, 4) <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    struct bytes entry = {b.at + 8 * (low - 1) + 4, b.end, false};
    return o->header + (uint64_t)take_signed(&entry, 4);
}

/* A CIE or FDE: the bytes behind its length. */
static struct bytes entry_at(const struct cfi_object *o, uintptr_t address)
{
    struct bytes b = cfi_readable(o, address);
    uint64_t length = take(&b, 4);

    if (length == 0xffffffff)
        length = take(&b, 8);
    if (have(&b, length))
        b.end = b.at + length;
    return b;
}

struct augmentation {
    bool sized;
    uint8_t pointer_encoding;
};

static bool read_augmentation(struct bytes *b, const char *letters, struct cfi_description *d, struct augmentation *a)
{
    if (*letters == '\0')
        return true;
    if (*letters != 'z')
        return false;
    a->sized = true;
    struct bytes data = take_block(b);
    for (letters++; *letters; letters++) {
        switch (*letters) {
        case 'R':
            a->pointer_encoding = (uint8_t)take(&data, 1);
            break;
        case 'P':
            take_pointer(&data, (uint8_t)take(&data, 1) & 0x7f);
            break;
        case 'L':
            take(&data, 1);
            break;
        case 'S':
            d->is_signal = true;
            break;
        default:
            return false;
        }
    }
    return !data.failed;
}

static bool read_common(const struct cfi_object *o, uintptr_t address, struct cfi_description *d,
                        struct augmentation *a)
{
    struct bytes b = entry_at(o, address);
    uint64_t id = take(&b, 4), version = take(&b, 1);
    const char *letters = (const char *)b.at;

    while (take(&b, 1) != 0)
        ;
    if (b.failed || id != 0 || (version != 1 && version != 3 && version != 4))
        return false;
    if (version == 4 && take(&b, 2) != 8) /* size of an address, of a segment selector */
        return false;
    d->code_align = take_uleb(&b);
    d->data_align = take_sleb(&b);
    uint64_t return_register = version == 1 ? take(&b, 1) : take_uleb(&b);
    if (return_register != REGISTER_RIP || !read_augmentation(&b, letters, d, a))
        return false;
    d->common = b;
    return !b.failed;
}

bool cfi_describe(const struct cfi_object *o, uintptr_t address, struct cfi_description *d)
{
    struct bytes b = entry_at(o, address);
    struct augmentation a = {false, 0};
    uintptr_t here = (uintptr_t)b.at;
    uint64_t back = take(&b, 4);

    if (b.failed || back == 0 || !read_common(o, here - back, d, &a))
        return false;
    d->start = take_pointer(&b, a.pointer_encoding);
    d->length = take_pointer(&b, a.pointer_encoding & 15);
    if (a.sized)
        take_block(&b);
    d->own = b;
    return !b.failed;
}
