/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges are sorted by where they begin. Those of two units do not overlap in files that a linker made; where they do, the one that
 * begins last counts.
 */
#include "cuindex.h"

#include <stdlib.h>

#define RANGES_MAX (1u << 20)

struct cuindex_range {
    Dwarf_Addr low, high, bias; /* low and high as DWARF has them, plus bias */
    Dwarf_Die unit;
};

void cuindex_reset(struct cuindex *x)
{
    free(x->ranges);
    *x = (struct cuindex){.made = false};
}

static bool add_range(struct cuindex *x, const struct cuindex_range *range)
{
    if (x->count == x->room) {
        size_t room = 2 * x->room + 64;
        struct cuindex_range *grown = room <= RANGES_MAX ? realloc(x->ranges, room * sizeof *grown) : NULL;
        if (!grown)
            return false;
        x->ranges = grown;
        x->room = room;
    }
    x->ranges[x->count++] = *range;
    return true;
}

static int by_low(const void *a, const void *b)
{
    const struct cuindex_range *x = a, *y = b;

    return x->low < y->low ? -1 : x->low > y->low;
}

static void make(struct cuindex *x, Dwfl_Module *module)
{
    Dwarf_Die *unit = NULL;
    Dwarf_Addr bias, base, low, high;

    x->made = true;
    while ((unit = dwfl_module_nextcu(module, unit, &bias))) {
        ptrdiff_t at = 0;
        while ((at = dwarf_ranges(unit, at, &base, &low, &high)) > 0)
            if (low < high && !add_range(x, &(struct cuindex_range){low + bias, high + bias, bias, *unit}))
                break;
    }
    qsort(x->ranges, x->count, sizeof *x->ranges, by_low);
}

Dwarf_Die *cuindex_find(struct cuindex *x, Dwfl_Module *module, GElf_Addr address, Dwarf_Die *own, Dwarf_Addr *bias)
{
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, bias);
    size_t low = 0;

    if (unit)
        return unit;
    if (!x->made)
        make(x, module);
    for (size_t high = x->count; low < high;) { /* the first range that begins behind the address */
        size_t middle = low + (high - low) / 2;
        if (x->ranges[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= x->ranges[low - 1].high)
        return NULL;
    *own = x->ranges[low - 1].unit;
    *bias = x->ranges[low - 1].bias;
    return own;
}
