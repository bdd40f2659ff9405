// SPDX-License-Identifier: MIT

// Package live shows streams while they run: it reduces what arrives to what
// a picture needs and hands that to browsers, over a WebSocket of the page's
// own. Streams never wait for it. What a browser does not take in time is
// overwritten, and the browser goes on with what is new.
package live

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"msprecord/cmd/record-server/pcm"
)

// maxEnded is how many streams that have ended are still shown.
const maxEnded = 12

// Hub is the streams of a server. All its methods may be called at any time.
type Hub struct {
	now func() time.Time

	mu       sync.Mutex
	lastID   uint32
	streams  []*Stream // those that have ended first, then by their beginning
	version  int       // goes up when there is something other than bytes to tell
	browsers int
	finished chan struct{}
	closed   bool
}

// New returns a hub without streams.
func New(now func() time.Time) *Hub {
	return &Hub{now: now, finished: make(chan struct{})}
}

// Close lets browsers go.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.finished)
	}
}

// Start adds a stream. at is how much of it was stored before.
func (h *Hub) Start(name, peer string, f pcm.Format, at int64) *Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	now := h.now()
	s := &Stream{hub: h, id: h.lastID, since: now, last: now}
	s.fig = Figures{
		ID: s.id, Name: name, Peer: peer, State: Running, Started: now.UnixMilli(), Bytes: at,
	}
	s.setFormat(f)
	h.streams = append(h.streams, s)
	h.version++
	return s
}

// Browsers is how many pages are open.
func (h *Hub) Browsers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.browsers
}

// changed is called when a stream has something other than bytes to tell.
func (h *Hub) changed() {
	h.mu.Lock()
	h.version++
	h.mu.Unlock()
}

// ended moves s to those that have ended, and forgets the oldest.
func (h *Hub) ended(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	at := slices.Index(h.streams, s)
	if at < 0 {
		return
	}
	h.streams = slices.Delete(h.streams, at, at+1)
	n := slices.IndexFunc(h.streams, func(o *Stream) bool { return !o.over.Load() })
	if n < 0 {
		n = len(h.streams)
	}
	h.streams = slices.Insert(h.streams, n, s)
	if n+1 > maxEnded {
		h.streams = slices.Delete(h.streams, 0, n+1-maxEnded)
	}
}

// Streams returns the figures of all, those that run first.
func (h *Hub) Streams() []Figures {
	list, _ := h.list()
	figures := make([]Figures, 0, len(list))
	now := h.now()
	for _, s := range list {
		figures = append(figures, s.figures(now))
	}
	slices.SortStableFunc(figures, func(a, b Figures) int {
		return cmp.Compare(order[a.State], order[b.State])
	})
	return figures
}

var order = map[State]int{Running: 0, Away: 0, Ended: 1}

func (h *Hub) list() ([]*Stream, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.streams), h.version
}

// Find returns the stream that is stored under name and has not ended, or nil.
func (h *Hub) Find(name string) *Stream {
	list, _ := h.list()
	for _, s := range list {
		if !s.over.Load() && s.name() == name {
			return s
		}
	}
	return nil
}

func (h *Hub) byID(id uint32) *Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		if s.id == id {
			return s
		}
	}
	return nil
}
