// SPDX-License-Identifier: MIT

// Package host keeps what the library takes from the process that it lives in
// within what is to be had: descriptors, and threads. Go's runtime ends the
// process where it cannot make a thread that it wants, so the threads are made
// when the runtime starts, and whoever may block one asks here before.
package host

/*
#cgo CFLAGS: -std=gnu99 -fvisibility=hidden
#include "host.h"
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

func init() {
	if most := int(C.msp_host_processors()); os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) > most {
		runtime.GOMAXPROCS(most)
	}
	n := int(C.msp_host_threads())
	makeThreads(n)
	unasked = int32(max(0, n-runtime.GOMAXPROCS(0)-4))
}

// makeThreads has n threads live at once. The runtime keeps them for later.
func makeThreads(n int) {
	var there, gone sync.WaitGroup
	gate := make(chan struct{})
	for range n {
		there.Add(1)
		gone.Add(1)
		go func() {
			defer gone.Done()
			runtime.LockOSThread() // which nobody else has then
			defer runtime.UnlockOSThread()
			there.Done()
			<-gate
		}()
	}
	there.Wait()
	close(gate)
	gone.Wait()
}

// blocking is how many calls may hold a thread each at this moment.
var blocking atomic.Int32

// unasked is how many of them the threads that were made ahead are enough for.
// The rest are for the runtime itself, and for calls that are over soon.
var unasked int32

// BeginBlocking is called before what may hold a thread for long: a file
// system's calls, the look-up of a name. It fails where no thread is to be had
// for it. EndBlocking follows, unless it failed.
func BeginBlocking() error {
	if blocking.Add(1) <= unasked {
		return nil
	}
	if errno := C.msp_host_try_threads(4); errno != 0 {
		blocking.Add(-1)
		return fmt.Errorf("no thread is to be had (raise the limit on threads: ulimit -u, or the cgroup's pids.max): %w", syscall.Errno(errno))
	}
	return nil
}

// BeginDial is BeginBlocking before a connection is made, which looks up a name
// and takes descriptors. Parts of Go's library answer a shortage of those with an
// error of another name, or remember it, so they are tried for here.
func BeginDial() error {
	KeepStandard()
	if err := tryDescriptors(4); err != nil {
		return err
	}
	return BeginBlocking()
}

// EndBlocking ends what BeginBlocking or BeginDial began.
func EndBlocking() { blocking.Add(-1) }

// KeepStandard sees to it that what is opened next is none of the descriptors
// 0, 1 and 2, which programs print to, also where the program closed them.
func KeepStandard() { C.msp_host_keep_standard() }

func tryDescriptors(n int) error {
	errno := syscall.Errno(C.msp_host_try_descriptors(C.int(n)))
	switch errno {
	case 0:
		return nil
	case syscall.EMFILE:
		return fmt.Errorf("the process has no descriptor left (raise ulimit -n, or close some): %w", errno)
	case syscall.ENFILE:
		return fmt.Errorf("the machine has no descriptor left (raise fs.file-max): %w", errno)
	}
	return errno
}
