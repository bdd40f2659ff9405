/* SPDX-License-Identifier: MIT
 *
 * client.c - streams pseudo-random bytes from a ring.
 *
 *     client URL BYTES CHUNK [hold]
 *
 * The ring is full before the session starts, so that all messages but the
 * last have CHUNK bytes, and wraps around on the way. Prints "started" or
 * "start RESULT MESSAGE", then, hold: once standard input has ended, "stop
 * RESULT MESSAGE".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

/* The same as noise() in interop_test.go. */
static void noise(uint8_t *out, uint32_t n)
{
    uint64_t x = 88172645463325252u;
    for (uint32_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (uint8_t)(x >> 32);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: client URL BYTES CHUNK [hold]\n");
        return 2;
    }
    uint32_t bytes = (uint32_t)strtoul(argv[2], NULL, 10);
    int chunk = atoi(argv[3]);
    setvbuf(stdout, NULL, _IOLBF, 0);

    dev_ringbuf_t ring;
    char *storage = malloc((size_t)bytes + 1);
    uint8_t *data = malloc(bytes);
    if (storage == NULL || data == NULL || ringbuffer_create(&ring, storage, (int)bytes + 1) != 0) {
        fprintf(stderr, "client: no ring of %" PRIu32 " bytes\n", bytes);
        return 2;
    }
    /* Starting a third in, so that it wraps within a chunk or between two. */
    uint32_t third = bytes / 3;
    noise(data, bytes);
    if (third > 0 && (ringbuffer_write(&ring, data, third) != (int)third ||
                      ringbuffer_read(&ring, data, third) != (int)third)) {
        fprintf(stderr, "client: the ring does not turn\n");
        return 2;
    }
    if (ringbuffer_write(&ring, data, bytes) != (int)bytes) {
        fprintf(stderr, "client: the ring does not hold %" PRIu32 " bytes\n", bytes);
        return 2;
    }

    char from[64];
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&ring);
    rec_hdl_t rec = record_register(from, argv[1]);
    if (rec == NULL) {
        printf("register %s\n", record_last_error());
        return 1;
    }
    record_set_chunk_size(rec, chunk);
    int result = record_start(rec);
    if (result != 0) {
        printf("start %d %s\n", result, record_last_error());
        record_unregister(rec);
        return 1;
    }
    printf("started\n");
    if (argc > 4)
        while (getchar() != EOF)
            ;
    result = record_stop(rec);
    printf("stop %d %s\n", result, record_last_error());

    /* From here on nothing of the library touches these. */
    free(storage);
    ringbuffer_destroy(&ring);
    record_unregister(rec);
    free(data);
    return result != 0;
}
