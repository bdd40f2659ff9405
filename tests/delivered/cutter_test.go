package delivered

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A cutter is a server that ends connections in every way there is, at any
// moment and whatever it has not read, as a proxy does whose own server has
// gone. What it has read of messages counts as held.
type cutter struct {
	listener net.Listener
	http     *http.Server
	pongs    bool // it answers pings
	rate     int  // bytes a second of each connection

	mu     sync.Mutex
	conns  map[*cut]bool
	pieces map[string][]*piece // of each stream, in the order of the connections
	tail   bool                // the sessions are being stopped
	ended  sync.WaitGroup      // connections
}

// A piece is what came over one connection.
type piece struct{ data []byte }

// A cut is one connection.
type cut struct {
	*websocket.Conn
	piece    *piece
	answered bool // a ping
	over     bool // nothing is stored any more
}

func newCutter(pongs bool, rate int) (*cutter, error) {
	c := &cutter{pongs: pongs, rate: rate, conns: map[*cut]bool{}, pieces: map[string][]*piece{}}
	var err error
	if c.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	c.http = &http.Server{Handler: c}
	go c.http.Serve(c.listener)
	return c, nil
}

func (c *cutter) url(name string) string { return "ws://" + c.listener.Addr().String() + "/" + name }

func (c *cutter) stopping() {
	c.mu.Lock()
	c.tail = true
	c.mu.Unlock()
}

func (c *cutter) end() error {
	c.http.Close()
	c.mu.Lock()
	for conn := range c.conns {
		conn.over = true
		conn.Close()
	}
	c.mu.Unlock()
	c.ended.Wait()
	return nil
}

// ServeHTTP reads a stream.
func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{ReadBufferSize: 4096, WriteBufferSize: 512}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	conn := &cut{Conn: ws, piece: &piece{}}
	name := strings.TrimPrefix(r.URL.Path, "/")
	c.mu.Lock()
	c.ended.Add(1)
	c.conns[conn] = true
	c.pieces[name] = append(c.pieces[name], conn.piece)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
		ws.Close()
		c.ended.Done()
	}()
	ws.SetPingHandler(func(data string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.pongs || conn.over {
			return nil
		}
		conn.answered = true
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	ws.SetCloseHandler(func(code int, _ string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if conn.over {
			return nil // no answer to what came before
		}
		conn.over = true
		return ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	})
	c.receive(conn)
}

// receive reads at the connection's rate, and stores until it is over.
func (c *cutter) receive(conn *cut) {
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		c.mu.Lock()
		over := conn.over
		if !over {
			conn.piece.data = append(conn.piece.data, message...)
		}
		c.mu.Unlock()
		if !over {
			time.Sleep(time.Duration(len(message)) * time.Second / time.Duration(c.rate))
		}
	}
}

// disturb ends connections.
func (c *cutter) disturb(r *rand.Rand, quit <-chan struct{}) error {
	for pause(r, 20, 300, quit) {
		c.mu.Lock()
		for conn := range c.conns {
			if r.IntN(3) == 0 && !conn.over {
				c.cut(r, conn)
			}
		}
		c.mu.Unlock()
	}
	return nil
}

// cut ends one connection; c.mu is held.
func (c *cutter) cut(r *rand.Rand, conn *cut) {
	codes := []int{websocket.CloseGoingAway, websocket.CloseInternalServerErr, websocket.CloseServiceRestart,
		websocket.CloseNormalClosure, websocket.CloseNoStatusReceived}
	if !conn.answered {
		// A close with 1000 or without a code that crosses the client's cannot
		// be told from an answer to it, which is the one thing that a client
		// can go by where there were no pongs.
		codes = codes[:3]
	}
	conn.over = true
	tcp := conn.NetConn().(*net.TCPConn)
	switch way := r.IntN(len(codes) + 3); {
	case way < len(codes):
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(codes[way], "so it is"), time.Now().Add(time.Second))
		if r.IntN(2) == 0 {
			tcp.CloseWrite()
		}
	case way == len(codes):
		tcp.SetLinger(0)
		tcp.Close() // a reset
	case way == len(codes)+1:
		tcp.Close() // a reset if something is unread, else a FIN
	default:
		tcp.CloseWrite() // a FIN, and what comes is read and thrown away
	}
}

func (c *cutter) held(stream int, name string) ([]*reader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var readers []*reader
	for _, p := range c.pieces[name] {
		r := &reader{stream: stream}
		r.feed(p.data)
		readers = append(readers, r)
	}
	return readers, nil
}

func (c *cutter) size(stream int, name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pongs && !c.tail {
		return 0 // only an orderly close may acknowledge anything
	}
	var n int64
	for _, p := range c.pieces[name] {
		n += int64(len(p.data))
	}
	return n
}
