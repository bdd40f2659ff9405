/* SPDX-License-Identifier: MIT
 *
 * crowd.c - many sessions whose server goes away and comes back.
 *
 *     crowd URL SESSIONS BYTES
 *
 * Stream i goes to URL/i.pcm and has BYTES of the noise of interop_test.go,
 * from its byte i on. Prints, in this order:
 *
 *     begun            when a quarter of each stream has arrived
 *     offline          when each has lost its connection
 *     full             when no ring takes anything more
 *     back MS MS ...   after a line on standard input, which tells that the
 *                      server is there again: when each was connected
 *     windows BYTES    the most that was kept at one time
 *     resident KIB     the most there ever was of the program in memory
 *     stopped          when all of it has arrived
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define RING 16384
#define PIECE 2560

struct stream {
    dev_ringbuf_t ring;
    char storage[RING + 1];
    rec_hdl_t rec;
    uint32_t written;
    int lost;          /* connections */
    long long back_at; /* when it was connected after the loss */
};

static struct stream *streams;
static int count;
static uint32_t bytes;
static uint8_t *data;

static uint64_t windows_most;

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

static void hear(rec_hdl_t rec, const record_event_t *event, void *arg)
{
    struct stream *s = arg;
    (void)rec;
    if (event->type == RECORD_EVENT_DISCONNECTED)
        __atomic_add_fetch(&s->lost, 1, __ATOMIC_SEQ_CST);
    else if (event->type == RECORD_EVENT_CONNECTED && s->lost > 0)
        __atomic_store_n(&s->back_at, msp_now_ms(), __ATOMIC_SEQ_CST);
}

static void die(const char *what, int i)
{
    fprintf(stderr, "crowd: %s %d: %s\n", what, i, record_last_error());
    exit(1);
}

static record_stats_t stats_of(struct stream *s)
{
    record_stats_t stats = {.size = sizeof(stats)};
    record_get_stats(s->rec, &stats);
    return stats;
}

static void measure_windows(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += stats_of(&streams[i]).window_bytes;
    windows_most = sum > windows_most ? sum : windows_most;
}

/* Writes what fits of each stream, up to a length. Returns how much that was. */
static uint64_t write_some(uint32_t length)
{
    static unsigned rounds;
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        struct stream *s = &streams[i];
        uint32_t n = length - s->written;
        uint32_t room = (uint32_t)ringbuffer_available_write_space(&s->ring);
        n = n < PIECE ? n : PIECE;
        n = n < room ? n : room;
        if (n > 0)
            ringbuffer_write(&s->ring, data + i + s->written, n);
        s->written += n;
        sum += n;
    }
    if (rounds++ % 32 == 0)
        measure_windows();
    msp_msleep(1);
    return sum;
}

/* In KiB. What getrusage() tells counts in whoever forked this program. */
static long resident_most(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

static int all_arrived(uint32_t length)
{
    for (int i = 0; i < count; i++)
        if (stats_of(&streams[i]).acked_bytes < length)
            return 0;
    return 1;
}

static int all_lost(void)
{
    for (int i = 0; i < count; i++)
        if (__atomic_load_n(&streams[i].lost, __ATOMIC_SEQ_CST) == 0)
            return 0;
    return 1;
}

static int all_back(void)
{
    for (int i = 0; i < count; i++)
        if (__atomic_load_n(&streams[i].back_at, __ATOMIC_SEQ_CST) == 0)
            return 0;
    return 1;
}

static void start_all(const char *url)
{
    for (int i = 0; i < count; i++) {
        struct stream *s = &streams[i];
        char from[64], to[256];
        ringbuffer_create(&s->ring, s->storage, sizeof(s->storage));
        snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&s->ring);
        snprintf(to, sizeof(to), "%s/%d.pcm", url, i);
        s->rec = record_register(from, to);
        if (s->rec == NULL)
            die("register", i);
        record_set_chunk_size(s->rec, PIECE);
        record_set_event_cb(s->rec, hear, s);
        record_set_option(s->rec, "stop_timeout", "120000");
        if (record_start(s->rec) != 0)
            die("start", i);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: crowd URL SESSIONS BYTES\n");
        return 2;
    }
    count = atoi(argv[2]);
    bytes = (uint32_t)strtoul(argv[3], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    streams = calloc((size_t)count, sizeof(*streams));
    data = malloc(bytes + (uint32_t)count);
    if (streams == NULL || data == NULL)
        return 2;
    noise(data, bytes + (uint32_t)count);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    start_all(argv[1]);
    while (write_some(bytes / 4) > 0 || !all_arrived(bytes / 4))
        ;
    printf("begun\n");
    while (!all_lost())
        write_some(bytes);
    printf("offline\n");
    for (int still = 0; still < 200;) /* rounds in which nothing fitted */
        still = write_some(bytes) > 0 ? 0 : still + 1;
    printf("full\n");

    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    char line[8];
    while (read(STDIN_FILENO, line, sizeof(line)) <= 0)
        write_some(bytes);
    long long there = msp_now_ms();
    while (!all_back())
        write_some(bytes);
    printf("back");
    for (int i = 0; i < count; i++)
        printf(" %lld", streams[i].back_at - there);
    printf("\n");

    for (int left = 1; left;) {
        write_some(bytes);
        left = 0;
        for (int i = 0; i < count; i++)
            left |= streams[i].written < bytes;
    }
    for (int i = 0; i < count; i++)
        record_pre_stop(streams[i].rec);
    for (int i = 0; i < count; i++)
        if (record_stop(streams[i].rec) != 0)
            die("stop", i);
    printf("windows %" PRIu64 "\n", windows_most);
    printf("resident %ld\n", resident_most());
    printf("stopped\n");
    for (int i = 0; i < count; i++) {
        record_unregister(streams[i].rec);
        ringbuffer_destroy(&streams[i].ring);
    }
    free(streams);
    free(data);
    return 0;
}
