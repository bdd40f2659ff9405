/* SPDX-License-Identifier: MIT
 *
 * raw.c - plain TCP with frames that were built before: the practical limit.
 *
 *     raw URL WRITE backlog SIZE SECONDS
 *
 * WRITE is how many bytes leave in one write, wherever that cuts a frame, and
 * 0 is a write a frame.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define POOL (4 << 20) /* of frames; more than a core's own cache, as a real stream is */

static int dial(const char *url)
{
    unsigned port;
    char answer[1024], request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n";
    if (sscanf(url, "ws://127.0.0.1:%u", &port) != 1)
        return -1;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (void *)&to, sizeof(to)) < 0 ||
        write(fd, request, strlen(request)) != (ssize_t)strlen(request) ||
        read(fd, answer, sizeof(answer)) < 12 || memcmp(answer, "HTTP/1.1 101", 12) != 0)
        return -1;
    return fd;
}

/* Builds one masked binary frame; the payload is zeros, so what is sent is the
 * key over and over. */
static size_t build(uint8_t *at, size_t size)
{
    static const uint8_t key[4] = {0x5a, 0xc3, 0x99, 0x17};
    size_t n = 0;
    at[n++] = 0x82;
    if (size < 126) {
        at[n++] = (uint8_t)(0x80 | size);
    } else if (size < 65536) {
        at[n++] = 0x80 | 126;
        at[n++] = (uint8_t)(size >> 8);
        at[n++] = (uint8_t)size;
    } else {
        at[n++] = 0x80 | 127;
        for (int i = 7; i >= 0; i--)
            at[n++] = (uint8_t)((uint64_t)size >> 8 * i);
    }
    memcpy(at + n, key, 4);
    n += 4;
    for (size_t i = 0; i < size; i++)
        at[n++] = key[i % 4];
    return n;
}

int main(int argc, char **argv)
{
    if (argc < 6)
        return 2;
    size_t size = (size_t)atol(argv[4]);
    double seconds = atof(argv[5]);
    int fd = dial(argv[1]);
    if (fd < 0) {
        perror("raw");
        return 1;
    }
    size_t n = 0, at = 0, each = (size_t)atol(argv[2]);
    uint8_t *pool = must(malloc(POOL + size + 14));
    while (n < POOL)
        n += build(pool + n, size);
    if (each == 0)
        each = build(pool, size);

    struct used since = used_now();
    int64_t end = now_ns() + (int64_t)(seconds * 1e9);
    while (now_ns() < end) {
        size_t want = n - at < each ? n - at : each;
        ssize_t some = write(fd, pool + at, want);
        if (some < 0) {
            perror("raw");
            return 1;
        }
        at = at + (size_t)some < n ? at + (size_t)some : 0;
    }
    report_use(since, used_now());
    end_report();
    return 0;
}
