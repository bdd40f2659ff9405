/* SPDX-License-Identifier: MIT
 *
 * stopper.c - a session that is brought into a state, and stopped there.
 *
 *     stopper URL RING
 *
 * Standard input says what to do, a line each:
 *
 *     N       write N bytes into the ring; what does not fit is refused
 *     full    wait until the window takes no further chunk, and bytes wait in
 *             the ring
 *     acked   wait until all that was written has arrived
 *
 * and its end stops the session, whatever it is in. Prints:
 *
 *     starting              record_start() is called, on a thread of its own
 *     started RC            it has returned
 *     up, down              the session has a connection, has lost it
 *     done                  a line was carried out
 *     stop RC MESSAGE       record_stop()
 *     took MS               how long that was
 *     bytes WRITTEN ARRIVED LEFT DROPPED
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define CHUNK 2560

static rec_hdl_t rec;

static void hear(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)arg;
    if (event->type == RECORD_EVENT_CONNECTED)
        printf("up\n");
    else if (event->type == RECORD_EVENT_DISCONNECTED)
        printf("down\n");
}

static void *start(void *arg)
{
    (void)arg;
    printf("starting\n");
    printf("started %d\n", record_start(rec));
    return NULL;
}

static record_stats_t stats(void)
{
    record_stats_t stats = {.size = sizeof(stats)};
    record_get_stats(rec, &stats);
    return stats;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: stopper URL RING\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    dev_ringbuf_t ring;
    int size = atoi(argv[2]);
    char *storage = malloc((size_t)size);
    static uint8_t data[4 << 20];
    if (storage == NULL || ringbuffer_create(&ring, storage, size) != 0)
        return 2;
    char from[64];
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&ring);
    rec = record_register(from, argv[1]);
    if (rec == NULL)
        return 2;
    record_set_chunk_size(rec, CHUNK);
    record_set_event_cb(rec, hear, NULL);
    pthread_t starter;
    if (pthread_create(&starter, NULL, start, NULL) != 0)
        return 2;

    uint64_t written = 0;
    char line[32];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "full\n") == 0) {
            const char *limit = getenv("MSP_RECORD_REPLAY_BYTES");
            uint64_t room = limit ? strtoull(limit, NULL, 10) : 1 << 20;
            while (stats().window_bytes + CHUNK + 14 <= room ||
                   ringbuffer_available_read_space(&ring) == 0)
                msp_msleep(1);
        } else if (strcmp(line, "acked\n") == 0) {
            while (stats().acked_bytes < written)
                msp_msleep(1);
        } else {
            uint32_t n = (uint32_t)strtoul(line, NULL, 10);
            ringbuffer_write(&ring, data, n < sizeof(data) ? n : sizeof(data));
            written += n;
        }
        printf("done\n");
    }
    long long begun = msp_now_ms();
    int rc = record_stop(rec);
    long long took = msp_now_ms() - begun;
    printf("stop %d %s\n", rc, record_last_error());
    printf("took %lld\n", took);
    record_stats_t end = stats();
    printf("bytes %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %" PRIu64 "\n", written, end.acked_bytes,
           end.left_bytes, ringbuffer_available_read_space(&ring), end.dropped_bytes);
    pthread_join(starter, NULL);
    free(storage);
    ringbuffer_destroy(&ring);
    record_unregister(rec);
    return 0;
}
