/* SPDX-License-Identifier: MIT
 *
 * thread.h - how a thread of the library is made. A header and no more, so that
 * the OS layer, which is built without Go too, makes its threads the same way.
 */
#ifndef MSP_THREAD_H
#define MSP_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>

/* Only what is touched of a stack is memory; printf alone wants some 8 KiB. */
#define MSP_THREAD_STACK (256 * 1024)

/* Starts a thread that takes none of the program's signals: all are blocked on
 * it, save those that a fault of the thread itself raises. Stores the thread in
 * *thread, to be joined; where that is NULL the thread is detached. Returns 0,
 * or a positive errno. */
static inline int msp_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(&blocked, kept[i]);
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc)
        return rc;
    pthread_attr_setstacksize(&attr, MSP_THREAD_STACK);
    if (!thread)
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_t made;
    pthread_sigmask(SIG_SETMASK, &blocked, &before); /* the new thread takes it over */
    rc = pthread_create(&made, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0 && thread)
        *thread = made;
    return rc;
}

/* What such a thread begins with: it takes a name of at most 15 characters, and
 * goes under SCHED_BATCH, where it does not push a producer aside. */
static inline void msp_thread_begin(const char *name)
{
    (void)pthread_setname_np(pthread_self(), name);
    (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

#endif
