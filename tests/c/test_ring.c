/* SPDX-License-Identifier: MIT
 *
 * test_ring.c - the ring between two threads and between two sessions, and what
 * its functions answer. The ring's part runs alone too, for ThreadSanitizer:
 *
 *     gcc -std=gnu99 -g -O1 -fsanitize=thread -DRING_ALONE -Iinclude
 *         tests/c/test_ring.c tests/c/harness.c internal/ringbuffer/ring.c
 *         internal/ringbuffer/live.c internal/doorbell/doorbell.c -pthread
 */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xutils/xringbuffer.h>

#define PIECE 640
#define RING (PIECE * 50 + 1)

#if defined(__SANITIZE_ADDRESS__)
#define STREAM (256ull << 20)
#else
#define STREAM (1ull << 30)
#endif

/* ---- Two threads --------------------------------------------------------- */

/* The stream is one block of bytes over and over, whose length is prime, so
 * that no two positions of the ring see the same bytes soon. */
#define BLOCK 1048573u
static uint8_t *block;

static uint32_t next_size(uint32_t *random, uint32_t most)
{
    *random = *random * 1664525u + 1013904223u;
    return (*random >> 8) % most + 1;
}

/* The bytes of the stream at `at`, as many as lie in a row, up to n. */
static uint8_t *stream_at(uint64_t at, uint32_t *n)
{
    uint32_t offset = (uint32_t)(at % BLOCK);
    if (*n > BLOCK - offset)
        *n = BLOCK - offset;
    return block + offset;
}

static void *write_stream(void *arg)
{
    dev_ringbuf_t *rb = arg;
    uint32_t random = 1;
    for (uint64_t at = 0; at < STREAM;) {
        uint32_t n = next_size(&random, random % 16 ? 3 * PIECE : RING + 100);
        uint8_t *data = stream_at(at, &n);
        if (at + n > STREAM)
            n = (uint32_t)(STREAM - at);
        int room = ringbuffer_available_write_space(rb);
        int moved = ringbuffer_write(rb, data, n);
        /* Only this thread writes: the room can have grown meanwhile. */
        if (moved < 0 || moved > (int)n || (moved < (int)n && moved < room))
            fail(__FILE__, __LINE__, "wrote %d of %u, with room for %d", moved, n, room);
        at += (uint64_t)moved;
        if (moved == 0)
            sched_yield();
    }
    return NULL;
}

static void a_reader_gets_every_byte_in_order(void)
{
    block = make_bytes(BLOCK, 1);
    dev_ringbuf_t rb;
    static char buffer[RING];
    static uint8_t got[RING + 100];
    CHECK_INT(ringbuffer_create(&rb, buffer, RING), 0);
    pthread_t writer = thread_start(write_stream, &rb);
    uint32_t random = 77;
    long long began = now_ms();
    for (uint64_t at = 0; at < STREAM;) {
        uint32_t n = next_size(&random, random % 16 ? 3 * PIECE : sizeof(got));
        int there = ringbuffer_available_read_space(&rb);
        int moved = ringbuffer_read(&rb, got, n);
        if (moved < 0 || moved > (int)n || (moved < (int)n && moved < there))
            fail(__FILE__, __LINE__, "read %d of %u, with %d there", moved, n, there);
        if (moved == 0)
            sched_yield();
        for (uint32_t done = 0; done < (uint32_t)moved;) {
            uint32_t part = (uint32_t)moved - done;
            const uint8_t *want = stream_at(at, &part);
            if (memcmp(got + done, want, part))
                CHECK_BYTES(got + done, part, want, part);
            done += part;
            at += part;
        }
    }
    thread_join(writer);
    CHECK_INT(ringbuffer_empty(&rb), 1);
    note("%llu MiB in %lld ms", STREAM >> 20, now_ms() - began);
    ringbuffer_destroy(&rb);
    free(block);
}

/* ---- What the functions answer ------------------------------------------- */

static void the_capacity_is_the_size_minus_one(void)
{
    dev_ringbuf_t rb;
    char buffer[100];
    uint8_t data[200], got[200];
    fill_bytes(data, sizeof(data), 1, 0);
    CHECK_INT(ringbuffer_create(&rb, buffer, 100), 0);
    CHECK_INT(rb.length, 99);
    CHECK(rb.buffer == (uint8_t *)buffer);
    CHECK_INT(ringbuffer_available_write_space(&rb), 99);
    CHECK_INT(ringbuffer_available_read_space(&rb), 0);
    CHECK_INT(ringbuffer_empty(&rb), 1);
    CHECK_INT(ringbuffer_full(&rb), 0);

    CHECK_INT(ringbuffer_write(&rb, data, 200), 99); /* what fits */
    CHECK_INT(ringbuffer_full(&rb), 1);
    CHECK_INT(ringbuffer_empty(&rb), 0);
    CHECK_INT(ringbuffer_available_write_space(&rb), 0);
    CHECK_INT(ringbuffer_available_read_space(&rb), 99);
    CHECK_INT(ringbuffer_write(&rb, data, 1), 0);

    CHECK_INT(ringbuffer_read(&rb, got, 200), 99); /* what is there */
    CHECK_BYTES(got, 99, data, 99);
    CHECK_INT(ringbuffer_read(&rb, got, 200), 0);
    ringbuffer_destroy(&rb);
}

static void a_read_of_nothing_is_minus_one(void)
{
    dev_ringbuf_t rb;
    char buffer[10];
    uint8_t data[10] = {1, 2, 3};
    CHECK_INT(ringbuffer_create(&rb, buffer, 10), 0);
    CHECK_INT(ringbuffer_read(&rb, data, 0), -1);
    CHECK_INT(ringbuffer_write(&rb, data, 0), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 3), 3);
    CHECK_INT(ringbuffer_read(&rb, data, 0), -1);
    CHECK_INT(ringbuffer_available_read_space(&rb), 3);
    ringbuffer_destroy(&rb);
}

static void pieces_wrap_at_every_offset(void)
{
    enum { SIZE = 37 };
    dev_ringbuf_t rb;
    char buffer[SIZE];
    uint8_t data[SIZE], got[SIZE];
    CHECK_INT(ringbuffer_create(&rb, buffer, SIZE), 0);
    uint64_t at = 0;
    for (uint32_t n = 1; n < SIZE; n++) {
        for (int turn = 0; turn < SIZE; turn++) {
            fill_bytes(data, n, 3, at);
            CHECK_INT(ringbuffer_write(&rb, data, n), n);
            CHECK_INT(ringbuffer_available_read_space(&rb), n);
            CHECK_INT(ringbuffer_available_write_space(&rb), SIZE - 1 - n);
            CHECK_INT(ringbuffer_read(&rb, got, SIZE), n);
            CHECK_BYTES(got, n, data, n);
            CHECK(rb.ridx <= rb.length && rb.widx <= rb.length);
            at += n;
        }
    }
    ringbuffer_destroy(&rb);
}

static void clear_throws_away_what_is_there(void)
{
    dev_ringbuf_t rb;
    char buffer[10];
    uint8_t data[10] = {1, 2, 3, 4, 5, 6}, got[10];
    CHECK_INT(ringbuffer_create(&rb, buffer, 10), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 6), 6);
    CHECK_INT(ringbuffer_clear(&rb), 0);
    CHECK_INT(ringbuffer_empty(&rb), 1);
    CHECK_INT(ringbuffer_available_write_space(&rb), 9);
    CHECK_INT(ringbuffer_write(&rb, data, 6), 6);
    CHECK_INT(ringbuffer_read(&rb, got, 10), 6);
    CHECK_BYTES(got, 6, data, 6);
    ringbuffer_destroy(&rb);
}

static void create_over_a_live_ring_replaces_it(void)
{
    dev_ringbuf_t rb;
    char first[10], second[20];
    uint8_t data[20] = {1, 2, 3};
    CHECK_INT(ringbuffer_create(&rb, first, 10), 0);
    CHECK_INT(ringbuffer_write(&rb, data, 3), 3);
    CHECK_INT(ringbuffer_create(&rb, second, 20), 0);
    CHECK_INT(rb.length, 19);
    CHECK_INT(ringbuffer_empty(&rb), 1);
    CHECK_INT(ringbuffer_write(&rb, data, 20), 19);
    ringbuffer_destroy(&rb);
    ringbuffer_destroy(&rb); /* not alive: nothing happens */
    CHECK_INT(ringbuffer_create(&rb, first, 10), 0);
    CHECK_INT(ringbuffer_empty(&rb), 1);
    ringbuffer_destroy(&rb);
}

static void create_and_destroy_leave_the_buffer_alone(void)
{
    dev_ringbuf_t rb;
    char buffer[10];
    memset(buffer, 0x5a, sizeof(buffer));
    CHECK_INT(ringbuffer_create(&rb, buffer, 10), 0);
    ringbuffer_destroy(&rb);
    for (size_t i = 0; i < sizeof(buffer); i++)
        CHECK_INT(buffer[i], 0x5a);
    char *freed = malloc(10);
    CHECK_INT(ringbuffer_create(&rb, freed, 10), 0);
    free(freed); /* as the SDK's example does */
    ringbuffer_destroy(&rb);
}

static void null_is_an_error_and_never_a_crash(void)
{
    dev_ringbuf_t rb;
    char buffer[10];
    uint8_t data[10] = {0};
    CHECK(ringbuffer_create(NULL, buffer, 10) < 0);
    CHECK(ringbuffer_create(&rb, NULL, 10) < 0);
    CHECK(ringbuffer_create(&rb, buffer, 1) < 0);
    CHECK(ringbuffer_create(&rb, buffer, 0) < 0);
    CHECK(ringbuffer_create(&rb, buffer, -1) < 0);
    ringbuffer_destroy(NULL);
    CHECK_INT(ringbuffer_create(&rb, buffer, 10), 0);
    CHECK_INT(ringbuffer_write(NULL, data, 1), 0);
    CHECK_INT(ringbuffer_write(&rb, NULL, 1), 0);
    CHECK_INT(ringbuffer_read(NULL, data, 1), -1);
    CHECK_INT(ringbuffer_read(&rb, NULL, 1), -1);
    CHECK_INT(ringbuffer_available_read_space(NULL), 0);
    CHECK_INT(ringbuffer_available_write_space(NULL), 0);
    CHECK_INT(ringbuffer_full(NULL), 0);
    CHECK_INT(ringbuffer_empty(NULL), 1);
    CHECK_INT(ringbuffer_clear(NULL), -1);
    ringbuffer_destroy(&rb);
}

static void the_smallest_ring_holds_one_byte(void)
{
    dev_ringbuf_t rb;
    char buffer[2];
    CHECK_INT(ringbuffer_create(&rb, buffer, 2), 0);
    for (int i = 0; i < 5; i++) {
        uint8_t data[2] = {(uint8_t)i, 99}, got[2];
        CHECK_INT(ringbuffer_write(&rb, data, 2), 1);
        CHECK_INT(ringbuffer_full(&rb), 1);
        CHECK_INT(ringbuffer_read(&rb, got, 2), 1);
        CHECK_INT(got[0], i);
    }
    ringbuffer_destroy(&rb);
}

static void the_newer_spelling_is_the_same_ring(void)
{
    x_ringbuf_t rb;
    uint8_t buffer[10], data[10] = {1, 2, 3}, got[10];
    CHECK_INT(sizeof(x_ringbuf_t), sizeof(dev_ringbuf_t));
    CHECK_INT(xringbuffer_create(&rb, buffer, 10), 0);
    CHECK_INT(xringbuffer_write(&rb, data, 3), 3);
    CHECK_INT(xringbuffer_available_read_space(&rb), 3);
    CHECK_INT(ringbuffer_available_read_space(&rb), 3);
    CHECK_INT(xringbuffer_available_write_space(&rb), 6);
    CHECK_INT(xringbuffer_read(&rb, got, 2), 2);
    CHECK_BYTES(got, 2, data, 2);
    CHECK_INT(xringbuffer_full(&rb), 0);
    CHECK_INT(xringbuffer_clear(&rb), 0);
    CHECK_INT(xringbuffer_empty(&rb), 1);
    CHECK_INT(xringbuffer_write(&rb, data, 3), 3);
    xringbuffer_reset(&rb);
    CHECK_INT(xringbuffer_empty(&rb), 1);
    xringbuffer_destroy(&rb);
}

/* ---- Through a session --------------------------------------------------- */

/* ThreadSanitizer does not see the atomics of the session's side, which are
 * Go's, and takes what they order for races. */
#if !defined(RING_ALONE) && !defined(__SANITIZE_THREAD__)
#define SESSIONS
static void a_session_carries_every_byte_from_ring_to_ring(void)
{
    block = make_bytes(BLOCK, 2);
    dev_ringbuf_t from, to;
    static char from_buffer[64 * RING], to_buffer[50 * RING];
    static uint8_t got[8 * RING];
    CHECK_INT(ringbuffer_create(&from, from_buffer, sizeof(from_buffer)), 0);
    CHECK_INT(ringbuffer_create(&to, to_buffer, sizeof(to_buffer)), 0);
    rec_hdl_t hdl = session(ring_uri(&from), ring_uri(&to));
    record_set_chunk_size(hdl, 65536);
    CHECK_INT(record_start(hdl), 0);
    long long began = now_ms();
    pthread_t writer = thread_start(write_stream, &from);
    long long last = now_ms();
    for (uint64_t at = 0; at < STREAM;) {
        int moved = ringbuffer_read(&to, got, sizeof(got));
        CHECK(moved >= 0);
        if (moved == 0) {
            CHECK(now_ms() - last < 5000);
            sched_yield();
            continue;
        }
        last = now_ms();
        for (uint32_t done = 0; done < (uint32_t)moved;) {
            uint32_t part = (uint32_t)moved - done;
            const uint8_t *want = stream_at(at, &part);
            if (memcmp(got + done, want, part))
                CHECK_BYTES(got + done, part, want, part);
            done += part;
            at += part;
        }
    }
    thread_join(writer);
    note("%llu MiB in %lld ms", STREAM >> 20, now_ms() - began);
    CHECK_INT(record_stop(hdl), 0);
    CHECK_INT(ringbuffer_empty(&from), 1);
    CHECK_INT(ringbuffer_empty(&to), 1);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.read_bytes, STREAM);
    CHECK_INT(stats.sent_bytes, STREAM);
    CHECK_INT(stats.ring_length, sizeof(from_buffer) - 1);
    CHECK_INT(record_unregister(hdl), 0);
    ringbuffer_destroy(&from);
    ringbuffer_destroy(&to);
    free(block);
}

static void a_session_waits_for_room_and_never_drops(void)
{
    struct ring from, to;
    ring_open(&from, 100001);
    ring_open(&to, 1001);
    uint8_t *data = make_bytes(100000, 1);
    uint8_t got[1000];
    rec_hdl_t hdl = session(ring_uri(&from.rb), ring_uri(&to.rb));
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(ringbuffer_write(&from.rb, data, 100000), 100000);
    for (size_t at = 0; at < 100000;) {
        AWAIT(ringbuffer_available_read_space(&to.rb) > 0, 1000);
        if (at % 3 == 0)
            pause_ms(1);
        int moved = ringbuffer_read(&to.rb, got, (uint32_t)(at % 900 + 1));
        CHECK_BYTES(got, (size_t)moved, data + at, (size_t)moved);
        at += (size_t)moved;
    }
    CHECK_INT(stats_of(hdl).dropped_bytes, 0);
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&from);
    ring_close(&to);
}

static int overflows;
static uint64_t overflowed;

static void count_overflow(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    if (event->type == RECORD_EVENT_OVERFLOW) {
        overflowed += event->bytes;
        add(&overflows, 1);
    }
}

static void bytes_refused_by_a_full_ring_are_counted(void)
{
    struct ring from, to;
    ring_open(&from, 1001);
    ring_open(&to, 101);
    uint8_t data[3000] = {0}, got[3000];
    CHECK_INT(ringbuffer_write(&from.rb, data, 1100),
              1000); /* before the start: not its business */
    rec_hdl_t hdl = session(ring_uri(&from.rb), ring_uri(&to.rb));
    CHECK_INT(record_set_event_cb(hdl, count_overflow, NULL), 0);
    set_option(hdl, "stop_timeout", "300");
    CHECK_INT(record_start(hdl), 0);
    AWAIT(ringbuffer_full(&to.rb), 1000);
    AWAIT(ringbuffer_available_read_space(&from.rb) == 900, 1000);
    CHECK_INT(ringbuffer_write(&from.rb, data, 3000), 100);
    CHECK_INT(ringbuffer_write(&from.rb, data, 50), 0);
    CHECK_INT(stats_of(hdl).dropped_bytes, 2950);
    CHECK_INT(ringbuffer_read(&to.rb, got, 3000), 100);
    AWAIT(load(&overflows) > 0, 1000);
    CHECK_INT(record_stop(hdl), -ETIMEDOUT); /* 900 bytes have no room */
    CHECK_INT(overflowed, 2950);
    record_stats_t stats = stats_of(hdl);
    CHECK_INT(stats.left_bytes, 0);
    CHECK_INT(ringbuffer_available_read_space(&from.rb), 900);
    CHECK_INT(stats.ring_high_water, 1000);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&from);
    ring_close(&to);
}
#endif

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_reader_gets_every_byte_in_order),
        TEST(the_capacity_is_the_size_minus_one),
        TEST(a_read_of_nothing_is_minus_one),
        TEST(pieces_wrap_at_every_offset),
        TEST(clear_throws_away_what_is_there),
        TEST(create_over_a_live_ring_replaces_it),
        TEST(create_and_destroy_leave_the_buffer_alone),
        TEST(null_is_an_error_and_never_a_crash),
        TEST(the_smallest_ring_holds_one_byte),
        TEST(the_newer_spelling_is_the_same_ring),
#ifdef SESSIONS
        TEST(a_session_carries_every_byte_from_ring_to_ring),
        TEST(a_session_waits_for_room_and_never_drops),
        TEST(bytes_refused_by_a_full_ring_are_counted),
#endif
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
