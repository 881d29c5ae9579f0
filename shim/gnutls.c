/* SPDX-License-Identifier: Apache-2.0 */
/* The list is made at the first call, and again after something was loaded or unloaded. As in openssl.c, calls that a library
 * preloaded behind us has go there. */
#include "gnutls.h"

#include "libraries.h"
#include "symbol.h"

#define LIBRARIES 4
#define E_INVALID_SESSION (-10) /* gnutls.h */

struct list {
    uint32_t count;
    struct gnutls library[LIBRARIES];
};

static ssize_t no_recv(void *session, void *data, size_t n) { return (void)session, (void)data, (void)n, E_INVALID_SESSION; }
static ssize_t no_send(void *session, const void *data, size_t n)
{
    return (void)session, (void)data, (void)n, E_INVALID_SESSION;
}
static ssize_t no_send2(void *session, const void *data, size_t n, size_t pad, unsigned flags)
{
    return (void)session, (void)data, (void)n, (void)pad, (void)flags, E_INVALID_SESSION;
}
static int no_handshake(void *session) { return (void)session, E_INVALID_SESSION; }
static void no_deinit(void *session) { (void)session; }

static const struct gnutls none = {
    .gnutls_record_recv = no_recv,
    .gnutls_record_send = no_send,
    .gnutls_record_send2 = no_send2,
    .gnutls_handshake = no_handshake,
    .gnutls_deinit = no_deinit,
};

static bool holds(const struct real_object *o, const void *at) { return (uintptr_t)at - o->start < o->bytes; }

static bool take_library(void *context, const struct real_object *o)
{
    struct list *list = context;
    struct gnutls *library = &list->library[list->count];

    if (!symbol_in(o->base, o->dynamic, "gnutls_record_recv") || !symbol_in(o->base, o->dynamic, "gnutls_init"))
        return true;
    library->object = *o;
    library->whole = true;
#define F(name) library->name = (__typeof__(name) *)symbol_in(o->base, o->dynamic, #name);
    GNUTLS_HOOKED(F) GNUTLS_ASKED(F)
#undef F
#define F(name) library->whole = library->whole && library->name;
    GNUTLS_ASKED(F)
#undef F
    return ++list->count < LIBRARIES;
}

static bool is_any_s(const struct list *list, const void *function)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (holds(&list->library[i].object, function))
            return true;
    return false;
}

static void list_fill(void *list)
{
    struct list *made = list;

    real_each_object(take_library, made);
    for (uint32_t i = 0; i < made->count; i++) {
#define F(name)                                                                                                        \
        if (real.name && !is_any_s(made, (const void *)real.name))                                                     \
            made->library[i].name = real.name;
        GNUTLS_HOOKED(F)
#undef F
    }
}

static struct list first_list;
static struct libraries libraries = {.bytes = sizeof first_list, .first = &first_list, .fill = list_fill};

struct caller {
    const void *address;
    struct real_object object;
};

static bool take_caller(void *context, const struct real_object *o)
{
    struct caller *caller = context;

    if (holds(o, caller->address))
        caller->object = *o;
    return !holds(o, caller->address);
}

/* Of several: the one that the caller was linked with, or as the dynamic linker has it, the first. */
static const struct gnutls *linked_with(const struct list *list, const void *address)
{
    struct caller caller = {.address = address};

    real_each_object(take_caller, &caller);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct real_object *o = &list->library[i].object;
        const char *name = symbol_object_name(o->base, o->dynamic);
        if (holds(o, address) || (name && symbol_needs(caller.object.base, caller.object.dynamic, name)))
            return &list->library[i];
    }
    return &list->library[0];
}

const struct gnutls *gnutls_of(const void *caller)
{
    const struct list *list = libraries_known(&libraries);

    if (__builtin_expect(!list, 0))
        list = libraries_look(&libraries);
    if (!list || !list->count)
        return &none;
    return __builtin_expect(list->count == 1, 1) ? &list->library[0] : linked_with(list, caller);
}

void gnutls_changed(void) { libraries_changed(&libraries); }
