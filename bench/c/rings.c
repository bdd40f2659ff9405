/* SPDX-License-Identifier: MIT
 *
 * rings.c - the ring alone, and what the audio thread pays for a write.
 *
 *     rings cycle    a write and a read of 2,560 bytes in one thread, ns
 *     rings two      one thread writes, one reads, GiB/s
 *     rings quiet    a million writes by a thread that may make no system call
 *     rings own SECONDS [session]    how long single writes take; with a session
 *                                    that sleeps on the ring, or with nobody
 *
 * Each prints the same for memcpy, and with WITH_PEERS for the rings of JACK
 * and PortAudio.
 */
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
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

#ifdef WITH_PEERS
#include <jack/ringbuffer.h>
/* Debian's libportaudio.a has PortAudio's ring, but no package has its header.
 * Only the functions are named here; the struct is room for it. */
struct pa_ring {
    _Alignas(64) char opaque[256];
};
long PaUtil_InitializeRingBuffer(struct pa_ring *, long element, long count, void *data);
long PaUtil_WriteRingBuffer(struct pa_ring *, const void *data, long count);
long PaUtil_ReadRingBuffer(struct pa_ring *, void *data, long count);
#endif

#define PIECE 2560
#define ROOM (128 << 10) /* a power of two, which the peers want */

static uint8_t source[PIECE], target[PIECE], plain[ROOM];
static dev_ringbuf_t ours;
static size_t at;

/* Keeps the compiler from seeing that nobody uses what was copied. */
static inline void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    barrier();
#endif
}

static int plain_write(void)
{
    memcpy(plain + at, source, PIECE);
    barrier();
    return PIECE;
}

static int plain_read(void)
{
    memcpy(target, plain + at, PIECE);
    at = at + 2 * PIECE <= ROOM ? at + PIECE : 0;
    barrier();
    return PIECE;
}

static int our_write(void)
{
    return ringbuffer_write(&ours, source, PIECE);
}

static int our_read(void)
{
    return ringbuffer_read(&ours, target, PIECE);
}

#ifdef WITH_PEERS
static jack_ringbuffer_t *jack;
static struct pa_ring portaudio;

static int jack_write(void)
{
    return (int)jack_ringbuffer_write(jack, (char *)source, PIECE);
}

static int jack_read(void)
{
    return (int)jack_ringbuffer_read(jack, (char *)target, PIECE);
}

static int portaudio_write(void)
{
    return (int)PaUtil_WriteRingBuffer(&portaudio, source, PIECE);
}

static int portaudio_read(void)
{
    return (int)PaUtil_ReadRingBuffer(&portaudio, target, PIECE);
}
#endif

static const struct way {
    const char *name;
    int (*write)(void), (*read)(void);
} ways[] = {
    {"memcpy", plain_write, plain_read},
    {"ours", our_write, our_read},
#ifdef WITH_PEERS
    {"jack", jack_write, jack_read},
    {"portaudio", portaudio_write, portaudio_read},
#endif
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void named(const char *name, const char *what, double value)
{
    char both[64];
    snprintf(both, sizeof(both), "%s_%s", name, what);
    field(both, value);
}

/* Short blocks of each in turn, and the median block. A read or a write that
 * moves less than a piece would be no comparison. */
static void cycle(void)
{
    enum { BLOCKS = 201, CYCLES = 1000 };
    static double ns[WAYS][BLOCKS];
    for (int b = 0; b < BLOCKS; b++)
        for (int w = 0; w < WAYS; w++) {
            int64_t began = now_ns();
            for (int i = 0; i < CYCLES; i++)
                if (ways[w].write() != PIECE || ways[w].read() < PIECE)
                    exit(1);
            ns[w][b] = (double)(now_ns() - began) / CYCLES;
        }
    for (int w = 0; w < WAYS; w++) {
        qsort(ns[w], BLOCKS, sizeof(double), by_size);
        named(ways[w].name, "ns", ns[w][BLOCKS / 2]);
    }
}

enum { MOVED = 400000 }; /* pieces, about 1 GiB */

/* Moves everything by a side of a ring. Where nothing moves it looks away for
 * a moment, as looking again at once would only slow the other side down. */
static void move_all(int (*side)(void))
{
    for (int64_t left = (int64_t)MOVED * PIECE, idle = 0; left > 0;) {
        int n = side();
        if (n > 0) {
            left -= n;
            idle = 0;
            continue;
        }
        for (int i = 0; i < 64; i++)
            relax();
        if (++idle % 64 == 0)
            sched_yield();
    }
}

static void *reader(void *way)
{
    move_all(((const struct way *)way)->read);
    return NULL;
}

static void two(void)
{
    double gib = (double)MOVED * PIECE / (1 << 30);
    for (int w = 0; w < WAYS; w++) {
        pthread_t thread;
        int64_t began = now_ns();
        if (ways[w].write == plain_write) { /* one thread, one copy */
            for (int i = 0; i < MOVED; i++) {
                plain_write();
                at = at + 2 * PIECE <= ROOM ? at + PIECE : 0;
            }
        } else {
            pthread_create(&thread, NULL, reader, (void *)&ways[w]);
            move_all(ways[w].write);
            pthread_join(thread, NULL);
        }
        named(ways[w].name, "gib_s", gib / ((double)(now_ns() - began) / 1e9));
    }
    /* What a thread moves from memory that lies in no cache of its own. */
    size_t size = 256 << 20;
    uint8_t *a = must(malloc(size)), *b = must(malloc(size));
    memset(a, 1, size);
    memset(b, 1, size);
    int64_t began = now_ns();
    for (size_t i = 0; i + PIECE <= size; i += PIECE)
        memcpy(b + i, a + i, PIECE);
    barrier();
    field("memory_gib_s", (double)size / (1 << 30) / ((double)(now_ns() - began) / 1e9));
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
    our_write(); /* so that the linker has bound it */
    our_read();
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
            _exit(2);
        for (int i = 0; i < 1000000; i++) {
            our_write();
            our_read();
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
        ringbuffer_create(&parked, must(malloc(ROOM)), ROOM);
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
                (void)!(with_session ? ringbuffer_write(&parked, source, PIECE) : our_write());
                break;
            case BARE:
                plain_write();
                (void)!write(event, &(uint64_t){1}, 8);
            }
            clock_gettime(clocks[c], &t[1]);
            us[kind][c][n] = (double)(t[1].tv_sec - t[0].tv_sec) * 1e6 +
                             (double)(t[1].tv_nsec - t[0].tv_nsec) / 1e3;
            our_read();
            plain_read();
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

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    ringbuffer_create(&ours, must(malloc(ROOM)), ROOM);
#ifdef WITH_PEERS
    jack = must(jack_ringbuffer_create(ROOM));
    PaUtil_InitializeRingBuffer(&portaudio, 1, ROOM, must(malloc(ROOM)));
#endif
    if (strcmp(what, "cycle") == 0)
        cycle();
    else if (strcmp(what, "two") == 0)
        two();
    else if (strcmp(what, "quiet") == 0)
        quiet();
    else if (strcmp(what, "own") == 0 && argc > 2)
        own(atof(argv[2]), argc > 3 && strcmp(argv[3], "session") == 0);
    else
        return 2;
    end_report();
    return 0;
}
