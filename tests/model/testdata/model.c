/* SPDX-License-Identifier: MIT
 *
 * model.c - a random model of calls.
 *
 *     model SEED SECONDS SHORTAGE FOLDER SILENT-URL URL...
 *
 * SLOTS threads each own a session after the other and do to it what a program
 * may do, drawn from SEED: every source and destination, every option that
 * changes how bytes flow, callbacks that block, sleep, ask and stop, rings that
 * are destroyed or whose memory cannot be touched any more. Two more threads
 * ask and set meanwhile. In runs of even seeds the accounts and the content of
 * each session are checked. In the others these two, and callbacks, start, stop
 * and unregister any session as well, and only results, times and memory are
 * checked.
 *
 * The reference is in calls.c (what each call may return, and how long it may
 * take), callbacks.c (when callbacks may come), slot.c (accounts and content)
 * and below: at the end no descriptor and no thread is left behind, and the
 * memory is bounded.
 *
 * SHORTAGE is none, descriptors, threads or memory: see shortage.c. Prints a
 * line for each violation, and one at the end. Ends with 0 if there was none.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define MEDDLERS 2
#define DESCRIPTORS_MORE 8        /* that the library keeps for all connections */
#define THREADS_MORE 32           /* that Go may make, and keeps */
#define RESIDENT_MOST (160 << 10) /* KiB */

struct plan plan;
struct slot slots[SLOTS];
rec_hdl_t published[SLOTS];
int over;

static int failures;
static int sessions_may_begin;
static double began;

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void fail(const char *format, ...)
{
    va_list args;
    char text[700];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (__atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST) < 20)
        printf("FAIL %.1f s: %s\n", (now_ms() - began) / 1e3, text);
}

unsigned draw(unsigned *random, unsigned below)
{
    *random = *random * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(*random >> 1) * below >> 31);
}

int get(const int *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

void set(int *p, int value)
{
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    if (d == NULL)
        return -1;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

static void await_begin(void)
{
    while (!get(&sessions_may_begin))
        usleep(1000);
}

static void *own(void *arg)
{
    await_begin();
    return own_slot(arg);
}

static void *meddle(void *arg)
{
    unsigned random = plan.seed * 31 + (unsigned)(uintptr_t)arg;
    await_begin();
    while (!get(&over)) {
        call_anything(&random);
        usleep(draw(&random, 2000));
    }
    return NULL;
}

static void *watch(void *arg)
{
    (void)arg;
    for (;;) {
        usleep(200 * 1000);
        watch_calls();
    }
    return NULL;
}

/* The first call brings Go up, and may fail only where something is short. */
static void use_once(void)
{
    rec_hdl_t rec = record_register("null://", "null://");
    if (rec != NULL)
        record_unregister(rec);
    else if (strcmp(plan.shortage, "none") == 0)
        fail("the first record_register: %s", record_last_error());
}

/* Everything is unregistered: waits until what it used is given back. */
static void check_leaks(int descriptors, int threads)
{
    int fds = 0, tasks = 0;
    double since = now_ms();
    do {
        usleep(20 * 1000);
        fds = entries("/proc/self/fd");
        tasks = entries("/proc/self/task");
    } while ((fds > descriptors || tasks > threads + THREADS_MORE) && now_ms() - since < 5000);
    if (fds > descriptors)
        fail("%d descriptors are open, %d were before", fds, descriptors);
    if (tasks > threads + THREADS_MORE)
        fail("%d threads run, %d did before", tasks, threads);
    long kib = resident_kib();
    if (kib > RESIDENT_MOST)
        fail("%ld KiB are resident, the most is %d", kib, RESIDENT_MOST);
    printf("descriptors %d to %d, threads %d to %d, %ld KiB\n", descriptors, fds, threads, tasks,
           kib);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: model SEED SECONDS SHORTAGE FOLDER SILENT-URL URL...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    began = now_ms();
    plan.seed = (unsigned)strtoul(argv[1], NULL, 10);
    plan.seconds = atof(argv[2]);
    plan.shortage = argv[3];
    plan.folder = argv[4];
    plan.silent = argv[5];
    plan.meddling = plan.seed % 2 == 1;
    for (int i = 6; i < argc && plan.url_count < 8; i++)
        plan.urls[plan.url_count++] = argv[i];

    /* The model's own threads and what they wait on are there before anything
     * is short. */
    pthread_t owners[SLOTS], meddlers[MEDDLERS], watcher;
    for (int i = 0; i < SLOTS; i++) {
        slots[i].id = i;
        slots[i].random = plan.seed * 977 + (unsigned)i * 131;
        msp_event_new(&slots[i].wake, 0);
        pthread_create(&owners[i], NULL, own, &slots[i]);
    }
    for (uintptr_t i = 0; i < MEDDLERS; i++)
        pthread_create(&meddlers[i], NULL, meddle, (void *)i);
    pthread_create(&watcher, NULL, watch, NULL);

    begin_shortage(1);
    use_once();
    int descriptors = entries("/proc/self/fd") + DESCRIPTORS_MORE,
        threads = entries("/proc/self/task");
    begin_shortage(0);
    set(&sessions_may_begin, 1);
    usleep((useconds_t)(plan.seconds * 1e6));
    set(&over, 1);
    for (int i = 0; i < SLOTS; i++)
        pthread_join(owners[i], NULL);
    for (int i = 0; i < MEDDLERS; i++)
        pthread_join(meddlers[i], NULL);
    end_shortage();
    use_once();
    check_leaks(descriptors, threads);
    printf("seed %u: %d violations\n", plan.seed, failures);
    return failures != 0;
}
