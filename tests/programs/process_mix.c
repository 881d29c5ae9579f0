/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts programs and children, waits for them in every way, and prints what it did: "child WAY pid" and "reaped WAY pid
 * how status". `process_mix share` only makes a task by clone that shares its thread-local storage. `process_mix hello WAY` is a child.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#define LARGE 3000 /* entries of an environment that lies on no stack */
#define MUST(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static const char *program;
static char stack[65536] __attribute__((aligned(16)));

static void fail(const char *what, int line)
{
    dprintf(2, "process_mix: line %d: %s: %s\n", line, what, strerror(errno));
    abort();
}

/* An environment of the caller's own making, which passes on the preload and nothing else of the shim. */
static char **environment(size_t entries)
{
    static char *list[LARGE + 2], text[LARGE][16], preload[4200];
    const char *shim = getenv("LD_PRELOAD");

    for (size_t i = 0; i < entries; i++) {
        sprintf(text[i], "FILLER_%zu=1", i);
        list[i] = text[i];
    }
    list[entries] = NULL;
    if (shim) {
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", shim);
        list[0] = preload;
    }
    return list;
}

static pid_t start(const char *way, pid_t child)
{
    MUST(child > 0);
    printf("child %s %d\n", way, child);
    return child;
}

static void ended(const char *way, pid_t child, int status)
{
    printf("reaped %s %d %s %d\n", way, child, WIFSIGNALED(status) ? "killed" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static pid_t vfork_exec(const char *path, char **arguments, char **own)
{
    pid_t child = vfork();

    if (child == 0) {
        execve(path, arguments, own);
        _exit(9);
    }
    return child;
}

static void spawns(void)
{
    static const char *const ways[] = {"spawn_small", "spawn_large", "spawnp", "vfork_large", "vfork_in_vain"};
    char *arguments[] = {(char *)(uintptr_t)program, "hello", NULL, NULL};

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char **own = environment(i == 0 ? 3 : LARGE);
        pid_t child;
        int status;
        arguments[2] = (char *)(uintptr_t)ways[i];
        if (i == 0 || i == 1)
            MUST(posix_spawn(&child, program, NULL, NULL, arguments, own) == 0);
        else if (i == 2)
            MUST(posix_spawnp(&child, program, NULL, NULL, arguments, own) == 0);
        else
            child = vfork_exec(i == 3 ? program : "/nonexistent", arguments, own);
        start(ways[i], child);
        MUST(wait4(child, &status, 0, NULL) == child);
        ended(ways[i], child, status);
    }
    MUST(posix_spawn(NULL, "/nonexistent", NULL, NULL, arguments, environment(LARGE)) == ENOENT);
}

static int sleep_long(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return 0;
}

static void waits(void)
{
    static const char *const ways[] = {"wait", "wait3", "waitpid", "waitid"};

    for (int way = 0; way < 4; way++) {
        pid_t child = fork();
        if (child == 0)
            sleep_long(NULL);
        start(ways[way], child);
        int status = 0;
        siginfo_t info;
        kill(child, SIGKILL);
        if (way == 0)
            MUST(wait(&status) == child);
        else if (way == 1)
            MUST(wait3(&status, 0, NULL) == child);
        else if (way == 2)
            while (waitpid(child, &status, WNOHANG) == 0) /* that many waits end with nobody */
                sched_yield();
        else {
            MUST(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0); /* not reaped yet */
            MUST(waitid(P_PID, (id_t)child, NULL, WEXITED) == 0);
            status = info.si_status;
        }
        ended(ways[way], child, status);
    }
    MUST(wait(NULL) == -1 && errno == ECHILD);
}

static int nothing(void *given) { return given != NULL; }

static void threads_and_code(void)
{
    thrd_t thread;
    int result;

    MUST(thrd_create(&thread, nothing, NULL) == thrd_success && thrd_join(thread, &result) == thrd_success && result == 0);
    void *library = dlopen("libm.so.6", RTLD_NOW), *apart = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);
    double (*cosine)(double) = library ? (double (*)(double))dlsym(library, "cos") : NULL;
    MUST(library && apart && cosine && cosine(0) == 1 && !dlopen("/nonexistent.so", RTLD_NOW));
    MUST(dlclose(apart) == 0 && dlclose(library) == 0);
}

static void share(void)
{
    pid_t child = clone(sleep_long, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);

    MUST(child > 0);
    free(malloc(100));
    close(open("/dev/null", O_RDONLY));
    kill(child, SIGKILL);
    MUST(waitpid(child, NULL, 0) == child);
    puts("shared");
}

int main(int count, char **arguments)
{
    program = arguments[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 3)
        return 5;
    if (count == 2) {
        share();
        return 0;
    }
    spawns();
    waits();
    threads_and_code();
    return 0;
}
