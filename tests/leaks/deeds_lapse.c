/* SPDX-License-Identifier: Apache-2.0 */
/* Lapses as they happen: a path that nobody thinks of keeps what all others give back. */
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "deeds.h"

#define PATIENCE_MS 2
#define RARE 1000
#define SWEPT_MAX 4096
#define SWEPT_NS 1000000000
#define BUSY 10 /* one in so many */
#define POOL_THREADS 3
#define JOBS 64
#define JOB_BYTES 300
#define LATE 0.5
#define PLUGIN "/lib/x86_64-linux-gnu/libdl.so.2"
#define PLUGINS_MEASURED 16

static void *volatile lost;

/* An answer that does not come in time: what was prepared for it is lost. */
NOINLINE void time_out(struct deed *d)
{
    static int end[2];
    struct pollfd never = {.events = POLLIN};
    void *context = malloc(d->bytes);

    if (!end[1] && pipe(end))
        abort();
    never.fd = end[0];
    if (poll(&never, 1, PATIENCE_MS) > 0)
        free(context);
    else
        lost = truth_object(d, context, d->bytes);
}

/* Once in a while, by chance. */
NOINLINE void keep_large_rarely(struct deed *d)
{
    void *object = filled(d->bytes);

    if (random_below(RARE))
        free(object);
    else
        lost = truth_object(d, object, d->bytes);
}

NOINLINE void keep_from_half(struct deed *d)
{
    if (progress() > LATE)
        lost = truth_object(d, malloc(d->bytes), d->bytes);
}

/* A history to which is only ever added; its room doubles. */
NOINLINE void add_to_history(struct deed *d)
{
    static char *history;
    static size_t used, room;

    if (used + d->bytes > room) {
        size_t more = room ? 2 * room : d->bytes;
        if (room)
            truth_object_gone(d, history, room);
        if (!(history = realloc(history, more)))
            abort();
        memset(history + room, 1, more - room);
        truth_object(d, history, more);
        room = more;
    }
    used += d->bytes;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What has expired is freed, unless it is busy: that is passed over, and forgotten. */
NOINLINE void pass_over_busy(struct deed *d)
{
    static struct {
        void *object;
        int64_t until_ns;
        bool busy;
    } queue[SWEPT_MAX];
    static size_t first, last;
    int64_t now = now_ns();

    for (; first < last && queue[first % SWEPT_MAX].until_ns <= now; first++)
        if (!queue[first % SWEPT_MAX].busy)
            free(queue[first % SWEPT_MAX].object);
    if (last - first == SWEPT_MAX)
        abort();
    size_t i = last++ % SWEPT_MAX;
    queue[i].busy = random_below(BUSY) == 0;
    queue[i].object = malloc(d->bytes);
    queue[i].until_ns = now + SWEPT_NS;
    truth_object(d, queue[i].object, d->bytes);
    if (!queue[i].busy)
        truth_object_gone(d, queue[i].object, d->bytes);
}

/* --- a pool of threads: of each second job it keeps the result --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job {
        struct deed *deed;
        char input[JOB_BYTES];
    } *job[JOBS];
    size_t first, last;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static NOINLINE void do_job(struct job *j)
{
    static unsigned done;
    void *result = malloc(j->deed->bytes);

    pthread_mutex_lock(&queue.lock);
    if (done++ % 2)
        lost = truth_object(j->deed, result, j->deed->bytes);
    else
        free(result);
    pthread_mutex_unlock(&queue.lock);
    free(j);
}

static void *do_jobs(void *unused)
{
    for (;;) {
        pthread_mutex_lock(&queue.lock);
        while (queue.first == queue.last)
            pthread_cond_wait(&queue.changed, &queue.lock);
        struct job *j = queue.job[queue.first++ % JOBS];
        pthread_mutex_unlock(&queue.lock);
        do_job(j);
    }
    return unused;
}

/* Nobody waits for it. */
NOINLINE void queue_job(struct deed *d)
{
    static bool started;
    pthread_t thread;

    for (int i = 0; i < POOL_THREADS && !started; i++)
        if (pthread_create(&thread, NULL, do_jobs, NULL))
            abort();
    started = true;
    pthread_mutex_lock(&queue.lock);
    if (queue.last - queue.first < JOBS) {
        struct job *j = filled(sizeof *j);
        j->deed = d;
        queue.job[queue.last++ % JOBS] = j;
        pthread_cond_signal(&queue.changed);
    }
    pthread_mutex_unlock(&queue.lock);
}

/* --- plugins that are loaded anew and never unloaded --- */

/* A copy, as of a new version; of a file that it has, the loader would give that. */
static NOINLINE void load_plugin(void)
{
    char path[] = "/tmp/plugin-XXXXXX";
    int from = open(PLUGIN, O_RDONLY | O_CLOEXEC), to = mkostemp(path, O_CLOEXEC);
    struct stat s;

    if (from < 0 || to < 0 || fstat(from, &s) || sendfile(to, from, NULL, (size_t)s.st_size) != s.st_size)
        abort();
    if (close(to) || close(from) || !dlopen(path, RTLD_NOW | RTLD_LOCAL) || unlink(path))
        abort();
}

static size_t plugin_bytes;

/* How much of the heap one takes, with what the allocator keeps beside each object, while nobody else allocates. */
void measure_plugin(struct deed *d)
{
    load_plugin();
    size_t before = mallinfo2().uordblks;

    for (int i = 0; i < PLUGINS_MEASURED; i++)
        load_plugin();
    plugin_bytes = (mallinfo2().uordblks - before) / PLUGINS_MEASURED;
    d->objects = 0;
}

NOINLINE void reload_plugin(struct deed *d)
{
    load_plugin();
    d->objects++;
    d->requested += plugin_bytes;
    d->usable += plugin_bytes;
}

/* --- descriptors on the path of an error --- */

static struct sockaddr_in refusing = {.sin_family = AF_INET};

/* A port that is bound, and at which nobody listens. */
void prepare_refusal(struct deed *d)
{
    socklen_t size = sizeof refusing;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)d;
    refusing.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&refusing, size) || getsockname(fd, (struct sockaddr *)&refusing, &size))
        abort();
}

NOINLINE void be_refused(struct deed *d)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && !connect(fd, (struct sockaddr *)&refusing, sizeof refusing))
        close(fd);
    else
        truth_descriptor(d, fd, "tcp");
}
