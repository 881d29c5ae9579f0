/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host before main, after exit, around dlopen and with an odd environment. It prints what it sees.
 *
 *   guest_start CASE [ARGUMENT]
 *
 * With -DIFUNC (by guest_start.t) the program has an indirect function whose resolver allocates.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void *early;
static int early_fd = -1;

#ifdef IFUNC
static int seven(void) { return 7; }
static int (*choose(void))(void)
{
    void *volatile p = malloc(100);
    free(p);
    return seven;
}
int indirect(void) __attribute__((ifunc("choose")));
#endif

__attribute__((constructor(101))) static void before_main(void)
{
    early = malloc(500);
    if (!getenv("GUEST_CLOSED"))
        early_fd = open("/dev/null", O_RDONLY);
}

static void out(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(8);
}

/* --- the end --- */

static pthread_key_t key;
static void *left_over;

static void key_ends(void *p)
{
    static int rounds;

    free(p);
    if (rounds++ < 3)
        pthread_setspecific(key, malloc(77));
    left_over = malloc(33);
}

static void *thread(void *unused)
{
    pthread_setspecific(key, malloc(10));
    return unused;
}

static void at_exit(void)
{
    FILE *f = fopen("/dev/null", "w");
    void *p = malloc(100);

    fprintf(f, "x");
    fclose(f);
    free(p);
    out("atexit\n");
    pid_t pid = fork();
    if (pid == 0) {
        p = malloc(50);
        free(p);
        out("child of atexit\n");
        _exit(3);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    out(WEXITSTATUS(status) == 3 ? "reaped\n" : "not reaped\n");
}

__attribute__((destructor(101))) static void after_all(void)
{
    void *p = malloc(100);
    int fd = open("/dev/null", O_RDONLY);

    free(p);
    free(early);
    if (fd >= 0)
        close(fd);
    free(left_over);
    out("destructor\n");
}

static int ends(const char *unused)
{
    (void)unused;
    pthread_t t;

    atexit(at_exit);
    pthread_key_create(&key, key_ends);
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
    printf("early %d\n", early != NULL && early_fd >= 0);
    fflush(stdout);
#ifdef IFUNC
    printf("indirect %d\n", indirect());
#endif
    return 5;
}

/* --- dlopen --- */

static int opens(const char *path, int flags)
{
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(path, flags);
        if (!library) {
            printf("dlopen %s\n", dlerror());
            return 1;
        }
        void *(*take)(size_t), (*give)(void *);
        int (*answer)(void);
        *(void **)&take = dlsym(library, "library_take");
        *(void **)&give = dlsym(library, "library_give");
        *(void **)&answer = dlsym(library, "library_answer");
        void *theirs = take(100), *ours = malloc(100), *more = take(3000);
        if (answer() != 42)
            return 2;
        memset(theirs, 1, 100);
        theirs = realloc(theirs, 5000);
        free(theirs);
        give(ours);
        dlclose(library);
        free(more);
    }
    printf("opened\n");
    return 0;
}

static int plain(const char *path) { return opens(path, RTLD_NOW); }
static int deepbind(const char *path) { return opens(path, RTLD_NOW | RTLD_DEEPBIND); }
static int lazy(const char *path) { return opens(path, RTLD_LAZY | RTLD_GLOBAL); }

/* A libc of its own in there: nothing may cross. */
static int namespace(const char *path)
{
    for (int i = 0; i < 3; i++) {
        void *library = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
        if (!library) {
            printf("dlmopen %s\n", dlerror());
            return 1;
        }
        void *(*take)(size_t), (*give)(void *);
        *(void **)&take = dlsym(library, "library_take");
        *(void **)&give = dlsym(library, "library_give");
        give(take(1000));
        free(malloc(100));
        dlclose(library);
    }
    printf("namespaces\n");
    return 0;
}

/* --- environment --- */

static int environments(const char *how)
{
    if (*how == 'c')
        clearenv();
    else if (*how == 'n')
        environ = NULL;
    else
        environ = (char *[]){"ONLY=this", NULL};
    void *volatile p = malloc(100);
    free(p);
    printf("%s\n", getenv("HOME") ? "home" : "no home");
    printf("setenv %d %s\n", setenv("NEW", "value", 1), getenv("NEW"));
    fflush(stdout);
    if (*how == 'n')
        environ = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "echo $NEW", NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    pid = vfork();
    if (pid == 0) {
        execv("/bin/true", (char *[]){"true", NULL});
        _exit(1);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* Runs this program again with an environment or arguments that only exec can give. */
static int again(const char *how)
{
    char *const none[] = {NULL}, *const standard[] = {"guest_start", "nothing", NULL};
    char preload[4096] = "LD_PRELOAD=", to[4096] = "PERFSHIM_OUT=";
    char *const few[] = {preload, to, NULL};

    strcat(preload, getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "");
    strcat(to, getenv("PERFSHIM_OUT") ? getenv("PERFSHIM_OUT") : "/dev/null");
    if (*how == 'a')
        execve("/proc/self/exe", none, environ);
    else if (*how == 'e')
        execve("/proc/self/exe", standard, none);
    else
        execve("/proc/self/exe", standard, few);
    return 9;
}

static int nothing(const char *unused)
{
    (void)unused;
    printf("nothing\n");
    return 0;
}

/* --- 0, 1 and 2 are closed: what is opened first gets their numbers, and holds what the host wrote and nothing else --- */

static int closed_child(const char *path)
{
    char text[64] = "";

    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) >= 0)
            return 20 + i;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd != 0 || dup(fd) != 1 || dup(fd) != 2)
        return 10;
    void *volatile p = malloc(100);
    free(p);
    if (write(fd, "mine", 4) != 4)
        return 11;
    return pread(fd, text, sizeof text, 0) == 4 && memcmp(text, "mine", 4) == 0 && lseek(fd, 0, SEEK_CUR) == 4 ? 0 : 12;
}

static int closed(const char *path)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        unsetenv("PERFSHIM_ARENA");
        setenv("GUEST_CLOSED", "1", 1);
        close(0);
        close(1);
        close(2);
        execl("/proc/self/exe", "guest_start", "closed_child", path, NULL);
        _exit(30);
    }
    waitpid(pid, &status, 0);
    printf("closed %d %d\n", WIFEXITED(status), WEXITSTATUS(status));
    return 0;
}

static const struct row {
    const char *name;
    int (*run)(const char *);
} rows[] = {{"ends", ends}, {"dlopen", plain}, {"deepbind", deepbind}, {"lazy", lazy}, {"namespace", namespace},
            {"environment", environments}, {"again", again}, {"nothing", nothing}, {"closed", closed},
            {"closed_child", closed_child}};

int main(int count, char **arguments)
{
    if (count < 2 || !arguments[1]) {
        printf("no arguments\n");
        return 4;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0)
            return rows[i].run(arguments[2]);
    return 2;
}
