// SPDX-License-Identifier: MIT

package endpoint

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"syscall"

	"msprecord/internal/memory"
)

// Mem is a piece of this process's memory, named by numbers that nobody has
// checked: it is read and written through system calls, which answer EFAULT
// where a plain access would end the process.
type Mem struct {
	address uintptr
	size    int64
}

// NewMem names memory.
func NewMem(address, size uint64) (Mem, error) {
	switch {
	case address == 0:
		return Mem{}, fmt.Errorf("address=0 is NULL: give the address of the bytes: %w", syscall.EINVAL)
	case size == 0:
		return Mem{}, fmt.Errorf("size=0: give the number of bytes: %w", syscall.EINVAL)
	case address > math.MaxUint || size > math.MaxInt64 || address+size < address:
		return Mem{}, fmt.Errorf("address=%#x with size=%d is beyond any memory: %w", address, size, syscall.EINVAL)
	}
	return Mem{uintptr(address), int64(size)}, nil
}

// Overlaps reports whether two pieces of memory have a byte in common.
func (m Mem) Overlaps(other Mem) bool {
	a, b := uint64(m.address), uint64(other.address) // whose sums NewMem has checked
	return a < b+uint64(other.size) && b < a+uint64(m.size)
}

// fault explains a piece of memory that cannot be read or written.
func (m Mem) fault(at int64, err error) error {
	if !errors.Is(err, syscall.EFAULT) {
		return fmt.Errorf("address=%d&size=%d: %w", m.address, m.size, err)
	}
	return fmt.Errorf("address=%d&size=%d: nothing is mapped at %#x: on a 64-bit machine print the pointer with PRIuPTR, not %%u: %w",
		m.address, m.size, uint64(m.address)+uint64(at), err)
}

// Source reads the memory once; chunk is the most that a Peek will ask for.
func (m Mem) Source(chunk int) (*MemSource, error) {
	var first, last [1]byte
	for at, b := range map[int64][]byte{0: first[:], m.size - 1: last[:]} {
		if err := memory.Read(b, m.address+uintptr(at)); err != nil {
			return nil, m.fault(at, err)
		}
	}
	return &MemSource{mem: m, buf: make([]byte, min(int64(chunk), m.size))}, nil
}

// MemSource is memory being read.
type MemSource struct {
	mem  Mem
	buf  []byte
	pos  atomic.Int64
	last int
}

// Peek hands out a copy of up to max bytes, io.EOF at the end.
func (s *MemSource) Peek(max int) (a, b []byte, err error) {
	pos := s.pos.Load()
	n := min(int64(max), int64(len(s.buf)), s.mem.size-pos)
	if n == 0 {
		return nil, nil, io.EOF
	}
	if err := memory.Read(s.buf[:n], s.mem.address+uintptr(pos)); err != nil {
		return nil, nil, s.mem.fault(pos, err)
	}
	s.last = int(n)
	return s.buf[:n], nil, nil
}

func (s *MemSource) Advance() { s.pos.Add(int64(s.last)) }
func (s *MemSource) Leave()   {}

// SetEnd changes nothing: memory has its end.
func (s *MemSource) SetEnd() {}

// Park is never reached: memory is there or at its end.
func (s *MemSource) Park(int) bool { return false }
func (s *MemSource) Unpark()       {}

// Remaining is how many bytes were not taken. Any goroutine.
func (s *MemSource) Remaining() int64 { return s.mem.size - s.pos.Load() }

func (s *MemSource) Close() error { return nil }

// Sink fills the memory from its start.
func (m Mem) Sink() (*MemSink, error) {
	// Readable is not writable, but it tells a wrong number before any data.
	var probe [1]byte
	if err := memory.Read(probe[:], m.address); err != nil {
		return nil, m.fault(0, err)
	}
	return &MemSink{mem: m}, nil
}

// MemSink is memory being filled.
type MemSink struct {
	mem  Mem
	sent atomic.Int64
}

// Reserve tells how much of max fits; 0 means full for good.
func (s *MemSink) Reserve(max int) (int, error) {
	return int(min(int64(max), s.mem.size-s.sent.Load())), nil
}

// Put writes a chunk that fits the room that Reserve told.
func (s *MemSink) Put(a, b []byte) error {
	for _, p := range [2][]byte{a, b} {
		if len(p) == 0 {
			continue
		}
		if err := memory.Write(s.mem.address+uintptr(s.sent.Load()), p); err != nil {
			return s.mem.fault(s.sent.Load(), err)
		}
		s.sent.Add(int64(len(p)))
	}
	return nil
}

func (s *MemSink) Flush() error  { return nil }
func (s *MemSink) Finish() error { return nil }

// Sent is how many bytes were written. Any goroutine.
func (s *MemSink) Sent() int64 { return s.sent.Load() }

// Delivered is the same. Any goroutine.
func (s *MemSink) Delivered() int64 { return s.Sent() }

func (s *MemSink) Close() error { return nil }
