// SPDX-License-Identifier: MIT

// Package doorbell wakes goroutines from C threads. All of them share one
// eventfd in the netpoller, so a thousand sleepers cost neither threads nor
// descriptors, and the descriptor never closes under a writer.
package doorbell

/*
#include "doorbell.h"
*/
import "C"

import (
	"fmt"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"msprecord/internal/host"
)

// A Waker is one sleeper's end of the bell. C receives a token after each
// ring; a token left unread stands for any number of rings, so a reader looks
// at its conditions again before it sleeps.
type Waker struct {
	ID uint32        // for msp_bell_ring
	C  chan struct{} // capacity 1
}

var (
	mu     sync.Mutex
	free   []uint32                                  // IDs given back
	next   uint32                                    // IDs never used so far
	wakers [C.BELL_IDS]atomic.Pointer[chan struct{}] // by ID
)

// The eventfd is opened while the runtime starts. Go's netpoller comes up with
// it, which ends the process where it finds no descriptor at a later time.
func init() { _ = listen() } // New tries again

// New returns a Waker with an ID of its own, until Close.
func New() (*Waker, error) {
	host.KeepStandard() // whoever makes one opens more after it
	mu.Lock()
	defer mu.Unlock()
	if atomic.LoadInt32((*int32)(&C.msp_bell.fd)) == C.BELL_NOBODY {
		if err := listen(); err != nil {
			return nil, err
		}
	}
	var id uint32
	switch {
	case len(free) > 0:
		id = free[len(free)-1]
		free = free[:len(free)-1]
	case next < C.BELL_IDS:
		id = next
		next++
	default:
		return nil, fmt.Errorf("%d sessions run already, the most there can be: %w", next, syscall.EAGAIN)
	}
	w := &Waker{ID: id, C: make(chan struct{}, 1)}
	wakers[id].Store(&w.C)
	return w, nil
}

// Close gives the ID back. A ring still on its way may wake the ID's next
// owner once for nothing.
func (w *Waker) Close() {
	mu.Lock()
	defer mu.Unlock()
	wakers[w.ID].Store(nil)
	free = append(free, w.ID)
}

// Wake is what a ring does, from Go.
func (w *Waker) Wake() { wake(w.C) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listen opens the eventfd.
func listen() error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("no descriptor for the library's eventfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "doorbell")
	C.msp_bell_listen(C.int(fd))
	go host.Persist("waking sessions", func() { answer(f) })
	return nil
}

// answer hands out what was rung, for the life of the process.
func answer(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return // not reachable while the descriptor is ours, nor below
	}
	// A read that does not wait: Go's scheduler is not told of it, which would
	// wake a thread that looks after long ones.
	var count uint64
	read := func(fd uintptr) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), 8)
		return errno == 0
	}
	for raw.Read(read) == nil {
		// Cleared before the scan: a ring during it writes the eventfd again.
		atomic.StoreUint32((*uint32)(&C.msp_bell.rung), 0)
		for g := range C.msp_bell.groups {
			for group := atomic.SwapUint32((*uint32)(&C.msp_bell.groups[g]), 0); group != 0; group &= group - 1 {
				word := g*32 + bits.TrailingZeros32(group)
				for set := atomic.SwapUint32((*uint32)(&C.msp_bell.words[word]), 0); set != 0; set &= set - 1 {
					if c := wakers[word*32+bits.TrailingZeros32(set)].Load(); c != nil {
						wake(*c)
					}
				}
			}
		}
	}
}

// ring is what a C thread does.
func ring(id uint32) { C.msp_bell_ring(C.uint32_t(id)) }
