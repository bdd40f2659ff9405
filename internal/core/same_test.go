// SPDX-License-Identifier: MIT

package core

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"msprecord/internal/ringbuffer/ringtest"
)

// However the destination comes to be the source's own file between register
// and start, the file keeps its bytes.
func TestAFileThatIsItsOwnDestinationKeepsItsBytes(t *testing.T) {
	want := bytes.Repeat([]byte("precious "), 10_000)
	for name, become := range map[string]func(t *testing.T, from, to string) error{
		"hard link": func(_ *testing.T, from, to string) error { return os.Link(from, to) },
		"symlink":   func(_ *testing.T, from, to string) error { return os.Symlink(from, to) },
		"symlink to a symlink": func(_ *testing.T, from, to string) error {
			return errors.Join(os.Symlink(from, to+".1"), os.Symlink(to+".1", to))
		},
		"link replaced while it is there": func(_ *testing.T, from, to string) error {
			return errors.Join(os.WriteFile(to, []byte("other"), 0o600), os.Remove(to), os.Link(from, to))
		},
		"renamed and linked back": func(_ *testing.T, from, to string) error {
			return errors.Join(os.Rename(from, to), os.Link(to, from))
		},
		"bind mount": func(t *testing.T, from, to string) error {
			if err := os.WriteFile(to, nil, 0o600); err != nil {
				return err
			}
			if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
				t.Skip("no right to mount: ", err)
			}
			t.Cleanup(func() { unix.Unmount(to, unix.MNT_DETACH) })
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
			if err := os.WriteFile(from, want, 0o600); err != nil {
				t.Fatal(err)
			}
			s := register(t, "file://"+from, "sdbuffer://handle="+to)
			if err := become(t, from, to); err != nil {
				t.Fatal(err)
			}
			refusesItself(t, s, from, to, want)
		})
	}
}

// A descriptor's number names a file, and another one a moment later.
func TestADescriptorThatBecomesTheSourceIsNotEmptied(t *testing.T) {
	want := bytes.Repeat([]byte("precious "), 10_000)
	for _, form := range []string{"/dev/fd/%d", "/proc/self/fd/%d"} {
		dir := t.TempDir()
		from := filepath.Join(dir, "from")
		if err := os.WriteFile(from, want, 0o600); err != nil {
			t.Fatal(err)
		}
		other, err := os.Create(filepath.Join(dir, "other"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		to := fmt.Sprintf(form, other.Fd())
		s := register(t, "file://"+from, "file://"+to)
		again, err := os.OpenFile(from, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := unix.Dup3(int(again.Fd()), int(other.Fd()), unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		refusesItself(t, s, from, to, want)

		if _, err := Register("file://"+from, "file://"+to); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: registering it: %v", to, err)
		}
	}
}

func refusesItself(t *testing.T, s *Session, from, to string, want []byte) {
	t.Helper()
	err := s.Start(Caller{})
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "from "+from+" and to "+to+" are the same file") {
		t.Errorf("start: %v", err)
	}
	if got, err := os.ReadFile(from); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestAnExistingDestinationIsEmptied(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := errors.Join(os.WriteFile(from, []byte("new"), 0o600), os.WriteFile(to, []byte("a longer old text"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := register(t, "file://"+from, "file://"+to)
	if err := s.Start(Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(-1, Caller{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSourceAndDestinationAreNotOneThing(t *testing.T) {
	ring := ringtest.New(t, 100)
	handle := fmt.Sprintf("ringbuffer://handle=%d", ring.Address())
	mem := func(address, size int) string { return fmt.Sprintf("mem://address=%d&size=%d", address, size) }
	for _, c := range []struct{ from, to, words string }{
		{handle, handle, "are the same ring"},
		{handle, fmt.Sprintf("rbuf://handle=%#x", ring.Address()), "are the same ring"},
		{mem(1000, 10), mem(1000, 10), "overlap in memory"},
		{mem(1000, 10), mem(1009, 1), "overlap in memory"},
		{mem(1000, 10), mem(900, 101), "overlap in memory"},
		{mem(1000, 10), mem(1002, 3), "overlap in memory"},
		{mem(1000, 10), mem(1010, 10), ""},
		{mem(1000, 10), mem(990, 10), ""},
		{mem(1000, 10), handle, ""},
	} {
		s, err := Register(c.from, c.to)
		if err == nil {
			s.Unregister(Caller{})
		}
		if c.words == "" {
			if err != nil {
				t.Errorf("%s to %s: %v", c.from, c.to, err)
			}
			continue
		}
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), c.words) ||
			!strings.Contains(err.Error(), c.from) || !strings.Contains(err.Error(), c.to) {
			t.Errorf("%s to %s: %v, want both named and %q", c.from, c.to, err, c.words)
		}
	}
}
