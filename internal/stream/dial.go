// SPDX-License-Identifier: MIT

// Package stream is the WebSocket destination. gorilla/websocket shakes hands
// and reads; the frames that carry the stream are our own, many to a write.
package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"msprecord/internal/doorbell"
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

// Dial connects within timeout. ctx is the session's run: its end breaks off
// whatever the connection is in. w is woken when the server says something
// that the session must act on.
func Dial(ctx context.Context, u *url.URL, timeout time.Duration, w *doorbell.Waker) (*Conn, error) {
	mask, err := newMasker()
	if err != nil {
		return nil, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialer := websocket.Dialer{
		Proxy:           http.ProxyFromEnvironment,
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		WriteBufferPool: &handshakeBuffers,
	}
	ws, resp, err := dialer.DialContext(dialCtx, bare(u), credentials(u))
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case dialCtx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("no answer within %v: check address and port, or raise connect_timeout: %w", timeout, syscall.ETIMEDOUT)
		default:
			err = explain(err, resp)
		}
		return nil, fmt.Errorf("connecting to %s: %w", u.Redacted(), err)
	}
	return newConn(ctx, ws, u, mask, w), nil
}

// bare is the URL without user and password, which do not belong on the wire
// (gorilla refuses them) and travel as credentials instead.
func bare(u *url.URL) string {
	without := *u
	without.User = nil
	return without.String()
}

// credentials are the URL's user and password as RFC 7617 wants them.
func credentials(u *url.URL) http.Header {
	if u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(u.User.Username(), password)
	return r.Header
}

// explain says what a failed handshake means, with the errno it stands for.
func explain(err error, resp *http.Response) error {
	var dns *net.DNSError
	var errno syscall.Errno
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return fmt.Errorf("the server answered HTTP %s, not a WebSocket: %s: %w", resp.Status, mend(resp.StatusCode), statusErrno(resp.StatusCode))
	case errors.As(err, &dns):
		return fmt.Errorf("no address for %s: check the host name: %w", dns.Name, syscall.EHOSTUNREACH)
	case errors.As(err, &cert), errors.As(err, &unknown):
		return fmt.Errorf("the server's certificate is not trusted: %w: %w", err, syscall.EPROTO)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens there: start the server, or check the port: %w", syscall.ECONNREFUSED)
	case errors.As(err, &errno):
		return err
	}
	return fmt.Errorf("%w: is this a WebSocket server (and ws or wss as it expects)? %w", err, syscall.EPROTO)
}

func mend(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "it wants other access than the URL gives"
	case http.StatusNotFound:
		return "check the path of the URL"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "it is busy: try later"
	}
	if status >= 300 && status < 400 {
		return "it redirects: use the address it names"
	}
	return "check address and path of the URL"
}

func statusErrno(status int) syscall.Errno {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return syscall.EACCES
	case http.StatusNotFound:
		return syscall.ENOENT
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return syscall.EBUSY
	}
	return syscall.EPROTO
}
