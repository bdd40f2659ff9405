/* A program from outside the tree: a ring to a file and back, in C. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

static char storage[1001];

int main(int argc, char **argv)
{
    dev_ringbuf_t ring;
    char from[64], to[512], text[] = "through the installed library", back[64] = "";

    if (argc != 3 || strcmp(record_version(), argv[2]) != 0) {
        fprintf(stderr, "usage: consumer FILE VERSION; this is %s\n", record_version());
        return 1;
    }
    ringbuffer_create(&ring, storage, sizeof(storage));
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&ring);
    snprintf(to, sizeof(to), "file://%s", argv[1]);

    rec_hdl_t rec = record_register(from, to);
    if (rec == NULL || record_start(rec) < 0) {
        fprintf(stderr, "consumer: %s\n", record_last_error());
        return 1;
    }
    ringbuffer_write(&ring, (uint8_t *)text, sizeof(text));
    if (record_stop(rec) < 0 || record_unregister(rec) < 0) {
        fprintf(stderr, "consumer: %s\n", record_last_error());
        return 1;
    }
    ringbuffer_destroy(&ring);

    FILE *f = fopen(argv[1], "rb");
    if (f == NULL || fread(back, 1, sizeof(back), f) != sizeof(text) || strcmp(back, text) != 0) {
        fprintf(stderr, "consumer: %s does not hold what was written\n", argv[1]);
        return 1;
    }
    fclose(f);
    return 0;
}
