/* SPDX-License-Identifier: MIT
 *
 * test_reconnect.c - a server that goes away and comes back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#include "harness.h"

#define PIECE 2560
#define SOON 1000

static void every_byte_arrives_once_though_the_server_is_killed(void)
{
    enum { ROUNDS = 3, PIECES = 200 };
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 1000001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    record_set_chunk_size(hdl, PIECE);
    CHECK_INT(record_set_option(hdl, "stop_timeout", "20000"), 0);
    CHECK_INT(record_start(hdl), 0);
    size_t size = (size_t)(ROUNDS + 1) * PIECES * PIECE, at = 0;
    uint8_t *data = make_bytes(size, 1);
    for (int round = 0; round <= ROUNDS; round++) {
        uint64_t acked = stats_of(hdl).acked_bytes;
        for (int i = 0; i < PIECES; i++, at += PIECE) {
            AWAIT(ringbuffer_available_write_space(&ring.rb) >= PIECE, 20000);
            CHECK_INT(ringbuffer_write(&ring.rb, data + at, PIECE), PIECE);
            if (i == PIECES / 2 && round < ROUNDS) {
                AWAIT(stats_of(hdl).acked_bytes > acked, SOON);
                server_kill(&server);
            }
        }
        if (round < ROUNDS) {
            server_again(&server);
            uint32_t reconnects = (uint32_t)round + 1;
            AWAIT(stats_of(hdl).reconnects == reconnects, 20000);
        }
    }
    CHECK_INT(record_stop(hdl), 0);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.acked_bytes, size);
    CHECK_INT(stats.left_bytes, 0);
    CHECK_INT(stats.acknowledged, 1);
    check_stored(&server, "a.pcm", data, size);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
    server_kill(&server);
}

/* What a session's events tell of bytes that were lost. */
struct told {
    int refused, given_up, gaps;
    uint64_t offset; /* of the last gap */
};

static void hear(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    struct told *told = arg;
    (void)hdl;
    if (event->type != RECORD_EVENT_OVERFLOW)
        return;
    if (event->offset == UINT64_MAX) {
        add(&told->refused, (int)event->bytes);
        return;
    }
    told->offset = event->offset;
    add(&told->given_up, (int)event->bytes);
    add(&told->gaps, 1);
}

/* A session with 64 KiB of window and 20 kB of ring, whose server is gone. */
static rec_hdl_t offline_session(struct server *server, struct ring *ring, const char *on_full,
                                 struct told *told)
{
    ring_open(ring, 20001);
    rec_hdl_t hdl = session(ring_uri(&ring->rb), server_url(server, "a.pcm"));
    record_set_chunk_size(hdl, PIECE);
    record_set_event_cb(hdl, hear, told);
    set_option(hdl, "replay_bytes", "65536");
    set_option(hdl, "on_full", on_full);
    set_option(hdl, "stop_timeout", "300");
    CHECK_INT(record_start(hdl), 0);
    return hdl;
}

/* Writes 1 MB as a producer does that never waits. What the ring takes of it
 * is the stream; returns its length. */
static size_t write_on(struct ring *ring, const uint8_t *data, size_t from, uint64_t *written)
{
    size_t at = from;
    for (int i = 0; i < 400; i++) {
        at += (size_t)ringbuffer_write(&ring->rb, (uint8_t *)(uintptr_t)(data + at), PIECE);
        *written += PIECE;
        if (i % 8 == 0)
            pause_ms(1);
    }
    return at;
}

static void what_an_outage_outlasts_is_counted_with(const char *on_full)
{
    struct server server = server_start();
    struct ring ring;
    struct told told = {0};
    rec_hdl_t hdl = offline_session(&server, &ring, on_full, &told);
    uint8_t *data = make_bytes(401 * PIECE, 1);
    CHECK_INT(ringbuffer_write(&ring.rb, data, PIECE), PIECE);
    AWAIT(stats_of(hdl).acked_bytes == PIECE, 20000);
    server_kill(&server);
    uint64_t written = PIECE;
    long long begun = msp_now_ms();
    size_t taken = write_on(&ring, data, PIECE, &written);
    CHECK(msp_now_ms() - begun < 5000); /* the producer never notices */
    begun = msp_now_ms();
    CHECK_INT(record_stop(hdl), -ETIMEDOUT);
    CHECK_BETWEEN(msp_now_ms() - begun, 250, 300 + SOON);
    CHECK_WORDS(record_last_error(), "record_stop|stop_timeout|bytes are left behind");
    record_stats_t stats = stats_of(hdl);
    note("%s: %" PRIu64 " written, %" PRIu64 " arrived, %" PRIu64 " dropped, %" PRIu64
         " given up, %" PRIu64 " left",
         on_full, written, stats.acked_bytes, stats.dropped_bytes, stats.given_up_bytes,
         stats.left_bytes);
    CHECK_INT(stats.acked_bytes, PIECE);
    CHECK(stats.left_bytes > 0);
    CHECK(stats.dropped_bytes + stats.given_up_bytes > 0);
    CHECK_INT(stats.dropped_bytes, written - taken);
    CHECK_INT(stats.acked_bytes + stats.dropped_bytes + stats.given_up_bytes + stats.left_bytes +
                  ringbuffer_available_read_space(&ring.rb),
              written);
    CHECK_INT(told.refused, stats.dropped_bytes);
    CHECK_INT(told.given_up, stats.given_up_bytes);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
}

static void what_an_outage_outlasts_is_counted(void)
{
    what_an_outage_outlasts_is_counted_with("hold");
}

static void what_is_given_up_in_an_outage_is_counted(void)
{
    what_an_outage_outlasts_is_counted_with("drop_oldest");
    what_an_outage_outlasts_is_counted_with("drop_newest");
}

static void what_is_given_up_is_all_that_is_missing_with(const char *on_full)
{
    struct server server = server_start();
    struct ring ring;
    struct told told = {0};
    rec_hdl_t hdl = offline_session(&server, &ring, on_full, &told);
    uint8_t *data = make_bytes(402 * PIECE, 1);
    CHECK_INT(ringbuffer_write(&ring.rb, data, PIECE), PIECE);
    AWAIT(stats_of(hdl).acked_bytes == PIECE, 20000);
    server_kill(&server);
    uint64_t written = PIECE;
    size_t taken = write_on(&ring, data, PIECE, &written);
    server_again(&server);
    AWAIT(stats_of(hdl).reconnects == 1, 20000);
    AWAIT(ringbuffer_available_write_space(&ring.rb) >= PIECE, 20000);
    CHECK_INT(ringbuffer_write(&ring.rb, data + taken, PIECE), PIECE);
    taken += PIECE;
    written += PIECE;
    AWAIT(stats_of(hdl).acked_bytes + stats_of(hdl).given_up_bytes == taken, 20000);
    CHECK_INT(record_stop(hdl), 0);

    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.left_bytes, 0);
    CHECK_INT(stats.dropped_bytes, written - taken);
    CHECK(stats.given_up_bytes > 0);
    CHECK_INT(stats.acked_bytes + stats.given_up_bytes, taken);
    CHECK_INT(told.refused, stats.dropped_bytes);
    CHECK_INT(told.given_up, stats.given_up_bytes);
    CHECK_INT(told.gaps, 1);
    size_t gap = (size_t)told.offset;
    note("%s: %" PRIu64 " bytes from %zu on of %zu", on_full, stats.given_up_bytes, gap, taken);
    if (strcmp(on_full, "drop_oldest") == 0)
        CHECK_INT(gap, PIECE);
    else
        CHECK_BETWEEN(gap, 60000, PIECE + 65536); /* a window later */
    /* What is stored has the gap closed up. */
    CHECK(gap + stats.given_up_bytes <= taken);
    memmove(data + gap, data + gap + stats.given_up_bytes, taken - gap - stats.given_up_bytes);
    check_stored(&server, "a.pcm", data, taken - stats.given_up_bytes);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
    server_kill(&server);
}

static void what_is_given_up_is_all_that_is_missing(void)
{
    what_is_given_up_is_all_that_is_missing_with("drop_oldest");
    what_is_given_up_is_all_that_is_missing_with("drop_newest");
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {TEST(every_byte_arrives_once_though_the_server_is_killed),
                                        TEST(what_an_outage_outlasts_is_counted),
                                        TEST(what_is_given_up_in_an_outage_is_counted),
                                        TEST(what_is_given_up_is_all_that_is_missing)};
    return run_tests(argc, argv, tests, COUNT(tests));
}
