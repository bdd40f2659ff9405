// SPDX-License-Identifier: MIT

package memory

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pages maps n pages of which the last cannot be touched.
func pages(t *testing.T, n int) []byte {
	t.Helper()
	size := os.Getpagesize()
	m, err := unix.Mmap(-1, 0, n*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	if err := unix.Mprotect(m[(n-1)*size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return m[:(n-1)*size]
}

func addressOf(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

func fill(p []byte) {
	for i := range p {
		p[i] = byte(i * 31 >> 3)
	}
}

func TestMemoryIsMovedByACallAndThroughAPipe(t *testing.T) {
	m := pages(t, 6)
	fill(m)
	notSupported := func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error) { return 0, unix.ENOSYS }
	whole := []struct {
		name        string
		read, write func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error)
	}{
		{"call", unix.ProcessVMReadv, unix.ProcessVMWritev},
		{"pipe", notSupported, notSupported},
	}
	for _, how := range whole {
		got := make([]byte, len(m))
		if err := move(got, addressOf(m), how.read, readThroughPipe(got, addressOf(m))); err != nil {
			t.Fatalf("%s: %v", how.name, err)
		}
		if !bytes.Equal(got, m) {
			t.Fatalf("%s: read something else", how.name)
		}
		back := make([]byte, len(m))
		for i := range back {
			back[i] = ^m[i]
		}
		if err := move(back, addressOf(m), how.write, writeThroughPipe(addressOf(m), back)); err != nil {
			t.Fatalf("%s: %v", how.name, err)
		}
		if !bytes.Equal(m, back) {
			t.Fatalf("%s: wrote something else", how.name)
		}
		over := make([]byte, len(m)+1)
		if err := move(over, addressOf(m), how.read, readThroughPipe(over, addressOf(m))); !errors.Is(err, syscall.EFAULT) {
			t.Fatalf("%s: reading past the mapping: %v", how.name, err)
		}
		if err := move(over, addressOf(m), how.write, writeThroughPipe(addressOf(m), over)); !errors.Is(err, syscall.EFAULT) {
			t.Fatalf("%s: writing past the mapping: %v", how.name, err)
		}
	}
}
