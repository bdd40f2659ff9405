/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Not there in a program that is not linked to the library. */
extern __typeof__(record_last_error) record_last_error __attribute__((weak));

#define TEST_SECONDS 30 /* after which a test hangs */

static const char *current = "";
static char directory[256];
static pid_t owner; /* the process that made the directory, and removes it */

static void remove_directory(void);

/* ---- Tests --------------------------------------------------------------- */

void fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("%s:%d: %s: ", file, line, current);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
    if (owner == getpid())
        remove_directory();
    _exit(1);
}

static void say(const char *what, const char *fmt, va_list args)
{
    printf("    %s: %s: ", current, what);
    vprintf(fmt, args);
    printf("\n");
    fflush(stdout);
}

void skip(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("SKIP", fmt, args);
    va_end(args);
}

void note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("note", fmt, args);
    va_end(args);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    remove(path);
    return 0;
}

static void make_directory(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/msprecord-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(directory))
        fail(__FILE__, __LINE__, "%s: %s", directory, strerror(errno));
    chmod(directory, 0755);
    owner = getpid();
}

static void remove_directory(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Waits for a child with a deadline. Returns 0 if it hangs, and is killed. */
static int wait_for(pid_t pid, int *status, int seconds)
{
    for (long long end = now_ms() + seconds * 1000LL; now_ms() < end; pause_ms(1))
        if (waitpid(pid, status, WNOHANG) == pid)
            return 1;
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return 0;
}

static int run_in_child(const struct test *test)
{
    long long began = now_ms();
    current = test->name;
    make_directory();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
    if (pid == 0) {
        test->fn();
        exit(0);
    }
    int status = 0;
    int ended = wait_for(pid, &status, TEST_SECONDS);
    remove_directory();
    int good = ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%-6s %s, %lld ms\n", good ? "ok" : "FAILED", test->name, now_ms() - began);
    if (!ended)
        printf("    %s: hangs\n", test->name);
    else if (WIFSIGNALED(status))
        printf("    %s: %s\n", test->name, strsignal(WTERMSIG(status)));
    fflush(stdout);
    return good;
}

int run_tests(int argc, char **argv, const struct test *tests, size_t count)
{
    int good = 1;
    int found = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc < 2) {
            good &= run_in_child(&tests[i]);
        } else if (strcmp(argv[1], tests[i].name) == 0) {
            found = 1;
            current = tests[i].name;
            make_directory();
            atexit(remove_directory);
            tests[i].fn();
        }
    }
    if (argc >= 2 && !found)
        printf("%s: there is no such test\n", argv[1]);
    return argc < 2 ? !good : !found;
}

void check_int(const char *file, int line, const char *what, long long got, long long want)
{
    if (got != want)
        fail(file, line, "%s is %lld, expected %lld (last error: \"%s\")", what, got, want,
             record_last_error ? record_last_error() : "");
}

void check_between(const char *file, int line, const char *what, long long got, long long least,
                   long long most)
{
    if (got < least || got > most)
        fail(file, line, "%s is %lld, expected %lld to %lld", what, got, least, most);
}

void check_words(const char *file, int line, const char *text, const char *words)
{
    char list[512];
    snprintf(list, sizeof(list), "%s", words);
    char *rest = NULL;
    for (char *word = strtok_r(list, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        if (!strstr(text, word))
            fail(file, line, "\"%s\" is missing in \"%s\"", word, text);
}

void check_bytes(const char *file, int line, const char *what, const void *got, size_t got_size,
                 const void *want, size_t want_size)
{
    const uint8_t *a = got;
    const uint8_t *b = want;
    size_t n = got_size < want_size ? got_size : want_size;
    if (n && memcmp(a, b, n)) {
        size_t i = 0;
        while (a[i] == b[i])
            i++;
        fail(file, line, "%s: byte %zu of %zu is 0x%02x, expected 0x%02x", what, i, got_size, a[i],
             b[i]);
    }
    if (got_size != want_size)
        fail(file, line, "%s: %zu bytes, expected %zu", what, got_size, want_size);
}

long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void pause_ms(int ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

const char *temp_dir(void)
{
    return directory;
}

char *place(void)
{
    static __thread char places[8][512];
    static __thread unsigned next;
    return places[next++ % 8];
}

const char *temp_path(const char *name)
{
    char *path = place();
    snprintf(path, 512, "%s/%s", directory, name);
    return path;
}

/* ---- The process --------------------------------------------------------- */

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

int count_threads(void)
{
    return count_entries("/proc/self/task");
}

int count_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* without the one that counts */
}

long rss_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

long cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (long)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (long)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

/* ---- Bytes --------------------------------------------------------------- */

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void fill_bytes(uint8_t *data, size_t size, uint64_t seed, uint64_t from)
{
    uint64_t base = seed * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < size;) {
        uint64_t at = from + i;
        uint64_t word = mixed(base + at / 8);
        if (at % 8 == 0 && size - i >= 8) {
            memcpy(data + i, &word, 8);
            i += 8;
        } else {
            uint8_t bytes[8];
            memcpy(bytes, &word, 8);
            data[i++] = bytes[at % 8];
        }
    }
}

uint8_t *make_bytes(size_t size, uint64_t seed)
{
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        fail(__FILE__, __LINE__, "no memory for %zu bytes", size);
    fill_bytes(data, size, seed, 0);
    return data;
}

uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st))
        fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    uint8_t *data = malloc((size_t)st.st_size + 1);
    *size = data ? fread(data, 1, (size_t)st.st_size, f) : 0;
    fclose(f);
    return data;
}

void write_whole(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
}

/* ---- The receiver -------------------------------------------------------- */

static int first_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "r");
    int there = f && fgets(line, size, f) && strchr(line, '\n');
    if (f)
        fclose(f);
    return there;
}

/* Runs the receiver for server->dir, and fills in its pid and url. */
static void launch(struct server *server, const char *address)
{
    static int started;
    const char *program = getenv("MSPRECORD_SERVER");
    if (!program)
        fail(__FILE__, __LINE__, "MSPRECORD_SERVER must name the record-server program");
    char name[64];
    snprintf(name, sizeof(name), "server%d.log", started++);
    const char *log = temp_path(name);
    pid_t parent = getpid();
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where the test crashes */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (getppid() == parent && fd >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2)
            execl(program, program, "-addr", address, "-dir", server->dir, (char *)NULL);
        _exit(127);
    }
    char line[512];
    AWAIT(first_line(log, line, sizeof(line)), 10000);
    if (sscanf(line, "listening on %60s", server->url) != 1)
        fail(__FILE__, __LINE__, "the receiver says \"%s\"", line);
    size_t n = strlen(server->url);
    if (n && server->url[n - 1] == '/')
        server->url[n - 1] = '\0';
}

struct server server_start(void)
{
    static int started;
    struct server server = {0};
    snprintf(server.dir, sizeof(server.dir), "%.180s/stored%d", directory, started++);
    launch(&server, "127.0.0.1:0");
    return server;
}

void server_again(struct server *server)
{
    char address[64];
    snprintf(address, sizeof(address), "%s", server->url + strlen("ws://"));
    launch(server, address);
}

void server_pause(const struct server *server)
{
    kill(server->pid, SIGSTOP);
    int status;
    waitpid(server->pid, &status, WUNTRACED);
}

void server_resume(const struct server *server)
{
    kill(server->pid, SIGCONT);
}

void server_kill(struct server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

const char *server_url(const struct server *server, const char *name)
{
    char *url = place();
    snprintf(url, 512, "%s/%s", server->url, name);
    return url;
}

void check_stored_at(const char *file, int line, const struct server *server, const char *name,
                     const void *want, size_t size)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", server->dir, name);
    size_t stored;
    uint8_t *data = read_whole(path, &stored);
    check_bytes(file, line, name, data, stored, want, size);
    free(data);
}

int listen_on(int *port, int full)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, full ? 0 : 64) ||
        getsockname(fd, (struct sockaddr *)&a, &size))
        fail(__FILE__, __LINE__, "no listener: %s", strerror(errno));
    *port = ntohs(a.sin_port);
    /* Fills the backlog until a connection is not answered any more. */
    for (int i = 0; full; i++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct pollfd p = {.fd = client, .events = POLLOUT};
        if (connect(client, (struct sockaddr *)&a, sizeof(a)) && poll(&p, 1, 200) == 0)
            break;
        if (i > 100)
            fail(__FILE__, __LINE__, "the backlog takes %d connections", i);
    }
    return fd;
}

/* ---- Threads -------------------------------------------------------------- */

pthread_t thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, fn, arg);
    if (rc)
        fail(__FILE__, __LINE__, "pthread_create: %s", strerror(rc));
    return thread;
}

void thread_join(pthread_t thread)
{
    pthread_join(thread, NULL);
}
