/* SPDX-License-Identifier: MIT
 *
 * callbacks.c - callbacks that stop, sleep and block.
 */
#include <errno.h>
#include <unistd.h>

#include "model.h"

/* Brackets a callback of a slot's session. */
static void enter(struct slot *s, const char *what)
{
    __atomic_add_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
    if (!get(&s->active))
        fail("%s of slot %d came though its session is stopped", what, s->id);
}

static void leave(struct slot *s)
{
    __atomic_sub_fetch(&s->inside, 1, __ATOMIC_SEQ_CST);
}

/* Inside a session's own callback its life cannot be waited for. */
static void call_own(struct slot *s, const char *what, int rc)
{
    if (rc != -EDEADLK)
        fail("%s inside the session's own callback returned %d %s (slot %d)", what, rc,
             record_last_error(), s->id);
}

static void ready(void *arg)
{
    struct slot *s = arg;
    unsigned flags;
    record_stats_t stats = {.size = sizeof(stats)};
    enter(s, "data_ready");
    switch (s->wait) {
    case WAIT_EVENT:
        msp_event_get(&s->wake, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
        break;
    case WAIT_SHORT:
        usleep(3000);
        break;
    case WAIT_LONG:
        usleep((STOP_MS + 400) * 1000);
        break;
    case WAIT_STOPS:
        if (!plan.meddling && !get(&s->ended)) {
            set(&s->ended, 1);
            call_own(s, "record_stop", record_stop(s->rec));
        }
        usleep(1000);
        break;
    case WAIT_ASKS:
        record_get_stats(s->rec, &stats);
        usleep(500);
        break;
    }
    leave(s);
}

static void release(void *arg)
{
    struct slot *s = arg;
    msp_event_set(&s->wake, 1, MSP_EVENT_OR);
}

static void hear_event(rec_hdl_t rec, const record_event_t *event, void *arg)
{
    struct slot *s = arg;
    static unsigned random = 1;
    record_stats_t stats = {.size = sizeof(stats)};
    (void)event;
    enter(s, "an event");
    switch (draw(&random, 24)) {
    case 0:
        usleep(200 * 1000);
        break;
    case 1:
    case 2:
        usleep(5000);
        break;
    case 3:
        call_own(s, "record_wait", record_wait(rec, 1));
        break;
    case 4:
        set(&s->ended, 1);
        call_own(s, "record_stop", record_stop(rec));
        break;
    case 5:
        set(&s->ended, 1);
        call_own(s, "record_unregister", record_unregister(rec));
        break;
    case 6:
    case 7:
        record_get_stats(__atomic_load_n(&published[draw(&random, SLOTS)], __ATOMIC_SEQ_CST),
                         &stats);
        break;
    case 8:
        if (plan.meddling)
            call_anything(&random);
        break;
    }
    leave(s);
}

static void hear_message(rec_hdl_t rec, const void *data, uint32_t size, int is_text, void *arg)
{
    struct slot *s = arg;
    (void)rec, (void)data, (void)size, (void)is_text;
    enter(s, "a message");
    leave(s);
}

void set_callbacks(struct slot *s)
{
    s->wait = (enum wait)draw(&s->random, 5);
    s->has_ready = draw(&s->random, 2) == 0;
    s->has_release = s->has_ready && draw(&s->random, 2) == 0;
    if (s->has_ready)
        record_set_data_ready_cb(s->rec, ready, s);
    if (s->has_release)
        record_set_data_release_cb(s->rec, release, s);
    if (draw(&s->random, 3) > 0)
        record_set_event_cb(s->rec, hear_event, s);
    if (draw(&s->random, 3) == 0)
        record_set_message_cb(s->rec, hear_message, s);
}
