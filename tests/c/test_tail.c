/* SPDX-License-Identifier: MIT
 *
 * test_tail.c - what was written when record_stop() is called arrives, whatever
 * the session does at that moment.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <msp/kernel.h>

#define ROUNDS 1000
#define RING (640 * 50 + 1)

static msp_event_t event;

static void wait_for_data(void *arg)
{
    (void)arg;
    unsigned flags;
    msp_event_get(&event, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
}

/* Of two sessions one waits by itself and one in data_ready. */
static void stop_delivers_what_was_written(void)
{
    struct server server = server_start();
    CHECK_INT(msp_event_new(&event, 0), 0);
    struct ring ring;
    ring_open(&ring, RING);
    unsigned random = 1;
    size_t total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        char name[32];
        snprintf(name, sizeof(name), "%d.pcm", round);
        random = random * 1103515245u + 12345u;
        uint32_t size = round % 10 == 0 ? 0 : random / 7 % (RING - 1) + 1;
        uint8_t *data = make_bytes(size, (uint64_t)round);
        rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, name));
        if (round % 2)
            record_set_data_ready_cb(hdl, wait_for_data, NULL);
        record_set_chunk_size(hdl, round % 3 ? 640 : 0);
        CHECK_INT(record_start(hdl), 0);
        if (round % 4 > 1)
            usleep(random % 500); /* data_ready blocks by now, or not */
        CHECK_INT(ringbuffer_write(&ring.rb, data, size), size);
        if (round % 5 == 1)
            msp_event_set(&event, 1, MSP_EVENT_OR);
        CHECK_INT(round % 7 ? record_stop(hdl) : record_unregister(hdl), 0);
        check_stored(&server, name, data, size);
        CHECK_INT(ringbuffer_available_read_space(&ring.rb), 0);
        if (round % 7)
            CHECK_INT(record_unregister(hdl), 0);
        total += size;
        free(data);
    }
    note("%d rounds, %zu bytes", ROUNDS, total);
    ring_close(&ring);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {TEST(stop_delivers_what_was_written)};
    return run_tests(argc, argv, tests, COUNT(tests));
}
