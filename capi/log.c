/* SPDX-License-Identifier: MIT
 *
 * log.c - lines to stderr or to the application's sink.
 */
#include "log_queue.h"

#include <errno.h>
#include <limits.h>
#include <msp/log.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVEL_UNSET (-1)

__thread const char *msp_log_clock;

static const char letters[] = "-EWID";
static int current_level = LEVEL_UNSET;

/* A call of a sink in progress, on the stack of the thread that makes it. */
struct call {
    unsigned long sink_number;
    pthread_t thread;
    struct call *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t returned; /* a call of a sink did */
    msp_log_sink_t fn;
    void *arg;
    unsigned long number; /* of the sink, counted */
    struct call *calls;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .returned = PTHREAD_COND_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void hold(void)
{
    pthread_mutex_lock(&sink.lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&sink.lock);
}

/* The other threads' calls will never return here. */
static void in_child(void)
{
    struct call **at = &sink.calls;
    while (*at != NULL) {
        if (pthread_equal((*at)->thread, pthread_self()))
            at = &(*at)->next;
        else
            *at = (*at)->next;
    }
    pthread_cond_init(&sink.returned, NULL);
    let_go();
}

static void init(void)
{
    pthread_atfork(hold, let_go, in_child);
}

void msp_log_init(void)
{
    pthread_once(&once, init);
}

static int level_from_environment(void)
{
    static const char *const names[] = {"none", "error", "warn", "info", "debug"};
    const char *text = getenv("MSP_LOG_LEVEL");
    for (int level = MSP_LOG_NONE; text != NULL && level <= MSP_LOG_DEBUG; level++) {
        const char letter[] = {letters[level], '\0'};
        const char digit[] = {(char)('0' + level), '\0'};
        if (strcasecmp(text, names[level]) == 0 || strcasecmp(text, letter) == 0 ||
            strcmp(text, digit) == 0)
            return level;
    }
    return MSP_LOG_INFO;
}

static int get_level(void)
{
    int level = __atomic_load_n(&current_level, __ATOMIC_RELAXED);
    if (level != LEVEL_UNSET)
        return level;
    /* A level that another thread sets meanwhile wins: it was asked for. */
    int wanted = level_from_environment();
    if (__atomic_compare_exchange_n(&current_level, &level, wanted, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return wanted;
    return level;
}

int msp_log_wanted(int level)
{
    return level >= MSP_LOG_ERROR && level <= MSP_LOG_DEBUG && level <= get_level();
}

MSP_WEAK void msp_log_set_level(int level)
{
    if (level < MSP_LOG_NONE)
        level = MSP_LOG_NONE;
    if (level > MSP_LOG_DEBUG)
        level = MSP_LOG_DEBUG;
    __atomic_store_n(&current_level, level, __ATOMIC_RELAXED);
}

static int is_in_sink(void)
{
    for (const struct call *c = sink.calls; c != NULL; c = c->next)
        if (pthread_equal(c->thread, pthread_self()))
            return 1;
    return 0;
}

int msp_log_in_sink(void)
{
    msp_log_init();
    hold();
    int in = is_in_sink();
    let_go();
    return in;
}

static int is_called(unsigned long before)
{
    for (const struct call *c = sink.calls; c != NULL; c = c->next)
        if (c->sink_number < before)
            return 1;
    return 0;
}

MSP_WEAK void msp_log_set_sink(msp_log_sink_t fn, void *arg)
{
    msp_log_flush(MSP_LOG_MOMENT); /* what was logged before is the former one's */
    hold();
    sink.fn = fn;
    sink.arg = arg;
    unsigned long number = ++sink.number;
    while (!is_in_sink() && is_called(number))
        pthread_cond_wait(&sink.returned, &sink.lock);
    let_go();
}

/* Hands a line to the sink. 0 when there is none to take it. */
static int to_sink(int level, const char *tag, const char *line)
{
    msp_log_init();
    hold();
    if (sink.fn == NULL || is_in_sink()) {
        let_go();
        return 0;
    }
    struct call call = {sink.number, pthread_self(), sink.calls};
    msp_log_sink_t fn = sink.fn;
    void *arg = sink.arg;
    sink.calls = &call;
    let_go();

    fn(level, tag, line, arg);

    hold();
    struct call **at = &sink.calls;
    while (*at != &call)
        at = &(*at)->next;
    *at = call.next;
    pthread_cond_broadcast(&sink.returned);
    let_go();
    return 1;
}

/* One write(2), save for what a signal or a full pipe cut off. A SIGPIPE that
 * it raises is taken back, one that was pending before is left. */
static void to_stderr(const char *text, size_t n)
{
    sigset_t pipe_signal, pending, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);

    ssize_t written = 0;
    while (n > 0 && (written >= 0 || errno == EINTR)) {
        written = write(STDERR_FILENO, text, n);
        if (written > 0) {
            text += written;
            n -= (size_t)written;
        }
    }
    if (written < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec at_once = {0, 0};
        while (sigtimedwait(&pipe_signal, NULL, &at_once) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static const char *colour_of(int level)
{
    if (level == MSP_LOG_ERROR)
        return "\033[31m";
    return level == MSP_LOG_WARN ? "\033[33m" : "";
}

/* Writes what stands before the message and tells its length. */
static size_t put_head(char *line, size_t size, int level, const char *tag, const char *colour)
{
    char now[32];
    const char *clock = msp_log_clock;
    if (clock == NULL) {
        msp_wall_clock(now, sizeof(now));
        clock = now;
    }
    int n = snprintf(line, size, "%s%s %c %.64s: ", colour, clock, letters[level], tag);
    return n > 0 ? (size_t)n : 0;
}

/* head_room is for the head of a stderr line, tail_room for colour, newline
 * and end; the message stands between. */
enum { HEAD_ROOM = 128, TAIL_ROOM = 8, USUAL = 1024 };

static void put(int level, const char *tag, char *message, size_t n)
{
    while (n > 0 && (message[n - 1] == '\n' || message[n - 1] == '\r'))
        n--;
    message[n] = '\0';
    if (to_sink(level, tag, message))
        return;
    const char *colour = isatty(STDERR_FILENO) ? colour_of(level) : "";
    char head[HEAD_ROOM];
    size_t head_size = put_head(head, sizeof(head), level, tag, colour);
    char *line = memcpy(message - head_size, head, head_size);
    n += head_size;
    n += (size_t)snprintf(line + n, TAIL_ROOM, "%s\n", colour[0] != '\0' ? "\033[0m" : "");
    to_stderr(line, n);
}

/* msp_log_write() by another name, which no application has in its place. */
static void own_write(int level, const char *tag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void msp_log_write(int level, const char *tag, const char *fmt, ...)
    __attribute__((weak, visibility("default"), alias("own_write")));

int msp_log_takes(size_t n)
{
    hold();
    int taken = sink.fn != NULL;
    let_go();
    if (taken || msp_log_write != own_write)
        return 0;
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct stat st;
    if (n + HEAD_ROOM + TAIL_ROOM > PIPE_BUF &&
        (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode)))
        return 0;
    return poll(&out, 1, 0) > 0; /* an error does not block either */
}

static void own_write(int level, const char *tag, const char *fmt, ...)
{
    if (!msp_log_wanted(level))
        return;
    int saved_errno = errno;
    if (tag == NULL)
        tag = "";
    char usual[HEAD_ROOM + USUAL + TAIL_ROOM];
    char *message = usual + HEAD_ROOM;
    char *large = NULL;
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(message, USUAL, fmt, args);
    va_end(args);
    if (n >= USUAL) {
        large = malloc(HEAD_ROOM + (size_t)n + 1 + TAIL_ROOM);
        if (large != NULL) {
            message = large + HEAD_ROOM;
            va_start(args, fmt);
            n = vsnprintf(message, (size_t)n + 1, fmt, args);
            va_end(args);
        } else {
            n = USUAL - 1; /* better cut than silent */
        }
    }
    put(level, tag, message, n > 0 ? (size_t)n : 0);
    free(large);
    errno = saved_errno;
}
