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
 *
 * Where the trace has the build id of a file, only a file with that very id is asked for names: the one at its path, or else
 * one that is found by its id, below /usr/lib/debug or from a debuginfod server. So two builds of one program in one run are two files.
 *
 * What a JIT made lies in no file, or in one without a name, and in each process at another address. So there the name itself is
 * the place in code: all that have one name are one place, of one file that stands for all JITs.
 */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cuindex.h"
#include "demangle.h"
#include "idmap.h"
#include "jitnames.h"
#include "symindex.h"

#define FILES_MAX 65535 /* a file's index is 16 bits of the cache's key */
#define FRAMES_MAX 64   /* inlined into each other at one address */
#define NESTING_MAX 256 /* of scopes */
#define SCOPES_MAX (1u << 16) /* beside each other */
#define SEGMENTS_MAX 4  /* of one file that are code */
#define OFFSET_MAX ((1ull << 48) - 1)

enum { FILE_NONE, FILE_JIT, FILES_RESERVED };

struct segment {
    uint64_t start, end, file_offset;
};

struct symbol_file {
    char *path;
    uint8_t build_id[BUILD_ID_MAX]; /* as recorded */
    uint32_t build_id_bytes;        /* 0: not known */
    uint8_t now[BUILD_ID_MAX];      /* of what is at the path */
    uint32_t now_bytes;
    bool changed, gone;
    Dwfl *dwfl; /* NULL: no symbols */
    Dwfl_Module *module;
    GElf_Addr bias; /* of addresses in the session to those in the file */
    struct cuindex units;
    struct symindex symbols;
    struct segment segment[SEGMENTS_MAX];
    size_t segments;
};

struct answer {
    struct symbol_frame *frames;
    size_t count;
};

struct symbols {
    struct jitnames jit;
    struct symbol_file *files; /* the first two stand for none and for all JITs */
    size_t file_count;
    struct answer *answers;
    size_t answer_count, answer_room;
    struct idmap answer_of; /* by file and offset */
    struct idmap bare_of;   /* by address: of no file */
    struct idmap file_of;   /* by module, as a pointer to its path */
};

struct symbols *symbols_new(void)
{
    struct symbols *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->files = calloc(FILES_RESERVED, sizeof *s->files);
    s->file_count = FILES_RESERVED;
    if (s->files)
        return s;
    free(s);
    return NULL;
}

void symbols_read_jit(struct symbols *s, const struct jitnames_lists *lists)
{
    s->jit.lists = *lists;
}

const struct jitnames_fault *symbols_jit_fault(const struct symbols *s, size_t i)
{
    return i < s->jit.fault_count ? &s->jit.faults[i] : NULL;
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->file_count; i++) {
        cuindex_reset(&s->files[i].units);
        symindex_reset(&s->files[i].symbols);
        dwfl_end(s->files[i].dwfl);
        free(s->files[i].path);
    }
    for (size_t i = 0; i < s->answer_count; i++) {
        for (size_t f = 0; f < s->answers[i].count; f++) {
            struct symbol_frame *frame = &s->answers[i].frames[f];
            if (frame->function != frame->text)
                free(frame->function);
            free(frame->text);
            free(frame->file);
        }
        free(s->answers[i].frames);
    }
    idmap_reset(&s->answer_of);
    idmap_reset(&s->bare_of);
    idmap_reset(&s->file_of);
    jitnames_reset(&s->jit);
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

static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_build_id_find_elf,
                                         .find_debuginfo = dwfl_standard_find_debuginfo,
                                         .section_address = dwfl_offline_section_address};

static void file_close(struct symbol_file *f)
{
    dwfl_end(f->dwfl);
    f->dwfl = NULL;
    f->module = NULL;
}

static bool is_file(const char *path)
{
    struct stat st;

    /* files of /proc are regular too, have no size, and some of them block whoever reads */
    return path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= EI_NIDENT;
}

/* What is at the path now. */
static void open_path(struct symbol_file *f, const char *path)
{
    const unsigned char *id;
    GElf_Addr address;

    f->dwfl = is_file(path) ? dwfl_begin(&callbacks) : NULL;
    if (!f->dwfl)
        return;
    dwfl_report_begin(f->dwfl);
    f->module = dwfl_report_elf(f->dwfl, path, path, -1, 0, true);
    dwfl_report_end(f->dwfl, NULL, NULL);
    if (!f->module || !dwfl_module_getelf(f->module, &f->bias)) {
        file_close(f);
        return;
    }
    int bytes = dwfl_module_build_id(f->module, &id, &address);
    if (bytes > 0 && bytes <= BUILD_ID_MAX) {
        memcpy(f->now, id, (size_t)bytes);
        f->now_bytes = (uint32_t)bytes;
    }
}

/* The file of that build id, wherever it is. */
static void open_build_id(struct symbol_file *f)
{
    f->dwfl = dwfl_begin(&callbacks);
    if (!f->dwfl)
        return;
    dwfl_report_begin(f->dwfl);
    f->module = dwfl_report_module(f->dwfl, f->path, 0, OFFSET_MAX);
    if (f->module && dwfl_module_report_build_id(f->module, f->build_id, f->build_id_bytes, 0) < 0)
        f->module = NULL;
    dwfl_report_end(f->dwfl, NULL, NULL);
    if (!f->module || !dwfl_module_getelf(f->module, &f->bias))
        file_close(f);
}

static bool same_id(const struct symbol_file *f, const uint8_t *id, uint32_t bytes)
{
    return f->build_id_bytes == bytes && memcmp(f->build_id, id, bytes) == 0;
}

/* The kernel marks the path of a file that has lost its name. What has that name now may be the same build all the same. */
static void open_deleted(struct symbol_file *f)
{
    static const char mark[] = " (deleted)";
    size_t n = strlen(f->path), m = sizeof mark - 1;

    if (f->build_id_bytes && n > m && strcmp(f->path + n - m, mark) == 0) {
        char *path = strndup(f->path, n - m);
        if (path)
            open_path(f, path);
        free(path);
    }
}

static void file_open(struct symbol_file *f)
{
    open_path(f, f->path);
    if (!f->dwfl)
        open_deleted(f);
    if (!f->build_id_bytes || (f->dwfl && same_id(f, f->now, f->now_bytes)))
        return;
    f->gone = !f->dwfl;
    file_close(f);
    open_build_id(f);
    f->changed = !f->dwfl;
}

/* The index of a new file; 0 if there are too many or memory is short. */
static uint32_t file_add(struct symbols *s, const char *path)
{
    if (s->file_count == FILES_MAX)
        return 0;
    struct symbol_file *grown = realloc(s->files, (s->file_count + 1) * sizeof *grown);
    if (!grown)
        return 0;
    s->files = grown;
    struct symbol_file *f = &s->files[s->file_count];
    *f = (struct symbol_file){.path = strdup(path)};
    return f->path ? (uint32_t)s->file_count++ : 0;
}

static uint32_t module_open(struct symbols *s, const struct module *m)
{
    for (size_t i = FILES_RESERVED; i < s->file_count; i++) {
        const struct symbol_file *f = &s->files[i];
        if (strcmp(f->path, m->path) == 0 && same_id(f, m->build_id, m->build_id_bytes))
            return (uint32_t)i;
    }
    uint32_t file = file_add(s, m->path);
    if (file) {
        struct symbol_file *f = &s->files[file];
        f->build_id_bytes = m->build_id_bytes;
        memcpy(f->build_id, m->build_id ? m->build_id : f->now, m->build_id_bytes);
        file_open(f);
    }
    return file;
}

/* Remembers where the file was mapped, unless that part of it was before. */
static void note_segment(struct symbol_file *f, const struct module *m)
{
    for (size_t i = 0; i < f->segments; i++)
        if (f->segment[i].file_offset == m->file_offset)
            return;
    if (f->segments < SEGMENTS_MAX)
        f->segment[f->segments++] = (struct segment){m->start, m->end, m->file_offset};
}

/* The file of a module, opened if it is new; 0: none. */
static uint32_t module_file(struct symbols *s, const struct module *m)
{
    uint64_t key = (uint64_t)(uintptr_t)m->path;
    uint32_t known = idmap_get(&s->file_of, key);

    if (known != IDMAP_NONE)
        return known;
    uint32_t file = module_open(s, m);
    if (file)
        note_segment(&s->files[file], m);
    idmap_put(&s->file_of, key, file); /* if it fails, it is looked for again */
    return file;
}

/* --- addresses and names --- */

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

/* As the linker knows it; NULL: DWARF does not tell. */
static const char *linkage_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;

    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        return dwarf_formstring(&attribute);
    return NULL;
}

/* Of an inlined function there is no symbol: symbol is NULL. */
static char *die_name(Dwarf_Die *die, const char *symbol)
{
    const char *name = linkage_name(die);

    if (!name && symbol && symbol[0] == '_' && (symbol[1] == 'Z' || symbol[1] == 'R'))
        name = symbol; /* says more: a lambda is called operator() in DWARF */
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

/* Takes the name over, and says whether that is one. Does nothing if it is NULL, or the frames are full. */
static void frame_add(struct answer *a, char *name, struct place place, struct symbol_frame like)
{
    if (!name || a->count == FRAMES_MAX) {
        free(name);
        return;
    }
    like.text = like.function = name;
    if (place.file && place.line > 0) {
        char *text;
        like.line = place.line;
        like.file = strdup(place.file);
        if (asprintf(&text, "%s %s:%d", name, base_name(place.file), place.line) >= 0)
            like.text = text;
    }
    a->frames[a->count++] = like;
}

static const struct place nowhere = {NULL, 0};

/* The scope within this one that holds pc: an inlined function or a block. */
static bool inner_scope(Dwarf_Die *scope, Dwarf_Addr pc)
{
    Dwarf_Die die;
    int tag;

    if (dwarf_child(scope, &die) != 0)
        return false;
    for (unsigned i = 0; i < SCOPES_MAX; i++) {
        tag = dwarf_tag(&die);
        if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
             tag == DW_TAG_catch_block) && dwarf_haspc(&die, pc) > 0) {
            *scope = die;
            return true;
        }
        if (dwarf_siblingof(&die, &die) != 0)
            break;
    }
    return false;
}

/* The function and what is inlined into it at pc, outermost first; gives how many. */
static size_t functions_at(Dwarf_Die *function, Dwarf_Addr pc, Dwarf_Die chain[FRAMES_MAX])
{
    Dwarf_Die scope = *function;
    size_t n = 0;

    chain[n++] = scope;
    for (unsigned depth = 0; depth < NESTING_MAX && n < FRAMES_MAX && inner_scope(&scope, pc); depth++)
        if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine)
            chain[n++] = scope;
    return n;
}

/* The frames that DWARF knows at an address, innermost first: each is at the place where the one inside it was called, the innermost
 * at the place of the address itself. That place is given also where no function is known. */
static struct place dwarf_frames(struct symbol_file *f, GElf_Addr address, struct answer *a)
{
    Dwarf_Addr bias, pc;
    Dwarf_Die unit, function, chain[FRAMES_MAX];

    if (!cuindex_unit(&f->units, f->module, address + f->bias, &unit, &bias))
        return nowhere;
    pc = address + f->bias - bias;
    struct place place = place_of(&unit, pc);
    if (!cuindex_function(&f->units, &unit, pc, &function))
        return place;
    for (size_t n = functions_at(&function, pc, chain); n-- > 0;) {
        const char *symbol = n > 0 ? NULL : symindex_name(&f->symbols, f->module, address + f->bias);
        frame_add(a, die_name(&chain[n], symbol), place, (struct symbol_frame){.inlined = n > 0, .named = true});
        if (n > 0)
            place = place_of_call(&unit, &chain[n]);
    }
    return place;
}

static void file_frames(struct symbol_file *f, uint64_t offset, struct answer *a)
{
    GElf_Addr address = 0;
    char *text = NULL;

    if (file_address(f, offset, &address)) {
        struct place place = dwarf_frames(f, address, a);
        if (!a->count || a->frames[a->count - 1].inlined) {
            const char *name = symindex_name(&f->symbols, f->module, address + f->bias);
            if (name)
                frame_add(a, demangle(name), place, (struct symbol_frame){.named = true});
        }
    } else {
        address = offset;
    }
    if (!a->count && asprintf(&text, "%s+0x%" PRIx64, base_name(f->path), (uint64_t)address + 1) >= 0)
        frame_add(a, text, nowhere, (struct symbol_frame){.named = false});
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

struct symbol_place symbols_place(struct symbols *s, const struct process *p, uint64_t return_address)
{
    uint64_t address = return_address ? return_address - 1 : 0;
    const struct module *module = process_module(p, address);
    uint64_t offset = module ? address - module->start + module->file_offset : 0;
    uint32_t file = module && offset <= OFFSET_MAX ? module_file(s, module) : FILE_NONE;

    if (file && s->files[file].dwfl)
        return (struct symbol_place){file, offset};
    long name = jitnames_at(&s->jit, p, address); /* some JITs keep their code in files without a name */
    if (name >= 0)
        return (struct symbol_place){FILE_JIT, (uint64_t)name};
    return (struct symbol_place){file, file ? offset : return_address};
}

static void find_frames(struct symbols *s, struct symbol_place place, struct answer *found)
{
    char *text = NULL;

    if (place.file == FILE_JIT) {
        frame_add(found, strdup(s->jit.names[place.offset]), nowhere, (struct symbol_frame){.named = true, .jit = true});
    } else if (place.file != FILE_NONE) {
        file_frames(&s->files[place.file], place.offset, found);
    } else if (asprintf(&text, "0x%" PRIx64, place.offset) >= 0) {
        frame_add(found, text, nowhere, (struct symbol_frame){.named = false});
    }
}

static const struct answer *answer_of(struct symbols *s, struct symbol_place place)
{
    struct symbol_frame frames[FRAMES_MAX];
    struct answer found = {frames, 0};
    struct idmap *map = place.file ? &s->answer_of : &s->bare_of;
    uint64_t key = place.file ? (uint64_t)place.file << 48 | place.offset : place.offset;
    uint32_t known = idmap_get(map, key);

    if (known != IDMAP_NONE)
        return &s->answers[known];
    find_frames(s, place, &found);
    const struct answer *kept = answer_keep(s, map, key, &found);
    for (size_t i = 0; !kept && i < found.count; i++) {
        if (frames[i].function != frames[i].text)
            free(frames[i].function);
        free(frames[i].text);
        free(frames[i].file);
    }
    return kept;
}

size_t symbols_at(struct symbols *s, struct symbol_place place, struct symbol_frame *out, size_t max)
{
    static char unknown[] = "?";
    const struct answer *a = max ? answer_of(s, place) : NULL;
    size_t n = a && a->count < max ? a->count : max;

    if (!max)
        return 0;
    if (!a || !a->count) {
        out[0] = (struct symbol_frame){.text = unknown, .function = unknown};
        return 1;
    }
    memcpy(out, a->frames, n * sizeof *out);
    return n;
}

size_t symbols_resolve(struct symbols *s, const struct process *p, uint64_t return_address, struct symbol_frame *out,
                       size_t max)
{
    return symbols_at(s, symbols_place(s, p, return_address), out, max);
}

/* --- about files --- */

struct symbol_mapping symbols_mapping(const struct symbols *s, struct symbol_place place)
{
    const struct symbol_file *f = &s->files[place.file];
    struct symbol_mapping out = {.path = NULL};

    if (place.file < FILES_RESERVED)
        return out;
    out.path = f->path;
    out.build_id = f->build_id_bytes ? f->build_id : NULL;
    out.build_id_bytes = f->build_id_bytes;
    for (size_t i = 0; i < f->segments; i++) {
        const struct segment *g = &f->segment[i];
        if (place.offset < g->file_offset || place.offset - g->file_offset >= g->end - g->start)
            continue;
        out.start = g->start;
        out.end = g->end;
        out.file_offset = g->file_offset;
        break;
    }
    return out;
}

static void print_id(char *out, const uint8_t *id, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
    out[2 * bytes] = '\0';
}

bool symbols_changed(const struct symbols *s, size_t i, struct symbol_change *out)
{
    for (size_t file = FILES_RESERVED; file < s->file_count; file++) {
        const struct symbol_file *f = &s->files[file];
        if (!f->changed || i-- > 0)
            continue;
        *out = (struct symbol_change){.path = f->path, .gone = f->gone};
        print_id(out->recorded, f->build_id, f->build_id_bytes);
        print_id(out->now, f->now, f->now_bytes);
        return true;
    }
    return false;
}
