/* SPDX-License-Identifier: MIT
 *
 * shortage.c - a process that runs short of descriptors, threads or memory.
 *
 * The limit is moved at random between what is in use and plenty. Threads are
 * counted for each user, and not for root: a run by root goes on as another
 * user, which nothing else runs as. The limit on memory is one on the address
 * space, which does not move, and leaves what Go's runtime cannot live without.
 */
#include <dirent.h>
#include <grp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model.h"

#define GO_NEEDS (192ul << 20) /* more address space than is in use */

static pthread_t mover;
static int moving;
static unsigned dice;

int is_short(const char *what)
{
    return strcmp(plan.shortage, what) == 0;
}

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    if (d == NULL)
        return 1 << 10; /* there is no descriptor for looking: leave it */
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static unsigned long address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

static void limit(__rlimit_resource_t resource, unsigned long value)
{
    struct rlimit now;
    getrlimit(resource, &now);
    now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
    setrlimit(resource, &now);
}

/* Leaves a few more than are in use, or plenty. */
static void move(void)
{
    unsigned few = draw(&dice, 3) == 0 ? 1000 : draw(&dice, 10);
    if (is_short("descriptors"))
        limit(RLIMIT_NOFILE, (unsigned long)entries("/proc/self/fd") - 1 + few);
    else if (is_short("threads"))
        limit(RLIMIT_NPROC, (unsigned long)entries("/proc/self/task") + few);
}

static void *move_limit(void *arg)
{
    (void)arg;
    while (!get(&over) && get(&moving)) {
        move();
        usleep(20000 + draw(&dice, 200000));
    }
    return NULL;
}

/* The first call of the library's comes between the two. */
void begin_shortage(int before_first_use)
{
    dice = plan.seed ^ 0x5a5a;
    int at_first_use = draw(&dice, 2) == 0;
    if (before_first_use) {
        if (is_short("threads") && geteuid() == 0) {
            uid_t user = 200000 + plan.seed % 100000;
            if (setgroups(0, NULL) != 0 || setgid(user) != 0 || setuid(user) != 0)
                fail("cannot become user %u", user);
            prctl(PR_SET_DUMPABLE, 1);        /* or /proc/self is root's */
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* which a change of user clears */
        }
        if (is_short("memory"))
            mallopt(M_ARENA_MAX, 1); /* each takes 64 MiB of addresses */
        if (at_first_use)
            move();
        return;
    }
    if (is_short("memory"))
        limit(RLIMIT_AS, address_space() + GO_NEEDS + (unsigned long)draw(&dice, 64) * (1ul << 20));
    set(&moving, 1);
    if (is_short("descriptors") || is_short("threads")) {
        limit(RLIMIT_NPROC, ~0ul);
        pthread_create(&mover, NULL, move_limit, NULL);
    }
}

/* The owners' threads have ended. */
void end_shortage(void)
{
    if (mover != 0)
        pthread_join(mover, NULL);
    limit(RLIMIT_NOFILE, ~0ul);
    limit(RLIMIT_NPROC, ~0ul);
    limit(RLIMIT_AS, ~0ul);
}
