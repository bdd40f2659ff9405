/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* More of them bring a library that sends bytes nothing. */
#define MOST_PROCESSORS 8
#define MOST_TRIED 64
#define STACK_SIZE (64 * 1024)

void msp_host_keep_standard(void)
{
    int saved = errno;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free number is this one. Not closed on exec: a program's
         * children want these three too. */
        int got = open("/dev/null", O_RDWR);
        if (got < 0) /* no /dev here: what a line of text cannot be written to */
            got = eventfd(0, EFD_NONBLOCK);
        if (got > fd) /* another thread was faster */
            close(got);
    }
    errno = saved;
}

int msp_host_try_descriptors(int count)
{
    int fds[MOST_TRIED];
    int n = 0, err = 0;
    while (!err && n < count && n < MOST_TRIED) {
        fds[n] = eventfd(0, EFD_CLOEXEC);
        if (fds[n] < 0)
            err = errno;
        else
            n++;
    }
    while (n > 0)
        close(fds[--n]);
    return err;
}

static void *wait_for(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

int msp_host_try_threads(int count)
{
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err)
        return err;
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[MOST_TRIED];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int n = 0;
    pthread_mutex_lock(&gate);
    while (!err && n < count && n < MOST_TRIED) {
        err = pthread_create(&threads[n], &attr, wait_for, &gate);
        if (!err)
            n++;
    }
    pthread_mutex_unlock(&gate);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err;
}

int msp_host_processors(void)
{
    cpu_set_t set;
    int n = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) /* more of them than the set has room for */
        n = MOST_PROCESSORS;
    return n < MOST_PROCESSORS ? n : MOST_PROCESSORS;
}

static int short_of_addresses;

int msp_host_threads(void)
{
    return short_of_addresses ? 0 : msp_host_processors() + MSP_HOST_SPARE;
}

/* Of Go's runtime itself, as measured; and of a thread besides its stack, where
 * the C library gives each an arena for malloc. */
#if UINTPTR_MAX > UINT32_MAX
#define RUNTIME_MIB 1280u
#define ARENA_MIB 64u
#else
#define RUNTIME_MIB 64u
#define ARENA_MIB 1u
#endif

/* Returns the MiB that the runtime with so many threads wants, 0 where they are
 * to be had. */
static int missing(int threads)
{
    pthread_attr_t attr;
    size_t stack = 8u << 20;
    if (pthread_attr_init(&attr) == 0) {
        (void)pthread_attr_getstacksize(&attr, &stack);
        pthread_attr_destroy(&attr);
    }
    size_t mib = RUNTIME_MIB + (size_t)threads * (ARENA_MIB + (stack >> 20));
    if (mib > SIZE_MAX >> 20)
        return (int)mib;
    void *space =
        mmap(NULL, mib << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return (int)mib;
    munmap(space, mib << 20);
    return 0;
}

int msp_host_try_addresses(int threads)
{
    short_of_addresses = 0;
    short_of_addresses = missing(threads + msp_host_threads()) != 0;
    return short_of_addresses ? missing(threads) : 0;
}
