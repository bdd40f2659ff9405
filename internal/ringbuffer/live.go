// SPDX-License-Identifier: MIT

package ringbuffer

/*
#include "live.h"
*/
import "C"

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Resolve finds the live ring that a number in a URI means: the one at that
// address, else the only one whose address has those low 32 bits, which is
// what "%u" prints of a pointer on a 64-bit machine.
func Resolve(handle uint64) (uintptr, error) {
	var found uintptr
	for i := range C.ring_address {
		address := addressAt(i)
		if address == 0 {
			continue
		}
		if uint64(address) == handle {
			return address, nil
		}
		if handle <= math.MaxUint32 && uint64(address)&math.MaxUint32 == handle {
			if found != 0 {
				return 0, ErrAmbiguous
			}
			found = address
		}
	}
	if found == 0 {
		return 0, ErrNoRing
	}
	return found, nil
}

// Live is how many rings live.
func Live() int {
	n := 0
	for i := range C.ring_address {
		if addressAt(i) != 0 {
			n++
		}
	}
	return n
}

func ringAt(slot int) *C.dev_ringbuf_t {
	return (*C.dev_ringbuf_t)(atomic.LoadPointer((*unsafe.Pointer)(unsafe.Pointer(&C.ring_address[slot]))))
}

func addressAt(slot int) uintptr { return uintptr(unsafe.Pointer(ringAt(slot))) }

// sweepEvery is the longest that a session sleeps beside a ring whose indices
// somebody moves by hand, which rings no bell.
const sweepEvery = 40 * time.Millisecond

var (
	sweepMu  sync.Mutex
	attached = map[*View]struct{}{}
	sweeping bool
)

func attach(v *View) {
	sweepMu.Lock()
	defer sweepMu.Unlock()
	attached[v] = struct{}{}
	if !sweeping {
		sweeping = true
		go sweep()
	}
}

func detach(v *View) {
	sweepMu.Lock()
	defer sweepMu.Unlock()
	delete(attached, v)
}

// sweep looks at every attached ring in one go, so that a thousand sleepers
// cost one timer. It ends with the last of them.
func sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for range tick.C {
		sweepMu.Lock()
		if len(attached) == 0 {
			sweeping = false
			sweepMu.Unlock()
			return
		}
		for v := range attached {
			v.wakeIfMoved()
		}
		sweepMu.Unlock()
	}
}

func (v *View) wakeIfMoved() {
	if atomic.LoadUint32((*uint32)(&v.state.parked[v.side])) == 0 || !v.pin() {
		return
	}
	if v.moved() {
		C.ring_wake(v.ring, C.int(v.side))
	}
	v.unpin()
}
