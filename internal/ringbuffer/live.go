// SPDX-License-Identifier: MIT

package ringbuffer

/*
#include "live.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"

	"msprecord/internal/memory"
)

// Resolve finds the live ring that a number in a URI means: the one at that
// address, else the only one whose address has those low 32 bits, which is
// what "%u" prints of a pointer on a 64-bit machine. One whose memory is gone
// does not live, whether it was destroyed or not.
func Resolve(handle uint64) (uintptr, error) {
	var found uintptr
	none := ErrNoRing
	for i := range C.ring_address {
		address := addressAt(i)
		switch {
		case address == 0:
			continue
		case uint64(address) == handle:
			return address, lives(i)
		case handle > math.MaxUint32 || uint64(address)&math.MaxUint32 != handle:
			continue
		}
		switch err := lives(i); {
		case errors.Is(err, ErrGone):
			none = err
		case err != nil:
			return 0, err
		case found != 0:
			return 0, ErrAmbiguous
		default:
			found = address
		}
	}
	if found == 0 {
		return 0, none
	}
	return found, nil
}

// lives tells whether the memory at the address in a slot is still the ring
// that was created there. A program may have freed it without a word.
func lives(slot int) error {
	var now C.dev_ringbuf_t
	var end [1]byte
	state := &C.ring_states[slot]
	first := uintptr(unsafe.Pointer(state.buffer))
	err := memory.Read(unsafe.Slice((*byte)(unsafe.Pointer(&now)), unsafe.Sizeof(now)), addressAt(slot))
	if err == nil {
		err = memory.Read(end[:], first)
	}
	if err == nil {
		err = memory.Read(end[:], first+uintptr(state.length))
	}
	switch {
	case errors.Is(err, syscall.EFAULT):
		return ErrGone
	case err != nil:
		return fmt.Errorf("looking at the ring: %w", err)
	case now.buffer != state.buffer || now.length != state.length:
		return ErrGone
	}
	return nil
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
