// SPDX-License-Identifier: MIT

package core

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// The errors of a session's life. What an endpoint met wraps its own errno.
var (
	errNoSession = wrap("no such session: it was never registered, or is unregistered already", syscall.EINVAL)
	errRunning   = wrap("the session runs: call record_stop first", syscall.EBUSY)
	errStarted   = wrap("the session runs already: call record_stop before starting it again", syscall.EALREADY)
	errInside    = wrap("called inside the session's own callback: the session ends after it, and record_stop from another thread waits for that", syscall.EDEADLK)
	errCanceled  = wrap("stopped while it was starting", syscall.ECANCELED)
	errDialing   = wrap("the dial callback has not returned (its memory is still in use)", syscall.ETIMEDOUT)
	errTimeout   = wrap("stop_timeout is over", syscall.ETIMEDOUT)
)

type lifeError struct {
	text  string
	errno syscall.Errno
}

func wrap(text string, errno syscall.Errno) error { return &lifeError{text, errno} }
func (e *lifeError) Error() string                { return e.text }
func (e *lifeError) Unwrap() error                { return e.errno }

// Errno is the negative number that an error is to a C caller, 0 for nil.
func Errno(err error) int {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno) && errno != 0:
		return -int(errno)
	case errors.Is(err, os.ErrNotExist):
		return -int(syscall.ENOENT)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return -int(syscall.ETIMEDOUT)
	}
	return -int(syscall.EIO)
}

// both is errors.Join on one line; each may be nil.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

// Guarded turns a panic of do into an error: the process must not die of one,
// nor of a ring whose memory the program has unmapped.
func Guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = ours(fault)
		}
	}()
	return do()
}

// ours is what recover returned as an error: it does not end the host. Only
// where an address could not be read or written, which is not near NULL, is it
// the program's memory that is at fault; all the rest is a fault of the library.
func ours(fault any) error {
	var memory interface {
		runtime.Error
		Addr() uintptr
	}
	if err, ok := fault.(error); ok && errors.As(err, &memory) {
		return fmt.Errorf("the ring's memory is not there (was it freed while the session runs?): nothing is mapped at %#x: %w", memory.Addr(), syscall.EFAULT)
	}
	return fmt.Errorf("a fault of the library, please report it: %v: %w", fault, syscall.EIO)
}

// guarded is do, with a fault of the library as an error.
func guarded(do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = ours(fault)
		}
	}()
	return do()
}

// A logged error is one that core has logged itself.
type logged struct{ error }

func (e logged) Unwrap() error { return e.error }

// Logged tells whether an error need not be logged again.
func Logged(err error) bool {
	var l logged
	return errors.As(err, &l)
}
