/* SPDX-License-Identifier: MIT
 *
 * transcribe.c - a WAV file to a speech service, and what it says to standard
 * output. The service here is a Vosk server; the README's table has what to
 * set for others.
 *
 *     cc transcribe.c -o transcribe $(pkg-config --cflags --libs msprecord)
 *     ./transcribe speech.wav ws://127.0.0.1:2700
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msp/record_ext.h>

static uint32_t le(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

/* Reads the format that a "fmt " chunk has. Services want one channel of 16
 * bits; they are told the rate. NULL, or what is wrong. */
static const char *read_format(FILE *f, uint32_t size, uint32_t *rate)
{
    uint8_t fmt[26] = {0};
    size_t have = size < sizeof(fmt) ? size : sizeof(fmt);
    if (size < 16 || fread(fmt, 1, have, f) != have)
        return "its format is cut off";
    uint32_t tag = le(fmt, 2);
    if (tag == 0xFFFE && have == sizeof(fmt)) /* WAVE_FORMAT_EXTENSIBLE */
        tag = le(fmt + 24, 2);
    if (tag != 1)
        return "it is no PCM: sox IN.wav -e signed-integer -b 16 -c 1 OUT.wav makes it so";
    if (le(fmt + 2, 2) != 1 || le(fmt + 14, 2) != 16)
        return "it is not mono with 16 bits: sox IN.wav -b 16 -c 1 OUT.wav makes it so";
    *rate = le(fmt + 4, 4);
    return *rate == 0 ? "its rate is 0" : NULL;
}

/* Reads the samples of a WAV file and their rate, chunk after chunk until
 * "data". NULL, or what is wrong; *samples is to be freed. */
static const char *read_wav(FILE *f, uint8_t **samples, size_t *bytes, uint32_t *rate)
{
    uint8_t head[12];
    if (fread(head, 1, 12, f) != 12 || memcmp(head + 8, "WAVE", 4) != 0 ||
        (memcmp(head, "RIFF", 4) != 0 && memcmp(head, "RF64", 4) != 0))
        return "it is not a WAV file";
    if (fseek(f, 0, SEEK_END) != 0)
        return strerror(errno);
    long end = ftell(f), at = 12;
    while (end - at >= 8) {
        if (fseek(f, at, SEEK_SET) != 0 || fread(head, 1, 8, f) != 8)
            return strerror(errno);
        at += 8;
        uint32_t size = le(head + 4, 4);
        if (memcmp(head, "data", 4) == 0) {
            /* A recorder that was cut off, or wrote to a pipe, says too much. */
            *bytes = (size < (unsigned long)(end - at) ? size : (size_t)(end - at)) & ~(size_t)1;
            if (*rate == 0)
                return "its samples come before their format";
            if (*bytes == 0)
                return "it has no audio in it";
            *samples = malloc(*bytes);
            if (*samples == NULL || fread(*samples, 1, *bytes, f) != *bytes)
                return strerror(errno);
            return NULL;
        }
        if (memcmp(head, "fmt ", 4) == 0) {
            const char *wrong = read_format(f, size, rate);
            if (wrong != NULL)
                return wrong;
        }
        if (size >= (unsigned long)(end - at))
            break;
        at += (long)size + (size & 1); /* chunks begin at even places */
    }
    return "it has no audio in it";
}

static void hear(rec_hdl_t hdl, const void *data, uint32_t size, int is_text, void *arg)
{
    (void)hdl;
    (void)arg;
    if (is_text)
        printf("%.*s\n", (int)size, (const char *)data);
}

static int transcribe(const uint8_t *samples, size_t bytes, uint32_t rate, const char *url)
{
    char from[80], open_text[64];
    snprintf(from, sizeof(from), "mem://address=%" PRIuPTR "&size=%zu", (uintptr_t)samples, bytes);
    snprintf(open_text, sizeof(open_text), "{\"config\":{\"sample_rate\":%" PRIu32 "}}", rate);
    const char *const options[][2] = {
        {"open_text", open_text},
        {"close_text", "{\"eof\" : 1}"},
        {"linger", "10000"},       /* wait for the last words, */
        {"stop_timeout", "15000"}, /* and for the tail before them */
    };
    rec_hdl_t rec = record_register(from, url);
    if (rec == NULL)
        return -1; /* the log has said why */
    int rc = record_set_message_cb(rec, hear, NULL);
    for (size_t i = 0; rc == 0 && i < sizeof(options) / sizeof(options[0]); i++)
        rc = record_set_option(rec, options[i][0], options[i][1]);
    if (rc == 0)
        rc = record_start(rec);
    if (rc == 0)
        rc = record_wait(rec, -1);
    if (record_unregister(rec) < 0)
        rc = -1;
    return rc;
}

int main(int argc, char **argv)
{
    uint8_t *samples = NULL;
    size_t bytes = 0;
    uint32_t rate = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: %s FILE.wav ws://HOST:PORT\n", argv[0]);
        return 2;
    }
    FILE *f = fopen(argv[1], "rb");
    const char *wrong = f == NULL ? strerror(errno) : read_wav(f, &samples, &bytes, &rate);
    if (wrong != NULL)
        fprintf(stderr, "transcribe: %s: %s\n", argv[1], wrong);
    int rc = wrong != NULL ? -1 : transcribe(samples, bytes, rate, argv[2]);
    if (f != NULL)
        fclose(f);
    free(samples);
    return rc ? 1 : 0;
}
