// SPDX-License-Identifier: MIT

package memory

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"msprecord/internal/memory/memorytest"
)

func TestMemoryIsMovedByACallAndThroughAPipe(t *testing.T) {
	m := memorytest.Pages(t, 6)
	memorytest.Fill(m)
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
		if err := move(got, memorytest.AddressOf(m), how.read, readThroughPipe(got, memorytest.AddressOf(m))); err != nil {
			t.Fatalf("%s: %v", how.name, err)
		}
		if !bytes.Equal(got, m) {
			t.Fatalf("%s: read something else", how.name)
		}
		back := make([]byte, len(m))
		for i := range back {
			back[i] = ^m[i]
		}
		if err := move(back, memorytest.AddressOf(m), how.write, writeThroughPipe(memorytest.AddressOf(m), back)); err != nil {
			t.Fatalf("%s: %v", how.name, err)
		}
		if !bytes.Equal(m, back) {
			t.Fatalf("%s: wrote something else", how.name)
		}
		over := make([]byte, len(m)+1)
		if err := move(over, memorytest.AddressOf(m), how.read, readThroughPipe(over, memorytest.AddressOf(m))); !errors.Is(err, syscall.EFAULT) {
			t.Fatalf("%s: reading past the mapping: %v", how.name, err)
		}
		if err := move(over, memorytest.AddressOf(m), how.write, writeThroughPipe(memorytest.AddressOf(m), over)); !errors.Is(err, syscall.EFAULT) {
			t.Fatalf("%s: writing past the mapping: %v", how.name, err)
		}
	}
}
