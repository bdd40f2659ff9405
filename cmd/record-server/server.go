// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/live"
	"msprecord/cmd/record-server/page"
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

// listener hands out sockets, with keep-alive probes that notice within about
// half a minute that a device lost its power.
type listener struct{ *net.TCPListener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4})
	return &socket{TCPConn: c}, nil
}

// socket is a connection that tells before it reads. What arrived in one read
// goes to the file in one write, however many messages it was, and nothing is
// left in memory while a connection waits.
type socket struct {
	*net.TCPConn
	beforeRead func() error
}

func (s *socket) Read(p []byte) (int, error) {
	if s.beforeRead != nil {
		if err := s.beforeRead(); err != nil {
			return 0, err
		}
	}
	return s.TCPConn.Read(p)
}

// server receives streams on both wires. The path of a URL tells them apart:
// / is mux, anything else the name of a raw stream.
type server struct {
	store  *store
	status *status
	hub    *live.Hub
	pages  http.Handler
	format format
	raw    bool // no WAV headers

	mu       sync.Mutex
	stopping bool
	conns    map[*conn]struct{}
	files    map[string]*stream // that are shown and have not ended
	wg       sync.WaitGroup     // one for each connection

	ids      sync.Mutex // handshakes of streams that can be resumed; taken before mu
	lines    map[string]*line
	awayTime time.Duration
}

func newServer(st *store, status *status, f format, raw bool) *server {
	s := &server{
		store: st, status: status, format: f, raw: raw, awayTime: awayTime,
		hub: live.New(status.now), conns: map[*conn]struct{}{}, files: map[string]*stream{}, lines: map[string]*line{},
	}
	s.pages = page.New(st.root, s.hub, f, s.setFormat)
	return s
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
	if strings.HasPrefix(r.URL.Path, page.Prefix) {
		s.pages.ServeHTTP(w, r)
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
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
	c := &conn{srv: s, peer: r.RemoteAddr, format: f, buf: make([]byte, bufferSize)}
	name := strings.TrimPrefix(r.URL.Path, "/")
	answer := http.Header{}
	if c.mux = name == ""; c.mux {
		c.byName = map[string]*stream{} // its senders do not resume
	} else if err := s.use(c, r, name, answer); err != nil {
		s.refuse(w, r, httpStatus(err), err)
		return
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
	return st, nil
}

// started shows a stream.
func (s *server) started(st *stream) {
	s.status.started(st)
	st.live = s.hub.Start(st.name, st.peer, st.format, st.base)
	s.mu.Lock()
	s.files[st.name] = st
	s.mu.Unlock()
}

// over tells how a stream ended.
func (s *server) over(st *stream, how string, ok bool) {
	s.status.ended(st, how, ok)
	st.live.End(how)
	st.ended(how)
	s.mu.Lock()
	if s.files[st.name] == st {
		delete(s.files, st.name)
	}
	s.mu.Unlock()
}

// refuse answers a handshake that is not taken, with the reason.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, status int, reason error) {
	text := fmt.Sprintf("%d: %s", status, printable(strings.TrimPrefix(reason.Error(), "websocket: ")))
	w.Header().Set("Connection", "close") // a refused sender should not hold a descriptor
	s.status.say("refused %s with %s", r.RemoteAddr, text)
	http.Error(w, "record-server: refused with "+text, status)
}

func httpStatus(err error) int {
	var (
		bad archive.NameError
		no  *refusal
	)
	switch {
	case errors.As(err, &no):
		return no.status
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// page is for whoever comes without a WebSocket: the page for browsers, and
// the streams as text for curl and the like. Paths other than / are those
// of streams and have no page, so that a script does not take this text for
// a recording.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.pages.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "record-server: only GET", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path != "/" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusUpgradeRequired)
	}
	fmt.Fprintf(w, "This is record-server: it stores what is sent to it over a WebSocket.\n"+
		"Send binary messages to ws://%s/NAME and they are appended to the file NAME.\n\n", printable(r.Host))
	s.status.page(w)
}
