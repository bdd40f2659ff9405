// SPDX-License-Identifier: MIT

// Package stream is the WebSocket destination. gorilla/websocket shakes hands,
// and reads what is encrypted or somebody listens to. The frames that carry the
// stream are our own, many to a write, and so is what hears their pongs.
package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
	"msprecord/internal/host"
)

// ParseURL checks the URL of a server: ws or wss, a host, a path and a query.
func ParseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	var parse *url.Error
	switch {
	case errors.As(err, &parse):
		return nil, fmt.Errorf("%w: write ws://HOST:PORT/NAME: %w", parse.Err, syscall.EINVAL)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, syscall.EINVAL)
	case u.Hostname() == "":
		return nil, fmt.Errorf("the host is missing: write ws://HOST:PORT/NAME: %w", syscall.EINVAL)
	case u.Fragment != "":
		return nil, fmt.Errorf("a WebSocket URL has no #fragment (RFC 6455 section 3): write %%23 for a # in a name: %w", syscall.EINVAL)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("port %s is not from 1 to 65535: %w", p, syscall.EINVAL)
		}
	}
	return u, nil
}

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
	header http.Header
	kept   atomic.Int64 // the first byte of the stream that can still be sent
	epoch  int          // of the last dial: goes up with each
	unhook func() bool
	failed int // losses in a row without a stable minute between
}

func newDialer(ctx context.Context, cfg Config, w *doorbell.Waker, mask masker, stream string) (*dialer, error) {
	d := &dialer{cfg: cfg, ctx: ctx, waker: w, mask: mask, stream: stream}
	var err error
	if d.tls, err = cfg.Access.tlsConfig(); err != nil {
		return nil, err
	}
	d.header, err = cfg.Access.header(cfg.URL)
	return d, err
}

// dial connects within ConnectTimeout.
func (d *dialer) dial() (*link, error) {
	if err := host.BeginDial(); err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", d.cfg.URL.Host, err)
	}
	defer host.EndBlocking()
	ctx, cancel := context.WithTimeout(d.ctx, d.cfg.ConnectTimeout)
	defer cancel()
	gorilla := websocket.Dialer{
		NetDialContext:  d.connect,
		TLSClientConfig: d.tls,
		Proxy:           http.ProxyFromEnvironment,
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &handshakeBuffers,
	}
	if p := d.cfg.Access.Subprotocol; p != "" {
		gorilla.Subprotocols = []string{p}
	}
	if d.tls != nil && d.tls.InsecureSkipVerify {
		d.cfg.Warn("tls_insecure is set: whoever answers as " + d.cfg.URL.Host + " is believed")
	}
	d.epoch++
	header := d.header.Clone()
	if d.cfg.Headers != nil {
		access := Access{Headers: d.cfg.Headers(ctx)}
		var err error
		if header, err = access.header(d.cfg.URL); err != nil {
			return nil, err
		}
	}
	kept := d.kept.Load()
	if d.stream != "" {
		header.Set("Record-Stream", d.stream)
		header.Set("Record-Offset", strconv.FormatInt(kept, 10))
		header.Set("Record-Epoch", strconv.Itoa(d.epoch))
	}
	d.unhook = func() bool { return true }
	ws, resp, err := gorilla.DialContext(ctx, bare(d.cfg.URL), header)
	d.unhook()
	if err == nil {
		var l *link
		if l, err = newLink(d.ctx, ws, d.mask, d.waker, d.cfg.Message); err == nil {
			l.kept = kept
			l.limitSilence(d.cfg.PongTimeout)
			if l.held, l.resumes, err = heldBy(resp); err == nil {
				return l, nil
			}
			l.close(false)
		}
	}
	switch {
	case d.ctx.Err() != nil:
		err = context.Cause(d.ctx)
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("no answer within %v: check address and port, or raise connect_timeout: %w", d.cfg.ConnectTimeout, syscall.ETIMEDOUT)
	default:
		err = explain(err, resp)
	}
	return nil, fmt.Errorf("connecting to %s: %w", d.cfg.URL.Redacted(), err)
}

// connect is the TCP connection of a dial. The end of the run breaks it off at
// any point: gorilla itself minds only the deadline once the handshake runs.
func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.unhook = context.AfterFunc(d.ctx, func() { conn.Close() })
	if tcp, ok := conn.(*net.TCPConn); ok && d.cfg.URL.Scheme == "ws" && d.cfg.Message == nil {
		return newHeadConn(tcp)
	}
	return conn, nil
}

// heldBy reads how much of the stream the server says it holds.
func heldBy(resp *http.Response) (held int64, resumes bool, err error) {
	value := resp.Header.Get("Record-Offset")
	if value == "" {
		return 0, false, nil
	}
	held, err = strconv.ParseInt(value, 10, 64)
	if err != nil || held < 0 {
		return 0, false, fmt.Errorf("the server answered Record-Offset: %q, which is no number of bytes: %w", value, syscall.EPROTO)
	}
	return held, true, nil
}

// bare is the URL without user and password, which do not belong on the wire
// (gorilla refuses them) and travel as credentials instead.
func bare(u *url.URL) string {
	without := *u
	without.User = nil
	return without.String()
}

// explain says what a failed handshake means, with the errno it stands for.
func explain(err error, resp *http.Response) error {
	var dns *net.DNSError
	var errno syscall.Errno
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return refuse(resp)
	case errors.As(err, &dns):
		return fmt.Errorf("no address for %s: check the host name: %w", dns.Name, syscall.EHOSTUNREACH)
	case errors.As(err, &cert), errors.As(err, &unknown):
		return &refusal{fault(syscall.EPROTO, "the server's certificate is not trusted (name its authority with tls_ca): %v", err), true, 0}
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens there: start the server, or check the port: %w", syscall.ECONNREFUSED)
	case errors.As(err, &errno) && errno != syscall.ECONNRESET && errno != syscall.EPIPE:
		return errno
	case errno != 0 || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fault(syscall.EPROTO, "the server broke the handshake off: is it a WebSocket server, and ws or wss what it expects?")
	}
	return fault(syscall.EPROTO, "%v: is it a WebSocket server, and ws or wss what it expects?", err)
}

// A refusal is a server's answer that is no WebSocket.
type refusal struct {
	error
	final bool          // asking again does not help
	after time.Duration // the server asks to be left alone for so long
}

func (r *refusal) Unwrap() error { return r.error }

func refuse(resp *http.Response) error {
	r := &refusal{}
	errno, mend := syscall.EPROTO, "not a WebSocket: check address and path of the URL"
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		errno, mend, r.final = syscall.EACCES, "it wants other access than the URL's user and the option header give", true
	case status == http.StatusNotFound:
		errno, mend, r.final = syscall.ENOENT, "check the path of the URL", true
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		errno, mend = syscall.EBUSY, "it is busy: try later"
	case status == http.StatusConflict:
		errno, mend = syscall.EBUSY, "it has a newer connection of this stream"
	case status >= 300 && status < 400:
		mend = "it redirects: use the address it means"
		if to := resp.Header.Get("Location"); to != "" {
			mend = fmt.Sprintf("it redirects: use the address it names, %q", to)
		}
	}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil { // RFC 9110 section 10.2.3
		r.after = time.Duration(seconds) * time.Second
	}
	r.error = fault(errno, "the server answered HTTP %s%s: %s", resp.Status, words(resp), mend)
	return r
}

// words is what a refusal says of itself, where that is one short line.
func words(resp *http.Response) string {
	const most = 120
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, most+1)) // gorilla has read it
	line := strings.TrimSpace(string(body))
	if line == "" || len(body) > most || strings.EqualFold(line, http.StatusText(resp.StatusCode)) {
		return ""
	}
	return fmt.Sprintf(" %q", line)
}
