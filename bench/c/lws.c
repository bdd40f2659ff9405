/* SPDX-License-Identifier: MIT
 *
 * lws.c - what a user of libwebsockets would write.
 *
 *     lws URL backlog SIZE SECONDS
 *     lws URL paced STREAMS SIZE PERIOD_MS SECONDS [together] [loop | wake]
 *     lws URL first
 *
 * libwebsockets wants one lws_write for each of its writeable callbacks. paced
 * by itself makes the pieces in the service thread when they are due, looking
 * each millisecond: one thread, no ring, the least it can cost. For the
 * latency a thread writes them into a ring a stream, as a device does, and the
 * service thread looks at the rings each millisecond (loop), or is woken by
 * lws_cancel_service behind each piece (wake).
 */
#include <pthread.h>
#include <stdatomic.h>

#include <libwebsockets.h>

#include "bench.h"

enum { PIECES = 4 };

struct stream {
    struct lws *wsi;
    int up;
    int64_t piece;             /* the next that is due */
    uint8_t *ring;             /* PIECES of size bytes, each behind LWS_PRE */
    _Atomic int written, read; /* pieces */
};

static struct pace pace;
static struct stream *streams;
static struct lws_context *context;
static lws_sorted_usec_list_t tick;
static uint8_t *message; /* behind LWS_PRE */
static int up, refused, threaded, endless;

static uint8_t *slot(struct stream *s, int n)
{
    return s->ring + (size_t)(n % PIECES) * (size_t)(LWS_PRE + pace.size) + LWS_PRE;
}

static int available(struct stream *s)
{
    return atomic_load(&s->written) != atomic_load(&s->read);
}

static void write_one(struct stream *s)
{
    if (threaded && available(s)) {
        lws_write(s->wsi, slot(s, s->read), (size_t)pace.size, LWS_WRITE_BINARY);
        atomic_fetch_add(&s->read, 1);
        if (available(s))
            lws_callback_on_writable(s->wsi);
    } else if (!threaded && (endless || s->piece > 0)) {
        /* lws_write masks in place, so each message is copied there. */
        static uint8_t *source;
        source = source ? source : must(calloc(1, (size_t)pace.size));
        memcpy(source, &(int64_t){now_ns()}, 8);
        memcpy(message, source, (size_t)pace.size);
        lws_write(s->wsi, message, (size_t)pace.size, LWS_WRITE_BINARY);
        if (endless)
            lws_callback_on_writable(s->wsi);
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    (void)n;
    struct stream *s = lws_get_opaque_user_data(wsi);
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fprintf(stderr, "lws: %s\n", in ? (char *)in : "cannot connect");
        exit(1);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        s->up = 1;
        up++;
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        write_one(s);
        break;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        for (int i = 0; i < up && threaded; i++)
            if (available(&streams[i]))
                lws_callback_on_writable(streams[i].wsi);
        break;
    default:
        break;
    }
    return 0;
}

static void on_tick(lws_sorted_usec_list_t *t)
{
    int64_t now = now_ns();
    for (int i = 0; i < pace.streams && pace.begin; i++) {
        struct stream *s = &streams[i];
        if (threaded ? available(s) : now >= due(&pace, i, s->piece)) {
            s->piece++;
            lws_callback_on_writable(s->wsi);
        }
    }
    lws_sul_schedule(context, 0, t, on_tick, LWS_US_PER_MS);
}

static const struct lws_protocols protocols[] = {
    {.name = "bench", .callback = on_event, .rx_buffer_size = 4096}, {0}};

static void connect_all(const char *url, int from, int to)
{
    int port = 0;
    sscanf(url, "ws://127.0.0.1:%d", &port);
    for (int i = from; i < to; i++) {
        struct lws_client_connect_info c = {
            .context = context,
            .address = "127.0.0.1",
            .port = port,
            .path = "/",
            .host = "127.0.0.1",
            .origin = "127.0.0.1",
            .local_protocol_name = "bench",
            .opaque_user_data = &streams[i],
        };
        if (pace.size > 0)
            streams[i].ring =
                threaded ? must(malloc((size_t)PIECES * (LWS_PRE + (size_t)pace.size))) : NULL;
        streams[i].wsi = lws_client_connect_via_info(&c);
        while (up < i + 1)
            lws_service(context, 0);
    }
}

static void open_context(int n)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .gid = -1, .uid = -1};
    streams = must(calloc((size_t)n, sizeof(*streams)));
    message = must(calloc(1, LWS_PRE + (size_t)pace.size));
    message += LWS_PRE;
    lws_set_log_level(LLL_ERR, NULL);
    context = must(lws_create_context(&info));
}

static void *device(void *wake)
{
    uint8_t *piece = must(calloc(1, (size_t)pace.size));
    int64_t pieces = (int64_t)(pace.seconds * 1e3 / pace.period_ms);
    for (int64_t n = 0; n < pieces; n++)
        for (int i = 0; i < pace.streams; i++) {
            struct stream *s = &streams[i];
            int64_t at = due(&pace, i, n);
            if (at > now_ns())
                sleep_until(at);
            memcpy(piece, &(int64_t){now_ns()}, 8);
            if (s->written - s->read == PIECES) {
                refused++;
                continue;
            }
            memcpy(slot(s, s->written), piece, (size_t)pace.size);
            atomic_fetch_add(&s->written, 1);
            if (wake)
                lws_cancel_service(context);
        }
    return NULL;
}

static void on_end(lws_sorted_usec_list_t *t)
{
    (void)t; /* it has made lws_service return, that is all */
}

static void serve_for(double seconds)
{
    static lws_sorted_usec_list_t over;
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    lws_sul_schedule(context, 0, &over, on_end, (lws_usec_t)(seconds * 1e6));
    while (now_ns() < end)
        lws_service(context, 0);
}

static void paced(const char *url, int wake)
{
    pthread_t thread;
    open_context(pace.streams);
    lws_sul_schedule(context, 0, &tick, on_tick, LWS_US_PER_MS);
    connect_all(url, 0, 1);
    serve_for(0.2);
    long one = from_status("VmRSS:");
    connect_all(url, 1, pace.streams);
    if (wake)
        lws_sul_schedule(context, 0, &tick, on_tick, LWS_SET_TIMER_USEC_CANCEL);
    struct used since = used_now();
    pace.begin = now_ns() + 10000000;
    if (threaded)
        pthread_create(&thread, NULL, device, wake ? context : NULL);
    serve_for(pace.seconds);
    report_use(since, used_now());
    report_memory();
    field("rss_one_kib", (double)one);
    if (threaded)
        pthread_join(thread, NULL);
    field("refused", refused);
    end_report();
}

static void backlog(const char *url)
{
    endless = 1;
    open_context(1);
    connect_all(url, 0, 1);
    struct used since = used_now();
    lws_callback_on_writable(streams[0].wsi);
    serve_for(pace.seconds);
    report_use(since, used_now());
    end_report();
}

static void first(const char *url)
{
    int64_t began = now_ns();
    pace.size = 8;
    pace.streams = 1;
    threaded = 1;
    open_context(1);
    int64_t created = now_ns();
    connect_all(url, 0, 1);
    memcpy(slot(&streams[0], 0), &created, sizeof(created));
    streams[0].written = 1;
    int64_t connected = now_ns();
    lws_callback_on_writable(streams[0].wsi);
    while (available(&streams[0]))
        lws_service(context, 0);
    field("runtime_us", (double)(created - began) / 1e3);
    field("start_us", (double)(connected - created) / 1e3);
    end_report();
}

int main(int argc, char **argv)
{
    const char *url = argc > 2 ? argv[1] : "", *mode = argc > 2 ? argv[2] : "";
    if (strcmp(mode, "backlog") == 0 && argc > 4) {
        pace = (struct pace){.streams = 1, .size = atoi(argv[3]), .seconds = atof(argv[4])};
        backlog(url);
    } else if (strcmp(mode, "paced") == 0 && argc > 6) {
        int wake = 0;
        pace = (struct pace){.streams = atoi(argv[3]),
                             .size = atoi(argv[4]),
                             .period_ms = atoi(argv[5]),
                             .seconds = atof(argv[6])};
        for (int i = 7; i < argc; i++) {
            pace.together |= strcmp(argv[i], "together") == 0;
            wake |= strcmp(argv[i], "wake") == 0;
            threaded |= strcmp(argv[i], "loop") == 0 || strcmp(argv[i], "wake") == 0;
        }
        paced(url, wake);
    } else if (strcmp(mode, "first") == 0) {
        first(url);
    } else {
        return 2;
    }
    return 0;
}
