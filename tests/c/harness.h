/* SPDX-License-Identifier: MIT
 *
 * harness.h - what the tests of the record library share.
 *
 *     static void stop_delivers_what_was_written(void)
 *     {
 *         struct server server = server_start();
 *         ...
 *         CHECK_INT(record_stop(hdl), 0);
 *         check_stored(&server, "a.pcm", data, size);
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         static const struct test tests[] = {TEST(stop_delivers_what_was_written)};
 *         return run_tests(argc, argv, tests, COUNT(tests));
 *     }
 *
 * Each test runs in a forked child of its own, before whose fork nothing of the
 * library was called. A test that crashes or hangs fails alone. With a test's
 * name as argument the program runs that one, in the process itself: for gdb.
 *
 * The receiver is the program named by MSPRECORD_SERVER.
 */
#ifndef MSP_TEST_HARNESS_H
#define MSP_TEST_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Tests --------------------------------------------------------------- */

struct test {
    const char *name;
    void (*fn)(void);
};
#define TEST(fn)                                                                                   \
    {                                                                                              \
#fn, fn                                                                                    \
    }

/* Runs all tests, or the one named by argv[1]. Returns main's exit status. */
int run_tests(int argc, char **argv, const struct test *tests, size_t count);

/* Prints where and why, and ends the test. */
void fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), noreturn));

/* Says that a part cannot be tested here, and why. */
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints a figure that was measured. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__FILE__, __LINE__, "%s is false", #condition);                                   \
    } while (0)

#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, #got, got, want)
#define CHECK_BETWEEN(got, least, most)                                                            \
    check_between(__FILE__, __LINE__, #got, (long long)(got), least, most)
#define CHECK_WORDS(text, words) check_words(__FILE__, __LINE__, text, words)
#define CHECK_BYTES(got, got_size, want, want_size)                                                \
    check_bytes(__FILE__, __LINE__, #got, got, got_size, want, want_size)

void check_int(const char *file, int line, const char *what, long long got, long long want);
void check_between(const char *file, int line, const char *what, long long got, long long least,
                   long long most);
/* Each of the words, which are parted by '|', must be in text. */
void check_words(const char *file, int line, const char *text, const char *words);
void check_bytes(const char *file, int line, const char *what, const void *got, size_t got_size,
                 const void *want, size_t want_size);

/* Waits until the condition is true, which must be so within `ms`. */
#define AWAIT(condition, ms)                                                                       \
    do {                                                                                           \
        long long give_up_ = now_ms() + (ms);                                                      \
        while (!(condition)) {                                                                     \
            if (now_ms() > give_up_)                                                               \
                fail(__FILE__, __LINE__, "%s is still false after %d ms", #condition, (int)(ms));  \
            pause_ms(1);                                                                           \
        }                                                                                          \
    } while (0)

long long now_ms(void); /* monotonic */
void pause_ms(int ms);  /* a pause, never a proof */

/* The test's own directory, removed after it; and a path in it, valid until
 * the 8th next call. */
const char *temp_dir(void);
const char *temp_path(const char *name);

/* One of eight places for strings of 512 bytes, in turn, for each thread. */
char *place(void);

/* ---- The process --------------------------------------------------------- */

int count_threads(void);
int count_descriptors(void);
long rss_kib(void);
long cpu_ms(void);

/* ---- Bytes --------------------------------------------------------------- */

/* Bytes that do not repeat: byte i of stream `seed` is always the same one. */
void fill_bytes(uint8_t *data, size_t size, uint64_t seed, uint64_t from);
uint8_t *make_bytes(size_t size, uint64_t seed);
uint8_t *read_whole(const char *path, size_t *size);
void write_whole(const char *path, const void *data, size_t size);

/* ---- The receiver -------------------------------------------------------- */

struct server {
    pid_t pid;
    char url[64]; /* without a slash at its end */
    char dir[256];
};

struct server server_start(void);
void server_pause(const struct server *server);
void server_resume(const struct server *server);
void server_kill(struct server *server);
/* Starts a server that was killed again, at the same address. */
void server_again(struct server *server);
/* The URL of a stream, valid until the 8th next call. */
const char *server_url(const struct server *server, const char *name);
void check_stored_at(const char *file, int line, const struct server *server, const char *name,
                     const void *want, size_t size);
#define check_stored(server, name, want, size)                                                     \
    check_stored_at(__FILE__, __LINE__, server, name, want, size)

/* A TCP listener on loopback; *port is its port. Backlog 0 with `full` set:
 * it takes no connection any more, and packets to it are dropped. */
int listen_on(int *port, int full);

/* ---- Sessions and rings (sessions.c, which needs the library) ------------ */

/* A ring with its buffer on the heap. */
struct ring {
    dev_ringbuf_t rb;
    char *buffer;
};
void ring_open(struct ring *ring, int size);
void ring_close(struct ring *ring);
/* Writes everything, waiting for room. */
void ring_put(dev_ringbuf_t *rb, const uint8_t *data, size_t size);

/* ringbuffer://handle= and mem://, valid until the 8th next call. */
const char *ring_uri(const dev_ringbuf_t *rb);
const char *mem_uri(const void *data, size_t size);

#define session(from, to) session_at(__FILE__, __LINE__, from, to)
#define set_option(hdl, key, value) CHECK_INT(record_set_option(hdl, key, value), 0)
rec_hdl_t session_at(const char *file, int line, const char *from, const char *to);
record_stats_t stats_of(rec_hdl_t hdl);
int state_of(rec_hdl_t hdl);

/* ---- Values that threads share ------------------------------------------- */

static inline int load(const int *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline void store(int *p, int value)
{
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}
static inline int add(int *p, int n)
{
    return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

pthread_t thread_start(void *(*fn)(void *), void *arg);
void thread_join(pthread_t thread);

#endif
