/* SPDX-License-Identifier: MIT
 *
 * file_io.h - the system calls on files, for a worker to run: any of them may
 * hang with its file system.
 */
#ifndef MSP_FILE_IO_H
#define MSP_FILE_IO_H

#include <stdint.h>

enum file_op { FILE_STAT, FILE_OPEN, FILE_SIZE, FILE_TRUNCATE, FILE_READ, FILE_WRITE, FILE_CLOSE };

struct file_job {
    int op;     /* a file_op */
    int write;  /* OPEN: to write, made where it is not there; else to read */
    char *path; /* STAT, OPEN */
    int fd;     /* in: the rest; out: OPEN */
    void *buf;  /* READ, WRITE */
    int64_t n;  /* of these bytes */
    int64_t at; /* READ: from here */

    int error;    /* an errno, 0: it went well */
    int64_t done; /* READ, WRITE: bytes, also where there was an error */
    int64_t size; /* STAT, OPEN, SIZE: what the file is */
    uint64_t device, inode;
    int regular;
    int pollable; /* OPEN: a FIFO or a terminal, left in non-blocking mode */
};

/* Does what a struct file_job says. */
void file_job_run(void *job);

#endif
