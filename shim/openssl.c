/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of libraries is made when a session is met that is of none that is known, so at the first call, and again after
 * something was unloaded.
 *
 * A library that is preloaded behind us, or linked in front of libssl, may have calls of the same names: then the host's call was
 * meant for those, as the dynamic linker would have had it.
 */
#include "openssl.h"

#include "libraries.h"
#include "real.h"
#include "symbol.h"

#define LIBRARIES 8
#define SESSION_WORDS 4 /* of a session, among which is the address of its methods, but never first: in all versions since 1.1.0 */

struct list {
    uint32_t count;
    struct openssl library[LIBRARIES];
};

/* --- no library: all calls fail --- */

static int no_read(void *ssl, void *buffer, int n) { return (void)ssl, (void)buffer, (void)n, -1; }
static int no_write(void *ssl, const void *buffer, int n) { return (void)ssl, (void)buffer, (void)n, -1; }
static int no_read_ex(void *ssl, void *buffer, size_t n, size_t *done)
{
    return (void)ssl, (void)buffer, (void)n, (void)done, 0;
}
static int no_write_ex(void *ssl, const void *buffer, size_t n, size_t *done)
{
    return (void)ssl, (void)buffer, (void)n, (void)done, 0;
}
static ssize_t no_sendfile(void *ssl, int fd, off_t offset, size_t n, int flags)
{
    return (void)ssl, (void)fd, (void)offset, (void)n, (void)flags, -1;
}
static int no_handshake(void *ssl) { return (void)ssl, -1; }
static void no_free(void *ssl) { (void)ssl; }

static const struct openssl none = {
    .SSL_read = no_read,
    .SSL_write = no_write,
    .SSL_read_ex = no_read_ex,
    .SSL_write_ex = no_write_ex,
    .SSL_sendfile = no_sendfile,
    .SSL_do_handshake = no_handshake,
    .SSL_accept = no_handshake,
    .SSL_connect = no_handshake,
    .SSL_free = no_free,
};

/* --- looking for them --- */

static void *function(const struct real_object *o, const char *name) { return symbol_in(o->base, o->dynamic, name); }

static bool take_library(void *context, const struct real_object *o)
{
    struct list *list = context;
    struct openssl *library = &list->library[list->count];

    if (!function(o, "SSL_read") || !function(o, "SSL_get_rbio"))
        return true;
    library->start = o->start;
    library->bytes = o->bytes;
    library->object = *o;
#define F(name) library->name = (__typeof__(name) *)function(o, #name);
    OPENSSL_HOOKED(F) OPENSSL_ASKED(F)
#undef F
    return ++list->count < LIBRARIES;
}

/* An object that may be the libcrypto of some: each by the name that it was linked with. */
static bool take_crypto(void *context, const struct real_object *o)
{
    struct list *list = context;

    if (!function(o, "BIO_method_type"))
        return true;
    const char *name = symbol_object_name(o->base, o->dynamic);
    for (uint32_t i = 0; i < list->count; i++) {
        struct openssl *library = &list->library[i];
        if (library->start != o->start && !(name && symbol_needs(library->object.base, library->object.dynamic, name)))
            continue;
#define F(name) library->name = (__typeof__(name) *)function(o, #name);
        OPENSSL_CRYPTO(F)
#undef F
    }
    return true;
}

static bool is_within(const struct list *list, uintptr_t at)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (at - list->library[i].start < list->library[i].bytes)
            return true;
    return false;
}

static void put_others_first(struct list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
#define F(name)                                                                                                        \
        if (real.name && !is_within(list, (uintptr_t)real.name))                                                       \
            list->library[i].name = real.name;
        OPENSSL_HOOKED(F)
#undef F
    }
}

static bool is_whole(const struct openssl *o)
{
    bool whole = true;

#define F(name) whole = whole && o->name;
    OPENSSL_ASKED(F) OPENSSL_CRYPTO(F)
#undef F
    return whole;
}

static void list_fill(void *list)
{
    struct list *made = list;

    real_each_object(take_library, made);
    real_each_object(take_crypto, made);
    put_others_first(made);
    for (uint32_t i = 0; i < made->count; i++)
        made->library[i].whole = is_whole(&made->library[i]);
}

static struct list first_list;
static struct libraries libraries = {.bytes = sizeof first_list, .first = &first_list, .fill = list_fill};

static const struct openssl *maker(const struct list *list, const void *ssl)
{
    const uintptr_t *word = ssl;

    for (uint32_t i = 0; i < list->count; i++)
        for (unsigned w = 1; w < SESSION_WORDS; w++)
            if (word[w] - list->library[i].start < list->library[i].bytes)
                return &list->library[i];
    return NULL;
}

const struct openssl *openssl_of(const void *ssl)
{
    const struct list *list = libraries_known(&libraries);
    const struct openssl *found = list && ssl ? maker(list, ssl) : NULL;

    if (__builtin_expect(found != NULL, 1))
        return found;
    if (!list || ssl)
        list = libraries_look(&libraries);
    found = list && ssl ? maker(list, ssl) : NULL;
    if (!found && list && (list->count == 1 || (list->count && !ssl)))
        found = &list->library[0];
    return found ? found : &none;
}

void openssl_unloaded(void) { libraries_changed(&libraries); }
