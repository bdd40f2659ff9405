/* SPDX-License-Identifier: MIT
 *
 * ours.c - the library, used as a device does: a C thread writes into rings,
 * sessions stream them, acknowledgement on.
 *
 *     ours URL backlog SIZE SECONDS                    one stream, as fast as it goes
 *     ours URL paced STREAMS SIZE PERIOD_MS SECONDS [together] [callback]
 *     ours URL first                                   from nothing to the first byte
 *     ours URL blocked STREAMS                         each in a data_ready of its own
 *     ours URL refused THREADS                         the same past a limit on threads
 *     ours URL idle STREAMS [OPTION VALUE]
 */
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/log.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#include "bench.h"

struct stream {
    dev_ringbuf_t ring;
    msp_event_t ready;
    rec_hdl_t rec;
};

static void die(const char *what)
{
    fprintf(stderr, "ours: %s: %s\n", what, record_last_error());
    exit(1);
}

/* Waits for the flag that the writer raises behind each piece, as the SDK's
 * own example does. */
static void wait_for_data(void *arg)
{
    struct stream *s = arg;
    unsigned flags;
    msp_event_get(&s->ready, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
}

/* A ring's memory, in pages of its own: resident once it is written, and then
 * known to the byte. */
static size_t pages(int size)
{
    return ((size_t)size + 4095) & ~(size_t)4095;
}

static char *storage(int size)
{
    char *p = mmap(NULL, pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return must(p == MAP_FAILED ? NULL : p);
}

static void prepare(struct stream *s, const char *url, int number, int room, int chunk,
                    int callback)
{
    char from[64], to[256];
    ringbuffer_create(&s->ring, storage(room + 1), room + 1);
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&s->ring);
    snprintf(to, sizeof(to), "%s%d.pcm", url, number);
    if ((s->rec = record_register(from, to)) == NULL)
        die("record_register");
    record_set_chunk_size(s->rec, chunk);
    if (callback) {
        msp_event_new(&s->ready, 0);
        record_set_data_ready_cb(s->rec, wait_for_data, s);
    }
}

static void start(struct stream *s)
{
    if (record_start(s->rec) < 0)
        die("record_start");
}

static void stop(struct stream *s)
{
    if (record_stop(s->rec) < 0)
        die("record_stop");
}

static void backlog(const char *url, int size, double seconds)
{
    static struct stream s;
    uint8_t *piece = must(calloc(1, (size_t)size));
    record_stats_t stats = {.size = sizeof(stats)};
    int room = (1 << 20) / size * size;

    prepare(&s, url, 0, room, size, 0);
    start(&s);
    struct used since = used_now();
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    while (now_ns() < end) {
        while (ringbuffer_available_write_space(&s.ring) >= size)
            ringbuffer_write(&s.ring, piece, (uint32_t)size);
        sleep_us(50);
    }
    stop(&s);
    report_use(since, used_now());
    record_get_stats(s.rec, &stats);
    if (!stats.acknowledged || stats.acked_bytes != stats.read_bytes)
        die("not all was acknowledged");
    end_report();
}

static void paced(const char *url, struct pace *p, int callback)
{
    struct stream *s = must(calloc((size_t)p->streams, sizeof(*s)));
    uint8_t *piece = must(calloc(1, (size_t)p->size));
    int room = 4 * p->size, most = 0;
    double refused = 0;

    prepare(&s[0], url, 0, room, p->size, callback);
    start(&s[0]);
    ringbuffer_write(&s[0].ring, piece, 4); /* too short for a stamp: not counted as late */
    if (callback)
        msp_event_set(&s[0].ready, 1, MSP_EVENT_OR);
    sleep_us(200000);
    long one = from_status("VmRSS:");
    for (int i = 1; i < p->streams; i++) {
        prepare(&s[i], url, i, room, p->size, callback);
        start(&s[i]);
    }
    struct used since = used_now();
    p->begin = now_ns() + 10000000;
    int64_t pieces = (int64_t)(p->seconds * 1e3 / p->period_ms);
    for (int64_t n = 0; n < pieces; n++)
        for (int i = 0; i < p->streams; i++) {
            int64_t at = due(p, i, n);
            if (at > now_ns())
                sleep_until(at);
            memcpy(piece, &(int64_t){now_ns()}, 8);
            if (ringbuffer_available_write_space(&s[i].ring) < p->size) {
                refused++;
                continue;
            }
            ringbuffer_write(&s[i].ring, piece, (uint32_t)p->size);
            if (callback)
                msp_event_set(&s[i].ready, 1, MSP_EVENT_OR);
        }
    sleep_until(due(p, 0, pieces));
    report_use(since, used_now());
    for (int i = 0; i < p->streams; i++) {
        record_stats_t stats = {.size = sizeof(stats)};
        record_get_stats(s[i].rec, &stats);
        most = (int)stats.ring_high_water > most ? (int)stats.ring_high_water : most;
    }
    report_memory();
    field("rss_one_kib", (double)one);
    field("ring_kib", (double)pages(room + 1) / 1024);
    field("refused", refused);
    field("high_water", most);
    for (int i = 0; i < p->streams; i++)
        stop(&s[i]);
    end_report();
}

static void first(const char *url)
{
    static struct stream s;
    int64_t stamp[2] = {now_ns()};
    prepare(&s, url, 0, 4096, 4096, 0);
    int64_t started = now_ns();
    start(&s);
    stamp[1] = now_ns();
    ringbuffer_write(&s.ring, (uint8_t *)&started, sizeof(started));
    stop(&s);
    field("runtime_us", (double)(started - stamp[0]) / 1e3);
    field("start_us", (double)(stamp[1] - started) / 1e3);
    end_report();
}

static void blocked(const char *url, int streams)
{
    struct stream *s = must(calloc((size_t)streams, sizeof(*s)));
    uint8_t piece[2560] = {0};
    long one = 0;
    for (int i = 0; i < streams; i++) {
        prepare(&s[i], url, i, 4 * (int)sizeof(piece), sizeof(piece), 1);
        start(&s[i]);
        if (i == 0) {
            sleep_us(200000);
            one = from_status("VmRSS:");
        }
    }
    sleep_us(300000);
    report_memory();
    field("rss_one_kib", (double)one);
    for (int i = 0; i < streams; i++) {
        ringbuffer_write(&s[i].ring, piece, sizeof(piece));
        msp_event_set(&s[i].ready, 1, MSP_EVENT_OR);
    }
    double began = used_now().wall;
    for (int i = 0; i < streams; i++)
        stop(&s[i]);
    field("stop_s", used_now().wall - began);
    end_report();
}

/* Starts sessions whose data_ready blocks until no thread can be had. */
static void refused(const char *url, int threads)
{
    struct stream *s = must(calloc((size_t)threads + 1, sizeof(*s)));
    int started = 0, result = 0;
    if (geteuid() == 0 && setuid(65534) < 0) /* root has no such limit */
        perror("ours: setuid");
    setrlimit(RLIMIT_NPROC, &(struct rlimit){(rlim_t)threads, (rlim_t)threads});
    msp_log_set_level(MSP_LOG_NONE);
    for (; started <= threads; started++) {
        prepare(&s[started], url, started, 4096, 4096, 1);
        if ((result = record_start(s[started].rec)) < 0)
            break;
    }
    field("started", started);
    field("result", result);
    for (int i = 0; i < started; i++)
        stop(&s[i]);
    end_report();
}

static void idle(const char *url, int streams, const char *option, const char *value)
{
    struct stream *s = must(calloc((size_t)streams, sizeof(*s)));
    long one = 0;
    double began = used_now().wall;
    for (int i = 0; i < streams; i++) {
        prepare(&s[i], url, i, 2560, 2560, 0);
        if (option != NULL) {
            int err = record_set_option(s[i].rec, option, value);
            if (err < 0) { /* this build has no such option */
                field("missing", err);
                end_report();
                return;
            }
        }
        start(&s[i]);
        if (i == 0) {
            sleep_us(200000);
            one = from_status("VmRSS:");
        }
    }
    field("start_s", used_now().wall - began);
    sleep_us(1000000);
    struct used since = used_now();
    sleep_us(3000000);
    report_use(since, used_now());
    report_memory();
    field("rss_one_kib", (double)one);
    began = used_now().wall;
    for (int i = 0; i < streams; i++)
        stop(&s[i]);
    field("stop_s", used_now().wall - began);
    end_report();
}

int main(int argc, char **argv)
{
    const char *url = argc > 2 ? argv[1] : "", *mode = argc > 2 ? argv[2] : "";
    int number = argc > 3 ? atoi(argv[3]) : 0;
    if (strcmp(mode, "backlog") == 0 && argc > 4) {
        backlog(url, number, atof(argv[4]));
    } else if (strcmp(mode, "paced") == 0 && argc > 6) {
        struct pace p = {.streams = number,
                         .size = atoi(argv[4]),
                         .period_ms = atoi(argv[5]),
                         .seconds = atof(argv[6])};
        int callback = 0;
        for (int i = 7; i < argc; i++) {
            callback |= strcmp(argv[i], "callback") == 0;
            p.together |= strcmp(argv[i], "together") == 0;
        }
        paced(url, &p, callback);
    } else if (strcmp(mode, "first") == 0) {
        first(url);
    } else if (strcmp(mode, "blocked") == 0) {
        blocked(url, number);
    } else if (strcmp(mode, "refused") == 0) {
        refused(url, number);
    } else if (strcmp(mode, "idle") == 0) {
        idle(url, number, argc > 5 ? argv[4] : NULL, argc > 5 ? argv[5] : NULL);
    } else {
        return 2;
    }
    return 0;
}
