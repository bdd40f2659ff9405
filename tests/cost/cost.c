/* What the library costs a program, one situation a run; tests/cost.sh makes
 * the table.
 *
 *     cost unused | first | streams URL | idle COUNT | blocked COUNT
 *
 * Prints "threads|resident KiB|remark".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define PIECE 2560
#define RING_SIZE (PIECE * 4 + 1)

struct session {
    dev_ringbuf_t ring;
    char storage[RING_SIZE];
    msp_event_t ready;
    rec_hdl_t rec;
};

static long from_status(const char *key)
{
    char line[256];
    long value = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    if (f != NULL)
        fclose(f);
    return value;
}

static void report(const char *remark)
{
    printf("%ld|%ld|%s\n", from_status("Threads:"), from_status("VmRSS:"), remark);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for_data(void *arg)
{
    struct session *s = arg;
    unsigned flags;
    msp_event_get(&s->ready, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
}

static void start(struct session *s, const char *to, int with_callback)
{
    char from[64];
    ringbuffer_create(&s->ring, s->storage, RING_SIZE);
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&s->ring);
    s->rec = record_register(from, to);
    if (s->rec != NULL && with_callback) {
        msp_event_new(&s->ready, 0);
        record_set_data_ready_cb(s->rec, wait_for_data, s);
    }
    if (s->rec == NULL || record_start(s->rec) < 0) {
        fprintf(stderr, "cost: %s\n", record_last_error());
        exit(1);
    }
}

static void stop(struct session *s)
{
    if (record_stop(s->rec) < 0)
        fprintf(stderr, "cost: %s\n", record_last_error());
    record_unregister(s->rec);
    ringbuffer_destroy(&s->ring);
}

static void first_call(void)
{
    char remark[64];
    double before = seconds(CLOCK_MONOTONIC);
    record_unregister(record_register("null://", "null://"));
    snprintf(remark, sizeof(remark), "%.1f ms, once", (seconds(CLOCK_MONOTONIC) - before) * 1e3);
    report(remark);
}

/* Three streams of 16 kHz mono s16le in real time, 80 ms a piece, for two seconds. */
static void streams(const char *url)
{
    static struct session s[3];
    static uint8_t piece[PIECE];
    char to[256], remark[64];
    for (int i = 0; i < 3; i++) {
        snprintf(to, sizeof(to), "%scost%d.pcm", url, i);
        start(&s[i], to, 0);
    }
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    for (int n = 0; n < 25; n++) {
        for (int i = 0; i < 3; i++)
            ringbuffer_write(&s[i].ring, piece, sizeof(piece));
        msp_msleep(80);
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    snprintf(remark, sizeof(remark), "%.1f %% of a core", 100 * cpu / wall);
    report(remark);
    for (int i = 0; i < 3; i++)
        stop(&s[i]);
}

static void many(int count, int with_callback)
{
    struct session *s = calloc((size_t)count, sizeof(*s));
    char remark[64];
    if (s == NULL)
        exit(1);
    for (int i = 0; i < count; i++)
        start(&s[i], "null://", with_callback);
    msp_msleep(500);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    msp_msleep(2000);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    snprintf(remark, sizeof(remark), "%.2f %% of a core", 100 * cpu / 2);
    report(remark);
    for (int i = 0; i < count; i++)
        stop(&s[i]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "unused") == 0)
        report("");
    else if (strcmp(what, "first") == 0)
        first_call();
    else if (strcmp(what, "streams") == 0 && argc > 2)
        streams(argv[2]);
    else if (strcmp(what, "idle") == 0 && argc > 2)
        many(atoi(argv[2]), 0);
    else if (strcmp(what, "blocked") == 0 && argc > 2)
        many(atoi(argv[2]), 1);
    else
        return 2;
    return 0;
}
