/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include "file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void describe(struct file_job *job, const struct stat *st)
{
    job->size = st->st_size;
    job->device = st->st_dev;
    job->inode = st->st_ino;
    job->regular = S_ISREG(st->st_mode);
}

/* Never blocks for a FIFO's other end, and never takes a standard descriptor
 * that the program has closed. Does not truncate. Returns 0 or -1. */
static int open_file(struct file_job *job)
{
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (job->write ? O_WRONLY | O_CREAT : O_RDONLY);
    int fd = open(job->path, flags, 0666);
    if (fd >= 0 && fd <= STDERR_FILENO) {
        int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = above;
    }
    if (fd < 0)
        return -1;
    struct stat st;
    if (fstat(fd, &st) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    describe(job, &st);
    job->pollable = S_ISFIFO(st.st_mode) || isatty(fd);
    if (!job->pollable)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    job->fd = fd;
    return 0;
}

/* Moves all bytes, unless the file ends or there is an error. */
static int move(struct file_job *job)
{
    while (job->done < job->n) {
        char *p = (char *)job->buf + job->done;
        size_t n = (size_t)(job->n - job->done);
        ssize_t moved =
            job->op == FILE_READ ? pread(job->fd, p, n, job->at + job->done) : write(job->fd, p, n);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return -1;
        if (moved == 0)
            break;
        job->done += moved;
    }
    return 0;
}

static int perform(struct file_job *job)
{
    struct stat st;
    int rc;
    switch (job->op) {
    case FILE_STAT:
        rc = stat(job->path, &st);
        break;
    case FILE_SIZE:
        rc = fstat(job->fd, &st);
        break;
    case FILE_OPEN:
        return open_file(job);
    case FILE_TRUNCATE:
        return ftruncate(job->fd, 0);
    case FILE_CLOSE:
        return close(job->fd);
    default:
        return move(job);
    }
    if (rc == 0)
        describe(job, &st);
    return rc;
}

void file_job_run(void *job)
{
    struct file_job *j = job;
    j->error = perform(j) < 0 ? errno : 0;
}
