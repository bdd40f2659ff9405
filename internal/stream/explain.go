// SPDX-License-Identifier: MIT

package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// explain says why a dial failed, with the errno that stands for it. What was
// explained stays as it is.
func (d *dialer) explain(ctx context.Context, err error, resp *http.Response) error {
	var dns *net.DNSError
	var errno syscall.Errno
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case d.ctx.Err() != nil:
		return context.Cause(d.ctx)
	case errors.As(err, new(*told)), errors.Is(err, syscall.EINVAL):
		return err
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil:
		return d.refuse(resp)
	case expired(ctx), errors.Is(err, os.ErrDeadlineExceeded):
		return fault(syscall.ETIMEDOUT, "no answer within %v: check address and port, or raise connect_timeout: %v", d.cfg.ConnectTimeout, syscall.ETIMEDOUT)
	case errors.As(err, &dns):
		return fault(syscall.EHOSTUNREACH, "no address for %s: check the host name: %v", plain(dns.Name), syscall.EHOSTUNREACH)
	case errors.As(err, &cert):
		return &refusal{error: distrust(cert.Err, time.Now())}
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return &refusal{error: fault(syscall.EACCES, "the server ended the TLS handshake: %v (where it asks for a certificate, tls_cert and tls_key give one)", op.Err)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault(syscall.ECONNREFUSED, "nothing listens there: start the server, or check the port: %v", syscall.ECONNREFUSED)
	case errors.As(err, &errno) && errno != syscall.ECONNRESET && errno != syscall.EPIPE:
		return fault(errno, "%v", errno)
	case errno != 0 || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fault(syscall.EPROTO, "the server broke the handshake off: is it a WebSocket server, and ws or wss what it expects?")
	}
	return fault(syscall.EPROTO, "%s: is it a WebSocket server, and ws or wss what it expects?", d.say(err.Error()))
}

// distrust says why a server's certificate does not do.
func distrust(err error, now time.Time) error {
	const day = "2006-01-02"
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return fault(syscall.EPROTO, "the server's certificate is valid from %s on, and this machine's clock says %s: set the clock", invalid.Cert.NotBefore.UTC().Format(day), now.UTC().Format(day))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault(syscall.EPROTO, "the server's certificate has expired on %s, and this machine's clock says %s: renew the certificate, or set the clock", invalid.Cert.NotAfter.UTC().Format(day), now.UTC().Format(day))
	case errors.As(err, &host):
		names := append([]string{}, host.Certificate.DNSNames...)
		for _, ip := range host.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		if len(names) == 0 {
			return fault(syscall.EPROTO, "the server's certificate names its host in the old Common Name alone, as %q: make one that names it as subjectAltName", plain(host.Certificate.Subject.CommonName))
		}
		return fault(syscall.EPROTO, "the server's certificate is for %s, not for %s: use a host name that it is for", plain(strings.Join(names, ", ")), plain(host.Host))
	}
	return fault(syscall.EPROTO, "the server's certificate is not trusted (name its authority with tls_ca): %s", plain(err.Error()))
}

// A refusal is a server's answer that is no WebSocket, or a certificate that
// does not do.
type refusal struct {
	error
	status int           // of HTTP, or 0
	after  time.Duration // the server asks to be left alone for so long
}

func (r *refusal) Unwrap() error { return r.error }

func (d *dialer) refuse(resp *http.Response) error {
	r := &refusal{status: resp.StatusCode}
	errno, mend := syscall.EPROTO, "not a WebSocket: check address and path of the URL"
	switch status := resp.StatusCode; {
	case status == http.StatusSwitchingProtocols:
		mend = "its Upgrade, Connection or Sec-WebSocket-Accept is not that of RFC 6455 section 4.2.2"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		errno, mend = syscall.EACCES, "it wants other access than the URL's user and the option header give"
	case status == http.StatusNotFound:
		errno, mend = syscall.ENOENT, "check the path of the URL"
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		errno, mend = syscall.EBUSY, "it is busy: try later"
	case status == http.StatusConflict:
		errno, mend = syscall.EBUSY, "it has a newer connection of this stream"
	case status >= 300 && status < 400:
		mend = "it redirects: use the address it means"
		if to := resp.Header.Get("Location"); to != "" {
			mend = fmt.Sprintf("it redirects: use the address it names, %q", d.say(ShowURL(to)))
		}
	}
	// RFC 9110 section 10.2.3; one that is beyond any number is long all the same.
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		r.after = time.Duration(min(seconds, math.MaxInt32)) * time.Second
	}
	r.error = fault(errno, "the server answered HTTP %s%s: %s", d.say(resp.Status), d.words(resp), mend)
	return r
}

// words is what a refusal says of itself, where that is one short line.
func (d *dialer) words(resp *http.Response) string {
	const most = 120
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, most+1)) // gorilla has read it
	line := strings.TrimSpace(string(body))
	if line == "" || len(body) > most || strings.EqualFold(line, http.StatusText(resp.StatusCode)) {
		return ""
	}
	return fmt.Sprintf(" %q", d.say(line))
}

// say is what a server said, fit for a sentence: without control characters,
// and without the secrets that the dials told it and that it repeats.
func (d *dialer) say(words string) string {
	if d != nil { // nil: of a lane, whose trunk has a dialer
		words = mask(words, d.secrets())
	}
	return plain(words)
}

// mask hides what is secret in somebody's words.
func mask(words string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) >= 4 { // a shorter one is a number, or in any word
			words = strings.ReplaceAll(words, secret, hidden)
		}
	}
	return words
}

// secretsOf are a user and password, and the forms in which they travel.
func secretsOf(user *url.Userinfo) []string {
	if user == nil {
		return nil
	}
	password, _ := user.Password()
	return append([]string{user.Username(), password, basic(user)[len("Basic "):]}, strings.Split(user.String(), ":")...)
}

// secrets are the URL's user, password and values, and those of the headers.
func (d *dialer) secrets() (all []string) {
	u := d.cfg.URL
	all = append(all, secretsOf(u.User)...)
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			value = key
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			all = append(all, decoded)
		}
		all = append(all, value)
	}
	if lines := d.lines.Load(); lines != nil {
		for _, line := range *lines {
			name, value, _ := strings.Cut(line, ":")
			if strings.EqualFold(name, "Host") || strings.EqualFold(name, "Origin") {
				continue
			}
			fields := strings.Fields(value)
			if len(fields) > 0 {
				all = append(all, fields[len(fields)-1]) // what follows Bearer, or Token
			}
		}
	}
	return all
}
