// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"io"
	"strings"

	"github.com/gorilla/websocket"

	"msprecord/internal/host"
)

// maxMessage is the largest message of a server that is handed on, in bytes.
const maxMessage = 1 << 20

// breach is an error of gorilla's reader, as a violation where it is about a
// frame.
func breach(err error) error {
	var closed *websocket.CloseError
	what, ok := strings.CutPrefix(err.Error(), "websocket: ")
	if !ok || errors.As(err, &closed) {
		return err
	}
	return violation("%s", plain(what))
}

// read takes what the server says, to its end, and hands its messages to
// message, where that is not nil.
func (l *link) read(ws *websocket.Conn, message func(data []byte, text bool)) {
	var end error
	defer host.Guard("ending a reader")
	defer func() {
		if r := recover(); r != nil {
			end = ours(r)
		}
		l.readEnds(end)
	}()
	ws.SetPingHandler(func(payload string) error { return l.act(opPing, []byte(payload)) })
	ws.SetPongHandler(func(payload string) error { return l.act(opPong, []byte(payload)) })
	ws.SetCloseHandler(func(code int, text string) error {
		return l.act(opClose, websocket.FormatCloseMessage(code, text))
	})
	for {
		kind, body, err := ws.NextReader()
		if err == nil && message != nil {
			var data []byte
			data, err = io.ReadAll(io.LimitReader(body, maxMessage))
			if err == nil {
				l.heard.Store(clock())
				message(data, kind == websocket.TextMessage)
			}
		}
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			l.heard.Store(clock())
		}
		if err != nil {
			end = breach(err)
			return
		}
	}
}
