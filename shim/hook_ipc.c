/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for messages and semaphores of System V, and for messages of POSIX. */
#include "ops.h"
#include "real.h"
#include "wait_record.h"

ssize_t msgrcv(int queue, void *message, size_t n, long type, int flags)
{
    struct wait_call w = wait_enter();

    return wait_leave_call(&w, OP_msgrcv, WAIT_message, -1, real.msgrcv(queue, message, n, type, flags), -1);
}

int msgsnd(int queue, const void *message, size_t n, int flags)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_msgsnd, WAIT_message, -1, real.msgsnd(queue, message, n, flags), -1);
}

int semop(int set, struct sembuf *operations, size_t n)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_semop, WAIT_lock, -1, real.semop(set, operations, n), -1);
}

int semtimedop(int set, struct sembuf *operations, size_t n, const struct timespec *timeout)
{
    struct wait_call w = wait_enter();
    int result = real.semtimedop(set, operations, n, timeout);

    return (int)wait_leave_call(&w, OP_semtimedop, WAIT_lock, -1, result, wait_timeout(result, timeout));
}

/* The queues of POSIX are descriptors. */
ssize_t mq_receive(mqd_t queue, char *message, size_t n, unsigned *priority)
{
    struct wait_call w = wait_enter();

    return wait_leave_call(&w, OP_mq_receive, WAIT_message, queue, real.mq_receive(queue, message, n, priority), -1);
}

ssize_t mq_timedreceive(mqd_t queue, char *message, size_t n, unsigned *priority, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return wait_until_call(&w, OP_mq_timedreceive, WAIT_message, queue,
                           real.mq_timedreceive(queue, message, n, priority, deadline), CLOCK_REALTIME, deadline);
}

int mq_send(mqd_t queue, const char *message, size_t n, unsigned priority)
{
    struct wait_call w = wait_enter();

    return (int)wait_leave_call(&w, OP_mq_send, WAIT_message, queue, real.mq_send(queue, message, n, priority), -1);
}

int mq_timedsend(mqd_t queue, const char *message, size_t n, unsigned priority, const struct timespec *deadline)
{
    struct wait_call w = wait_enter();

    return (int)wait_until_call(&w, OP_mq_timedsend, WAIT_message, queue,
                                real.mq_timedsend(queue, message, n, priority, deadline), CLOCK_REALTIME, deadline);
}
