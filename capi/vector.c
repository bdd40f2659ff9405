/* SPDX-License-Identifier: MIT
 *
 * vector.c - Go's own variables are read by its runtime as it starts. One that
 * it cannot read may end the process (GOMEMLIMIT), and nobody who sets one for
 * another Go program means this one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* stpcpy */
#endif
#include "vector.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static char name[] = "msprecord";

/* Go interrupts its goroutines by a signal, SIGURG, unless this says not to. A
 * handler of the program's for it may need more stack than a goroutine has. */
static const char ours[] = "asyncpreemptoff=1";

/* Reads a whole decimal number. Returns 0 where there is none in least..most. */
static int is_number(const char *text, long long least, long long most)
{
    char *end;
    if (*text == '\0' || strchr(" \t\n+", *text))
        return 0;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return !errno && *end == '\0' && n >= least && n <= most;
}

static int is_one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

/* Bytes, with a unit or without: 500MiB. */
static int is_memory_limit(const char *text)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "B", ""};
    char digits[20];
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n >= sizeof(digits))
        return strcmp(text, "off") == 0;
    memcpy(digits, text, n);
    digits[n] = '\0';
    long long most = INT64_MAX;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(text + n, units[i]) == 0)
            return is_number(digits, 0, i < 4 ? most >> (10 * (i + 1)) : most);
    return 0;
}

static int is_percentage(const char *text)
{
    return strcmp(text, "off") == 0 || is_number(text, INT32_MIN, INT32_MAX);
}

static int is_processors(const char *text)
{
    return is_number(text, 1, 1024); /* each costs memory, whether it is there or not */
}

static int is_traceback(const char *text)
{
    static const char *const words[] = {"none", "single", "all", "system", "crash", NULL};
    return is_one_of(text, words) || is_number(text, 0, INT32_MAX);
}

static const struct rule {
    const char *variable;
    int (*fits)(const char *text);
} rules[] = {
    {"GOMEMLIMIT=", is_memory_limit},
    {"GOGC=", is_percentage},
    {"GOMAXPROCS=", is_processors},
    {"GOTRACEBACK=", is_traceback},
};

static int starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Appends to a list of words. */
static void add_word(char *list, size_t size, const char *word, size_t n)
{
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%.*s", used ? " " : "", n > 80 ? 80 : (int)n, word);
}

/* Go takes the variable as it stands. */
static int fits(const char *variable)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (starts_with(variable, rules[i].variable)) {
            const char *value = variable + strlen(rules[i].variable);
            return *value == '\0' || rules[i].fits(value);
        }
    return 1;
}

/* One setting of GODEBUG does not stop the library: an unknown fips140 ends the
 * process, and fips140=only forbids the SHA-1 of every WebSocket's handshake. */
static int is_setting(const char *item, size_t n)
{
    static const char *const fips[] = {"on", "off", "debug", NULL};
    char value[8] = "";
    const char *equals = memchr(item, '=', n);
    if (!equals || equals == item)
        return 0;
    if (!starts_with(item, "fips140="))
        return 1;
    size_t size = n - (size_t)(equals + 1 - item);
    if (size < sizeof(value))
        memcpy(value, equals + 1, size);
    return is_one_of(value, fips);
}

/* Copies GODEBUG, a list of settings parted by commas, without those that will
 * not do, and with what the library sets. */
static char *merge_debug(const char *list, char *ignored, size_t size)
{
    char *merged = malloc(strlen(list) + sizeof("GODEBUG=,") + sizeof(ours));
    if (!merged)
        return NULL;
    char *at = stpcpy(merged, "GODEBUG=");
    for (const char *item = list; *item; item += *item == ',') {
        size_t n = strcspn(item, ",");
        if (n && !is_setting(item, n))
            add_word(ignored, size, item, n);
        else if (n && !starts_with(item, "asyncpreemptoff="))
            at += sprintf(at, "%.*s,", (int)n, item);
        item += n;
    }
    strcpy(at, ours);
    return merged;
}

char **msp_vector_make(char *ignored, size_t size)
{
    size_t n = 0;
    ignored[0] = '\0';
    while (environ && environ[n])
        n++;
    /* The runtime walks from argv over the environment to the auxiliary vector.
     * Ours is empty, whereupon it reads /proc/self/auxv. */
    char **vector = calloc(n + 6, sizeof(*vector));
    if (!vector)
        return NULL;
    vector[0] = name;
    char **at = MSP_VECTOR_ENVIRONMENT(vector);
    const char *debug = "";
    for (size_t i = 0; i < n; i++)
        if (starts_with(environ[i], "GODEBUG="))
            debug = environ[i] + strlen("GODEBUG=");
        else if (fits(environ[i]))
            *at++ = environ[i];
        else
            add_word(ignored, size, environ[i], strlen(environ[i]));
    *at = merge_debug(debug, ignored, size);
    if (!*at) {
        free(vector);
        return NULL;
    }
    return vector;
}
