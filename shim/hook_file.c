/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for files: their locks, and their way to the disk. */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

int flock(int fd, int operation)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_flock, WAIT_file, fd, real.flock(fd, operation), -1);
}

int lockf(int fd, int command, off_t n)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_lockf, WAIT_file, fd, real.lockf(fd, command, n), -1);
}

int lockf64(int fd, int command, off64_t n)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_lockf64, WAIT_file, fd, real.lockf64(fd, command, n), -1);
}

int fsync(int fd)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_fsync, WAIT_file, fd, real.fsync(fd), -1);
}

int fdatasync(int fd)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_fdatasync, WAIT_file, fd, real.fdatasync(fd), -1);
}

int syncfs(int fd)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_syncfs, WAIT_file, fd, real.syncfs(fd), -1);
}

void sync(void)
{
    struct wait_call w = wait_enter();

    real.sync();
    wait_leave_call(&w, OP_sync, WAIT_file, -1, 0, -1);
}

int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_sync_file_range, WAIT_file, fd, real.sync_file_range(fd, offset, n, flags), -1);
}

int msync(void *address, size_t n, int flags)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_msync, WAIT_file, -1, real.msync(address, n, flags), -1);
}
