/* SPDX-License-Identifier: MIT
 *
 * test_msp.c - the promises of kernel.h and log.h, and of the private header
 * through which the record library ends waits.
 *
 *     cc -Iinclude -Icapi tests/c/test_msp.c capi/kernel_*.c capi/log*.c -pthread
 *
 * Prints the line that fails and exits with 1; 0 when all promises are kept.
 */
#include "msp_internal.h"

#include <msp/kernel.h>
#include <msp/log.h>

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exhaustion is to be NULL under a sanitizer as well, and a forked child may
 * make threads there. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1:die_after_fork=0";
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #condition);                   \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Waits for what another thread is about to bring about; fails after 20 s. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        long long give_up = msp_now_ms() + 20000;                                                  \
        while (!(condition)) {                                                                     \
            CHECK(msp_now_ms() < give_up);                                                         \
            usleep(500);                                                                           \
        }                                                                                          \
    } while (0)

#define LONG_MS 20000 /* a wait that is to end before its time */

static int load(int *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(int *p, int value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static void add_one(int *p)
{
    __atomic_add_fetch(p, 1, __ATOMIC_ACQ_REL);
}

/* Runs fn in a child with stderr in a pipe and returns the child's status;
 * what it wrote is in text. A child that hangs is ended by SIGALRM. */
static int in_child(void (*fn)(void), char *text, size_t size)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(20);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    char rest[512];
    for (;;) {
        int keep = used + 1 < size;
        ssize_t n = read(ends[0], keep ? text + used : rest, keep ? size - 1 - used : sizeof(rest));
        if (n <= 0)
            break;
        if (keep)
            used += (size_t)n;
    }
    text[used] = '\0';
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

/* ---- What all waits have in common --------------------------------------- */

enum wait_kind { EVENT, SEM, QUEUE, MUTEX, SLEEP, WAIT_KINDS };

/* An object of each kind that nobody can have: the tests' main thread holds
 * the mutex. */
struct objects {
    msp_event_t event;
    msp_sem_t sem;
    msp_queue_t queue;
    msp_mutex_t mutex;
};

static void make_objects(struct objects *o)
{
    CHECK(msp_event_new(&o->event, 0) == 0);
    CHECK(msp_sem_new(&o->sem, 0) == 0);
    CHECK(msp_queue_create(&o->queue, 16, 4, 0) == 0);
    CHECK(msp_mutex_new(&o->mutex) == 0);
    CHECK(msp_mutex_lock(&o->mutex, MSP_NO_WAIT) == 0);
}

static void free_object(struct objects *o, enum wait_kind kind)
{
    switch (kind) {
    case EVENT:
        msp_event_free(&o->event);
        break;
    case SEM:
        msp_sem_free(&o->sem);
        break;
    case QUEUE:
        msp_queue_free(&o->queue);
        break;
    case MUTEX:
        msp_mutex_free(&o->mutex);
        break;
    default:
        break;
    }
}

static void free_objects(struct objects *o)
{
    for (int kind = 0; kind < WAIT_KINDS; kind++)
        free_object(o, (enum wait_kind)kind);
    CHECK(o->event == NULL && o->sem == NULL && o->queue == NULL && o->mutex == NULL);
}

/* msp_msleep() has no result: an early return stands for -EINTR. */
static int wait_for(struct objects *o, enum wait_kind kind, unsigned ms)
{
    unsigned flags, size;
    char msg[4];
    long long end = msp_now_ms() + ms;
    switch (kind) {
    case EVENT:
        return msp_event_get(&o->event, 1, MSP_EVENT_OR, &flags, ms);
    case SEM:
        return msp_sem_wait(&o->sem, ms);
    case QUEUE:
        return msp_queue_recv(&o->queue, ms, msg, &size);
    case MUTEX:
        return msp_mutex_lock(&o->mutex, ms);
    default:
        msp_msleep(ms > INT_MAX ? INT_MAX : (int)ms);
        return msp_now_ms() < end ? -EINTR : -ETIMEDOUT;
    }
}

/* A thread that makes one wait, bound to an interrupt through which the test
 * sees that it has begun to wait. */
struct waiter {
    struct objects *objects;
    enum wait_kind kind;
    unsigned ms;
    struct msp_interrupt interrupt;
    pthread_t thread;
    int result;
};

static int is_waiting(struct msp_interrupt *it)
{
    return __atomic_load_n(&it->waiting, __ATOMIC_SEQ_CST) != NULL;
}

static void *run_waiter(void *arg)
{
    struct waiter *w = arg;
    msp_interrupt_bind(&w->interrupt);
    w->result = wait_for(w->objects, w->kind, w->ms);
    msp_interrupt_bind(NULL);
    return NULL;
}

static void start_waiter(struct waiter *w, struct objects *o, enum wait_kind kind, unsigned ms)
{
    *w = (struct waiter){o, kind, ms, MSP_INTERRUPT_INIT, 0, 1};
    CHECK(pthread_create(&w->thread, NULL, run_waiter, w) == 0);
    EVENTUALLY(is_waiting(&w->interrupt));
}

static int result_of(struct waiter *w)
{
    CHECK(pthread_join(w->thread, NULL) == 0);
    return w->result;
}

static void waits_end_at_their_timeout_and_not_before(void)
{
    struct objects o;
    pthread_t holder;
    make_objects(&o);
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        struct waiter w = {&o, (enum wait_kind)kind, 60, MSP_INTERRUPT_INIT, 0, 1};
        long long begun = msp_now_ms();
        CHECK(pthread_create(&holder, NULL, run_waiter, &w) == 0);
        CHECK(pthread_join(holder, NULL) == 0);
        CHECK(w.result == -ETIMEDOUT);
        long long took = msp_now_ms() - begun;
        CHECK(took >= 59 && took < 5000);
    }
    free_objects(&o);
}

static void no_wait_does_not_wait(void)
{
    struct objects o;
    make_objects(&o);
    CHECK(wait_for(&o, EVENT, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(wait_for(&o, SEM, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(wait_for(&o, QUEUE, MSP_NO_WAIT) == -ETIMEDOUT);
    long long begun = msp_now_ms();
    msp_msleep(0);
    msp_msleep(-5);
    CHECK(msp_now_ms() - begun < 5000);
    free_objects(&o);
}

static void free_wakes_all_waiters_with_an_error(void)
{
    struct objects o;
    make_objects(&o);
    for (int kind = 0; kind < SLEEP; kind++) {
        struct waiter w[3];
        struct objects copies = o; /* as another part of a program would hold them */
        for (int i = 0; i < 3; i++)
            start_waiter(&w[i], i == 0 ? &o : &copies, (enum wait_kind)kind, MSP_WAIT_FOREVER);
        free_object(&o, (enum wait_kind)kind);
        for (int i = 0; i < 3; i++)
            CHECK(result_of(&w[i]) == -EINVAL);
        CHECK(wait_for(&copies, (enum wait_kind)kind, MSP_WAIT_FOREVER) == -EINVAL);
    }
}

static void interrupt_ends_a_wait(void)
{
    struct objects o;
    make_objects(&o);
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        struct waiter w;
        start_waiter(&w, &o, (enum wait_kind)kind, MSP_WAIT_FOREVER);
        msp_interrupt_fire(&w.interrupt);
        CHECK(result_of(&w) == -EINTR);
        CHECK(!is_waiting(&w.interrupt));
    }
    free_objects(&o);
}

static void *run_interrupted_before(void *arg)
{
    struct objects *o = arg;
    struct msp_interrupt it = MSP_INTERRUPT_INIT;
    msp_interrupt_bind(&it);
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        msp_interrupt_fire(&it);
        CHECK(wait_for(o, (enum wait_kind)kind, MSP_WAIT_FOREVER) == -EINTR);
        CHECK(wait_for(o, (enum wait_kind)kind, LONG_MS) == -EINTR);
        msp_interrupt_arm(&it);
        CHECK(wait_for(o, (enum wait_kind)kind, 5) == -ETIMEDOUT);
    }
    msp_interrupt_fire(&it);
    msp_interrupt_bind(NULL);
    CHECK(wait_for(o, SEM, 5) == -ETIMEDOUT);
    return NULL;
}

static void interrupt_ends_later_waits_until_armed_or_unbound(void)
{
    struct objects o;
    pthread_t thread;
    make_objects(&o);
    CHECK(pthread_create(&thread, NULL, run_interrupted_before, &o) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    free_objects(&o);
}

static void interrupt_loses_nothing_that_is_there(void)
{
    struct msp_interrupt it = MSP_INTERRUPT_INIT;
    struct objects o;
    char msg[4] = "abc";
    unsigned size = 0;
    make_objects(&o);
    msp_interrupt_bind(&it);
    msp_interrupt_fire(&it);
    msp_sem_signal(&o.sem);
    CHECK(msp_sem_wait(&o.sem, MSP_WAIT_FOREVER) == 0);
    CHECK(msp_queue_send(&o.queue, msg, 4) == 0);
    CHECK(msp_queue_recv(&o.queue, MSP_WAIT_FOREVER, msg, &size) == 0 && size == 4);
    CHECK(msp_mutex_lock(&o.mutex, MSP_WAIT_FOREVER) == 0);
    CHECK(msp_sem_wait(&o.sem, MSP_WAIT_FOREVER) == -EINTR);
    msp_interrupt_bind(NULL);
    free_objects(&o);
}

/* Fires at no particular moment, many times: a wake-up lost between looking
 * and waiting would leave the thread asleep. */
struct race {
    struct msp_interrupt interrupt;
    msp_sem_t sem;
    int rounds_done;
};

static void *run_race(void *arg)
{
    struct race *r = arg;
    msp_interrupt_bind(&r->interrupt);
    for (int i = 0; i < 2000; i++) {
        CHECK(msp_sem_wait(&r->sem, MSP_WAIT_FOREVER) == -EINTR);
        msp_interrupt_arm(&r->interrupt);
        add_one(&r->rounds_done);
    }
    return NULL;
}

static void interrupt_is_never_lost(void)
{
    struct race r = {MSP_INTERRUPT_INIT, NULL, 0};
    pthread_t thread;
    CHECK(msp_sem_new(&r.sem, 0) == 0);
    CHECK(pthread_create(&thread, NULL, run_race, &r) == 0);
    for (int i = 0; i < 2000; i++) {
        msp_interrupt_fire(&r.interrupt);
        long long give_up = msp_now_ms() + 20000;
        while (load(&r.rounds_done) <= i)
            CHECK(msp_now_ms() < give_up);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    msp_sem_free(&r.sem);
}

/* ---- Handles ------------------------------------------------------------- */

static void noop_timer(void *timer, void *arg)
{
    (void)timer;
    (void)arg;
}

static void every_call_refuses(void *handle)
{
    void *kept[11];
    unsigned out = 7;
    char msg[4] = "abc";
    for (int i = 0; i < 11; i++)
        kept[i] = handle;
    void **h = kept;

    CHECK(msp_mutex_lock(h, MSP_WAIT_FOREVER) == -EINVAL);
    CHECK(msp_mutex_unlock(h) == -EINVAL);
    CHECK(msp_mutex_is_valid(h) == 0);
    msp_mutex_free(h);
    CHECK(msp_sem_wait(h, MSP_WAIT_FOREVER) == -EINVAL);
    msp_sem_signal(h);
    CHECK(msp_sem_is_valid(h) == 0);
    msp_sem_free(h);
    CHECK(msp_queue_send(h, msg, 1) == -EINVAL);
    CHECK(msp_queue_recv(h, MSP_WAIT_FOREVER, msg, &out) == -EINVAL && out == 0);
    CHECK(msp_queue_is_valid(h) == 0);
    CHECK(msp_queue_get_count(h) == -EINVAL);
    CHECK(msp_queue_buf_ptr(h) == NULL);
    msp_queue_free(h);
    out = 7;
    CHECK(msp_event_get(h, 1, MSP_EVENT_OR, &out, MSP_WAIT_FOREVER) == -EINVAL && out == 0);
    CHECK(msp_event_set(h, 1, MSP_EVENT_OR) == -EINVAL);
    CHECK(msp_event_is_valid(h) == 0);
    msp_event_free(h);
    CHECK(msp_timer_start(h) == -EINVAL);
    CHECK(msp_timer_stop(h) == -EINVAL);
    CHECK(msp_timer_change(h, 5) == -EINVAL);
    CHECK(msp_timer_is_valid(h) == 0);
    msp_timer_free(h);
    CHECK(msp_task_get_name(h) == NULL);
    msp_task_delete(h);
    CHECK(kept[0] == handle); /* what is not freed is not cleared */
}

static void no_handle_is_an_error(void)
{
    char msg[4];
    unsigned size;
    every_call_refuses(NULL);
    CHECK(msp_mutex_lock(NULL, 0) == -EINVAL && msp_mutex_unlock(NULL) == -EINVAL);
    CHECK(msp_mutex_new(NULL) == -EINVAL && msp_mutex_is_valid(NULL) == 0);
    CHECK(msp_sem_wait(NULL, 0) == -EINVAL && msp_sem_new(NULL, 0) == -EINVAL);
    CHECK(msp_queue_new(NULL, msg, 4, 4) == -EINVAL && msp_queue_create(NULL, 4, 4, 0) == -EINVAL);
    CHECK(msp_queue_send(NULL, msg, 1) == -EINVAL);
    CHECK(msp_queue_recv(NULL, 0, msg, &size) == -EINVAL);
    CHECK(msp_queue_get_count(NULL) == -EINVAL && msp_queue_buf_ptr(NULL) == NULL);
    CHECK(msp_event_new(NULL, 0) == -EINVAL && msp_event_set(NULL, 1, MSP_EVENT_OR) == -EINVAL);
    CHECK(msp_event_get(NULL, 1, MSP_EVENT_OR, NULL, 0) == -EINVAL);
    CHECK(msp_timer_new(NULL, noop_timer, NULL, 1, 0) == -EINVAL);
    CHECK(msp_timer_start(NULL) == -EINVAL && msp_timer_stop(NULL) == -EINVAL);
    CHECK(msp_timer_change(NULL, 1) == -EINVAL && msp_timer_is_valid(NULL) == 0);
    CHECK(msp_task_get_name(NULL) == NULL);
    msp_mutex_free(NULL);
    msp_sem_free(NULL);
    msp_sem_signal(NULL);
    msp_queue_free(NULL);
    msp_event_free(NULL);
    msp_timer_free(NULL);
    msp_freep(NULL);
}

static void garbage_for_a_handle_is_an_error(void)
{
    uintptr_t patterns[] = {1,
                            2,
                            0xdeadbeef,
                            UINTPTR_MAX,
                            UINTPTR_MAX - 1,
                            4096,
                            UINTPTR_MAX / 2,
                            UINTPTR_MAX / 2 + 2,
                            UINTPTR_MAX / 3};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        every_call_refuses((void *)patterns[i]);
}

static void a_freed_handle_is_an_error_in_every_copy(void)
{
    struct objects o, copies;
    msp_timer_t timer, timer_copy;
    make_objects(&o);
    CHECK(msp_timer_new_ext(&timer, noop_timer, NULL, 5, 0, 0) == 0);
    copies = o;
    timer_copy = timer;
    free_objects(&o);
    msp_timer_free(&timer);
    CHECK(timer == NULL);
    every_call_refuses(copies.event);
    every_call_refuses(copies.sem);
    every_call_refuses(copies.queue);
    every_call_refuses(copies.mutex);
    every_call_refuses(timer_copy);

    /* Also when its place is taken again, by objects of all kinds. */
    for (int i = 0; i < 200; i++) {
        struct objects again;
        make_objects(&again);
        every_call_refuses(copies.event);
        every_call_refuses(copies.sem);
        free_objects(&again);
    }
}

static void a_handle_of_another_kind_is_an_error(void)
{
    struct objects o;
    make_objects(&o);
    CHECK(msp_event_set(&o.sem, 1, MSP_EVENT_OR) == -EINVAL);
    CHECK(msp_sem_wait(&o.event, MSP_WAIT_FOREVER) == -EINVAL);
    CHECK(msp_timer_start(&o.mutex) == -EINVAL);
    CHECK(msp_mutex_lock(&o.queue, MSP_WAIT_FOREVER) == -EINVAL);
    msp_queue_free(&o.event);
    CHECK(msp_event_is_valid(&o.event) == 1);
    free_objects(&o);
}

static void thousands_of_objects_can_live(void)
{
    enum { MANY = 20000 };
    static msp_sem_t sems[MANY];
    for (int i = 0; i < MANY; i++)
        CHECK(msp_sem_new(&sems[i], i) == 0);
    for (int i = 1; i < MANY; i++)
        CHECK(msp_sem_wait(&sems[i], MSP_NO_WAIT) == 0);
    CHECK(msp_sem_wait(&sems[0], MSP_NO_WAIT) == -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        msp_sem_free(&sems[i]);
}

struct churn {
    msp_event_t event; /* made and freed by one thread, used by the others */
    int stop;
};

static void *run_churn_user(void *arg)
{
    struct churn *c = arg;
    while (!load(&c->stop)) {
        unsigned flags;
        int rc = msp_event_get(&c->event, 1, MSP_EVENT_OR_CLEAR, &flags, 1);
        CHECK(rc == 0 || rc == -EINVAL || rc == -ETIMEDOUT);
        rc = msp_event_set(&c->event, 1, MSP_EVENT_OR);
        CHECK(rc == 0 || rc == -EINVAL);
    }
    return NULL;
}

static void freeing_while_others_use_it_is_safe(void)
{
    struct churn c = {NULL, 0};
    pthread_t users[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&users[i], NULL, run_churn_user, &c) == 0);
    for (int i = 0; i < 5000; i++) {
        CHECK(msp_event_new(&c.event, 0) == 0);
        msp_event_free(&c.event);
    }
    store(&c.stop, 1);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(users[i], NULL) == 0);
}

/* ---- Mutex, semaphore ---------------------------------------------------- */

static void *run_try_lock(void *arg)
{
    msp_mutex_t *mutex = arg;
    CHECK(msp_mutex_unlock(mutex) == -EPERM);
    int rc = msp_mutex_lock(mutex, MSP_NO_WAIT);
    if (rc == 0)
        CHECK(msp_mutex_unlock(mutex) == 0);
    return rc == 0 ? mutex : NULL;
}

static int another_thread_can_lock(msp_mutex_t *mutex)
{
    pthread_t thread;
    void *locked = NULL;
    CHECK(pthread_create(&thread, NULL, run_try_lock, mutex) == 0);
    CHECK(pthread_join(thread, &locked) == 0);
    return locked != NULL;
}

static void a_mutex_is_recursive_and_has_one_owner(void)
{
    msp_mutex_t mutex;
    CHECK(msp_mutex_new(&mutex) == 0 && msp_mutex_is_valid(&mutex) == 1);
    CHECK(msp_mutex_unlock(&mutex) == -EPERM);
    CHECK(msp_mutex_lock(&mutex, MSP_WAIT_FOREVER) == 0);
    CHECK(msp_mutex_lock(&mutex, MSP_NO_WAIT) == 0);
    CHECK(!another_thread_can_lock(&mutex));
    CHECK(msp_mutex_unlock(&mutex) == 0);
    CHECK(!another_thread_can_lock(&mutex));
    CHECK(msp_mutex_unlock(&mutex) == 0);
    CHECK(another_thread_can_lock(&mutex));
    CHECK(msp_mutex_unlock(&mutex) == -EPERM);
    msp_mutex_free(&mutex);
}

struct counter {
    msp_mutex_t mutex;
    int value;
};

static void *run_counter(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < 5000; i++) {
        CHECK(msp_mutex_lock(&c->mutex, MSP_WAIT_FOREVER) == 0);
        c->value++;
        CHECK(msp_mutex_unlock(&c->mutex) == 0);
    }
    return NULL;
}

static void a_mutex_excludes(void)
{
    struct counter c = {NULL, 0};
    pthread_t threads[4];
    CHECK(msp_mutex_new(&c.mutex) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, run_counter, &c) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(c.value == 20000);
    msp_mutex_free(&c.mutex);
}

static void a_semaphore_counts(void)
{
    msp_sem_t sem;
    CHECK(msp_sem_new(&sem, -1) == -EINVAL);
    CHECK(msp_sem_new(&sem, 2) == 0 && msp_sem_is_valid(&sem) == 1);
    CHECK(msp_sem_wait(&sem, MSP_NO_WAIT) == 0);
    CHECK(msp_sem_wait(&sem, MSP_WAIT_FOREVER) == 0);
    CHECK(msp_sem_wait(&sem, MSP_NO_WAIT) == -ETIMEDOUT);
    msp_sem_signal(&sem);
    CHECK(msp_sem_wait(&sem, LONG_MS) == 0);
    CHECK(msp_sem_wait(&sem, MSP_NO_WAIT) == -ETIMEDOUT);
    msp_sem_free(&sem);

    CHECK(msp_sem_new(&sem, INT_MAX) == 0);
    msp_sem_signal(&sem); /* does not wrap */
    CHECK(msp_sem_wait(&sem, MSP_NO_WAIT) == 0);
    msp_sem_free(&sem);
}

static void each_signal_lets_one_waiter_pass(void)
{
    struct objects o;
    struct waiter w[3];
    make_objects(&o);
    for (int i = 0; i < 3; i++)
        start_waiter(&w[i], &o, SEM, MSP_WAIT_FOREVER);
    for (int i = 0; i < 3; i++)
        msp_sem_signal(&o.sem);
    for (int i = 0; i < 3; i++)
        CHECK(result_of(&w[i]) == 0);
    CHECK(msp_sem_wait(&o.sem, MSP_NO_WAIT) == -ETIMEDOUT);
    free_objects(&o);
}

/* ---- Events -------------------------------------------------------------- */

static void event_or_and_and_their_clear_forms(void)
{
    msp_event_t event;
    unsigned actual = 99;
    CHECK(msp_event_new(&event, 0x10) == 0 && msp_event_is_valid(&event) == 1);
    CHECK(msp_event_get(&event, 0x10, MSP_EVENT_OR, &actual, MSP_NO_WAIT) == 0 && actual == 0x10);
    CHECK(msp_event_set(&event, 0x03, MSP_EVENT_OR) == 0);

    CHECK(msp_event_get(&event, 0x05, MSP_EVENT_OR, &actual, MSP_NO_WAIT) == 0 && actual == 0x13);
    CHECK(msp_event_get(&event, 0x05, MSP_EVENT_AND, &actual, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(actual == 0x13);
    CHECK(msp_event_get(&event, 0x05, MSP_EVENT_AND_CLEAR, NULL, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(msp_event_get(&event, 0x03, MSP_EVENT_AND, NULL, MSP_NO_WAIT) == 0);

    CHECK(msp_event_get(&event, 0x05, MSP_EVENT_OR_CLEAR, &actual, MSP_NO_WAIT) == 0);
    CHECK(actual == 0x13);
    CHECK(msp_event_get(&event, 0x05, MSP_EVENT_OR_CLEAR, &actual, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(actual == 0x12);
    CHECK(msp_event_get(&event, 0x12, MSP_EVENT_AND_CLEAR, &actual, MSP_NO_WAIT) == 0);
    CHECK(msp_event_get(&event, 0xff, MSP_EVENT_OR, &actual, MSP_NO_WAIT) == -ETIMEDOUT);
    CHECK(actual == 0);

    CHECK(msp_event_set(&event, 0xff, MSP_EVENT_OR) == 0);
    CHECK(msp_event_set(&event, 0x81, MSP_EVENT_AND) == 0);
    CHECK(msp_event_get(&event, 0x01, MSP_EVENT_OR, &actual, MSP_NO_WAIT) == 0 && actual == 0x81);
    msp_event_free(&event);
}

static void event_refuses_what_it_cannot_wait_for(void)
{
    msp_event_t event;
    unsigned actual = 99;
    CHECK(msp_event_new(&event, 1) == 0);
    CHECK(msp_event_get(&event, 0, MSP_EVENT_OR, &actual, MSP_WAIT_FOREVER) == -EINVAL);
    CHECK(actual == 0);
    CHECK(msp_event_get(&event, 1, 4, &actual, MSP_WAIT_FOREVER) == -EINVAL);
    CHECK(msp_event_set(&event, 1, MSP_EVENT_OR_CLEAR) == -EINVAL);
    CHECK(msp_event_set(&event, 1, MSP_EVENT_AND_CLEAR) == -EINVAL);
    msp_event_free(&event);
}

static void setting_an_event_wakes_its_waiters(void)
{
    struct objects o;
    struct waiter w[2];
    make_objects(&o);
    for (int i = 0; i < 2; i++)
        start_waiter(&w[i], &o, EVENT, i == 0 ? MSP_WAIT_FOREVER : LONG_MS);
    CHECK(msp_event_set(&o.event, 2, MSP_EVENT_OR) == 0); /* not the one */
    CHECK(msp_event_set(&o.event, 1, MSP_EVENT_OR) == 0);
    CHECK(result_of(&w[0]) == 0 && result_of(&w[1]) == 0);
    free_objects(&o);
}

/* ---- Queues -------------------------------------------------------------- */

static void fill(unsigned char *msg, unsigned size, unsigned seed)
{
    for (unsigned i = 0; i < size; i++)
        msg[i] = (unsigned char)(seed * 31 + i);
}

static void a_queue_keeps_order_and_sizes_across_its_end(void)
{
    unsigned char buffer[5 * 10 + 3], msg[10], expected[10];
    unsigned size, sent = 0, received = 0;
    msp_queue_t queue;
    CHECK(msp_queue_new(&queue, buffer, sizeof(buffer), 10) == 0);
    CHECK(msp_queue_is_valid(&queue) == 1 && msp_queue_buf_ptr(&queue) == buffer);
    while (received < 1000) {
        while (sent < received + 1 + received % 5) {
            fill(msg, 1 + sent % 10, sent);
            CHECK(msp_queue_send(&queue, msg, 1 + sent % 10) == 0);
            sent++;
        }
        CHECK(msp_queue_get_count(&queue) == (int)(sent - received));
        while (received < sent) {
            fill(expected, 1 + received % 10, received);
            CHECK(msp_queue_recv(&queue, MSP_NO_WAIT, msg, &size) == 0);
            CHECK(size == 1 + received % 10 && memcmp(msg, expected, size) == 0);
            received++;
        }
    }
    msp_queue_free(&queue);
}

static void a_full_queue_refuses_at_once(void)
{
    char buffer[12], msg[4] = "abc";
    msp_queue_t queue;
    CHECK(msp_queue_new(&queue, buffer, sizeof(buffer), 4) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(msp_queue_send(&queue, msg, 4) == 0);
    CHECK(msp_queue_send(&queue, msg, 4) == -EAGAIN);
    CHECK(msp_queue_get_count(&queue) == 3);
    CHECK(msp_queue_recv(&queue, MSP_NO_WAIT, msg, NULL) == 0);
    CHECK(msp_queue_send(&queue, msg, 4) == 0);
    msp_queue_free(&queue);
}

static void a_queue_refuses_bad_arguments(void)
{
    char buffer[12], msg[8] = "abc";
    unsigned size = 9;
    msp_queue_t queue;
    CHECK(msp_queue_new(&queue, NULL, 12, 4) == -EINVAL);
    CHECK(msp_queue_new(&queue, buffer, 12, 0) == -EINVAL);
    CHECK(msp_queue_new(&queue, buffer, 12, -4) == -EINVAL);
    CHECK(msp_queue_new(&queue, buffer, 3, 4) == -EINVAL);
    CHECK(msp_queue_create(&queue, 3, 4, 0) == -EINVAL);
    CHECK(msp_queue_create(&queue, 12, 4, 0) == 0 && msp_queue_buf_ptr(&queue) != NULL);
    CHECK(msp_queue_send(&queue, msg, 5) == -EMSGSIZE);
    CHECK(msp_queue_send(&queue, msg, 0) == -EINVAL);
    CHECK(msp_queue_send(&queue, NULL, 4) == -EINVAL);
    CHECK(msp_queue_recv(&queue, MSP_NO_WAIT, NULL, &size) == -EINVAL && size == 0);
    msp_queue_free(&queue);
}

static void *run_sender(void *arg)
{
    msp_queue_t *queue = arg;
    for (unsigned i = 0; i < 5000;) {
        if (msp_queue_send(queue, &i, sizeof(i)) == 0)
            i++;
        else
            sched_yield();
    }
    return NULL;
}

static void a_queue_passes_messages_between_threads(void)
{
    msp_queue_t queue;
    pthread_t thread;
    unsigned msg, size;
    CHECK(msp_queue_create(&queue, 7 * sizeof(msg), sizeof(msg), 0) == 0);
    CHECK(pthread_create(&thread, NULL, run_sender, &queue) == 0);
    for (unsigned i = 0; i < 5000; i++) {
        CHECK(msp_queue_recv(&queue, MSP_WAIT_FOREVER, &msg, &size) == 0);
        CHECK(msg == i && size == sizeof(msg));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    msp_queue_free(&queue);
}

/* ---- Timers -------------------------------------------------------------- */

struct ticks {
    msp_timer_t timer;
    int count;
    int stop_at; /* the callback stops or frees its timer at this count */
    int free_at;
    int hold; /* the callback stays in while this is set */
    int inside;
    void *seen; /* the handle it was called with */
};

static void tick(void *timer, void *arg)
{
    struct ticks *t = arg;
    store(&t->inside, 1);
    t->seen = timer;
    int n = load(&t->count) + 1;
    if (n == t->stop_at)
        CHECK(msp_timer_stop(&t->timer) == 0);
    if (n == t->free_at)
        msp_timer_free(&t->timer);
    while (load(&t->hold))
        usleep(200);
    store(&t->inside, 0);
    store(&t->count, n);
}

static void a_one_shot_timer_fires_once_when_it_is_due(void)
{
    struct ticks t = {0};
    long long begun = msp_now_ms();
    CHECK(msp_timer_new(&t.timer, tick, &t, 30, 0) == 0 && msp_timer_is_valid(&t.timer) == 1);
    EVENTUALLY(load(&t.count) == 1);
    CHECK(msp_now_ms() - begun >= 30);
    CHECK(t.seen == t.timer);
    CHECK(msp_timer_start(&t.timer) == 0); /* again */
    EVENTUALLY(load(&t.count) == 2);
    msp_timer_free(&t.timer);
    CHECK(t.timer == NULL && load(&t.count) == 2);
}

static void a_repeating_timer_repeats_until_stopped(void)
{
    struct ticks t = {0};
    long long begun = msp_now_ms();
    CHECK(msp_timer_new(&t.timer, tick, &t, 5, 1) == 0);
    EVENTUALLY(load(&t.count) >= 4);
    CHECK(msp_now_ms() - begun >= 20);
    CHECK(msp_timer_stop(&t.timer) == 0);
    int count = load(&t.count);
    msp_msleep(25);
    CHECK(load(&t.count) == count);
    CHECK(msp_timer_stop(&t.timer) == 0);
    CHECK(msp_timer_start(&t.timer) == 0);
    EVENTUALLY(load(&t.count) > count);
    msp_timer_free(&t.timer);
}

static void a_timer_runs_only_when_told_to(void)
{
    struct ticks t = {0};
    CHECK(msp_timer_new_ext(&t.timer, tick, &t, 1, 0, 0) == 0);
    msp_msleep(10);
    CHECK(load(&t.count) == 0);
    CHECK(msp_timer_start(&t.timer) == 0);
    EVENTUALLY(load(&t.count) == 1);
    msp_timer_free(&t.timer);
    CHECK(msp_timer_new(&t.timer, NULL, NULL, 1, 0) == -EINVAL);
    CHECK(msp_timer_new(&t.timer, tick, NULL, 0, 0) == -EINVAL);
}

static void a_timer_can_be_changed(void)
{
    struct ticks t = {0};
    CHECK(msp_timer_new(&t.timer, tick, &t, 600000, 0) == 0);
    CHECK(msp_timer_change(&t.timer, 0) == -EINVAL);
    CHECK(msp_timer_change(&t.timer, 5) == 0); /* while it runs */
    EVENTUALLY(load(&t.count) == 1);
    CHECK(msp_timer_change(&t.timer, 4) == 0); /* while it does not: no start */
    msp_msleep(15);
    CHECK(load(&t.count) == 1);
    msp_timer_free(&t.timer);
}

static void a_callback_may_stop_or_free_its_own_timer(void)
{
    struct ticks stops = {.stop_at = 3}, frees = {.free_at = 3};
    CHECK(msp_timer_new(&stops.timer, tick, &stops, 2, 1) == 0);
    CHECK(msp_timer_new(&frees.timer, tick, &frees, 2, 1) == 0);
    EVENTUALLY(load(&stops.count) == 3 && load(&frees.count) == 3);
    msp_msleep(15);
    CHECK(load(&stops.count) == 3 && load(&frees.count) == 3);
    CHECK(frees.timer == NULL);
    msp_timer_free(&stops.timer);
}

static void *run_timer_free(void *arg)
{
    struct ticks *t = arg;
    msp_timer_free(&t->timer);
    CHECK(load(&t->inside) == 0);
    return NULL;
}

static void freeing_a_timer_waits_for_its_callback(void)
{
    struct ticks t = {.hold = 1};
    pthread_t thread;
    CHECK(msp_timer_new(&t.timer, tick, &t, 1, 1) == 0);
    msp_timer_t copy = t.timer;
    EVENTUALLY(load(&t.inside));
    CHECK(pthread_create(&thread, NULL, run_timer_free, &t) == 0);
    EVENTUALLY(!msp_timer_is_valid(&copy));
    CHECK(load(&t.inside) == 1);
    store(&t.hold, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(load(&t.count) == 1);
}

static void timers_fire_in_the_order_they_are_due(void)
{
    struct ticks late = {0}, early = {0};
    CHECK(msp_timer_new(&late.timer, tick, &late, 300000, 0) == 0);
    CHECK(msp_timer_new(&early.timer, tick, &early, 1, 0) == 0);
    EVENTUALLY(load(&early.count) == 1);
    CHECK(load(&late.count) == 0);
    msp_timer_free(&late.timer);
    msp_timer_free(&early.timer);
}

/* ---- Tasks --------------------------------------------------------------- */

struct task_facts {
    msp_task_t handle;
    char system_name[16];
    char name[32];
    int self_is_handle;
    size_t stack;
    int done;
};

static void learn_facts(void *arg)
{
    struct task_facts *f = arg;
    pthread_attr_t attr;
    pthread_getname_np(pthread_self(), f->system_name, sizeof(f->system_name));
    snprintf(f->name, sizeof(f->name), "%s", msp_task_get_name(&f->handle));
    msp_task_t self = msp_task_self();
    f->self_is_handle = self == f->handle && msp_task_get_name(self) != NULL;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    pthread_attr_getstacksize(&attr, &f->stack);
    pthread_attr_destroy(&attr);
    store(&f->done, 1);
}

static void a_task_has_its_name_its_handle_and_enough_stack(void)
{
    struct task_facts f = {0};
    CHECK(msp_task_new_ext(&f.handle, "a name of 27 characters...", learn_facts, &f, 4096, 9) == 0);
    EVENTUALLY(load(&f.done));
    CHECK(strcmp(f.system_name, "a name of 27 ch") == 0);
    CHECK(strcmp(f.name, "a name of 27 characters...") == 0);
    CHECK(f.self_is_handle);
    CHECK(f.stack >= 256 * 1024);
    EVENTUALLY(msp_task_get_name(&f.handle) == NULL); /* ended */
}

static void a_task_needs_no_name_and_may_ask_for_more_stack(void)
{
    struct task_facts f = {0};
    CHECK(msp_task_new_ext(&f.handle, NULL, learn_facts, &f, 1024 * 1024, 9) == 0);
    EVENTUALLY(load(&f.done));
    CHECK(strcmp(f.name, "") == 0);
    CHECK(f.stack >= 1024 * 1024);
    CHECK(msp_task_new("x", NULL, NULL, 4096) == -EINVAL);
    CHECK(msp_task_new_ext(NULL, "x", learn_facts, &f, 4096, 1) == -EINVAL);
    CHECK(msp_task_self() == NULL);
}

static void exit_early(void *arg)
{
    store(arg, 1);
    msp_task_exit(3);
    store(arg, 2);
}

static void delete_null(void *arg)
{
    store(arg, 1);
    msp_task_delete(NULL);
    store(arg, 2);
}

static void delete_self(void *arg)
{
    msp_task_t self = msp_task_self();
    store(arg, 1);
    msp_task_delete(&self);
    store(arg, 2);
}

static void a_task_can_end_itself(void)
{
    void (*ways[])(void *) = {exit_early, delete_null, delete_self};
    for (int i = 0; i < 3; i++) {
        int stage = 0;
        msp_task_t task;
        CHECK(msp_task_new_ext(&task, "ends", ways[i], &stage, 0, 1) == 0);
        EVENTUALLY(msp_task_get_name(&task) == NULL);
        CHECK(load(&stage) == 1);
    }
}

struct victim {
    struct objects *objects;
    enum wait_kind kind;
    int begun;
    int returned;
};

static void wait_for_ever(void *arg)
{
    struct victim *v = arg;
    store(&v->begun, 1);
    wait_for(v->objects, v->kind, MSP_WAIT_FOREVER);
    store(&v->returned, 1);
}

static void deleting_a_task_ends_it_in_any_wait(void)
{
    struct objects o;
    make_objects(&o);
    for (int kind = 0; kind < WAIT_KINDS; kind++) {
        struct victim v = {&o, (enum wait_kind)kind, 0, 0};
        msp_task_t task;
        CHECK(msp_task_new_ext(&task, "victim", wait_for_ever, &v, 0, 1) == 0);
        EVENTUALLY(load(&v.begun));
        msp_task_delete(&task);
        EVENTUALLY(msp_task_get_name(&task) == NULL);
        CHECK(!load(&v.returned));
    }
    /* What it waited for still works. */
    msp_sem_signal(&o.sem);
    CHECK(msp_sem_wait(&o.sem, MSP_NO_WAIT) == 0);
    free_objects(&o);
}

static void count_messages(void *arg)
{
    struct objects *o = arg;
    char msg[4];
    for (;;) {
        msp_queue_send(&o->queue, msg, 4);
        msp_queue_recv(&o->queue, MSP_WAIT_FOREVER, msg, NULL);
    }
}

static void deleting_a_task_that_never_has_to_wait_ends_it(void)
{
    struct objects o;
    msp_task_t task;
    make_objects(&o);
    CHECK(msp_task_new_ext(&task, "busy", count_messages, &o, 0, 1) == 0);
    msp_task_delete(&task);
    EVENTUALLY(msp_task_get_name(&task) == NULL);
    free_objects(&o);
}

/* ---- Memory and time ----------------------------------------------------- */

static void memory_of_any_size(void)
{
    char *p = msp_malloc(0);
    CHECK(p != NULL);
    p = msp_realloc(p, 5);
    CHECK(p != NULL);
    memcpy(p, "four", 5);
    p = msp_realloc_check(p, 5000);
    CHECK(strcmp(p, "four") == 0);
    p = msp_realloc(p, 0);
    CHECK(p != NULL);
    msp_freep(&p);
    CHECK(p == NULL);
    msp_freep(&p);
    msp_free(NULL);

    unsigned char *zeros[] = {msp_zalloc(64), msp_calloc(8, 8), msp_zalloc_check(64),
                              msp_calloc_check(8, 8)};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 64; j++)
            CHECK(zeros[i][j] == 0);
        msp_free(zeros[i]);
    }
    void *empty[] = {msp_zalloc(0), msp_calloc(0, 8), msp_calloc(8, 0), msp_malloc_check(0),
                     msp_realloc(NULL, 0)};
    for (int i = 0; i < 5; i++) {
        CHECK(empty[i] != NULL);
        msp_free(empty[i]);
    }
}

static volatile size_t too_much = SIZE_MAX / 2 + 1; /* also where addresses have 32 bits */

static void exhaustion_is_null(void)
{
    CHECK(msp_malloc(too_much) == NULL);
    CHECK(msp_zalloc(too_much) == NULL);
    CHECK(msp_calloc(too_much, 8) == NULL);
    CHECK(msp_realloc(NULL, too_much) == NULL);
}

static void ask_malloc(void)
{
    msp_malloc_check(too_much);
}

static void ask_zalloc(void)
{
    msp_zalloc_check(too_much);
}

static void ask_calloc(void)
{
    msp_calloc_check(too_much, 8);
}

static void ask_realloc(void)
{
    msp_realloc_check(NULL, too_much);
}

static void check_forms_log_and_abort(void)
{
    void (*asks[])(void) = {ask_malloc, ask_zalloc, ask_calloc, ask_realloc};
    static char text[65536];
    for (int i = 0; i < 4; i++) {
        int status = in_child(asks[i], text, sizeof(text));
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(text, " E msp: out of memory: ") != NULL);
        CHECK(strstr(text, "asked for at 0x") != NULL);
    }
}

static void on_signal(int number)
{
    (void)number;
}

static void *run_signals(void *arg)
{
    pthread_t *target = arg;
    for (int i = 0; i < 10; i++) {
        pthread_kill(*target, SIGUSR1);
        usleep(2000);
    }
    return NULL;
}

static void sleep_takes_its_whole_time_whatever_signals_come(void)
{
    struct sigaction action, before;
    pthread_t thread, me = pthread_self();
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, &before) == 0);
    CHECK(pthread_create(&thread, NULL, run_signals, &me) == 0);
    long long begun = msp_now_ms();
    msp_msleep(50);
    CHECK(msp_now_ms() - begun >= 49);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
}

/* time() may still tell the second that ended some milliseconds ago. */
static time_t this_second(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static void the_date_is_that_of_the_c_library(void)
{
    char text[19], expected[19];
    time_t second;
    do {
        struct tm tm;
        second = this_second();
        CHECK(localtime_r(&second, &tm) != NULL);
        CHECK(strftime(expected, sizeof(expected), "%m-%d %H:%M:%S.", &tm) == 15);
        CHECK(msp_now_time_str(text, sizeof(text)) == text);
    } while (this_second() != second);
    CHECK(strncmp(text, expected, 15) == 0 && strlen(text) == 18);
    char cut[6];
    CHECK(msp_now_time_str(cut, sizeof(cut)) == cut && strlen(cut) == 5);
    CHECK(msp_now_time_str(NULL, 19) == NULL);
    cut[0] = 'x';
    CHECK(msp_now_time_str(cut, 0) == cut && cut[0] == 'x');
}

/* ---- Log ----------------------------------------------------------------- */

static void log_each_level(void)
{
    LOGE("t", "error");
    LOGW("t", "warn");
    LOGI("t", "info");
    LOGD("t", "debug");
}

static int logs(const char *text, const char *letter)
{
    return strstr(text, letter) != NULL;
}

static void the_level_comes_from_the_environment_or_a_call(void)
{
    static const struct {
        const char *value;
        int lines;
    } cases[] = {{"error", 1}, {"E", 1}, {"1", 1}, {"warn", 2}, {"w", 2},     {"2", 2},
                 {"INFO", 3},  {"I", 3}, {"3", 3}, {"d", 4},    {"debug", 4}, {"4", 4},
                 {"0", 0},     {"", 3},  {"x", 3}, {"12", 3}};
    char text[1024];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv("MSP_LOG_LEVEL", cases[i].value, 1);
        CHECK(in_child(log_each_level, text, sizeof(text)) == 0);
        CHECK(logs(text, " E t: error\n") == (cases[i].lines >= 1));
        CHECK(logs(text, " W t: warn\n") == (cases[i].lines >= 2));
        CHECK(logs(text, " I t: info\n") == (cases[i].lines >= 3));
        CHECK(logs(text, " D t: debug\n") == (cases[i].lines >= 4));
    }
    unsetenv("MSP_LOG_LEVEL");
    CHECK(in_child(log_each_level, text, sizeof(text)) == 0);
    CHECK(logs(text, " I t: info\n") && !logs(text, "debug"));
}

static void log_with_level_set(void)
{
    msp_log_set_level(MSP_LOG_DEBUG);
    log_each_level();
    msp_log_set_level(MSP_LOG_NONE - 5);
    LOGE("t", "silent");
    msp_log_set_level(MSP_LOG_DEBUG + 5);
    errno = ENOENT;
    LOGD("t", "loud");
    CHECK(errno == ENOENT);
}

static void a_level_set_wins(void)
{
    char text[1024];
    setenv("MSP_LOG_LEVEL", "error", 1);
    CHECK(in_child(log_with_level_set, text, sizeof(text)) == 0);
    unsetenv("MSP_LOG_LEVEL");
    CHECK(logs(text, " D t: debug\n") && logs(text, " D t: loud\n") && !logs(text, "silent"));
}

static void log_odd_lines(void)
{
    char longest[5001];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    LOGI("t", "one newline\n");
    LOGI("t", "three newlines\r\n\n");
    LOGI(NULL, "no tag");
    LOGI("t", "%s", "");
    LOGI("t", "%s|", longest);
    for (int n = 1015; n < 1035; n++) /* around the size of the usual buffer */
        LOGI("t", "%.*s|%d", n, longest, n);
}

static void lines_are_whole_and_plain_when_not_on_a_terminal(void)
{
    static char text[65536];
    CHECK(in_child(log_odd_lines, text, sizeof(text)) == 0);
    int lines = 0;
    for (char *line = text; *line != '\0'; lines++) {
        char *end = strchr(line, '\n');
        CHECK(end != NULL);
        *end = '\0';
        int month, day, hour, minute, second, ms, head = 0;
        CHECK(sscanf(line, "%2d-%2d %2d:%2d:%2d.%3d I%n", &month, &day, &hour, &minute, &second,
                     &ms, &head) == 6);
        CHECK(head == 20 && strchr(line, '\033') == NULL);
        const char *message = line + head;
        size_t size = strlen(message);
        if (lines == 0)
            CHECK(strcmp(message, " t: one newline") == 0);
        if (lines == 1)
            CHECK(strcmp(message, " t: three newlines") == 0);
        if (lines == 2)
            CHECK(strcmp(message, " : no tag") == 0);
        if (lines == 3)
            CHECK(strcmp(message, " t: ") == 0);
        if (lines == 4)
            CHECK(size == 4 + 5000 + 1 && message[size - 1] == '|');
        if (lines >= 5)
            CHECK(size == (size_t)(4 + 1010 + lines + 5) &&
                  atoi(message + size - 4) == 1010 + lines);
        line = end + 1;
    }
    CHECK(lines == 25);
}

struct heard {
    int lines;
    int level;
    char tag[16];
    char line[64];
    int hold;
    int inside;
    int replaces; /* the sink replaces itself */
};

static void hear(int level, const char *tag, const char *line, void *arg)
{
    struct heard *h = arg;
    store(&h->inside, 1);
    h->level = level;
    snprintf(h->tag, sizeof(h->tag), "%s", tag);
    snprintf(h->line, sizeof(h->line), "%s", line);
    if (h->replaces)
        msp_log_set_sink(NULL, NULL);
    while (load(&h->hold))
        usleep(200);
    store(&h->inside, 0);
    add_one(&h->lines);
}

static void a_sink_gets_the_lines(void)
{
    struct heard h = {0};
    msp_log_set_sink(hear, &h);
    LOGW("tag", "%d lines\n", 7);
    CHECK(h.lines == 1 && h.level == MSP_LOG_WARN);
    CHECK(strcmp(h.tag, "tag") == 0 && strcmp(h.line, "7 lines") == 0);
    LOGD("tag", "below the level");
    CHECK(h.lines == 1);
    msp_log_set_sink(NULL, NULL);
}

static void log_in_sink(int level, const char *tag, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    LOGE(tag, "sink got: %s", line);
}

static void use_sink_that_logs(void)
{
    msp_log_set_sink(log_in_sink, NULL);
    LOGE("t", "hello");
}

static void what_a_sink_logs_goes_to_stderr(void)
{
    char text[1024];
    CHECK(in_child(use_sink_that_logs, text, sizeof(text)) == 0);
    CHECK(logs(text, " E t: sink got: hello\n"));
}

static void *run_log(void *arg)
{
    (void)arg;
    LOGE("t", "from a thread");
    return NULL;
}

static void *run_replace(void *arg)
{
    msp_log_set_sink(NULL, NULL);
    store(arg, 1);
    return NULL;
}

static void replacing_a_sink_waits_for_its_calls(void)
{
    struct heard h = {.hold = 1};
    int replaced = 0;
    pthread_t logger, replacer;
    msp_log_set_sink(hear, &h);
    CHECK(pthread_create(&logger, NULL, run_log, NULL) == 0);
    EVENTUALLY(load(&h.inside));
    CHECK(pthread_create(&replacer, NULL, run_replace, &replaced) == 0);
    /* Nothing tells that it has begun to wait: this can only fail to notice. */
    usleep(20000);
    CHECK(load(&replaced) == 0 && load(&h.inside) == 1);
    store(&h.hold, 0);
    CHECK(pthread_join(replacer, NULL) == 0);
    CHECK(load(&h.lines) == 1 && load(&h.inside) == 0);
    CHECK(pthread_join(logger, NULL) == 0);
}

static void a_sink_may_replace_itself(void)
{
    struct heard h = {.replaces = 1};
    msp_log_set_sink(hear, &h);
    LOGE("t", "last");
    CHECK(h.lines == 1);
}

static void log_to_nobody(void)
{
    int ends[2];
    sigset_t pending;
    signal(SIGPIPE, SIG_DFL);
    CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    LOGE("t", "nobody reads this");
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGPIPE));
    close(STDERR_FILENO);
    LOGE("t", "nor this");

    /* A SIGPIPE that was waiting before is not taken away. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    LOGE("t", "nor this");
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE));
}

static void a_broken_stderr_harms_nobody(void)
{
    char text[1024];
    CHECK(in_child(log_to_nobody, text, sizeof(text)) == 0);
}

/* ---- Fork ---------------------------------------------------------------- */

static struct objects shared;
static struct ticks shared_ticks;

static void use_everything(void)
{
    struct objects o;
    char msg[4] = "abc";
    unsigned flags;
    CHECK(msp_event_set(&shared.event, 8, MSP_EVENT_OR) == 0);
    CHECK(msp_event_get(&shared.event, 8, MSP_EVENT_OR, &flags, MSP_WAIT_FOREVER) == 0);
    CHECK(msp_event_get(&shared.event, 4, MSP_EVENT_OR, &flags, 1) == -ETIMEDOUT);
    CHECK(msp_queue_send(&shared.queue, msg, 4) >= -EAGAIN);
    CHECK(msp_mutex_unlock(&shared.mutex) == 0);
    free_objects(&shared);
    make_objects(&o);
    free_objects(&o);
    msp_msleep(1);
    int count = load(&shared_ticks.count);
    CHECK(msp_timer_is_valid(&shared_ticks.timer) == 1);
    CHECK(msp_timer_start(&shared_ticks.timer) == 0);
    EVENTUALLY(load(&shared_ticks.count) > count);
    msp_timer_free(&shared_ticks.timer);
    LOGE("child", "done");
}

struct noise {
    int stop;
    pthread_t thread;
};

static void *run_noise(void *arg)
{
    struct noise *n = arg;
    char msg[4] = "abc";
    while (!load(&n->stop)) {
        msp_event_t event;
        CHECK(msp_event_new(&event, 0) == 0);
        msp_event_set(&shared.event, 2, MSP_EVENT_OR);
        msp_queue_send(&shared.queue, msg, 4);
        msp_queue_recv(&shared.queue, MSP_NO_WAIT, msg, NULL);
        msp_event_free(&event);
        LOGE("t", "noise");
    }
    return NULL;
}

static void drop(int level, const char *tag, const char *line, void *arg)
{
    (void)level;
    (void)tag;
    (void)line;
    (void)arg;
}

static void a_forked_child_can_use_everything(void)
{
    struct waiter waiting;
    struct noise noise[2];
    static char text[65536];
    make_objects(&shared);
    shared_ticks = (struct ticks){0};
    CHECK(msp_timer_new(&shared_ticks.timer, tick, &shared_ticks, 3, 1) == 0);
    start_waiter(&waiting, &shared, EVENT, MSP_WAIT_FOREVER);
    msp_log_set_sink(drop, NULL);
    for (int i = 0; i < 2; i++) {
        noise[i].stop = 0;
        CHECK(pthread_create(&noise[i].thread, NULL, run_noise, &noise[i]) == 0);
    }
    for (int i = 0; i < 20; i++)
        CHECK(in_child(use_everything, text, sizeof(text)) == 0);
    for (int i = 0; i < 2; i++) {
        store(&noise[i].stop, 1);
        CHECK(pthread_join(noise[i].thread, NULL) == 0);
    }
    msp_log_set_sink(NULL, NULL);
    CHECK(msp_event_set(&shared.event, 1, MSP_EVENT_OR) == 0);
    CHECK(result_of(&waiting) == 0);
    msp_timer_free(&shared_ticks.timer);
    free_objects(&shared);
}

static msp_event_t crowded;

static void *run_crowd(void *arg)
{
    (void)arg;
    while (msp_event_get(&crowded, 1, MSP_EVENT_OR, NULL, MSP_WAIT_FOREVER) == 0)
        ;
    return NULL;
}

static void set_and_wait(void)
{
    for (int i = 0; i < 4; i++) {
        CHECK(msp_event_set(&crowded, 2, MSP_EVENT_OR) == 0);
        CHECK(msp_event_get(&crowded, 1, MSP_EVENT_OR, NULL, 1) == -ETIMEDOUT);
    }
}

/* Forks while the waiters are woken but have not run yet: a condition variable
 * that still counts them would wait for them in the child. */
static void a_forked_child_is_not_held_up_by_waiters_of_its_parent(void)
{
    pthread_t crowd[8];
    char text[1024];
    CHECK(msp_event_new(&crowded, 0) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&crowd[i], NULL, run_crowd, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK(msp_event_set(&crowded, 2, MSP_EVENT_OR) == 0);
        CHECK(in_child(set_and_wait, text, sizeof(text)) == 0);
    }
    msp_event_free(&crowded);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(crowd[i], NULL) == 0);
}

int main(void)
{
    unsetenv("MSP_LOG_LEVEL");
    setenv("TZ", "XYZ-05:45", 1); /* east, and no whole hours */

    waits_end_at_their_timeout_and_not_before();
    no_wait_does_not_wait();
    free_wakes_all_waiters_with_an_error();
    interrupt_ends_a_wait();
    interrupt_ends_later_waits_until_armed_or_unbound();
    interrupt_loses_nothing_that_is_there();
    interrupt_is_never_lost();

    no_handle_is_an_error();
    garbage_for_a_handle_is_an_error();
    a_freed_handle_is_an_error_in_every_copy();
    a_handle_of_another_kind_is_an_error();
    thousands_of_objects_can_live();
    freeing_while_others_use_it_is_safe();

    a_mutex_is_recursive_and_has_one_owner();
    a_mutex_excludes();
    a_semaphore_counts();
    each_signal_lets_one_waiter_pass();
    event_or_and_and_their_clear_forms();
    event_refuses_what_it_cannot_wait_for();
    setting_an_event_wakes_its_waiters();
    a_queue_keeps_order_and_sizes_across_its_end();
    a_full_queue_refuses_at_once();
    a_queue_refuses_bad_arguments();
    a_queue_passes_messages_between_threads();

    a_one_shot_timer_fires_once_when_it_is_due();
    a_repeating_timer_repeats_until_stopped();
    a_timer_runs_only_when_told_to();
    a_timer_can_be_changed();
    a_callback_may_stop_or_free_its_own_timer();
    freeing_a_timer_waits_for_its_callback();
    timers_fire_in_the_order_they_are_due();

    a_task_has_its_name_its_handle_and_enough_stack();
    a_task_needs_no_name_and_may_ask_for_more_stack();
    a_task_can_end_itself();
    deleting_a_task_ends_it_in_any_wait();
    deleting_a_task_that_never_has_to_wait_ends_it();

    memory_of_any_size();
    exhaustion_is_null();
    check_forms_log_and_abort();
    sleep_takes_its_whole_time_whatever_signals_come();
    the_date_is_that_of_the_c_library();

    the_level_comes_from_the_environment_or_a_call();
    a_level_set_wins();
    lines_are_whole_and_plain_when_not_on_a_terminal();
    a_sink_gets_the_lines();
    what_a_sink_logs_goes_to_stderr();
    replacing_a_sink_waits_for_its_calls();
    a_sink_may_replace_itself();
    a_broken_stderr_harms_nobody();

    a_forked_child_can_use_everything();
    a_forked_child_is_not_held_up_by_waiters_of_its_parent();
    puts("ok");
    return 0;
}
