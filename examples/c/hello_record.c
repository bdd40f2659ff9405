/* SPDX-License-Identifier: MIT
 *
 * hello_record.c - three seconds of a tone, through a ring, to a WebSocket server.
 *
 * Build:  cc hello_record.c -lmsprecord -lm -o hello_record
 * Run:    record-server            in another terminal; listens on port 9090
 *         ./hello_record ws://127.0.0.1:9090/tone.wav
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/ringbuffer.h>

#define RATE 16000
#define PIECE (RATE / 50) /* samples in 20 ms */

static char storage[PIECE * sizeof(int16_t) * 50 + 1]; /* room for one second */

int main(int argc, char **argv)
{
    dev_ringbuf_t ring;
    char from[64];

    ringbuffer_create(&ring, storage, sizeof(storage));
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&ring);

    rec_hdl_t rec = record_register(from, argc > 1 ? argv[1] : "ws://127.0.0.1:9090/tone.wav");
    if (rec == NULL || record_start(rec) < 0) /* connected, if it returns 0 */
        return 1;                             /* the log says why not */

    for (int t = 0; t < 3 * RATE; t += PIECE) { /* what an audio thread does */
        int16_t pcm[PIECE];
        for (int i = 0; i < PIECE; i++)
            pcm[i] = (int16_t)(8000 * sin(2 * 3.14159265 * 440 * (t + i) / RATE));
        ringbuffer_write(&ring, (uint8_t *)pcm, sizeof(pcm));
        msp_msleep(20);
    }

    int err = record_stop(rec); /* delivers what is still in the ring */
    record_unregister(rec);
    ringbuffer_destroy(&ring);
    return err < 0;
}
