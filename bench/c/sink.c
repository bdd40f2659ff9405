/* SPDX-License-Identifier: MIT
 *
 * sink.c - the server that all programs send to: takes WebSocket connections,
 * counts payload bytes without looking at them, answers pings.
 *
 *     sink [stamps]
 *
 * Prints "PORT" when it listens. At the end of its standard input, which is a
 * pipe, it prints its report and ends: bytes and messages; the time from the first payload to the
 * last; and, with "stamps", how long after the time in their first 8 bytes messages were here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "handshake.h"

enum { BINARY = 2, CLOSE = 8, PING = 9, CONTROL = 8, STAMP = 8 };

struct conn {
    int fd;
    int open;             /* the handshake is done */
    char request[4096];   /* until then */
    int got;              /* bytes in request, then in header */
    uint8_t header[14];   /* of the frame that is coming in */
    int in_payload;       /* the header is whole */
    uint64_t left;        /* of its payload */
    uint8_t control[125]; /* payload of a control frame, or the stamp */
    int kept;             /* bytes in control */
};

static int stamps;
static struct {
    uint64_t bytes, messages, pings, connections;
    int64_t first, last;
} sum;
static double *late; /* microseconds */
static size_t late_count, late_room;

static void note_late(int64_t stamp, int64_t now)
{
    if (late_count == late_room) {
        late_room = late_room ? 2 * late_room : 4096;
        late = must(realloc(late, late_room * sizeof(*late)));
    }
    late[late_count++] = (double)(now - stamp) / 1e3;
}

static void answer(struct conn *c, int opcode)
{
    uint8_t frame[2 + 125] = {(uint8_t)(0x80 | opcode), (uint8_t)c->kept};
    memcpy(frame + 2, c->control, (size_t)c->kept);
    /* A socket with no room for so little belongs to a client that does not
     * read; nothing depends on the answer then. */
    (void)!send(c->fd, frame, 2 + (size_t)c->kept, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* How long a frame's header is, as far as its first bytes tell. */
static int header_size(const struct conn *c)
{
    if (c->got < 2)
        return 2;
    int n = c->header[1] & 0x7f;
    return 2 + (n == 126 ? 2 : n == 127 ? 8 : 0) + (c->header[1] & 0x80 ? 4 : 0);
}

static uint64_t payload_size(const struct conn *c)
{
    int n = c->header[1] & 0x7f, wide = n == 126 ? 2 : n == 127 ? 8 : 0;
    uint64_t size = 0;
    for (int i = 0; i < wide; i++)
        size = size << 8 | c->header[2 + i];
    return wide ? size : (uint64_t)n;
}

/* The frame is whole. */
static void frame_end(struct conn *c, int64_t now)
{
    int opcode = c->header[0] & 15;
    const uint8_t *key = c->header + header_size(c) - 4;
    if (c->header[1] & 0x80)
        for (int i = 0; i < c->kept; i++)
            c->control[i] ^= key[i % 4];
    if (opcode == PING) {
        sum.pings++;
        answer(c, PING + 1);
    } else if (opcode == CLOSE) {
        answer(c, CLOSE);
    } else if (opcode < CONTROL) {
        sum.messages += c->header[0] >> 7;
        int64_t stamp;
        if (stamps && c->kept == STAMP) {
            memcpy(&stamp, c->control, STAMP);
            note_late(stamp, now);
        }
    }
    c->got = c->kept = c->in_payload = 0;
}

static void take(struct conn *c, const uint8_t *p, size_t n, int64_t now)
{
    while (n > 0) {
        if (!c->in_payload) {
            size_t want = (size_t)(header_size(c) - c->got);
            size_t some = want < n ? want : n;
            memcpy(c->header + c->got, p, some);
            c->got += (int)some, p += some, n -= some;
            if (c->got < header_size(c))
                continue;
            c->in_payload = 1;
            c->left = payload_size(c);
        }
        size_t some = c->left < n ? (size_t)c->left : n;
        int opcode = c->header[0] & 15;
        int keep = (opcode >= CONTROL ? 125 : stamps ? STAMP : 0) - c->kept;
        if (keep > 0) {
            size_t k = (size_t)keep < some ? (size_t)keep : some;
            memcpy(c->control + c->kept, p, k);
            c->kept += (int)k;
        }
        if (opcode < CONTROL && some > 0) {
            sum.bytes += some;
            sum.first = sum.first ? sum.first : now;
            sum.last = now;
        }
        p += some, n -= some, c->left -= some;
        if (c->left == 0)
            frame_end(c, now);
    }
}

/* Takes what has come; false at the connection's end. */
static int receive(struct conn *c)
{
    static uint8_t buf[256 << 10];
    ssize_t n;
    if (!c->open) {
        n = recv(c->fd, c->request + c->got, sizeof(c->request) - 1 - (size_t)c->got, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        c->got += (int)n;
        c->request[c->got] = 0;
        char *end = strstr(c->request, "\r\n\r\n");
        if (end == NULL)
            return c->got < (int)sizeof(c->request) - 1;
        char reply[256];
        if (!handshake_answer(c->request, reply, sizeof(reply)) ||
            send(c->fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
            return 0;
        size_t rest = (size_t)c->got - (size_t)(end + 4 - c->request);
        c->open = 1, c->got = 0;
        take(c, (uint8_t *)end + 4, rest, now_ns());
        return 1;
    }
    n = recv(c->fd, buf, sizeof(buf), 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    take(c, buf, (size_t)n, now_ns());
    return 1;
}

static void report(void)
{
    struct used u = used_now();
    field("bytes", (double)sum.bytes);
    field("messages", (double)sum.messages);
    field("pings", (double)sum.pings);
    field("connections", (double)sum.connections);
    field("span_s", (double)(sum.last - sum.first) / 1e9);
    field("sink_cpu_s", u.cpu);
    if (late_count > 0) {
        field("first_us", late[0]);
        qsort(late, late_count, sizeof(*late), by_size);
        field("samples", (double)late_count);
        field("p50_us", late[late_count / 2]);
        field("p99_us", late[late_count * 99 / 100]);
        field("max_us", late[late_count - 1]);
    }
    end_report();
}

static void watch(int epoll, int fd, void *what)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
    stamps = argc > 1 && strcmp(argv[1], "stamps") == 0;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (void *)&at, sizeof(at)) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (void *)&at, &size) < 0) {
        perror("sink");
        return 1;
    }
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);

    int epoll = epoll_create1(0);
    watch(epoll, listener, &listener);
    watch(epoll, STDIN_FILENO, &sum);
    for (;;) {
        struct epoll_event ready[64];
        int n = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            void *what = ready[i].data.ptr;
            if (what == &sum) {
                report();
                return 0;
            }
            if (what == &listener) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0)
                    continue;
                struct conn *c = must(calloc(1, sizeof(*c)));
                c->fd = fd;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
                sum.connections++;
                watch(epoll, fd, c);
                continue;
            }
            struct conn *c = what;
            if (!receive(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
