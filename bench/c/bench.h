/* SPDX-License-Identifier: MIT
 *
 * bench.h - what the measured programs share: clocks, what a process used, and
 * the report that the driver reads.
 *
 * A report is one line of JSON on standard output, numbers only. Each program
 * measures itself, from the moment its connections stand to the moment it has
 * handed over everything, so that its start is not counted.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void sleep_until(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000LL, .tv_nsec = ns % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

static inline void sleep_us(int64_t us)
{
    sleep_until(now_ns() + us * 1000);
}

/* What this process has used so far. */
struct used {
    double cpu, wall; /* seconds */
    long gave_up_cpu; /* context switches because it waited */
    long lost_cpu;    /* and because its time was over */
};

static inline struct used used_now(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (struct used){
        .cpu = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
               (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6,
        .wall = (double)now_ns() / 1e9,
        .gave_up_cpu = r.ru_nvcsw,
        .lost_cpu = r.ru_nivcsw,
    };
}

static inline long from_status(const char *key)
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

/* Prints "name": value with what separates it from the one before. */
static inline void field(const char *name, double value)
{
    static int fields;
    printf("%s\"%s\": %.9g", fields++ ? ", " : "{", name, value);
}

/* The same for a name of two parts. */
static inline void named(const char *name, const char *what, double value)
{
    char both[64];
    snprintf(both, sizeof(both), "%s_%s", name, what);
    field(both, value);
}

static inline void end_report(void)
{
    puts("}");
    fflush(stdout);
}

static inline void report_use(struct used since, struct used until)
{
    field("cpu_s", until.cpu - since.cpu);
    field("wall_s", until.wall - since.wall);
    field("waits", (double)(until.gave_up_cpu - since.gave_up_cpu));
    field("preempted", (double)(until.lost_cpu - since.lost_cpu));
}

static inline void report_memory(void)
{
    field("threads", (double)from_status("Threads:"));
    field("rss_kib", (double)from_status("VmRSS:"));
}

/* What the paced programs send: streams times one piece each period, the
 * streams one after the other in equal steps over the period, or all at its
 * start. Each piece begins with the time at which it was due to be written. */
struct pace {
    int streams, size, period_ms, together;
    double seconds;
    int64_t begin;
};

/* Due time of the piece-th piece of a stream. */
static inline int64_t due(const struct pace *p, int stream, int64_t piece)
{
    int64_t period = p->period_ms * 1000000LL;
    return p->begin + piece * period + (p->together ? 0 : period * stream / p->streams);
}

/* For qsort, of double. */
static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline void *must(void *allocated)
{
    if (allocated == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return allocated;
}

#endif
