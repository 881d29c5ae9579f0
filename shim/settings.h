/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings from the environment (settings.def). A bad value is named on standard error and its default is used.
 */
#ifndef PERFSHIM_SETTINGS_H
#define PERFSHIM_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

enum setting {
#define SETTING(name, kind, standard, low, high, text) SETTING_##name,
#include "settings.def"
#undef SETTING
    SETTING_COUNT
};

enum setting_clock { CLOCK_AUTO, CLOCK_TSC, CLOCK_RAW };

/* Values of PATH rows are texts, borrowed from the environment; of all others numbers: of HEAP rows an arena_heap_mode, of
 * MEMO rows an arena_memo_mode, of CLOCK rows a setting_clock. Of HEAP_SAMPLED the interval's shift (sample.h) stands above SETTING_HEAP_SHIFT bits. */
#define SETTING_HEAP_SHIFT 8

struct settings {
    uint64_t number[SETTING_COUNT];
    const char *text[SETTING_COUNT];
};

void settings_read(struct settings *s, char *const *environment);

/* The value of a variable in an environment, or NULL. */
const char *settings_lookup(char *const *environment, const char *name);

/* Writes the path of the trace: the pattern with %p and %e filled in (%% is a percent sign). Always ends it with NUL. */
void settings_expand_path(char *out, size_t size, const char *pattern, uint32_t pid, const char *program);

#endif
