/* SPDX-License-Identifier: MIT
 *
 * lws.c - what a user of libwebsockets would write.
 *
 *     lws URL backlog SIZE SECONDS
 *     lws URL paced STREAMS SIZE PERIOD_MS SECONDS [together] [tick MS] [rings | wake]
 *     lws URL first
 *
 * libwebsockets wants one lws_write for each of its writeable callbacks. paced
 * by itself makes the pieces in the service thread when they are due, looking
 * each tick: one thread, no ring, the least it can cost. With rings a thread
 * writes them into a ring a stream, as a device does, and the service thread
 * looks at the rings each tick. With wake there is no tick: behind each piece
 * the device's thread lists the stream and calls lws_cancel_service, as
 * libwebsockets' README.coding has it for threads. A tick is 1 ms, or MS.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"
#include "loop.h"

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
static lws_usec_t tick_us = LWS_US_PER_MS;
static uint8_t *message; /* behind LWS_PRE */
static int up, refused, threaded, endless, over;

/* Numbers of streams that have a piece, from the device's thread to the service
 * thread. A piece may be written before its number is taken, so there is room
 * for twice the pieces. */
static int *ready;
static _Atomic unsigned listed, taken;

static uint8_t *slot(struct stream *s, int n)
{
    return s->ring + (size_t)(n % PIECES) * (size_t)(LWS_PRE + pace.size) + LWS_PRE;
}

static unsigned room(void)
{
    return (unsigned)pace.streams * PIECES * 2;
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
        if (!endless)
            memcpy(source, &(int64_t){due(&pace, (int)(s - streams), s->piece - 1)}, 8);
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
        for (; taken != listed; taken++)
            lws_callback_on_writable(streams[ready[taken % room()]].wsi);
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
    lws_sul_schedule(context, 0, t, on_tick, tick_us);
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
            serve(context);
    }
}

static void open_context(int n)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .gid = -1, .uid = -1};
    void *loops[1];
    choose_loop(&info, loops);
    streams = must(calloc((size_t)n, sizeof(*streams)));
    ready = must(calloc(room(), sizeof(*ready)));
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
            if (wake) {
                ready[listed % room()] = i;
                listed++;
                lws_cancel_service(context);
            }
        }
    return NULL;
}

/* lws_service calls what is due before it waits, and then waits for the next
 * event, of which there may be none: the end has to be one. */
static void on_end(lws_sorted_usec_list_t *t)
{
    (void)t;
    over = 1;
    lws_cancel_service(context);
}

static void serve_for(double seconds)
{
    static lws_sorted_usec_list_t end;
    over = 0;
    lws_sul_schedule(context, 0, &end, on_end, (lws_usec_t)(seconds * 1e6));
    while (!over)
        serve(context);
}

static void paced(const char *url, int wake)
{
    pthread_t thread;
    open_context(pace.streams);
    lws_sul_schedule(context, 0, &tick, on_tick, tick_us);
    connect_all(url, 0, 1);
    serve_for(0.2);
    long one = from_status("VmRSS:");
    connect_all(url, 1, pace.streams);
    if (wake)
        lws_sul_schedule(context, 0, &tick, on_tick, LWS_SET_TIMER_USEC_CANCEL);
    struct used since = used_now();
    struct polls before = polls;
    pace.begin = now_ns() + 10000000;
    if (threaded)
        pthread_create(&thread, NULL, device, wake ? context : NULL);
    serve_for(pace.seconds + 0.01);
    report_use(since, used_now());
    report_polls(before, polls);
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
        serve(context);
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
            if (strcmp(argv[i], "tick") == 0 && i + 1 < argc)
                tick_us = atoi(argv[++i]) * LWS_US_PER_MS;
            threaded |= strcmp(argv[i], "rings") == 0 || strcmp(argv[i], "wake") == 0;
        }
        paced(url, wake);
    } else if (strcmp(mode, "first") == 0) {
        first(url);
    } else {
        return 2;
    }
    return 0;
}
