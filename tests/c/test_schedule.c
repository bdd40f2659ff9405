/* SPDX-License-Identifier: MIT
 *
 * test_schedule.c - the library's threads leave the processor to the thread
 * that writes: they run as SCHED_BATCH, whatever the first caller is, so that
 * one which is woken does not push aside the one that woke it.
 */
#include "harness.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <msp/kernel.h>

#define SOON 5000

static int policy_in_callback = -1, called;

static void ready(void *arg)
{
    store(&policy_in_callback, sched_getscheduler(0));
    add(&called, 1);
    unsigned flags;
    msp_event_get(arg, 1, MSP_EVENT_OR_CLEAR, &flags, MSP_WAIT_FOREVER);
}

/* How many of the process's threads have a policy, the caller left out. */
static int threads_with(int policy)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        pid_t tid = (pid_t)atol(e->d_name);
        n += tid > 0 && tid != (pid_t)syscall(SYS_gettid) && sched_getscheduler(tid) == policy;
    }
    closedir(dir);
    return n;
}

static void check_policies(int own)
{
    /* A sanitizer has a thread of its own, and so has an emulator. */
    int others = threads_with(SCHED_OTHER) + threads_with(SCHED_FIFO);
    struct ring ring;
    msp_event_t event;
    msp_event_new(&event, 0);
    ring_open(&ring, 10001);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), "null://");
    record_set_data_ready_cb(hdl, ready, &event);
    CHECK_INT(record_start(hdl), 0);
    AWAIT(load(&called) > 0, SOON);
    CHECK_INT(load(&policy_in_callback), SCHED_BATCH);
    CHECK_INT(sched_getscheduler(0), own);
    CHECK(threads_with(SCHED_BATCH) >= 4); /* of Go, the sweep, data_ready's */
    AWAIT(threads_with(SCHED_OTHER) + threads_with(SCHED_FIFO) == others, SOON);
    CHECK_INT(record_unregister(hdl), 0);
    msp_event_free(&event);
    ring_close(&ring);
}

static void the_librarys_threads_are_batch(void)
{
    check_policies(SCHED_OTHER);
}

static void a_first_caller_under_fifo_stays_so_alone(void)
{
    if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) < 0) {
        note("left out: this user may not use SCHED_FIFO");
        return;
    }
    check_policies(SCHED_FIFO);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(the_librarys_threads_are_batch),
        TEST(a_first_caller_under_fifo_stays_so_alone),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
