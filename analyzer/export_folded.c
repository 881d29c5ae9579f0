/* SPDX-License-Identifier: Apache-2.0 */
/* The format has no way to write a `;` or a line feed in a name, so they become `:` and a space. */
#include <math.h>

#include "event.h"
#include "export.h"

#define FRAMES_MAX 64 /* inlined into each other at one place */

const char *export_fault(const struct place *place)
{
    return !place->depth                  ? "[no call stack]"
           : place->flags & STACK_CUT     ? "[cut]"
           : place->flags & STACK_BROKEN  ? "[broken off]"
                                          : NULL;
}

static void print_name(FILE *out, const char *name)
{
    for (; *name; name++)
        putc(*name == ';' ? ':' : (unsigned char)*name < ' ' || *name == 0x7f ? ' ' : *name, out);
}

static void print_frames(FILE *out, const struct place *place, struct symbols *symbols)
{
    struct symbol_frame frame[FRAMES_MAX];
    const char *fault = export_fault(place), *separator = "";

    if (fault) {
        fputs(fault, out);
        separator = ";";
    }
    for (size_t i = place->depth; i-- > 0;)
        for (size_t f = symbols_at(symbols, place->code[i], frame, FRAMES_MAX); f-- > 0; separator = ";") {
            fputs(separator, out);
            print_name(out, frame[f].function);
            fputs(frame[f].inlined ? "_[i]" : frame[f].jit ? "_[j]" : "", out);
        }
}

int export_folded(const struct places *places, struct symbols *symbols, enum place_figure figure, FILE *out)
{
    for (size_t i = 0; i < places->count && !ferror(out); i++) {
        const struct place *place = &places->place[i];
        double value = figure == PLACE_FIGURES ? place->growth_bytes_per_s * 3600 : place->sum[figure].value;
        if (!(round(value) > 0))
            continue;
        print_frames(out, place, symbols);
        fprintf(out, " %.0f\n", value);
    }
    return fflush(out) || ferror(out) ? -1 : 0;
}
