/* SPDX-License-Identifier: MIT
 *
 * test_handles.c - the numbers by which programs name their rings: each session
 * gets the bytes of its ring, or there is an error that says why not.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE 5000

/* Rings of every kind of storage, all alive; one has its bytes read through
 * each way of printing its handle. */
static dev_ringbuf_t of_static;
static char static_buffer[SIZE + 1];
static struct {
    char name[20];
    dev_ringbuf_t rb;
    int after;
} inside_a_struct;

static void print_handle(char *uri, size_t size, const char *scheme, const dev_ringbuf_t *rb,
                         int how)
{
    uintptr_t n = (uintptr_t)rb;
    switch (how) {
    case 0: /* as the SDK's example does */
        snprintf(uri, size, "%s://handle=%u", scheme, (unsigned)n);
        break;
    case 1:
        snprintf(uri, size, "%s://handle=%" PRIuPTR, scheme, n);
        break;
    case 2:
        snprintf(uri, size, "%s://handle=0x%" PRIxPTR, scheme, n);
        break;
    case 3:
        snprintf(uri, size, "%s://handle=0X%" PRIXPTR, scheme, n);
        break;
    default:
        snprintf(uri, size, "%s://handle=%p", scheme, (const void *)rb);
    }
}

static void each_session_gets_its_own_rings_bytes(void)
{
    enum { HEAP = 40, RINGS = HEAP + 3, WAYS = 5 };
    dev_ringbuf_t on_stack;
    char stack_buffer[SIZE + 1];
    dev_ringbuf_t *ring[RINGS];
    char *buffers[RINGS];
    for (int i = 0; i < HEAP; i++) {
        ring[i] = malloc(sizeof(*ring[i]));
        buffers[i] = malloc(SIZE + 1);
    }
    ring[HEAP] = &of_static;
    buffers[HEAP] = static_buffer;
    ring[HEAP + 1] = &on_stack;
    buffers[HEAP + 1] = stack_buffer;
    ring[HEAP + 2] = &inside_a_struct.rb;
    buffers[HEAP + 2] = malloc(SIZE + 1);
    for (int i = 0; i < RINGS; i++)
        CHECK_INT(ringbuffer_create(ring[i], buffers[i], SIZE + 1), 0);

    for (int how = 0; how < WAYS; how++) {
        rec_hdl_t hdl[RINGS];
        uint8_t *got[RINGS];
        for (int i = 0; i < RINGS; i++) {
            char uri[128];
            print_handle(uri, sizeof(uri), i % 2 ? "rbuf" : "ringbuffer", ring[i], how);
            got[i] = malloc(SIZE);
            hdl[i] = session(uri, mem_uri(got[i], SIZE));
            CHECK_INT(record_start(hdl[i]), 0);
        }
        for (int i = 0; i < RINGS; i++) {
            uint8_t *data = make_bytes(SIZE, (uint64_t)(how * RINGS + i));
            CHECK_INT(ringbuffer_write(ring[i], data, SIZE), SIZE);
            free(data);
        }
        for (int i = 0; i < RINGS; i++) {
            CHECK_INT(record_unregister(hdl[i]), 0);
            uint8_t *data = make_bytes(SIZE, (uint64_t)(how * RINGS + i));
            CHECK_BYTES(got[i], SIZE, data, SIZE);
            free(data);
            free(got[i]);
        }
    }
    for (int i = 0; i < RINGS; i++) {
        ringbuffer_destroy(ring[i]);
        if (i < HEAP)
            free(ring[i]);
        if (i < HEAP || i == HEAP + 2)
            free(buffers[i]);
    }
}

static void low_32_bits_that_two_rings_share_are_refused(void)
{
#if UINTPTR_MAX > UINT32_MAX
    size_t apart = (size_t)1 << 32;
    char *base =
        mmap(NULL, apart + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(base != MAP_FAILED);
    CHECK_INT(mprotect(base, 65536, PROT_READ | PROT_WRITE), 0);
    CHECK_INT(mprotect(base + apart, 65536, PROT_READ | PROT_WRITE), 0);
    dev_ringbuf_t *low = (dev_ringbuf_t *)(void *)base;
    dev_ringbuf_t *high = (dev_ringbuf_t *)(void *)(base + apart);
    CHECK_INT(ringbuffer_create(low, base + 100, SIZE), 0);
    CHECK_INT(ringbuffer_create(high, base + apart + 100, SIZE), 0);
    char uri[128];
    print_handle(uri, sizeof(uri), "ringbuffer", low, 0);
    CHECK(record_register(uri, "null://") == NULL);
    CHECK_WORDS(record_last_error(), "record_register|from|several live rings|PRIuPTR");

    /* The whole address is clear, and so are the low bits once one is left. */
    dev_ringbuf_t *ring[2] = {low, high};
    for (int i = 0; i < 2; i++) {
        uint8_t got[100], data[100];
        fill_bytes(data, 100, (uint64_t)i, 0);
        rec_hdl_t hdl = session(ring_uri(ring[i]), mem_uri(got, 100));
        CHECK_INT(ringbuffer_write(ring[i], data, 100), 100);
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_unregister(hdl), 0);
        CHECK_BYTES(got, 100, data, 100);
    }
    ringbuffer_destroy(low);
    uint8_t got[100], data[100];
    fill_bytes(data, 100, 7, 0);
    rec_hdl_t hdl = session(uri, mem_uri(got, 100));
    CHECK_INT(ringbuffer_write(high, data, 100), 100);
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_unregister(hdl), 0);
    CHECK_BYTES(got, 100, data, 100);
    ringbuffer_destroy(high);
    munmap(base, apart + 65536);
#else
    skip("an address has 32 bits here");
#endif
}

static void a_ring_that_does_not_live_is_refused(void)
{
    struct ring ring;
    ring_open(&ring, SIZE);
    char uri[128];
    snprintf(uri, sizeof(uri), "%s", ring_uri(&ring.rb));
    rec_hdl_t before = session(uri, "null://");
    ring_close(&ring);
    CHECK(record_register(uri, "null://") == NULL);
    CHECK_WORDS(record_last_error(), "record_register|from|no live ring|ringbuffer_create");
    CHECK(record_register("null://", uri) == NULL);
    CHECK_WORDS(record_last_error(), "record_register|to|no live ring");
    memset(&ring.rb, 0xee, sizeof(ring.rb)); /* is a number to the library, no pointer */
    CHECK(record_start(before) < 0);
    CHECK_WORDS(record_last_error(), "record_start|source|no ring lives");
    CHECK_INT(record_unregister(before), 0);
}

static void handles_of_sessions_are_never_used_again(void)
{
    rec_hdl_t first = session("null://", "null://");
    CHECK_INT(record_unregister(first), 0);
    for (int i = 0; i < 10000; i++) {
        rec_hdl_t hdl = session("null://", "null://");
        CHECK(hdl != first);
        CHECK_INT(record_unregister(hdl), 0);
    }
    CHECK(record_stop(first) < 0);
}

static void many_rings_live_at_once(void)
{
    enum { MANY = 10000 };
    static dev_ringbuf_t ring[MANY];
    static char buffers[MANY][8];
    for (int i = 0; i < MANY; i++)
        CHECK_INT(ringbuffer_create(&ring[i], buffers[i], 8), 0);
    for (int i = 0; i < MANY; i += 97) {
        uint8_t got[4], data[4] = {(uint8_t)i, (uint8_t)(i >> 8), 1, 2};
        rec_hdl_t hdl = session(ring_uri(&ring[i]), mem_uri(got, 4));
        CHECK_INT(ringbuffer_write(&ring[i], data, 4), 4);
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_unregister(hdl), 0);
        CHECK_BYTES(got, 4, data, 4);
    }
    for (int i = 0; i < MANY; i++)
        ringbuffer_destroy(&ring[i]);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(each_session_gets_its_own_rings_bytes),
        TEST(low_32_bits_that_two_rings_share_are_refused),
        TEST(a_ring_that_does_not_live_is_refused),
        TEST(handles_of_sessions_are_never_used_again),
        TEST(many_rings_live_at_once),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
