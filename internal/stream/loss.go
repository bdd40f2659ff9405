// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gorilla/websocket"
)

// lost says how a connection ended, with the errno it stands for.
func (d *dialer) lost(err error) error {
	var closed *websocket.CloseError
	var errno syscall.Errno
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure, errors.Is(err, io.EOF):
		return fault(syscall.EPIPE, "the server ended it")
	case errors.As(err, &closed):
		text := fmt.Sprintf("the server closed it with %d", closed.Code)
		if closed.Text != "" {
			text += fmt.Sprintf(" %q", d.say(closed.Text))
		}
		if closed.Code == websocket.CloseMessageTooBig {
			text += " (set a smaller chunk size)"
		}
		return &closeError{closed.Code, fault(syscall.EPIPE, "%s", text)}
	case errors.As(err, new(*told)):
		return err
	case errors.As(err, &errno):
		return errno // addresses and the call's name say nothing to a user
	}
	return fault(syscall.EPIPE, "%s", d.say(err.Error()))
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

// final tells whether dialling again cannot mend an error, or is not wanted.
func (c *Settings) final(err error) bool {
	var closed *closeError
	var refused *refusal
	switch {
	case errors.As(err, &closed):
		switch closed.code {
		case websocket.CloseProtocolError, websocket.CloseUnsupportedData,
			websocket.CloseInvalidFramePayloadData, websocket.ClosePolicyViolation,
			websocket.CloseMessageTooBig, websocket.CloseMandatoryExtension:
			return true
		}
		return slices.Contains(c.FinalCodes, closed.code)
	case errors.As(err, &refused):
		return slices.Contains(c.FinalCodes, refused.status)
	}
	return false
}

// ParseCodes reads FinalCodes, with commas between: close codes of RFC 6455
// section 7.4, and answers of HTTP that are no WebSocket.
func ParseCodes(list string) (codes []int, ok bool) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" && list == item {
			return nil, true
		}
		n, err := strconv.Atoi(item)
		if err != nil || (n < 200 || n > 599) && (n < 1000 || n > 4999) {
			return nil, false
		}
		codes = append(codes, n)
	}
	return codes, true
}
