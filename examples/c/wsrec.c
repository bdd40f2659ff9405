/* SPDX-License-Identifier: MIT
 *
 * wsrec.c - a small device app: what a voice product records while it runs.
 *
 * Build:  cc wsrec.c -lmsprecord -pthread -o wsrec
 * Run:    wsrec speech.wav ws://127.0.0.1:9090/
 *             plays the file at real-time pace as three streams, mic, ref and
 *             proc, through a ring each, to mic.wav, ref.wav and proc.wav
 *         arecord -f S16_LE -r 16000 -t raw | wsrec - ws://127.0.0.1:9090/mic.wav
 *             streams what comes in on standard input
 *
 * A lost connection is told, and made again by the library; meanwhile the
 * audio waits in its memory. Ctrl-C stops: what is still here is delivered,
 * then the totals are shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <msp/log.h>
#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>

#define RATE 16000
#define PIECE_MS 80
#define PIECE (RATE / 1000 * PIECE_MS * 2) /* 2,560 bytes */
#define RING_SIZE (PIECE * 50 + 1)         /* four seconds */

struct stream {
    const char *name;
    char url[512];
    dev_ringbuf_t ring;
    char storage[RING_SIZE];
    rec_hdl_t rec;
    atomic_int offline;
    pthread_t stopper;
    int lost; /* bytes: dropped, or left behind */
};

static struct stream streams[3] = {{.name = "mic"}, {.name = "ref"}, {.name = "proc"}};
static int stream_count = 3;

static uint8_t *samples; /* the WAV file's, NULL for standard input */
static uint32_t sample_bytes;

static int on_terminal;       /* the progress line is shown */
static atomic_int quit;       /* main tells the audio thread */
static atomic_int audio_done; /* the audio thread tells main */

static const char usage[] =
    "usage: wsrec FILE.wav ws://HOST:PORT/       three streams: mic.wav, ref.wav, proc.wav\n"
    "       wsrec - ws://HOST:PORT/[NAME]        one stream from standard input; NAME is mic.pcm\n"
    "The audio is 16000 Hz, mono, 16 bits, little-endian.\n";

/* --- The audio thread: the only writer of the rings ----------------------- */

static void *play_file(void *arg)
{
    struct timespec next;
    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint32_t pos = 0; pos < sample_bytes && !quit; pos += PIECE) {
        uint32_t n = sample_bytes - pos < PIECE ? sample_bytes - pos : PIECE;
        /* A full ring takes less: an audio thread never waits. The session
         * counts what was refused (dropped_bytes). */
        for (int i = 0; i < stream_count; i++)
            ringbuffer_write(&streams[i].ring, samples + pos, n);
        next.tv_nsec += PIECE_MS * 1000000L;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_nsec -= 1000000000L;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    audio_done = 1;
    return NULL;
}

static void *copy_stdin(void *arg)
{
    dev_ringbuf_t *ring = &streams[0].ring;
    (void)arg;
    while (!quit) {
        uint8_t buf[PIECE];
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        /* A pipe keeps what does not fit yet, so waiting for room loses nothing. */
        if (ringbuffer_available_write_space(ring) < (int)sizeof(buf)) {
            poll(NULL, 0, 5);
            continue;
        }
        if (poll(&in, 1, 100) <= 0)
            continue;
        ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            fprintf(stderr, "wsrec: standard input: %s\n", strerror(errno));
        if (n <= 0)
            break;
        ringbuffer_write(ring, buf, (uint32_t)n);
    }
    audio_done = 1;
    return NULL;
}

/* --- The WAV file ---------------------------------------------------------- */

static uint32_t le(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

/* Finds the samples: chunk after chunk until "data", "fmt " before it. */
static int find_samples(const char *path, uint8_t *wav, size_t size)
{
    const uint8_t *fmt = NULL;
    if (size < 12 || memcmp(wav, "RIFF", 4) != 0 || memcmp(wav + 8, "WAVE", 4) != 0) {
        fprintf(stderr, "wsrec: %s is not a WAV file\n", path);
        return -1;
    }
    for (size_t at = 12; size - at >= 8;) {
        uint8_t *chunk = wav + at + 8;
        size_t room = size - at - 8;
        size_t len = le(wav + at + 4, 4);
        if (memcmp(wav + at, "data", 4) == 0 && fmt != NULL) {
            samples = chunk;
            sample_bytes = (uint32_t)(len < room ? len : room);
            break;
        }
        if (memcmp(wav + at, "fmt ", 4) == 0 && len >= 16 && len <= room)
            fmt = chunk;
        len += len & 1; /* chunks begin at even places */
        if (len > room)
            break;
        at += 8 + len;
    }
    if (samples == NULL) {
        fprintf(stderr, "wsrec: %s has no audio in it\n", path);
        return -1;
    }
    if (le(fmt + 2, 2) != 1 || le(fmt + 4, 4) != RATE || le(fmt + 14, 2) != 16) {
        fprintf(stderr,
                "wsrec: %s is %u Hz, %u channel(s), %u bits; it must be %d Hz, mono, 16 bits:\n"
                "       sox %s -r %d -c 1 -b 16 -e signed-integer NEW.wav\n",
                path, le(fmt + 4, 4), le(fmt + 2, 2), le(fmt + 14, 2), RATE, path, RATE);
        return -1;
    }
    return 0;
}

static int load_wav(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *wav = NULL;
    size_t size = 0;
    if (f == NULL) {
        fprintf(stderr, "wsrec: %s: %s\n", path, strerror(errno));
        return -1;
    }
    for (;;) {
        uint8_t *more = realloc(wav, size + 65536);
        if (more == NULL) {
            fprintf(stderr, "wsrec: %s: too large for the memory there is\n", path);
            break;
        }
        wav = more;
        size_t n = fread(wav + size, 1, 65536, f);
        size += n;
        if (n == 0)
            break;
    }
    fclose(f);
    return find_samples(path, wav, size);
}

/* --- Sessions -------------------------------------------------------------- */

/* Makes the stream's address of an URL: its NAME comes before the query. An URL
 * that already has one is kept for the one stream of standard input. */
static int make_url(struct stream *s, const char *url, const char *suffix)
{
    size_t base = strcspn(url, "?"); /* without the query */
    const char *host = strstr(url, "://") + 3;
    const char *path = memchr(host, '/', (size_t)(url + base - host));
    int n;
    if (samples == NULL && path != NULL && url[base - 1] != '/')
        n = snprintf(s->url, sizeof(s->url), "%s", url);
    else
        n = snprintf(s->url, sizeof(s->url), "%.*s%s%s%s%s", (int)base, url,
                     url[base - 1] == '/' ? "" : "/", s->name, suffix, url + base);
    if (n < 0 || n >= (int)sizeof(s->url))
        return -1;
    if (samples == NULL && strcmp(s->url, url) != 0)
        fprintf(stderr, "wsrec: the address has no NAME, so the stream goes to %s%s\n", s->name,
                suffix);
    return 0;
}

/* Called on a thread of the library. It writes over the progress line. */
static void tell(rec_hdl_t rec, const record_event_t *event, void *arg)
{
    struct stream *s = arg;
    const char *again = "";
    (void)rec;
    if (event->type == RECORD_EVENT_DISCONNECTED && event->error < 0)
        s->offline = 1;
    else if (event->type == RECORD_EVENT_CONNECTED && s->offline) {
        s->offline = 0;
        again = " again";
    } else
        return;
    fprintf(stderr, "%swsrec: %s: %s%s\n", on_terminal ? "\r\033[K" : "", s->name, event->message,
            again);
}

static int start_stream(struct stream *s)
{
    char from[64];
    ringbuffer_create(&s->ring, s->storage, sizeof(s->storage));
    snprintf(from, sizeof(from), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&s->ring);
    s->rec = record_register(from, s->url);
    if (s->rec != NULL) {
        record_set_chunk_size(s->rec, PIECE);
        record_set_event_cb(s->rec, tell, s);
        if (record_start(s->rec) == 0)
            return 0;
    }
    fprintf(stderr, "wsrec: %s\n", record_last_error());
    return -1;
}

static record_stats_t stats_of(const struct stream *s)
{
    record_stats_t stats = {.size = sizeof(stats)};
    record_get_stats(s->rec, &stats);
    return stats;
}

/* One line, written over itself: sent/read of each stream, then what was lost. */
static int show_progress(void)
{
    char line[256];
    int len = 0;
    uint64_t dropped = 0;
    int alive = 1;
    for (int i = 0; i < stream_count; i++) {
        record_stats_t stats = stats_of(&streams[i]);
        dropped += stats.dropped_bytes;
        if (stats.state == RECORD_FAILED)
            alive = 0;
        len += snprintf(line + len, sizeof(line) - (size_t)len, "%s %" PRIu64 "/%" PRIu64 "%s  ",
                        streams[i].name, stats.sent_bytes, stats.read_bytes,
                        streams[i].offline ? " offline" : "");
    }
    if (on_terminal)
        fprintf(stderr, "\r%sdropped %" PRIu64 "\033[K", line, dropped);
    return alive;
}

static void *stop_stream(void *arg)
{
    struct stream *s = arg;
    if (record_stop(s->rec) < 0) {
        fprintf(stderr, "wsrec: %s\n", record_last_error());
        s->lost = 1;
    }
    return NULL;
}

/* Delivers the tail of each stream and shows its totals. 0 when nothing was lost. */
static int stop_streams(void)
{
    int lost = 0, trying = 0;
    for (int i = 0; i < stream_count; i++) {
        record_pre_stop(streams[i].rec); /* all end at the same moment */
        trying |= streams[i].offline && stats_of(&streams[i]).state == RECORD_RUNNING;
    }
    if (trying)
        fprintf(stderr, "wsrec: offline, still trying to deliver the rest; Ctrl-C ends at once\n");
    /* Each on its own thread: with the server away, each takes its stop_timeout. */
    for (int i = 0; i < stream_count; i++)
        if (pthread_create(&streams[i].stopper, NULL, stop_stream, &streams[i]) != 0) {
            stop_stream(&streams[i]);
            streams[i].stopper = pthread_self();
        }
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = &streams[i];
        if (!pthread_equal(s->stopper, pthread_self()))
            pthread_join(s->stopper, NULL);
        record_stats_t stats = stats_of(s);
        fprintf(stderr, "%-4s %" PRIu64 " bytes read, %" PRIu64 " arrived, %" PRIu64 " dropped",
                s->name, stats.read_bytes, stats.acked_bytes, stats.dropped_bytes);
        if (stats.reconnects > 0)
            fprintf(stderr, ", reconnected %" PRIu32 "x, %" PRIu64 " sent again", stats.reconnects,
                    stats.resent_bytes);
        fprintf(stderr, " -> %s\n", s->url);
        if (s->lost || stats.dropped_bytes > 0 || stats.left_bytes > 0)
            lost = 1;
        record_unregister(s->rec);
        ringbuffer_destroy(&s->ring);
    }
    return lost;
}

int main(int argc, char **argv)
{
    const char *url = argc == 3 ? argv[2] : "";
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 3) {
        fputs(usage, stderr);
        return 2;
    }
    size_t scheme = strncmp(url, "ws://", 5) == 0 ? 5 : strncmp(url, "wss://", 6) == 0 ? 6 : 0;
    if (scheme == 0 || strcspn(url + scheme, "/?") == 0) { /* no host */
        fprintf(stderr, "wsrec: %s is not a ws:// or wss:// address\n%s", url, usage);
        return 2;
    }
    /* What goes wrong is told below; the library's log would tell it twice. */
    if (getenv("MSP_LOG_LEVEL") == NULL)
        msp_log_set_level(MSP_LOG_NONE);

    if (strcmp(argv[1], "-") == 0)
        stream_count = 1;
    else if (load_wav(argv[1]) < 0)
        return 1;

    on_terminal = isatty(STDERR_FILENO);

    /* main takes the signals itself, with sigtimedwait; no thread is hit. */
    sigset_t stop_signals;
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGINT);
    sigaddset(&stop_signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);

    for (int i = 0; i < stream_count; i++) {
        if (make_url(&streams[i], url, samples == NULL ? ".pcm" : ".wav") < 0) {
            fprintf(stderr, "wsrec: the address is too long\n");
            return 2;
        }
        if (start_stream(&streams[i]) < 0) {
            stream_count = i; /* those that run end properly */
            stop_streams();
            return 1;
        }
    }
    pthread_t audio;
    if (pthread_create(&audio, NULL, samples == NULL ? copy_stdin : play_file, NULL) != 0) {
        fprintf(stderr, "wsrec: no thread for the audio\n");
        return 1;
    }

    const struct timespec tick = {.tv_nsec = 200000000L};
    while (show_progress() && !audio_done)
        if (sigtimedwait(&stop_signals, NULL, &tick) > 0)
            break;

    quit = 1;
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL); /* a second Ctrl-C ends at once */
    pthread_join(audio, NULL);
    if (on_terminal)
        fprintf(stderr, "\r\033[K");
    return stop_streams();
}
