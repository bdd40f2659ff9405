/* SPDX-License-Identifier: MIT
 *
 * test_input.c - bad input: one table of calls, their results, and the words
 * their messages must contain. Every row must also log exactly one line, the
 * one that record_last_error() tells.
 */
#include "harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <msp/log.h>

/* What stands in braces in a row's URIs is replaced by one of these. */
static struct value {
    const char *name;
    char text[512];
} values[] = {
    {"{unmapped}", ""}, {"{none}", ""},   {"{short}", ""},   {"{data}", ""}, {"{readonly}", ""},
    {"{ring}", ""},     {"{dead}", ""},   {"{refused}", ""}, {"{http}", ""}, {"{busy}", ""},
    {"{garbage}", ""},  {"{silent}", ""}, {"{file}", ""},    {"{link}", ""}, {"{dir}", ""},
    {"{long}", ""},     {"{fifo}", ""},
};

static char *value(const char *name)
{
    for (size_t i = 0; i < COUNT(values); i++)
        if (strcmp(values[i].name, name) == 0)
            return values[i].text;
    fail(__FILE__, __LINE__, "no value %s", name);
}

static const char *expanded(const char *text)
{
    static char places[2][4096];
    static int next;
    char *out = places[next++ % 2];
    size_t n = 0;
    while (*text) {
        size_t i = 0;
        while (*text == '{' && i < COUNT(values) &&
               strncmp(text, values[i].name, strlen(values[i].name)))
            i++;
        if (*text == '{' && i < COUNT(values)) {
            n += (size_t)sprintf(out + n, "%s", values[i].text);
            text += strlen(values[i].name);
        } else {
            out[n++] = *text++;
        }
    }
    out[n] = '\0';
    return out;
}

/* ---- What the rows talk to ----------------------------------------------- */

static dev_ringbuf_t ring;
static rec_hdl_t idle, running, stale;

struct answerer {
    int fd;
    const char *text; /* NULL: closes without a word */
};

/* Answers every connection with the same bytes. */
static void *answer(void *arg)
{
    struct answerer *a = arg;
    for (int fd; (fd = accept(a->fd, NULL, NULL)) >= 0; close(fd)) {
        char request[2048];
        if (recv(fd, request, sizeof(request), 0) > 0 && a->text)
            send(fd, a->text, strlen(a->text), MSG_NOSIGNAL);
    }
    return NULL;
}

static void listen_and_answer(struct answerer *a, const char *name, const char *text)
{
    int port;
    a->fd = listen_on(&port, 0);
    a->text = text;
    sprintf(value(name), "ws://127.0.0.1:%d", port);
    pthread_detach(thread_start(answer, a));
}

static struct answerer answerers[4];

static void set_up(void)
{
    long page = sysconf(_SC_PAGESIZE);
    /* All that follows the one page which is there, out to {short}'s end, is not. */
    char *pages = mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    sprintf(value("{none}"), "%" PRIuPTR, (uintptr_t)pages);
    CHECK_INT(mprotect(pages + page, (size_t)page, PROT_READ | PROT_WRITE), 0);
    sprintf(value("{short}"), "%" PRIuPTR, (uintptr_t)pages + (uintptr_t)page);
    CHECK_INT(mprotect(pages + 3 * page, (size_t)page, PROT_READ), 0);
    sprintf(value("{readonly}"), "%" PRIuPTR, (uintptr_t)pages + 3 * (uintptr_t)page);
    /* Low, where nothing is mapped by itself. */
    char *low = mmap((void *)(uintptr_t)0x200000, (size_t)page, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_INT((intptr_t)low, 0x200000);
    CHECK_INT(munmap(low, (size_t)page), 0);
    sprintf(value("{unmapped}"), "%" PRIuPTR, (uintptr_t)low);
    static uint8_t data[100];
    sprintf(value("{data}"), "%" PRIuPTR, (uintptr_t)data);

    static char buffer[1000];
    static dev_ringbuf_t dead;
    CHECK_INT(ringbuffer_create(&ring, buffer, sizeof(buffer)), 0);
    CHECK_INT(ringbuffer_create(&dead, buffer, sizeof(buffer)), 0);
    ringbuffer_destroy(&dead);
    sprintf(value("{ring}"), "%" PRIuPTR, (uintptr_t)&ring);
    sprintf(value("{dead}"), "%" PRIuPTR, (uintptr_t)&dead);

    int port;
    close(listen_on(&port, 0));
    sprintf(value("{refused}"), "ws://127.0.0.1:%d", port);
    static int silent;
    silent = listen_on(&port, 0);
    sprintf(value("{silent}"), "ws://127.0.0.1:%d", port);
    (void)silent;
    listen_and_answer(&answerers[0], "{http}",
                      "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    listen_and_answer(&answerers[1], "{busy}",
                      "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    listen_and_answer(&answerers[2], "{garbage}", "220 mail.example ESMTP ready\r\n");

    strcpy(value("{file}"), temp_path("file"));
    write_whole(value("{file}"), "data", 4);
    strcpy(value("{link}"), temp_path("link"));
    CHECK_INT(symlink("file", value("{link}")), 0);
    strcpy(value("{dir}"), temp_dir());
    strcpy(value("{fifo}"), temp_path("fifo"));
    CHECK_INT(mkfifo(value("{fifo}"), 0600), 0);
    memset(value("{long}"), 'x', 500);

    idle = session("null://", "null://");
    running = session(ring_uri(&ring), "null://");
    CHECK_INT(record_start(running), 0);
    stale = session("null://", "null://");
    CHECK_INT(record_unregister(stale), 0);
}

/* ---- Calls --------------------------------------------------------------- */

/* Functions that return nothing tell success by an empty last error. */
static int told(void)
{
    return record_last_error()[0] ? -EINVAL : 0;
}

static void ready(void *arg)
{
    (void)arg;
}

static void hear(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)event, (void)arg;
}

#define ON_HANDLE(name, hdl)                                                                       \
    static int name##_ready(void)                                                                  \
    {                                                                                              \
        record_set_data_ready_cb(hdl, ready, NULL);                                                \
        return told();                                                                             \
    }                                                                                              \
    static int name##_release(void)                                                                \
    {                                                                                              \
        record_set_data_release_cb(hdl, ready, NULL);                                              \
        return told();                                                                             \
    }                                                                                              \
    static int name##_chunk(void)                                                                  \
    {                                                                                              \
        record_set_chunk_size(hdl, 100);                                                           \
        return told();                                                                             \
    }                                                                                              \
    static int name##_start(void)                                                                  \
    {                                                                                              \
        return record_start(hdl);                                                                  \
    }                                                                                              \
    static int name##_pre_stop(void)                                                               \
    {                                                                                              \
        return record_pre_stop(hdl);                                                               \
    }                                                                                              \
    static int name##_stop(void)                                                                   \
    {                                                                                              \
        return record_stop(hdl);                                                                   \
    }                                                                                              \
    static int name##_unregister(void)                                                             \
    {                                                                                              \
        return record_unregister(hdl);                                                             \
    }                                                                                              \
    static int name##_count(void)                                                                  \
    {                                                                                              \
        int n = 0;                                                                                 \
        return record_get_count(hdl, &n, &n);                                                      \
    }                                                                                              \
    static int name##_option(void)                                                                 \
    {                                                                                              \
        return record_set_option(hdl, "stop_timeout", "100");                                      \
    }                                                                                              \
    static int name##_stats(void)                                                                  \
    {                                                                                              \
        record_stats_t stats = {.size = sizeof(stats)};                                            \
        return record_get_stats(hdl, &stats);                                                      \
    }                                                                                              \
    static int name##_event(void)                                                                  \
    {                                                                                              \
        return record_set_event_cb(hdl, hear, NULL);                                               \
    }                                                                                              \
    static int name##_message(void)                                                                \
    {                                                                                              \
        return record_set_message_cb(hdl, NULL, NULL);                                             \
    }                                                                                              \
    static int name##_dial(void)                                                                   \
    {                                                                                              \
        return record_set_dial_cb(hdl, NULL, NULL);                                                \
    }                                                                                              \
    static int name##_text(void)                                                                   \
    {                                                                                              \
        return record_send_text(hdl, "text");                                                      \
    }                                                                                              \
    static int name##_wait(void)                                                                   \
    {                                                                                              \
        return record_wait(hdl, 100);                                                              \
    }
ON_HANDLE(no, NULL)
ON_HANDLE(stale, stale)
ON_HANDLE(wild, ((rec_hdl_t)(uintptr_t)0x7777777777777777))
ON_HANDLE(odd, ((rec_hdl_t)((uintptr_t)idle + 1)))

static int chunk_too_large(void)
{
    record_set_chunk_size(idle, (16 << 20) + 1);
    return told();
}

static int null_key(void)
{
    return record_set_option(idle, NULL, "1");
}

static int null_value(void)
{
    return record_set_option(idle, "stop_timeout", NULL);
}

static int null_stats(void)
{
    return record_get_stats(idle, NULL);
}

static int stats_without_size(void)
{
    record_stats_t stats = {0};
    return record_get_stats(idle, &stats);
}

static int stats_of_7_bytes(void)
{
    record_stats_t stats = {.size = 7};
    return record_get_stats(idle, &stats);
}

static int wait_for_what_never_started(void)
{
    return record_wait(idle, 100);
}

static int start_what_runs(void)
{
    return record_start(running);
}

static int option_while_it_runs(void)
{
    return record_set_option(running, "stop_timeout", "100");
}

/* ---- The table ----------------------------------------------------------- */

/* One of: register fails; register succeeds and start fails; a call; an option. */
static const struct row {
    const char *from, *to; /* record_register, unless both are NULL and call is set */
    int start;             /* 0: register fails; else what start answers */
    const char *words;
    int (*call)(void);
    int want;
    const char *key, *value; /* record_set_option */
} rows[] = {
#define REGISTER(from, to, words)                                                                  \
    {                                                                                              \
        from, to, 0, words, NULL, 0, NULL, NULL                                                    \
    }
#define START(from, to, rc, words)                                                                 \
    {                                                                                              \
        from, to, rc, words, NULL, 0, NULL, NULL                                                   \
    }
#define CALL(fn, rc, words)                                                                        \
    {                                                                                              \
        NULL, NULL, 0, words, fn, rc, NULL, NULL                                                   \
    }
#define OPTION(key, value, rc, words)                                                              \
    {                                                                                              \
        NULL, NULL, 0, words, NULL, rc, key, value                                                 \
    }
    /* What is no URI. */
    REGISTER(NULL, "null://", "record_register|NULL"),
    REGISTER("null://", NULL, "record_register|NULL"),
    REGISTER(NULL, NULL, "record_register|NULL"),
    REGISTER("", "null://", "record_register|from|no scheme|ringbuffer://"),
    REGISTER("null://", "", "record_register|to|no scheme"),
    REGISTER("/dev/null", "null://", "from|/dev/null|no scheme"),
    REGISTER("null:/", "null://", "from|no scheme"),
    REGISTER("://", "null://", "from|not known"),
    REGISTER("http://127.0.0.1/a", "null://", "from|http|not known|ringbuffer"),
    REGISTER("null://", "tcp://127.0.0.1:1", "to|tcp|not known|ws"),
    REGISTER("{long}://x", "null://", "from|not known"),
    REGISTER("null://", "ws {long} ://%s%n%d", "to|not known"),

    /* Rings. */
    REGISTER("ringbuffer://", "null://", "from|handle= is missing"),
    REGISTER("ringbuffer://handle=", "null://", "from|handle= is missing"),
    REGISTER("ringbuffer://handel={ring}", "null://", "from|handle= is missing"),
    REGISTER("rbuf://", "null://", "from|handle= is missing"),
    REGISTER("ringbuffer://handle=ring", "null://", "from|handle=ring|decimal or 0x"),
    REGISTER("ringbuffer://handle=-1", "null://", "from|handle=-1|decimal or 0x"),
    REGISTER("ringbuffer://handle= 1", "null://", "from|decimal or 0x"),
    REGISTER("ringbuffer://handle={ring} ", "null://", "from|decimal or 0x"),
    REGISTER("ringbuffer://handle=0x", "null://", "from|handle=0x|decimal or 0x"),
    REGISTER("ringbuffer://handle=0xZZ", "null://", "from|decimal or 0x"),
    REGISTER("ringbuffer://handle=18446744073709551616", "null://",
             "from|handle=18446744073709551616"),
    REGISTER("ringbuffer://handle=0", "null://", "from|handle=0|no live ring"),
    REGISTER("ringbuffer://handle=12345678", "null://",
             "from|no live ring|ringbuffer_create|PRIuPTR"),
    REGISTER("ringbuffer://handle={dead}", "null://", "from|no live ring|ringbuffer_create"),
    REGISTER("null://", "rbuf://handle={dead}", "to|no live ring"),
    REGISTER("ringbuffer://handle={ring}", "ringbuffer://handle={ring}",
             "from|and to|are the same"),
    REGISTER("rbuf://handle={ring}", "ringbuffer://handle={ring}", "from|and to|are the same"),
    START("ringbuffer://handle={ring}", "null://", -EBUSY, "record_start|source|another session"),

    /* Memory. */
    REGISTER("mem://", "null://", "from|address= is missing"),
    REGISTER("mem://address={data}", "null://", "from|size= is missing"),
    REGISTER("mem://size=10", "null://", "from|address= is missing"),
    REGISTER("mem://address={data}&size=", "null://", "from|size= is missing"),
    REGISTER("mem://address={data}&size=ten", "null://", "from|size=ten|decimal or 0x"),
    REGISTER("mem://address={data}&size=-10", "null://", "from|size=-10"),
    REGISTER("mem://address=here&size=10", "null://", "from|address=here"),
    REGISTER("mem://address=0&size=10", "null://", "from|address=0|NULL"),
    REGISTER("mem://address={data}&size=0", "null://", "from|size=0"),
    REGISTER("mem://address=99999999999999999999&size=1", "null://",
             "from|address=99999999999999999999"),
    REGISTER("mem://address=0xffffffffffffffff&size=10", "null://", "from|beyond any memory"),
    REGISTER("mem://address={data}&size=0xffffffffffffffff", "null://", "from|beyond any memory"),
    REGISTER("mem://address={data}&size=10", "mem://address={data}&size=10",
             "from|and to|overlap in memory"),
    START("mem://address={unmapped}&size=10", "null://", -EFAULT,
          "record_start|source|{unmapped}|PRIuPTR"),
    START("mem://address={none}&size=10", "null://", -EFAULT, "source|{none}|PRIuPTR"),
    START("mem://address={short}&size=1000000", "null://", -EFAULT, "source|{short}|size=1000000"),
    START("mem://address=8&size=10", "null://", -EFAULT, "source|address=8|PRIuPTR"),
    START("mem://address=0xffff800000000000&size=10", "null://", -EFAULT, "source|PRIuPTR"),
    START("mem://address=0xfffffffffffff000&size=10", "null://", -EFAULT, "source|PRIuPTR"),
    START("mem://address=0x7fffffffffff&size=2", "null://", -EFAULT, "source|PRIuPTR"),
    START("null://", "mem://address={none}&size=10", -EFAULT, "record_start|{none}|PRIuPTR"),
    START("null://", "mem://address={unmapped}&size=10", -EFAULT,
          "record_start|{unmapped}|PRIuPTR"),

    /* Files. */
    REGISTER("file://", "null://", "from|path is missing"),
    REGISTER("sdbuffer://", "null://", "from|handle= is missing"),
    REGISTER("sdbuffer://handle=", "null://", "from|path is missing"),
    REGISTER("file://{dir}/none", "null://", "from|{dir}/none|no such file"),
    REGISTER("sdbuffer://handle={dir}/none", "null://", "from|no such file"),
    REGISTER("file://{dir}", "null://", "from|{dir}|not a regular file"),
    REGISTER("file://{file}/below", "null://", "from|not a directory"),
    REGISTER("file:///dev/zero", "null://", "from|not a regular file"),
    REGISTER("file://{fifo}", "null://", "from|not a regular file"),
    REGISTER("null://", "file://", "to|path is missing"),
    REGISTER("file://{file}", "file://{file}", "from|and to|are the same"),
    REGISTER("file://{file}", "sdbuffer://handle={link}", "from|and to|are the same"),
    START("null://", "file://{dir}/none/a", -ENOENT, "record_start|{dir}/none/a|no such file"),
    START("null://", "file://{dir}", -EISDIR, "record_start|{dir}|is a directory"),

    /* Servers. */
    REGISTER("ws://127.0.0.1:9/a", "null://", "from|destination, not a source"),
    REGISTER("wss://127.0.0.1:9/a", "null://", "from|destination, not a source"),
    REGISTER("null://", "ws://", "to|host is missing"),
    REGISTER("null://", "ws:///a", "to|host is missing"),
    REGISTER("null://", "ws://:9090/a", "to|host is missing"),
    REGISTER("null://", "ws://127.0.0.1:0/a", "to|the port is not from 1 to 65535"),
    REGISTER("null://", "ws://127.0.0.1:65536/a", "to|the port is not from 1 to 65535"),
    REGISTER("null://", "ws://127.0.0.1:http/a", "to|port"),
    REGISTER("null://", "ws://127.0.0.1:-1/a", "to|port"),
    REGISTER("null://", "ws://[::1/a", "to|ws://HOST:PORT/NAME"),
    REGISTER("null://", "ws://127.0.0.1:9/a#part", "to|#fragment|%23"),
    REGISTER("null://", "ws://127.0.0.1:9/%zz", "to|%zz"),
    REGISTER("null://", "ws://127.0.0.1:9/a\nb", "to|ws://HOST:PORT/NAME"),
    REGISTER("ringbuffer://handle=1", "ws://me:secret@127.0.0.1:0/a", "from|handle=1"),
    START("null://", "{refused}/a", -ECONNREFUSED, "record_start|{refused}/a|nothing listens"),
    START("null://", "{http}/a", -ENOENT, "{http}/a|404|check the path"),
    START("null://", "{busy}/a", -EBUSY, "{busy}/a|503"),
    START("null://", "{garbage}/a", -EPROTO, "{garbage}/a|WebSocket server"),
    START("null://", "ws://no-such-host.invalid/a", -EHOSTUNREACH,
          "no-such-host.invalid|host name"),
    START("null://", "{silent}/a", -ETIMEDOUT, "{silent}/a|connect_timeout"),

    /* Options. */
    OPTION("volume", "11", -ENOENT, "record_set_option|volume|no such option|README"),
    OPTION("", "11", -ENOENT, "no such option"),
    OPTION("STOP_TIMEOUT", "11", -ENOENT, "no such option|did you mean stop_timeout"),
    OPTION("tsl_ca", "/ca.pem", -ENOENT, "tsl_ca|no such option|did you mean tls_ca"),
    OPTION("on_full", "dropoldest", -EINVAL, "on_full|dropoldest|drop_oldest"),
    OPTION("header", "Authorization Token", -EINVAL, "header|Name: value"),
    OPTION("stop_timeout", "", -EINVAL, "stop_timeout|milliseconds"),
    OPTION("stop_timeout", "soon", -EINVAL, "stop_timeout|soon|milliseconds"),
    OPTION("stop_timeout", "0", -EINVAL, "stop_timeout|1 to 600000"),
    OPTION("stop_timeout", "-5", -EINVAL, "stop_timeout|-5"),
    OPTION("stop_timeout", "600001", -EINVAL, "stop_timeout|600001|600000"),
    OPTION("stop_timeout", "99999999999999999999", -EINVAL, "stop_timeout|99999999999999999999"),
    OPTION("stop_timeout", "1.5", -EINVAL, "stop_timeout|1.5"),
    OPTION("connect_timeout", "5s", -EINVAL, "connect_timeout|5s"),
    CALL(null_key, -EINVAL, "record_set_option|NULL"),
    CALL(null_value, -EINVAL, "record_set_option|NULL"),
    CALL(option_while_it_runs, -EBUSY, "record_set_option|record_stop"),

    /* The rest of the calls. */
    CALL(chunk_too_large, -EINVAL, "record_set_chunk_size|16777217|16777216"),
    CALL(null_stats, -EINVAL, "record_get_stats|size"),
    CALL(stats_without_size, -EINVAL, "record_get_stats|size"),
    CALL(stats_of_7_bytes, -EINVAL, "record_get_stats|size"),
    CALL(wait_for_what_never_started, -EINVAL, "record_wait|never started"),
    CALL(start_what_runs, -EALREADY, "record_start|record_stop"),
#define NO_SESSION(name)                                                                           \
    CALL(name##_ready, -EINVAL, "record_set_data_ready_cb|no such session"),                       \
        CALL(name##_release, -EINVAL, "record_set_data_release_cb|no such session"),               \
        CALL(name##_chunk, -EINVAL, "record_set_chunk_size|no such session"),                      \
        CALL(name##_start, -EINVAL, "record_start|no such session"),                               \
        CALL(name##_pre_stop, -EINVAL, "record_pre_stop|no such session"),                         \
        CALL(name##_stop, -EINVAL, "record_stop|no such session"),                                 \
        CALL(name##_unregister, -EINVAL, "record_unregister|no such session"),                     \
        CALL(name##_count, -EINVAL, "record_get_count|no such session"),                           \
        CALL(name##_option, -EINVAL, "record_set_option|no such session"),                         \
        CALL(name##_stats, -EINVAL, "record_get_stats|no such session"),                           \
        CALL(name##_event, -EINVAL, "record_set_event_cb|no such session"),                        \
        CALL(name##_message, -EINVAL, "record_set_message_cb|no such session"),                    \
        CALL(name##_dial, -EINVAL, "record_set_dial_cb|no such session"),                          \
        CALL(name##_text, -EINVAL, "record_send_text|no such session"),                            \
        CALL(name##_wait, -EINVAL, "record_wait|no such session")
    NO_SESSION(no),
    NO_SESSION(stale),
    NO_SESSION(wild),
    NO_SESSION(odd),
};

/* ---- Running it ---------------------------------------------------------- */

static struct {
    int lines;
    int errors;
    char last[4096];
} logged;

static void take_line(int level, const char *tag, const char *line, void *arg)
{
    (void)tag, (void)arg;
    if (strncmp(line, "record_", 7) != 0) /* what befalls a session while it runs */
        return;
    logged.errors += level == MSP_LOG_ERROR;
    snprintf(logged.last, sizeof(logged.last), "%s", line);
    add(&logged.lines, 1);
}

static int failures;

static void complain(size_t i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(size_t i, const char *fmt, ...)
{
    const struct row *r = &rows[i];
    failures++;
    printf("row %zu (%.60s, %.60s): ", i,
           r->from  ? r->from
           : r->key ? r->key
                    : r->words,
           r->to      ? r->to
           : r->value ? r->value
                      : "");
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n    error: \"%.400s\"\n    log:   \"%.400s\"\n", record_last_error(), logged.last);
}

static void check_words_of(size_t i)
{
    char list[2048];
    snprintf(list, sizeof(list), "%s", expanded(rows[i].words));
    char *rest = NULL;
    for (char *word = strtok_r(list, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        if (!strstr(record_last_error(), word))
            complain(i, "\"%s\" is missing", word);
    if (strchr(record_last_error(), '\n'))
        complain(i, "the message is more than one line");
    if (strstr(record_last_error(), "secret"))
        complain(i, "the message has the password");
    if (logged.lines != 1 || logged.errors != 1)
        complain(i, "%d lines were logged, %d of them errors", logged.lines, logged.errors);
    else if (strcmp(logged.last, record_last_error()))
        complain(i, "the log and record_last_error() differ");
}

static void run_row(size_t i)
{
    const struct row *r = &rows[i];
    rec_hdl_t hdl = NULL;
    int rc;
    memset(&logged, 0, sizeof(logged));
    if (r->call) {
        rc = r->call();
    } else if (r->key) {
        rc = record_set_option(idle, r->key, r->value);
    } else {
        hdl = record_register(r->from ? expanded(r->from) : NULL, r->to ? expanded(r->to) : NULL);
        if (!r->start) {
            if (hdl)
                complain(i, "record_register succeeds");
            else
                check_words_of(i);
            record_unregister(hdl);
            return;
        }
        if (!hdl) {
            complain(i, "record_register fails");
            return;
        }
        set_option(hdl, "connect_timeout", strstr(r->to, "{silent}") ? "200" : "5000");
        memset(&logged, 0, sizeof(logged));
        rc = record_start(hdl);
    }
    int want = r->start ? r->start : r->want;
    /* The line has left when the call returns, unless the machine is very busy. */
    for (long long give_up = now_ms() + 1000; !load(&logged.lines) && now_ms() < give_up;)
        pause_ms(1);
    if (rc != want)
        complain(i, "is %d, expected %d", rc, want);
    check_words_of(i);
    if (hdl && (record_stop(hdl) || record_unregister(hdl)))
        complain(i, "stop and unregister after it are not 0");
}

static void bad_input_is_an_error_that_says_what_is_wrong(void)
{
    setenv("LC_ALL", "C", 1);
    set_up();
    msp_log_set_sink(take_line, NULL);
    int descriptors = 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        long long began = now_ms();
        run_row(i);
        if (now_ms() - began > 2000)
            complain(i, "took %lld ms", now_ms() - began);
        if (i == COUNT(rows) / 2)
            descriptors = count_descriptors();
    }
    if (failures)
        fail(__FILE__, __LINE__, "%d complaints", failures);
    AWAIT(count_descriptors() <= descriptors, 1000);
    CHECK_INT(record_stop(running), 0); /* nothing of it did harm to others */
    CHECK(record_register("null://", NULL) == NULL);
    CHECK(record_last_error()[0]);
    CHECK_INT(record_unregister(running), 0);
    CHECK_INT(record_last_error()[0], 0); /* "" after a success */
    note("%zu rows", COUNT(rows));
}

static void memory_that_goes_away_ends_the_session_not_the_program(void)
{
    size_t size = 4 << 20;
    char *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    memset(pages, 1, 2 * size);
    /* Its middle is missing; both ends, which start looks at, are there. */
    munmap(pages + size / 2, size / 2);
    rec_hdl_t hdl = session(mem_uri(pages, 2 * size), "null://");
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_wait(hdl, 5000), -EFAULT);
    CHECK_WORDS(record_last_error(), "record_wait|mapped");
    CHECK_INT(record_stop(hdl), -EFAULT);
    CHECK_INT(record_stop(hdl), 0);
    CHECK_INT(record_unregister(hdl), 0);

    mprotect(pages, size / 2, PROT_READ);
    uint8_t data[10] = {0};
    hdl = session(mem_uri(data, 10), mem_uri(pages, 10));
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_wait(hdl, 5000), -EFAULT);
    CHECK_INT(record_unregister(hdl), -EFAULT);
    munmap(pages, 2 * size);
}

static void a_ring_whose_memory_went_away_ends_the_session_not_the_program(void)
{
    size_t size = 65536;
    char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    dev_ringbuf_t rb;
    CHECK_INT(ringbuffer_create(&rb, pages, (int)size), 0);
    struct server server = server_start();
    rec_hdl_t hdl = session(ring_uri(&rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    munmap(pages, size);
    __atomic_store_n(&rb.widx, 1000, __ATOMIC_RELEASE); /* a writer would crash */
    CHECK_INT(record_wait(hdl, 5000), -EFAULT);
    CHECK_INT(record_stop(hdl), -EFAULT);
    CHECK_WORDS(record_last_error(), "memory");
    CHECK_INT(record_unregister(hdl), 0);
    ringbuffer_destroy(&rb);
}

static void a_ring_with_damaged_fields_ends_the_session(void)
{
    struct ring r;
    ring_open(&r, 1000);
    rec_hdl_t hdl = session(ring_uri(&r.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    __atomic_store_n(&r.rb.widx, 5000, __ATOMIC_RELEASE);
    CHECK_INT(record_wait(hdl, 5000), -EINVAL);
    CHECK_WORDS(record_last_error(), "damaged");
    CHECK_INT(record_unregister(hdl), -EINVAL);
    ring_close(&r);
}

static void a_full_destination_says_so(void)
{
    uint8_t data[1000], got[100];
    fill_bytes(data, sizeof(data), 1, 0);
    rec_hdl_t hdl = session(mem_uri(data, sizeof(data)), mem_uri(got, sizeof(got)));
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_wait(hdl, 5000), -ENOSPC);
    CHECK_WORDS(record_last_error(), "full|900 bytes");
    CHECK_BYTES(got, 100, data, 100);
    CHECK_INT(stats_of(hdl).left_bytes, 900);
    CHECK_INT(record_unregister(hdl), -ENOSPC);
}

static void the_environment_sets_options_and_the_call_wins(void)
{
    setenv("MSP_RECORD_CONNECT_TIMEOUT", "150", 1);
    int port;
    int fd = listen_on(&port, 0);
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%d/a", port);
    rec_hdl_t hdl = session("null://", url);
    long long began = now_ms();
    CHECK_INT(record_start(hdl), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 140, 1000);
    set_option(hdl, "connect_timeout", "400");
    began = now_ms();
    CHECK_INT(record_start(hdl), -ETIMEDOUT);
    CHECK_BETWEEN(now_ms() - began, 390, 1300);
    CHECK_INT(record_unregister(hdl), 0);
    close(fd);
}

static void a_bad_value_in_the_environment_is_an_error(void)
{
    setenv("MSP_RECORD_CONNECT_TIMEOUT", "soon", 1);
    CHECK(record_register("null://", "null://") == NULL);
    CHECK_WORDS(record_last_error(), "MSP_RECORD_CONNECT_TIMEOUT|soon");
}

static void *fail_elsewhere(void *arg)
{
    CHECK_INT(record_last_error()[0], 0);
    CHECK(record_start(arg) < 0);
    CHECK_WORDS(record_last_error(), "record_start");
    return NULL;
}

static void each_thread_has_its_own_last_error(void)
{
    CHECK(record_register("what://", "null://") == NULL);
    char mine[512];
    snprintf(mine, sizeof(mine), "%s", record_last_error());
    thread_join(thread_start(fail_elsewhere, NULL));
    CHECK(strcmp(mine, record_last_error()) == 0);
}

static void stats_write_no_more_than_the_caller_knows(void)
{
    union {
        record_stats_t stats;
        uint8_t bytes[sizeof(record_stats_t) + 64];
    } u;
    rec_hdl_t hdl = session("null://", "null://");
    for (uint32_t size = 8; size <= sizeof(u); size += 4) {
        memset(&u, 0xa5, sizeof(u));
        u.stats.size = size;
        CHECK_INT(record_get_stats(hdl, &u.stats), 0);
        uint32_t filled = size < sizeof(u.stats) ? size : (uint32_t)sizeof(u.stats);
        CHECK_INT(u.stats.size, filled);
        for (size_t i = filled; i < sizeof(u); i++)
            CHECK_INT(u.bytes[i], 0xa5);
    }
    CHECK_INT(record_get_count(hdl, NULL, NULL), 0);
    CHECK_INT(record_unregister(hdl), 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(bad_input_is_an_error_that_says_what_is_wrong),
        TEST(memory_that_goes_away_ends_the_session_not_the_program),
        TEST(a_ring_whose_memory_went_away_ends_the_session_not_the_program),
        TEST(a_ring_with_damaged_fields_ends_the_session),
        TEST(a_full_destination_says_so),
        TEST(the_environment_sets_options_and_the_call_wins),
        TEST(a_bad_value_in_the_environment_is_an_error),
        TEST(each_thread_has_its_own_last_error),
        TEST(stats_write_no_more_than_the_caller_knows),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
