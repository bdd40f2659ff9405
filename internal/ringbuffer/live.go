// SPDX-License-Identifier: MIT

package ringbuffer

/*
#include "live.h"
*/
import "C"

import (
	"math"
	"sync/atomic"
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
