/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table has levels, each four times as large as the one before and made when that has no place left (by a host that
 * filters its system calls, never): a host with a few connections pays for a few pages. A session's place is one of
 * WAYS in a row, by its address's hash, in any level. Nobody's place is taken while its connection is open; what a
 * library freed without telling (inside itself) is overwritten when that is closed.
 *
 * Which connection: the library's own word if it has one. Else that on which the thread moves a TLS record while it is
 * inside the library's call. Else, where the host carries the bytes itself through memory, what the thread has read
 * last, if the library waits with just as many bytes. The last is a guess and says so (enum tls_tie); once made it
 * holds for the session's life, as the others do.
 */
#include "tls.h"

#include "clock.h"
#include "frame.h"
#include "ledger.h"
#include "raw.h"
#include "ring.h"
#include "state.h"

#define LEVELS 5
#define FIRST_PLACES 256u
#define WAYS 4u

enum session_state { SESSION_NEW, SESSION_IN_HANDSHAKE, SESSION_OPEN };

struct tls_session {
    _Atomic uintptr_t key; /* 0: the place is free */
    const void *transport; /* when the tie was made */
    uint32_t desc;         /* 0: not tied */
    int32_t fd;
    uint16_t tie, state; /* enum tls_tie, enum session_state */
    uint32_t calls;      /* of the handshake, as the rest */
    uint64_t begin, last, inside, cpu_ns;
    uint64_t stamp_ns; /* of the last ciphertext that was read */
};

static struct tls_session first_level[FIRST_PLACES];
static struct tls_session *_Atomic levels[LEVELS] = {first_level};

/* --- the table --- */

static uint32_t places(unsigned level) { return FIRST_PLACES << 2 * level; }

static struct tls_session *row(struct tls_session *level, unsigned number, uintptr_t key)
{
    uint64_t hash = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    return level + (hash & (places(number) - WAYS));
}

static struct tls_session *session_find(uintptr_t key)
{
    struct tls_session *level;

    for (unsigned i = 0; i < LEVELS && (level = atomic_load_explicit(&levels[i], memory_order_acquire)); i++) {
        struct tls_session *s = row(level, i, key);
        for (unsigned way = 0; way < WAYS; way++)
            if (atomic_load_explicit(&s[way].key, memory_order_relaxed) == key)
                return &s[way];
    }
    return NULL;
}

static struct tls_session *level_make(unsigned i)
{
    struct tls_session *none = NULL, *made = shim.filtered ? NULL : raw_reserve(places(i) * sizeof *made);

    if (!made || atomic_compare_exchange_strong(&levels[i], &none, made))
        return made;
    raw2(SYS_munmap, (long)made, (long)(places(i) * sizeof *made));
    return none;
}

static bool is_left_behind(const struct tls_session *s) { return s->desc && !desc_is(s->fd, s->desc); }

static struct tls_session *claim(struct tls_session *s, uintptr_t key)
{
    for (unsigned way = 0; way < WAYS; way++) {
        uintptr_t held = atomic_load_explicit(&s[way].key, memory_order_relaxed);
        if ((held && !is_left_behind(&s[way])) || !atomic_compare_exchange_strong(&s[way].key, &held, key))
            continue;
        s[way].desc = s[way].calls = 0;
        s[way].tie = TLS_TIE_none;
        s[way].state = SESSION_NEW;
        s[way].inside = s[way].cpu_ns = s[way].stamp_ns = 0;
        return &s[way];
    }
    return NULL;
}

static struct tls_session *session_of(uintptr_t key)
{
    struct tls_session *s = session_find(key), *level;

    for (unsigned i = 0; i < LEVELS && !s; i++) {
        level = atomic_load_explicit(&levels[i], memory_order_acquire);
        level = level ? level : level_make(i);
        if (!level)
            break;
        s = claim(row(level, i, key), key);
    }
    return s;
}

/* --- ties --- */

static void tie(struct tls_call *c, int fd, struct desc *d, uint32_t id, enum tls_tie how)
{
    c->io.fd = fd;
    c->io.desc = d;
    c->io.id = id;
    c->tie = how;
    if (!c->session)
        return;
    c->session->fd = fd;
    c->session->desc = id;
    c->session->tie = (uint16_t)how;
    c->session->transport = c->transport;
}

bool tls_wants_tie(struct tls_call *c, const void *transport)
{
    struct tls_session *s = c->session;

    c->transport = transport;
    if (!s || !s->desc || s->transport != transport)
        return true;
    struct desc *d = desc_find(s->fd);
    if (!d || atomic_load_explicit(&d->id, memory_order_relaxed) != s->desc) {
        s->desc = 0;
        return true;
    }
    tie(c, s->fd, d, s->desc, s->tie);
    return false;
}

void tls_tie_descriptor(struct tls_call *c, int fd)
{
    struct desc *d = desc_get(c->io.t, fd);

    if (d)
        tie(c, fd, d, atomic_load_explicit(&d->id, memory_order_relaxed), TLS_TIE_descriptor);
}

static void record_plain(struct tls_call *c, unsigned op, unsigned dir, ssize_t n, const struct iovec *part,
                         size_t asked)
{
    io_record(&c->io, &(struct io_done){op, dir, n, asked, IO_PLAIN | IO_TIE_FIRST * c->tie, 0, part, part ? 1 : 0});
}

void tls_tie_received(struct tls_call *c, size_t waiting, unsigned op)
{
    struct arena_thread *t = c->io.t;
    struct desc *d = waiting && waiting == t->received_bytes ? desc_find(t->received.fd) : NULL;

    if (!d || atomic_load_explicit(&d->id, memory_order_relaxed) != t->received.desc)
        return;
    t->received_bytes = 0;
    tie(c, t->received.fd, d, t->received.desc, TLS_TIE_receive);
    c->io.start = clock_ticks();
    record_plain(c, op, IO_IN, 0, NULL, 0);
}

/* type, version: as RFC 8446, section 5.1, has them; of older versions too. */
static bool is_record(const struct io_done *done)
{
    const uint8_t *p = done->part_count ? done->parts[0].iov_base : NULL;

    return done->result >= 3 && p && done->parts[0].iov_len >= 3 && p[0] >= 20 && p[0] <= 24 && p[1] == 3 && p[2] <= 4;
}

unsigned tls_met(const struct io_call *c, const struct io_done *done)
{
    struct arena_tls *tls = &c->t->tls;

    if (frame_is_gone(tls->frame, FRAME_HERE())) {
        tls->frame = 0;
        return 0;
    }
    if (!tls->desc && c->id && is_record(done)) {
        tls->desc = c->id;
        tls->fd = c->fd;
    }
    if (!c->id || tls->desc != c->id)
        return 0;
    if (done->dir == IO_IN && done->result > 0)
        tls->stamp_ns = c->stamp_ns;
    return IO_CIPHER;
}

/* --- a call --- */

bool tls_enter(struct tls_call *c, const void *key, uintptr_t frame)
{
    struct arena_thread *t = hook_enter();

    c->io.t = NULL;
    if (!t || (__builtin_expect(t->tls.frame != 0, 0) && !frame_is_gone(t->tls.frame, frame)))
        return false;
    *c = (struct tls_call){.io = {.t = t, .fd = -1, .cost = cost_begin(t)}, .key = (uintptr_t)key, .frame = frame};
    c->session = session_of(c->key);
    return true;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;

    if (shim.filtered || raw2(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&now) != 0)
        return EVENT_UNKNOWN;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool in_handshake(const struct tls_call *c)
{
    return c->io.t && c->session && c->session->state == SESSION_IN_HANDSHAKE;
}

void tls_begin(struct tls_call *c)
{
    struct arena_thread *t = c->io.t;

    if (!t)
        return;
    if (__builtin_expect(in_handshake(c), 0))
        c->cpu_ns = thread_cpu_ns();
    t->tls.desc = c->io.id;
    t->tls.fd = c->io.fd;
    t->tls.stamp_ns = 0;
    c->io.start = clock_ticks();
    t->tls.frame = c->frame;
}

static void count_handshake(struct tls_session *s, const struct tls_call *c)
{
    uint64_t cpu_ns = c->cpu_ns == EVENT_UNKNOWN ? EVENT_UNKNOWN : thread_cpu_ns();

    s->last = clock_ticks();
    s->begin = s->calls ? s->begin : c->io.start;
    s->inside += s->last - c->io.start;
    s->cpu_ns = cpu_ns == EVENT_UNKNOWN || s->cpu_ns == EVENT_UNKNOWN ? EVENT_UNKNOWN : s->cpu_ns + cpu_ns - c->cpu_ns;
    s->calls++;
}

void tls_end(struct tls_call *c)
{
    struct arena_thread *t = c->io.t;

    if (!t)
        return;
    t->tls.frame = 0;
    if (c->session && __builtin_expect(atomic_load_explicit(&c->session->key, memory_order_relaxed) != c->key, 0))
        c->session = NULL; /* another thread that held it too has freed it meanwhile, and its place may be another's */
    if (__builtin_expect(c->io.cost != 0, 0))
        c->end = clock_ticks();
    if (!c->io.id && t->tls.desc) {
        struct desc *d = desc_find(t->tls.fd);
        tie(c, t->tls.fd, d, t->tls.desc, TLS_TIE_inside);
    }
    if (c->session && t->tls.stamp_ns)
        c->session->stamp_ns = t->tls.stamp_ns;
    if (__builtin_expect(in_handshake(c), 0))
        count_handshake(c->session, c);
}

/* A call without an event of its own. */
static void take_cost(struct tls_call *c)
{
    struct arena_thread *t = c->io.t;
    uint64_t before = c->io.start - c->io.cost;

    if (__builtin_expect(!c->io.cost, 1))
        return;
    t->cost_io_ticks += COST_SHARE * (before < COST_MAX_TICKS ? before : COST_MAX_TICKS);
    cost_end(&t->cost_io_ticks, c->end);
}

void tls_moved(struct tls_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked)
{
    struct iovec part = {(void *)(uintptr_t)buffer, asked};

    if (!c->io.t)
        return;
    if (result <= 0) {
        take_cost(c);
        return;
    }
    c->io.stamp_ns = dir == IO_IN && c->session ? c->session->stamp_ns : 0;
    record_plain(c, op, dir, result, buffer ? &part : NULL, asked);
}

/* --- the usual call --- */

bool tls_enter_usual(struct tls_call *c, const void *key, const void *transport, uintptr_t frame)
{
    struct arena_thread *t = hook_enter();
    struct tls_session *s = t && !t->tls.frame ? session_find((uintptr_t)key) : NULL;

    c->usual = false;
    if (!s || s->state != SESSION_OPEN || !s->desc || s->transport != transport)
        return false;
    struct desc *d = desc_find(s->fd);
    if (!d || atomic_load_explicit(&d->id, memory_order_relaxed) != s->desc)
        return false;
    c->usual = true;
    c->io.cost = cost_begin(t);
    c->io.t = t;
    c->io.desc = d;
    c->io.id = t->tls.desc = s->desc;
    c->io.fd = t->tls.fd = s->fd;
    c->io.stamp_ns = t->tls.stamp_ns = 0;
    c->session = s;
    c->tie = s->tie;
    c->key = (uintptr_t)key;
    c->end = 0;
    c->io.start = clock_ticks();
    t->tls.frame = frame;
    return true;
}

void tls_leave_usual(struct tls_call *c, unsigned op, unsigned dir, ssize_t result, const void *buffer, size_t asked)
{
    struct arena_thread *t = c->io.t;

    t->tls.frame = 0;
    if (__builtin_expect(c->io.cost != 0, 0))
        c->end = clock_ticks();
    if (__builtin_expect(atomic_load_explicit(&c->session->key, memory_order_relaxed) != c->key, 0))
        c->session = NULL; /* as in tls_end */
    else if (t->tls.stamp_ns)
        c->session->stamp_ns = t->tls.stamp_ns;
    tls_moved(c, op, dir, result, buffer, asked);
}

/* --- handshakes --- */

bool tls_asks_handshake(const struct tls_call *c, bool driving)
{
    return c->session && (c->session->state == SESSION_NEW || (driving && c->session->state == SESSION_OPEN));
}

void tls_handshake(struct tls_call *c, bool over)
{
    struct tls_session *s = c->session;

    s->state = over ? SESSION_OPEN : SESSION_IN_HANDSHAKE;
    s->calls = 0;
    s->inside = s->cpu_ns = 0;
}

bool tls_was_handshake(struct tls_call *c) { return in_handshake(c); }

void tls_record_handshake(struct tls_call *c, const struct tls_outcome *outcome)
{
    struct arena_thread *t = c->io.t;
    struct tls_session *s = c->session;
    uint64_t *field = record_begin(t, EVENT_tls, 11, 0, clock_ticks());

    s->state = SESSION_OPEN;
    if (!field)
        return;
    field[0] = s->desc;
    field[1] = s->desc ? (uint64_t)(int64_t)s->fd : UINT64_MAX;
    field[2] = s->desc ? s->tie : TLS_TIE_none;
    field[3] = outcome->side;
    field[4] = outcome->version;
    field[5] = outcome->resumed;
    field[6] = !outcome->over;
    field[7] = s->last - s->begin;
    field[8] = s->inside;
    field[9] = s->cpu_ns;
    field[10] = s->calls;
    record_commit(t);
}

bool tls_forget(struct tls_call *c, const void *key)
{
    *c = (struct tls_call){.io = {.t = hook_enter(), .fd = -1}};
    c->session = c->io.t ? session_find((uintptr_t)key) : NULL;
    return in_handshake(c) && c->session->calls;
}

void tls_forgotten(struct tls_call *c)
{
    if (c->session)
        atomic_store_explicit(&c->session->key, 0, memory_order_release);
}
