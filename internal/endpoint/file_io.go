// SPDX-License-Identifier: MIT

package endpoint

/*
#cgo CFLAGS: -std=gnu99 -fvisibility=hidden
#include <stdlib.h>
#include "file_io.h"
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/worker"
)

// What is asked of a file system where nobody may be kept waiting.
const (
	statWait  = 5 * time.Second        // in record_register, which has no timeout of its own
	shortWait = 100 * time.Millisecond // where an answer is welcome and no more
)

// A fileResult is what became of a system call.
type fileResult struct {
	fd       int
	done     int64 // bytes
	size     int64
	identity fileIdentity
	regular  bool
	pollable bool
	err      error
}

// A fileIdentity tells one file from another, whatever their paths.
type fileIdentity struct{ device, inode uint64 }

// A fileCall is a system call on a file.
type fileCall struct {
	op    C.int
	path  string // STAT, OPEN, and for messages
	write bool
	fd    int
	buf   []byte // not touched until the result is there
	at    int64
}

const fileWrite = C.FILE_WRITE

var fileOps = map[C.int]string{
	C.FILE_STAT: "stat", C.FILE_OPEN: "open", C.FILE_SIZE: "stat", C.FILE_TRUNCATE: "truncate",
	C.FILE_READ: "read", C.FILE_WRITE: "write", C.FILE_CLOSE: "close",
}

// start has a worker do the call, unless over comes before there is one, and
// gives the result when there is one. What hangs is left to a goroutine.
func (c fileCall) start(over <-chan struct{}) <-chan fileResult {
	result := make(chan fileResult, 1)
	go func() {
		r := fileResult{err: syscall.EIO} // where the call itself faults
		defer func() {
			_ = recover()
			if r.err != nil {
				r.err = &os.PathError{Op: fileOps[c.op], Path: c.path, Err: r.err}
			}
			result <- r
		}()
		t := worker.Take(over)
		if t == nil {
			r.err = syscall.EAGAIN
			return
		}
		defer t.Give()
		r = c.run(t)
	}()
	return result
}

func (c fileCall) run(t *worker.Thread) fileResult {
	job := (*C.struct_file_job)(C.calloc(1, C.sizeof_struct_file_job))
	defer C.free(unsafe.Pointer(job))
	path := C.CString(c.path)
	defer C.free(unsafe.Pointer(path))
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(c.buf) > 0 {
		pin.Pin(unsafe.SliceData(c.buf))
	}
	*job = C.struct_file_job{
		op: c.op, path: path, fd: C.int(c.fd), at: C.int64_t(c.at),
		buf: unsafe.Pointer(unsafe.SliceData(c.buf)), n: C.int64_t(len(c.buf)),
	}
	if c.write {
		job.write = 1
	}
	t.Run(unsafe.Pointer(C.file_job_run), unsafe.Pointer(job))
	r := fileResult{
		fd: int(job.fd), done: int64(job.done), size: int64(job.size),
		identity: fileIdentity{uint64(job.device), uint64(job.inode)},
		regular:  job.regular != 0, pollable: job.pollable != 0,
	}
	if job.error != 0 {
		r.err = syscall.Errno(job.error)
	}
	return r
}

// wait does the call within ctx. A file that opens too late is closed again.
func (c fileCall) wait(ctx context.Context) fileResult {
	result := c.start(ctx.Done())
	select {
	case r := <-result:
		return r
	case <-ctx.Done():
	}
	if c.op == C.FILE_OPEN {
		go func() {
			if r := <-result; r.err == nil {
				closeFile(r.fd, c.path)
			}
		}()
	}
	return fileResult{err: fmt.Errorf("%s %s has not returned: %w", fileOps[c.op], c.path, cause(ctx))}
}

// cause is why ctx ended, with an errno.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); err != context.DeadlineExceeded {
		return err
	}
	return syscall.ETIMEDOUT
}

// closeFile closes a descriptor, and waits a moment for it.
func closeFile(fd int, path string) error {
	return soon(fileCall{op: C.FILE_CLOSE, fd: fd, path: path}.start(nil))
}

// soon waits a moment for a result, and is nil where there is none yet.
func soon(result <-chan fileResult) error {
	timer := time.NewTimer(shortWait)
	defer timer.Stop()
	select {
	case r := <-result:
		return r.err
	case <-timer.C:
		return nil
	}
}
