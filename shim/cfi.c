/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .eh_frame_hdr holds a sorted table of functions; each leads to a frame description (FDE) in .eh_frame, and that to its
 * common part (CIE). Both hold a small program that says, row by row of code addresses, where the frame is. The program is run
 * up to the row of pc. Only what x86-64 code needs to find its caller is kept: the CFA, the return address, rbp. Where the
 * other registers went does not matter, because no rule here starts from them.
 *
 * Expressions are run on values of the form "constant", "register + constant" and "word at (register + constant), plus
 * constant". That covers the two that compilers and linkers write (realigned stacks, the PLT, whose expression depends on pc
 * alone) and most of those in hand-written assembly.
 */
#include "cfi.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RIP = 16 };

#define REMEMBERED_MAX 2
#define OPERANDS_MAX 4

/* Bytes to read, never beyond end. Once a read would pass it, all give 0 and failed is set. */
struct bytes {
    const uint8_t *at, *end;
    bool failed;
};

static bool have(struct bytes *b, uint64_t n)
{
    if ((uint64_t)(b->end - b->at) < n)
        b->failed = true;
    return !b->failed;
}

static uint64_t take(struct bytes *b, unsigned n)
{
    uint64_t value = 0;

    if (!have(b, n))
        return 0;
    for (unsigned i = 0; i < n; i++)
        value |= (uint64_t)b->at[i] << (8 * i);
    b->at += n;
    return value;
}

static int64_t take_signed(struct bytes *b, unsigned n)
{
    unsigned unused_bits = 64 - 8 * n;

    return (int64_t)(take(b, n) << unused_bits) >> unused_bits;
}

static uint64_t take_leb(struct bytes *b, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = (uint8_t)take(b, 1);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (is_signed && byte & 0x40 && shift < 64)
        value |= ~(uint64_t)0 << shift;
    return value;
}

static uint64_t take_uleb(struct bytes *b) { return take_leb(b, false); }
static int64_t take_sleb(struct bytes *b) { return (int64_t)take_leb(b, true); }

static struct bytes take_block(struct bytes *b)
{
    uint64_t n = take_uleb(b);
    struct bytes block = {b->at, b->at, !have(b, n)};

    if (!block.failed)
        b->at = block.end = b->at + n;
    return block;
}

/* An encoded pointer (DW_EH_PE_*): absolute or relative to where it stands. Others fail. */
static uint64_t take_pointer(struct bytes *b, uint8_t encoding)
{
    static const uint8_t size[] = {8, 0, 2, 4, 8, 0, 0, 0, 8, 0, 2, 4, 8, 0, 0, 0};
    unsigned n = size[encoding & 15], relative = encoding & 0x70;
    uint64_t from = relative == 0x10 ? (uintptr_t)b->at : 0;

    if (n == 0 || (relative != 0 && relative != 0x10)) {
        b->failed = true;
        return 0;
    }
    return from + (encoding & 8 ? (uint64_t)take_signed(b, n) : take(b, n));
}

/* The bytes from address up to the end of what can be read of a piece. One that begins with the file's header may be all of the
 * object, with holes in it and parts behind the file's end: so the program headers are asked, which have been good enough for
 * the loader. Any other is a segment. */
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
            return (struct bytes){(const uint8_t *)address, (const uint8_t *)address + segment[i].p_filesz - offset, false};
    }
    return none;
}

static struct bytes readable_from(const struct cfi_object *o, uintptr_t address)
{
    if (address >= o->tables.start && address < o->tables.end)
        return readable_in(&o->tables, o->bias, address);
    if (address >= o->code.start && address < o->code.end)
        return readable_in(&o->code, o->bias, address);
    return (struct bytes){NULL, NULL, true};
}

/* --- from pc to the programs --- */

struct description {
    uintptr_t start; /* of the function */
    uint64_t length;
    uint64_t code_align;
    int64_t data_align;
    bool is_signal;
    struct bytes common, own; /* the programs */
};

/* The address of the FDE whose function is the last to begin at or before pc; 0: none, *damaged if that is for sure no answer.
 * Not inlined, as some others here: what it has on the stack is gone when the programs run. */
static __attribute__((noinline)) uintptr_t search_table(const struct cfi_object *o, uintptr_t pc, bool *damaged)
{
    struct bytes b = readable_from(o, o->header);
    uint64_t version = take(&b, 1), start_encoding = take(&b, 1), count_encoding = take(&b, 1), table_encoding = take(&b, 1);

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
    struct bytes b = readable_from(o, address);
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

static bool read_augmentation(struct bytes *b, const char *letters, struct description *d, struct augmentation *a)
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

static bool read_common(const struct cfi_object *o, uintptr_t address, struct description *d, struct augmentation *a)
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

static __attribute__((noinline)) bool read_description(const struct cfi_object *o, uintptr_t address, struct description *d)
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

/* --- expressions --- */

enum base { BASE_NONE, BASE_RSP, BASE_RBP, BASE_AT_RSP, BASE_AT_RBP };

/* base + offset, or for BASE_AT_*: *(register + inner) + offset */
struct value {
    int64_t offset;
    int32_t inner;
    uint8_t base; /* enum base */
};

struct operands {
    struct value v[OPERANDS_MAX];
    unsigned n;
    bool failed;
};

static void push(struct operands *s, struct value v)
{
    if (s->n == OPERANDS_MAX)
        s->failed = true;
    else
        s->v[s->n++] = v;
}

static struct value pop(struct operands *s)
{
    if (s->n == 0) {
        s->failed = true;
        return (struct value){.base = BASE_NONE};
    }
    return s->v[--s->n];
}

static struct value number(int64_t n) { return (struct value){.offset = n, .base = BASE_NONE}; }

static struct value register_value(unsigned which, int64_t offset, uintptr_t pc, struct operands *s)
{
    if (which == REGISTER_RIP)
        return number((int64_t)pc + offset);
    if (which != REGISTER_RSP && which != REGISTER_RBP)
        s->failed = true;
    return (struct value){.offset = offset, .base = which == REGISTER_RSP ? BASE_RSP : BASE_RBP};
}

/* Opcodes with two operands; of the bases only a sum may keep one. */
static void combine(struct operands *s, uint8_t op)
{
    struct value b = pop(s), a = pop(s);
    uint64_t x = (uint64_t)a.offset, y = (uint64_t)b.offset;

    if (op == 0x22) { /* plus */
        if (a.base != BASE_NONE && b.base != BASE_NONE)
            s->failed = true;
        struct value *based = a.base != BASE_NONE ? &a : &b;
        based->offset = (int64_t)(x + y);
        push(s, *based);
        return;
    }
    if (a.base != BASE_NONE || b.base != BASE_NONE)
        s->failed = true;
    switch (op) {
    case 0x1a: /* and */
        return push(s, number((int64_t)(x & y)));
    case 0x1c: /* minus */
        return push(s, number((int64_t)(x - y)));
    case 0x24: /* shl */
        return push(s, number(y < 64 ? (int64_t)(x << y) : 0));
    case 0x2a: /* ge */
        return push(s, number(a.offset >= b.offset));
    default:
        s->failed = true;
    }
}

static void dereference(struct operands *s)
{
    struct value v = pop(s);

    if ((v.base != BASE_RSP && v.base != BASE_RBP) || (int32_t)v.offset != v.offset)
        s->failed = true;
    push(s, (struct value){.inner = (int32_t)v.offset, .base = v.base == BASE_RSP ? BASE_AT_RSP : BASE_AT_RBP});
}

static void operate(struct operands *s, struct bytes *b, uintptr_t pc)
{
    static const uint8_t const_size[] = {1, 1, 2, 2, 4, 4, 8, 8};
    uint8_t op = (uint8_t)take(b, 1);

    if (op >= 0x30 && op <= 0x4f)
        return push(s, number(op - 0x30)); /* lit */
    if (op >= 0x70 && op <= 0x8f)
        return push(s, register_value(op - 0x70u, take_sleb(b), pc, s)); /* breg */
    if (op >= 0x08 && op <= 0x0f) {
        unsigned n = const_size[op - 0x08];
        return push(s, number(op & 1 ? take_signed(b, n) : (int64_t)take(b, n)));
    }
    switch (op) {
    case 0x06:
        return dereference(s);
    case 0x10: /* constu */
        return push(s, number((int64_t)take_uleb(b)));
    case 0x11: /* consts */
        return push(s, number(take_sleb(b)));
    case 0x23: /* plus_uconst */
        push(s, number((int64_t)take_uleb(b)));
        return combine(s, 0x22);
    default:
        return combine(s, op);
    }
}

/* Not inlined: its operands would lie on the stack of every walk. */
static __attribute__((noinline)) bool evaluate(struct bytes b, uintptr_t pc, struct value *result)
{
    struct operands s = {.n = 0};

    while (b.at < b.end && !b.failed && !s.failed)
        operate(&s, &b, pc);
    *result = pop(&s);
    return !b.failed && !s.failed;
}

/* --- programs --- */

/* A place is one word, and so is the CFA, because four rows of them lie on the host's stack. value: from the CFA, or from the
 * register; or the address of an expression: its length stands before it, and was checked. */
enum where { SAME, AT_CFA, EXPRESSION, UNDEFINED, ELSEWHERE /* whatever does not fit */ };

struct place {
    int64_t value : 56;
    uint64_t where : 8;
};

#define CFA_EXPRESSION 254
#define CFA_OF_NO_INTEREST 255

struct cfa {
    int64_t value : 56;
    uint64_t reg : 8;
};

struct row {
    struct cfa cfa;
    struct place rbp, rip, rsp;
};

_Static_assert(sizeof(struct row) == 32, "a row is small");

struct program {
    const struct description *d;
    uintptr_t pc, at;   /* at: the row's first address */
    bool failed;
    unsigned remembered_n;
    struct row now, first, remembered[REMEMBERED_MAX]; /* first: what restore restores */
};

static struct place *place_of(struct row *row, uint64_t reg)
{
    return reg == REGISTER_RBP   ? &row->rbp
           : reg == REGISTER_RIP ? &row->rip
           : reg == REGISTER_RSP ? &row->rsp
                                 : NULL;
}

static void set_place(struct program *p, uint64_t reg, enum where where, int64_t value)
{
    struct place *place = place_of(&p->now, reg);

    if (place)
        *place = (struct place){.value = value, .where = where == AT_CFA && (int32_t)value != value ? ELSEWHERE : where};
}

static void set_cfa_register(struct program *p, uint64_t reg)
{
    p->now.cfa.reg = reg < CFA_EXPRESSION ? (uint8_t)reg : CFA_OF_NO_INTEREST;
}

static void set_cfa_offset(struct program *p, struct bytes *b, int64_t offset)
{
    b->failed |= (int32_t)offset != offset;
    p->now.cfa.value = offset;
}

static void restore_place(struct program *p, uint64_t reg)
{
    struct place *place = place_of(&p->now, reg);

    if (place)
        *place = *place_of(&p->first, reg);
}

static int64_t take_expression(struct bytes *b)
{
    const uint8_t *at = b->at;

    take_block(b);
    return (int64_t)(uintptr_t)at;
}

/* Instructions whose argument is not in the opcode byte. */
static void step_extended(struct program *p, struct bytes *b, uint8_t op)
{
    int64_t data_align = p->d->data_align;
    uint64_t reg;

    switch (op) {
    case 0x00: /* nop */
        break;
    case 0x01: /* set_loc: compilers for x86-64 write none */
        b->failed = true;
        break;
    case 0x02: /* advance_loc1, 2, 4 */
    case 0x03:
    case 0x04:
        p->at += take(b, 1u << (op - 2)) * p->d->code_align;
        break;
    case 0x05: /* offset_extended */
        reg = take_uleb(b);
        set_place(p, reg, AT_CFA, (int64_t)take_uleb(b) * data_align);
        break;
    case 0x11: /* offset_extended_sf */
        reg = take_uleb(b);
        set_place(p, reg, AT_CFA, take_sleb(b) * data_align);
        break;
    case 0x2f: /* GNU_negative_offset_extended */
        reg = take_uleb(b);
        set_place(p, reg, AT_CFA, -(int64_t)take_uleb(b) * data_align);
        break;
    case 0x06: /* restore_extended */
        restore_place(p, take_uleb(b));
        break;
    case 0x07: /* undefined */
        set_place(p, take_uleb(b), UNDEFINED, 0);
        break;
    case 0x08: /* same_value */
        set_place(p, take_uleb(b), SAME, 0);
        break;
    case 0x09: /* register */
        reg = take_uleb(b);
        take_uleb(b);
        set_place(p, reg, ELSEWHERE, 0);
        break;
    case 0x0a: /* remember_state */
        if (p->remembered_n == REMEMBERED_MAX)
            b->failed = true;
        else
            p->remembered[p->remembered_n++] = p->now;
        break;
    case 0x0b: /* restore_state */
        if (p->remembered_n == 0)
            b->failed = true;
        else
            p->now = p->remembered[--p->remembered_n];
        break;
    case 0x0c: /* def_cfa, def_cfa_sf */
    case 0x12:
        set_cfa_register(p, take_uleb(b));
        set_cfa_offset(p, b, op == 0x0c ? (int64_t)take_uleb(b) : take_sleb(b) * data_align);
        break;
    case 0x0d: /* def_cfa_register */
        b->failed |= p->now.cfa.reg == CFA_EXPRESSION;
        set_cfa_register(p, take_uleb(b));
        break;
    case 0x0e: /* def_cfa_offset, def_cfa_offset_sf */
    case 0x13:
        b->failed |= p->now.cfa.reg == CFA_EXPRESSION;
        set_cfa_offset(p, b, op == 0x0e ? (int64_t)take_uleb(b) : take_sleb(b) * data_align);
        break;
    case 0x0f: /* def_cfa_expression */
        p->now.cfa = (struct cfa){.value = take_expression(b), .reg = CFA_EXPRESSION};
        break;
    case 0x10: /* expression */
        reg = take_uleb(b);
        set_place(p, reg, EXPRESSION, take_expression(b));
        break;
    case 0x14: /* val_offset, val_offset_sf: signed or not, the length is the same */
    case 0x15:
        reg = take_uleb(b);
        take_uleb(b);
        set_place(p, reg, ELSEWHERE, 0);
        break;
    case 0x16: /* val_expression */
        reg = take_uleb(b);
        take_block(b);
        set_place(p, reg, ELSEWHERE, 0);
        break;
    case 0x2e: /* GNU_args_size */
        take_uleb(b);
        break;
    default:
        b->failed = true;
    }
}

/* Runs a program until the row behind the one of pc would begin. */
static __attribute__((noinline)) void run(struct program *p, struct bytes b)
{
    while (b.at < b.end && !b.failed) {
        uint8_t op = (uint8_t)take(&b, 1), argument = op & 0x3f;
        switch (op & 0xc0) {
        case 0x40: /* advance_loc */
            p->at += argument * p->d->code_align;
            break;
        case 0x80: /* offset */
            set_place(p, argument, AT_CFA, (int64_t)take_uleb(&b) * p->d->data_align);
            break;
        case 0xc0: /* restore */
            restore_place(p, argument);
            break;
        default:
            step_extended(p, &b, op);
        }
        if (p->at > p->pc)
            break;
    }
    p->failed |= b.failed;
}

/* --- from a row to a rule --- */

static const struct cfi_rule absent = {.frame = CFI_ABSENT}, opaque = {.frame = CFI_OPAQUE}, outermost = {.frame = CFI_END},
                             signal_frame = {.frame = CFI_SIGNAL};

/* The expression that starts with its length at `at`; it was read once, so it ends before the limit. */
static bool evaluate_at(int64_t at, const uint8_t *limit, uintptr_t pc, struct value *v)
{
    struct bytes b = {(const uint8_t *)(uintptr_t)at, limit, false};

    return evaluate(take_block(&b), pc, v);
}

static bool cfa_rule(const struct row *row, const uint8_t *limit, uintptr_t pc, struct cfi_rule *rule)
{
    static const uint8_t frames[] = {CFI_OPAQUE, CFI_RSP, CFI_RBP, CFI_AT_RSP, CFI_AT_RBP};
    struct value v = {.offset = row->cfa.value, .base = BASE_NONE};

    if (row->cfa.reg == REGISTER_RSP)
        v.base = BASE_RSP;
    else if (row->cfa.reg == REGISTER_RBP)
        v.base = BASE_RBP;
    else if (row->cfa.reg == CFA_EXPRESSION && !evaluate_at(row->cfa.value, limit, pc, &v))
        return false;
    bool loads = v.base == BASE_AT_RSP || v.base == BASE_AT_RBP;
    int64_t cfa = loads ? v.inner : v.offset, add = loads ? v.offset : 0;
    rule->frame = frames[v.base];
    rule->cfa = (int32_t)cfa;
    rule->add = (int8_t)add;
    return v.base != BASE_NONE && rule->cfa == cfa && rule->add == add;
}

static void rbp_rule(const struct place *rbp, const uint8_t *limit, uintptr_t pc, struct cfi_rule *rule)
{
    struct value v = {.offset = rbp->value, .base = BASE_NONE};

    rule->rbp_from = CFI_RBP_LOST;
    if (rbp->where == SAME)
        rule->rbp_from = CFI_RBP_SAME;
    else if (rbp->where == AT_CFA)
        rule->rbp_from = CFI_RBP_AT_CFA;
    else if (rbp->where == EXPRESSION && evaluate_at(rbp->value, limit, pc, &v) && v.base == BASE_RBP)
        rule->rbp_from = CFI_RBP_AT_RBP;
    rule->rbp = (int16_t)v.offset;
    if (rule->rbp != v.offset || v.offset & 7)
        rule->rbp_from = CFI_RBP_LOST;
}

static __attribute__((noinline)) struct cfi_rule row_rule(const struct row *row, const uint8_t *limit, uintptr_t pc)
{
    struct cfi_rule rule = {.rbp_from = CFI_RBP_SAME};

    if (row->rip.where == UNDEFINED)
        return outermost;
    if (row->rip.where != AT_CFA || row->rip.value != -8 || row->rsp.where != SAME || !cfa_rule(row, limit, pc, &rule))
        return opaque;
    rbp_rule(&row->rbp, limit, pc, &rule);
    return rule;
}

/* Whether the kernel's frame is left here: mov $15 (rt_sigreturn), %rax; syscall. The description begins a byte before it,
 * so that the return address - 1 is found; pc is anywhere in it. */
static __attribute__((noinline)) bool is_sigreturn(const struct cfi_object *o, const struct description *d)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    struct bytes b = readable_from(o, d->start);

    return have(&b, sizeof code + 1) && (memcmp(b.at, code, sizeof code) == 0 || memcmp(b.at + 1, code, sizeof code) == 0);
}

struct found {
    struct row row;
    const uint8_t *limit; /* of its expressions */
    struct cfi_rule rule; /* what there is instead of a row */
};

/* This and what follows is not inlined: what one has on the stack is gone when the next is called. */
static __attribute__((noinline)) bool run_programs(const struct description *d, uintptr_t pc, struct found *found)
{
    struct program p = {.d = d, .pc = pc, .at = d->start};

    run(&p, d->common);
    p.first = p.now;
    p.at = d->start;
    run(&p, d->own);
    found->row = p.now;
    /* an expression's length may be read again up to the further end of the two: both are readable */
    found->limit = d->own.end > d->common.end ? d->own.end : d->common.end;
    return !p.failed;
}

static __attribute__((noinline)) bool find_row(const struct cfi_object *o, uintptr_t pc, struct found *found)
{
    struct description d = {.is_signal = false};
    bool damaged = false;
    uintptr_t at = o->header ? search_table(o, pc, &damaged) : 0;

    found->rule = at || damaged ? opaque : absent;
    if (!at || !read_description(o, at, &d))
        return false;
    if (pc - d.start >= d.length)
        found->rule = absent;
    else if (d.is_signal && is_sigreturn(o, &d))
        found->rule = signal_frame;
    if (pc - d.start >= d.length || d.is_signal)
        return false;
    return run_programs(&d, pc, found);
}

struct cfi_rule cfi_find(const struct cfi_object *o, uintptr_t pc)
{
    struct found found;

    return find_row(o, pc, &found) ? row_rule(&found.row, found.limit, pc) : found.rule;
}
