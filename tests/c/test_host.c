/* SPDX-License-Identifier: MIT
 *
 * test_host.c - the program that uses the library keeps what is its own: its
 * signals and their handlers, fork() and daemon(), its one thread while it only
 * links the library, and its life when a server dies.
 */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msp/kernel.h>
#include <msp/log.h>

#define SOON 1000

#ifdef __SANITIZE_THREAD__
#define OWN_THREADS 2 /* the sanitizer has one */
#else
#define OWN_THREADS 1
#endif

static __thread int of_the_host; /* 1 on threads that this program made */

static int here, elsewhere; /* handled signals */

/* A handler that uses as much stack as ordinary ones do. */
static void handler(int sig)
{
    volatile char used[2048];
    memset((void *)(uintptr_t)used, sig, sizeof(used));
    add(of_the_host ? &here : &elsewhere, 1);
}

static void handle(int sig, int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&sa.sa_mask);
    sigaction(sig, &sa, NULL);
}

/* A child's end: 0, or 1000 + the signal that ended it. */
static int end_of(pid_t pid)
{
    int status;
    long long give_up = now_ms() + 15000;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (now_ms() > give_up) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return 1000 + SIGKILL;
        }
        pause_ms(1);
    }
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- Threads ------------------------------------------------------------- */

static void a_program_that_only_links_the_library_has_one_thread(void)
{
    CHECK_INT(count_threads(), OWN_THREADS);
    /* What needs no thread starts none. */
    CHECK(record_version()[0]);
    CHECK_INT(record_last_error()[0], 0);
    char buffer[10];
    uint8_t data[10] = {0};
    dev_ringbuf_t rb;
    ringbuffer_create(&rb, buffer, 10);
    ringbuffer_write(&rb, data, 5);
    ringbuffer_read(&rb, data, 5);
    ringbuffer_destroy(&rb);
    msp_event_t event;
    msp_mutex_t mutex;
    msp_sem_t sem;
    msp_queue_t queue;
    msp_timer_t timer;
    unsigned flags;
    CHECK_INT(msp_event_new(&event, 1), 0);
    CHECK_INT(msp_event_get(&event, 1, MSP_EVENT_OR, &flags, 10), 0);
    CHECK(msp_event_get(&event, 2, MSP_EVENT_OR, &flags, 10) != 0);
    CHECK_INT(msp_mutex_new(&mutex), 0);
    CHECK_INT(msp_mutex_lock(&mutex, 10), 0);
    CHECK_INT(msp_mutex_unlock(&mutex), 0);
    CHECK_INT(msp_sem_new(&sem, 1), 0);
    CHECK_INT(msp_sem_wait(&sem, 10), 0);
    CHECK_INT(msp_queue_create(&queue, 64, 8, 0), 0);
    CHECK_INT(msp_queue_send(&queue, data, 3), 0);
    CHECK(msp_now_ms() > 0);
    msp_msleep(1);
    msp_free(msp_zalloc(10));
    LOGD("test", "%d", 1);
    CHECK_INT(msp_timer_new_ext(&timer, NULL, NULL, 10, 0, 0) == 0, 0);
    CHECK_INT(count_threads(), OWN_THREADS);
}

/* ---- Signals ------------------------------------------------------------- */

static int over, calling;

/* A host thread that makes calls all the time. */
static void *call_on(void *arg)
{
    of_the_host = 1;
    add(&calling, 1);
    while (!load(&over)) {
        record_stats_t stats = {.size = sizeof(stats)};
        record_get_stats(arg, &stats);
        rec_hdl_t hdl = record_register("null://", "null://");
        record_start(hdl);
        record_wait(hdl, 0);
        record_unregister(hdl);
        record_register("what://", "null://"); /* logs, formats, fails */
    }
    return NULL;
}

static void write_and_check(struct server *server, struct ring *ring, rec_hdl_t hdl,
                            const char *name, size_t from)
{
    uint8_t *data = make_bytes(from + 50000, 9);
    ring_put(&ring->rb, data + from, 50000);
    AWAIT(stats_of(hdl).sent_bytes == from + 50000, 10 * SOON);
    CHECK_INT(record_stop(hdl), 0);
    check_stored(server, name, data, from + 50000);
    free(data);
}

static void check_handlers(int flags)
{
    of_the_host = 1;
    msp_log_set_level(MSP_LOG_NONE);
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 10001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    pthread_t callers[2];
    for (int i = 0; i < 2; i++)
        callers[i] = thread_start(call_on, hdl);
    AWAIT(load(&calling) == 2, SOON);
    static const int signals[] = {SIGUSR1, SIGINT, SIGTERM, SIGPIPE};
    for (size_t i = 0; i < COUNT(signals); i++)
        handle(signals[i], flags);
    int sent = 0;
    for (long long end = now_ms() + 2000; now_ms() < end; sent++) {
        if (sent % 2)
            kill(getpid(), signals[sent / 2 % 4]);
        else
            pthread_kill(callers[sent / 2 % 2], signals[sent / 4 % 4]);
        if (sent % 64 == 0)
            sched_yield();
    }
    store(&over, 1);
    for (int i = 0; i < 2; i++)
        thread_join(callers[i]);
    note("%d signals sent, handled %d times on threads of the host, %d on others", sent,
         load(&here), load(&elsewhere));
    CHECK_INT(load(&elsewhere), 0);
    CHECK(load(&here) > 100);
    write_and_check(&server, &ring, hdl, "a.pcm", 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

/* In all those programs that never heard of alternate stacks. */
static void handlers_without_onstack_run_on_the_hosts_threads(void)
{
    check_handlers(SA_RESTART);
}

static void handlers_with_onstack_run_on_the_hosts_threads(void)
{
    check_handlers(SA_RESTART | SA_ONSTACK);
}

static void *send_signals(void *arg)
{
    of_the_host = 1;
    while (!load(&over))
        kill(getpid(), *(int *)arg);
    return NULL;
}

static void a_signal_that_all_threads_of_the_host_block_waits_for_them(void)
{
    of_the_host = 1;
    handle(SIGUSR1, 0);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_INT(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
    struct server server = server_start();
    struct ring ring;
    ring_open(&ring, 10001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
    CHECK_INT(record_start(hdl), 0);
    int sig = SIGUSR1;
    pthread_t sender = thread_start(send_signals, &sig);
    uint8_t *data = make_bytes(500000, 9);
    ring_put(&ring.rb, data, 500000);
    pause_ms(300);
    store(&over, 1);
    thread_join(sender);
    CHECK_INT(load(&here), 0);
    CHECK_INT(load(&elsewhere), 0);
    sigset_t pending;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    CHECK_INT(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    CHECK_INT(load(&here), 1);
    CHECK_INT(record_stop(hdl), 0);
    check_stored(&server, "a.pcm", data, 500000);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK_INT(memcmp(&now, &old, 8), 0); /* the host's mask is as it was */
    CHECK_INT(record_unregister(hdl), 0);
    free(data);
    ring_close(&ring);
}

/* Starts sessions and streams for a while, in which the library's threads work. */
static void work(struct ring *ring, rec_hdl_t hdl, int ms)
{
    static uint8_t data[65536];
    for (long long end = now_ms() + ms; now_ms() < end;) {
        ringbuffer_write(&ring->rb, data, sizeof(data));
        CHECK_INT(record_unregister(session("null://", "null://")), 0);
    }
    CHECK_INT(record_stop(hdl), 0);
}

/* Those that Go's runtime uses, or unblocks on its threads whatever they inherit. */
static void check_signal_of_the_runtime(int sig, int blocked)
{
    of_the_host = 1;
    msp_log_set_level(MSP_LOG_NONE);
    struct ring ring;
    ring_open(&ring, 1 << 20);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    handle(sig, SA_RESTART); /* after first use, as a program may */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    if (blocked)
        CHECK_INT(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    struct itimerval often = {{0, 1000}, {0, 1000}};
    if (sig == SIGPROF)
        CHECK_INT(setitimer(ITIMER_PROF, &often, NULL), 0);
    pthread_t sender = 0;
    if (sig != SIGPROF && blocked)
        sender = thread_start(send_signals, &sig);
    work(&ring, hdl, 700);
    store(&over, 1);
    if (sender)
        thread_join(sender);
    CHECK_INT(load(&elsewhere), 0);
    sigset_t pending;
    sigpending(&pending);
    CHECK_INT(sigismember(&pending, sig), blocked);
    _exit(0);
}

static void signals_that_gos_runtime_uses_stay_the_hosts(void)
{
    static const int signals[] = {SIGURG, SIGCHLD, SIGPROF};
    for (size_t i = 0; i < COUNT(signals); i++)
        for (int blocked = 0; blocked < 2; blocked++) {
            fflush(NULL);
            pid_t pid = fork();
            if (pid == 0)
                check_signal_of_the_runtime(signals[i], blocked);
            int end = end_of(pid);
            if (end)
                fail(__FILE__, __LINE__, "%s, %s: %d", strsignal(signals[i]),
                     blocked ? "blocked" : "handled", end);
        }
}

static int interrupted;

static void *stop_later(void *arg)
{
    of_the_host = 1;
    for (int i = 0; i < 20; i++) {
        pause_ms(5);
        kill(getpid(), SIGINT);
        AWAIT(load(&here) == i + 1, SOON);
    }
    store(&interrupted, 1);
    CHECK_INT(record_stop(arg), 0);
    return NULL;
}

/* As in a program whose main waits in record_wait() and whose user is impatient. */
static void sigint_arrives_while_main_waits_in_the_library(void)
{
    of_the_host = 1;
    struct ring ring;
    ring_open(&ring, 1000);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    handle(SIGINT, 0);
    pthread_t thread = thread_start(stop_later, hdl);
    CHECK_INT(record_wait(hdl, -1), 0);
    thread_join(thread);
    CHECK_INT(interrupted, 1);
    CHECK_INT(load(&here), 20);
    CHECK_INT(load(&elsewhere), 0);
    CHECK_INT(record_unregister(hdl), 0);
    ring_close(&ring);
}

static char *page;
static int repaired;

/* Repairs what raised it, as garbage collectors and emulators do. */
static void repair(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    if ((char *)info->si_addr < page || (char *)info->si_addr >= page + 4096)
        _exit(99);
    repaired++;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void the_hosts_own_sigsegv_handler_runs(void)
{
    for (int before = 0; before < 2; before++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct sigaction sa = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO | SA_ONSTACK};
            sigemptyset(&sa.sa_mask);
            if (before) /* the library's runtime starts after it, and passes it on */
                sigaction(SIGSEGV, &sa, NULL);
            rec_hdl_t hdl = session("null://", "null://");
            CHECK_INT(record_start(hdl), 0);
            if (!before)
                sigaction(SIGSEGV, &sa, NULL);
            page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            for (int i = 1; i <= 50; i++) {
                mprotect(page, 4096, PROT_NONE);
                *(volatile char *)page = 1;
                CHECK_INT(repaired, i);
            }
            CHECK_INT(record_stop(hdl), 0);
            _exit(0);
        }
        CHECK_INT(end_of(pid), 0);
    }
}

/* The program's own faults end it as they would without the library. */
static void a_fault_of_the_host_still_kills_it(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction sa = {.sa_handler = SIG_DFL};
        sigaction(SIGSEGV, &sa, NULL);
        fclose(stderr); /* its last words are not of interest */
        close(2);
        rec_hdl_t hdl = session("null://", "null://");
        CHECK_INT(record_start(hdl), 0);
        page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *(volatile char *)page = 1;
        _exit(0);
    }
    int end = end_of(pid);
    CHECK(end == 1000 + SIGSEGV || end == 1000 + SIGABRT || end == 2 || end == 1);
}

static void a_dead_server_does_not_kill_the_host(void)
{
    for (int before = 0; before < 2; before++) {
        struct server server = server_start();
        struct ring ring;
        ring_open(&ring, 1000001);
        if (before)
            signal(SIGPIPE, SIG_DFL);
        rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
        CHECK_INT(record_set_option(hdl, "max_offline", "1"), 0);
        CHECK_INT(record_start(hdl), 0);
        if (!before)
            signal(SIGPIPE, SIG_DFL);
        uint8_t *data = make_bytes(500000, 1);
        CHECK_INT(ringbuffer_write(&ring.rb, data, 500000), 500000);
        server_kill(&server);
        for (int i = 0; i < 50; i++) {
            ringbuffer_write(&ring.rb, data, 10000);
            pause_ms(1);
        }
        AWAIT(state_of(hdl) == RECORD_FAILED, SOON);
        CHECK(record_stop(hdl) < 0);
        for (int i = 0; i < 20; i++)
            CHECK_INT(record_start(hdl), -ECONNREFUSED);
        struct sigaction sa;
        sigaction(SIGPIPE, NULL, &sa);
        CHECK(sa.sa_handler == SIG_DFL);
        CHECK_INT(record_unregister(hdl), 0);
        ring_close(&ring);
        free(data);
    }
}

static void the_hosts_own_sigpipe_still_works(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        rec_hdl_t hdl = session("null://", "null://");
        CHECK_INT(record_start(hdl), 0);
        signal(SIGPIPE, SIG_DFL);
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        close(ends[0]);
        if (write(ends[1], "x", 1) == 1)
            _exit(2);
        _exit(3);
    }
    CHECK_INT(end_of(pid), 1000 + SIGPIPE);
    pid = fork();
    if (pid == 0) {
        of_the_host = 1;
        handle(SIGPIPE, 0);
        rec_hdl_t hdl = session("null://", "null://");
        CHECK_INT(record_start(hdl), 0);
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        close(ends[0]);
        CHECK_INT(write(ends[1], "x", 1), -1);
        CHECK_INT(errno, EPIPE);
        CHECK_INT(load(&here), 1);
        _exit(0);
    }
    CHECK_INT(end_of(pid), 0);
}

/* ---- fork, daemon, exec -------------------------------------------------- */

static void daemon_and_then_record_works(void)
{
    struct server server = server_start();
    uint8_t *data = make_bytes(100000, 5);
    int result[2];
    CHECK_INT(pipe(result), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (daemon(1, 1))
            _exit(9);
        alarm(20);
        struct ring ring;
        ring_open(&ring, 10001);
        rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
        int rc = record_start(hdl);
        ring_put(&ring.rb, data, 100000);
        rc = rc ? rc : record_stop(hdl);
        if (write(result[1], &rc, sizeof(rc)) < 0)
            _exit(1);
        _exit(0);
    }
    CHECK_INT(end_of(pid), 0);
    close(result[1]);
    int rc = -1;
    CHECK_INT(read(result[0], &rc, sizeof(rc)), sizeof(rc));
    CHECK_INT(rc, 0);
    check_stored(&server, "a.pcm", data, 100000);
    free(data);
}

#define REFUSED(call)                                                                              \
    do {                                                                                           \
        long long began_ = now_ms();                                                               \
        CHECK_INT(call, -ENOTSUP);                                                                 \
        CHECK_WORDS(record_last_error(), "fork|exec");                                             \
        CHECK_BETWEEN(now_ms() - began_, 0, 500);                                                  \
    } while (0)
#define REFUSED_VOID(call)                                                                         \
    do {                                                                                           \
        call;                                                                                      \
        CHECK_WORDS(record_last_error(), "fork|exec");                                             \
    } while (0)

static void check_forked_child(rec_hdl_t hdl, struct ring *ring)
{
    alarm(10);
    record_stats_t stats = {.size = sizeof(stats)};
    int n;
    CHECK(record_register("null://", "null://") == NULL);
    CHECK_WORDS(record_last_error(), "fork|exec");
    REFUSED_VOID(record_set_data_ready_cb(hdl, NULL, NULL));
    REFUSED_VOID(record_set_data_release_cb(hdl, NULL, NULL));
    REFUSED_VOID(record_set_chunk_size(hdl, 100));
    REFUSED(record_start(hdl));
    REFUSED(record_pre_stop(hdl));
    REFUSED(record_stop(hdl));
    REFUSED(record_unregister(hdl));
    REFUSED(record_get_count(hdl, &n, &n));
    REFUSED(record_set_option(hdl, "stop_timeout", "1"));
    REFUSED(record_get_stats(hdl, &stats));
    REFUSED(record_set_event_cb(hdl, NULL, NULL));
    REFUSED(record_set_message_cb(hdl, NULL, NULL));
    REFUSED(record_set_dial_cb(hdl, NULL, NULL));
    REFUSED(record_send_text(hdl, "text"));
    REFUSED(record_wait(hdl, -1));
    CHECK(record_version()[0]);

    /* The inherited ring, which a session reads in the parent, and a new one. */
    uint8_t data[100], got[100];
    fill_bytes(data, sizeof(data), 3, 0);
    for (int i = 0; i < 100; i++) {
        ringbuffer_write(&ring->rb, data, 100);
        ringbuffer_read(&ring->rb, got, 100);
    }
    ringbuffer_clear(&ring->rb);
    ringbuffer_destroy(&ring->rb);
    struct ring own;
    ring_open(&own, 101);
    CHECK_INT(ringbuffer_write(&own.rb, data, 100), 100);
    CHECK_INT(ringbuffer_read(&own.rb, got, 100), 100);
    CHECK_BYTES(got, 100, data, 100);
    ring_close(&own);
    msp_event_t event;
    CHECK_INT(msp_event_new(&event, 1), 0);
    CHECK_INT(msp_event_get(&event, 1, MSP_EVENT_OR, NULL, 1000), 0);
}

static void *write_on(void *arg)
{
    struct ring *ring = arg;
    uint8_t data[100] = {0};
    while (!load(&over)) {
        ringbuffer_write(&ring->rb, data, sizeof(data));
        usleep(20);
    }
    return NULL;
}

static void in_a_child_forked_after_use_every_call_fails_at_once(void)
{
    struct ring ring;
    ring_open(&ring, 10001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    CHECK_INT(record_start(hdl), 0);
    pthread_t writer = thread_start(write_on, &ring); /* so that forks hit a busy library */
    for (int i = 0; i < 30; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            check_forked_child(hdl, &ring);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                alarm(10);
                REFUSED(record_stop(hdl));
#ifdef __SANITIZE_ADDRESS__
                /* Its leak check takes the allocator's locks, which a thread
                 * of the grandparent may have held when this was forked. */
                _exit(0);
#endif
                exit(0); /* not _exit: handlers of the library must not hang */
            }
            _exit(end_of(grandchild));
        }
        CHECK_INT(end_of(pid), 0);
    }
    store(&over, 1);
    thread_join(writer);
    CHECK_INT(record_stop(hdl), 0); /* the parent's session did not suffer */
    ring_close(&ring);
}

static void a_child_made_by_vfork_or_clone_is_refused_too(void)
{
    CHECK(record_register("what://", "null://") == NULL);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        alarm(10);
        _exit(record_stop(NULL) == -ENOTSUP ? 0 : 1);
    }
    CHECK_INT(end_of(pid), 0);
}

static void ready(void *arg)
{
    unsigned flags;
    msp_event_get(arg, 1, MSP_EVENT_OR, &flags, MSP_WAIT_FOREVER);
}

static void exit_while_sessions_run_is_clean(void)
{
    struct server server = server_start();
    for (int i = 0; i < 20; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            static msp_event_t event;
            static struct ring ring[3];
            msp_event_new(&event, 0);
            for (int k = 0; k < 3; k++) {
                ring_open(&ring[k], 10001);
                rec_hdl_t hdl = session(ring_uri(&ring[k].rb), server_url(&server, "a.pcm"));
                if (k)
                    record_set_data_ready_cb(hdl, ready, &event);
                CHECK_INT(record_start(hdl), 0);
                ringbuffer_write(&ring[k].rb, (uint8_t *)ring[k].buffer, 5000);
            }
            thread_start(write_on, &ring[0]);
            usleep((useconds_t)i * 500);
            exit(0);
        }
        CHECK_INT(end_of(pid), 0);
    }
}

/* ---- Each function first ------------------------------------------------- */

static void hear(rec_hdl_t hdl, const record_event_t *event, void *arg)
{
    (void)hdl, (void)event, (void)arg;
}

#define FIRST(function, expression)                                                                \
    static void first_##function(void)                                                             \
    {                                                                                              \
        CHECK(expression);                                                                         \
    }
FIRST(record_register, record_register("null://", "null://") != NULL)
FIRST(record_set_data_ready_cb,
      (record_set_data_ready_cb(NULL, ready, NULL), record_last_error()[0]))
FIRST(record_set_data_release_cb,
      (record_set_data_release_cb(NULL, ready, NULL), record_last_error()[0]))
FIRST(record_set_chunk_size, (record_set_chunk_size(NULL, 1), record_last_error()[0]))
FIRST(record_start, record_start(NULL) == -EINVAL)
FIRST(record_pre_stop, record_pre_stop(NULL) == -EINVAL)
FIRST(record_stop, record_stop(NULL) == -EINVAL)
FIRST(record_unregister, record_unregister(NULL) == -EINVAL)
FIRST(record_get_count, record_get_count(NULL, NULL, NULL) == -EINVAL)
FIRST(record_version, record_version()[0])
FIRST(record_last_error, !record_last_error()[0])
FIRST(record_set_option, record_set_option(NULL, "stop_timeout", "1") == -EINVAL)
FIRST(record_get_stats, record_get_stats(NULL, NULL) == -EINVAL)
FIRST(record_set_event_cb, record_set_event_cb(NULL, hear, NULL) == -EINVAL)
FIRST(record_set_message_cb, record_set_message_cb(NULL, NULL, NULL) == -EINVAL)
FIRST(record_set_dial_cb, record_set_dial_cb(NULL, NULL, NULL) == -EINVAL)
FIRST(record_send_text, record_send_text(NULL, "text") == -EINVAL)
FIRST(record_wait, record_wait(NULL, -1) == -EINVAL)

static const struct test first_calls[] = {
    {"record_register", first_record_register},
    {"record_set_data_ready_cb", first_record_set_data_ready_cb},
    {"record_set_data_release_cb", first_record_set_data_release_cb},
    {"record_set_chunk_size", first_record_set_chunk_size},
    {"record_start", first_record_start},
    {"record_pre_stop", first_record_pre_stop},
    {"record_stop", first_record_stop},
    {"record_unregister", first_record_unregister},
    {"record_get_count", first_record_get_count},
    {"record_version", first_record_version},
    {"record_last_error", first_record_last_error},
    {"record_set_option", first_record_set_option},
    {"record_get_stats", first_record_get_stats},
    {"record_set_event_cb", first_record_set_event_cb},
    {"record_set_message_cb", first_record_set_message_cb},
    {"record_set_dial_cb", first_record_set_dial_cb},
    {"record_send_text", first_record_send_text},
    {"record_wait", first_record_wait},
};

static void each_function_answers_as_the_first_of_a_process(void)
{
    for (size_t i = 0; i < COUNT(first_calls); i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(10);
            execl("/proc/self/exe", "test_host", "first", first_calls[i].name, (char *)NULL);
            _exit(127);
        }
        int end = end_of(pid);
        if (end)
            fail(__FILE__, __LINE__, "%s called first: %d", first_calls[i].name, end);
    }
}

static pthread_barrier_t together;

static void *register_together(void *arg)
{
    pthread_barrier_wait(&together);
    store(arg, record_register("null://", "null://") != NULL);
    return NULL;
}

static void first_calls_of_many_threads_may_come_together(void)
{
    for (int round = 0; round < 20; round++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t threads[8];
            int good[8] = {0};
            pthread_barrier_init(&together, NULL, 8);
            for (int i = 0; i < 8; i++)
                threads[i] = thread_start(register_together, &good[i]);
            for (int i = 0; i < 8; i++) {
                thread_join(threads[i]);
                CHECK(good[i]);
            }
            _exit(0);
        }
        CHECK_INT(end_of(pid), 0);
    }
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < COUNT(first_calls); i++)
        if (strcmp(argv[2], first_calls[i].name) == 0) {
            first_calls[i].fn();
            return 0;
        }
    static const struct test tests[] = {
        TEST(a_program_that_only_links_the_library_has_one_thread),
        TEST(handlers_without_onstack_run_on_the_hosts_threads),
        TEST(handlers_with_onstack_run_on_the_hosts_threads),
        TEST(a_signal_that_all_threads_of_the_host_block_waits_for_them),
        TEST(signals_that_gos_runtime_uses_stay_the_hosts),
        TEST(sigint_arrives_while_main_waits_in_the_library),
        TEST(the_hosts_own_sigsegv_handler_runs),
        TEST(a_fault_of_the_host_still_kills_it),
        TEST(a_dead_server_does_not_kill_the_host),
        TEST(the_hosts_own_sigpipe_still_works),
        TEST(daemon_and_then_record_works),
        TEST(in_a_child_forked_after_use_every_call_fails_at_once),
        TEST(a_child_made_by_vfork_or_clone_is_refused_too),
        TEST(exit_while_sessions_run_is_clean),
        TEST(each_function_answers_as_the_first_of_a_process),
        TEST(first_calls_of_many_threads_may_come_together),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
