// SPDX-License-Identifier: MIT

// Package memorytest makes memory whose end cannot be touched, for tests.
package memorytest

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pages maps n pages, of which the last cannot be touched, until the test ends,
// and returns those before it.
func Pages(t testing.TB, n int) []byte {
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

// AddressOf is where p begins.
func AddressOf(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

// Fill fills p with bytes that tell their place.
func Fill(p []byte) {
	for i := range p {
		p[i] = byte(i * 31 >> 3)
	}
}
