/* SPDX-License-Identifier: MIT
 *
 * handshake.h - the server's half of the opening handshake (RFC 6455 section
 * 4.2.2), with the SHA-1 (FIPS 180-4) and the base64 it takes.
 */
#ifndef BENCH_HANDSHAKE_H
#define BENCH_HANDSHAKE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static inline uint32_t rol(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

/* Of less than 120 bytes: two blocks. */
static inline void sha1(const char *text, uint8_t digest[20])
{
    uint8_t in[128] = {0};
    size_t n = strlen(text), blocks = n < 56 ? 1 : 2;
    memcpy(in, text, n);
    in[n] = 0x80;
    in[blocks * 64 - 2] = (uint8_t)(n * 8 >> 8);
    in[blocks * 64 - 1] = (uint8_t)(n * 8);
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    for (size_t b = 0; b < blocks; b++) {
        uint32_t w[80], s[5];
        for (int i = 0; i < 16; i++) {
            const uint8_t *p = in + 64 * b + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++)
            w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        memcpy(s, h, sizeof(s));
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20   ? ((s[1] & s[2]) | (~s[1] & s[3])) + 0x5A827999
                         : i < 40 ? (s[1] ^ s[2] ^ s[3]) + 0x6ED9EBA1
                         : i < 60 ? ((s[1] & s[2]) | (s[1] & s[3]) | (s[2] & s[3])) + 0x8F1BBCDC
                                  : (s[1] ^ s[2] ^ s[3]) + 0xCA62C1D6;
            uint32_t t = rol(s[0], 5) + f + s[4] + w[i];
            s[4] = s[3], s[3] = s[2], s[2] = rol(s[1], 30), s[1] = s[0], s[0] = t;
        }
        for (int i = 0; i < 5; i++)
            h[i] += s[i];
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}

static inline void base64(const uint8_t *in, size_t n, char *out)
{
    const char *set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)(have > 1 ? in[i + 1] : 0) << 8 |
                     (have > 2 ? in[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            *out++ = k <= have ? set[v >> (18 - 6 * k) & 63] : '=';
    }
    *out = 0;
}

/* Writes the answer to a request; false where that is none for a WebSocket. */
static inline int handshake_answer(const char *request, char *answer, size_t size)
{
    const char *name = "Sec-WebSocket-Key:";
    char key[64], accept[32];
    uint8_t digest[20];
    const char *line = request;
    while (line != NULL && strncasecmp(line, name, strlen(name)) != 0)
        if ((line = strchr(line, '\n')) != NULL)
            line++;
    if (line == NULL || sscanf(line + strlen(name), " %24[^\r\n ]", key) != 1)
        return 0;
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(key, digest);
    base64(digest, sizeof(digest), accept);
    snprintf(answer, size,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    return 1;
}

#endif
