/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a program with libelf. Program headers decide what the kernel and the dynamic linker do with it, so they are asked
 * first; sections may be stripped, and only add what symbols tell.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NOTE_GO_BUILD_ID 4

static bool one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* --- scripts --- */

static void take_word(char out[PROGRAM_INTERPRETER_BYTES], const char **from)
{
    *from += strspn(*from, " \t");
    size_t n = strcspn(*from, " \t\n");
    if (n >= PROGRAM_INTERPRETER_BYTES)
        n = PROGRAM_INTERPRETER_BYTES - 1;
    memcpy(out, *from, n);
    out[n] = '\0';
    *from += n;
}

static bool read_script(struct program *p, int fd)
{
    char head[2 * PROGRAM_INTERPRETER_BYTES];
    ssize_t n = pread(fd, head, sizeof head - 1, 0);

    if (n < 2 || head[0] != '#' || head[1] != '!')
        return false;
    head[n] = '\0';
    const char *at = head + 2;
    take_word(p->interpreter, &at);
    take_word(p->argument, &at);
    p->script = true;
    return true;
}

/* --- ELF --- */

static void read_interpreter(struct program *p, int fd, const GElf_Phdr *segment)
{
    size_t room = sizeof p->interpreter - 1, bytes = segment->p_filesz < room ? segment->p_filesz : room;
    ssize_t n = pread(fd, p->interpreter, bytes, (off_t)segment->p_offset);

    p->interpreter[n > 0 ? n : 0] = '\0';
}

static void read_notes(struct program *p, Elf *elf, const GElf_Phdr *segment)
{
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)segment->p_offset, segment->p_filesz, ELF_T_NHDR);
    size_t at = 0, name, text;
    GElf_Nhdr note;

    while (data && (at = gelf_getnote(data, at, &note, &name, &text)) > 0)
        if (note.n_type == NOTE_GO_BUILD_ID && note.n_namesz == 4 && memcmp((char *)data->d_buf + name, "Go\0", 4) == 0)
            p->go = true;
}

static void read_segments(struct program *p, Elf *elf, int fd)
{
    size_t count = 0;
    GElf_Phdr segment;

    elf_getphdrnum(elf, &count);
    for (size_t i = 0; i < count; i++) {
        if (!gelf_getphdr(elf, (int)i, &segment))
            continue;
        if (segment.p_type == PT_INTERP)
            read_interpreter(p, fd, &segment);
        else if (segment.p_type == PT_NOTE)
            read_notes(p, elf, &segment);
    }
}

static void take_defined(struct program *p, const char *name)
{
    static const char *const allocators[] = {"je_malloc", "_rjem_malloc", "mi_malloc", "tc_malloc", NULL};
    static const char *const tls[] = {"SSL_read", "gnutls_record_recv", NULL};

    p->defines_malloc |= strcmp(name, "malloc") == 0;
    p->has_allocator |= one_of(name, allocators);
    p->defines_tls |= one_of(name, tls);
}

static void read_symbols(struct program *p, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(section, NULL);
    GElf_Sym symbol;

    for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
        const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);
        unsigned type = GELF_ST_TYPE(symbol.st_info);
        if (name && symbol.st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_NOTYPE || type == STT_GNU_IFUNC))
            take_defined(p, name);
    }
}

static void read_sections(struct program *p, Elf *elf)
{
    size_t names = 0;
    GElf_Shdr header;

    elf_getshdrstrndx(elf, &names);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        if (!gelf_getshdr(section, &header))
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && strcmp(name, ".go.buildinfo") == 0)
            p->go = true;
        if (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB)
            read_symbols(p, elf, section, &header);
    }
}

static void read_elf(struct program *p, Elf *elf, int fd, const char *path)
{
    GElf_Ehdr header;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return;
    p->elf = true;
    p->executable = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    p->x86_64 = header.e_machine == EM_X86_64 && header.e_ident[EI_CLASS] == ELFCLASS64;
    read_segments(p, elf, fd);
    read_sections(p, elf);
    p->linker = !p->interpreter[0] && (strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.so", 5) == 0);
}

int program_read(struct program *p, const char *path, struct error *e)
{
    char capability[64];
    struct stat st;

    *p = (struct program){.script = false};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(e, ERROR_NO_OFFSET, "%s", strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(e, ERROR_NO_OFFSET, "this is no file");
    }
    p->set_user = st.st_mode & S_ISUID;
    p->set_group = (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    p->capabilities = fgetxattr(fd, "security.capability", capability, sizeof capability) > 0;
    if (!read_script(p, fd)) {
        elf_version(EV_CURRENT);
        Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
        if (elf)
            read_elf(p, elf, fd, path);
        elf_end(elf);
    }
    close(fd);
    return 0;
}
