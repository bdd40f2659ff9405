/* SPDX-License-Identifier: MIT */
#include "doorbell.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct msp_bell msp_bell = {.fd = BELL_NOBODY};

void msp_bell_ring(uint32_t id)
{
    uint32_t word = id / 32u;
    __atomic_fetch_or(&msp_bell.words[word], 1u << (id % 32u), __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&msp_bell.groups[word / 32u], 1u << (word % 32u), __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&msp_bell.rung, 1u, __ATOMIC_SEQ_CST))
        return; /* whoever set it has written, and the listener scans after clearing it */
    int fd = __atomic_load_n(&msp_bell.fd, __ATOMIC_RELAXED);
    if (fd < 0)
        return;
    int saved = errno;
    uint64_t one = 1;
    /* Cannot block or fail: the counter is far from its end, `rung` sees to it. */
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n;
    errno = saved;
}

void msp_bell_listen(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0) {
        msp_bell.device = st.st_dev;
        msp_bell.inode = st.st_ino;
    }
    __atomic_store_n(&msp_bell.fd, fd, __ATOMIC_SEQ_CST);
}

int msp_bell_lost(void)
{
    struct stat st;
    int fd = __atomic_load_n(&msp_bell.fd, __ATOMIC_SEQ_CST);
    if (fd < 0)
        return fd == BELL_LOST;
    int saved = errno;
    int lost = fstat(fd, &st) != 0 || (uint64_t)st.st_dev != msp_bell.device ||
               (uint64_t)st.st_ino != msp_bell.inode;
    errno = saved;
    if (lost)
        __atomic_store_n(&msp_bell.fd, BELL_LOST, __ATOMIC_SEQ_CST);
    return lost;
}
