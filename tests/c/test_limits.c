/* SPDX-License-Identifier: MIT
 *
 * test_limits.c - what the process has not, descriptors, threads, addresses, a
 * variable that Go can read, is an error of the call that wanted it, and a later
 * call works.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <msp/log.h>

#define SOON 10000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* reserves terabytes, and has threads of its own */
#else
#define SANITIZED 0
#endif

static struct ring ring;

/* Streams 50,000 bytes, and checks that they arrive. */
static void check_streams(struct server *server, const char *name)
{
    uint8_t *data = make_bytes(50000, 4);
    rec_hdl_t hdl = session(ring_uri(&ring.rb), server_url(server, name));
    CHECK_INT(record_start(hdl), 0);
    ring_put(&ring.rb, data, 50000);
    CHECK_INT(record_stop(hdl), 0);
    CHECK_INT(record_unregister(hdl), 0);
    check_stored(server, name, data, 50000);
    free(data);
}

static const char *file_uri(const char *name)
{
    char *uri = place();
    snprintf(uri, 512, "file://%.480s", temp_path(name));
    return uri;
}

/* ---- Descriptors ---------------------------------------------------------- */

static int taken[64], taken_count;

/* Leaves `left` descriptors below a limit of 64. */
static void leave_descriptors(int left)
{
    struct rlimit limit = {64, 64};
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        taken[taken_count++] = fd;
    CHECK_INT(errno, EMFILE);
    for (int i = 0; i < left; i++)
        close(taken[--taken_count]);
}

static void give_descriptors_back(void)
{
    while (taken_count > 0)
        close(taken[--taken_count]);
}

static void a_first_call_without_descriptors_says_emfile_and_a_later_one_works(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    struct server server = server_start();
    ring_open(&ring, 10001);
    for (int left = 0; left < 12; left++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            leave_descriptors(left);
            rec_hdl_t hdl = record_register(ring_uri(&ring.rb), server_url(&server, "a.pcm"));
            if (!hdl)
                CHECK_WORDS(record_last_error(), "descriptors|ulimit -n|Too many open files");
            else if (record_start(hdl))
                CHECK_WORDS(record_last_error(), "too many open files");
            if (!hdl)
                CHECK_INT(record_stop(hdl), -EMFILE);
            give_descriptors_back();
            if (hdl)
                CHECK_INT(record_unregister(hdl), 0);
            char name[32];
            snprintf(name, sizeof(name), "later%d.pcm", left);
            check_streams(&server, name);
            _exit(0);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
    }
}

static void a_later_call_without_descriptors_says_emfile(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    struct server server = server_start();
    ring_open(&ring, 10001);
    uint8_t byte = 7;
    rec_hdl_t to_server = session(mem_uri(&byte, 1), server_url(&server, "b.pcm"));
    rec_hdl_t to_file = session(mem_uri(&byte, 1), file_uri("file"));
    rec_hdl_t to_name = session(mem_uri(&byte, 1), "ws://localhost:9/x");
    for (int left = 0; left < 4; left++) {
        leave_descriptors(left);
        int rc = record_start(to_server);
        if (rc || left == 0)
            CHECK_INT(rc, -EMFILE);
        CHECK_INT(record_start(to_name), -EMFILE);
        if (left == 0)
            CHECK_INT(record_start(to_file), -EMFILE);
        give_descriptors_back();
        CHECK_INT(record_stop(to_server), 0);
    }
    check_streams(&server, "c.pcm");
}

static void a_closed_standard_descriptor_is_never_the_librarys(void)
{
    struct server server = server_start();
    ring_open(&ring, 10001);
    const char *file = temp_path("file");
    for (int late = 0; late < 2; late++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            int report = fcntl(1, F_DUPFD_CLOEXEC, 100);
            if (late)
                CHECK_INT(record_unregister(session("null://", "null://")), 0);
            for (int fd = 0; fd < 3; fd++)
                close(fd);
            uint8_t *data = make_bytes(50000, 4);
            rec_hdl_t hdl = record_register(mem_uri(data, 50000), file_uri("file"));
            int bad = !hdl || record_start(hdl) || record_wait(hdl, SOON);
            record_register("what://", "null://"); /* a line for the log */
            bad |= record_unregister(hdl) != 0;
            hdl = record_register(mem_uri(data, 50000), server_url(&server, late ? "l" : "e"));
            bad |= record_start(hdl) || record_wait(hdl, SOON) || record_unregister(hdl);
            for (int fd = 0; fd < 3; fd++) {
                char link[64], path[64] = "";
                snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
                if (readlink(link, path, sizeof(path) - 1) < 0 || strcmp(path, "/dev/null") != 0)
                    dprintf(report, "descriptor %d is %s\n", fd, path), bad = 1;
            }
            _exit(bad);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
        uint8_t *want = make_bytes(50000, 4);
        size_t size;
        uint8_t *got = read_whole(file, &size);
        CHECK_BYTES(got, size, want, 50000);
        check_stored(&server, late ? "l" : "e", want, 50000);
        free(got);
        free(want);
    }
}

static void closing_the_librarys_descriptors_is_an_error_of_each_call(void)
{
    msp_log_set_level(MSP_LOG_NONE);
    rec_hdl_t hdl = session("null://", "null://");
    CHECK_INT(record_start(hdl), 0);
    CHECK_INT(record_stop(hdl), 0);
    pause_ms(100); /* for its threads to be asleep */
    for (int fd = 3; fd < 1000; fd++)
        close(fd);
    CHECK_INT(record_start(hdl), -EBADF);
    CHECK_WORDS(record_last_error(), "closed descriptors");
    CHECK(record_register("null://", "null://") == NULL);
    CHECK_INT(open("/dev/null", O_RDONLY) > 2, 1);
    CHECK_INT(record_unregister(hdl), -EBADF);
}

/* ---- Threads ------------------------------------------------------------- */

static void *sleep_on(void *arg)
{
    pause();
    return arg;
}

/* Becomes a user whose threads are counted alone. Returns 0 where it cannot. */
static int become_nobody_else(uid_t uid)
{
    return !(getuid() != 0 || setgid(uid) || setuid(uid));
}

/* Makes threads until the limit on them leaves `left`. */
static void leave_threads(int left)
{
    static pthread_t threads[200];
    int n = 0;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 * 1024);
    while (n < 200 && pthread_create(&threads[n], &attr, sleep_on, NULL) == 0)
        n++;
    CHECK(n < 200);
    for (int i = 0; i < left && n > 0; i++) {
        pthread_cancel(threads[--n]);
        pthread_join(threads[n], NULL);
    }
    AWAIT(count_threads() == n + 1 || left == 0, SOON);
}

/* Runs in a child of its own, as another user. */
static void try_without_threads(int left)
{
    struct rlimit limit = {60, 60};
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
    leave_threads(left);
    rec_hdl_t hdl = record_register(ring_uri(&ring.rb), "null://");
    if (hdl) {
        CHECK_INT(record_start(hdl), 0);
        CHECK_INT(record_stop(hdl), 0);
        _exit(10);
    }
    CHECK_WORDS(record_last_error(), "threads|ulimit -u|pids.max");
    CHECK_INT(record_wait(hdl, 0), -EAGAIN);
    _exit(20);
}

static void a_first_call_without_threads_says_eagain(void)
{
    if (getuid() != 0 || SANITIZED) {
        skip("needs root, to become a user whose threads are counted alone, and no sanitizer");
        return;
    }
    msp_log_set_level(MSP_LOG_NONE);
    ring_open(&ring, 10001);
    int worked = 0, refused = 0;
    for (int left = 0; left < 56; left += 5) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            CHECK(become_nobody_else(54322));
            try_without_threads(left);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        worked += WEXITSTATUS(status) == 10;
        refused += WEXITSTATUS(status) == 20;
    }
    CHECK_INT(worked + refused, 12);
    CHECK(worked > 0 && refused > 0);
}

static void sessions_run_where_the_program_took_all_other_threads(void)
{
    enum { SESSIONS = 6 };
    if (getuid() != 0 || SANITIZED) {
        skip("needs root, to become a user whose threads are counted alone, and no sanitizer");
        return;
    }
    struct server server = server_start();
    static struct ring rings[SESSIONS];
    static rec_hdl_t hdls[SESSIONS];
    uint8_t *data = make_bytes(400000, 6);
    for (int i = 0; i < SESSIONS; i++)
        ring_open(&rings[i], 400001);
    CHECK(become_nobody_else(54323));
    struct rlimit limit = {80, 80};
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
    ring_open(&ring, 101);
    rec_hdl_t first = session(ring_uri(&ring.rb), "null://"); /* has the rings watched */
    CHECK_INT(record_start(first), 0);
    leave_threads(0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < SESSIONS; i++) {
            char name[32];
            snprintf(name, sizeof(name), "%d-%d.pcm", round, i);
            hdls[i] = session(ring_uri(&rings[i].rb), server_url(&server, name));
            CHECK_INT(record_start(hdls[i]), 0);
            ring_put(&rings[i].rb, data, 400000);
        }
        for (int i = 0; i < SESSIONS; i++)
            CHECK_INT(record_unregister(hdls[i]), 0);
    }
    free(data);
}

/* ---- Addresses, variables -------------------------------------------------- */

static void a_first_call_without_addresses_says_enomem(void)
{
    if (SANITIZED) {
        skip("a sanitizer reserves terabytes");
        return;
    }
    msp_log_set_level(MSP_LOG_NONE);
    struct rlimit before, limit;
    CHECK_INT(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = 120u << 20;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK(record_register("null://", "null://") == NULL);
    CHECK_WORDS(record_last_error(), "addresses|ulimit -v");
    CHECK_INT(record_stop(NULL), -ENOMEM);
    CHECK_INT(setrlimit(RLIMIT_AS, &before), 0);
    CHECK_INT(record_unregister(session("null://", "null://")), 0);
}

static char warning[512];

static void hear(int level, const char *tag, const char *line, void *arg)
{
    (void)tag, (void)arg;
    if (level == MSP_LOG_WARN)
        snprintf(warning, sizeof(warning), "%s", line);
}

static void a_variable_that_go_cannot_read_is_named_and_ignored(void)
{
    static const char *const variables[][2] = {
        {"GOMEMLIMIT", "12x"},        {"GOMEMLIMIT", "-1"},
        {"GOGC", "little"},           {"GOMAXPROCS", "100000000"},
        {"GOTRACEBACK", "much"},      {"GODEBUG", "what"},
        {"GODEBUG", "fips140=maybe"}, {"GODEBUG", "a=b,fips140=only"},
    };
    ring_open(&ring, 101);
    for (size_t i = 0; i < COUNT(variables); i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            setenv(variables[i][0], variables[i][1], 1);
            msp_log_set_sink(hear, NULL);
            CHECK_INT(record_unregister(session("null://", "null://")), 0);
            AWAIT(warning[0], SOON);
            CHECK_WORDS(warning, strrchr(variables[i][1], ',') ? "fips140=only" : variables[i][1]);
            CHECK_INT(strcmp(getenv(variables[i][0]), variables[i][1]),
                      0); /* it is the program's */
            _exit(0);
        }
        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        if (status)
            fail(__FILE__, __LINE__, "%s=%s: %d", variables[i][0], variables[i][1], status);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_first_call_without_descriptors_says_emfile_and_a_later_one_works),
        TEST(a_later_call_without_descriptors_says_emfile),
        TEST(a_closed_standard_descriptor_is_never_the_librarys),
        TEST(closing_the_librarys_descriptors_is_an_error_of_each_call),
        TEST(a_first_call_without_threads_says_eagain),
        TEST(sessions_run_where_the_program_took_all_other_threads),
        TEST(a_first_call_without_addresses_says_enomem),
        TEST(a_variable_that_go_cannot_read_is_named_and_ignored),
    };
    return run_tests(argc, argv, tests, COUNT(tests));
}
