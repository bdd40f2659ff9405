// SPDX-License-Identifier: MIT

package stream

import (
	"encoding/binary"
	"syscall"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

const (
	rsvBits    = 0x70 // section 5.2: reserved for extensions, of which none is agreed on
	opBits     = 0x0F
	maxControl = 125 // section 5.5: bytes of a control frame's payload
)

// An inbox takes a server's frames apart as they come in, in pieces of any
// size. Control frames are acted on; what messages say is skipped.
type inbox struct {
	head    [10]byte // of the frame that comes in
	got     int      // bytes of head
	body    bool     // it is whole
	open    bool     // a message has begun, and its last frame is still to come
	left    uint64   // bytes of the payload still to come
	payload []byte   // what came so far of a control frame's
}

// take takes what was read, and hands each whole control frame to act, whose
// error ends it.
func (in *inbox) take(p []byte, act func(opcode byte, payload []byte) error) error {
	for len(p) > 0 {
		if !in.body {
			n := copy(in.head[in.got:in.headSize()], p)
			in.got += n
			p = p[n:]
			if in.got < in.headSize() {
				continue
			}
			if err := in.begin(); err != nil {
				return err
			}
		}
		part := p[:min(in.left, uint64(len(p)))]
		p = p[len(part):]
		in.left -= uint64(len(part))
		opcode := in.head[0] & opBits
		if opcode >= opClose && (in.left > 0 || in.payload != nil) {
			in.payload = append(in.payload, part...)
			part = in.payload
		}
		if in.left > 0 {
			continue
		}
		in.got, in.body, in.payload = 0, false, nil
		if opcode >= opClose {
			if err := act(opcode, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// headSize is how long the head is, as far as it tells by now.
func (in *inbox) headSize() int {
	if in.got < 2 {
		return 2
	}
	return headSize(in.head[1])
}

// begin judges a whole head.
func (in *inbox) begin() error {
	first, n := in.head[0], payloadSize(in.head[:])
	last, control := first&finBit != 0, first&opBits >= opClose
	switch opcode := first & opBits; {
	case first&rsvBits != 0:
		return violation("a reserved bit is set (section 5.2)")
	case in.head[1]&maskBit != 0:
		return violation("a server's frame is masked (section 5.1)")
	case opcode > opBinary && opcode < opClose, opcode > opPong:
		return violation("opcode %d is reserved (section 5.2)", opcode)
	case control && (!last || n > maxControl):
		return violation("a control frame is in parts, or longer than 125 bytes (section 5.5)")
	case !control && in.open != (opcode == opContinuation):
		return violation("a message's frames are out of order (section 5.4)")
	case n>>63 != 0:
		return violation("a frame's length has its highest bit set (section 5.2)")
	}
	if !control {
		in.open = !last
	}
	in.left, in.body = n, true
	return nil
}

// violation is a server's breach of RFC 6455.
func violation(format string, args ...any) error {
	return fault(syscall.EPROTO, "the server breaks RFC 6455: "+format, args...)
}

// parseClose reads a close frame's payload (section 5.5.1).
func parseClose(payload []byte) (*websocket.CloseError, error) {
	if len(payload) == 0 {
		return &websocket.CloseError{Code: websocket.CloseNoStatusReceived}, nil
	}
	if len(payload) == 1 || !utf8.Valid(payload[2:]) {
		return nil, violation("a close frame has half a code, or a reason that is not UTF-8 (section 5.5.1)")
	}
	code := int(binary.BigEndian.Uint16(payload))
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return &websocket.CloseError{Code: code, Text: string(payload[2:])}, nil
	}
	return nil, violation("%d is no code for a close frame (section 7.4)", code)
}
