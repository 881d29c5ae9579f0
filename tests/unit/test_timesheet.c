/* SPDX-License-Identifier: Apache-2.0 */
/* Whose time a thread's time was: known courses of events, and random ones against a plain account of each exchange. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flight.h"
#include "slowest.h"
#include "splits.h"

#define NOBODY ((struct timesheet_flights){NULL, 0})

static struct timesheet_flights only(struct flight **f) { return (struct timesheet_flights){f, 1}; }

static struct flight *begun(struct flight *f, int64_t in_ns, bool complete)
{
    *f = (struct flight){.holds = 1, .request_done = complete, .x = {.in_ns = in_ns, .ready_ns = in_ns}};
    f->time.booked_ns = in_ns;
    return f;
}

static void called(struct timesheet *t, int64_t start_ns, int64_t end_ns, enum split_kind kind,
                   struct timesheet_flights owners)
{
    struct timesheet_call c = {.start_ns = start_ns, .end_ns = end_ns, .kind = kind};

    timesheet_book(t, &c, owners, NOBODY);
}

static void waited(struct timesheet *t, int64_t start_ns, int64_t end_ns, struct timesheet_flights owners)
{
    struct timesheet_call c = {.start_ns = start_ns, .end_ns = end_ns, .kind = SPLIT_descriptors,
                               .waits = true, .ends = true};

    timesheet_book(t, &c, owners, NOBODY);
}

static void read_by(struct timesheet *t, int64_t start_ns, int64_t end_ns, struct timesheet_flights owners,
                    struct flight *f)
{
    struct timesheet_call c = {.start_ns = start_ns, .end_ns = end_ns, .kind = SPLIT_io, .ends = true};

    timesheet_book(t, &c, owners, only(&f));
}

static void written(struct timesheet *t, int64_t start_ns, int64_t end_ns, struct flight *f, bool full, bool done)
{
    struct timesheet_call c = {.start_ns = start_ns, .end_ns = end_ns, .kind = SPLIT_send, .full = full};

    if (done) {
        f->response_done = true;
        f->x.done_ns = end_ns;
    }
    timesheet_write(t, &c, only(&f));
}

/* Pairs of kind and nanoseconds, ended by SPLIT_COUNT: all that there is. */
static void assert_split(const struct flight *f, ...)
{
    va_list list;
    int64_t sum = 0;

    va_start(list, f);
    for (int kind; (kind = va_arg(list, int)) != SPLIT_COUNT;) {
        int ns = va_arg(list, int);
        assert_int_equal(split_ns(&f->x.split, (enum split_kind)kind), ns);
        sum += ns;
    }
    va_end(list);
    assert_int_equal(split_sum(&f->x.split), sum);
    assert_true(f->time.closed);
    assert_null(f->time.sheet);
}

/* --- known courses --- */

static void test_thread_of_its_own(void **state)
{
    struct timesheet t = {0};
    struct flight a, *f = begun(&a, 100, false);
    (void)state;

    waited(&t, 10, 90, NOBODY);
    read_by(&t, 95, 100, NOBODY, f);
    f->request_done = true;
    f->x.ready_ns = 130;
    read_by(&t, 110, 130, only(&f), f);        /* its body */
    called(&t, 140, 150, SPLIT_disk, only(&f));
    called(&t, 150, 190, SPLIT_lock, only(&f));
    called(&t, 180, 200, SPLIT_upstream, only(&f)); /* what was booked is not booked again */
    written(&t, 205, 210, f, false, true);
    assert_split(f, SPLIT_receive, 30, SPLIT_compute, 15, SPLIT_disk, 10, SPLIT_lock, 40,
                 SPLIT_upstream, 10, SPLIT_send, 5, SPLIT_COUNT);
    assert_int_equal(t.count, 0);
}

/* Alone with its thread, it is what the thread runs for, also behind a wait for descriptors. */
static void test_alone(void **state)
{
    struct timesheet t = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    read_by(&t, 95, 100, NOBODY, f);
    waited(&t, 110, 150, only(&f));
    called(&t, 155, 160, SPLIT_sleep, NOBODY);
    written(&t, 165, 170, f, false, true);
    assert_split(f, SPLIT_compute, 20, SPLIT_descriptors, 40, SPLIT_sleep, 5, SPLIT_send, 5, SPLIT_COUNT);
}

static void test_event_loop(void **state)
{
    struct timesheet t = {0};
    struct flight one, two, *a = begun(&one, 100, true), *b = begun(&two, 150, true);
    (void)state;

    read_by(&t, 95, 100, NOBODY, a);
    waited(&t, 105, 140, only(&a));
    read_by(&t, 145, 150, only(&b), b);
    called(&t, 160, 170, SPLIT_disk, only(&b)); /* for the one is busy for the other */
    waited(&t, 172, 180, only(&b));
    called(&t, 184, 186, SPLIT_disk, NOBODY); /* for which of them? */
    written(&t, 190, 195, a, false, true);
    written(&t, 196, 200, b, false, true);
    assert_split(a, SPLIT_compute, 5 + 4, SPLIT_descriptors, 35 + 8, SPLIT_busy, 5 + 5 + 22,
                 SPLIT_unseen, 4 + 2, SPLIT_send, 5, SPLIT_COUNT);
    assert_split(b, SPLIT_compute, 10 + 2 + 1, SPLIT_disk, 10, SPLIT_descriptors, 8,
                 SPLIT_unseen, 6, SPLIT_busy, 4 + 5, SPLIT_send, 4, SPLIT_COUNT);
}

/* What the first thread did for it counts; then it was gone, until the stretch of the second one that ends with its
 * write. */
static void test_handed_over(void **state)
{
    struct timesheet reader = {0}, writer = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    called(&writer, 50, 60, SPLIT_condition, NOBODY);
    read_by(&reader, 95, 100, NOBODY, f);
    waited(&reader, 110, 150, only(&f));
    called(&writer, 65, 180, SPLIT_condition, NOBODY);
    written(&writer, 190, 200, f, true, false);
    waited(&reader, 155, 210, NOBODY); /* nothing to do with it any more */
    waited(&writer, 205, 220, only(&f));
    written(&writer, 222, 225, f, false, true);
    assert_split(f, SPLIT_compute, 10 + 10 + 5 + 2, SPLIT_unseen, 70, SPLIT_send, 10 + 15 + 3, SPLIT_COUNT);
}

static void test_full(void **state)
{
    struct timesheet t = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    read_by(&t, 95, 100, NOBODY, f);
    assert_int_equal(timesheet_waited_ns(f), 0);
    waited(&t, 100, 130, only(&f));
    assert_int_equal(timesheet_waited_ns(f), 30);
    waited(&t, 130, 140, NOBODY);
    written(&t, 140, 150, f, true, false);
    waited(&t, 150, 180, only(&f));
    written(&t, 180, 185, f, false, false); /* all of what there was: it waits for more of the response */
    waited(&t, 185, 200, only(&f));
    timesheet_full(f); /* a write that failed says so, too */
    waited(&t, 200, 210, NOBODY);
    written(&t, 210, 212, f, false, true);
    assert_int_equal(timesheet_waited_ns(f), 30 + 10 + 15);
    assert_split(f, SPLIT_descriptors, 30 + 10 + 15, SPLIT_send, 10 + 30 + 5 + 10 + 2, SPLIT_COUNT);
}

/* A response that ends with its connection is known to be complete only later. */
static void test_ends_with_the_connection(void **state)
{
    struct timesheet t = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    read_by(&t, 95, 100, NOBODY, f);
    written(&t, 105, 110, f, false, false);
    called(&t, 120, 130, SPLIT_sleep, only(&f));
    f->response_done = true;
    f->x.done_ns = 110;
    timesheet_close(f);
    assert_split(f, SPLIT_compute, 5, SPLIT_send, 5, SPLIT_COUNT);
}

static void test_thread_ends(void **state)
{
    struct timesheet t = {0}, other = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    read_by(&t, 95, 100, NOBODY, f);
    called(&t, 110, 120, SPLIT_disk, only(&f));
    timesheet_end(&t);
    assert_null(f->time.sheet);
    written(&other, 150, 160, f, false, true); /* its first event: nobody knows what it did before */
    assert_split(f, SPLIT_unseen, 50, SPLIT_send, 10, SPLIT_COUNT);
}

static void test_lost(void **state)
{
    struct timesheet t = {0};
    struct flight a, *f = begun(&a, 100, true);
    (void)state;

    f->response_done = true; /* of which no write was seen */
    f->x.done_ns = 150;
    timesheet_close(f);
    assert_split(f, SPLIT_unseen, 50, SPLIT_COUNT);
    f = begun(&a, 100, true); /* answered before it came: only a damaged trace has that */
    read_by(&t, 95, 100, NOBODY, f);
    written(&t, 105, 110, f, false, false);
    f->response_done = true;
    f->x.done_ns = 107;
    timesheet_close(f);
    assert_split(f, SPLIT_compute, 5, SPLIT_send, 2, SPLIT_COUNT);
}

/* --- random courses --- */

#define THREADS 3
#define FLIGHTS 8

/* As timesheet.h has it, but each event is booked to each exchange at once. */
struct plain {
    int thread; /* -1: none */
    int64_t split[SPLIT_COUNT], pending[SPLIT_COUNT];
    bool answering, full, live;
    bool handed_over;
    int64_t waited; /* so long at the last event */
};

static struct {
    struct timesheet sheets[THREADS];
    int64_t cursor[THREADS];
    struct flight flights[FLIGHTS];
    struct plain plain[FLIGHTS];
    struct flight *batch[THREADS][FLIGHTS];
    size_t count[THREADS];
    int64_t now;
    unsigned finished;
} w;

static size_t index_of(const struct flight *f) { return (size_t)(f - w.flights); }

static bool holds(struct timesheet_flights list, size_t i)
{
    for (size_t k = 0; k < list.count; k++)
        if (index_of(list.list[k]) == i)
            return true;
    return false;
}

static void plain_confirm(struct plain *p)
{
    for (size_t k = 0; k < SPLIT_COUNT; k++) {
        p->split[k] += p->pending[k];
        p->pending[k] = 0;
    }
}

static int64_t plain_sum(const struct plain *p)
{
    int64_t sum = 0;

    for (size_t k = 0; k < SPLIT_COUNT; k++)
        sum += p->split[k];
    return sum;
}

/* It goes on in that thread: what nobody has seen of it ends where the thread's stretch begins. */
static void plain_adopt(size_t i, int thread)
{
    struct plain *p = &w.plain[i];
    int64_t booked = w.flights[i].x.in_ns + plain_sum(p), until = w.cursor[thread] > booked ? w.cursor[thread] : booked;

    memset(p->pending, 0, sizeof p->pending);
    p->handed_over |= p->thread >= 0;
    p->split[SPLIT_unseen] += until - booked;
    p->thread = thread;
}

static void plain_event(int thread, const struct timesheet_call *c, struct timesheet_flights owners,
                        struct timesheet_flights touched, bool write)
{
    size_t with = 0;
    for (size_t i = 0; i < FLIGHTS; i++)
        with += w.plain[i].live && w.plain[i].thread == thread;
    for (size_t i = 0; write && i < touched.count; i++)
        if (w.plain[index_of(touched.list[i])].thread != thread)
            plain_adopt(index_of(touched.list[i]), thread);
    for (size_t i = 0; i < FLIGHTS; i++) {
        struct plain *p = &w.plain[i];
        bool theirs = holds(owners, i) || (write && holds(touched, i));
        bool somebody = owners.count || write, sole = !somebody && with == 1;
        if (!p->live || p->thread != thread)
            continue;
        /* one that was adopted has been booked until its old thread's last event, which may lie behind the stretch's
         * beginning */
        int64_t booked = w.flights[i].x.in_ns + plain_sum(p);
        for (size_t k = 0; k < SPLIT_COUNT; k++)
            booked += p->pending[k];
        int64_t start = c->start_ns > booked ? c->start_ns : booked;
        p->pending[theirs || sole ? SPLIT_compute : somebody ? SPLIT_busy : SPLIT_unseen] += start - booked;
        if (theirs && c->ends && !write && !p->answering)
            plain_confirm(p);
        enum split_kind awaited = p->full ? SPLIT_send : SPLIT_descriptors;
        enum split_kind kind = c->waits ? awaited : write && holds(touched, i) ? SPLIT_send
                               : theirs || sole ? (touched.count ? SPLIT_busy : c->kind)
                               : somebody || touched.count ? SPLIT_busy : SPLIT_unseen;
        p->pending[kind] += c->end_ns - start;
    }
    w.cursor[thread] = c->end_ns;
    for (size_t i = 0; i < touched.count; i++) {
        struct plain *p = &w.plain[index_of(touched.list[i])];
        if (!write && p->thread != thread)
            plain_adopt(index_of(touched.list[i]), thread);
        plain_confirm(p);
        p->answering |= write;
        if (write)
            p->full = c->full;
    }
}

static void compare(void)
{
    for (size_t i = 0; i < FLIGHTS; i++) {
        const struct flight *f = &w.flights[i];
        if (!w.plain[i].live)
            continue;
        for (int k = 0; k < SPLIT_COUNT; k++)
            assert_int_equal(split_ns(&f->x.split, (enum split_kind)k), w.plain[i].split[k]);
        int64_t waited = w.plain[i].split[SPLIT_descriptors] + w.plain[i].pending[SPLIT_descriptors];
        if (!f->time.closed)
            assert_int_equal(timesheet_waited_ns(f), waited);
        assert_int_equal(f->time.handed_over, w.plain[i].handed_over);
        assert_true(w.plain[i].handed_over || waited >= w.plain[i].waited);
        w.plain[i].waited = waited;
        if (f->time.sheet) /* nothing is missing, and nothing is there twice */
            assert_int_equal(split_sum(&f->x.split), f->time.booked_ns - f->x.in_ns);
        if (f->time.sheet)
            assert_int_equal(split_sum(&f->time.pending), f->time.pending_ns - f->time.booked_ns);
    }
}

static struct flight *any(bool live)
{
    for (size_t tries = 0; tries < 20; tries++) {
        size_t i = (size_t)rand() % FLIGHTS;
        if (w.plain[i].live == live)
            return &w.flights[i];
    }
    return NULL;
}

static void replace_batch(int thread, struct flight *f)
{
    w.count[thread] = f != NULL;
    w.batch[thread][0] = f;
}

static void forget(struct flight *f)
{
    w.plain[index_of(f)].live = false;
    for (int thread = 0; thread < THREADS; thread++)
        if (w.count[thread] && w.batch[thread][0] == f)
            w.count[thread] = 0;
}

static void random_event(void)
{
    int thread = rand() % THREADS;
    struct timesheet *t = &w.sheets[thread];
    struct flight *f = NULL;
    struct timesheet_flights batch = {w.batch[thread], w.count[thread]};
    struct timesheet_call c = {.kind = rand() % 2 ? SPLIT_disk : SPLIT_lock};

    w.now += rand() % 10;
    c.end_ns = w.now;
    c.start_ns = w.now - rand() % 10;
    c.start_ns = c.start_ns > w.cursor[thread] ? c.start_ns : w.cursor[thread];
    switch (rand() % 5) {
    case 0:
        c.waits = c.ends = true;
        plain_event(thread, &c, batch, NOBODY, false);
        timesheet_book(t, &c, batch, NOBODY);
        replace_batch(thread, NULL);
        break;
    case 1: /* the threads' owners are those read where they had none, else what they worked on */
        f = any(false);
        if (!f)
            break;
        c.ends = true;
        begun(f, c.end_ns, true);
        w.plain[index_of(f)] = (struct plain){.thread = -1, .live = true};
        batch = batch.count ? batch : only(&f);
        plain_event(thread, &c, batch, only(&f), false);
        timesheet_book(t, &c, batch, only(&f));
        replace_batch(thread, f);
        break;
    case 2:
    case 3:
        f = any(true);
        if (!f)
            break;
        c.kind = SPLIT_send;
        c.ends = true;
        c.full = rand() % 3 == 0;
        plain_event(thread, &c, NOBODY, only(&f), true);
        if (rand() % 2) {
            f->response_done = true;
            f->x.done_ns = c.end_ns;
        }
        timesheet_write(t, &c, only(&f));
        replace_batch(thread, f);
        compare();
        if (f->response_done) {
            assert_int_equal(split_sum(&f->x.split), f->x.done_ns - f->x.in_ns);
            w.finished++;
            forget(f);
        }
        break;
    default:
        plain_event(thread, &c, batch, NOBODY, false);
        timesheet_book(t, &c, batch, NOBODY);
    }
    compare();
}

static void test_random(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 500; round++) {
        memset(&w, 0, sizeof w);
        for (int thread = 0; thread < THREADS; thread++)
            called(&w.sheets[thread], 0, 0, SPLIT_io, NOBODY);
        for (unsigned i = 0; i < 300; i++)
            random_event();
        assert_true(w.finished > 10);
    }
}

/* --- sums --- */

static void test_splits(void **state)
{
    struct splits *s = splits_new();
    int64_t from_ns;
    (void)state;

    for (int i = 0; i < 1000; i++) {
        struct split split = {0};
        split_add(&split, SPLIT_compute, 1000);
        if (i % 50 == 0)
            split_add(&split, SPLIT_lock, 9000);
        splits_add(s, &split, split_sum(&split), i % 50 == 0 ? 10 : 0);
    }
    struct splits_sum all = splits_all(s), slowest = splits_slowest(s, 0.01, &from_ns);
    assert_int_equal(all.count, 1000);
    assert_true(all.ns[SPLIT_compute] == 1e6 && all.ns[SPLIT_lock] == 180000);
    assert_int_equal(slowest.count, 20);
    assert_true(slowest.ns[SPLIT_compute] == 20000 && slowest.ns[SPLIT_lock] == 180000);
    assert_true(from_ns <= 10000 && from_ns > 7500);
    splits_add(s, &(struct split){.used = 1, .ns = {INT64_MAX}}, INT64_MAX, 0);
    assert_int_equal(splits_slowest(s, 0.0001, &from_ns).count, 1);
    assert_true(from_ns > INT64_MAX / 4 * 3);
    splits_revoke(s);
    splits_revoke(s); /* what is revoked can be no more */
    all = splits_all(s);
    assert_true(all.ns[SPLIT_descriptors] == 200 && all.ns[SPLIT_upstream] == -200 && all.revocable_ns == 0);
    splits_free(s);
}

static void test_slowest(void **state)
{
    struct slowest *s = calloc(1, sizeof *s);
    (void)state;

    for (int64_t i = 0; i < 5000; i++) {
        struct exchange x = {.in_ns = i};
        x.total_ns = i * 7919 % 5000;
        slowest_add(s, &x);
    }
    slowest_sort(s);
    assert_int_equal(s->count, SLOWEST_MAX);
    for (size_t i = 0; i < s->count; i++) {
        assert_int_equal(s->heap[i].total_ns, 4999 - i);
        assert_int_equal(s->heap[i].x->in_ns * 7919 % 5000, 4999 - i);
    }
    slowest_free(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_of_its_own), cmocka_unit_test(test_alone),  cmocka_unit_test(test_event_loop),
        cmocka_unit_test(test_handed_over),       cmocka_unit_test(test_full),
        cmocka_unit_test(test_ends_with_the_connection), cmocka_unit_test(test_thread_ends),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_random),            cmocka_unit_test(test_splits), cmocka_unit_test(test_slowest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
