/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of event.h, expanded from events.def. */
#include "event.h"

#include "arena.h"

#define DATA true
#define NO_DATA false

#define F(name, coding, show) {#name, CODING_##coding, SHOW_##show},
#define EVENT(number, name, data, fields)                                                                              \
    [number] = {#name, data, sizeof(struct event_##name) / sizeof(uint64_t), {fields}},
const struct event_info event_table[EVENT_TYPES] = {
#include "events.def"
};
#undef EVENT
#undef F

const char *const desc_kind_name[KIND_COUNT] = {
#define K(name) #name,
    DESC_KINDS(K)
#undef K
};

const char *const tls_tie_name[TLS_TIE_COUNT] = {
#define T(name) #name,
    TLS_TIES(T)
#undef T
};

const char *const wait_what_name[WAIT_COUNT] = {
#define W(name) #name,
    WAITS(W)
#undef W
};

const char *const gap_reason_name[GAP_COUNT] = {
#define R(name) #name,
    GAP_REASONS(R)
#undef R
};

/* As in PERFSHIM_HEAP. */
const char *const heap_mode_name[HEAP_MODE_COUNT] = {
    [HEAP_OFF] = "off", [HEAP_LEDGER] = "ledger", [HEAP_EXACT] = "exact", [HEAP_SAMPLED] = "sampled", [HEAP_AUTO] = "auto",
};

const char *const process_how_name[HOW_COUNT] = {"running", "exit", "killed", "exec"};

#define F(name, coding, show)
#define EVENT(number, name, data, fields)                                                                              \
    _Static_assert(number > 0 && number < EVENT_TYPES, "event number out of range");                                   \
    _Static_assert(sizeof(struct event_##name) <= EVENT_FIELDS * sizeof(uint64_t), "too many fields");
#include "events.def"
#undef EVENT
#undef F
