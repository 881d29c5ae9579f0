/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The units of a file are walked once, for their ranges, and the DIEs of a unit once, when the first address in it is asked for.
 * Ranges of two units, or two functions, do not overlap in files that a linker made; where they do, the one that begins last
 * counts. Links between DIEs may lead anywhere in a file that was made to harm, so steps are counted.
 */
#include "cuindex.h"

#include <dwarf.h>
#include <stdlib.h>

#define RANGES_MAX (1u << 21)
#define DIES_MAX (1u << 24) /* of one unit */
#define NESTING_MAX 64

struct cuindex_range {
    Dwarf_Addr low, high, bias; /* of units low and high are those of the session, which is DWARF's plus bias */
    Dwarf_Die die;
};

void cuindex_reset(struct cuindex *x)
{
    for (size_t i = 0; i < x->function_lists; i++)
        free(x->functions[i].ranges);
    free(x->functions);
    free(x->units.ranges);
    idmap_reset(&x->list_of);
    *x = (struct cuindex){.made = false};
}

/* --- lists --- */

static bool list_add(struct cuindex_list *l, const struct cuindex_range *range)
{
    if (l->count == l->room) {
        size_t room = 2 * l->room + 16;
        struct cuindex_range *grown = room <= RANGES_MAX ? realloc(l->ranges, room * sizeof *grown) : NULL;
        if (!grown)
            return false;
        l->ranges = grown;
        l->room = room;
    }
    l->ranges[l->count++] = *range;
    return true;
}

/* Adds the ranges of a DIE, if it has any. */
static bool list_add_die(struct cuindex_list *l, Dwarf_Die *die, Dwarf_Addr bias)
{
    Dwarf_Addr base, low, high;
    ptrdiff_t at = 0;

    while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0)
        if (low < high && !list_add(l, &(struct cuindex_range){low + bias, high + bias, bias, *die}))
            return false;
    return true;
}

static int by_low(const void *a, const void *b)
{
    const struct cuindex_range *x = a, *y = b;

    return x->low < y->low ? -1 : x->low > y->low;
}

static void list_sort(struct cuindex_list *l)
{
    if (l->count)
        qsort(l->ranges, l->count, sizeof *l->ranges, by_low);
}

static const struct cuindex_range *list_find(const struct cuindex_list *l, Dwarf_Addr address)
{
    size_t low = 0, high = l->count;

    while (low < high) { /* the first range that begins behind the address */
        size_t middle = low + (high - low) / 2;
        if (l->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && address < l->ranges[low - 1].high ? &l->ranges[low - 1] : NULL;
}

/* --- units --- */

static void make_units(struct cuindex *x, Dwfl_Module *module)
{
    Dwarf_Die *unit = NULL;
    Dwarf_Addr bias;

    x->made = true;
    while ((unit = dwfl_module_nextcu(module, unit, &bias)))
        if (!list_add_die(&x->units, unit, bias))
            break;
    list_sort(&x->units);
}

bool cuindex_unit(struct cuindex *x, Dwfl_Module *module, GElf_Addr address, Dwarf_Die *unit, Dwarf_Addr *bias)
{
    Dwarf_Die *known = dwfl_module_addrdie(module, address, bias);

    if (known) {
        *unit = *known;
        return true;
    }
    if (!x->made)
        make_units(x, module);
    const struct cuindex_range *range = list_find(&x->units, address);
    if (!range)
        return false;
    *unit = range->die;
    *bias = range->bias;
    return true;
}

/* --- functions --- */

static bool may_hold_functions(int tag)
{
    return tag == DW_TAG_subprogram || tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_lexical_block ||
           tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
           tag == DW_TAG_enumeration_type;
}

static bool add_functions(struct cuindex_list *l, Dwarf_Die *parent, unsigned nesting, unsigned *steps)
{
    Dwarf_Die die;

    if (nesting == NESTING_MAX || dwarf_child(parent, &die) != 0)
        return true;
    do {
        int tag = dwarf_tag(&die);
        if (++*steps > DIES_MAX || (tag == DW_TAG_subprogram && !list_add_die(l, &die, 0)))
            return false;
        if (may_hold_functions(tag) && dwarf_haschildren(&die) > 0 && !add_functions(l, &die, nesting + 1, steps))
            return false;
    } while (dwarf_siblingof(&die, &die) == 0);
    return true;
}

/* The functions of a unit; NULL if memory is short. */
static struct cuindex_list *functions_of(struct cuindex *x, Dwarf_Die *unit)
{
    uint64_t key = dwarf_dieoffset(unit);
    uint32_t known = idmap_get(&x->list_of, key);
    unsigned steps = 0;

    if (known != IDMAP_NONE)
        return &x->functions[known];
    struct cuindex_list *grown = realloc(x->functions, (x->function_lists + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    x->functions = grown;
    if (idmap_put(&x->list_of, key, (uint32_t)x->function_lists) < 0)
        return NULL;
    struct cuindex_list *list = &x->functions[x->function_lists++];
    *list = (struct cuindex_list){.count = 0};
    add_functions(list, unit, 0, &steps); /* what it found until it gave up is true */
    list_sort(list);
    return list;
}

bool cuindex_function(struct cuindex *x, Dwarf_Die *unit, Dwarf_Addr pc, Dwarf_Die *function)
{
    const struct cuindex_list *list = functions_of(x, unit);
    const struct cuindex_range *range = list ? list_find(list, pc) : NULL;

    if (range)
        *function = range->die;
    return range != NULL;
}
