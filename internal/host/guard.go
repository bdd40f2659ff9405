// SPDX-License-Identifier: MIT

package host

import (
	"fmt"
	"runtime/debug"
	"time"
)

// Report logs a fault of the library. The boundary sets it before anything runs.
var Report = func(line string) {}

// Guard is deferred by each goroutine that has no session to fail: the process
// must not die of a fault of the library.
func Guard(doing string) {
	if fault := recover(); fault != nil {
		Report(fmt.Sprintf("a fault of the library while %s, please report it: %v\n%s", doing, fault, debug.Stack()))
	}
}

// Persist runs do until it returns, and again after each fault.
func Persist(doing string, do func()) {
	for over := false; !over; {
		func() {
			defer Guard(doing)
			do()
			over = true
		}()
		if !over {
			time.Sleep(10 * time.Millisecond) // one that comes each time costs no busy loop
		}
	}
}
