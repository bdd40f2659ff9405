/* SPDX-License-Identifier: MIT
 *
 * test_dlopen.c - a program that is not linked to the library and loads it at
 * run time. The library is the file named by MSPRECORD_LIBRARY.
 */
#include "harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *library;

/* POSIX lets a function be taken out of a void pointer, C does not. */
static void take(const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    if (!symbol)
        fail(__FILE__, __LINE__, "%s: %s", name, dlerror());
    memcpy(function, &symbol, sizeof(symbol));
}
#define TAKE(name)                                                                                 \
    __typeof__(name) *p_##name;                                                                    \
    take(#name, &p_##name)

static void open_library(int flags)
{
    const char *path = getenv("MSPRECORD_LIBRARY");
    if (!path)
        fail(__FILE__, __LINE__, "MSPRECORD_LIBRARY must name the library");
    library = dlopen(path, flags);
    if (!library)
        fail(__FILE__, __LINE__, "%s", dlerror());
}

static void record_through(int flags)
{
    struct server server = server_start();
    int threads = count_threads();
    open_library(flags);
    CHECK_INT(count_threads(), threads);
    TAKE(record_register);
    TAKE(record_start);
    TAKE(record_stop);
    TAKE(record_unregister);
    TAKE(record_last_error);
    TAKE(ringbuffer_create);
    TAKE(ringbuffer_write);
    TAKE(ringbuffer_destroy);
    enum { SIZE = 30000 };
    static char buffer[SIZE + 1];
    dev_ringbuf_t rb;
    uint8_t *data = make_bytes(SIZE, 1);
    CHECK_INT(p_ringbuffer_create(&rb, buffer, SIZE + 1), 0);
    char uri[64];
    snprintf(uri, sizeof(uri), "ringbuffer://handle=%" PRIuPTR, (uintptr_t)&rb);
    rec_hdl_t hdl = p_record_register(uri, server_url(&server, "a.pcm"));
    if (!hdl)
        fail(__FILE__, __LINE__, "%s", p_record_last_error());
    CHECK_INT(p_record_start(hdl), 0);
    CHECK_INT(p_ringbuffer_write(&rb, data, SIZE), SIZE);

    /* Closed while it runs, it stays, and goes on. */
    CHECK_INT(dlclose(library), 0);
    CHECK_INT(p_record_stop(hdl), 0);
    check_stored(&server, "a.pcm", data, SIZE);
    CHECK_INT(p_record_unregister(hdl), 0);
    CHECK_INT(p_record_unregister(hdl), -EINVAL);
    p_ringbuffer_destroy(&rb);
    free(data);

    open_library(flags);
    CHECK(dlsym(library, "record_register") != NULL);
}

static void a_library_loaded_at_run_time_records(void)
{
    record_through(RTLD_NOW | RTLD_LOCAL);
}

static void a_library_loaded_for_all_and_lazily_records(void)
{
    record_through(RTLD_LAZY | RTLD_GLOBAL);
}

static void *load_and_start(void *arg)
{
    open_library(RTLD_NOW);
    TAKE(record_register);
    TAKE(record_start);
    TAKE(record_unregister);
    rec_hdl_t hdl = p_record_register("null://", "null://");
    store(arg, hdl && p_record_start(hdl) == 0 && p_record_unregister(hdl) == 0);
    return NULL;
}

static void a_thread_may_load_it(void)
{
    int good = 0;
    thread_join(thread_start(load_and_start, &good));
    CHECK_INT(good, 1);
    good = 0;
    thread_join(thread_start(load_and_start, &good));
    CHECK_INT(good, 1);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_library_loaded_at_run_time_records),
        TEST(a_library_loaded_for_all_and_lazily_records),
        TEST(a_thread_may_load_it),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
