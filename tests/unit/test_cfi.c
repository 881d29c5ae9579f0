/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind rules: hand-made frame descriptions, and those of this system's libraries and programs, each row of each function
 * against libdw's reading of the same file. Both sides are evaluated with made-up registers and memory, and must come to the
 * same numbers. "all" as an argument compares every function, else every 20th of large objects.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>

#include "cfi.h"

static bool all_functions;

/* --- made-up registers and memory --- */

#define RSP 0x7ffd00001000ull
#define RBP 0x7ffd00002000ull

static uint64_t memory(uint64_t address) { return (address ^ 0x5bd1e995) * 0x9E3779B97F4A7C15ull; }

struct outcome {
    enum { FOUND, OUTERMOST, INEXPRESSIBLE } how;
    uint64_t cfa, rbp;
    bool rbp_lost;
};

static struct outcome outcome_of(struct cfi_rule rule)
{
    struct outcome o = {.how = FOUND};
    switch (rule.frame) {
    case CFI_RSP:
        o.cfa = RSP + (uint64_t)(int64_t)rule.cfa;
        break;
    case CFI_RBP:
        o.cfa = RBP + (uint64_t)(int64_t)rule.cfa;
        break;
    case CFI_AT_RSP:
        o.cfa = memory(RSP + (uint64_t)(int64_t)rule.cfa) + (uint64_t)(int64_t)rule.add;
        break;
    case CFI_AT_RBP:
        o.cfa = memory(RBP + (uint64_t)(int64_t)rule.cfa) + (uint64_t)(int64_t)rule.add;
        break;
    case CFI_END:
        o.how = OUTERMOST;
        return o;
    default:
        o.how = INEXPRESSIBLE;
        return o;
    }
    o.rbp_lost = rule.rbp_from == CFI_RBP_LOST;
    o.rbp = rule.rbp_from == CFI_RBP_SAME ? RBP
            : memory((rule.rbp_from == CFI_RBP_AT_CFA ? o.cfa : RBP) + (uint64_t)(int64_t)rule.rbp);
    return o;
}

/* --- libdw's operations; false where they need what a rule cannot have --- */

static bool run_operation(const Dwarf_Op *op, uint64_t *stack, size_t *n, uint64_t pc, uint64_t cfa)
{
    uint64_t a = op->number, y = *n ? stack[*n - 1] : 0, x = *n > 1 ? stack[*n - 2] : 0;
    unsigned reg = op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31 ? op->atom - DW_OP_breg0 : 99;
    if (op->atom == DW_OP_bregx) {
        reg = (unsigned)op->number;
        a = op->number2;
    }
    if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
        stack[(*n)++] = op->atom - DW_OP_lit0;
        return true;
    }
    if (reg != 99) {
        stack[(*n)++] = (reg == 7 ? RSP : reg == 6 ? RBP : pc) + a;
        return reg == 6 || reg == 7 || reg == 16;
    }
    switch (op->atom) {
    case DW_OP_call_frame_cfa:
        stack[(*n)++] = cfa;
        return true;
    case DW_OP_const1u: case DW_OP_const2u: case DW_OP_const4u: case DW_OP_const1s: case DW_OP_const2s: case DW_OP_const4s:
    case DW_OP_constu: case DW_OP_consts:
        stack[(*n)++] = a;
        return true;
    case DW_OP_deref:
        stack[*n - 1] = memory(y);
        return *n > 0;
    case DW_OP_plus_uconst:
        stack[*n - 1] += a;
        return *n > 0;
    case DW_OP_plus: x += y; break;
    case DW_OP_minus: x -= y; break;
    case DW_OP_and: x &= y; break;
    case DW_OP_shl: x <<= y; break;
    case DW_OP_ge: x = (int64_t)x >= (int64_t)y; break;
    default:
        return false;
    }
    if (*n < 2)
        return false;
    stack[--*n - 1] = x;
    return true;
}

static bool run_operations(const Dwarf_Op *ops, size_t count, uint64_t pc, uint64_t cfa, uint64_t *result)
{
    uint64_t stack[64];
    size_t n = 0;
    for (size_t i = 0; i < count && n < 60; i++)
        if (!run_operation(&ops[i], stack, &n, pc, cfa))
            return false;
    *result = n ? stack[n - 1] : 0;
    return n == 1;
}

/* A register's value in the caller, or where the value is if it is no value itself. */
enum place { PLACE_SAME, PLACE_MEMORY, PLACE_UNDEFINED, PLACE_OTHER };

static enum place libdw_register(Dwarf_Frame *frame, int reg, uint64_t pc, uint64_t cfa, uint64_t *address)
{
    Dwarf_Op mem[3], *ops;
    size_t n;
    if (dwarf_frame_register(frame, reg, mem, &ops, &n) != 0)
        return PLACE_OTHER;
    if (n == 0)
        return ops == mem ? PLACE_UNDEFINED : PLACE_SAME;
    if (ops[n - 1].atom == DW_OP_stack_value || !run_operations(ops, n, pc, cfa, address))
        return PLACE_OTHER;
    return PLACE_MEMORY;
}

static struct outcome libdw_outcome(Dwarf_Frame *frame, uint64_t pc)
{
    struct outcome o = {.how = INEXPRESSIBLE}, outermost = {.how = OUTERMOST};
    Dwarf_Op *ops;
    size_t n;
    uint64_t rip = 0, rbp = 0;
    bool signal_frame = false, has_cfa = dwarf_frame_cfa(frame, &ops, &n) == 0 && run_operations(ops, n, pc, 0, &o.cfa);
    enum place rip_place = libdw_register(frame, 16, pc, o.cfa, &rip), rbp_place = libdw_register(frame, 6, pc, o.cfa, &rbp);
    dwarf_frame_info(frame, NULL, NULL, &signal_frame);
    if (rip_place == PLACE_UNDEFINED && !signal_frame)
        return outermost;
    if (signal_frame || !has_cfa || rip_place != PLACE_MEMORY || rip != o.cfa - 8)
        return o;
    o.how = FOUND;
    o.rbp_lost = rbp_place == PLACE_OTHER || rbp_place == PLACE_UNDEFINED;
    o.rbp = rbp_place == PLACE_SAME ? RBP : memory(rbp);
    return o;
}

/* --- an object as the loader would map it --- */

struct image {
    Elf *elf;
    int fd;
    uint8_t *base;
    size_t bytes;
    struct cfi_object object;
};

static bool image_open(struct image *m, const char *path)
{
    size_t n;
    m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0)
        return false;
    m->elf = elf_begin(m->fd, ELF_C_READ_MMAP, NULL);
    assert_non_null(m->elf);
    assert_int_equal(elf_getphdrnum(m->elf, &n), 0);
    uint64_t low = UINT64_MAX, high = 0, header = 0;
    GElf_Phdr p;
    for (size_t i = 0; i < n; i++) {
        gelf_getphdr(m->elf, (int)i, &p);
        if (p.p_type == PT_LOAD) {
            low = p.p_vaddr < low ? p.p_vaddr : low;
            high = p.p_vaddr + p.p_memsz > high ? p.p_vaddr + p.p_memsz : high;
        } else if (p.p_type == PT_GNU_EH_FRAME) {
            header = p.p_vaddr;
        }
    }
    low &= ~4095ull;
    m->bytes = (high - low + 4095) & ~4095ull;
    m->base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(m->base != MAP_FAILED);
    for (size_t i = 0; i < n; i++) {
        gelf_getphdr(m->elf, (int)i, &p);
        if (p.p_type == PT_LOAD)
            assert_int_equal(pread(m->fd, m->base + p.p_vaddr - low, p.p_filesz, (off_t)p.p_offset), (ssize_t)p.p_filesz);
    }
    uintptr_t bias = (uintptr_t)m->base - low;
    struct cfi_piece piece = {(uintptr_t)m->base, (uintptr_t)m->base + m->bytes};
    m->object = (struct cfi_object){piece, piece, bias, header ? bias + header : 0};
    return true;
}

static void image_close(struct image *m)
{
    munmap(m->base, m->bytes);
    elf_end(m->elf);
    close(m->fd);
}

/* --- each row of each function --- */

struct counts {
    unsigned long functions, rows, expressed, outermost, inexpressible, rbp_lost, signal_frames, wrong;
};

static void compare_row(struct image *m, uint64_t pc, Dwarf_Frame *frame, struct counts *c)
{
    struct cfi_rule rule = cfi_find(&m->object, pc + m->object.bias);
    struct outcome got = outcome_of(rule), expected = libdw_outcome(frame, pc);

    c->rows++;
    c->expressed += got.how == FOUND;
    c->outermost += got.how == OUTERMOST;
    c->inexpressible += rule.frame == CFI_OPAQUE || rule.frame == CFI_ABSENT;
    c->signal_frames += rule.frame == CFI_SIGNAL;
    c->rbp_lost += got.how == FOUND && got.rbp_lost && !expected.rbp_lost;
    if (got.how == INEXPRESSIBLE)
        return;
    if (got.how != expected.how || got.cfa != expected.cfa || (!got.rbp_lost && got.how == FOUND && got.rbp != expected.rbp)) {
        if (c->wrong++ < 5)
            print_message("at %#lx: frame %u, cfa %#lx, libdw how %d, cfa %#lx, rbp %#lx %#lx\n", (unsigned long)pc, rule.frame,
                          (unsigned long)got.cfa, expected.how, (unsigned long)expected.cfa, (unsigned long)got.rbp,
                          (unsigned long)expected.rbp);
    }
}

static void compare_function(struct image *m, Dwarf_CFI *cfi, uint64_t pc, struct counts *c)
{
    Dwarf_Frame *frame;
    Dwarf_Addr start, end = pc;

    for (c->functions++; dwarf_cfi_addrframe(cfi, pc, &frame) == 0; pc = end) {
        if (dwarf_frame_info(frame, &start, &end, NULL) < 0 || end <= pc) {
            free(frame);
            break;
        }
        compare_row(m, pc, frame, c);
        if (end - 1 > pc && end - pc < 4096)
            compare_row(m, end - 1, frame, c);
        free(frame);
        if (c->functions % 50 == 0) /* bound to meet the next function, which is compared by itself */
            break;
        Dwarf_Frame *next;
        if (dwarf_cfi_addrframe(cfi, end, &next) != 0)
            break;
        Dwarf_Addr next_start;
        dwarf_frame_info(next, &next_start, NULL, NULL);
        free(next);
        if (next_start != end)
            break;
        if (c->rows > 40 * c->functions) /* runs on through neighbours */
            break;
    }
}

static void compare_object(const char *path)
{
    struct image m;
    struct counts c = {.rows = 0};

    if (!image_open(&m, path)) {
        print_message("%s is not here\n", path);
        return;
    }
    Dwarf_CFI *cfi = dwarf_getcfi_elf(m.elf);
    assert_non_null(cfi);
    const uint8_t *header = (const uint8_t *)m.object.header;
    uint32_t n;
    memcpy(&n, header + 8, 4);
    unsigned step = all_functions || n < 20000 ? 1 : 20;
    for (uint32_t i = 0; i < n; i += step) {
        int32_t offset;
        memcpy(&offset, header + 12 + 8 * (size_t)i, 4);
        compare_function(&m, cfi, (uint64_t)(m.object.header - m.object.bias) + (uint64_t)(int64_t)offset, &c);
    }
    print_message("%s: %u functions, %lu looked at, %lu rows: %lu expressed (%lu without rbp), %lu outermost, %lu signal frames, "
                  "%lu inexpressible, %lu wrong\n", path, n, c.functions, c.rows, c.expressed, c.rbp_lost, c.outermost,
                  c.signal_frames, c.inexpressible, c.wrong);
    assert_int_equal(c.wrong, 0);
    assert_true(c.expressed > 0 && c.inexpressible * 50 <= c.rows);
    dwarf_cfi_end(cfi);
    image_close(&m);
}

static void test_objects(void **state)
{
    static const char *const paths[] = {
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
        "/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0",
        "/usr/bin/python3",
        "/usr/bin/redis-server",
        "/usr/sbin/nginx",
        "/usr/lib/postgresql/15/bin/postgres",
        "/usr/bin/node",
    };
    (void)state;
    elf_version(EV_CURRENT);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        compare_object(paths[i]);
}

/* --- damage --- */

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Bytes of the tables are changed at random; the image ends at an unreadable page. Nothing may crash. */
static void test_damage(void **state)
{
    struct image m;

    (void)state;
    elf_version(EV_CURRENT);
    assert_true(image_open(&m, "/lib/x86_64-linux-gnu/libc.so.6"));
    uint8_t *header = (uint8_t *)m.object.header;
    size_t tables = m.bytes - (size_t)(header - m.base);
    uint32_t n;
    memcpy(&n, header + 8, 4);
    size_t room = tables < 400000 ? tables : 400000;
    for (int round = 0; round < 300000; round++) {
        size_t at = round % 8 == 0 ? random_next() % 64 : random_next() % room;
        uint8_t old = header[at];
        header[at] = (uint8_t)random_next();
        for (int i = 0; i < 4; i++)
            cfi_find(&m.object, m.object.code.start + random_next() % m.bytes);
        if (random_next() % 4)
            header[at] = old;
    }
    image_close(&m);
}

/* --- hand-made --- */

enum { CODE_AT = 0x2000, HEADER_AT = 0x1000, FRAMES_AT = 0x1100 };

static _Alignas(4096) uint8_t made[0x3000];

/* An object with one function of 256 bytes and the given program, the common part being "CFA = rsp + 8, rip at CFA - 8". */
static struct cfi_rule rule_made(const uint8_t *program, size_t bytes, unsigned at)
{
    Elf64_Ehdr *file = (Elf64_Ehdr *)made;
    Elf64_Phdr *segment = (Elf64_Phdr *)(made + sizeof *file);
    uint8_t *b = made + FRAMES_AT;
    memset(made, 0, sizeof made);
    memcpy(file->e_ident, ELFMAG, SELFMAG);
    file->e_phoff = sizeof *file;
    file->e_phentsize = sizeof *segment;
    file->e_phnum = 1;
    *segment = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = sizeof made, .p_memsz = sizeof made};

    static const uint8_t common[] = {20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0};
    memcpy(b, common, sizeof common);
    uint8_t *own = b + sizeof common;
    uint32_t length = (uint32_t)(4 + 8 + 1 + bytes), back = sizeof common + 4, range = 256;
    int32_t start = (int32_t)(CODE_AT - (FRAMES_AT + sizeof common + 8));
    memcpy(own, &length, 4);
    memcpy(own + 4, &back, 4);
    memcpy(own + 8, &start, 4);
    memcpy(own + 12, &range, 4);
    own[16] = 0;
    memcpy(own + 17, program, bytes);

    uint8_t *header = made + HEADER_AT;
    static const uint8_t encodings[] = {1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 1, 0, 0, 0};
    memcpy(header, encodings, sizeof encodings);
    int32_t entry[2] = {CODE_AT - HEADER_AT, (int32_t)(FRAMES_AT + sizeof common - HEADER_AT)};
    memcpy(header + sizeof encodings, entry, sizeof entry);
    struct cfi_piece piece = {(uintptr_t)made, (uintptr_t)made + sizeof made};
    struct cfi_object object = {piece, piece, (uintptr_t)made, (uintptr_t)made + HEADER_AT};
    return cfi_find(&object, (uintptr_t)made + CODE_AT + at);
}

#define RULE(at, ...) rule_made((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), at)

static void assert_rule(struct cfi_rule rule, enum cfi_frame frame, int cfa, enum cfi_rbp from, int rbp)
{
    assert_int_equal(rule.frame, frame);
    assert_int_equal(rule.cfa, cfa);
    assert_int_equal(rule.rbp_from, from);
    if (from == CFI_RBP_AT_CFA || from == CFI_RBP_AT_RBP)
        assert_int_equal(rule.rbp, rbp);
}

static void test_made(void **state)
{
    (void)state;
    assert_rule(RULE(0, 0), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_int_equal(RULE(256, 0).frame, CFI_ABSENT);
    /* push rbp; mov rsp, rbp */
#define PROLOGUE 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6
    assert_rule(RULE(0, PROLOGUE), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_rule(RULE(1, PROLOGUE), CFI_RSP, 16, CFI_RBP_AT_CFA, -16);
    assert_rule(RULE(3, PROLOGUE), CFI_RSP, 16, CFI_RBP_AT_CFA, -16);
    assert_rule(RULE(4, PROLOGUE), CFI_RBP, 16, CFI_RBP_AT_CFA, -16);
    /* remember, restore */
    assert_rule(RULE(9, PROLOGUE, 0x41, 0x0a, 0x0c, 7, 8, 0xc6, 0x41, 0x0b), CFI_RBP, 16, CFI_RBP_AT_CFA, -16);
    assert_rule(RULE(5, PROLOGUE, 0x41, 0x0a, 0x0c, 7, 8, 0xc6, 0x41, 0x0b), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_int_equal(RULE(0, 0x0b).frame, CFI_OPAQUE);
    assert_int_equal(RULE(0, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a).frame, CFI_OPAQUE);
    /* wide advances, GNU_args_size, large frames */
    assert_rule(RULE(99, 0x02, 100, 0x0e, 24), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_rule(RULE(100, 0x02, 100, 0x2e, 8, 0x0e, 0x80, 0x80, 4), CFI_RSP, 65536, CFI_RBP_SAME, 0);
    assert_rule(RULE(200, 0x03, 200, 0, 0x0e, 24), CFI_RSP, 24, CFI_RBP_SAME, 0);
    assert_rule(RULE(200, 0x04, 200, 0, 0, 0, 0x0e, 24), CFI_RSP, 24, CFI_RBP_SAME, 0);
    /* a realigned stack: CFA = *(rbp - 8), rbp at rbp + 0 */
    assert_rule(RULE(0, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0), CFI_AT_RBP, -8, CFI_RBP_AT_RBP, 0);
    /* the PLT: rsp + 8, and 8 more from the 11th byte of each entry on */
#define PLT 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22
    assert_rule(RULE(0x10, PLT), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_rule(RULE(0x1a, PLT), CFI_RSP, 8, CFI_RBP_SAME, 0);
    assert_rule(RULE(0x1b, PLT), CFI_RSP, 16, CFI_RBP_SAME, 0);
    /* outermost; not where it should be; CFA in another register; lost rbp */
    assert_int_equal(RULE(0, 0x07, 16).frame, CFI_END);
    assert_int_equal(RULE(0, 0x90, 2).frame, CFI_OPAQUE);
    assert_int_equal(RULE(0, 0x0d, 10).frame, CFI_OPAQUE);
    assert_rule(RULE(0, 0x07, 6), CFI_RSP, 8, CFI_RBP_LOST, 0);
    assert_rule(RULE(0, 0x09, 6, 3), CFI_RSP, 8, CFI_RBP_LOST, 0);
    assert_rule(RULE(0, 0x86, 2, 0x08, 6), CFI_RSP, 8, CFI_RBP_SAME, 0);
    /* cut off */
    assert_int_equal(RULE(0, 0x0e).frame, CFI_OPAQUE);
    assert_int_equal(RULE(0, 0x0f, 100, 0x77).frame, CFI_OPAQUE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_damage),
    };
    all_functions = argc > 1 && strcmp(argv[1], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
