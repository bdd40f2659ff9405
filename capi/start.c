/* SPDX-License-Identifier: MIT
 *
 * start.c - why the runtime starts here and not in a constructor: a program
 * that only links the library keeps one thread, fork() and daemon() before
 * first use work, and Go's threads take their signal mask and environment from
 * a moment we choose. extld.sh takes Go's own entry out of the library and
 * makes the runtime's start routine visible to this file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "start.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../internal/ringbuffer/live.h"

#if defined(__x86_64__)
#define GO_ENTRY _rt0_amd64_linux_lib
#elif defined(__i386__)
#define GO_ENTRY _rt0_386_linux_lib
#elif defined(__aarch64__)
#define GO_ENTRY _rt0_arm64_linux_lib
#elif defined(__arm__)
#define GO_ENTRY _rt0_arm_linux_lib
#elif defined(__riscv)
#define GO_ENTRY _rt0_riscv64_linux_lib
#else
#error "name the Go runtime's library entry for this processor"
#endif

/* Weak: in a Go test the runtime runs already, and the symbol is not there. */
extern void GO_ENTRY(int argc, char **argv, char **envp)
    __attribute__((weak, visibility("hidden")));
extern char **environ;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pid_t started_in; /* 0 until first use */
static int forked;       /* 1 in a child forked after that */

static void in_child(void)
{
    __atomic_store_n(&forked, 1, __ATOMIC_SEQ_CST);
    ring_after_fork();
}

void msp_block_signals(sigset_t *saved)
{
    /* What a fault raises must reach the thread that faulted; URG is how Go
     * interrupts its own code. */
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGURG};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(&blocked, kept[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, saved);
}

void msp_batch(void)
{
    (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

/* All of Go's threads descend from this one and inherit its policy; a first
 * caller under SCHED_FIFO, say, keeps its own to itself. */
static void *enter(void *arguments)
{
    char **vector = arguments;
    msp_batch();
    GO_ENTRY(1, vector, vector + 2);
    return NULL;
}

static void start(void)
{
    /* Failing to register costs the plain fork check, not the one by pid. */
    (void)pthread_atfork(NULL, NULL, in_child);
    __atomic_store_n(&started_in, getpid(), __ATOMIC_SEQ_CST);
    if (!GO_ENTRY)
        return;
    size_t n = 0;
    while (environ && environ[n])
        n++;
    /* The runtime walks from argv over the environment to the auxiliary vector.
     * Ours is empty, whereupon it reads /proc/self/auxv. Never freed: the
     * runtime keeps the strings. */
    static char name[] = "msprecord";
    char **vector = calloc(n + 5, sizeof(*vector));
    if (!vector)
        abort(); /* the runtime could not start either */
    vector[0] = name;
    if (n)
        memcpy(vector + 2, environ, n * sizeof(*vector));
    sigset_t saved;
    pthread_t thread;
    msp_block_signals(&saved);
    if (pthread_create(&thread, NULL, enter, vector) == 0)
        pthread_join(thread, NULL);
    else
        GO_ENTRY(1, vector, vector + 2); /* which needs a thread as well, and says so */
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static int is_child(void)
{
    pid_t pid = __atomic_load_n(&started_in, __ATOMIC_SEQ_CST);
    /* The pid also finds out a child of vfork() or a bare clone(). */
    return __atomic_load_n(&forked, __ATOMIC_SEQ_CST) || (pid && pid != getpid());
}

int msp_go_start(void)
{
    if (is_child())
        return -ENOTSUP;
    pthread_once(&once, start);
    return 0;
}
