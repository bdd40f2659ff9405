// SPDX-License-Identifier: MIT

package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"msprecord/internal/doorbell"

	"msprecord/internal/memory/memorytest"
)

const wait = 10 * time.Second

func newWaker(t *testing.T) *doorbell.Waker {
	t.Helper()
	w, err := doorbell.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestAFileIsReadToItsEndAndWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a file")
	file, err := NewFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Source(t.Context(), wait, 10); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a file that is not there: %v", err)
	}
	sink, err := file.Sink(t.Context(), wait, newWaker(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*fileBatch+17)
	memorytest.Fill(want)
	for at := 0; at < len(want); at += 1000 {
		if _, err := sink.Reserve(1000); err != nil {
			t.Fatal(err)
		}
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
	source, err := file.Source(t.Context(), wait, 4096)
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
	source, err := File{path}.Source(t.Context(), wait, 4)
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
	if _, err := (File{t.TempDir()}).Source(t.Context(), wait, 10); !errors.Is(err, syscall.EINVAL) {
		t.Fatal(err)
	}
}

func newFIFO(t *testing.T) File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return File{path}
}

func TestAFIFOThatNobodyReadsIsRefusedInTime(t *testing.T) {
	begun := time.Now()
	_, err := newFIFO(t).Sink(t.Context(), 100*time.Millisecond, newWaker(t), nil)
	if !errors.Is(err, syscall.ENXIO) || !strings.Contains(err.Error(), "reader") {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > wait/2 {
		t.Fatalf("it took %v", took)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(syscall.ECANCELED) })
	if _, err := newFIFO(t).Sink(ctx, time.Hour, newWaker(t), nil); !errors.Is(err, syscall.ECANCELED) {
		t.Fatal(err)
	}
}

// fillUp puts bytes until the sink takes no more, and then ends its run. It
// returns how many were put.
func fillUp(t *testing.T, sink *FileSink, cancel context.CancelCauseFunc) (put int64) {
	t.Helper()
	timer := time.AfterFunc(200*time.Millisecond, func() { cancel(syscall.ETIMEDOUT) })
	defer timer.Stop()
	for chunk := make([]byte, 4096); put < 1<<30; put += int64(len(chunk)) {
		if _, err := sink.Reserve(len(chunk)); err != nil {
			if !errors.Is(err, syscall.ETIMEDOUT) {
				t.Fatal(err)
			}
			return put
		}
		if err := sink.Put(chunk, nil); err != nil {
			t.Fatal(err)
		}
		timer.Reset(200 * time.Millisecond)
	}
	t.Fatal("it takes everything")
	return
}

func TestAFIFOThatIsNotReadHoldsUpNobodyAndIsCountedExactly(t *testing.T) {
	fifo := newFIFO(t)
	reader, err := os.OpenFile(fifo.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	sink, err := fifo.Sink(ctx, wait, newWaker(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	put := fillUp(t, sink, cancel)
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.Copy(io.Discard, reader)
	if err != nil || got != sink.Sent() || got >= put {
		t.Fatalf("%d bytes were put, %d count as sent, the FIFO has %d, %v", put, sink.Sent(), got, err)
	}
}

// A pipe whose write(2) blocks is what a file on a file system that hangs is.
func TestAWriteThatHangsIsLeftBehind(t *testing.T) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	sink := &FileSink{ctx: ctx, path: "hangs", waker: newWaker(t), fd: fd[1]}
	fillUp(t, sink, cancel)
	begun := time.Now()
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > wait/2 {
		t.Fatalf("closing took %v", took)
	}
	for b := make([]byte, 1<<16); ; { // it goes on, and closes the pipe: then comes the end
		if n, err := unix.Read(fd[0], b); n == 0 || err != nil {
			break
		}
	}
	unix.Close(fd[0])
}

func TestACallThatHangsEndsWithItsContext(t *testing.T) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := fileCall{op: fileWrite, path: "hangs", fd: fd[1], buf: make([]byte, 1<<20)}.wait(ctx)
	if !errors.Is(r.err, syscall.ETIMEDOUT) {
		t.Fatal(r.err)
	}
	unix.Close(fd[0])
	unix.Close(fd[1])
}

func TestALinkToTheSourceIsNoDestination(t *testing.T) {
	dir := t.TempDir()
	file := File{filepath.Join(dir, "file")}
	if err := os.WriteFile(file.path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := file.Source(t.Context(), wait, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	link := File{filepath.Join(dir, "link")}
	if err := os.Link(file.path, link.path); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Sink(t.Context(), wait, newWaker(t), source); !errors.Is(err, syscall.EINVAL) {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file.path); string(got) != "precious" {
		t.Fatalf("the file has %q", got)
	}
}
