/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes threads, or children, at a steady pace, and waits for them in one of several ways, some of which pass no hook:
 *
 *   unseen_waits threads|children never|seen|deepbind|dlmopen LIBRARY TURNS
 *
 * LIBRARY is this file as a shared library, whose pthread_join and waitpid are libc's own where it is loaded with RTLD_DEEPBIND or into
 * a namespace of its own. A child is waited for some turns after its end, so that it is seen as a zombie first.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LATER 20
#define TURN_US 12000

void wait_for_thread(pthread_t thread);
void wait_for_child(pid_t child);

void wait_for_thread(pthread_t thread)
{
    if (pthread_join(thread, NULL))
        abort();
}

void wait_for_child(pid_t child)
{
    if (waitpid(child, NULL, 0) != child)
        abort();
}

static void (*join)(pthread_t);
static void (*reap)(pid_t);

static void *end_at_once(void *unused) { return unused; }

static __attribute__((noinline)) void make_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, end_at_once, NULL))
        abort();
    if (join)
        join(thread);
    __asm__ volatile("");
}

static __attribute__((noinline)) pid_t start_child(void)
{
    pid_t child = fork();

    if (child < 0)
        abort();
    if (child == 0)
        _exit(0);
    return child;
}

static void choose(const char *way, const char *path)
{
    void *library = strcmp(way, "deepbind") == 0  ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
                    : strcmp(way, "dlmopen") == 0 ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW)
                                                  : NULL;

    if (strcmp(way, "never") == 0)
        return;
    join = library ? (void (*)(pthread_t))dlsym(library, "wait_for_thread") : wait_for_thread;
    reap = library ? (void (*)(pid_t))dlsym(library, "wait_for_child") : wait_for_child;
    if (!join || !reap)
        abort();
}

int main(int argc, char **argv)
{
    pid_t child[LATER] = {0};
    int turns = argc == 5 ? atoi(argv[4]) : 0;

    if (!turns)
        return 2;
    choose(argv[2], argv[3]);
    for (int turn = 0; turn < turns + LATER; turn++) {
        pid_t *slot = &child[turn % LATER];
        if (*slot && reap)
            reap(*slot);
        *slot = 0;
        if (turn < turns && strcmp(argv[1], "threads") == 0)
            make_thread();
        else if (turn < turns)
            *slot = start_child();
        usleep(TURN_US);
    }
    puts("done");
    return 0;
}
