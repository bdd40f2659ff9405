// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/live"
	"msprecord/cmd/record-server/page"
	"msprecord/cmd/record-server/pcm"
)

const (
	maxMessage = 32 << 20 // of one message; longer ones close the connection with 1009
	bufferSize = 64 << 10 // of what is read from a connection, and of what waits for its file
	maxStreams = 256      // of one mux connection, since each is an open file

	answerTime = 5 * time.Second // for a peer to take a pong or a close
	closeGrace = 2 * time.Second // for a peer to answer a close of ours
	drainTime  = time.Second     // for a peer to hang up after that
	maxDrain   = 64 << 20        // what it may still send meanwhile
)

// server receives streams on both wires. The path of a URL tells them apart:
// / is mux, anything else the name of a raw stream.
type server struct {
	store  *store
	status *status
	hub    *live.Hub
	pages  *page.Handler
	format format
	raw    bool // no WAV headers
	gate   *gate

	mu       sync.Mutex
	stopping bool
	conns    map[*conn]struct{}
	files    map[string]*stream // that are shown and have not ended
	wg       sync.WaitGroup     // one for each connection

	ids      sync.Mutex // handshakes of streams that can be resumed; taken before mu
	lines    map[string]*line
	awayTime time.Duration
}

func newServer(st *store, status *status, c config) *server {
	s := &server{
		store: st, status: status, format: c.format, raw: c.raw, gate: newGate(c), awayTime: awayTime,
		hub: live.New(status.now), conns: map[*conn]struct{}{}, files: map[string]*stream{}, lines: map[string]*line{},
	}
	s.pages = page.New(st.root, s.hub, c.format, s.setFormat)
	if st.usage.limit = c.limits.dir; st.usage.limit > 0 {
		st.usage.used.Store(archive.Size(st.root))
	}
	return s
}

// http returns the HTTP server for s. No peer holds it up for long.
func (s *server) http() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(s.status, "", 0),
	}
}

// begin counts a connection in, unless the server is stopping.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.wg.Add(1)
	return true
}

// stop closes all connections with 1001 and returns when what their peers had
// sent is stored. Peers that do not answer are cut off after closeGrace.
func (s *server) stop() {
	s.mu.Lock()
	s.stopping = true
	for c := range s.conns {
		go c.goAway()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.endAll()
	s.hub.Close()
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrade := websocket.IsWebSocketUpgrade(r)
	switch {
	case !upgrade && r.URL.Path == "/healthz":
		s.health(w)
		return
	case !s.gate.knows(r):
		s.stranger(w, r, upgrade)
		return
	case strings.HasPrefix(r.URL.Path, page.Prefix):
		s.pages.ServeHTTP(w, r)
		return
	case !upgrade && r.URL.Path == "/metrics":
		s.metrics(w)
		return
	case !upgrade:
		s.page(w, r)
		return
	}
	if !s.begin() {
		s.refuse(w, r, http.StatusServiceUnavailable, errors.New("the server is stopping"))
		return
	}
	defer s.wg.Done()

	f, err := s.format.WithQuery(r.URL.RawQuery)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err)
		return
	}
	c := &conn{srv: s, peer: r.RemoteAddr, format: f, hint: pcm.QueryHint(r.URL.RawQuery)}
	defer func() { s.gate.leave(c.peer, c.admitted) }()
	name := strings.TrimPrefix(r.URL.Path, "/")
	answer := http.Header{}
	if c.mux = name == ""; c.mux {
		c.byName = map[string]*stream{} // its senders do not resume
	} else if err := s.use(c, r, name, answer); err != nil {
		s.refuse(w, r, httpStatus(err), err)
		return
	} else {
		c.cur.hint = c.hint
	}

	// CheckOrigin stays at its default: whatever is no browser sends no
	// Origin, and a page from another host is refused with 403.
	up := websocket.Upgrader{
		HandshakeTimeout: answerTime,
		ReadBufferSize:   bufferSize,
		WriteBufferSize:  512, // control frames only
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			w.Header().Set("Sec-WebSocket-Version", "13")
			s.refuse(w, r, status, reason)
		},
	}
	c.ws, err = up.Upgrade(w, r, answer)
	if err != nil {
		switch {
		case c.line != nil:
			s.unanswered(c)
		case c.cur != nil:
			c.cur.finish()
			s.store.remove(c.cur.name)
		}
		return
	}
	switch {
	case c.line != nil:
		s.joined(c)
	case c.cur != nil:
		s.started(c.cur)
	}
	if c.cur != nil {
		c.streams = append(c.streams, c.cur)
	}
	c.buf = make([]byte, bufferSize)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	if s.stopping {
		go c.goAway()
	}
	if c.evicted {
		c.evict()
	}
	s.mu.Unlock()
	c.run()
}

// use sets the stream of a raw connection, and what the answer says of it.
func (s *server) use(c *conn, r *http.Request, name string, answer http.Header) error {
	cl, err := claimed(r.Header)
	if err != nil {
		return err
	}
	if cl == nil {
		if err = s.gate.admit(c.peer, false); err != nil {
			return err
		}
		c.admitted++
		c.cur, err = s.open(name, c.peer, c.format)
		return err
	}
	offset, err := s.attach(c, cl, name)
	answer.Set(offsetHeader, strconv.FormatInt(offset, 10))
	return err
}

// open creates the file of a stream.
func (s *server) open(asked, peer string, f format) (*stream, error) {
	file, name, err := s.store.open(asked)
	if err != nil {
		return nil, err
	}
	st, err := newStream(file, name, asked, peer, f, s.raw, s.status.now())
	if err != nil {
		file.Close()
		s.store.remove(name)
		return nil, err
	}
	st.begin(s.store.root)
	st.rotate = s.rotation()
	return st, nil
}

// rotation is that of a file which is stored to from now on.
func (s *server) rotation() *rotation {
	l := s.gate.limits
	if l.rotateSize == 0 && l.rotateTime == 0 && l.dir == 0 {
		return nil
	}
	return &rotation{store: s.store, size: l.rotateSize, time: l.rotateTime, began: time.Now(), moved: s.moved}
}

// moved is called, with st locked, when it goes on in another file.
func (s *server) moved(st *stream, from, to string) {
	s.mu.Lock()
	if s.files[from] == st {
		delete(s.files, from)
		s.files[to] = st
	}
	s.mu.Unlock()
	st.live.Rename(to)
	s.status.moved(st, from, to)
}

// started shows a stream.
func (s *server) started(st *stream) {
	s.status.started(st)
	st.live = s.hub.Start(st.name, st.peer, st.format, st.base)
	s.mu.Lock()
	s.files[st.now] = st
	s.mu.Unlock()
}

// over tells how a stream ended.
func (s *server) over(st *stream, how string, ok bool) {
	s.status.ended(st, how, ok)
	st.live.End(how)
	st.ended(how)
	s.mu.Lock()
	if s.files[st.now] == st {
		delete(s.files, st.now)
	}
	s.mu.Unlock()
}
