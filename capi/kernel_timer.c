/* SPDX-License-Identifier: MIT
 *
 * kernel_timer.c - one thread, made when the first timer starts, calls the
 * callbacks of all timers.
 */
#include "msp_internal.h"

#include <errno.h>
#include <msp/kernel.h>

#include "../internal/worker/thread.h"

static struct {
    pthread_mutex_t lock; /* guards every timer's state, too */
    pthread_cond_t changed;
    pthread_cond_t idle; /* a callback returned */
    pthread_t thread;
    int has_thread;
    struct msp_slot *first; /* timers that run, the next due first */
    void *calling;          /* the timer whose callback runs, or NULL */
} service = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static int in_callback(void)
{
    return service.has_thread && pthread_equal(service.thread, pthread_self());
}

static void hold(void)
{
    pthread_mutex_lock(&service.lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&service.lock);
}

/* As with POSIX timers, those that run do so in the parent only. */
static void in_child(void)
{
    for (struct msp_slot *slot = service.first; slot != NULL; slot = slot->u.timer.next)
        slot->u.timer.running = 0;
    service.first = NULL;
    msp_cond_init(&service.changed);
    msp_cond_init(&service.idle);
    if (!in_callback()) {
        service.has_thread = 0;
        service.calling = NULL;
    }
    let_go();
}

static void init(void)
{
    msp_slots_init();
    msp_cond_init(&service.changed);
    msp_cond_init(&service.idle);
    pthread_atfork(hold, let_go, in_child);
}

static void stop(struct msp_slot *slot)
{
    if (!slot->u.timer.running)
        return;
    struct msp_slot **at = &service.first;
    while (*at != slot)
        at = &(*at)->u.timer.next;
    *at = slot->u.timer.next;
    slot->u.timer.running = 0;
}

static void start_at(struct msp_slot *slot, long long due)
{
    struct msp_slot **at = &service.first;
    while (*at != NULL && (*at)->u.timer.due <= due)
        at = &(*at)->u.timer.next;
    slot->u.timer.due = due;
    slot->u.timer.next = *at;
    slot->u.timer.running = 1;
    *at = slot;
}

/* Calls the callback of a timer that is due. Locked, save for the callback. */
static void call(struct msp_slot *slot, long long now)
{
    void (*fn)(void *, void *) = slot->u.timer.fn;
    void *arg = slot->u.timer.arg;
    void *handle = msp_slot_handle(slot);
    long long next = slot->u.timer.due + slot->u.timer.ms;
    stop(slot);
    /* One that fell behind by a period or more skips what it missed. */
    if (slot->u.timer.repeat)
        start_at(slot, next > now ? next : now + slot->u.timer.ms);
    service.calling = handle;
    let_go();
    fn(handle, arg);
    hold();
    service.calling = NULL;
    pthread_cond_broadcast(&service.idle);
}

static void *serve(void *arg)
{
    pthread_setname_np(pthread_self(), "msp-timer");
    hold();
    for (;;) {
        long long now = msp_now_ms();
        if (service.first == NULL) {
            pthread_cond_wait(&service.changed, &service.lock);
        } else if (service.first->u.timer.due > now) {
            struct timespec until = msp_deadline((unsigned)(service.first->u.timer.due - now));
            pthread_cond_timedwait(&service.changed, &service.lock, &until);
        } else {
            call(service.first, now);
        }
    }
    return arg;
}

/* Makes the thread, if it is not there. Locked. */
static int need_thread(void)
{
    if (service.has_thread)
        return 0;
    int rc = msp_thread_start(&service.thread, serve, NULL);
    if (rc == 0)
        pthread_detach(service.thread);
    service.has_thread = rc == 0;
    return -rc;
}

static int start(struct msp_slot *slot)
{
    int rc = need_thread();
    if (rc < 0)
        return rc;
    stop(slot);
    start_at(slot, msp_now_ms() + slot->u.timer.ms);
    pthread_cond_signal(&service.changed);
    return 0;
}

/* Locks the service and finds a timer in it. NULL: there is none, and the
 * service is locked all the same. What it finds stays while that lock is held,
 * because msp_timer_free() takes it as well. */
static struct msp_slot *find(msp_timer_t *timer)
{
    pthread_once(&once, init);
    hold();
    struct msp_slot *slot = msp_slot_lock(timer, MSP_TIMER);
    if (slot != NULL)
        msp_slot_unlock(slot);
    return slot;
}

/* Waits until the callback of a timer has returned, unless this is it. */
static void wait_for_callback(const void *handle)
{
    while (handle != NULL && service.calling == handle && !in_callback())
        pthread_cond_wait(&service.idle, &service.lock);
}

MSP_WEAK int msp_timer_new_ext(msp_timer_t *timer, void (*fn)(void *, void *), void *arg, int ms,
                               int repeat, unsigned char auto_run)
{
    if (timer == NULL || fn == NULL || ms <= 0)
        return -EINVAL;
    struct msp_slot *slot = msp_slot_take();
    if (slot == NULL)
        return -ENOMEM;
    slot->u.timer.fn = fn;
    slot->u.timer.arg = arg;
    slot->u.timer.ms = ms;
    slot->u.timer.repeat = repeat;
    slot->u.timer.running = 0;
    msp_slot_publish(slot, MSP_TIMER, timer);
    int rc = auto_run ? msp_timer_start(timer) : 0;
    if (rc < 0)
        msp_timer_free(timer);
    return rc;
}

MSP_WEAK int msp_timer_new(msp_timer_t *timer, void (*fn)(void *, void *), void *arg, int ms,
                           int repeat)
{
    return msp_timer_new_ext(timer, fn, arg, ms, repeat, 1);
}

MSP_WEAK void msp_timer_free(msp_timer_t *timer)
{
    void *handle = msp_handle_load(timer);
    struct msp_slot *slot = find(timer);
    if (slot != NULL) {
        stop(slot);
        msp_slot_hold(slot);
        msp_slot_retire(slot, timer);
    }
    wait_for_callback(handle);
    let_go();
}

MSP_WEAK int msp_timer_start(msp_timer_t *timer)
{
    struct msp_slot *slot = find(timer);
    int rc = slot != NULL ? start(slot) : -EINVAL;
    let_go();
    return rc;
}

MSP_WEAK int msp_timer_stop(msp_timer_t *timer)
{
    void *handle = msp_handle_load(timer);
    struct msp_slot *slot = find(timer);
    if (slot != NULL)
        stop(slot);
    wait_for_callback(handle);
    let_go();
    return slot != NULL ? 0 : -EINVAL;
}

MSP_WEAK int msp_timer_change(msp_timer_t *timer, int ms)
{
    if (ms <= 0)
        return -EINVAL;
    int rc = -EINVAL;
    struct msp_slot *slot = find(timer);
    if (slot != NULL) {
        slot->u.timer.ms = ms;
        rc = slot->u.timer.running ? start(slot) : 0;
    }
    let_go();
    return rc;
}

MSP_WEAK int msp_timer_is_valid(msp_timer_t *timer)
{
    return msp_slot_is_valid(timer, MSP_TIMER);
}
