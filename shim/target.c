/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that does not load the preload vanishes from the trace without a trace; this file says so. It reads the ELF header
 * and the program headers of what is about to be exec'd, as the kernel will, and follows "#!" lines.
 *
 * The dynamic linker drops LD_PRELOAD where the kernel sets AT_SECURE: when an exec changes the effective user or group, or
 * grants capabilities to one who is not root. Neither happens on a nosuid file system or under no_new_privs.
 *
 * An unreadable file (mode 0711) is left alone: nothing is known of it.
 */
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "event.h"
#include "ops.h"
#include "raw.h"
#include "say.h"
#include "settings.h"
#include "state.h"

#define PATH_BYTES 1024
#define SEGMENTS_MAX 24  /* of a program; real ones have about a dozen */
#define SCRIPTS_MAX 4    /* the kernel's own limit of "#!" in "#!" */
#define NOSUID 2         /* ST_NOSUID of statfs */
#define NOTE_GO_BUILD_ID 4

extern char **environ;

static bool failed(long result) { return result < 0 && result > -4096; }

/* --- once a run --- */

/* Whether nobody has named this program yet; what finds no place in the table goes unnamed. */
static bool first_mention(const char *path)
{
    uint64_t hash = 0xcbf29ce484222325ull;

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 0x100000001b3ull;
    hash |= 1;
    for (unsigned i = 0; i < ARENA_NAMED_PROGRAMS; i++) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&shim.arena->named_programs[i], &found, hash))
            return true;
        if (found == hash)
            return false;
    }
    return false;
}

static bool is_quiet(void) { return atomic_load(&shim.phase) != SHIM_ON || shim.arena->quiet; }

/* --- looking at a file --- */

static long open_program(const char *path)
{
    struct stat st;
    long fd = raw3(SYS_open, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

    if (failed(fd))
        return fd;
    if (!failed(raw2(SYS_fstat, fd, (long)&st)) && S_ISREG(st.st_mode) && st.st_mode & 0111)
        return fd;
    raw1(SYS_close, fd);
    return -1;
}

/* As execvp does: the first directory of PATH that has such a program. path receives its whole name. */
static long search_program(char path[PATH_BYTES], const char *name)
{
    const char *list = settings_lookup(environ, "PATH");
    size_t name_bytes = strlen(name) + 1;

    if (!list)
        list = "/bin:/usr/bin";
    for (const char *end; *list; list = *end ? end + 1 : end) {
        end = strchrnul(list, ':');
        size_t n = (size_t)(end - list);
        if (n == 0 || n + 1 + name_bytes > PATH_BYTES)
            continue;
        memcpy(path, list, n);
        path[n] = '/';
        memcpy(path + n + 1, name, name_bytes);
        long fd = open_program(path);
        if (!failed(fd))
            return fd;
    }
    return -1;
}

static bool gains_privileges(long fd)
{
    struct stat st;
    struct statfs fs;
    char capability[64];
    bool user, group, capable;

    if (failed(raw2(SYS_fstat, fd, (long)&st)))
        return false;
    user = st.st_mode & S_ISUID && st.st_uid != (uid_t)raw0(SYS_geteuid);
    group = (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != (gid_t)raw0(SYS_getegid);
    capable = raw0(SYS_getuid) != 0 &&
              raw4(SYS_fgetxattr, fd, (long)"security.capability", (long)capability, sizeof capability) > 0;
    if (!user && !group && !capable)
        return false;
    return raw1(SYS_prctl, PR_GET_NO_NEW_PRIVS) != 1 &&
           (failed(raw2(SYS_fstatfs, fd, (long)&fs)) || !(fs.f_flags & NOSUID));
}

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

/* The dynamic linker has no interpreter either, and obeys LD_PRELOAD when it is run by hand. */
static bool is_linker(const char *path)
{
    const char *slash = strrchr(path, '/');
    return starts_with(slash ? slash + 1 : path, "ld-") || starts_with(slash ? slash + 1 : path, "ld.so");
}

/* Why an ELF file is not recorded, NULL if it is or nobody can tell. */
static const char *elf_refusal(long fd, const char *path, const Elf64_Ehdr *e)
{
    Elf64_Phdr segment[SEGMENTS_MAX];
    char interpreter[256];
    long got;

    if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != EM_X86_64)
        return " is not a program for 64-bit x86";
    if (e->e_phentsize != sizeof *segment || e->e_phnum == 0 || e->e_phnum > SEGMENTS_MAX)
        return NULL;
    long bytes = (long)(e->e_phnum * sizeof *segment);
    if (raw4(SYS_pread64, fd, (long)segment, bytes, (long)e->e_phoff) != bytes)
        return NULL;
    for (unsigned i = 0; i < e->e_phnum; i++) {
        if (segment[i].p_type != PT_INTERP)
            continue;
        got = raw4(SYS_pread64, fd, (long)interpreter, sizeof interpreter - 1, (long)segment[i].p_offset);
        interpreter[got > 0 ? got : 0] = 0;
        return strstr(interpreter, "musl") ? " is linked with musl and may not start with a preload" : NULL;
    }
    return is_linker(path) ? NULL : " is statically linked";
}

/* The interpreter of a "#!" line, in place; NULL if it is none. */
static char *script_interpreter(char *head)
{
    if (head[0] != '#' || head[1] != '!')
        return NULL;
    head += 2 + strspn(head + 2, " \t");
    head[strcspn(head, " \t\n")] = 0;
    return *head ? head : NULL;
}

/* Looks at an open program and closes it. path may become its interpreter's. */
static const char *refusal(long fd, char path[PATH_BYTES])
{
    union {
        Elf64_Ehdr elf;
        char text[256];
    } head;

    for (unsigned i = 0; i <= SCRIPTS_MAX && !failed(fd); i++) {
        long got = raw4(SYS_pread64, fd, (long)&head, sizeof head - 1, 0);
        bool elf = got >= (long)sizeof head.elf && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0;
        const char *reason = NULL;
        if (elf)
            reason = gains_privileges(fd) ? " runs with privileges of its own" : elf_refusal(fd, path, &head.elf);
        raw1(SYS_close, fd);
        head.text[got > 0 ? got : 0] = 0;
        char *interpreter = elf ? NULL : script_interpreter(head.text);
        if (!interpreter)
            return reason;
        say_copy(path, PATH_BYTES, interpreter);
        fd = open_program(path);
    }
    return NULL;
}

static bool searches(unsigned op) { return op == OP_execvp || op == OP_execvpe || op == OP_execlp; }

void target_announce(const char *file, unsigned op)
{
    char path[PATH_BYTES];

    if (is_quiet() || !file || op == OP_fexecve || strlen(file) >= sizeof path)
        return;
    say_copy(path, sizeof path, file);
    long fd = searches(op) && !strchr(file, '/') ? search_program(path, file) : open_program(path);
    const char *reason = failed(fd) ? NULL : refusal(fd, path);
    if (reason && first_mention(path))
        say((const char *const[]){path, reason, ": it will not be recorded; see perfanalyze host ", path, NULL});
}

/* --- our own program --- */

/* The linker leaves a note with the name "Go" in what Go's compiler made. */
static bool is_go(void)
{
    const Elf64_Phdr *segment = (const void *)getauxval(AT_PHDR);
    uintptr_t base = 0;

    for (unsigned i = 0; segment && i < getauxval(AT_PHNUM); i++)
        if (segment[i].p_type == PT_PHDR)
            base = (uintptr_t)segment - segment[i].p_vaddr;
    for (unsigned i = 0; segment && i < getauxval(AT_PHNUM); i++) {
        if (segment[i].p_type != PT_NOTE)
            continue;
        const char *note = (const char *)(base + segment[i].p_vaddr), *end = note + segment[i].p_memsz;
        while ((size_t)(end - note) > sizeof(Elf64_Nhdr)) {
            const Elf64_Nhdr *n = (const void *)note;
            uint64_t bytes = sizeof *n + ((n->n_namesz + 3ull) & ~3ull) + ((n->n_descsz + 3ull) & ~3ull);
            if (n->n_type == NOTE_GO_BUILD_ID && n->n_namesz == 4 && memcmp(n + 1, "Go\0", 4) == 0)
                return true;
            if (bytes > (size_t)(end - note))
                break;
            note += bytes;
        }
    }
    return false;
}

uint32_t target_own_flags(void)
{
    char path[PATH_BYTES];

    if (!is_go())
        return 0;
    long n = raw3(SYS_readlink, (long)"/proc/self/exe", (long)path, sizeof path - 1);
    path[failed(n) ? 0 : n] = 0;
    if (!shim.arena->quiet && first_mention(path))
        say((const char *const[]){path, " is a Go program: of it only cgo's memory is recorded, no network calls; "
                                        "see perfanalyze host ", path, NULL});
    return PROCESS_GO;
}
