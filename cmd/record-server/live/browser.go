// SPDX-License-Identifier: MIT

package live

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

const (
	maxBrowsers  = 64
	maxRequest   = 64 << 10 // bytes a browser may say at once
	tick         = 50 * time.Millisecond
	figuresEvery = time.Second
	patience     = 10 * time.Second // for a browser to take a message
	pingEvery    = 20 * time.Second
)

// request is what a browser says: which streams it shows, which it plays.
type request struct {
	Watch   []uint32 `json:"watch"`
	Spectra bool     `json:"spectra"` // of those that it shows
	Listen  uint32   `json:"listen"`
}

// browser is one page that is open. All but read runs on one goroutine.
type browser struct {
	hub     *Hub
	ws      *websocket.Conn
	watched map[*Stream]int64 // to the next column
	spectra bool
	heard   *Stream
	tap     *tap
	message []byte
}

// ServeHTTP is the WebSocket of a page. The default check refuses a page of
// another origin.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	full := h.browsers >= maxBrowsers || h.closed
	if !full {
		h.browsers++
	}
	h.mu.Unlock()
	if full {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer func() {
		h.mu.Lock()
		h.browsers--
		h.mu.Unlock()
	}()
	up := websocket.Upgrader{HandshakeTimeout: patience, WriteBufferSize: 16 << 10}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	b := &browser{hub: h, ws: ws, watched: map[*Stream]int64{}}
	defer ws.Close()
	asks, gone := make(chan request), make(chan struct{})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(gone)
		b.read(asks, stop)
	}()
	b.serve(asks, gone)
	b.watch(nil, false)
	b.listen(0)
}

// read returns when the connection has ended.
func (b *browser) read(asks chan<- request, stop <-chan struct{}) {
	b.ws.SetReadLimit(maxRequest)
	alive := func(string) error { return b.ws.SetReadDeadline(time.Now().Add(3 * pingEvery)) }
	b.ws.SetPongHandler(alive)
	alive("")
	for {
		_, p, err := b.ws.ReadMessage()
		var r request
		if err != nil || json.Unmarshal(p, &r) != nil {
			return
		}
		select {
		case asks <- r:
		case <-stop:
			return
		}
	}
}

// serve sends until the browser is gone or too slow. While a message waits to
// be taken nothing is made for it, so none queue up.
func (b *browser) serve(asks <-chan request, gone <-chan struct{}) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	var told, pinged time.Time
	version := -1
	for {
		select {
		case <-gone:
			return
		case <-b.hub.finished:
			bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
			b.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
			return
		case r := <-asks:
			b.watch(r.Watch, r.Spectra)
			b.listen(r.Listen)
			continue
		case now := <-ticks.C:
			if _, v := b.hub.list(); v != version || now.Sub(told) >= figuresEvery {
				version, told = v, now
				if b.send(websocket.TextMessage, b.figures()) != nil {
					return
				}
			}
			if now.Sub(pinged) >= pingEvery {
				pinged = now
				if b.send(websocket.PingMessage, nil) != nil {
					return
				}
			}
			if b.columns(); len(b.message) > 0 && b.send(websocket.BinaryMessage, b.message) != nil {
				return
			}
		}
	}
}

func (b *browser) send(kind int, p []byte) error {
	b.ws.SetWriteDeadline(time.Now().Add(patience))
	return b.ws.WriteMessage(kind, p)
}

func (b *browser) figures() []byte {
	p, err := json.Marshal(map[string]any{"streams": b.hub.Streams(), "now": b.hub.now().UnixMilli()})
	if err != nil {
		panic(err) // of types that all have a form in JSON
	}
	return p
}

func (b *browser) columns() {
	b.message = b.message[:0]
	for s, from := range b.watched {
		b.message, b.watched[s] = s.appendColumns(b.message, from)
	}
	if b.tap != nil {
		b.message = b.heard.appendSound(b.message, b.tap)
	}
}

func (b *browser) watch(ids []uint32, spectra bool) {
	old := b.watched
	if b.spectra {
		for s := range old {
			s.watchers.Add(-1)
		}
	}
	b.spectra = spectra
	b.watched = map[*Stream]int64{}
	for _, id := range ids {
		s := b.hub.byID(id)
		if s == nil {
			continue
		}
		if _, twice := b.watched[s]; twice {
			continue
		}
		if spectra {
			s.watchers.Add(1)
		}
		b.watched[s] = old[s]
	}
}

func (b *browser) listen(id uint32) {
	var s *Stream
	if id != 0 {
		s = b.hub.byID(id)
	}
	if s == b.heard {
		return
	}
	if b.heard != nil {
		b.heard.hush(b.tap)
	}
	b.heard, b.tap = s, nil
	if s != nil {
		b.tap = s.listen()
	}
}
