/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dynamic linker's own lookup would do, but for three things. For a name that is nowhere it allocates its error message, in the middle of the
 * allocator's own start, whose mmap may have been the first call that we saw. A preloaded library may wrap it, and RTLD_NEXT is
 * relative to who calls. And it passes over names of which an object has only an older version (glibc's libc_malloc_debug).
 *
 * Names are looked up in the hash tables of the objects (System V ABI, "Dynamic Linking"; DT_GNU_HASH as binutils writes it).
 */
#include "symbol.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>

#define VERSION_HIDDEN 0x8000 /* not the version that a link would choose today */

struct object {
    uintptr_t base;
    const ElfW(Sym) *symbols;
    const char *strings;
    const uint16_t *versions; /* NULL: none */
    const uint32_t *gnu_hash, *hash;
};

/* glibc has replaced what a dynamic entry points to by its address, but not in the kernel's own object. */
static uintptr_t pointer(uintptr_t base, ElfW(Addr) value) { return value < base ? base + value : value; }

static struct object object_of(uintptr_t base, const ElfW(Dyn) *dynamic)
{
    struct object o = {.base = base};

    for (const ElfW(Dyn) *d = dynamic; d && d->d_tag != DT_NULL; d++) {
        uintptr_t at = pointer(o.base, d->d_un.d_ptr);
        switch (d->d_tag) {
        case DT_SYMTAB: o.symbols = (const void *)at; break;
        case DT_STRTAB: o.strings = (const void *)at; break;
        case DT_VERSYM: o.versions = (const void *)at; break;
        case DT_GNU_HASH: o.gnu_hash = (const void *)at; break;
        case DT_HASH: o.hash = (const void *)at; break;
        default: break;
        }
    }
    return o;
}

/* libc's may not be there yet. */
static bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static bool defines(const struct object *o, uint32_t i, const char *name)
{
    const ElfW(Sym) *s = &o->symbols[i];
    unsigned type = ELF64_ST_TYPE(s->st_info);

    return s->st_shndx != SHN_UNDEF && s->st_value && ELF64_ST_BIND(s->st_info) != STB_LOCAL &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) && same(o->strings + s->st_name, name);
}

/* Whether symbol i is a better answer than *best (0: none yet). */
static void consider(const struct object *o, uint32_t i, const char *name, uint32_t *best)
{
    bool hidden = o->versions && o->versions[i] & VERSION_HIDDEN;

    if (defines(o, i, name) && (!*best || !hidden))
        *best = i;
}

static uint32_t find_gnu(const struct object *o, const char *name)
{
    const uint32_t *table = o->gnu_hash;
    uint32_t buckets = table[0], first = table[1], words = table[2], shift = table[3], h = 5381, best = 0;
    const ElfW(Addr) *filter = (const void *)(table + 4);
    const uint32_t *bucket = (const void *)(filter + words), *chain = bucket + buckets;

    for (const char *p = name; *p; p++)
        h = h * 33 + (uint8_t)*p;
    if (!words || !buckets)
        return 0;
    ElfW(Addr) word = filter[h / 64 % words];
    if (!(word >> h % 64 & word >> (h >> shift) % 64 & 1))
        return 0;
    for (uint32_t i = bucket[h % buckets]; i >= first; i++) {
        uint32_t its = chain[i - first];
        if ((its | 1) == (h | 1))
            consider(o, i, name, &best);
        if (its & 1)
            break;
    }
    return best;
}

static uint32_t find_sysv(const struct object *o, const char *name)
{
    uint32_t buckets = o->hash[0], h = 0, best = 0;
    const uint32_t *bucket = o->hash + 2, *chain = bucket + buckets;

    for (const char *p = name; *p; p++) {
        h = (h << 4) + (uint8_t)*p;
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
    }
    for (uint32_t i = buckets ? bucket[h % buckets] : 0; i; i = chain[i])
        consider(o, i, name, &best);
    return best;
}

static void *address(const struct object *o, uint32_t i)
{
    uintptr_t at = o->base + o->symbols[i].st_value;

    /* a function that gives the function */
    return ELF64_ST_TYPE(o->symbols[i].st_info) == STT_GNU_IFUNC ? ((void *(*)(void))at)() : (void *)at;
}

void *symbol_in(uintptr_t base, const void *dynamic, const char *name)
{
    struct object o = object_of(base, dynamic);
    uint32_t i = !o.symbols || !o.strings ? 0 : o.gnu_hash ? find_gnu(&o, name) : o.hash ? find_sysv(&o, name) : 0;

    return i ? address(&o, i) : NULL;
}

const char *symbol_object_name(uintptr_t base, const void *dynamic)
{
    struct object o = object_of(base, dynamic);

    for (const ElfW(Dyn) *d = dynamic; o.strings && d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_SONAME)
            return o.strings + d->d_un.d_val;
    return NULL;
}

bool symbol_needs(uintptr_t base, const void *dynamic, const char *object_name)
{
    struct object o = object_of(base, dynamic);

    for (const ElfW(Dyn) *d = dynamic; o.strings && d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_NEEDED && same(o.strings + d->d_un.d_val, object_name))
            return true;
    return false;
}

static void *find_from(const struct link_map *map, const char *name)
{
    void *found = NULL;

    for (; map && !found; map = map->l_next)
        found = symbol_in(map->l_addr, map->l_ld, name);
    return found;
}

void *symbol_first(const char *name) { return find_from(_r_debug.r_map, name); }

void *symbol_next(const char *name)
{
    const struct link_map *map = _r_debug.r_map;

    while (map && map->l_ld != _DYNAMIC)
        map = map->l_next;
    return map ? find_from(map->l_next, name) : NULL;
}
