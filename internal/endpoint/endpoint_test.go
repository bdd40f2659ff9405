// SPDX-License-Identifier: MIT

package endpoint

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"

	"msprecord/internal/memory/memorytest"
)

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
	m := memorytest.Pages(t, 3)
	memorytest.Fill(m)
	mem, err := NewMem(uint64(memorytest.AddressOf(m)), uint64(len(m)))
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
	m := memorytest.Pages(t, 2)
	good := uint64(memorytest.AddressOf(m))
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
