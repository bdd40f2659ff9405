/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

void ring_open(struct ring *ring, int size)
{
    ring->buffer = malloc((size_t)size);
    CHECK(ring->buffer);
    CHECK_INT(ringbuffer_create(&ring->rb, ring->buffer, size), 0);
}

void ring_close(struct ring *ring)
{
    ringbuffer_destroy(&ring->rb);
    free(ring->buffer);
}

void ring_put(dev_ringbuf_t *rb, const uint8_t *data, size_t size)
{
    long long give_up = now_ms() + 20000;
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < 1u << 30 ? size - done : 1u << 30;
        size_t room = (size_t)ringbuffer_available_write_space(rb);
        if (room == 0) {
            if (now_ms() > give_up)
                fail(__FILE__, __LINE__, "%zu of %zu bytes fit, then nobody read", done, size);
            pause_ms(1);
            continue;
        }
        uint32_t n = (uint32_t)(piece < room ? piece : room);
        done += (size_t)ringbuffer_write(rb, (uint8_t *)(uintptr_t)(data + done), n);
    }
}

const char *ring_uri(const dev_ringbuf_t *rb)
{
    char *uri = place();
    snprintf(uri, 512, "ringbuffer://handle=%" PRIuPTR, (uintptr_t)rb);
    return uri;
}

const char *mem_uri(const void *data, size_t size)
{
    char *uri = place();
    snprintf(uri, 512, "mem://address=%" PRIuPTR "&size=%zu", (uintptr_t)data, size);
    return uri;
}

rec_hdl_t session_at(const char *file, int line, const char *from, const char *to)
{
    rec_hdl_t hdl = record_register(from, to);
    if (!hdl)
        fail(file, line, "record_register(\"%s\", \"%s\"): %s", from, to, record_last_error());
    return hdl;
}

record_stats_t stats_of(rec_hdl_t hdl)
{
    record_stats_t stats = {.size = sizeof(stats)};
    CHECK_INT(record_get_stats(hdl, &stats), 0);
    return stats;
}

int state_of(rec_hdl_t hdl)
{
    return (int)stats_of(hdl).state;
}
