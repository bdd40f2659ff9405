// SPDX-License-Identifier: MIT

package stream

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"msprecord/internal/host"
)

// A poller hears what servers say, on the plain connections of the process on
// which nobody listens for messages. One goroutine does it, with one buffer:
// such a connection costs neither while its server is silent. The epoll
// instance is itself in Go's netpoller, so that no thread waits for it. No call
// here waits, and so none is one that Go's scheduler need be told of.
type poller struct {
	mu    sync.Mutex // held while a link is heard
	links map[int32]*link
	last  int32           // ID given out
	epoll syscall.RawConn // nil before the first link

	ready [64]unix.EpollEvent
	buf   [16 << 10]byte
	once  func(fd uintptr) bool // reads into buf: n bytes, or errno
	n     int
	errno syscall.Errno
}

var ears = poller{links: map[int32]*link{}}

// add has a link heard until its end.
func (p *poller) add(l *link) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoll == nil {
		if err := p.start(); err != nil {
			return fmt.Errorf("no descriptor for the library's epoll instance: %w", err)
		}
	}
	for p.last++; p.links[p.last] != nil; p.last++ {
	}
	l.ear = p.last
	if err := p.control(l, unix.EPOLL_CTL_ADD); err != nil {
		return err
	}
	p.links[l.ear] = l
	return nil
}

func (p *poller) start() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // for os.NewFile to use the netpoller
		unix.Close(fd)
		return err
	}
	p.once = func(fd uintptr) bool {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&p.buf)), uintptr(len(p.buf)))
		p.n, p.errno = int(n), errno
		return true
	}
	if p.epoll, err = os.NewFile(uintptr(fd), "epoll").SyscallConn(); err == nil {
		go host.Persist("hearing servers", p.run)
	}
	return err
}

func (p *poller) control(l *link, op int) (err error) {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: l.ear}
	if e := l.raw.Control(func(socket uintptr) {
		if e := p.epoll.Control(func(epoll uintptr) {
			err = unix.EpollCtl(int(epoll), op, int(socket), &event)
		}); e != nil {
			err = e
		}
	}); e != nil {
		return e
	}
	return err
}

// run hears whoever says something, for the life of the process.
func (p *poller) run() {
	var n int
	wait := func(fd uintptr) bool {
		r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.ready)), uintptr(len(p.ready)), 0, 0, 0)
		n = int(r)
		return errno == 0 && n > 0 // an error is one of a signal
	}
	for p.epoll.Read(wait) == nil {
		for _, event := range p.ready[:n] {
			p.hear(event.Fd)
		}
	}
}

// hear takes what came on a link.
func (p *poller) hear(id int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[id]
	if l == nil {
		return // dropped since
	}
	defer func() {
		if r := recover(); r != nil {
			p.remove(l, ours(r))
		}
	}()
	if err := p.read(l); err != nil {
		p.remove(l, err)
	}
}

// drop ends a link's hearing, unless it has ended.
func (p *poller) drop(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[l.ear] == l {
		p.remove(l, net.ErrClosed)
	}
}

// remove is drop for who holds mu.
func (p *poller) remove(l *link, err error) {
	delete(p.links, l.ear)
	_ = p.control(l, unix.EPOLL_CTL_DEL) // done already where the socket is closed
	l.readEnds(err)
}

// read takes what is there, without waiting.
func (p *poller) read(l *link) error {
	if err := l.raw.Read(p.once); err != nil {
		return err
	}
	switch {
	case p.errno == unix.EAGAIN || p.errno == unix.EINTR:
		return nil
	case p.errno != 0:
		return p.errno
	case p.n == 0:
		return &websocket.CloseError{Code: websocket.CloseAbnormalClosure} // without a close frame (section 7.1.5)
	}
	l.heard.Store(clock())
	return l.inbox.take(p.buf[:p.n], l.act)
}
