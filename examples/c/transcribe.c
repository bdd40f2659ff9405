/* SPDX-License-Identifier: MIT
 *
 * transcribe.c - a WAV file to a speech service, and what it says to standard
 * output. The service here is a Vosk server; the README's table has what to
 * set for others.
 *
 *     cc transcribe.c -o transcribe $(pkg-config --cflags --libs msprecord)
 *     ./transcribe speech.wav ws://127.0.0.1:2700
 */
#include <stdio.h>

#include <msp/record_ext.h>

static void hear(rec_hdl_t hdl, const void *data, uint32_t size, int is_text, void *arg)
{
    (void)hdl;
    (void)arg;
    if (is_text)
        printf("%.*s\n", (int)size, (const char *)data);
}

int main(int argc, char **argv)
{
    static const char *const options[][2] = {
        {"open_text", "{\"config\":{\"sample_rate\":16000}}"},
        {"close_text", "{\"eof\" : 1}"},
        {"linger", "10000"},       /* wait for the last words, */
        {"stop_timeout", "15000"}, /* and for the tail before them */
    };
    if (argc != 3) {
        fprintf(stderr, "usage: %s FILE.wav ws://HOST:PORT\n", argv[0]);
        return 2;
    }
    char from[1024];
    snprintf(from, sizeof(from), "file://%s", argv[1]);
    rec_hdl_t rec = record_register(from, argv[2]);
    if (rec == NULL)
        return 1; /* the log has said why */
    int rc = record_set_message_cb(rec, hear, NULL);
    for (size_t i = 0; rc == 0 && i < sizeof(options) / sizeof(options[0]); i++)
        rc = record_set_option(rec, options[i][0], options[i][1]);
    if (rc == 0)
        rc = record_start(rec);
    if (rc == 0)
        rc = record_wait(rec, -1);
    if (record_unregister(rec) < 0)
        rc = -1;
    return rc ? 1 : 0;
}
