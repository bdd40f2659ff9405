/* SPDX-License-Identifier: MIT
 *
 * streams.c - many sessions at once, which say what they know to have arrived.
 *
 *     streams RUN_MS SEED
 *
 * Standard input names the streams, a line each and "." behind the last, in
 * this order:
 *
 *     URL RING CHUNK REPLAY ON_FULL WIRE PIECE PERIOD_US STOP_MS LATE PRE_MS
 *
 * Each stream has a ring of RING bytes, into which a thread writes PIECE bytes
 * every PERIOD_US microseconds. After RUN_MS all sessions are stopped at the
 * same time. With LATE 1 the thread goes on writing until record_stop() has
 * returned. With PRE_MS of 0 or more, record_pre_stop() comes that long before
 * record_stop(). Byte n of stream i is that of byte_of() below. What a full
 * ring refuses is not part of the stream: the next byte taken follows.
 *
 * Prints, I being the number of a stream:
 *
 *     started I RC MESSAGE    record_start()
 *     acked I BYTES           at random moments: acked_bytes
 *     wrong I TEXT            statistics that contradict each other
 *     stopping                the sessions are stopped once a line is read
 *     stopped I RC MESSAGE    record_stop()
 *     counts I BEFORE ACCEPTED REFUSED_BEFORE REFUSED IN_RING READ ACKED
 *              GIVEN_UP LEFT DROPPED
 *                             after it. Before it was called, BEFORE bytes were
 *                             accepted and REFUSED_BEFORE refused by the ring.
 *     full I READ ACKED GIVEN_UP LEFT DROPPED
 *                             the same figures after more was refused, and
 *     destroyed I ...         after ringbuffer_destroy()
 *     ended                   everything is over
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define STREAMS_MAX 64

struct stream {
    uint64_t index;
    char url[256], on_full[32], wire[8];
    int ring_size, chunk, replay, piece, period_us, stop_ms, late, pre_ms;

    dev_ringbuf_t ring;
    char *storage;
    rec_hdl_t rec;
    pthread_t life, writer;
    int over;  /* the writer is to end */
    int ended; /* everything about the stream is printed */
    uint64_t accepted, refused;
    uint64_t acked; /* the most that was seen */
};

static struct stream streams[STREAMS_MAX];
static int count;
static int starting; /* record_start() calls that have not returned */
static int stopping; /* all sessions are to stop */

/* The finalizer of splitmix64, which no two numbers share: eight bytes of a
 * stream tell which stream they are of, and where in it. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint8_t byte_of(uint64_t stream, uint64_t offset)
{
    return (uint8_t)(mix((stream + 1) << 40 | offset / 8) >> (offset % 8 * 8));
}

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static int flag(const int *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void raise_flag(int *p)
{
    __atomic_store_n(p, 1, __ATOMIC_SEQ_CST);
}

static record_stats_t stats_of(struct stream *s)
{
    record_stats_t stats = {.size = sizeof(stats)};
    record_get_stats(s->rec, &stats);
    return stats;
}

static void *write_stream(void *arg)
{
    struct stream *s = arg;
    uint8_t *piece = malloc((size_t)s->piece);
    while (!flag(&s->over)) {
        uint64_t from = load(&s->accepted);
        for (int i = 0; i < s->piece; i++)
            piece[i] = byte_of(s->index, from + (uint64_t)i);
        int n = ringbuffer_write(&s->ring, piece, (uint32_t)s->piece);
        __atomic_add_fetch(&s->accepted, (uint64_t)n, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&s->refused, (uint64_t)(s->piece - n), __ATOMIC_SEQ_CST);
        if (s->period_us > 0)
            usleep((useconds_t)s->period_us);
        else if (n < s->piece)
            usleep(500);
    }
    free(piece);
    return NULL;
}

static void end_writer(struct stream *s)
{
    raise_flag(&s->over);
    pthread_join(s->writer, NULL);
}

static void print_figures(const char *when, struct stream *s)
{
    record_stats_t t = stats_of(s);
    printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", when,
           s->index, t.read_bytes, t.acked_bytes, t.given_up_bytes, t.left_bytes, t.dropped_bytes);
}

/* What an app may still do once its session is stopped, which must not change
 * the figures: writes that are refused, and the end of the ring. */
static void disturb(struct stream *s)
{
    static uint8_t piece[4096];
    for (int n = 1; n > 0;)
        n = ringbuffer_write(&s->ring, piece, sizeof(piece));
    print_figures("full", s);
    ringbuffer_destroy(&s->ring);
    print_figures("destroyed", s);
}

static void *live(void *arg)
{
    struct stream *s = arg;
    int err = record_start(s->rec);
    printf("started %" PRIu64 " %d %s\n", s->index, err, record_last_error());
    __atomic_sub_fetch(&starting, 1, __ATOMIC_SEQ_CST);
    if (err != 0) {
        raise_flag(&s->ended);
        return NULL;
    }
    pthread_create(&s->writer, NULL, write_stream, s);
    while (!flag(&stopping))
        usleep(500);
    if (!s->late)
        end_writer(s);
    uint64_t before = load(&s->accepted), refused_before = load(&s->refused);
    if (s->pre_ms >= 0) {
        record_pre_stop(s->rec);
        usleep((useconds_t)s->pre_ms * 1000);
    }
    err = record_stop(s->rec);
    printf("stopped %" PRIu64 " %d %s\n", s->index, err, record_last_error());
    if (s->late)
        end_writer(s);
    record_stats_t t = stats_of(s);
    printf("counts %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %" PRIu64
           " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           s->index, before, s->accepted, refused_before, s->refused,
           ringbuffer_available_read_space(&s->ring), t.read_bytes, t.acked_bytes, t.given_up_bytes,
           t.left_bytes, t.dropped_bytes);
    disturb(s);
    record_unregister(s->rec);
    raise_flag(&s->ended);
    return NULL;
}

static int add_stream(const char *line)
{
    struct stream *s = &streams[count];
    char from[64], number[32];
    s->index = (uint64_t)count;
    if (sscanf(line, "%255s %d %d %d %31s %7s %d %d %d %d %d", s->url, &s->ring_size, &s->chunk,
               &s->replay, s->on_full, s->wire, &s->piece, &s->period_us, &s->stop_ms, &s->late,
               &s->pre_ms) != 11)
        return -1;
    s->storage = malloc((size_t)s->ring_size);
    ringbuffer_create(&s->ring, s->storage, s->ring_size);
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&s->ring);
    s->rec = record_register(from, s->url);
    record_set_chunk_size(s->rec, s->chunk);
    snprintf(number, sizeof(number), "%d", s->stop_ms);
    int err = record_set_option(s->rec, "stop_timeout", number);
    snprintf(number, sizeof(number), "%d", s->replay);
    err |= record_set_option(s->rec, "replay_bytes", number);
    err |= record_set_option(s->rec, "on_full", s->on_full);
    err |= record_set_option(s->rec, "wire", s->wire);
    err |= record_set_option(s->rec, "ping_interval", "300");
    err |= record_set_option(s->rec, "pong_timeout", "700");
    count++;
    return err;
}

/* Looks at a stream as an app may do at any moment. */
static void look(struct stream *s)
{
    if (flag(&s->ended))
        return;
    uint64_t seen = s->acked;
    record_stats_t t = stats_of(s);
    if (t.state != RECORD_RUNNING && t.state != RECORD_STOPPING)
        return;
    if (t.acked_bytes < seen)
        printf("wrong %" PRIu64 " acked_bytes fell from %" PRIu64 " to %" PRIu64 "\n", s->index,
               seen, t.acked_bytes);
    if (t.acked_bytes + t.given_up_bytes > t.read_bytes)
        printf("wrong %" PRIu64 " acked %" PRIu64 " + given up %" PRIu64
               " is more than was read, %" PRIu64 "\n",
               s->index, t.acked_bytes, t.given_up_bytes, t.read_bytes);
    if (t.acked_bytes > seen)
        printf("acked %" PRIu64 " %" PRIu64 "\n", s->index, t.acked_bytes);
    s->acked = t.acked_bytes;
}

static int all_ended(void)
{
    for (int i = 0; i < count; i++)
        if (!flag(&streams[i].ended))
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    char line[512];
    if (argc != 3)
        return 2;
    unsigned seed = (unsigned)atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (count < STREAMS_MAX && fgets(line, sizeof(line), stdin) != NULL && line[0] != '.')
        if (add_stream(line) != 0) {
            fprintf(stderr, "streams: %s: %s\n", line, record_last_error());
            return 2;
        }
    starting = count;
    for (int i = 0; i < count; i++)
        pthread_create(&streams[i].life, NULL, live, &streams[i]);
    while (flag(&starting) > 0)
        usleep(500);
    long long stop_at = msp_now_ms() + atoi(argv[1]);
    while (!all_ended()) {
        if (msp_now_ms() >= stop_at && !flag(&stopping)) {
            printf("stopping\n");
            if (fgets(line, sizeof(line), stdin) == NULL)
                return 2;
            raise_flag(&stopping);
        }
        look(&streams[rand_r(&seed) % (unsigned)count]);
        usleep(rand_r(&seed) % 1000);
    }
    for (int i = 0; i < count; i++)
        pthread_join(streams[i].life, NULL);
    printf("ended\n");
    return 0;
}
