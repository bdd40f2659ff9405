/* SPDX-License-Identifier: MIT
 *
 * loop.h - the event loop under lws.c, and how often it waits.
 *
 * libwebsockets' own loop waits in poll. With WITH_UV the program has a loop of
 * libuv, which waits in epoll. Both libraries call the functions below in place
 * of the C library's, so each wait is counted, and each that was told to return
 * at once.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libwebsockets.h>
#ifdef WITH_UV
#include <uv.h>
#endif

struct polls {
    double all, without_wait;
};

static struct polls polls;

static void count_poll(int timeout)
{
    polls.all++;
    polls.without_wait += timeout == 0;
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec t = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
    count_poll(timeout);
    return ppoll(fds, n, timeout < 0 ? NULL : &t, NULL);
}

int epoll_pwait(int epoll, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
    count_poll(timeout);
    return (int)syscall(SYS_epoll_pwait, epoll, events, n, timeout, mask, _NSIG / 8);
}

int epoll_wait(int epoll, struct epoll_event *events, int n, int timeout)
{
    return epoll_pwait(epoll, events, n, timeout, NULL);
}

#ifdef WITH_UV
static uv_loop_t loop;

/* loops is what the context's info points to: a loop for its one thread. */
static void choose_loop(struct lws_context_creation_info *info, void *loops[1])
{
    uv_loop_init(&loop);
    loops[0] = &loop;
    info->options |= LWS_SERVER_OPTION_LIBUV;
    info->foreign_loops = loops;
}

static void serve(struct lws_context *context)
{
    (void)context;
    uv_run(&loop, UV_RUN_ONCE);
}
#else
static void choose_loop(struct lws_context_creation_info *info, void *loops[1])
{
    (void)info;
    (void)loops;
}

static void serve(struct lws_context *context)
{
    lws_service(context, 0);
}
#endif

/* Ends the program where the libraries wait in some other way than is counted. */
static void report_polls(struct polls since, struct polls until)
{
    if (until.all == since.all) {
        fprintf(stderr, "lws: the loop's waits were not seen\n");
        exit(1);
    }
    field("polls", until.all - since.all);
    field("polls_without_wait", until.without_wait - since.without_wait);
}

#endif
