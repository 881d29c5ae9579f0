/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of symbols that begin at one address the best comes last: those with a size before those without, then global before weak before local.
 * Symbols may lie in each other, so it is the last one that begins before the address and ends behind it that counts. One without a
 * size is taken only where nothing that has a size lies between it and the address.
 */
#include "symindex.h"

#include <stdint.h>
#include <stdlib.h>

#define ROWS_MAX (1u << 22)
#define LOOK_BACK 256 /* symbols that lie in each other */

struct symindex_row {
    GElf_Addr address;
    GElf_Xword bytes;
    const char *name;
    GElf_Word section;
    unsigned rank;
};

void symindex_reset(struct symindex *x)
{
    free(x->rows);
    *x = (struct symindex){.made = false};
}

static bool add_row(struct symindex *x, const struct symindex_row *row)
{
    if (x->count == x->room) {
        size_t room = 2 * x->room + 256;
        struct symindex_row *grown = room <= ROWS_MAX ? realloc(x->rows, room * sizeof *grown) : NULL;
        if (!grown)
            return false;
        x->rows = grown;
        x->room = room;
    }
    x->rows[x->count++] = *row;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct symindex_row *x = a, *y = b;

    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->rank != y->rank ? (x->rank < y->rank ? -1 : 1) : 0;
}

static bool is_code(const GElf_Sym *symbol, GElf_Word section)
{
    int type = GELF_ST_TYPE(symbol->st_info);

    return section != SHN_UNDEF && section != SHN_ABS &&
           (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

static void make(struct symindex *x, Dwfl_Module *module)
{
    int n = dwfl_module_getsymtab(module);

    x->made = true;
    for (int i = 0; i < n; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        GElf_Word section;
        const char *name = dwfl_module_getsym_info(module, i, &symbol, &address, &section, NULL, NULL);
        if (!name || !*name || !is_code(&symbol, section))
            continue;
        int binding = GELF_ST_BIND(symbol.st_info);
        unsigned rank = (symbol.st_size != 0) * 4u + (binding == STB_GLOBAL ? 2 : binding == STB_WEAK ? 1 : 0);
        if (!add_row(x, &(struct symindex_row){address, symbol.st_size, name, section, rank}))
            break;
    }
    if (x->count)
        qsort(x->rows, x->count, sizeof *x->rows, by_address);
}

const char *symindex_name(struct symindex *x, Dwfl_Module *module, GElf_Addr address)
{
    const struct symindex_row *label = NULL;
    size_t low = 0;

    if (!x->made)
        make(x, module);
    for (size_t high = x->count; low < high;) { /* the first row that begins behind the address */
        size_t middle = low + (high - low) / 2;
        if (x->rows[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    bool first = true; /* nothing with a size was met yet */
    for (size_t i = low; i-- > 0 && low - i <= LOOK_BACK;) {
        const struct symindex_row *row = &x->rows[i];
        if (address - row->address < row->bytes)
            return row->name;
        if (!row->bytes && first && !label)
            label = row;
        first &= row->bytes == 0;
    }
    return label ? label->name : NULL;
}
