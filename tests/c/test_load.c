/* SPDX-License-Identifier: MIT
 *
 * test_load.c - many sessions: what they cost while they have nothing to do,
 * and what happens when there is no room for more.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/log.h>

#define SOON 5000
#ifdef __SANITIZE_THREAD__
#define MANY 200 /* the sanitizer has a megabyte for each */
#else
#define MANY 1000
#endif

static struct many {
    dev_ringbuf_t rb;
    char buffer[101];
    rec_hdl_t hdl;
    msp_event_t event;
} many[MANY];

static int inside;

static void wait_for_ever(void *arg)
{
    unsigned flags;
    add(&inside, 1);
    msp_event_get(arg, 1, MSP_EVENT_OR, &flags, MSP_WAIT_FOREVER);
    add(&inside, -1);
}

static void open_one(struct many *m, data_ready_func cb)
{
    CHECK_INT(ringbuffer_create(&m->rb, m->buffer, sizeof(m->buffer)), 0);
    m->hdl = session(ring_uri(&m->rb), "null://");
    if (!cb)
        return;
    CHECK_INT(msp_event_new(&m->event, 0), 0);
    record_set_data_ready_cb(m->hdl, cb, &m->event);
}

static void close_one(struct many *m)
{
    CHECK_INT(record_unregister(m->hdl), 0);
    ringbuffer_destroy(&m->rb);
    msp_event_free(&m->event);
}

/* Each session gets a byte more than the last time, and notices. */
static void check_each_moves(int count, uint64_t total)
{
    uint8_t byte = 7;
    for (int i = 0; i < count; i++)
        CHECK_INT(ringbuffer_write(&many[i].rb, &byte, 1), 1);
    for (int i = 0; i < count; i++)
        AWAIT(stats_of(many[i].hdl).sent_bytes == total, SOON);
}

static void idle_sessions_without_callbacks_have_no_threads_and_burn_no_cpu(void)
{
    enum { IDLE = 100 };
    open_one(&many[0], NULL);
    CHECK_INT(record_start(many[0].hdl), 0);
    check_each_moves(1, 1);
    pause_ms(100);
    int threads = count_threads(), descriptors = count_descriptors();
    uint8_t byte = 7;
    for (int i = 1; i < IDLE; i++) {
        open_one(&many[i], NULL);
        CHECK_INT(record_start(many[i].hdl), 0);
        CHECK_INT(ringbuffer_write(&many[i].rb, &byte, 1), 1);
    }
    for (int i = 0; i < IDLE; i++)
        AWAIT(stats_of(many[i].hdl).sent_bytes == 1, SOON);
    CHECK_BETWEEN(count_threads(), 1, threads + 2);
    CHECK_INT(count_descriptors(), descriptors);
    long cpu = cpu_ms();
    pause_ms(2000);
    cpu = cpu_ms() - cpu;
    note("%d sessions: %d threads (%d with one), %ld ms of CPU in 2 s", IDLE, count_threads(),
         threads, cpu);
    CHECK_BETWEEN(cpu, 0, 40); /* 2 % */
    CHECK_BETWEEN(count_threads(), 1, threads + 2);
    check_each_moves(IDLE, 2);
    for (int i = 0; i < IDLE; i++)
        close_one(&many[i]);
}

static void a_thousand_blocked_sessions_hold_a_small_thread_each(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    open_one(&many[0], wait_for_ever);
    CHECK_INT(record_start(many[0].hdl), 0);
    AWAIT(load(&inside) == 1, SOON);
    int threads = count_threads() - 1;
    long rss = rss_kib();
    long long began = now_ms();
    for (int i = 1; i < MANY; i++) {
        open_one(&many[i], wait_for_ever);
        CHECK_INT(record_start(many[i].hdl), 0);
    }
    AWAIT(load(&inside) == MANY, 2 * SOON);
    long long started = now_ms() - began;
    CHECK_BETWEEN(count_threads(), MANY, MANY + threads + 4);
    note("%d sessions: %d threads, RSS %ld KiB (%ld with one), started in %lld ms", MANY,
         count_threads(), rss_kib(), rss, started);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    CHECK_BETWEEN(rss_kib() - rss, 0, MANY * 40L);
#endif
    long cpu = cpu_ms();
    pause_ms(500);
    cpu = cpu_ms() - cpu;
    CHECK_BETWEEN(cpu, 0, 50);
    began = now_ms();
    for (int i = 0; i < MANY; i++)
        close_one(&many[i]);
    CHECK_INT(load(&inside), 0);
    AWAIT(count_threads() <= threads + 4, SOON);
    note("stopped in %lld ms; %d threads are left, RSS %ld KiB", now_ms() - began, count_threads(),
         rss_kib());
}

/* Runs in a child: without rights to make as many threads as it likes. */
static void start_until_there_are_no_threads(void)
{
    /* The library's own threads are there before the limit is: its runtime
     * cannot live without them. */
    for (int i = 0; i < 50; i++) {
        open_one(&many[0], i % 2 ? wait_for_ever : NULL);
        CHECK_INT(record_start(many[0].hdl), 0);
        if (i % 2)
            AWAIT(load(&inside) == 1, SOON);
        else
            check_each_moves(1, 1);
        close_one(&many[0]);
    }
    struct rlimit limit = {(rlim_t)count_threads() + 8, (rlim_t)count_threads() + 8};
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
    int started = 0, refused = 0;
    for (int i = 0; i < 40; i++) {
        open_one(&many[i], wait_for_ever);
        int rc = record_start(many[i].hdl);
        if (rc == 0) {
            started++;
            continue;
        }
        CHECK_INT(rc, -EAGAIN);
        CHECK_WORDS(record_last_error(), "record_start|thread|data_ready");
        refused++;
    }
    CHECK_BETWEEN(started, 1, 9);
    CHECK_INT(started + refused, 40);
    /* Those that started work, those that did not can be started later, and
     * what needs no thread works all the time. */
    rec_hdl_t hdl = session("null://", "null://");
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_unregister(hdl), 0);
    AWAIT(load(&inside) == started, SOON);
    for (int i = 0; i < started; i++)
        close_one(&many[i]);
    CHECK_INT(record_start(many[39].hdl), 0);
    for (int i = started; i < 40; i++)
        close_one(&many[i]);
    note("%d threads were to be had, %d starts said -EAGAIN", started, refused);
}

static void without_threads_to_be_had_start_says_eagain(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        uid_t nobody_else = 54321; /* has no other threads that count */
        if (getuid() == 0 && (setgid(nobody_else) || setuid(nobody_else)))
            _exit(77);
        if (getuid() != nobody_else)
            _exit(78);
        start_until_there_are_no_threads();
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 77)
        skip("needs root, to become a user whose threads are counted alone");
    else
        CHECK_INT(status, 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(idle_sessions_without_callbacks_have_no_threads_and_burn_no_cpu),
        TEST(a_thousand_blocked_sessions_hold_a_small_thread_each),
        TEST(without_threads_to_be_had_start_says_eagain),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
