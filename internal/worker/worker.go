// SPDX-License-Identifier: MIT

// Package worker runs C functions that may block for ever: a program's
// callbacks, and the system calls of a file system that may hang. A thread of
// Go's that blocks in C is never given back, and one too many ends the process;
// these threads are small, and failing to make one is an error.
package worker

/*
#cgo CFLAGS: -std=gnu99 -fvisibility=hidden
#include <stdlib.h>
#include "worker.h"

static void run(struct msp_worker *w, void *fn, void *arg)
{
	msp_worker_run(w, (void (*)(void *))fn, arg);
}
*/
import "C"

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"msprecord/internal/doorbell"
)

const (
	// growAfter is how long a job waits for one of the threads there are
	// before one more is made: many short jobs need no more than one.
	growAfter = 5 * time.Millisecond

	// retryAfter is how often it is tried again where none could be made.
	retryAfter = 100 * time.Millisecond

	// maxIdle is how many threads are kept for later.
	maxIdle = 8
)

var (
	idle   = make(chan *Thread, maxIdle)
	total  atomic.Int64 // threads there are
	making sync.Mutex   // held while one is made, so that few more are needed for the check before
)

// A Thread is a C thread. It belongs to one goroutine between Take and Give.
type Thread struct {
	c     *C.struct_msp_worker
	waker *doorbell.Waker
}

// Prepare sees to it that there is a thread, so that a shortage is an error
// where a program can act on it.
func Prepare() error {
	if total.Load() > 0 {
		return nil
	}
	t, err := newThread()
	if err != nil {
		return fmt.Errorf("no thread for callbacks and files (raise the limit on threads): %w", err)
	}
	t.Give()
	return nil
}

func newThread() (*Thread, error) {
	w, err := doorbell.New()
	if err != nil {
		return nil, err
	}
	t := &Thread{waker: w}
	making.Lock()
	defer making.Unlock()
	if errno := C.msp_worker_new(&t.c, C.uint32_t(w.ID)); errno != 0 {
		w.Close()
		return nil, syscall.Errno(errno)
	}
	total.Add(1)
	return t, nil
}

// Take waits for a thread, and returns nil when over comes first.
func Take(over <-chan struct{}) *Thread {
	select {
	case t := <-idle:
		return t
	default:
	}
	pause := growAfter
	if total.Load() == 0 {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case t := <-idle:
			return t
		case <-over:
			return nil
		case <-timer.C:
		}
		if t, err := newThread(); err == nil {
			return t
		}
		timer.Reset(retryAfter)
	}
}

// Give gives the thread back.
func (t *Thread) Give() {
	select {
	case idle <- t:
	default:
		C.msp_worker_close(t.c)
		t.waker.Close()
		total.Add(-1)
	}
}

// Run runs fn, a C function void (*)(void *), on the thread and returns when fn
// has. arg is C memory.
func (t *Thread) Run(fn, arg unsafe.Pointer) {
	C.run(t.c, fn, arg)
	for C.msp_worker_busy(t.c) != 0 {
		<-t.waker.C
	}
}
