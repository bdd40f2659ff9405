package interop

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A gate is a way to a server that can be shut in different manners.
type gate struct {
	t    *testing.T
	addr string
	to   string
	l    net.Listener

	mu    sync.Mutex
	how   manner // of new connections
	conns []net.Conn
	met   int           // connections that found it shut
	ice   chan struct{} // closed: what stands stays open, and nothing moves
	over  chan struct{}
	wg    sync.WaitGroup
}

type manner int

const (
	open   manner = iota
	silent        // takes connections and says nothing
	busy          // answers HTTP 503, come back in a minute
)

func newGate(t *testing.T, to string, how manner) *gate {
	t.Helper()
	g := &gate{t: t, addr: "127.0.0.1:" + vacantPort(t), to: to, how: how, ice: make(chan struct{}), over: make(chan struct{})}
	var err error
	if g.l, err = net.Listen("tcp", g.addr); err != nil {
		t.Fatal(err)
	}
	g.wg.Add(1)
	go g.accept()
	t.Cleanup(func() {
		close(g.over)
		g.close()
		g.wg.Wait()
	})
	return g
}

func (g *gate) accept() {
	defer g.wg.Done()
	for {
		c, err := g.l.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.conns = append(g.conns, c)
		how := g.how
		g.mu.Unlock()
		switch how {
		case open:
			server, err := net.Dial("tcp", g.to)
			if err != nil {
				c.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, server)
			g.mu.Unlock()
			g.wg.Add(2)
			go g.move(server, c)
			go g.move(c, server)
		case busy:
			io.WriteString(c, "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")
		}
		if how != open {
			g.mu.Lock()
			g.met++
			g.mu.Unlock()
		}
	}
}

func (g *gate) move(to, from net.Conn) {
	defer g.wg.Done()
	defer to.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-g.ice:
			<-g.over
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// shut makes new connections meet something else, and ends those there are.
func (g *gate) shut(how manner) {
	g.mu.Lock()
	g.how = how
	g.mu.Unlock()
	g.cut()
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

// meets returns when a connection has found it shut.
func (g *gate) meets() {
	g.t.Helper()
	until(g.t, patience, "a connection finds the gate shut", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.met > 0
	})
}

// close has nothing listen there any more.
func (g *gate) close() {
	g.l.Close()
	g.cut()
}

// vanish has packets to it dropped: a socket whose queue is full. It returns
// when someone tries to connect.
func (g *gate) vanish() {
	g.t.Helper()
	g.close()
	a, err := net.ResolveTCPAddr("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
	socket := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	fd := socket()
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, to); err != nil {
		g.t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		g.t.Fatal(err)
	}
	answered := func() bool {
		client := socket()
		unix.Connect(client, to)
		poll := []unix.PollFd{{Fd: int32(client), Events: unix.POLLOUT}}
		n, _ := unix.Poll(poll, 200)
		if n == 0 {
			unix.Shutdown(client, unix.SHUT_RDWR) // it would count as someone
		}
		return n != 0
	}
	for i := 0; answered(); i++ {
		if i > 100 {
			g.t.Fatal("the queue of a socket has no end")
		}
	}
	const synSent = "02"
	until(g.t, patience, "someone tries to connect", func() bool {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			g.t.Fatal(err)
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line) // number, local, remote, state
			if len(f) > 3 && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", a.Port)) && f[3] == synSent {
				return true
			}
		}
		return false
	})
}
