/* SPDX-License-Identifier: MIT
 *
 * start.c - why the runtime starts here and not in a constructor: a program
 * that only links the library keeps one thread, fork() and daemon() before
 * first use work, and Go's threads take their signal mask and environment from
 * a moment we choose. extld.sh takes Go's own entry out of the library and
 * makes the runtime's start routine visible to this file.
 *
 * The runtime has no way to say that it cannot start: it ends the process. So
 * what it takes is tried for here before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "start.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../internal/doorbell/doorbell.h"
#include "../internal/host/host.h"
#include "../internal/ringbuffer/live.h"
#include "vector.h"

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

/* What the runtime does about each signal (runtime/sigtab_linux_generic.go). */
struct go_signal {
    int32_t flags;
    struct {
        const char *text;
        intptr_t length;
    } name;
};
#define GO_PANIC 8
#define GO_UNBLOCK 128
extern struct go_signal go_signals[] __asm__("runtime.sigtable")
    __attribute__((weak, visibility("hidden")));

/* The descriptors that the runtime and the library open at first use. */
#define DESCRIPTORS 8

/* The runtime's own threads besides those that msp_host_threads() counts. */
#define THREADS 6

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held during a start */
static int running;                                      /* 1: the runtime was started */
static pid_t started_in; /* the process that did so, or is about to; else 0 */
static int forked;       /* 1 in a child forked after that */

static void in_child(void)
{
    if (__atomic_load_n(&running, __ATOMIC_SEQ_CST))
        __atomic_store_n(&forked, 1, __ATOMIC_SEQ_CST);
    ring_after_fork();
}

void msp_block_signals(sigset_t *saved)
{
    /* What a fault raises must reach the thread that faulted. */
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
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

/* Go's threads unblock these two, whatever mask they inherit: a handler of the
 * program's would run on a goroutine's small stack, and a program that waits for
 * them in sigwait() or a signalfd would lose them. The table is one of the
 * runtime's variables; where it does not look as it should it stays as it is. */
static void keep_blocked(void)
{
    static const int signals[] = {SIGCHLD, SIGPROF};
    if (!go_signals || go_signals[SIGSEGV].flags != (GO_PANIC | GO_UNBLOCK) ||
        go_signals[SIGKILL].flags != 0)
        return;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        go_signals[signals[i]].flags &= ~GO_UNBLOCK;
}

/* All of Go's threads descend from this one and inherit its policy; a first
 * caller under SCHED_FIFO, say, keeps its own to itself. */
static void *enter(void *arguments)
{
    char **vector = arguments;
    msp_batch();
    GO_ENTRY(1, vector, MSP_VECTOR_ENVIRONMENT(vector));
    return NULL;
}

static int fail(char *error, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(char *error, int errnum, const char *fmt, ...)
{
    char what[MSP_ERROR_SIZE / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(error, MSP_ERROR_SIZE, "the library cannot start: %s: %s", what, strerror(errnum));
    return -errnum;
}

/* Tries for what the runtime takes, and gives it back. */
static int try_all(char *error)
{
    int err = msp_host_try_descriptors(DESCRIPTORS);
    if (err == EMFILE)
        return fail(error, err, "it needs %d descriptors (raise ulimit -n, or close some)",
                    DESCRIPTORS);
    if (err == ENFILE)
        return fail(error, err, "the machine has not %d descriptors left (raise fs.file-max)",
                    DESCRIPTORS);
    if (err)
        return fail(error, err, "no eventfd is to be had (does a seccomp filter forbid it?)");
    int mib = msp_host_try_addresses(THREADS);
    if (mib)
        return fail(error, ENOMEM,
                    "it needs %d MiB of addresses, most of them never used (raise ulimit -v; with "
                    "mlockall, ulimit -l)",
                    mib);
    int threads = msp_host_threads() + THREADS;
    err = msp_host_try_threads(threads);
    if (err)
        return fail(error, err,
                    "it needs %d threads, most of them asleep (raise ulimit -u, or the cgroup's "
                    "pids.max)",
                    threads);
    return 0;
}

/* Names of variables that were left out of Go's environment. */
static char left_out[MSP_ERROR_SIZE / 2];

static int start(char *error)
{
    static int hooked;
    if (!hooked) /* failing costs the plain fork check, not the one by pid */
        hooked = pthread_atfork(NULL, NULL, in_child) == 0;
    msp_host_keep_standard();
    if (!GO_ENTRY)
        return 0;
    int rc = try_all(error);
    if (rc)
        return rc;
    char **vector = msp_vector_make(left_out, sizeof(left_out));
    if (!vector)
        return fail(error, ENOMEM, "no memory");
    keep_blocked();
    sigset_t saved;
    pthread_t thread;
    msp_block_signals(&saved);
    rc = pthread_create(&thread, NULL, enter, vector);
    if (rc == 0)
        pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (rc)
        return fail(error, rc, "no thread is to be had");
    return 0;
}

static int is_child(void)
{
    pid_t pid = __atomic_load_n(&started_in, __ATOMIC_SEQ_CST);
    /* The pid also finds out a child of vfork() or a bare clone(), and one that
     * was forked while another thread was in start(). */
    return __atomic_load_n(&forked, __ATOMIC_SEQ_CST) || (pid && pid != getpid());
}

int msp_go_start(char *error, const char **ignored)
{
    *ignored = "";
    if (is_child()) {
        snprintf(error, MSP_ERROR_SIZE,
                 "this is a child forked after the library's first use, where its threads "
                 "are not: call fork() or daemon() before the first record_* call, or exec()");
        return -ENOTSUP;
    }
    if (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
        if (!msp_bell_lost())
            return 0;
        snprintf(error, MSP_ERROR_SIZE,
                 "the program has closed descriptors of the library (closefrom, or a loop over "
                 "close, after the first record_* call?): do that before, or run exec()");
        return -EBADF;
    }
    int rc = 0;
    pthread_mutex_lock(&lock);
    if (!running) {
        __atomic_store_n(&started_in, getpid(), __ATOMIC_SEQ_CST);
        rc = start(error);
        if (rc) { /* a later call tries again, and a child forked by then may */
            __atomic_store_n(&started_in, 0, __ATOMIC_SEQ_CST);
        } else {
            *ignored = left_out;
            __atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
