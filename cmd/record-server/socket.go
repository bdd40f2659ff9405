// SPDX-License-Identifier: MIT

package main

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// listener hands out sockets, with keep-alive probes that notice within about
// half a minute that a device lost its power.
type listener struct {
	*net.TCPListener
	gate *gate
	tls  *tls.Config // nil for none
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4})
	s := &socket{duplex: c, gate: l.gate}
	if l.tls != nil {
		s.duplex = tls.Server(c, l.tls) // the handshake is part of the first read, whose time is limited
	}
	if l.gate != nil {
		l.gate.connected(c.RemoteAddr().String())
	}
	return s, nil
}

// duplex is a connection, TLS or not, that can be closed for one direction.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// socket is a connection that tells before it reads. What arrived in one read
// goes to the file in one write, however many messages it was, and nothing is
// left in memory while a connection waits.
type socket struct {
	duplex
	gate       *gate // nil where all are taken
	closed     sync.Once
	beforeRead func() error
}

func (s *socket) Read(p []byte) (int, error) {
	if s.beforeRead != nil {
		if err := s.beforeRead(); err != nil {
			return 0, err
		}
	}
	if s.gate == nil {
		return s.duplex.Read(p)
	}
	if rate := s.gate.limits.rate; rate > 0 {
		// Small pieces, so that no wait is a long one.
		p = p[:min(int64(len(p)), max(rate/8, 512))]
	}
	n, err := s.duplex.Read(p)
	if wait := s.gate.wait(s.RemoteAddr().String(), n); wait > 0 {
		time.Sleep(wait)
	}
	return n, err
}

func (s *socket) Close() error {
	if s.gate != nil {
		s.closed.Do(func() { s.gate.gone(s.RemoteAddr().String()) })
	}
	return s.duplex.Close()
}
