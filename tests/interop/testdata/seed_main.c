/* SPDX-License-Identifier: MIT
 *
 * seed_main.c - starts and stops the example app, again and again.
 *
 *     seed URL ROUNDS WHEN [REPORTED...]
 *
 * APPWSREC is the example's file; being included, its fields can be looked at
 * from here. Each round stores under ROUND.pcm. WHEN is the state of all three
 * writers in which a round is stopped: `written`, their last byte is in the
 * ring, or `idle`, they have said so too. After each round REPORTED prints
 * "round ROUND threads COUNT descriptors COUNT resident KIB".
 */
#include APPWSREC

#include <dirent.h>

static void fail(const char *what)
{
    fprintf(stderr, "seed: %s\n", what);
    exit(1);
}

/* Waits for a condition, 20 s at most. */
static void await(int (*condition)(void), const char *what)
{
    for (long long end = msp_now_ms() + 20000; !condition(); usleep(1000))
        if (msp_now_ms() > end)
            fail(what);
}

static int written(void)
{
    for (int i = 0; i < REC_MGR_COUT; i++)
        if (__atomic_load_n(&g_rec_mgr[i]->src_data_r_pos, __ATOMIC_ACQUIRE) <
            (int)sizeof(local_audio_test2))
            return 0;
    return 1;
}

static int idle(void)
{
    for (int i = 0; i < REC_MGR_COUT; i++)
        if (!__atomic_load_n(&g_rec_mgr[i]->over_print, __ATOMIC_ACQUIRE))
            return 0;
    return 1;
}

/* Counts a folder's entries, or those of /proc/self/task that have a name. */
static int count(const char *folder, const char *name)
{
    char path[300], comm[32];
    int n = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL)
        fail(folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (name == NULL) {
            n++;
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s/comm", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue; /* gone since */
        if (fgets(comm, sizeof(comm), file) != NULL) {
            comm[strcspn(comm, "\n")] = '\0';
            n += strcmp(comm, name) == 0;
        }
        fclose(file);
    }
    closedir(dir);
    return n;
}

/* The example frees what its writers still look at, up to 80 ms later. So that
 * nothing else gets that memory before they are gone, this port of msp_free(),
 * which takes the place of the library's, holds it until then. */
static void *held[2 * REC_MGR_COUT];
static int held_count;

void msp_free(void *block)
{
    if (held_count == 2 * REC_MGR_COUT)
        fail("the example frees more than it has");
    held[held_count++] = block;
}

static int writers_gone(void)
{
    if (count("/proc/self/task", "ws-rec-w") > 0)
        return 0;
    while (held_count > 0)
        free(held[--held_count]);
    return 1;
}

static long resident(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        fail("/proc/self/status");
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        fail("usage: seed URL ROUNDS WHEN [REPORTED...]");
    int rounds = atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int (*when)(void) = strcmp(argv[3], "idle") == 0 ? idle : written;

    for (int round = 1; round <= rounds; round++) {
        char name[32];
        snprintf(name, sizeof(name), "%d.pcm", round);
        app_ws_rec_start(argv[1], name);
        await(when, "the writers do not come to their end");
        app_ws_rec_stop();
        await(writers_gone, "the writers do not end");
        for (int i = 4; i < argc; i++)
            if (atoi(argv[i]) == round)
                printf("round %d threads %d descriptors %d resident %ld\n", round,
                       count("/proc/self/task", NULL), count("/proc/self/fd", NULL), resident());
    }
    return 0;
}
