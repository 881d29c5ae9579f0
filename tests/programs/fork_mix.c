/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: forked children that allocate, free what they inherited, and end in several ways; vfork; exec of itself.
 * A child's counts die with it, so the parent counts what each of them is known to do.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tally.h"

#define CHILDREN 5
#define CHILD_ALLOCS 100

static void child(void *inherited)
{
    for (size_t i = 0; i < CHILD_ALLOCS; i++) {
        void *p = malloc(64);
        __asm__ volatile("" : "+r"(p));
        if (i % 2)
            free(p);
    }
    free(inherited);
}

/* What the parent knows of it. */
static void tally_child(size_t usable, size_t inherited)
{
    tally_add("alloc:malloc", CHILD_ALLOCS);
    tally_add("alloc_bytes", CHILD_ALLOCS * usable);
    tally_add("free:free", CHILD_ALLOCS / 2 + 1);
    tally_add("free_bytes", CHILD_ALLOCS / 2 * usable + inherited);
}

static void await(pid_t pid)
{
    if (pid <= 0 || waitpid(pid, NULL, 0) != pid)
        abort();
}

static void forks(void)
{
    void *p = tally_alloc("alloc:malloc", malloc(64)), *q = tally_alloc("alloc:malloc", malloc(5000));
    size_t usable = malloc_usable_size(p), inherited = malloc_usable_size(q);

    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            child(q);
            if (i == 0)
                kill(getpid(), SIGKILL);
            _exit(0);
        }
        await(pid);
        tally("fork:fork");
        tally_child(usable, inherited);
        if (i > 0)
            tally("exit:_exit");
    }
    tally_free(p);
    tally_free(q);
}

static void execs(char *self)
{
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl(self, self, "child", NULL);
            _exit(1);
        }
        await(pid);
        tally("fork:fork");
        tally("exec:execl");
        tally("exit:exit");
    }
}

/* The child is not recorded before its exec. */
static void vforks(char *self)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execl(self, self, "child", NULL);
        _exit(1);
    }
    await(pid);
    tally("fork:vfork");
    tally("exit:exit");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        exit(0);
    tally_mark();
    forks();
    execs(argv[0]);
    vforks(argv[0]);
    tally_mark();
    tally_print();
    return 0;
}
