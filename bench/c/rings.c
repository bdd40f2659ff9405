/* SPDX-License-Identifier: MIT
 *
 * rings.c - the ring alone.
 *
 *     rings cycle    a write and a read of 2,560 bytes in one thread, ns
 *     rings two      one thread writes, one reads, GiB/s
 *
 * Each prints the same for memcpy, and with WITH_PEERS for the rings of JACK
 * and PortAudio.
 */
#include <pthread.h>
#include <sched.h>

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

/* What a ring could do whose indices lie in cache lines of their own, and that
 * looks at the other side's only when it must. dev_ringbuf_t has both in one
 * line, where an app may read them at any time. */
static struct {
    _Alignas(128) uint64_t written, last_read; /* the writer's */
    _Alignas(128) uint64_t read, last_written; /* the reader's */
    _Alignas(128) uint8_t buffer[ROOM / PIECE * PIECE];
} apart;

static int apart_write(void)
{
    if (apart.written - apart.last_read + PIECE > sizeof(apart.buffer)) {
        apart.last_read = __atomic_load_n(&apart.read, __ATOMIC_ACQUIRE);
        if (apart.written - apart.last_read + PIECE > sizeof(apart.buffer))
            return 0;
    }
    memcpy(apart.buffer + apart.written % sizeof(apart.buffer), source, PIECE);
    __atomic_store_n(&apart.written, apart.written + PIECE, __ATOMIC_RELEASE);
    return PIECE;
}

static int apart_read(void)
{
    if (apart.last_written == apart.read) {
        apart.last_written = __atomic_load_n(&apart.written, __ATOMIC_ACQUIRE);
        if (apart.last_written == apart.read)
            return 0;
    }
    memcpy(target, apart.buffer + apart.read % sizeof(apart.buffer), PIECE);
    __atomic_store_n(&apart.read, apart.read + PIECE, __ATOMIC_RELEASE);
    return PIECE;
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
    {"memcpy", plain_write, plain_read}, {"ours", our_write, our_read},
    {"apart", apart_write, apart_read},
#ifdef WITH_PEERS
    {"jack", jack_write, jack_read},     {"portaudio", portaudio_write, portaudio_read},
#endif
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

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
    else
        return 2;
    end_report();
    return 0;
}
