// SPDX-License-Identifier: MIT

// Package stream is the WebSocket destination. gorilla/websocket shakes hands,
// and reads what is encrypted or somebody listens to. The frames that carry the
// stream are our own, many to a write, and so is what hears their pongs.
package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
	"msprecord/internal/host"
)

// Frames are written over the connection itself; gorilla needs its write
// buffer for the handshake alone.
var handshakeBuffers sync.Pool

// A dialer makes a stream's connections, one at a time.
type dialer struct {
	cfg    Config
	ctx    context.Context
	waker  *doorbell.Waker
	mask   masker // for the links; of the goroutine that writes to them
	stream string // Record-Stream; "": the connection is not of one stream
	tls    *tls.Config
	kept   atomic.Int64             // the first byte of the stream that can still be sent
	asking atomic.Bool              // a request is on its way that has told kept
	epoch  int                      // of the last dial: goes up with each
	failed atomic.Int64             // attempts since one brought something
	lines  atomic.Pointer[[]string] // the headers of the last dial
}

func newDialer(ctx context.Context, cfg Config, w *doorbell.Waker, mask masker, stream string) (*dialer, error) {
	d := &dialer{cfg: cfg, ctx: ctx, waker: w, mask: mask, stream: stream}
	if cfg.Headers == nil {
		d.cfg.Headers = func(context.Context) []string { return cfg.Access.Headers }
	}
	var err error
	if d.tls, err = cfg.Access.tlsConfig(); err != nil {
		return nil, err
	}
	_, err = cfg.Access.header(cfg.URL, cfg.Access.Headers)
	return d, err
}

// dial connects within ConnectTimeout, and while ctx, which is of d.ctx, lasts.
// connecting hears of the TCP connection that is tried, with what breaks it
// off, and of its end with nil.
func (d *dialer) dial(ctx context.Context, connecting func(breakOff func())) (*link, error) {
	if err := host.BeginDial(); err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", d.cfg.shown(), err)
	}
	defer host.EndBlocking()
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ConnectTimeout)
	defer cancel()
	l, resp, err := d.shakeHands(ctx, connecting)
	if err == nil {
		return l, nil
	}
	return nil, fmt.Errorf("connecting to %s: %w", d.cfg.shown(), d.explain(ctx, err, resp))
}

// shakeHands makes a connection, and of that a link.
func (d *dialer) shakeHands(ctx context.Context, connecting func(func())) (*link, *http.Response, error) {
	if d.tls != nil && d.tls.InsecureSkipVerify {
		d.cfg.Warn("tls_insecure is set: whoever answers as " + d.cfg.URL.Host + " is believed")
	}
	d.epoch++
	header, err := d.header(ctx)
	if err != nil {
		return nil, nil, err
	}
	conn, err := d.connect(ctx, connecting)
	if err != nil {
		return nil, nil, err
	}
	// Nothing is given up between what the request says and the answer to it.
	d.asking.Store(true)
	kept := d.kept.Load()
	if d.stream != "" {
		header.Set("Record-Stream", d.stream)
		header.Set("Record-Offset", strconv.FormatInt(kept, 10))
		header.Set("Record-Epoch", strconv.Itoa(d.epoch))
	}
	stop := context.AfterFunc(ctx, func() { tcpOf(conn).Close() })
	defer stop()
	gorilla := websocket.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return newHeadConn(conn) },
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &handshakeBuffers,
		Subprotocols:    d.cfg.Access.subprotocols(),
	}
	u := bare(d.cfg.URL)
	u.Scheme = "ws" // encrypted or not, conn is
	ws, resp, err := gorilla.DialContext(ctx, u.String(), header)
	if resp != nil && resp.StatusCode == http.StatusSwitchingProtocols && !errors.Is(err, websocket.ErrBadHandshake) {
		if fault := d.judge(resp); fault != nil {
			err = fault
		}
	}
	if err != nil {
		conn.Close()
		return nil, resp, err
	}
	l, err := newLink(d.ctx, ws, d.mask, d.waker, d.cfg.Message)
	if err != nil {
		return nil, resp, err
	}
	l.kept = kept
	l.limitSilence(d.cfg.PongTimeout)
	if l.held, l.resumes, err = d.heldBy(resp); err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		l.close(false)
		return nil, resp, err
	}
	return l, resp, nil
}

// header asks for the lines of the next handshake, and reads them.
func (d *dialer) header(ctx context.Context) (http.Header, error) {
	lines := d.cfg.Headers(ctx)
	d.lines.Store(&lines)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.cfg.Access.header(d.cfg.URL, lines)
}

// connect makes the connection of a dial: TCP, through a proxy where there is
// one, and TLS where the URL says so.
func (d *dialer) connect(ctx context.Context, connecting func(func())) (net.Conn, error) {
	u := d.cfg.URL
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	proxy, err := findProxy(u)
	if err != nil {
		return nil, err
	}
	at := address
	if proxy != nil {
		at = proxy.address()
	}
	trying, breakOff := context.WithCancel(ctx)
	defer breakOff()
	connecting(breakOff)
	conn, err := new(net.Dialer).DialContext(trying, "tcp", at)
	connecting(nil)
	if err != nil && trying.Err() != nil && ctx.Err() == nil {
		return nil, errBrokenOff
	}
	if err == nil && proxy != nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err = proxy.open(conn, address)
		stop()
	}
	if err != nil && proxy != nil {
		err = proxy.failed(d.explain(ctx, err, nil))
	}
	if err == nil && u.Scheme == "wss" {
		cfg := &tls.Config{}
		if d.tls != nil {
			cfg = d.tls.Clone()
		}
		cfg.ServerName = u.Hostname()
		encrypted := tls.Client(conn, cfg)
		if err = encrypted.HandshakeContext(ctx); err == nil {
			return encrypted, nil
		}
	}
	if err != nil && conn != nil {
		conn.Close()
	}
	return conn, err
}

// errBrokenOff ends an attempt to connect whose place another is to take.
var errBrokenOff = fault(syscall.ECANCELED, "broken off, to try anew")

// judge tells whether an answer that switches protocols is one that a server
// may give.
func (d *dialer) judge(resp *http.Response) error {
	if name := resp.Header.Get("Sec-WebSocket-Extensions"); name != "" {
		return fault(syscall.EPROTO, "the server's fault: it chose the extension %q, which was not offered (RFC 6455 section 4.1)", d.say(name))
	}
	name, offered := resp.Header.Get("Sec-WebSocket-Protocol"), d.cfg.Access.subprotocols()
	if name != "" && !slices.Contains(offered, name) {
		return fault(syscall.EPROTO, "the server's fault: it chose the subprotocol %q, and offered was %q (RFC 6455 section 4.1)", d.say(name), strings.Join(offered, ", "))
	}
	return nil
}

// heldBy reads how much of the stream the server says it holds.
func (d *dialer) heldBy(resp *http.Response) (held int64, resumes bool, err error) {
	value := resp.Header.Get("Record-Offset")
	if value == "" {
		return 0, false, nil
	}
	held, err = strconv.ParseInt(value, 10, 64)
	if err != nil || held < 0 {
		return 0, false, fault(syscall.EPROTO, "the server answered Record-Offset: %q, which is no number of bytes", d.say(value))
	}
	return held, true, nil
}
