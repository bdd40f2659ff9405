/* SPDX-License-Identifier: MIT
 *
 * test_stop.c - record_stop() in every state a session can be in: what it
 * delivers, what it returns, how long it takes, and what it leaves alone.
 */
#include "harness.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <msp/kernel.h>

#define SOON 1000 /* ms in which what waits for nothing is done */

/* Stops, and tells how long that took. */
static int timed_stop(rec_hdl_t hdl, long long *took)
{
    long long began = now_ms();
    int rc = record_stop(hdl);
    *took = now_ms() - began;
    return rc;
}

static void stop_at_once(int line, rec_hdl_t hdl, int want)
{
    long long took;
    check_int(__FILE__, line, "record_stop", timed_stop(hdl, &took), want);
    check_between(__FILE__, line, "its time", took, 0, SOON);
}
#define STOP_AT_ONCE(hdl, want) stop_at_once(__LINE__, hdl, want)

/* ---- Not running --------------------------------------------------------- */

static void stop_of_what_never_ran_is_0(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_pre_stop(hdl), 0);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(state_of(hdl), RECORD_REGISTERED);
    CHECK_INT(record_unregister(hdl), 0);
    CHECK_INT(record_stop(hdl), -EINVAL);
    ring_close(&ring);
}

static void stop_after_a_failed_start_is_0(void)
{
    int port;
    close(listen_on(&port, 0));
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%d/a", port);
    rec_hdl_t hdl = session("null://", url);
    CHECK_INT(record_start(hdl), -ECONNREFUSED);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_unregister(hdl), 0);
}

/* ---- Connecting ---------------------------------------------------------- */

struct starter {
    rec_hdl_t hdl;
    int rc;
    int over;
};

static void *start(void *arg)
{
    struct starter *s = arg;
    s->rc = record_start(s->hdl);
    store(&s->over, 1);
    return NULL;
}

/* `full`: packets to the server are dropped; else it accepts and is silent. */
static void stop_while_connecting(int full)
{
    int port;
    int fd = listen_on(&port, full);
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%d/a", port);
    struct starter s = {.hdl = session("null://", url)};
    set_option(s.hdl, "connect_timeout", "8000");
    pthread_t thread = thread_start(start, &s);
    AWAIT(state_of(s.hdl) == RECORD_STARTING, SOON);
    pause_ms(50);
    STOP_AT_ONCE(s.hdl, 0);
    AWAIT(load(&s.over), SOON);
    thread_join(thread);
    CHECK_INT(s.rc, -ECANCELED);
    CHECK_INT(state_of(s.hdl), RECORD_REGISTERED);

    set_option(s.hdl, "connect_timeout", "300");
    long long began = now_ms();
    CHECK_INT(record_start(s.hdl), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 290, 300 + SOON);
    CHECK_WORDS(record_last_error(), "connect_timeout|127.0.0.1");
    STOP_AT_ONCE(s.hdl, 0);

    s.over = 0;
    set_option(s.hdl, "connect_timeout", "8000");
    thread = thread_start(start, &s);
    AWAIT(state_of(s.hdl) == RECORD_STARTING, SOON);
    CHECK_INT(record_unregister(s.hdl), 0);
    AWAIT(load(&s.over), SOON);
    thread_join(thread);
    CHECK(s.rc < 0);
    close(fd);
}

static void stop_ends_connecting_to_an_address_that_swallows_packets(void)
{
    stop_while_connecting(1);
}

static void stop_ends_connecting_to_a_server_that_says_nothing(void)
{
    stop_while_connecting(0);
}

/* ---- Blocked in data_ready ----------------------------------------------- */

static struct blocked {
    msp_event_t event;
    msp_sem_t sem;
    msp_queue_t queue;
    msp_mutex_t mutex;
    sem_t plain;
    int entered; /* calls that began */
    int inside;  /* and are not over */
    int release_after;
    int releases;
    int elsewhere; /* releases on another thread than the stopper's */
    pthread_t stopper;
} blocked;

static void enter(void)
{
    add(&blocked.entered, 1);
    add(&blocked.inside, 1);
}

static void wait_in_event(void *arg)
{
    unsigned flags;
    enter();
    msp_event_get(arg, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
    add(&blocked.inside, -1);
}

static void wait_in_sem(void *arg)
{
    enter();
    msp_sem_wait(arg, MSP_WAIT_FOREVER);
    add(&blocked.inside, -1);
}

static void wait_in_queue(void *arg)
{
    char message[8];
    enter();
    msp_queue_recv(arg, MSP_WAIT_FOREVER, message, NULL);
    add(&blocked.inside, -1);
}

static void wait_in_mutex(void *arg)
{
    enter();
    msp_mutex_lock(arg, MSP_WAIT_FOREVER);
    add(&blocked.inside, -1);
}

static void wait_in_sleep(void *arg)
{
    (void)arg;
    enter();
    msp_msleep(3600 * 1000);
    add(&blocked.inside, -1);
}

static void wait_in_plain_sem(void *arg)
{
    enter();
    while (sem_wait(arg) && errno == EINTR)
        ;
    add(&blocked.inside, -1);
}

static void release_plain_sem(void *arg)
{
    if (!pthread_equal(pthread_self(), blocked.stopper))
        add(&blocked.elsewhere, 1);
    if (add(&blocked.releases, 1) > blocked.release_after)
        sem_post(arg);
}

/* A session on an empty ring whose data_ready blocks. */
static rec_hdl_t blocked_session(struct ring *ring, data_ready_func ready, void *arg)
{
    ring_open(ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring->rb), "null://");
    blocked.stopper = pthread_self();
    record_set_data_ready_cb(hdl, ready, arg);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&blocked.inside) == 1, SOON);
    return hdl;
}

static void check_quiet(rec_hdl_t hdl)
{
    int entered = load(&blocked.entered);
    CHECK_INT(load(&blocked.inside), 0);
    pause_ms(60);
    CHECK_INT(load(&blocked.entered), entered);
    CHECK_INT(record_unregister(hdl), 0);
}

static void stop_wakes(data_ready_func ready, void *arg)
{
    struct ring ring;
    rec_hdl_t hdl = blocked_session(&ring, ready, arg);
    pause_ms(5);
    STOP_AT_ONCE(hdl, 0);
    check_quiet(hdl);
    ring_close(&ring);
}

static void stop_wakes_event_get_without_a_release(void)
{
    CHECK_INT(msp_event_new(&blocked.event, 0), 0);
    stop_wakes(wait_in_event, &blocked.event);
}

static void stop_wakes_sem_wait_without_a_release(void)
{
    CHECK_INT(msp_sem_new(&blocked.sem, 0), 0);
    stop_wakes(wait_in_sem, &blocked.sem);
}

static void stop_wakes_queue_recv_without_a_release(void)
{
    CHECK_INT(msp_queue_create(&blocked.queue, 64, 8, 0), 0);
    stop_wakes(wait_in_queue, &blocked.queue);
}

static void stop_wakes_mutex_lock_without_a_release(void)
{
    CHECK_INT(msp_mutex_new(&blocked.mutex), 0);
    CHECK_INT(msp_mutex_lock(&blocked.mutex, MSP_WAIT_FOREVER), 0);
    stop_wakes(wait_in_mutex, &blocked.mutex);
}

static void stop_wakes_msleep_without_a_release(void)
{
    stop_wakes(wait_in_sleep, NULL);
}

static void a_restarted_session_waits_again(void)
{
    CHECK_INT(msp_event_new(&blocked.event, 0), 0);
    struct ring ring;
    rec_hdl_t hdl = blocked_session(&ring, wait_in_event, &blocked.event);
    for (int i = 0; i < 20; i++) {
        STOP_AT_ONCE(hdl, 0);
        CHECK_INT(load(&blocked.inside), 0);
        int entered = load(&blocked.entered);
        CHECK_INT(record_start(hdl), 0);
        AWAIT(load(&blocked.inside) == 1, SOON);
        pause_ms(5);
        CHECK_INT(load(&blocked.inside), 1);
        CHECK_INT(load(&blocked.entered), entered + 1);
    }
    STOP_AT_ONCE(hdl, 0);
    check_quiet(hdl);
    ring_close(&ring);
}

/* A release that works at the n-th call. */
static void stop_with_release(int works_at, long long least)
{
    struct ring ring;
    sem_init(&blocked.plain, 0, 0);
    blocked.release_after = works_at - 1;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    blocked.stopper = pthread_self();
    record_set_data_ready_cb(hdl, wait_in_plain_sem, &blocked.plain);
    record_set_data_release_cb(hdl, release_plain_sem, &blocked.plain);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&blocked.inside) == 1, SOON);
    pause_ms(5);
    long long took;
    CHECK_INT(timed_stop(hdl, &took), 0);
    CHECK_BETWEEN(took, least, least + SOON);
    CHECK_INT(load(&blocked.releases), works_at);
    CHECK_INT(load(&blocked.elsewhere), 0);
    check_quiet(hdl);
    CHECK_INT(load(&blocked.releases), works_at);
    ring_close(&ring);
}

static void release_that_works_runs_once_on_the_callers_thread(void)
{
    stop_with_release(1, 0);
}

static void release_runs_each_100_ms_while_data_ready_blocks(void)
{
    stop_with_release(4, 290);
}

/* Throws away the first wake, as a data_ready that is late to wait does. */
static void lose_a_wake(void *arg)
{
    enter();
    pause_ms(50);
    while (sem_trywait(arg) == 0)
        ;
    while (sem_wait(arg) && errno == EINTR)
        ;
    add(&blocked.inside, -1);
}

static void release_that_came_too_early_is_made_good(void)
{
    struct ring ring;
    sem_init(&blocked.plain, 0, 0);
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    blocked.stopper = pthread_self();
    record_set_data_ready_cb(hdl, lose_a_wake, &blocked.plain);
    record_set_data_release_cb(hdl, release_plain_sem, &blocked.plain);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&blocked.inside) == 1, SOON);
    STOP_AT_ONCE(hdl, 0);
    CHECK_BETWEEN(load(&blocked.releases), 2, 10);
    check_quiet(hdl);
    ring_close(&ring);
}

static void stop_gives_up_on_a_data_ready_that_never_returns(void)
{
    struct ring ring;
    sem_init(&blocked.plain, 0, 0);
    rec_hdl_t hdl = blocked_session(&ring, wait_in_plain_sem, &blocked.plain);
    long long took;
    CHECK_INT(timed_stop(hdl, &took), -ETIMEDOUT);
    CHECK_BETWEEN(took, 2900, 3000 + SOON); /* the default */
    CHECK_WORDS(record_last_error(), "record_stop|data_ready");
    STOP_AT_ONCE(hdl, 0);
    sem_post(&blocked.plain);
    AWAIT(load(&blocked.inside) == 0, SOON);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static void bytes_are_delivered_though_data_ready_never_returns(void)
{
    struct server server = server_start();
    struct ring ring;
    sem_init(&blocked.plain, 0, 0);
    ring_open(&ring, 10000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    set_option(hdl, "stop_timeout", "500");
    record_set_data_ready_cb(hdl, wait_in_plain_sem, &blocked.plain);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&blocked.inside) == 1, SOON);
    uint8_t *data = make_bytes(9000, 1);
    CHECK_INT(ringbuffer_write(&ring.rb, data, 9000), 9000);
    long long took;
    CHECK_INT(timed_stop(hdl, &took), -ETIMEDOUT);
    CHECK_BETWEEN(took, 450, 500 + SOON);
    check_stored(&server, "a.pcm", data, 9000);
    CHECK_INT(stats_of(hdl).left_bytes, 0);
    free(data);
    sem_post(&blocked.plain);
    AWAIT(load(&blocked.inside) == 0, SOON);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

/* ---- In the session's own callback --------------------------------------- */

static struct own {
    rec_hdl_t hdl;
    int calls;
    int stop, unregister, wait, pre_stop;
} own;

static void end_from_inside(void)
{
    if (add(&own.calls, 1) > 1)
        return;
    own.pre_stop = record_pre_stop(own.hdl);
    own.stop = record_stop(own.hdl);
    CHECK_WORDS(record_last_error(), "callback");
    own.unregister = record_unregister(own.hdl);
    own.wait = record_wait(own.hdl, 100);
    add(&own.calls, 100);
}

static void end_in_ready(void *arg)
{
    (void)arg;
    end_from_inside();
}

static void end_in_event(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)event, (void)arg;
    CHECK(hdl == own.hdl);
    end_from_inside();
}

static void check_own(void)
{
    CHECK_INT(own.pre_stop, 0);
    CHECK_INT(own.stop, -EDEADLK);
    CHECK_INT(own.unregister, -EDEADLK);
    CHECK_INT(own.wait, -EDEADLK);
}

static void stop_in_data_ready_is_refused_and_ends_the_session(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    own.hdl = session(ring_uri(&ring.rb), "null://");
    record_set_data_ready_cb(own.hdl, end_in_ready, NULL);
    CHECK_INT(record_start(own.hdl), 0);
    AWAIT(load(&own.calls) > 100, 10 * SOON);
    AWAIT(state_of(own.hdl) == RECORD_FINISHED, SOON);
    check_own();
    STOP_AT_ONCE(own.hdl, 0);
    CHECK_INT(record_unregister(own.hdl), 0);
    ring_close(&ring);
}

static void stop_in_the_event_callback_is_refused_and_ends_the_session(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    own.hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_set_event_cb(own.hdl, end_in_event, NULL), 0);
    CHECK_INT(record_start(own.hdl), 0);
    AWAIT(load(&own.calls) > 100, 10 * SOON);
    AWAIT(state_of(own.hdl) == RECORD_FINISHED, SOON);
    check_own();
    STOP_AT_ONCE(own.hdl, 0);
    CHECK_INT(record_unregister(own.hdl), 0);
    ring_close(&ring);
}

static void restart(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)arg;
    if (event->type != RECORD_EVENT_FINISHED)
        return;
    long long began = now_ms();
    int rc = record_start(hdl);
    CHECK_BETWEEN(now_ms() - began, 0, SOON);
    CHECK_INT(rc, -EDEADLK);
    add(&own.calls, 1);
}

static void start_in_a_callback_of_what_has_finished_is_refused(void)
{
    uint8_t byte = 1;
    rec_hdl_t hdl = session(mem_uri(&byte, 1), "null://");
    CHECK_INT(record_set_event_cb(hdl, restart, NULL), 0);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&own.calls) == 1, 10 * SOON);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(load(&own.calls), 1);
    CHECK_INT(record_unregister(hdl), 0);
}

static void end_in_release(void *arg)
{
    end_from_inside();
    sem_post(arg);
}

static void stop_in_data_release_is_refused(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    sem_init(&blocked.plain, 0, 0);
    own.hdl = session(ring_uri(&ring.rb), "null://");
    record_set_data_ready_cb(own.hdl, wait_in_plain_sem, &blocked.plain);
    record_set_data_release_cb(own.hdl, end_in_release, &blocked.plain);
    CHECK_INT(record_start(own.hdl), 0);
    AWAIT(load(&blocked.inside) == 1, SOON);
    STOP_AT_ONCE(own.hdl, 0);
    check_own();
    CHECK_INT(record_unregister(own.hdl), 0);
    ring_close(&ring);
}

static void stop_other(void *arg)
{
    if (add(&own.calls, 1) == 1)
        own.stop = record_stop(arg);
}

static void a_callback_may_stop_another_session(void)
{
    struct ring a, b;
    ring_open(&a, 1000);
    ring_open(&b, 1000);
    rec_hdl_t first = session(ring_uri(&a.rb), "null://");
    rec_hdl_t second = session(ring_uri(&b.rb), "null://");
    own.stop = 1;
    record_set_data_ready_cb(second, stop_other, first);
    CHECK_INT(record_start(first), 0);
    CHECK_INT(record_start(second), 0);
    AWAIT(state_of(first) == RECORD_REGISTERED, SOON);
    STOP_AT_ONCE(second, 0);
    CHECK_INT(own.stop, 0);
    CHECK_INT(record_unregister(first), 0);
    CHECK_INT(record_unregister(second), 0);
    ring_close(&a);
    ring_close(&b);
}

/* ---- A server that is of no use ------------------------------------------ */

#define MUCH (24 << 20) /* more than the sockets of both sides take */

struct stopper {
    rec_hdl_t hdl;
    pthread_barrier_t *together;
    int rc;
    long long took;
    char error[256];
};

static void *stop_together(void *arg)
{
    struct stopper *s = arg;
    pthread_barrier_wait(s->together);
    s->rc = timed_stop(s->hdl, &s->took);
    snprintf(s->error, sizeof(s->error), "%s", record_last_error());
    return NULL;
}

/* A session to a stalled server, with more to send than will go. */
static rec_hdl_t stalled_session(struct server *server, struct ring *ring, const char *timeout)
{
    ring_open(ring, MUCH + 1);
    rec_hdl_t hdl = session(ring_uri(&ring->rb), server_url(server, "a.pcm"));
    set_option(hdl, "stop_timeout", timeout);
    CHECK_INT(record_start(hdl), 0);
    server_pause(server);
    uint8_t *data = make_bytes(MUCH, 1);
    CHECK_INT(ringbuffer_write(&ring->rb, data, MUCH), MUCH);
    free(data);
    return hdl;
}

static void stop_leaves_a_stalled_server_and_counts_what_it_left(void)
{
    struct server server = server_start();
    struct ring ring;
    rec_hdl_t hdl = stalled_session(&server, &ring, "500");
    long long took;
    CHECK_INT(timed_stop(hdl, &took), -ETIMEDOUT);
    CHECK_BETWEEN(took, 450, 500 + SOON);
    char error[512];
    snprintf(error, sizeof(error), "%s", record_last_error());
    record_stats_t stats = stats_of(hdl);
    char count[64];
    snprintf(count, sizeof(count), "record_stop|%" PRIu64 " bytes", stats.left_bytes);
    CHECK_WORDS(error, count);
    CHECK(stats.left_bytes > 0);
    CHECK_INT(stats.left_bytes + stats.acked_bytes, stats.read_bytes);
    CHECK_INT(stats.read_bytes + ringbuffer_available_read_space(&ring.rb), MUCH);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
    server_resume(&server);
}

static void two_threads_that_stop_at_once_get_one_result(void)
{
    struct server server = server_start();
    struct ring ring;
    rec_hdl_t hdl = stalled_session(&server, &ring, "500");
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    struct stopper s[2] = {{.hdl = hdl, .together = &together},
                           {.hdl = hdl, .together = &together}};
    pthread_t other = thread_start(stop_together, &s[0]);
    stop_together(&s[1]);
    thread_join(other);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(s[i].rc, -ETIMEDOUT);
        CHECK_BETWEEN(s[i].took, 400, 500 + SOON);
        CHECK_WORDS(s[i].error, "bytes");
    }
    CHECK(strcmp(s[0].error, s[1].error) == 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
    server_resume(&server);
}

static void *unregister_together(void *arg)
{
    struct stopper *s = arg;
    pthread_barrier_wait(s->together);
    s->rc = record_unregister(s->hdl);
    return NULL;
}

static void of_two_threads_that_unregister_one_does(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    for (int round = 0; round < 100; round++) {
        rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
        CHECK_INT(record_start(hdl), 0);
        pthread_barrier_t together;
        pthread_barrier_init(&together, NULL, 2);
        struct stopper s[2] = {{.hdl = hdl, .together = &together},
                               {.hdl = hdl, .together = &together}};
        pthread_t other = thread_start(unregister_together, &s[0]);
        unregister_together(&s[1]);
        thread_join(other);
        CHECK_INT(s[0].rc + s[1].rc, -EINVAL);
        CHECK(s[0].rc == 0 || s[1].rc == 0);
    }
    ring_close(&ring);
}

static void stop_tells_once_that_the_server_died(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 100001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_set_option(hdl, "max_offline", "1"), 0);
    CHECK_INT(record_start(hdl), 0);
    uint8_t *data = make_bytes(50000, 1);
    CHECK_INT(ringbuffer_write(&ring.rb, data, 50000), 50000);
    AWAIT(stats_of(hdl).sent_bytes == 50000, SOON);
    server_kill(&server);
    AWAIT(state_of(hdl) == RECORD_FAILED, SOON);
    CHECK_INT(ringbuffer_write(&ring.rb, data, 50000), 50000);
    long long took;
    int rc = timed_stop(hdl, &took);
    CHECK(rc < 0);
    CHECK_BETWEEN(took, 0, SOON);
    CHECK_WORDS(record_last_error(), "record_stop|127.0.0.1|bytes");
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_start(hdl), -ECONNREFUSED);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
}

static void *kill_soon(void *arg)
{
    pause_ms(200);
    server_kill(arg);
    return NULL;
}

static void stop_ends_when_the_server_dies_under_it(void)
{
    struct server server = server_start();
    struct ring ring;
    CHECK_INT(setenv("MSP_RECORD_MAX_OFFLINE", "1", 1), 0);
    rec_hdl_t hdl = stalled_session(&server, &ring, "20000");
    pthread_t thread = thread_start(kill_soon, &server);
    long long took;
    int rc = timed_stop(hdl, &took);
    thread_join(thread);
    CHECK(rc < 0 && rc != -ETIMEDOUT);
    CHECK_BETWEEN(took, 150, 200 + SOON);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.left_bytes + stats.acked_bytes, stats.read_bytes);
    CHECK_INT(stats.read_bytes + ringbuffer_available_read_space(&ring.rb), MUCH);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

/* ---- Finished, and ended by others --------------------------------------- */

static void a_finite_source_is_delivered_without_a_stop(void)
{
    struct server server = server_start();
    size_t size = 300001;
    uint8_t *data = make_bytes(size, 1);
    write_whole(temp_path("in"), data, size);
    char from[2][512];
    snprintf(from[0], sizeof(from[0]), "%s", mem_uri(data, size));
    snprintf(from[1], sizeof(from[1]), "file://%s", temp_path("in"));
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.pcm", i);
        rec_hdl_t hdl = session(from[i], server_url(&server, name));
        CHECK_INT(record_wait(hdl, 0), -EINVAL);
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_wait(hdl, 5000), 0);
        CHECK_INT(state_of(hdl), RECORD_FINISHED);
        check_stored(&server, name, data, size);
        int read_bytes, sent_bytes;
        CHECK_INT(record_get_count(hdl, &read_bytes, &sent_bytes), 0);
        CHECK_INT(read_bytes, size);
        CHECK_INT(sent_bytes, size);
        if (i == 0)
            STOP_AT_ONCE(hdl, 0);
        CHECK_INT(record_unregister(hdl), 0);
        CHECK_INT(record_stop(hdl), -EINVAL);
    }
    free(data);
}

static void unregister_stops_first(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 65536);
    uint8_t *data = make_bytes(60000, 1);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(ringbuffer_write(&ring.rb, data, 60000), 60000);
    CHECK_INT(record_unregister(hdl), 0);
    check_stored(&server, "a.pcm", data, 60000);
    CHECK_INT(record_unregister(hdl), -EINVAL);
    free(data);
    ring_close(&ring);
}

static void *write_on(void *arg)
{
    uint8_t piece[777] = {0};
    struct ring *ring = arg;
    while (!load(&own.calls))
        if (ringbuffer_write(&ring->rb, piece, sizeof(piece)) == 0)
            sched_yield();
    return NULL;
}

static void a_ring_destroyed_under_a_session_ends_it_with_an_error(void)
{
    for (int round = 0; round < 200; round++) {
        struct ring ring;
        ring_open(&ring, 5001);
        rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
        CHECK_INT(record_start(hdl), 0);
        own.calls = 0;
        pthread_t writer = thread_start(write_on, &ring);
        if (round % 2)
            AWAIT(stats_of(hdl).read_bytes > 0, SOON);
        store(&own.calls, 1);
        thread_join(writer);
        long long began = now_ms();
        ringbuffer_destroy(&ring.rb);
        CHECK_BETWEEN(now_ms() - began, 0, SOON);
        memset(ring.buffer, 0, 5001);
        free(ring.buffer);
        memset(&ring.rb, 0xee, sizeof(ring.rb));
        AWAIT(state_of(hdl) == RECORD_FAILED, SOON);
        STOP_AT_ONCE(hdl, -ENODEV);
        CHECK_WORDS(record_last_error(), "destroyed");
        STOP_AT_ONCE(hdl, 0);
        CHECK_INT(record_unregister(hdl), 0);
    }
}

static void ring_and_buffer_can_be_unmapped_once_stop_has_returned(void)
{
    CHECK_INT(msp_event_new(&blocked.event, 0), 0);
    for (int round = 0; round < 60; round++) {
        size_t size = 1 << 20;
        char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pages != MAP_FAILED);
        dev_ringbuf_t *rb = (dev_ringbuf_t *)(void *)pages;
        CHECK_INT(ringbuffer_create(rb, pages + 4096, 65536), 0);
        rec_hdl_t hdl = session(ring_uri(rb), "null://");
        if (round % 3 == 1)
            record_set_data_ready_cb(hdl, wait_in_event, &blocked.event);
        CHECK_INT(record_start(hdl), 0);
        if (round % 3 != 2)
            CHECK_INT(ringbuffer_write(rb, (uint8_t *)pages + 100000, 60000), 60000);
        CHECK_INT(record_stop(hdl), 0);
        munmap(pages, size);
        CHECK_INT(load(&blocked.inside), 0);
        if (round % 2) {
            ringbuffer_destroy(rb);
            CHECK_INT(record_unregister(hdl), 0);
        }
    }
    pause_ms(120); /* three times the longest sleep of a session */
}

/* ---- Starting ------------------------------------------------------------ */

static void a_session_starts_once_and_again_after_a_stop(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 10000);
    uint8_t *data = make_bytes(9000, 1);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_start(hdl), -EALREADY);
    CHECK_WORDS(record_last_error(), "record_start|runs already");
    CHECK_INT(record_set_option(hdl, "stop_timeout", "100"), -EBUSY);
    CHECK_INT(record_set_event_cb(hdl, NULL, NULL), -EBUSY);
    record_set_chunk_size(hdl, 100);
    CHECK_WORDS(record_last_error(), "record_set_chunk_size|runs");
    record_set_data_ready_cb(hdl, NULL, NULL);
    CHECK_WORDS(record_last_error(), "record_set_data_ready_cb|runs");
    record_set_data_release_cb(hdl, NULL, NULL);
    CHECK_WORDS(record_last_error(), "record_set_data_release_cb|runs");
    CHECK_INT(ringbuffer_write(&ring.rb, data, 4000), 4000);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(stats_of(hdl).read_bytes, 0);
    CHECK_INT(ringbuffer_write(&ring.rb, data + 4000, 5000), 5000);
    STOP_AT_ONCE(hdl, 0);
    check_stored(&server, "a.pcm", data, 4000);
    check_stored(&server, "a_1.pcm", data + 4000, 5000);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
}

static void a_ring_has_one_reading_session(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t a = session(ring_uri(&ring.rb), "null://");
    rec_hdl_t b = session(ring_uri(&ring.rb), "null://");
    rec_hdl_t writer = session("null://", ring_uri(&ring.rb));
    CHECK_INT(record_start(a), 0);
    CHECK_INT(record_start(b), -EBUSY);
    CHECK_INT(record_start(writer), 0); /* its other side is free */
    STOP_AT_ONCE(a, 0);
    CHECK_INT(record_start(b), 0);
    CHECK_INT(record_start(a), -EBUSY);
    STOP_AT_ONCE(b, 0);
    STOP_AT_ONCE(writer, 0);
    CHECK_INT(record_unregister(a), 0);
    CHECK_INT(record_unregister(b), 0);
    CHECK_INT(record_unregister(writer), 0);
    ring_close(&ring);
}

/* ---- While it runs ------------------------------------------------------- */

static void count_call(void *arg)
{
    add(arg, 1);
}

static void a_data_ready_that_brings_nothing_burns_no_cpu(void)
{
    struct ring ring;
    int calls = 0;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    record_set_data_ready_cb(hdl, count_call, &calls);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&calls) > 0, SOON);
    long cpu = cpu_ms();
    pause_ms(1000);
    cpu = cpu_ms() - cpu;
    note("%d calls, %ld ms of CPU in 1 s", load(&calls), cpu);
    CHECK_BETWEEN(cpu, 0, 100);
    uint8_t byte = 1;
    CHECK_INT(ringbuffer_write(&ring.rb, &byte, 1), 1);
    AWAIT(stats_of(hdl).read_bytes == 1, 200);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static void a_write_index_moved_by_hand_is_noticed(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    long long longest = 0;
    for (uint32_t i = 1; i <= 20; i++) {
        pause_ms(7);
        ring.rb.buffer[i - 1] = 1;
        long long began = now_ms();
        __atomic_store_n(&ring.rb.widx, i, __ATOMIC_RELEASE);
        AWAIT(stats_of(hdl).read_bytes == i, SOON);
        if (now_ms() - began > longest)
            longest = now_ms() - began;
    }
    note("noticed after %lld ms at most", longest);
    STOP_AT_ONCE(hdl, 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static void pre_stop_fixes_the_end(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, MUCH + 1);
    uint8_t *data = make_bytes(MUCH, 1);
    uint32_t before = MUCH / 4 * 3;
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    server_pause(&server); /* so that both pieces wait in the ring */
    CHECK_INT(ringbuffer_write(&ring.rb, data, before), before);
    long long began = now_ms();
    CHECK_INT(record_pre_stop(hdl), 0);
    CHECK_BETWEEN(now_ms() - began, 0, 200);
    CHECK_INT(ringbuffer_write(&ring.rb, data + before, MUCH - before), MUCH - before);
    CHECK_INT(record_pre_stop(hdl), 0); /* the first counts */
    server_resume(&server);
    CHECK_INT(record_stop(hdl), 0);
    check_stored(&server, "a.pcm", data, before);
    CHECK_INT(ringbuffer_available_read_space(&ring.rb), MUCH - before);
    CHECK_INT(record_start(hdl), 0); /* what was written after it is the next run's */
    CHECK_INT(record_stop(hdl), 0);
    check_stored(&server, "a_1.pcm", data + before, MUCH - before);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
}

static void *produce(void *arg)
{
    struct ring *ring = arg;
    uint8_t piece[640];
    for (uint64_t at = 0; !load(&own.calls);) {
        fill_bytes(piece, sizeof(piece), 1, at);
        at += (uint64_t)ringbuffer_write(&ring->rb, piece, sizeof(piece));
    }
    return NULL;
}

static void stop_ends_though_the_producer_goes_on(void)
{
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 640 * 50 + 1);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    pthread_t thread = thread_start(produce, &ring);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(stats_of(hdl).sent_bytes > 1000000, 5000);
    STOP_AT_ONCE(hdl, 0);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.read_bytes, stats.sent_bytes);
    store(&own.calls, 1);
    thread_join(thread);
    uint8_t *data = make_bytes(stats.sent_bytes, 1);
    check_stored(&server, "a.pcm", data, stats.sent_bytes);
    free(data);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static void wait_ends_with_the_session(void)
{
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    long long began = now_ms();
    CHECK_INT(record_wait(hdl, 100), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 95, SOON);
    pthread_barrier_t together;
    pthread_barrier_init(&together, NULL, 2);
    struct stopper s = {.hdl = hdl, .together = &together};
    pthread_t thread = thread_start(stop_together, &s);
    pthread_barrier_wait(&together);
    CHECK_INT(record_wait(hdl, -1), 0);
    thread_join(thread);
    CHECK_INT(s.rc, 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static struct heard {
    int types[16];
    int count;
} heard;

static void hear(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    CHECK(event->size >= sizeof(*event) && event->message && event->message[0]);
    pause_ms(2);
    int n = add(&heard.count, 1);
    if (n <= 16)
        heard.types[n - 1] = (int)event->type;
}

static void events_come_in_order_and_none_after_stop(void)
{
    uint8_t data[1000] = {0};
    rec_hdl_t hdl = session(mem_uri(data, sizeof(data)), "null://");
    CHECK_INT(record_set_event_cb(hdl, hear, NULL), 0);
    for (int i = 0; i < 50; i++) {
        store(&heard.count, 0);
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_wait(hdl, SOON), 0);
        STOP_AT_ONCE(hdl, 0);
        CHECK_INT(load(&heard.count), 3);
        CHECK_INT(heard.types[0], RECORD_EVENT_CONNECTED);
        CHECK_INT(heard.types[1], RECORD_EVENT_FINISHED);
        CHECK_INT(heard.types[2], RECORD_EVENT_DISCONNECTED);
    }
    CHECK_INT(record_unregister(hdl), 0);
}

static void rounds_leave_no_thread_and_no_descriptor(void)
{
    struct server server = server_start();
    CHECK_INT(msp_event_new(&blocked.event, 0), 0);
    struct ring ring;
    ring_open(&ring, 1000);
    int threads = 0, descriptors = 0;
    for (int i = 0; i < 120; i++) {
        rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
        record_set_data_ready_cb(hdl, wait_in_event, &blocked.event);
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_unregister(hdl), 0);
        if (i == 20)
            threads = count_threads(), descriptors = count_descriptors();
    }
    note("%d threads, %d descriptors", count_threads(), count_descriptors());
    AWAIT(count_threads() <= threads + 2, SOON);
    AWAIT(count_descriptors() <= descriptors, SOON);
    ring_close(&ring);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(stop_of_what_never_ran_is_0),
        TEST(stop_after_a_failed_start_is_0),
        TEST(stop_ends_connecting_to_an_address_that_swallows_packets),
        TEST(stop_ends_connecting_to_a_server_that_says_nothing),
        TEST(stop_wakes_event_get_without_a_release),
        TEST(stop_wakes_sem_wait_without_a_release),
        TEST(stop_wakes_queue_recv_without_a_release),
        TEST(stop_wakes_mutex_lock_without_a_release),
        TEST(stop_wakes_msleep_without_a_release),
        TEST(a_restarted_session_waits_again),
        TEST(release_that_works_runs_once_on_the_callers_thread),
        TEST(release_runs_each_100_ms_while_data_ready_blocks),
        TEST(release_that_came_too_early_is_made_good),
        TEST(stop_gives_up_on_a_data_ready_that_never_returns),
        TEST(bytes_are_delivered_though_data_ready_never_returns),
        TEST(stop_in_data_ready_is_refused_and_ends_the_session),
        TEST(stop_in_the_event_callback_is_refused_and_ends_the_session),
        TEST(stop_in_data_release_is_refused),
        TEST(start_in_a_callback_of_what_has_finished_is_refused),
        TEST(a_callback_may_stop_another_session),
        TEST(stop_leaves_a_stalled_server_and_counts_what_it_left),
        TEST(two_threads_that_stop_at_once_get_one_result),
        TEST(of_two_threads_that_unregister_one_does),
        TEST(stop_tells_once_that_the_server_died),
        TEST(stop_ends_when_the_server_dies_under_it),
        TEST(a_finite_source_is_delivered_without_a_stop),
        TEST(unregister_stops_first),
        TEST(a_ring_destroyed_under_a_session_ends_it_with_an_error),
        TEST(ring_and_buffer_can_be_unmapped_once_stop_has_returned),
        TEST(a_session_starts_once_and_again_after_a_stop),
        TEST(a_ring_has_one_reading_session),
        TEST(a_data_ready_that_brings_nothing_burns_no_cpu),
        TEST(a_write_index_moved_by_hand_is_noticed),
        TEST(pre_stop_fixes_the_end),
        TEST(stop_ends_though_the_producer_goes_on),
        TEST(wait_ends_with_the_session),
        TEST(events_come_in_order_and_none_after_stop),
        TEST(rounds_leave_no_thread_and_no_descriptor),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
