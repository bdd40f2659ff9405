/* SPDX-License-Identifier: MIT
 *
 * slot.c - the life of one slot: a session after the other, with all that a
 * program may do to it, and the account of each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model.h"

#define PAGE 4096
#define RING_MOST 300000
#define MEMORY_FROM 100000
#define MEMORY_TO 65536
#define INTO_RING 20000
#define PAGES_SIZE (PAGE + 512 * 1024)

/* Byte n of what a slot's source gives. */
static uint8_t byte_of(uint64_t n)
{
    return (uint8_t)(n * 131 + n / 251);
}

static char *ring_buffer(struct slot *s)
{
    return s->pages + PAGE;
}

static uint8_t *memory_from(struct slot *s)
{
    return (uint8_t *)ring_buffer(s) + RING_MOST;
}

static uint8_t *memory_to(struct slot *s)
{
    return memory_from(s) + MEMORY_FROM;
}

static char *into_buffer(struct slot *s)
{
    return (char *)memory_to(s) + MEMORY_TO;
}

static unsigned chance(struct slot *s, unsigned of)
{
    return draw(&s->random, of) == 0;
}

static void hide(struct slot *s, int yes)
{
    if (s->hidden != yes)
        mprotect(s->pages, PAGES_SIZE, yes ? PROT_NONE : PROT_READ | PROT_WRITE);
    s->hidden = yes;
}

static void make_pages(struct slot *s)
{
    s->pages = mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    s->ring = (dev_ringbuf_t *)s->pages;
    s->into = s->ring + 1;
}

static void source_path(struct slot *s, char *path, size_t size)
{
    snprintf(path, size, "%s/from_%u_%d", plan.folder, plan.seed, s->id);
}

static int write_source_file(struct slot *s)
{
    char path[300];
    source_path(s, path, sizeof(path));
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return -1;
    for (int i = 0; i < MEMORY_FROM; i++)
        putc(byte_of((uint64_t)i), f);
    return fclose(f);
}

/* Names a source and a destination, drawn at random. */
static void draw_ends(struct slot *s, char *from, size_t size)
{
    char path[300];
    static const enum destination often[] = {TO_SERVER, TO_SERVER, TO_SERVER, TO_SERVER,
                                             TO_SERVER, TO_NULL,   TO_FILE,   TO_MEMORY,
                                             TO_RING,   TO_NOBODY, TO_SILENT};
    unsigned way = draw(&s->random, 8);
    s->from = way == 0 ? FROM_MEMORY : way == 1 ? FROM_FILE : FROM_RING;
    s->to = often[draw(&s->random, sizeof(often) / sizeof(often[0]))];
    if (s->from == FROM_FILE && write_source_file(s) != 0)
        s->from = FROM_RING; /* no descriptor for making it */
    switch (s->from) {
    case FROM_RING:
        snprintf(from, size, "ringbuffer://handle=%" PRIuPTR, (uintptr_t)s->ring);
        break;
    case FROM_MEMORY:
        for (int i = 0; i < MEMORY_FROM; i++)
            memory_from(s)[i] = byte_of((uint64_t)i);
        snprintf(from, size, "mem://address=%" PRIuPTR "&size=%d", (uintptr_t)memory_from(s),
                 MEMORY_FROM);
        break;
    case FROM_FILE:
        source_path(s, path, sizeof(path));
        snprintf(from, size, "file://%s", path);
        break;
    }
    switch (s->to) {
    case TO_SERVER:
        snprintf(s->to_uri, sizeof(s->to_uri), "%ss%u_%d.pcm",
                 plan.urls[draw(&s->random, (unsigned)plan.url_count)], plan.seed, s->id);
        break;
    case TO_NULL:
        snprintf(s->to_uri, sizeof(s->to_uri), "null://");
        break;
    case TO_FILE:
        snprintf(s->to_uri, sizeof(s->to_uri), "file://%s/to_%u_%d", plan.folder, plan.seed, s->id);
        break;
    case TO_MEMORY:
        snprintf(s->to_uri, sizeof(s->to_uri), "mem://address=%" PRIuPTR "&size=%d",
                 (uintptr_t)memory_to(s), MEMORY_TO);
        break;
    case TO_RING:
        snprintf(s->to_uri, sizeof(s->to_uri), "rbuf://handle=%" PRIuPTR, (uintptr_t)s->into);
        break;
    case TO_NOBODY:
        snprintf(s->to_uri, sizeof(s->to_uri), "ws://127.0.0.1:1/nobody");
        break;
    case TO_SILENT:
        snprintf(s->to_uri, sizeof(s->to_uri), "%ss%d", plan.silent, s->id);
        break;
    }
}

static void set_number(struct slot *s, const char *key, int value)
{
    char text[32];
    snprintf(text, sizeof(text), "%d", value);
    if (record_set_option(s->rec, key, text) != 0)
        fail("record_set_option(%s, %s): %s", key, text, record_last_error());
}

static void set_options(struct slot *s)
{
    static const int chunks[] = {0, 1, 7, 320, 4096, 100000, 16 << 20};
    static const int windows[] = {4096, 20000, 1 << 20};
    set_number(s, "stop_timeout", STOP_MS);
    set_number(s, "connect_timeout", CONNECT_MS);
    set_number(s, "ping_interval", 500);
    set_number(s, "pong_timeout", 1500);
    set_number(s, "replay_bytes", windows[draw(&s->random, 3)]);
    if (chance(s, 3))
        record_set_option(s->rec, "on_full", chance(s, 2) ? "drop_oldest" : "drop_newest");
    if (chance(s, 6))
        record_set_option(s->rec, "wire", "mux");
    s->chunk = chunks[draw(&s->random, is_short("memory") ? 6 : 7)];
    record_set_chunk_size(s->rec, s->chunk);
}

/* Empties a ring as its reader. */
static void empty_ring(dev_ringbuf_t *ring)
{
    uint8_t piece[4096];
    while (ringbuffer_read(ring, piece, sizeof(piece)) > 0)
        ;
}

/* Takes what came out at the destination ring; first is what should be there. */
static void take_from_ring(struct slot *s, uint64_t first)
{
    uint8_t piece[4096];
    int n;
    while ((n = ringbuffer_read(s->into, piece, sizeof(piece))) > 0)
        for (int i = 0; i < n; i++, s->taken++)
            if (piece[i] != byte_of(first + s->taken)) {
                fail("byte %" PRIu64 " of the destination ring is wrong (slot %d)", s->taken,
                     s->id);
                return;
            }
}

/* Writes into the ring what comes at `at`, and moves it on. */
static void write_some(struct slot *s, uint64_t *at, uint64_t first)
{
    static const unsigned paces[] = {50, 3000, 60000};
    unsigned most = paces[draw(&s->random, 3)];
    uint8_t *piece = malloc(60000);
    if (piece == NULL)
        return;
    for (unsigned left = draw(&s->random, 60); left > 0 && !get(&over); left--) {
        unsigned n = 1 + draw(&s->random, most);
        for (unsigned i = 0; i < n; i++)
            piece[i] = byte_of(*at + i);
        unsigned took = (unsigned)ringbuffer_write(s->ring, piece, n);
        *at += took;
        s->accepted += took;
        s->refused += n - took;
        if (s->to == TO_RING && chance(s, 2))
            take_from_ring(s, first);
        if (chance(s, 4))
            usleep(draw(&s->random, 8000));
        if (chance(s, 2))
            msp_event_set(&s->wake, 1, MSP_EVENT_OR);
    }
    free(piece);
}

static int content_is(const uint8_t *data, uint64_t size, uint64_t first)
{
    for (uint64_t i = 0; i < size; i++)
        if (data[i] != byte_of(first + i))
            return 0;
    return 1;
}

/* Compares what a destination on this machine has with what was delivered. */
static void check_content(struct slot *s, int rc, uint64_t acked, uint64_t first)
{
    if (s->to == TO_MEMORY && (acked > MEMORY_TO || !content_is(memory_to(s), acked, first)))
        fail("the destination's memory does not have the %" PRIu64 " bytes delivered (slot %d)",
             acked, s->id);
    if (s->to == TO_RING) {
        take_from_ring(s, first);
        if (s->taken != acked)
            fail("%" PRIu64 " bytes came out of the destination ring, delivered are %" PRIu64
                 " (slot %d)",
                 s->taken, acked, s->id);
    }
    if (s->to != TO_FILE || rc != 0)
        return;
    FILE *f = fopen(s->to_uri + strlen("file://"), "r");
    if (f == NULL)
        return; /* descriptors are short */
    uint8_t *data = malloc(acked + 1);
    size_t n = data != NULL ? fread(data, 1, acked + 1, f) : 0;
    if (data != NULL && (n != acked || !content_is(data, n, first)))
        fail("the file does not have the %" PRIu64 " bytes delivered, but %zu (slot %d)", acked, n,
             s->id);
    free(data);
    fclose(f);
}

/* Closes the account of a session that only its owner has touched: each byte
 * that the ring accepted is acknowledged, given up, left or in the ring. */
static void check_account(struct slot *s, int rc, uint64_t before_stop, uint64_t first)
{
    record_stats_t t = {.size = sizeof(t)};
    if (record_get_stats(s->rec, &t) != 0 || t.state != RECORD_REGISTERED) {
        fail("a stopped session has the state %u (slot %d)", t.state, s->id);
        return;
    }
    uint64_t delivered = t.acked_bytes + t.given_up_bytes;
    if (rc == 0 && (delivered != t.read_bytes || t.left_bytes != 0))
        fail("record_stop 0: acked %" PRIu64 " + given up %" PRIu64 " of %" PRIu64
             " read, left %" PRIu64 " (slot %d to %s)",
             t.acked_bytes, t.given_up_bytes, t.read_bytes, t.left_bytes, s->id, s->to_uri);
    check_content(s, rc, t.acked_bytes, first);
    if (s->from != FROM_RING)
        return;
    uint64_t in_ring = (uint64_t)ringbuffer_available_read_space(s->ring);
    if (t.read_bytes + in_ring != s->accepted)
        fail("read %" PRIu64 " + in the ring %" PRIu64 " is not what it accepted, %" PRIu64
             " (slot %d to %s)",
             t.read_bytes, in_ring, s->accepted, s->id, s->to_uri);
    if (rc == 0 && !get(&s->ended) && t.read_bytes < before_stop)
        fail("record_stop 0, but of %" PRIu64 " bytes %" PRIu64 " were read (slot %d to %s)",
             before_stop, t.read_bytes, s->id, s->to_uri);
    int to_the_end = (rc == 0 || rc == -ETIMEDOUT) && !get(&s->ended);
    if (delivered + t.left_bytes + in_ring != s->accepted)
        fail("record_stop %d: acked %" PRIu64 " + given up %" PRIu64 " + left %" PRIu64
             " + in the ring %" PRIu64 " is not what was accepted, %" PRIu64 " (slot %d to %s)",
             rc, t.acked_bytes, t.given_up_bytes, t.left_bytes, in_ring, s->accepted, s->id,
             s->to_uri);
    if (t.dropped_bytes > s->refused || (t.dropped_bytes < s->refused && to_the_end))
        fail("the ring refused %" PRIu64 " bytes, dropped_bytes are %" PRIu64
             " (slot %d to %s, record_stop %d)",
             s->refused, t.dropped_bytes, s->id, s->to_uri, rc);
}

/* Callbacks end after a stop that did not wait for them. */
static void wait_for_callbacks(struct slot *s)
{
    double began = now_ms();
    while (get(&s->inside) > 0 && now_ms() - began < 5000) {
        msp_event_set(&s->wake, 1, MSP_EVENT_OR);
        usleep(1000);
    }
    if (get(&s->inside) > 0)
        fail("callbacks of slot %d do not return", s->id);
}

/* Runs the slot's session once, from start to stop. at is the next byte of the
 * ring's. Returns 0 once the handle is dead. */
static int run_once(struct slot *s, uint64_t *at)
{
    s->accepted = s->from == FROM_RING ? (uint64_t)ringbuffer_available_read_space(s->ring) : 0;
    uint64_t first = s->from == FROM_RING ? *at - s->accepted : 0;
    s->refused = s->taken = 0;
    if (s->to == TO_RING)
        empty_ring(s->into);
    hide(s, !plan.meddling && s->from == FROM_RING && s->to != TO_RING && s->to != TO_MEMORY &&
                chance(s, 12));
    int was_hidden = s->hidden;
    set(&s->ended, 0);
    set(&s->active, 1);
    int started = call_start(s) == 0;
    hide(s, 0);
    if (s->from == FROM_RING)
        write_some(s, at, first);
    else if (started && chance(s, 2))
        call_wait(s, 300);
    if (s->from == FROM_RING && chance(s, 12)) {
        s->destroyed = 1;
        ringbuffer_destroy(s->ring);
    }
    if (chance(s, 3))
        record_pre_stop(s->rec);
    uint64_t before_stop = s->accepted;
    int last = chance(s, 6);
    int rc = last ? call_unregister(s) : call_stop(s);
    if (rc == -ETIMEDOUT && is_stuck(rc))
        wait_for_callbacks(s);
    if (!plan.meddling) {
        set(&s->active, 0);
        if (started && !last && !s->destroyed && !was_hidden)
            check_account(s, rc, before_stop, first);
    }
    return !last;
}

/* Ends a session for good, after which nothing of it may be touched. */
static void end_session(struct slot *s)
{
    __atomic_store_n(&published[s->id], NULL, __ATOMIC_SEQ_CST);
    int rc = record_unregister(s->rec);
    if (rc != 0 && rc != -EINVAL && rc != -ETIMEDOUT && !plan.meddling)
        fail("record_unregister of a stopped session returned %d %s", rc, record_last_error());
    if (rc == -ETIMEDOUT)
        wait_for_callbacks(s);
    while (get(&s->visitors) > 0)
        usleep(1000); /* one may be unregistering the session still */
    set(&s->active, 0);
    rc = record_start(s->rec);
    if (rc != -EINVAL)
        fail("record_start of an unregistered session returned %d", rc);
    if (chance(s, 2))
        ringbuffer_destroy(s->ring);
    ringbuffer_destroy(s->into);
    hide(s, 1);
    usleep(draw(&s->random, 60000));
    hide(s, 0);
}

void *own_slot(void *arg)
{
    static const int sizes[] = {2, 3, 17, 1000, 4097, 65536, RING_MOST};
    struct slot *s = arg;
    char from[400];
    make_pages(s);
    while (!get(&over)) {
        uint64_t at = 0;
        s->destroyed = 0;
        ringbuffer_create(s->ring, ring_buffer(s), sizes[draw(&s->random, 7)]);
        ringbuffer_create(s->into, into_buffer(s), INTO_RING + 1);
        draw_ends(s, from, sizeof(from));
        s->rec = call_register(s, from, s->to_uri);
        if (s->rec == NULL) {
            usleep(10000);
            continue;
        }
        set_options(s);
        set_callbacks(s);
        set(&s->active, plan.meddling);
        __atomic_store_n(&published[s->id], s->rec, __ATOMIC_SEQ_CST);
        for (unsigned left = 1 + draw(&s->random, 3); left > 0 && !get(&over) && !s->destroyed;
             left--)
            if (!run_once(s, &at))
                break;
        end_session(s);
    }
    return NULL;
}
