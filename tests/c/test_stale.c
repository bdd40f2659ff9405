/* SPDX-License-Identifier: MIT
 *
 * test_stale.c - rings whose memory goes away: after stop that is allowed without
 * ringbuffer_destroy, and before a start it is an error, never a crash. What
 * their producers are refused is counted for the session that was there.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <msp/log.h>

#define SIZE 16384
#define SOON 5000

/* A ring in pages of its own. */
static dev_ringbuf_t *map_ring(void)
{
    char *pages = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_INT(ringbuffer_create((dev_ringbuf_t *)(void *)pages, pages + 4096, 8192), 0);
    return (dev_ringbuf_t *)(void *)pages;
}

static int over;

static void *pre_stop_on(void *arg)
{
    while (!load(&over)) {
        record_pre_stop(arg);
        record_stats_t stats = {.size = sizeof(stats)};
        record_get_stats(arg, &stats);
    }
    return NULL;
}

static void after_stop_a_ring_may_be_unmapped_whoever_still_calls(void)
{
    for (int round = 0; round < 100; round++) {
        dev_ringbuf_t *rb = map_ring();
        rec_hdl_t hdl = session(ring_uri(rb), "null://");
        store(&over, 0);
        CHECK_INT(record_start(hdl), 0);
        pthread_t other = thread_start(pre_stop_on, hdl);
        CHECK_INT(record_stop(hdl), 0);
        CHECK_INT(munmap(rb, SIZE), 0);
        store(&over, 1);
        thread_join(other);
        CHECK_INT(record_unregister(hdl), 0);
    }
}

/* The sweep looks at sleeping rings each 40 ms: here at many, at all times. */
static void after_stop_a_ring_may_be_unmapped_whoever_sweeps(void)
{
    enum { RINGS = 40 };
    static dev_ringbuf_t *rings[RINGS];
    static rec_hdl_t hdls[RINGS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < RINGS; i++) {
            rings[i] = map_ring();
            hdls[i] = session(ring_uri(rings[i]), "null://");
            CHECK_INT(record_start(hdls[i]), 0);
        }
        for (int i = 0; i < RINGS; i++) {
            CHECK_INT(record_stop(hdls[i]), 0);
            CHECK_INT(munmap(rings[i], SIZE), 0);
            pause_ms(1);
        }
        for (int i = 0; i < RINGS; i++)
            CHECK_INT(record_unregister(hdls[i]), 0);
    }
}

static void check_gone(const char *uri, rec_hdl_t before)
{
    CHECK(record_register(uri, "null://") == NULL);
    CHECK_WORDS(record_last_error(), "ring's memory|ringbuffer_destroy");
    CHECK_INT(record_start(before), -EFAULT);
    CHECK_WORDS(record_last_error(), "ring's memory|ringbuffer_destroy");
    CHECK_INT(record_stop(before), 0);
    CHECK_INT(record_unregister(before), 0);
}

static void a_ring_whose_memory_is_gone_is_an_error_at_start(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    for (int used = 0; used < 2; used++)
        for (int how = 0; how < 3; how++) {
            dev_ringbuf_t *rb = map_ring();
            char uri[64];
            snprintf(uri, sizeof(uri), "%s", ring_uri(rb));
            rec_hdl_t hdl = session(uri, "null://");
            if (used) {
                CHECK_INT(record_start(hdl), 0);
                CHECK_INT(record_stop(hdl), 0);
            }
            if (how == 0)
                munmap(rb, SIZE);
            else if (how == 1)
                munmap((char *)rb + 4096, SIZE - 4096); /* the buffer alone */
            else
                memset(rb, 0x5a, 4096); /* something else lives there now */
            check_gone(uri, hdl);
            munmap(rb, SIZE);
        }
}

static uint64_t dropped(rec_hdl_t hdl)
{
    return stats_of(hdl).dropped_bytes;
}

static void refused_bytes_are_those_of_the_session_and_stay_so(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    char buffer[100];
    uint8_t data[200] = {0};
    dev_ringbuf_t rb;
    CHECK_INT(ringbuffer_create(&rb, buffer, 100), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 200), 99); /* before any session */
    rec_hdl_t hdl = session(ring_uri(&rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    AWAIT(stats_of(hdl).read_bytes == 99, SOON);
    CHECK_INT(dropped(hdl), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 200), 99);
    CHECK_INT(dropped(hdl), 101);
    CHECK_INT(record_stop(hdl), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 200), 99); /* after it */
    CHECK_INT(dropped(hdl), 101);
    ringbuffer_destroy(&rb);
    CHECK_INT(dropped(hdl), 101);

    /* Destroyed while the session runs, and another one in its place. */
    CHECK_INT(ringbuffer_create(&rb, buffer, 100), 0);
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 150), 99);
    ringbuffer_destroy(&rb);
    AWAIT(state_of(hdl) == RECORD_FAILED, SOON);
    CHECK_INT(dropped(hdl), 51);
    CHECK_INT(ringbuffer_create(&rb, buffer, 100), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 200), 99);
    CHECK_INT(dropped(hdl), 51);
    CHECK(record_unregister(hdl) < 0);
    ringbuffer_destroy(&rb);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(after_stop_a_ring_may_be_unmapped_whoever_still_calls),
        TEST(after_stop_a_ring_may_be_unmapped_whoever_sweeps),
        TEST(a_ring_whose_memory_is_gone_is_an_error_at_start),
        TEST(refused_bytes_are_those_of_the_session_and_stay_so),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
