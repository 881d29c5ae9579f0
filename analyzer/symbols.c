/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each file that was mapped as code is opened once, as a Dwfl session of its own at base 0, so that addresses in it are
 * those of the file itself, whatever process had it mapped wherever: an address becomes an offset in the file by the
 * process's mapping, and that a virtual address by the file's program headers. Answers are cached by (file, offset).
 *
 * A return address is the instruction behind the call, which may belong to the next line, or even the next function,
 * when the call does not return: so one byte before it is looked up.
 *
 * Where DWARF says nothing, the ELF symbol tables do (also those of a separate debug file, found by debug link or build
 * id below /usr/lib/debug); then "module+0x1234"; then the bare address. A file that is missing, no regular file, or
 * does not map the offset as code (it was replaced since) counts as having no symbols. libdw asks a debuginfod server
 * only where the user has named one in DEBUGINFOD_URLS.
 */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <libiberty/demangle.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "idmap.h"

#define FILES_MAX 65535 /* a file's index is 16 bits of the cache's key */
#define FRAMES_MAX 64   /* inlined into each other at one address */
#define OFFSET_MAX ((1ull << 48) - 1)

struct symbol_file {
    char *path;
    Dwfl *dwfl; /* NULL: no symbols */
    Dwfl_Module *module;
    GElf_Addr bias; /* of addresses in the session to those in the file */
};

struct answer {
    struct symbol_frame *frames;
    size_t count;
};

struct symbols {
    struct symbol_file *files;
    size_t file_count;
    struct answer *answers;
    size_t answer_count, answer_room;
    struct idmap answer_of; /* by file index and offset */
    struct idmap bare_of;   /* by address: of no module */
};

struct symbols *symbols_new(void)
{
    return calloc(1, sizeof(struct symbols));
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->file_count; i++) {
        dwfl_end(s->files[i].dwfl);
        free(s->files[i].path);
    }
    for (size_t i = 0; i < s->answer_count; i++) {
        for (size_t f = 0; f < s->answers[i].count; f++)
            free(s->answers[i].frames[f].text);
        free(s->answers[i].frames);
    }
    idmap_reset(&s->answer_of);
    idmap_reset(&s->bare_of);
    free(s->answers);
    free(s->files);
    free(s);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* --- files --- */

static void file_open(struct symbol_file *f)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                             .find_debuginfo = dwfl_standard_find_debuginfo,
                                             .section_address = dwfl_offline_section_address};
    struct stat st;

    if (f->path[0] != '/' || stat(f->path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < EI_NIDENT)
        return; /* files of /proc are regular too, have no size, and some of them block whoever reads */
    f->dwfl = dwfl_begin(&callbacks);
    if (!f->dwfl)
        return;
    dwfl_report_begin(f->dwfl);
    f->module = dwfl_report_elf(f->dwfl, f->path, f->path, -1, 0, true);
    dwfl_report_end(f->dwfl, NULL, NULL);
    if (!f->module || !dwfl_module_getelf(f->module, &f->bias)) {
        dwfl_end(f->dwfl);
        f->dwfl = NULL;
    }
}

/* The index of the file, opened if it is new; -1 if there are too many or memory is short. */
static long file_index(struct symbols *s, const char *path)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (!strcmp(s->files[i].path, path))
            return (long)i;
    if (s->file_count == FILES_MAX)
        return -1;
    struct symbol_file *grown = realloc(s->files, (s->file_count + 1) * sizeof *grown);
    if (!grown)
        return -1;
    s->files = grown;
    struct symbol_file *f = &s->files[s->file_count];
    *f = (struct symbol_file){.path = strdup(path)};
    if (!f->path)
        return -1;
    file_open(f);
    return (long)s->file_count++;
}

/* The virtual address of an offset in the file. False if the file does not map it as code. */
static bool file_address(const struct symbol_file *f, uint64_t offset, GElf_Addr *address)
{
    GElf_Addr bias;
    Elf *elf = f->dwfl ? dwfl_module_getelf(f->module, &bias) : NULL;
    size_t n = 0;

    if (!elf || elf_getphdrnum(elf, &n) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD && (header.p_flags & PF_X) &&
            offset >= header.p_offset && offset - header.p_offset < header.p_filesz) {
            *address = offset - header.p_offset + header.p_vaddr;
            return true;
        }
    }
    return false;
}

/* --- names --- */

/* The name as its language writes it; to be freed. NULL if memory is short. */
static char *demangle(const char *name)
{
    char *plain = NULL;

    if (!strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2))
        plain = cplus_demangle(name, DMGL_AUTO | DMGL_PARAMS | DMGL_ANSI);
    return plain ? plain : strdup(name);
}

static char *die_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *name = NULL;

    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        name = dwarf_formstring(&attribute);
    if (!name)
        name = dwarf_diename(die);
    return name ? demangle(name) : NULL;
}

struct place {
    const char *file; /* NULL: not known */
    int line;
};

static struct place place_of(Dwarf_Die *unit, Dwarf_Addr pc)
{
    struct place place = {NULL, 0};
    Dwarf_Line *line = dwarf_getsrc_die(unit, pc);

    if (line && !dwarf_lineno(line, &place.line))
        place.file = dwarf_linesrc(line, NULL, NULL);
    return place;
}

/* Where an inlined function was called. */
static struct place place_of_call(Dwarf_Die *unit, Dwarf_Die *inlined)
{
    struct place place = {NULL, 0};
    Dwarf_Attribute attribute;
    Dwarf_Word file, line;
    Dwarf_Files *files;
    size_t n;

    if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) &&
        !dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) &&
        !dwarf_getsrcfiles(unit, &files, &n) && file < n) {
        place.file = dwarf_filesrc(files, file, NULL, NULL);
        place.line = (int)line;
    }
    return place;
}

/* --- frames --- */

/* Takes name over. Does nothing if it is NULL, or the frames are full. */
static void frame_add(struct answer *a, char *name, struct place place, bool inlined)
{
    char *text = name;

    if (!name || a->count == FRAMES_MAX) {
        free(name);
        return;
    }
    if (place.file && place.line > 0) {
        if (asprintf(&text, "%s %s:%d", name, base_name(place.file), place.line) < 0)
            text = name;
        else
            free(name);
    }
    a->frames[a->count++] = (struct symbol_frame){text, inlined};
}

/* The compilation unit that holds an address of the session, and what to take off to have it as DWARF does. The index
 * that libdw searches is .debug_aranges, which clang leaves out: then all units are asked. */
static Dwarf_Die *find_unit(const struct symbol_file *f, GElf_Addr address, Dwarf_Addr *bias)
{
    Dwarf_Die *unit = dwfl_module_addrdie(f->module, address, bias);

    if (unit)
        return unit;
    while ((unit = dwfl_module_nextcu(f->module, unit, bias)))
        if (dwarf_haspc(unit, address - *bias) > 0)
            return unit;
    return NULL;
}

/* The frames that DWARF knows at an address: from the innermost scope outwards to the function. Each is at the place
 * where the one inside it was called, the innermost at the place of the address itself. */
static void dwarf_frames(const struct symbol_file *f, GElf_Addr address, struct answer *a)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = find_unit(f, address + f->bias, &bias);
    Dwarf_Die *scopes = NULL, *parents = NULL;

    if (!unit || dwarf_getscopes(unit, address + f->bias - bias, &scopes) <= 0)
        return;
    struct place place = place_of(unit, address + f->bias - bias);
    int n = dwarf_getscopes_die(&scopes[0], &parents);
    for (int i = 0; i < n; i++) {
        int tag = dwarf_tag(&parents[i]);
        if (tag == DW_TAG_inlined_subroutine) {
            frame_add(a, die_name(&parents[i]), place, true);
            place = place_of_call(unit, &parents[i]);
        } else if (tag == DW_TAG_subprogram) {
            frame_add(a, die_name(&parents[i]), place, false);
            break;
        }
    }
    if (n > 0)
        free(parents);
    free(scopes);
}

static void file_frames(const struct symbol_file *f, uint64_t offset, struct answer *a)
{
    GElf_Addr address = 0;
    char *text = NULL;

    if (file_address(f, offset, &address)) {
        dwarf_frames(f, address, a);
        if (!a->count || a->frames[a->count - 1].inlined) {
            const char *name = dwfl_module_addrname(f->module, address + f->bias);
            if (name)
                frame_add(a, demangle(name), (struct place){NULL, 0}, false);
        }
    } else {
        address = offset;
    }
    if (!a->count && asprintf(&text, "%s+0x%" PRIx64, base_name(f->path), (uint64_t)address + 1) >= 0)
        frame_add(a, text, (struct place){NULL, 0}, false);
}

/* --- answers --- */

static const struct answer *answer_keep(struct symbols *s, struct idmap *map, uint64_t key, const struct answer *found)
{
    if (s->answer_count == s->answer_room) {
        size_t room = 2 * s->answer_room + 64;
        struct answer *grown = realloc(s->answers, room * sizeof *grown);
        if (!grown)
            return NULL;
        s->answers = grown;
        s->answer_room = room;
    }
    struct symbol_frame *frames = malloc((found->count + 1) * sizeof *frames);
    if (!frames || idmap_put(map, key, (uint32_t)s->answer_count) < 0) {
        free(frames);
        return NULL;
    }
    memcpy(frames, found->frames, found->count * sizeof *frames);
    s->answers[s->answer_count] = (struct answer){frames, found->count};
    return &s->answers[s->answer_count++];
}

static const struct module *module_at(const struct process *p, uint64_t address)
{
    for (size_t i = p ? p->module_count : 0; i-- > 0;) /* the newest first: its place may have been used before */
        if (address >= p->modules[i].start && address < p->modules[i].end)
            return &p->modules[i];
    return NULL;
}

static const struct answer *answer_of(struct symbols *s, const struct process *p, uint64_t return_address)
{
    struct symbol_frame frames[FRAMES_MAX];
    struct answer found = {frames, 0};
    uint64_t address = return_address ? return_address - 1 : 0, key = return_address;
    const struct module *module = module_at(p, address);
    uint64_t offset = module ? address - module->start + module->file_offset : 0;
    long file = module && offset <= OFFSET_MAX ? file_index(s, module->path) : -1;
    struct idmap *map = file < 0 ? &s->bare_of : &s->answer_of;
    char *text = NULL;

    if (file >= 0)
        key = (uint64_t)file << 48 | offset;
    uint32_t known = idmap_get(map, key);
    if (known != IDMAP_NONE)
        return &s->answers[known];
    if (file >= 0)
        file_frames(&s->files[file], offset, &found);
    else if (asprintf(&text, "0x%" PRIx64, return_address) >= 0)
        frame_add(&found, text, (struct place){NULL, 0}, false);
    const struct answer *kept = answer_keep(s, map, key, &found);
    for (size_t i = 0; !kept && i < found.count; i++)
        free(frames[i].text);
    return kept;
}

size_t symbols_resolve(struct symbols *s, const struct process *p, uint64_t return_address, struct symbol_frame *out,
                       size_t max)
{
    static char unknown[] = "?";
    const struct answer *a = max ? answer_of(s, p, return_address) : NULL;
    size_t n = a && a->count < max ? a->count : max;

    if (!max)
        return 0;
    if (!a || !a->count) {
        out[0] = (struct symbol_frame){unknown, false};
        return 1;
    }
    memcpy(out, a->frames, n * sizeof *out);
    return n;
}
