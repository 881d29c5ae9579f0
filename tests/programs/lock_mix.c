/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every wait for another thread, for a time, a signal, a file, a message or a name. To be run with PERFSHIM_MIN_WAIT=0,
 * under which all are recorded but those for locks that were free.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "tally.h"

static const struct timespec moment = {0, 10000000};

static void expect(const char *name, long got, long wanted)
{
    if (got != wanted) {
        fprintf(stderr, "%s: %ld, not %ld (errno %d)\n", name, got, wanted, errno);
        abort();
    }
    tally(name);
}

static struct timespec soon(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_nsec += moment.tv_nsec;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static pthread_t start(void *(*work)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, argument))
        abort();
    return thread;
}

/* --- mutexes: what a free one of each type does is not a wait --- */

static sem_t held, enough;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Somebody waits for it in the kernel: glibc's mark of that, in mutexes of all types. */
static int is_waited_for(const pthread_mutex_t *m)
{
    int lock = __atomic_load_n(&m->__data.__lock, __ATOMIC_ACQUIRE);

    return lock == 2 || lock < 0;
}

static void *hold_mutex(void *m)
{
    if (pthread_mutex_lock(m))
        abort();
    sem_post(&held);
    while (!is_waited_for(m))
        sched_yield();
    pthread_mutex_unlock(m);
    return NULL;
}

static void typed_mutex(int type, int robust, int protocol)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t m;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutexattr_setrobust(&attributes, robust);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    if (pthread_mutex_init(&m, &attributes))
        abort();
    pthread_t thread = start(hold_mutex, &m);
    expect("wait:sem_wait", sem_wait(&held), 0);
    expect("wait:pthread_mutex_lock", pthread_mutex_lock(&m), 0);
    if (type == PTHREAD_MUTEX_RECURSIVE && (pthread_mutex_lock(&m) || pthread_mutex_unlock(&m)))
        abort();
    if (type == PTHREAD_MUTEX_ERRORCHECK) {
        if (pthread_mutex_lock(&m) != EDEADLK)
            abort();
        tally_add("wait:pthread_mutex_lock", !robust && !protocol); /* the others' trylock says so at once */
    }
    pthread_mutex_unlock(&m);
    expect("wait:pthread_join", pthread_join(thread, NULL), 0);
    pthread_mutex_destroy(&m);
}

static void *die_holding(void *m)
{
    pthread_mutex_lock(m);
    return NULL;
}

static void robust_mutex(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t m;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &attributes);
    expect("wait:pthread_join", pthread_join(start(die_holding, &m), NULL), 0);
    if (pthread_mutex_lock(&m) != EOWNERDEAD || pthread_mutex_unlock(&m))
        abort();
    if (pthread_mutex_lock(&m) != ENOTRECOVERABLE)
        abort();
}

static void mutexes(void)
{
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                                PTHREAD_MUTEX_ADAPTIVE_NP};
    struct timespec deadline;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        typed_mutex(types[i], PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
        typed_mutex(types[i], PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
        typed_mutex(types[i], PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    }
    robust_mutex();
    pthread_mutex_lock(&mutex);
    deadline = soon(CLOCK_REALTIME);
    expect("wait:pthread_mutex_timedlock", pthread_mutex_timedlock(&mutex, &deadline), ETIMEDOUT);
    deadline = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_mutex_clocklock", pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    expect("wait:pthread_mutex_clocklock", pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &deadline), EINVAL);
    if (pthread_mutex_timedlock(&mutex, &deadline)) /* free: the deadline, long ago by this clock, means nothing */
        abort();
    pthread_mutex_unlock(&mutex);
}

/* --- read-write locks --- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *hold_rwlock(void *unused)
{
    (void)unused;
    pthread_rwlock_wrlock(&rwlock);
    sem_post(&held);
    sem_wait(&enough);
    pthread_rwlock_unlock(&rwlock);
    return NULL;
}

static void rwlocks(void)
{
    struct timespec real, steady;
    pthread_t thread = start(hold_rwlock, NULL);

    expect("wait:sem_wait", sem_wait(&held), 0);
    real = soon(CLOCK_REALTIME);
    expect("wait:pthread_rwlock_timedrdlock", pthread_rwlock_timedrdlock(&rwlock, &real), ETIMEDOUT);
    real = soon(CLOCK_REALTIME);
    expect("wait:pthread_rwlock_timedwrlock", pthread_rwlock_timedwrlock(&rwlock, &real), ETIMEDOUT);
    steady = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_rwlock_clockrdlock", pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &steady), ETIMEDOUT);
    steady = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_rwlock_clockwrlock", pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &steady), ETIMEDOUT);
    sem_post(&enough);
    tally("wait:sem_wait");
    expect("wait:pthread_join", pthread_join(thread, NULL), 0);
    if (pthread_rwlock_rdlock(&rwlock) || pthread_rwlock_rdlock(&rwlock)) /* free: no wait */
        abort();
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
    if (pthread_rwlock_wrlock(&rwlock))
        abort();
    expect("wait:pthread_rwlock_wrlock", pthread_rwlock_wrlock(&rwlock), EDEADLK);
    expect("wait:pthread_rwlock_rdlock", pthread_rwlock_rdlock(&rwlock), EDEADLK);
    pthread_rwlock_unlock(&rwlock);
}

/* --- condition variables, semaphores, barriers --- */

static pthread_cond_t cond;
static int signalled;

static void *signal_cond(void *unused)
{
    (void)unused;
    while (pthread_mutex_trylock(&mutex)) /* never a wait */
        sched_yield();
    signalled = 1;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* The first version of condition variables knew no other clock than that of the day. */
static void conditions(void)
{
    pthread_condattr_t attributes;
    struct timespec steady;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attributes);
    pthread_mutex_lock(&mutex);
    pthread_t thread = start(signal_cond, NULL);
    while (!signalled)
        expect("wait:pthread_cond_wait", pthread_cond_wait(&cond, &mutex), 0);
    steady = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_cond_timedwait", pthread_cond_timedwait(&cond, &mutex, &steady), ETIMEDOUT);
    steady = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_cond_clockwait", pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &steady), ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    expect("wait:pthread_join", pthread_join(thread, NULL), 0);
}

static void semaphores(void)
{
    struct timespec real = soon(CLOCK_REALTIME), steady = soon(CLOCK_MONOTONIC);

    expect("wait:sem_timedwait", sem_timedwait(&held, &real), -1);
    expect("wait:sem_clockwait", sem_clockwait(&held, CLOCK_MONOTONIC, &steady), -1);
    if (errno != ETIMEDOUT)
        abort();
}

static pthread_barrier_t barrier;

static void *meet(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void *last(void *unused)
{
    (void)unused;
    sem_wait(&enough);
    return NULL;
}

static void threads(void)
{
    struct timespec deadline;
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    thread = start(meet, NULL);
    pthread_barrier_wait(&barrier);
    tally_add("wait:pthread_barrier_wait", 2);
    expect("wait:pthread_join", pthread_join(thread, NULL), 0);
    thread = start(last, NULL);
    deadline = soon(CLOCK_REALTIME);
    expect("wait:pthread_timedjoin_np", pthread_timedjoin_np(thread, NULL, &deadline), ETIMEDOUT);
    deadline = soon(CLOCK_MONOTONIC);
    expect("wait:pthread_clockjoin_np", pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
    sem_post(&enough);
    tally("wait:sem_wait");
    expect("wait:pthread_join", pthread_join(thread, NULL), 0);
}

/* --- cancellation: the call never ends, so it is no wait of ours --- */

static void unlock(void *m) { pthread_mutex_unlock(m); }

static void *cancelled_cond(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, &mutex);
    for (;;)
        pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
    return NULL;
}

static void *cancelled_sleep(void *unused)
{
    (void)unused;
    sleep(1000);
    return NULL;
}

/* The request is there before the call: it must not count the semaphore down. */
static void *cancelled_sem(void *unused)
{
    (void)unused;
    pthread_cancel(pthread_self());
    sem_wait(&enough);
    return NULL;
}

static void cancellations(void)
{
    void *(*const work[])(void *) = {cancelled_cond, cancelled_sleep, cancelled_sem};
    int left;

    sem_post(&enough);
    for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
        void *result;
        pthread_t thread = start(work[i], NULL);
        pthread_cancel(thread);
        expect("wait:pthread_join", pthread_join(thread, &result), 0);
        if (result != PTHREAD_CANCELED)
            abort();
    }
    if (sem_getvalue(&enough, &left) || left != 1 || pthread_mutex_trylock(&mutex))
        abort();
    pthread_mutex_unlock(&mutex);
}

/* --- times and signals --- */

static void times(void)
{
    struct timespec until = soon(CLOCK_MONOTONIC);

    expect("wait:nanosleep", nanosleep(&moment, NULL), 0);
    expect("wait:nanosleep", nanosleep(NULL, NULL), -1);
    expect("wait:clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL), 0);
    expect("wait:clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    expect("wait:usleep", usleep(1000), 0);
    expect("wait:sleep", sleep(0), 0);
}

static void on_signal(int number) { (void)number; }

static void signals(void)
{
    const struct itimerval tick = {{0, 5000}, {0, 5000}}, no_tick = {{0, 0}, {0, 0}};
    sigset_t one, none;
    int number;

    signal(SIGUSR1, on_signal);
    signal(SIGALRM, on_signal);
    setitimer(ITIMER_REAL, &tick, NULL);
    expect("wait:pause", pause(), -1);
    setitimer(ITIMER_REAL, &no_tick, NULL);
    sigemptyset(&none);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, NULL);
    raise(SIGUSR1);
    expect("wait:sigsuspend", sigsuspend(&none), -1);
    raise(SIGUSR1);
    expect("wait:sigwait", sigwait(&one, &number), 0);
    raise(SIGUSR1);
    expect("wait:sigwaitinfo", sigwaitinfo(&one, NULL), SIGUSR1);
    expect("wait:sigtimedwait", sigtimedwait(&one, NULL, &moment), -1);
    if (errno != EAGAIN)
        abort();
}

/* --- files, messages, names --- */

static void files(void)
{
    struct flock lock = {.l_type = F_WRLCK};
    int fd = memfd_create("file", 0);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    expect("wait:flock", flock(fd, LOCK_EX), 0);
    expect("wait:lockf", lockf(fd, F_LOCK, 1), 0);
    expect("wait:lockf64", lockf64(fd, F_ULOCK, 1), 0);
    expect("wait:fcntl", fcntl(fd, F_SETLKW, &lock), 0);
    expect("wait:fcntl64", fcntl64(fd, F_SETLKW, &lock), 0);
    expect("wait:syscall", (int)syscall(SYS_fcntl, fd, F_SETLKW, &lock), 0);
    if (fcntl(fd, F_SETLK, &lock) != 0) /* does not wait */
        abort();
    expect("wait:fsync", fsync(fd), 0);
    expect("wait:fdatasync", fdatasync(fd), 0);
    expect("wait:fdatasync", fdatasync(-1), -1);
    expect("wait:syncfs", syncfs(fd), 0);
    expect("wait:sync_file_range", sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
    expect("wait:msync", msync(p, 4096, MS_SYNC), 0);
    sync();
    tally("wait:sync");
    munmap(p, 4096);
    close(fd);
}

static void posix_queue(void)
{
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
    char name[32], message[8] = "";
    struct timespec until = soon(CLOCK_REALTIME);

    snprintf(name, sizeof name, "/perfshim-test-%d", (int)getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    if (queue < 0) /* this kernel has none */
        return;
    mq_unlink(name);
    expect("wait:mq_send", mq_send(queue, message, 8, 0), 0);
    expect("wait:mq_timedsend", mq_timedsend(queue, message, 8, 0, &until), -1);
    expect("wait:mq_receive", mq_receive(queue, message, 8, NULL), 8);
    expect("wait:mq_timedreceive", mq_timedreceive(queue, message, 8, NULL, &until), -1);
    mq_close(queue);
}

static void messages(void)
{
    struct { long type; char text[8]; } message = {1, ""};
    struct sembuf up = {0, 1, 0}, down = {0, -1, 0};
    int queue = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 1, 0600);

    expect("wait:msgsnd", msgsnd(queue, &message, 8, 0), 0);
    expect("wait:msgrcv", msgrcv(queue, &message, 8, 0, 0), 8);
    msgctl(queue, IPC_RMID, NULL);
    expect("wait:semop", semop(set, &up, 1), 0);
    expect("wait:semop", semop(set, &down, 1), 0);
    expect("wait:semtimedop", semtimedop(set, &down, 1, &moment), -1);
    semctl(set, 0, IPC_RMID);
    posix_queue();
}

static void names(void)
{
    const struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;
    struct hostent entry, *found;
    char text[1024];
    int error;

    expect("wait:getaddrinfo", getaddrinfo("127.0.0.1", NULL, &hints, &list), 0);
    freeaddrinfo(list);
    expect("wait:getaddrinfo", getaddrinfo("no name", NULL, &hints, &list), EAI_NONAME);
    expect("wait:getnameinfo",
           getnameinfo((const struct sockaddr *)&local, sizeof local, text, 64, NULL, 0, NI_NUMERICHOST), 0);
    expect("wait:gethostbyname", gethostbyname("127.0.0.1") != NULL, 1);
    expect("wait:gethostbyname2", gethostbyname2("127.0.0.1", AF_INET) != NULL, 1);
    expect("wait:gethostbyname_r", gethostbyname_r("127.0.0.1", &entry, text, sizeof text, &found, &error), 0);
    expect("wait:gethostbyname2_r", gethostbyname2_r("127.0.0.1", AF_INET, &entry, text, sizeof text, &found, &error), 0);
    gethostbyaddr(&local.sin_addr, sizeof local.sin_addr, AF_INET);
    tally("wait:gethostbyaddr");
    gethostbyaddr_r(&local.sin_addr, sizeof local.sin_addr, AF_INET, &entry, text, sizeof text, &found, &error);
    tally("wait:gethostbyaddr_r");
}

int main(void)
{
    sem_init(&held, 0, 0);
    sem_init(&enough, 0, 0);
    tally_mark();
    mutexes();
    rwlocks();
    conditions();
    semaphores();
    threads();
    cancellations();
    times();
    signals();
    files();
    messages();
    names();
    tally_mark();
    tally_print();
    return 0;
}
