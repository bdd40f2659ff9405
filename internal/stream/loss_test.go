// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestAPongThatCameBeforeTheLossCounts(t *testing.T) {
	url := serve(t, func(ws *websocket.Conn) {
		ws.SetPingHandler(func(p string) error {
			ws.WriteControl(websocket.PongMessage, []byte(p), time.Now().Add(time.Second))
			return errors.New("enough")
		})
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return // ends the connection
			}
		}
	})
	s := dial(t, context.Background(), url)
	put(t, s, make([]byte, 300_000))
	if err := s.flush(false); err != nil {
		t.Fatal(err)
	}
	<-s.link.(*link).readDone
	if acked := s.link.acks().acked.Load(); acked != 300_000 {
		t.Fatal("no pong came:", acked)
	}
	if err := s.attend(); err != nil {
		t.Fatal(err)
	}
	if s.Delivered() != 300_000 {
		t.Errorf("confirmed were 300000 bytes, counted as delivered %d: they will be sent again", s.Delivered())
	}
}

func TestABacklogThatBreaksOffHalfWayIsTakenUpThere(t *testing.T) {
	var held, conns atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := conns.Add(1)
		var upgrader websocket.Upgrader
		ws, err := upgrader.Upgrade(w, r, http.Header{"Record-Offset": {strconv.FormatInt(held.Load(), 10)}})
		if err != nil {
			return
		}
		defer ws.Close()
		for n > 1 { // the first is closed at once
			_, p, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if held.Add(int64(len(p))) > 1<<20 && n == 2 {
				reset(ws.NetConn())
				return
			}
		}
	}))
	defer h.Close()
	cfg := faultyConfig(t, "ws"+strings.TrimPrefix(h.URL, "http")+"/x.pcm")
	cfg.ReplayBytes = 32 << 20
	s := open(t, context.Background(), cfg)
	for s.link != nil {
		<-s.waker.C
		if err := s.attend(); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for ; total < 16<<20; total += 4096 { // while offline
		if !s.window.full(maxHeader+4096) && s.window.place(maxHeader+4096) {
			s.Put(numbers(total, 4096), nil)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if held.Load() != int64(total) {
		t.Errorf("%d of %d", held.Load(), total)
	}
}
