/* SPDX-License-Identifier: Apache-2.0 */
#include "cfi_expression.h"

#define OPERANDS_MAX 4

struct operands {
    struct cfi_value v[OPERANDS_MAX];
    unsigned n;
    bool failed;
};

static void push(struct operands *s, struct cfi_value v)
{
    if (s->n == OPERANDS_MAX)
        s->failed = true;
    else
        s->v[s->n++] = v;
}

static struct cfi_value pop(struct operands *s)
{
    if (s->n == 0) {
        s->failed = true;
        return (struct cfi_value){.base = BASE_NONE};
    }
    return s->v[--s->n];
}

static struct cfi_value number(int64_t n) { return (struct cfi_value){.offset = n, .base = BASE_NONE}; }

static struct cfi_value register_value(unsigned which, int64_t offset, uintptr_t pc, struct operands *s)
{
    if (which == REGISTER_RIP)
        return number((int64_t)pc + offset);
    if (which != REGISTER_RSP && which != REGISTER_RBP)
        s->failed = true;
    return (struct cfi_value){.offset = offset, .base = which == REGISTER_RSP ? BASE_RSP : BASE_RBP};
}

/* Opcodes with two operands; of the bases only a sum may keep one. */
static void combine(struct operands *s, uint8_t op)
{
    struct cfi_value b = pop(s), a = pop(s);
    uint64_t x = (uint64_t)a.offset, y = (uint64_t)b.offset;

    if (op == 0x22) { /* plus */
        if (a.base != BASE_NONE && b.base != BASE_NONE)
            s->failed = true;
        struct cfi_value *based = a.base != BASE_NONE ? &a : &b;
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
    struct cfi_value v = pop(s);

    if ((v.base != BASE_RSP && v.base != BASE_RBP) || (int32_t)v.offset != v.offset)
        s->failed = true;
    push(s, (struct cfi_value){.inner = (int32_t)v.offset, .base = v.base == BASE_RSP ? BASE_AT_RSP : BASE_AT_RBP});
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

bool cfi_evaluate(struct bytes b, uintptr_t pc, struct cfi_value *result)
{
    struct operands s = {.n = 0};

    while (b.at < b.end && !b.failed && !s.failed)
        operate(&s, &b, pc);
    *result = pop(&s);
    return !b.failed && !s.failed;
}
