/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings: made, moved, unmapped, shared with System V's calls; and each of these where it cannot be done. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "tally.h"

#define PAGE 4096

static void *mapped(const char *name, void *p)
{
    if (p == MAP_FAILED)
        abort();
    tally(name);
    return p;
}

static void done(const char *name, int result)
{
    if (result)
        abort();
    tally(name);
}

/* An unmapping is told before it is tried, and once more if it fails. */
static void fails(const char *name, int result, int error)
{
    if (result != -1 || errno != error)
        abort();
    tally_add(name, 2);
    tally_add("failed", 1);
}

int main(void)
{
    char *p, *q;

    tally_mark();
    p = mapped("map:mmap", mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    q = mapped("map:mmap64", mmap64(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    fails("map:munmap", munmap(p + 1, PAGE), EINVAL);
    fails("map:munmap", munmap(p, 0), EINVAL);
    p = mapped("map:mremap", mremap(p, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE));
    if (mremap(p + 1, PAGE, PAGE, 0) != MAP_FAILED || errno != EINVAL)
        abort();
    done("map:munmap", munmap(p, 64 * PAGE));
    done("map:munmap", munmap(q, PAGE));
    int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    p = mapped("map:shmat", shmat(id, NULL, 0));
    if (shmat(id, p, 0) != (void *)-1) /* it is taken */
        abort();
    done("map:shmdt", shmdt(p));
    fails("map:shmdt", shmdt(p), EINVAL);
    if (shmctl(id, IPC_RMID, NULL))
        abort();
    tally_mark();
    tally_print();
    return 0;
}
