// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/gorilla/websocket"
)

// lost says how a connection ended, with the errno it stands for.
func lost(err error) error {
	var closed *websocket.CloseError
	var errno syscall.Errno
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure, errors.Is(err, io.EOF):
		return fault(syscall.EPIPE, "the server ended it")
	case errors.As(err, &closed):
		text := fmt.Sprintf("the server closed it with %d", closed.Code)
		if closed.Text != "" {
			text += fmt.Sprintf(" %q", closed.Text)
		}
		return &closeError{closed.Code, fault(syscall.EPIPE, "%s", text)}
	case errors.As(err, new(*told)):
		return err
	case errors.As(err, &errno):
		return errno // addresses and the call's name say nothing to a user
	}
	return fault(syscall.EPIPE, "%v", err)
}

// fault is an error whose sentence is whole without its errno's.
func fault(errno syscall.Errno, format string, args ...any) error {
	return &told{fmt.Sprintf(format, args...), errno}
}

type told struct {
	text  string
	errno syscall.Errno
}

func (e *told) Error() string { return e.text }
func (e *told) Unwrap() error { return e.errno }

// A closeError is a close frame's code with its sentence.
type closeError struct {
	code int
	error
}

func (e *closeError) Unwrap() error { return e.error }

// final tells whether dialling again cannot mend an error.
func final(err error) bool {
	var closed *closeError
	if errors.As(err, &closed) {
		switch closed.code {
		case websocket.CloseProtocolError, websocket.CloseUnsupportedData,
			websocket.CloseInvalidFramePayloadData, websocket.ClosePolicyViolation:
			return true
		}
		return false
	}
	var refused *refusal
	return errors.As(err, &refused) && refused.final
}
