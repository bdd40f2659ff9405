/* SPDX-License-Identifier: MIT */
#include "log_queue.h"

#include <errno.h>
#include <msp/log.h>
#include <stdlib.h>
#include <string.h>

#include "../internal/worker/thread.h"

/* Bytes of lines that may wait, with what they cost besides. */
#define MOST_WAITING (256 * 1024)

#define IDLE_MS 1000u /* after which the thread ends */
#define EXIT_MS 200u  /* how long exit() waits for what is left */

struct line {
    struct line *next;
    unsigned long dropped; /* lines before this one that did not fit */
    int level;
    char clock[32];
    size_t size;
    char text[];
};

static struct {
    pthread_mutex_t lock;   /* taken before log.c's; not held while a line is written */
    pthread_cond_t changed; /* on the monotonic clock */
    struct line *first;
    struct line **end;
    size_t bytes;          /* of the lines */
    unsigned long dropped; /* since the last line that fit */
    unsigned long posted;  /* lines, in all */
    unsigned long left;    /* of those, how many are written */
    int writing;           /* a thread writes one */
    int running;           /* the thread lives */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = &queue.first};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void hold(void)
{
    pthread_mutex_lock(&queue.lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&queue.lock);
}

static void forget(void)
{
    queue.first = NULL;
    queue.end = &queue.first;
    queue.bytes = 0;
    queue.dropped = 0;
    queue.left = queue.posted;
    queue.writing = 0;
    queue.running = 0;
}

/* What waited is the parent's to write, by a thread that is not here. */
static void in_child(void)
{
    forget();
    msp_cond_init(&queue.changed);
    let_go();
}

static void at_exit(void)
{
    msp_log_flush(EXIT_MS);
}

static void init(void)
{
    msp_cond_init(&queue.changed);
    msp_log_init(); /* before the next line: see msp_slots_init() */
    pthread_atfork(hold, let_go, in_child);
    atexit(at_exit);
}

static void write_line(int level, const char *clock, const char *text)
{
    msp_log_clock = clock;
    msp_log_write(level, "record", "%s", text);
    msp_log_clock = NULL;
}

static void tell_dropped(unsigned long n)
{
    msp_log_write(MSP_LOG_WARN, "record",
                  "%lu lines of the log were dropped: stderr, or the log's sink, did not take them",
                  n);
}

/* Writes what waits, until nothing does. queue is locked, and unlocked meanwhile. */
static void write_waiting(void)
{
    while (queue.first) {
        struct line *line = queue.first;
        queue.first = line->next;
        if (!queue.first)
            queue.end = &queue.first;
        queue.bytes -= line->size;
        unsigned long after = queue.first ? 0 : queue.dropped;
        queue.dropped -= after;
        queue.writing = 1;
        let_go();
        if (line->dropped)
            tell_dropped(line->dropped);
        write_line(line->level, line->clock, line->text);
        if (after)
            tell_dropped(after);
        free(line);
        hold();
        queue.writing = 0;
        queue.left++;
        pthread_cond_broadcast(&queue.changed);
    }
}

static void *work(void *unused)
{
    (void)unused;
    msp_thread_begin("msp-log");
    hold();
    for (;;) {
        struct timespec until = msp_deadline(IDLE_MS);
        int rc = 0;
        while ((!queue.first || queue.writing) && rc == 0)
            rc = pthread_cond_timedwait(&queue.changed, &queue.lock, &until);
        if (queue.first && !queue.writing)
            write_waiting();
        else if (!queue.first)
            break;
    }
    queue.running = 0;
    let_go();
    return NULL;
}

/* Sees to it that a thread writes what waits. queue is locked. */
static void employ(void)
{
    if (!queue.running && msp_thread_start(NULL, work, NULL) == 0)
        queue.running = 1;
    pthread_cond_broadcast(&queue.changed);
}

/* Adds a line; 0 where it does not fit. queue is locked. */
static int add(int level, const char *text)
{
    size_t n = strlen(text) + 1;
    if (queue.bytes + sizeof(struct line) + n > MOST_WAITING)
        return 0;
    struct line *line = malloc(sizeof(*line) + n);
    if (!line)
        return 0;
    line->next = NULL;
    line->dropped = queue.dropped;
    line->level = level;
    line->size = sizeof(*line) + n;
    msp_wall_clock(line->clock, sizeof(line->clock));
    memcpy(line->text, text, n);
    queue.dropped = 0;
    queue.bytes += line->size;
    *queue.end = line;
    queue.end = &line->next;
    queue.posted++;
    return 1;
}

void msp_log_post(int level, const char *text)
{
    if (!msp_log_wanted(level))
        return;
    if (msp_log_in_sink()) { /* as all that a sink logs */
        write_line(level, NULL, text);
        return;
    }
    pthread_once(&once, init);
    hold();
    if (!queue.first && !queue.writing && msp_log_takes(strlen(text))) {
        queue.posted++;
        queue.writing = 1;
        let_go();
        write_line(level, NULL, text);
        hold();
        queue.writing = 0;
        queue.left++;
        if (queue.first)
            employ();
        pthread_cond_broadcast(&queue.changed);
    } else {
        if (!add(level, text))
            queue.dropped++;
        employ();
    }
    let_go();
}

void msp_log_flush(unsigned ms)
{
    if (msp_log_in_sink())
        return;
    pthread_once(&once, init);
    struct timespec until = msp_deadline(ms);
    hold();
    unsigned long posted = queue.posted;
    int rc = 0;
    while ((long)(posted - queue.left) > 0 && rc == 0) {
        if (!queue.writing && !queue.running) {
            employ();
            if (!queue.running) { /* there can be no thread, so this one writes */
                write_waiting();
                break;
            }
        }
        rc = pthread_cond_timedwait(&queue.changed, &queue.lock, &until);
    }
    let_go();
}
