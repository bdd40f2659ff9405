/* SPDX-License-Identifier: MIT
 *
 * writes.c - what an audio thread pays for ringbuffer_write.
 *
 *     writes quiet                  a million by a thread that may make no system call
 *     writes own SECONDS [session]  how long single ones take; with a session that
 *                                   sleeps on the ring, or with nobody
 *     writes pauses SECONDS         what the machine keeps from a thread on each processor
 */
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#include "bench.h"

#define PIECE 2560
#define ROOM (PIECE * 50)

static uint8_t source[PIECE], target[PIECE], plain[ROOM];
static dev_ringbuf_t ours;

/* As far apart from one to the next as the ring's pieces are. */
static void plain_write(void)
{
    static size_t at;
    memcpy(plain + at, source, PIECE);
    at = at + 2 * PIECE <= ROOM ? at + PIECE : 0;
    __asm__ volatile("" ::: "memory"); /* somebody may read it */
}

/* A process that the kernel kills at any system call but its last. */
static void quiet(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = 4, .filter = filter};
    volatile int *done =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    ringbuffer_write(&ours, source, PIECE); /* so that the linker has bound it */
    ringbuffer_read(&ours, target, PIECE);
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
            _exit(2);
        for (int i = 0; i < 1000000; i++) {
            ringbuffer_write(&ours, source, PIECE);
            ringbuffer_read(&ours, target, PIECE);
            ++*done;
        }
        syscall(SYS_exit_group, 0);
    }
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        field("missing", 1); /* no seccomp here */
        return;
    }
    field("writes", *done);
    field("killed", WIFSIGNALED(status));
}

static void *wait_on(void *event)
{
    uint64_t count;
    int fd = *(int *)event, poll = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
    for (;;)
        if (epoll_wait(poll, &e, 1, -1) == 1 && read(fd, &count, sizeof(count)) < 0)
            return NULL;
}

/* Times single writes, with a pause before each: by the clock on the wall, and
 * by the thread's own CPU time, which leaves out what the scheduler gave to
 * others meanwhile. Reading the latter is a system call itself, so a memcpy is
 * timed in the same way. */
static void own(double seconds, int with_session)
{
    enum { MEMCPY, RING, BARE, KINDS };
    static const char *names[] = {"memcpy", "ring", "bare"};
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID};
    static const char *units[] = {"us", "cpu_us"};
    static dev_ringbuf_t parked;
    int kinds = with_session ? KINDS : BARE, most = (int)(seconds * 2500), event = -1;
    double *us[KINDS][2];
    rec_hdl_t rec = NULL;
    pthread_t thread;
    for (int k = 0; k < kinds; k++)
        for (int c = 0; c < 2; c++)
            us[k][c] = must(calloc((size_t)most, sizeof(double)));
    if (with_session) {
        char from[64];
        ringbuffer_create(&parked, must(malloc(ROOM + 1)), ROOM + 1);
        snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&parked);
        rec = record_register(from, "null://");
        if (rec == NULL || record_start(rec) < 0) {
            fprintf(stderr, "rings: %s\n", record_last_error());
            exit(1);
        }
        event = eventfd(0, EFD_NONBLOCK);
        pthread_create(&thread, NULL, wait_on, &event);
    }
    for (int n = 0; n < most; n++)
        for (int i = 0; i < 2 * kinds; i++) {
            int kind = (n + i) % kinds, c = i / kinds; /* none is always the first */
            struct timespec t[2];
            sleep_us(50);
            clock_gettime(clocks[c], &t[0]);
            switch (kind) {
            case MEMCPY:
                plain_write();
                break;
            case RING:
                (void)!(with_session ? ringbuffer_write(&parked, source, PIECE)
                                     : ringbuffer_write(&ours, source, PIECE));
                break;
            case BARE:
                plain_write();
                (void)!write(event, &(uint64_t){1}, 8);
            }
            clock_gettime(clocks[c], &t[1]);
            us[kind][c][n] = (double)(t[1].tv_sec - t[0].tv_sec) * 1e6 +
                             (double)(t[1].tv_nsec - t[0].tv_nsec) / 1e3;
            ringbuffer_read(&ours, target, PIECE);
        }
    for (int k = 0; k < kinds; k++)
        for (int c = 0; c < 2; c++) {
            char what[32];
            qsort(us[k][c], (size_t)most, sizeof(double), by_size);
            snprintf(what, sizeof(what), "p50_%s", units[c]);
            named(names[k], what, us[k][c][most / 2]);
            snprintf(what, sizeof(what), "p999_%s", units[c]);
            named(names[k], what, us[k][c][most - 1 - most / 1000]);
        }
    if (rec != NULL)
        record_stop(rec);
}

struct pauses {
    double seconds;
    int processor, count;
    int64_t longest;
};

static void *read_the_clock(void *arg)
{
    struct pauses *p = arg;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)p->processor, &one);
    sched_setaffinity(0, sizeof(one), &one);
    int64_t last = now_ns(), end = last + (int64_t)(p->seconds * 1e9);
    while (last < end) {
        int64_t now = now_ns();
        p->count += now - last > 1000000;
        p->longest = now - last > p->longest ? now - last : p->longest;
        last = now;
    }
    return NULL;
}

static void pauses(double seconds)
{
    enum { MOST = 64 };
    static struct pauses p[MOST];
    pthread_t threads[MOST];
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN), count = 0;
    int64_t longest = 0;
    n = n < MOST ? n : MOST;
    for (int i = 0; i < n; i++) {
        p[i] = (struct pauses){.seconds = seconds, .processor = i};
        pthread_create(&threads[i], NULL, read_the_clock, &p[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        count += p[i].count;
        longest = p[i].longest > longest ? p[i].longest : longest;
    }
    field("pauses_s", count / seconds);
    field("longest_ms", (double)longest / 1e6);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    ringbuffer_create(&ours, must(malloc(ROOM + 1)), ROOM + 1);
    if (strcmp(what, "quiet") == 0)
        quiet();
    else if (strcmp(what, "own") == 0 && argc > 2)
        own(atof(argv[2]), argc > 3 && strcmp(argv[3], "session") == 0);
    else if (strcmp(what, "pauses") == 0 && argc > 2)
        pauses(atof(argv[2]));
    else
        return 2;
    end_report();
    return 0;
}
