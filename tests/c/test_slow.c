/* SPDX-License-Identifier: MIT
 *
 * test_slow.c - what the program does slowly costs its own callback or file,
 * and neither a stream, nor another session, nor the bound of a stop.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msp/log.h>

#define SIZE 300000

/* ---- Files --------------------------------------------------------------- */

static const char *make_fifo(char *uri, size_t size)
{
    const char *path = temp_path("fifo");
    CHECK_INT(mkfifo(path, 0600), 0);
    snprintf(uri, size, "file://%s", path);
    return path;
}

static void start_says_that_nobody_reads_the_fifo(void)
{
    char to[300];
    make_fifo(to, sizeof(to));
    rec_hdl_t hdl = session("null://", to);
    set_option(hdl, "connect_timeout", "200");
    long long began = now_ms();
    CHECK_INT(record_start(hdl), -ENXIO);
    CHECK_WORDS(record_last_error(), "record_start|fifo|reader|connect_timeout");
    CHECK_BETWEEN(now_ms() - began, 150, 5000);
    CHECK_INT(record_unregister(hdl), 0);
}

/* A session that writes more to a FIFO than that takes; the reading end is
 * open and nobody reads. */
static rec_hdl_t fill_fifo(struct ring *ring, int *reader)
{
    char to[300];
    const char *path = make_fifo(to, sizeof(to));
    *reader = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(*reader >= 0);
    ring_open(ring, 1 << 20);
    rec_hdl_t hdl = session(ring_uri(&ring->rb), to);
    set_option(hdl, "stop_timeout", "300");
    CHECK_INT(record_start(hdl), 0);
    uint8_t *data = make_bytes(SIZE, 1);
    CHECK_INT(ringbuffer_write(&ring->rb, data, SIZE), SIZE);
    free(data);
    AWAIT(stats_of(hdl).sent_bytes > 0, 5000);
    return hdl;
}

static void stop_leaves_a_fifo_that_nobody_reads(void)
{
    struct ring ring;
    int reader;
    rec_hdl_t hdl = fill_fifo(&ring, &reader);
    long long began = now_ms();
    CHECK_INT(record_stop(hdl), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 250, 3000);
    CHECK_WORDS(record_last_error(), "record_stop|bytes are left behind");
    ring_close(&ring);
    record_stats_t stats = stats_of(hdl);
    uint8_t *got = malloc(SIZE), *data = make_bytes(SIZE, 1);
    ssize_t n, at = 0;
    while ((n = read(reader, got + at, (size_t)(SIZE - at))) > 0)
        at += n;
    CHECK_INT(n, 0); /* the session has closed the FIFO */
    CHECK_BYTES(got, (size_t)at, data, (size_t)stats.acked_bytes);
    CHECK_INT(stats.acked_bytes + stats.left_bytes, SIZE);
    free(got);
    free(data);
    close(reader);
    CHECK_INT(record_unregister(hdl), 0);
}

static void destroy_leaves_a_fifo_that_nobody_reads(void)
{
    struct ring ring;
    int reader;
    rec_hdl_t hdl = fill_fifo(&ring, &reader);
    long long began = now_ms();
    ring_close(&ring);
    CHECK_BETWEEN(now_ms() - began, 0, 1000);
    began = now_ms();
    CHECK(record_unregister(hdl) < 0);
    CHECK_BETWEEN(now_ms() - began, 0, 3000);
    close(reader);
}

/* ---- Callbacks ----------------------------------------------------------- */

static sem_t gate; /* what blocks waits for it */
static int inside; /* callbacks that block */

static void block(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)event, (void)arg;
    add(&inside, 1);
    while (sem_wait(&gate) < 0)
        ;
    add(&inside, -1);
}

static int heard;

static void count(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)event, (void)arg;
    add(&heard, 1);
}

static void a_callback_that_blocks_delays_no_other_session(void)
{
    sem_init(&gate, 0, 0);
    struct server server = server_start();
    rec_hdl_t blocked = session("null://", "null://");
    set_option(blocked, "stop_timeout", "300");
    CHECK_INT(record_set_event_cb(blocked, block, NULL), 0);
    CHECK_INT(record_start(blocked), 0);
    AWAIT(load(&inside) == 1, 5000);

    struct ring ring;
    ring_open(&ring, 100001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_set_event_cb(hdl, count, NULL), 0);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&heard) == 1, 5000);
    uint8_t *data = make_bytes(1000000, 2);
    ring_put(&ring.rb, data, 1000000);
    AWAIT(stats_of(hdl).acked_bytes == 1000000, 10000);
    long long began = now_ms();
    CHECK_INT(record_stop(hdl), 0);
    CHECK_BETWEEN(now_ms() - began, 0, 2000);
    CHECK_INT(load(&heard), 2);
    check_stored(&server, "a.pcm", data, 1000000);

    began = now_ms();
    CHECK_INT(record_stop(blocked), -ETIMEDOUT);
    CHECK_WORDS(record_last_error(), "callback has not returned");
    CHECK_BETWEEN(now_ms() - began, 250, 3000);
    sem_post(&gate);
    AWAIT(load(&inside) == 0, 5000);
    CHECK_INT(record_unregister(blocked), 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
    free(data);
    server_kill(&server);
}

static void a_thousand_callbacks_that_block_are_small_threads_that_go_again(void)
{
    enum { SESSIONS = 1000 };
    static rec_hdl_t hdl[SESSIONS];
    sem_init(&gate, 0, 0);
    rec_hdl_t one = session("null://", "null://");
    CHECK_INT(record_start(one), 0);
    CHECK_INT(record_unregister(one), 0);
    int threads = count_threads();
    long before = rss_kib();
    for (int i = 0; i < SESSIONS; i++) {
        hdl[i] = session("null://", "null://");
        CHECK_INT(record_set_event_cb(hdl[i], block, NULL), 0);
        CHECK_INT(record_start(hdl[i]), 0);
    }
    AWAIT(load(&inside) == SESSIONS, 20000);
    note("%d threads more, %ld KiB", count_threads() - threads, rss_kib() - before);
    CHECK_BETWEEN(count_threads() - threads, SESSIONS, SESSIONS + 40);
    for (int i = 0; i < 3 * SESSIONS; i++)
        sem_post(&gate);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(record_unregister(hdl[i]), 0);
    AWAIT(count_threads() <= threads + 40, 5000);
    note("%d threads more are left", count_threads() - threads);
}

/* Runs in a child: without rights to make as many threads as it likes. */
static void block_until_there_are_no_threads(void)
{
    enum { SESSIONS = 40 };
    static rec_hdl_t hdl[SESSIONS];
    sem_init(&gate, 0, 0);
    for (int i = 0; i < 50; i++) { /* the library's own threads come before the limit */
        rec_hdl_t one = session("null://", "null://");
        CHECK_INT(record_set_event_cb(one, count, NULL), 0);
        CHECK_INT(record_start(one), 0);
        CHECK_INT(record_unregister(one), 0);
    }
    struct rlimit limit = {(rlim_t)count_threads() + 8, (rlim_t)count_threads() + 8};
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
    for (int i = 0; i < SESSIONS; i++) {
        hdl[i] = session("null://", "null://");
        set_option(hdl[i], "stop_timeout", "200");
        CHECK_INT(record_set_event_cb(hdl[i], block, NULL), 0);
        CHECK_INT(record_start(hdl[i]), 0);
    }
    AWAIT(load(&inside) >= 2, 5000);
    pause_ms(500); /* in which one thread too many would end the process */
    int blocked = load(&inside), kept = 0;
    CHECK_BETWEEN(blocked, 2, 20);
    for (int i = 0; i < SESSIONS; i++) {
        int rc = record_stop(hdl[i]);
        kept += rc == -ETIMEDOUT;
        CHECK(rc == 0 || rc == -ETIMEDOUT);
    }
    CHECK_INT(kept, blocked); /* a callback that never began keeps nobody */
    for (int i = 0; i < SESSIONS; i++)
        sem_post(&gate);
    AWAIT(load(&inside) == 0, 5000);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(record_unregister(hdl[i]), 0);
}

static void without_threads_to_be_had_callbacks_wait(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        uid_t nobody_else = 54322; /* has no other threads that count */
        if (getuid() == 0 && (setgid(nobody_else) || setuid(nobody_else)))
            _exit(77);
        if (getuid() != nobody_else)
            _exit(78);
        block_until_there_are_no_threads();
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 77)
        skip("needs root, to become a user whose threads are counted alone");
    else
        CHECK_INT(status, 0);
}

static uint64_t refused; /* as OVERFLOW events say */

static void sum_up(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    if (event->type == RECORD_EVENT_CONNECTED) {
        add(&inside, 1);
        while (sem_wait(&gate) < 0)
            ;
    }
    if (event->type == RECORD_EVENT_OVERFLOW) {
        refused += event->bytes;
        add(&heard, 1);
    }
}

static void what_waits_for_a_callback_is_bounded_and_adds_up(void)
{
    sem_init(&gate, 0, 0);
    struct ring ring;
    ring_open(&ring, 2000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_set_event_cb(hdl, sum_up, NULL), 0);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&inside) == 1, 5000);
    static uint8_t data[4000];
    long before = rss_kib();
    uint64_t offered = 0, taken = 0;
    for (long long end = now_ms() + 2000; now_ms() < end; offered += sizeof(data))
        taken += (uint64_t)ringbuffer_write(&ring.rb, data, sizeof(data));
    note("%ld KiB more", rss_kib() - before);
    CHECK_BETWEEN(rss_kib() - before, -100000, 20000);
    sem_post(&gate);
    CHECK_INT(record_stop(hdl), 0);
    CHECK_INT(refused, offered - taken);
    CHECK_INT(stats_of(hdl).dropped_bytes, refused);
    CHECK_BETWEEN(load(&heard), 1, 100);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static rec_hdl_t other;
static int stop_rc = 1, stop_took;

static void stop_the_other(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    if (event->type != RECORD_EVENT_FINISHED)
        return;
    long long began = now_ms();
    int rc = record_stop(other);
    store(&stop_took, (int)(now_ms() - began));
    store(&stop_rc, rc);
}

static void stop_of_another_session_in_an_event_callback_is_quick(void)
{
    static char memory[1000];
    struct ring ring;
    ring_open(&ring, 100);
    other = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_set_event_cb(other, count, NULL), 0);
    CHECK_INT(record_start(other), 0);
    rec_hdl_t hdl = session(mem_uri(memory, sizeof(memory)), "null://");
    CHECK_INT(record_set_event_cb(hdl, stop_the_other, NULL), 0);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&stop_rc) != 1, 10000);
    CHECK_INT(load(&stop_rc), 0);
    CHECK_INT(load(&heard), 2); /* connected and disconnected, before its stop returned */
    CHECK_BETWEEN(load(&stop_took), 0, 1000);
    CHECK_INT(record_unregister(hdl), 0);
    CHECK_INT(record_unregister(other), 0);
    ring_close(&ring);
}

static void wait_in_dial(rec_hdl_t hdl, void *arg)
{
    (void)arg;
    if (record_stop(hdl) == -EDEADLK && record_set_option(hdl, "header", "Token: 1") == 0)
        add(&heard, 1);
    add(&inside, 1);
    while (sem_wait(&gate) < 0)
        ;
    add(&inside, -1);
}

static void a_dial_callback_that_blocks_is_bounded(void)
{
    struct server server = server_start();
    sem_init(&gate, 0, 0);
    rec_hdl_t hdl = session("null://", server_url(&server, "a.pcm"));
    set_option(hdl, "stop_timeout", "300");
    set_option(hdl, "connect_timeout", "200");
    CHECK_INT(record_set_dial_cb(hdl, wait_in_dial, NULL), 0);
    CHECK_INT(record_start(hdl), -ETIMEDOUT);
    CHECK_INT(load(&heard), 1);
    sem_post(&gate);
    AWAIT(load(&inside) == 0, 5000);
    sem_post(&gate);
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_set_dial_cb(hdl, NULL, NULL), -EBUSY);
    CHECK_INT(load(&heard), 2);
    server_kill(&server);
    AWAIT(load(&inside) == 1, 10000);
    long long began = now_ms();
    CHECK_INT(record_stop(hdl), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 250, 3000);
    sem_post(&gate);
    AWAIT(load(&inside) == 0, 5000);
    CHECK_INT(record_unregister(hdl), 0);
}

/* ---- The log ------------------------------------------------------------- */

static void stop_in_sink(int level, const char *tag, const char *line, void *arg)
{
    (void)level, (void)tag;
    if (!strstr(line, "destroyed") || add(&inside, 1) > 1)
        return;
    long long began = now_ms();
    int rc = record_stop(arg);
    store(&stop_took, (int)(now_ms() - began));
    store(&stop_rc, rc);
}

static void a_sink_may_stop_the_session_it_hears_of(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    msp_log_set_sink(stop_in_sink, hdl);
    CHECK_INT(record_start(hdl), 0);
    ring_close(&ring);
    AWAIT(load(&stop_rc) != 1, 10000);
    CHECK_INT(load(&stop_rc), -ENODEV);
    CHECK_BETWEEN(load(&stop_took), 0, 1000);
    CHECK_INT(record_stop(hdl), 0);
    msp_log_set_sink(NULL, NULL);
    CHECK_INT(record_unregister(hdl), 0);
}

static void block_sink(int level, const char *tag, const char *line, void *arg)
{
    (void)level, (void)tag, (void)line, (void)arg;
    if (add(&inside, 1) == 1)
        while (sem_wait(&gate) < 0)
            ;
}

static void a_sink_that_blocks_stops_nothing(void)
{
    sem_init(&gate, 0, 0);
    msp_log_set_sink(block_sink, NULL);
    long long began = now_ms();
    CHECK(record_register("nonsense", "null://") == NULL);
    CHECK_BETWEEN(now_ms() - began, 50, 5000); /* waits a moment for its line */
    CHECK_INT(load(&inside), 1);
    struct ring ring;
    ring_open(&ring, 1001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    static uint8_t data[5000];
    ringbuffer_write(&ring.rb, data, 5000); /* has the pump log */
    AWAIT(stats_of(hdl).sent_bytes == 1000, 5000);
    began = now_ms();
    CHECK_INT(record_stop(hdl), 0);
    CHECK_BETWEEN(now_ms() - began, 0, 1000);
    sem_post(&gate);
    AWAIT(load(&inside) >= 2, 5000); /* what waited comes after it */
    msp_log_set_sink(NULL, NULL);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

/* Puts a pipe in stderr's place, and returns its reading end. */
static int pipe_for_stderr(void)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    CHECK(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    return ends[0];
}

static void a_full_stderr_stops_nothing_and_the_dropped_lines_are_counted(void)
{
    int reader = pipe_for_stderr();
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    char zeros[4096] = {0};
    while (write(STDERR_FILENO, zeros, sizeof(zeros)) > 0)
        ;
    fcntl(STDERR_FILENO, F_SETFL, 0);
    struct ring ring;
    ring_open(&ring, 1001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    static uint8_t data[5000];
    ringbuffer_write(&ring.rb, data, 5000);
    AWAIT(stats_of(hdl).sent_bytes == 1000, 5000);
    long long began = now_ms();
    CHECK_INT(record_unregister(hdl), 0);
    CHECK_BETWEEN(now_ms() - began, 0, 1000);
    ring_close(&ring);

    /* More than may wait, of which each call waits a moment for its own. */
    CHECK(record_register("null://", "what://") == NULL);
    static char lines[1 << 20];
    memset(lines, 'y', sizeof(lines) - 1);
    hdl = session("null://", "null://");
    for (int i = 0; i < 3; i++) /* a key is in its sentence as a whole */
        CHECK_INT(record_set_option(hdl, lines, "1"), -ENOENT);
    memset(lines, 0, sizeof(lines));

    size_t at = 0;
    ssize_t n;
    long long give_up = now_ms() + 10000;
    fcntl(reader, F_SETFL, O_NONBLOCK);
    while (now_ms() < give_up && !strstr(lines, "lines of the log were dropped")) {
        if ((n = read(reader, lines + at, sizeof(lines) - 1 - at)) > 0) {
            for (ssize_t i = 0; i < n; i++, at++)
                if (!lines[at])
                    lines[at] = ' ';
            lines[at] = '\0';
        } else {
            pause_ms(1);
        }
    }
    CHECK_WORDS(lines, "the ring was full|scheme what|3 lines of the log were dropped");
    CHECK_INT(record_unregister(hdl), 0);
}

static void the_line_of_a_call_that_failed_outlives_the_process(void)
{
    int reader = pipe_for_stderr();
    pid_t pid = fork();
    if (pid == 0) {
        (void)record_register("nonsense", "null://");
        _exit(0);
    }
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    char text[1000] = "";
    CHECK(read(reader, text, sizeof(text) - 1) > 0);
    CHECK_WORDS(text, "record_register|no scheme");
}

/* ---- Outages ------------------------------------------------------------- */

static void offline_sessions_that_end_together_stop_in_the_time_of_one(void)
{
    enum { SESSIONS = 3 };
    struct server server = server_start();
    rec_hdl_t hdl[SESSIONS];
    struct ring ring[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) {
        char name[20];
        snprintf(name, sizeof(name), "%d.pcm", i);
        ring_open(&ring[i], 10001);
        hdl[i] = session(ring_uri(&ring[i].rb), server_url(&server, name));
        set_option(hdl[i], "stop_timeout", "1500");
        CHECK_INT(record_start(hdl[i]), 0);
    }
    server_kill(&server);
    static uint8_t data[1000];
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(ringbuffer_write(&ring[i].rb, data, 1000), 1000);
    long long began = now_ms();
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(record_pre_stop(hdl[i]), 0);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_INT(record_stop(hdl[i]), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 1400, 2900);
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_INT(stats_of(hdl[i]).left_bytes, 1000);
        CHECK_INT(record_unregister(hdl[i]), 0);
        ring_close(&ring[i]);
    }
}

static void hear_overflow(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    if (event->type == RECORD_EVENT_OVERFLOW)
        add(&heard, (int)event->bytes);
}

static void refused_bytes_are_told_while_the_server_is_away(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 10001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    set_option(hdl, "replay_bytes", "4096");
    set_option(hdl, "stop_timeout", "100");
    CHECK_INT(record_set_event_cb(hdl, hear_overflow, NULL), 0);
    CHECK_INT(record_start(hdl), 0);
    server_kill(&server);
    static uint8_t data[10000];
    int dropped = 0;
    for (long long end = now_ms() + 10000; !dropped && now_ms() < end; pause_ms(1))
        dropped += (int)sizeof(data) - ringbuffer_write(&ring.rb, data, sizeof(data));
    AWAIT(ringbuffer_write(&ring.rb, data, 1) == 0 ? ++dropped : 0, 5000);
    AWAIT(load(&heard) == dropped, 1000);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.dropped_bytes, dropped);
    CHECK_INT(stats.ring_high_water, 10000);
    CHECK_INT(record_unregister(hdl), -ETIMEDOUT);
    ring_close(&ring);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(start_says_that_nobody_reads_the_fifo),
        TEST(stop_leaves_a_fifo_that_nobody_reads),
        TEST(destroy_leaves_a_fifo_that_nobody_reads),
        TEST(a_callback_that_blocks_delays_no_other_session),
        TEST(a_thousand_callbacks_that_block_are_small_threads_that_go_again),
        TEST(without_threads_to_be_had_callbacks_wait),
        TEST(what_waits_for_a_callback_is_bounded_and_adds_up),
        TEST(stop_of_another_session_in_an_event_callback_is_quick),
        TEST(a_dial_callback_that_blocks_is_bounded),
        TEST(a_sink_may_stop_the_session_it_hears_of),
        TEST(a_sink_that_blocks_stops_nothing),
        TEST(a_full_stderr_stops_nothing_and_the_dropped_lines_are_counted),
        TEST(the_line_of_a_call_that_failed_outlives_the_process),
        TEST(offline_sessions_that_end_together_stop_in_the_time_of_one),
        TEST(refused_bytes_are_told_while_the_server_is_away),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
