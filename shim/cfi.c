/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's CIE and FDE hold a small program each that says, row by row of code addresses, where the frame is. They
 * are run up to the row of pc. Only what x86-64 code needs to find its caller is kept: the CFA, the return address,
 * rbp. Where the other registers went does not matter, because no rule here starts from them.
 */
#include "cfi.h"

#include <string.h>

#include "cfi_entry.h"
#include "cfi_expression.h"

#define REMEMBERED_MAX 2

/* A place is one word, and so is the CFA, because four rows of them lie on the host's stack. value: from the CFA, or
 * from the register; or the address of an expression: its length stands before it, and was checked. */
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
    const struct cfi_description *d;
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
    bool is_far = where == AT_CFA && (int32_t)value != value;

    if (place)
        *place = (struct place){.value = value, .where = is_far ? ELSEWHERE : where};
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

/* Instructions that say where the CFA is; false: op is none. */
static bool step_cfa(struct program *p, struct bytes *b, uint8_t op)
{
    int64_t data_align = p->d->data_align;

    switch (op) {
    case 0x0c: /* def_cfa, def_cfa_sf */
    case 0x12:
        set_cfa_register(p, take_uleb(b));
        set_cfa_offset(p, b, op == 0x0c ? (int64_t)take_uleb(b) : take_sleb(b) * data_align);
        return true;
    case 0x0d: /* def_cfa_register */
        b->failed |= p->now.cfa.reg == CFA_EXPRESSION;
        set_cfa_register(p, take_uleb(b));
        return true;
    case 0x0e: /* def_cfa_offset, def_cfa_offset_sf */
    case 0x13:
        b->failed |= p->now.cfa.reg == CFA_EXPRESSION;
        set_cfa_offset(p, b, op == 0x0e ? (int64_t)take_uleb(b) : take_sleb(b) * data_align);
        return true;
    case 0x0f: /* def_cfa_expression */
        p->now.cfa = (struct cfa){.value = take_expression(b), .reg = CFA_EXPRESSION};
        return true;
    default:
        return false;
    }
}

/* Instructions that name a register and say where its caller's value is; false: op is none. */
static bool step_place(struct program *p, struct bytes *b, uint8_t op)
{
    static const uint8_t ops[] = {0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11, 0x14, 0x15, 0x16, 0x2f};

    if (!memchr(ops, op, sizeof ops))
        return false;
    int64_t data_align = p->d->data_align;
    uint64_t reg = take_uleb(b);
    switch (op) {
    case 0x05: /* offset_extended */
        set_place(p, reg, AT_CFA, (int64_t)take_uleb(b) * data_align);
        break;
    case 0x06: /* restore_extended */
        restore_place(p, reg);
        break;
    case 0x07: /* undefined */
        set_place(p, reg, UNDEFINED, 0);
        break;
    case 0x08: /* same_value */
        set_place(p, reg, SAME, 0);
        break;
    case 0x10: /* expression */
        set_place(p, reg, EXPRESSION, take_expression(b));
        break;
    case 0x11: /* offset_extended_sf */
        set_place(p, reg, AT_CFA, take_sleb(b) * data_align);
        break;
    case 0x16: /* val_expression */
        take_block(b);
        set_place(p, reg, ELSEWHERE, 0);
        break;
    case 0x2f: /* GNU_negative_offset_extended */
        set_place(p, reg, AT_CFA, -(int64_t)take_uleb(b) * data_align);
        break;
    default: /* register, val_offset, val_offset_sf: signed or not, the length is the same */
        take_uleb(b);
        set_place(p, reg, ELSEWHERE, 0);
    }
    return true;
}

static void remember(struct program *p, struct bytes *b)
{
    if (p->remembered_n == REMEMBERED_MAX)
        b->failed = true;
    else
        p->remembered[p->remembered_n++] = p->now;
}

static void restore_remembered(struct program *p, struct bytes *b)
{
    if (p->remembered_n == 0)
        b->failed = true;
    else
        p->now = p->remembered[--p->remembered_n];
}

/* Instructions whose argument is not in the opcode byte. set_loc, which compilers for x86-64 do not write, fails as
 * others do. */
static void step_extended(struct program *p, struct bytes *b, uint8_t op)
{
    switch (op) {
    case 0x00: /* nop */
        break;
    case 0x02: /* advance_loc1, 2, 4 */
    case 0x03:
    case 0x04:
        p->at += take(b, 1u << (op - 2)) * p->d->code_align;
        break;
    case 0x0a: /* remember_state */
        remember(p, b);
        break;
    case 0x0b: /* restore_state */
        restore_remembered(p, b);
        break;
    case 0x2e: /* GNU_args_size */
        take_uleb(b);
        break;
    default:
        b->failed |= !step_cfa(p, b, op) && !step_place(p, b, op);
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

static const struct cfi_rule absent = {.frame = CFI_ABSENT}, opaque = {.frame = CFI_OPAQUE},
                             outermost = {.frame = CFI_END}, signal_frame = {.frame = CFI_SIGNAL};

/* The expression that starts with its length at `at`; it was read once, so it ends before the limit. */
static bool evaluate_at(int64_t at, const uint8_t *limit, uintptr_t pc, struct cfi_value *v)
{
    struct bytes b = {(const uint8_t *)(uintptr_t)at, limit, false};

    return cfi_evaluate(take_block(&b), pc, v);
}

static bool cfa_rule(const struct row *row, const uint8_t *limit, uintptr_t pc, struct cfi_rule *rule)
{
    static const uint8_t frames[] = {CFI_OPAQUE, CFI_RSP, CFI_RBP, CFI_AT_RSP, CFI_AT_RBP};
    struct cfi_value v = {.offset = row->cfa.value, .base = BASE_NONE};

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
    struct cfi_value v = {.offset = rbp->value, .base = BASE_NONE};

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

/* Whether the kernel's frame is left here: mov $15 (rt_sigreturn), %rax; syscall. The description begins a byte before
 * it, so that the return address - 1 is found; pc is anywhere in it. */
static __attribute__((noinline)) bool is_sigreturn(const struct cfi_object *o, const struct cfi_description *d)
{
    static const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};
    struct bytes b = cfi_readable(o, d->start);

    return have(&b, sizeof code + 1) &&
           (memcmp(b.at, code, sizeof code) == 0 || memcmp(b.at + 1, code, sizeof code) == 0);
}

struct found {
    struct row row;
    const uint8_t *limit; /* of its expressions */
    struct cfi_rule rule; /* what there is instead of a row */
};

/* This and what follows is not inlined: what one has on the stack is gone when the next is called. */
static __attribute__((noinline)) bool run_programs(const struct cfi_description *d, uintptr_t pc, struct found *found)
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
    struct cfi_description d = {.is_signal = false};
    bool damaged = false;
    uintptr_t at = o->header ? cfi_search(o, pc, &damaged) : 0;

    found->rule = at || damaged ? opaque : absent;
    if (!at || !cfi_describe(o, at, &d))
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
