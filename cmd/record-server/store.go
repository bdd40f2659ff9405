// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"

	"msprecord/cmd/record-server/archive"
)

const (
	maxSuffix = 9999 // the last _N that is tried
	smallFile = 1024 // bytes that a file takes with nothing in it, and its note
)

// suffixed is name with _n before its extension, shortened where it would
// become too long for a file.
func suffixed(name string, n int) string {
	dir, base := path.Split(name)
	ext := path.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	ext = fmt.Sprintf("_%d%s", n, ext)
	for len(stem)+len(ext) > archive.MaxComponent && stem != "" {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return dir + stem + ext
}

// storage is what a stream needs of its file.
type storage interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Close() error
}

// store is the directory that streams go to. Files are opened through an
// os.Root, so neither a name nor a symbolic link leads out of it.
type store struct {
	root  *os.Root
	usage usage
	// create makes a file that was not there, or fails with fs.ErrExist.
	// Tests put disks that fail here.
	create func(name string) (storage, error)
}

// openStore makes dir where it is missing and proves that it can be written,
// so that a server says at its start what every stream would say later.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	// A hidden name, so that it can't be one of a stream.
	probe := fmt.Sprintf(".record-server-%d", os.Getpid())
	f, err := root.OpenFile(probe, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		root.Close()
		return nil, err
	}
	f.Close()
	root.Remove(probe)
	s := &store{root: root}
	s.create = func(name string) (storage, error) {
		return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	return s, nil
}

func (s *store) close() error { return s.root.Close() }

// open creates the file of a stream and returns it with its real name: name,
// or the first of name_1, name_2, … that is free. What is there already is
// never touched, and two streams that ask for one name get two files.
func (s *store) open(name string) (storage, string, error) {
	if err := archive.CheckName(name); err != nil {
		return nil, "", err
	}
	if dir := path.Dir(name); dir != "." {
		if err := s.root.MkdirAll(dir, 0o755); err != nil {
			return nil, "", fmt.Errorf("cannot make the directory %s: %w", dir, cause(err))
		}
	}
	if err := s.take(smallFile); err != nil {
		return nil, "", err
	}
	real := name
	for n := 1; ; n++ {
		f, err := s.create(real)
		if err == nil {
			return f, real, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, "", fmt.Errorf("cannot create %s: %w", real, cause(err))
		}
		if n > maxSuffix {
			return nil, "", fmt.Errorf("cannot create %s: it and %d more like it exist", name, maxSuffix)
		}
		real = suffixed(name, n)
	}
}

// remove takes back a file that open made and that has nothing in it.
func (s *store) remove(name string) {
	s.root.Remove(name)
	s.root.Remove(archive.NoteName(name))
}

// cause is err without the operation, path and addresses that os and net put
// before it: they are of no use to a peer, and the sentence around has the name.
func cause(err error) error {
	var (
		number syscall.Errno
		path   *fs.PathError
		op     *net.OpError
	)
	switch {
	case errors.As(err, &number):
		return number
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}
