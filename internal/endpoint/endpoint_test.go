// SPDX-License-Identifier: MIT

package endpoint

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
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

// drain reads a source to its end in pieces of chunk bytes.
func drain(t *testing.T, s interface {
	Peek(int) (a, b []byte, err error)
	Advance()
}, chunk int) []byte {
	t.Helper()
	var got []byte
	for {
		a, b, err := s.Peek(chunk)
		if err == io.EOF {
			return got
		}
		if err != nil || len(a)+len(b) == 0 || len(a)+len(b) > chunk {
			t.Fatalf("Peek(%d) = %d and %d bytes, %v", chunk, len(a), len(b), err)
		}
		got = append(append(got, a...), b...)
		s.Advance()
	}
}

func TestMemoryIsASourceOnceAndADestinationUntilFull(t *testing.T) {
	m := pages(t, 3)
	fill(m)
	mem, err := NewMem(uint64(addressOf(m)), uint64(len(m)))
	if err != nil {
		t.Fatal(err)
	}
	source, err := mem.Source(1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := drain(t, source, 1000); !bytes.Equal(got, m) {
		t.Fatalf("read %d bytes that differ from the %d there", len(got), len(m))
	}
	sink, err := mem.Sink()
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("xyz"), len(m))[:len(m)]
	for at := 0; at < len(want); {
		n, err := sink.Reserve(777)
		if err != nil || n == 0 {
			t.Fatalf("Reserve at %d of %d = %d, %v", at, len(want), n, err)
		}
		if err := sink.Put(want[at:at+n/2], want[at+n/2:at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if n, err := sink.Reserve(1); n != 0 || err != nil {
		t.Fatalf("Reserve of full memory = %d, %v", n, err)
	}
	if !bytes.Equal(m, want) {
		t.Fatal("the memory differs from what was put")
	}
}

func TestMemoryThatIsNotThereIsAnError(t *testing.T) {
	m := pages(t, 2)
	good := uint64(addressOf(m))
	for _, row := range []struct{ address, size uint64 }{
		{1, 1}, {good, uint64(len(m)) + 1}, {good + uint64(len(m)), 1}, {1 << 63, 10},
	} {
		mem, err := NewMem(row.address, row.size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mem.Source(100); !errors.Is(err, syscall.EFAULT) {
			t.Errorf("%#x, %d bytes: %v, want EFAULT", row.address, row.size, err)
		}
	}
	for _, row := range []struct{ address, size uint64 }{{0, 1}, {good, 0}, {1<<64 - 5, 10}, {5, 1<<64 - 1}} {
		if _, err := NewMem(row.address, row.size); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%#x, %d bytes: %v, want EINVAL", row.address, row.size, err)
		}
	}
}

func TestAFileIsReadToItsEndAndWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a file")
	file, err := NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Source(10); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a file that is not there: %v", err)
	}
	sink, err := file.Sink(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*fileBatch+17)
	fill(want)
	for at := 0; at < len(want); at += 1000 {
		end := min(at+1000, len(want))
		if err := sink.Put(want[at:at+1], want[at+1:end]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sink.Finish(), sink.Close()); err != nil {
		t.Fatal(err)
	}
	if sink.Sent() != int64(len(want)) {
		t.Fatalf("sent %d of %d", sink.Sent(), len(want))
	}
	source, err := file.Source(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if got := drain(t, source, 4096); !bytes.Equal(got, want) {
		t.Fatal("read something else")
	}
}

func TestAFilesEndStaysWhereItWasSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growing")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := File{path}.Source(4)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	source.SetEnd()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("after")
	f.Close()
	if got := drain(t, source, 4); string(got) != "before" {
		t.Fatalf("read %q", got)
	}
}

func TestADirectoryIsNoSource(t *testing.T) {
	if _, err := (File{t.TempDir()}).Source(10); !errors.Is(err, syscall.EINVAL) {
		t.Fatal(err)
	}
}
