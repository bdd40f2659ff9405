/* SPDX-License-Identifier: MIT
 *
 * kernel_time.c - clocks and sleeping.
 */
#include "msp_internal.h"

#include <msp/kernel.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long utc_offset; /* seconds east */
static time_t offset_quarter = -1;
static int forked;

static void hold(void)
{
    pthread_mutex_lock(&lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    forked = 1;
    let_go();
}

static void init(void)
{
    pthread_atfork(hold, let_go, in_child);
}

/* localtime_r() takes a lock of the C library that fork does not look after:
 * a child whose parent was in it would hang. So a child goes on with the
 * offset its parent knew. Time zones change at quarter hours. */
static long local_offset(time_t now)
{
    pthread_once(&once, init);
    hold();
    if (offset_quarter != now / 900 && !(forked && offset_quarter != -1)) {
        struct tm tm;
        utc_offset = localtime_r(&now, &tm) != NULL ? tm.tm_gmtoff : 0;
        offset_quarter = now / 900;
    }
    long offset = utc_offset;
    let_go();
    return offset;
}

static int days_in_year(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
}

void msp_wall_clock(char *buf, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long long t = (long long)now.tv_sec + local_offset(now.tv_sec);
    if (t < 0)
        t = 0;
    int of_day = (int)(t % 86400);
    int day = (int)(t / 86400);
    int year = 1970;
    while (day >= days_in_year(year))
        day -= days_in_year(year++);
    int days_in_month[] = {31, days_in_year(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int month = 0;
    while (day >= days_in_month[month])
        day -= days_in_month[month++];
    snprintf(buf, size, "%02d-%02d %02d:%02d:%02d.%03d", month + 1, day + 1, of_day / 3600,
             of_day / 60 % 60, of_day % 60, (int)(now.tv_nsec / 1000000));
}

MSP_WEAK long long msp_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

MSP_WEAK char *msp_now_time_str(char *buffer, const int len)
{
    if (buffer != NULL && len > 0)
        msp_wall_clock(buffer, (size_t)len);
    return buffer;
}

MSP_WEAK void msp_msleep(int ms)
{
    msp_wait_leave_if_deleted();
    if (ms > 0)
        msp_wait_sleep((unsigned)ms);
}
