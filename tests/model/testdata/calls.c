/* SPDX-License-Identifier: MIT
 *
 * calls.c - the calls of the model, and what each may return.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* The calls that run, for watch_calls(). */
static struct running {
    const char *name;
    double since;
} running[64];
static int threads;
static __thread struct running *mine;

static double begin_call(const char *name)
{
    if (mine == NULL)
        mine = &running[__atomic_fetch_add(&threads, 1, __ATOMIC_SEQ_CST) % 64];
    double now = now_ms();
    __atomic_store(&mine->since, &now, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mine->name, name, __ATOMIC_SEQ_CST);
    return now;
}

void watch_calls(void)
{
    for (int i = 0; i < 64; i++) {
        const char *name = __atomic_load_n(&running[i].name, __ATOMIC_SEQ_CST);
        double since;
        __atomic_load(&running[i].since, &since, __ATOMIC_SEQ_CST);
        if (name != NULL && now_ms() - since > HANG_MS) {
            fail("%s has not returned after %d ms", name, HANG_MS);
            abort();
        }
    }
}

/* Ends a call that may take that long, and hands on its result. */
static int end_call(double began, int most_ms, int rc)
{
    double took = now_ms() - began;
    const char *name = mine->name;
    __atomic_store_n(&mine->name, NULL, __ATOMIC_SEQ_CST);
    if (took > most_ms + SLACK_MS)
        fail("%s took %.0f ms, the most is %d: %d %s", name, took, most_ms, rc,
             record_last_error());
    return rc;
}

static int in(int rc, const int *codes)
{
    for (; *codes != 1; codes++)
        if (*codes == rc)
            return 1;
    return 0;
}

/* What a call may return that needs something which is short. */
static int for_want(int rc)
{
    return (is_short("descriptors") && (rc == -EMFILE || rc == -ENFILE)) ||
           (is_short("threads") && rc == -EAGAIN) ||
           (is_short("memory") && (rc == -ENOMEM || rc == -EAGAIN));
}

/* Until Go has started, which needs some of each, no call can do anything. */
static int cannot_start(int rc)
{
    return for_want(rc) && strstr(record_last_error(), "the library cannot start") != NULL;
}

static void judge(const char *name, struct slot *s, int rc, int allowed)
{
    if (!allowed)
        fail("%s returned %d %s (slot %d, from %d, to %d %s, destroyed %d, hidden %d)", name, rc,
             record_last_error(), s->id, s->from, s->to, s->to_uri, s->destroyed, s->hidden);
}

rec_hdl_t call_register(struct slot *s, const char *from, const char *to)
{
    double began = begin_call("record_register");
    rec_hdl_t rec = record_register(from, to);
    end_call(began, 0, 0);
    if (rec == NULL && !(is_short("descriptors") || is_short("threads") || is_short("memory")))
        fail("record_register(%s, %s): %s (slot %d)", from, to, record_last_error(), s->id);
    return rec;
}

int call_start(struct slot *s)
{
    static const int server[] = {0, -ECONNREFUSED, -ETIMEDOUT, -EPROTO, -ECONNRESET, -EBUSY, 1};
    /* On the mux wire the name is another slot's while that starts too; and a busy
     * machine may take longer to refuse than CONNECT_MS. */
    static const int nobody[] = {-ECONNREFUSED, -EBUSY, -ETIMEDOUT, 1};
    static const int meddled[] = {-EALREADY, -ECANCELED, -EINVAL, 1};
    double began = begin_call("record_start");
    int rc = end_call(began, CONNECT_MS, record_start(s->rec));
    int allowed = for_want(rc) || (plan.meddling && in(rc, meddled));
    if (s->destroyed)
        allowed |= rc == -ENODEV;
    else if (s->hidden && s->from != FROM_FILE)
        allowed |= rc == -EFAULT || rc == -ENODEV || (s->from == FROM_MEMORY && rc == 0);
    else if (s->to == TO_SERVER)
        allowed |= in(rc, server);
    else if (s->to == TO_NOBODY)
        allowed |= in(rc, nobody);
    else if (s->to == TO_SILENT)
        allowed |= rc == -ETIMEDOUT;
    else
        allowed |= rc == 0;
    judge("record_start", s, rc, allowed);
    return rc;
}

int is_stuck(int rc)
{
    return rc == -ETIMEDOUT && strstr(record_last_error(), "has not returned") != NULL;
}

/* A stop may break off only what it cannot deliver, and wait in vain only for
 * a callback that waits for longer. */
static int stop_allowed(struct slot *s, int rc)
{
    if (rc == 0)
        return 1;
    if (rc == -ETIMEDOUT && (s->to == TO_SERVER || s->to == TO_RING))
        return 1;
    if (is_stuck(rc) && s->has_ready && s->wait == WAIT_LONG)
        return 1;
    if (is_stuck(rc) && plan.meddling)
        return 1; /* an event callback stops other sessions, which takes its time */
    if (rc == -ETIMEDOUT && s->chunk > 0 && s->chunk < 320)
        return 1; /* too much in such small chunks */
    if (s->to == TO_MEMORY && rc == -ENOSPC)
        return 1;
    if (s->destroyed && rc == -ENODEV)
        return 1;
    if (s->hidden && rc == -EFAULT)
        return 1;
    return plan.meddling && rc == -EINVAL; /* unregistered by another thread */
}

int call_stop(struct slot *s)
{
    double began = begin_call("record_stop");
    int rc = end_call(began, STOP_MS, record_stop(s->rec));
    judge("record_stop", s, rc, stop_allowed(s, rc));
    return rc;
}

int call_unregister(struct slot *s)
{
    double began = begin_call("record_unregister");
    int rc = end_call(began, STOP_MS, record_unregister(s->rec));
    judge("record_unregister", s, rc, stop_allowed(s, rc));
    return rc;
}

int call_wait(struct slot *s, int ms)
{
    double began = begin_call("record_wait");
    int rc = end_call(began, ms, record_wait(s->rec, ms));
    judge("record_wait", s, rc, rc == -EINVAL || stop_allowed(s, rc) || rc == -ETIMEDOUT);
    return rc;
}

/* What another thread may do with a session it has the handle of: what only
 * asks, always; what changes the session's life, where the run is so. */
void call_anything(unsigned *random)
{
    unsigned slot = draw(random, SLOTS), what = draw(random, plan.meddling ? 13 : 9);
    __atomic_add_fetch(&slots[slot].visitors, 1, __ATOMIC_SEQ_CST);
    rec_hdl_t rec = __atomic_load_n(&published[slot], __ATOMIC_SEQ_CST);
    record_stats_t stats = {.size = sizeof(stats)};
    static const int asked[] = {0, -EINVAL, 1};
    static const int set_codes[] = {0, -EINVAL, -EBUSY, 1};
    int rc = 0, read = 0, sent = 0, most = 0;
    const int *codes = asked;
    double began;
    switch (what) {
    case 0:
    case 1:
    case 2:
        began = begin_call("record_get_stats");
        rc = record_get_stats(rec, &stats);
        if (rc == 0 && stats.acked_bytes + stats.given_up_bytes > stats.read_bytes)
            fail("acked %" PRIu64 " + given up %" PRIu64 " is more than was read, %" PRIu64,
                 stats.acked_bytes, stats.given_up_bytes, stats.read_bytes);
        break;
    case 3:
        began = begin_call("record_get_count");
        rc = record_get_count(rec, &read, &sent);
        break;
    case 4:
        began = begin_call("record_wait by another thread");
        record_wait(rec, most = (int)draw(random, 20)); /* or what broke the session */
        break;
    case 5:
        began = begin_call("record_set_option");
        rc = record_set_option(rec, "linger", "0");
        codes = set_codes;
        break;
    case 6:
        began = begin_call("record_set_option of an unknown key");
        rc = record_set_option(rec, "no_such_key", "1");
        if (rc == 0)
            fail("an unknown option was taken");
        rc = 0;
        break;
    case 7:
        began = begin_call("record_get_stats of no session");
        rc = record_get_stats((rec_hdl_t)(uintptr_t)(draw(random, 1u << 20) * 4096u + 1), &stats);
        if (rc != -EINVAL && !cannot_start(rc))
            fail("record_get_stats of no session returned %d", rc);
        break;
    case 8:
        began = begin_call("record_set_chunk_size");
        record_set_chunk_size(rec, 4096);
        break;
    case 9:
        began = begin_call("record_pre_stop by another thread");
        rc = record_pre_stop(rec);
        break;
    case 10:
        began = begin_call("record_start by another thread");
        record_start(rec);
        most = CONNECT_MS;
        break;
    case 11:
        began = begin_call("record_stop by another thread");
        record_stop(rec);
        most = STOP_MS + CONNECT_MS; /* it may wait for a start */
        break;
    default:
        began = begin_call("record_unregister by another thread");
        record_unregister(rec);
        most = STOP_MS + CONNECT_MS;
        break;
    }
    end_call(began, most, rc);
    __atomic_sub_fetch(&slots[slot].visitors, 1, __ATOMIC_SEQ_CST);
    if (!in(rc, codes) && !cannot_start(rc))
        fail("call %u on a session returned %d %s", what, rc, record_last_error());
}
